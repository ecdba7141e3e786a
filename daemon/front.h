/*
 * The front: everything that the network sees. Sockets, the server on them, and what the server shows of itself.
 *
 *      front_open()    sockets that are passed or may need root: before anything is dropped or started
 *      front_start()   own names, own certificate, server
 *      front_pulse()   once a second: renews the certificate where it is due
 */
#pragma once

#include <jansson.h>

#include "daemon/config.h"
#include "daemon/listen.h"
#include "daemon/own_certificate.h"
#include "daemon/own_names.h"
#include "daemon/rest/rest.h"
#include "daemon/web/web.h"

/** struct front - zero-initialised is nothing yet */
struct front {
        struct listeners listeners;
        struct own_names *names;
        struct own_certificate *certificate; /* NULL: no HTTPS */
        struct web *web;
        struct http_server *server;
};

/** front_open() - take what systemd passes, bind what is configured; @config learns the port of plain HTTP. @err: see listen.h */
int front_open(struct front *front, struct config *config, struct error *err);

/**
 * front_start() - serve, with a certificate of its own where one can be had
 * @rest: the context of the handlers; its authority has signer and store
 * @state_fd: where the certificate is kept
 */
int front_start(struct front *front, struct config *config, struct rest *rest, int state_fd,
                struct error *err);

/** front_describe() - add to @endpoints what it listens on: "socket", "https", "http"; what is off is not there */
void front_describe(const struct front *front, const struct config *config, json_t *endpoints);

/** front_greet() - say in the log where it is */
void front_greet(const struct front *front, const struct config *config);

/** front_pulse(), front_reload() - see own_certificate.h */
void front_pulse(struct front *front);
void front_reload(struct front *front, const struct config *fresh);

/** front_quiesce() - take no more work; the socket's file goes */
void front_quiesce(struct front *front, const struct config *config);

/** front_stop() - end the server. @err: ERR_BUSY as http_server_stop(): nothing may be freed then */
int front_stop(struct front *front, struct error *err);

/** front_done() - the rest; after the authority, which may still call back while it is freed */
void front_done(struct front *front);
