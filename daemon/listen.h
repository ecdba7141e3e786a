/*
 * Listening sockets: those that a service manager passes, else cad's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/http/server.h"
#include "lib/base/error.h"

#define LISTENERS_MAX 8    /* sockets altogether */
#define LISTEN_TEXT_MAX 80 /* bytes with NUL of "[fe80::1%eth0]:65535" */
#define LISTEN_OFF "no"    /* in place of an address */

/**
 * listen_unix() - listen on a path, in place of a socket that nobody listens on any more
 * @err: ERR_BUSY where somebody does; ERR_CONFIG for no path, or one of over 107 bytes; ERR_FILE_UNSAFE where another kind of file is there
 * Return: a descriptor, non-blocking, mode 0660; or -1
 */
int listen_unix(const char *path, struct error *err);

/**
 * listen_address_check() - whether a listener can be told to be there
 * @text: "192.168.1.5:8443", "[fd00::5]:8443", "[::]:8443", "*:8443" or "8443" for every address, "no" for none. Port 0: a free one
 * @ret_port: may be NULL; 0 for "no"
 * @err: ERR_CONFIG with what would do
 */
int listen_address_check(const char *text, uint16_t *ret_port, struct error *err);

/**
 * listen_tcp() - bind, without listening yet
 * @kind: HTTP_TLS or HTTP_TCP, for the words of an error
 * @text: as above. Every address means both of IPv6 and IPv4, or IPv4 alone where the kernel has no IPv6
 * @err:  ERR_BUSY where another has the port; ERR_CONFIG where no interface has the address; ERR_FORBIDDEN where the port is not
 *        for this user; each with the option that changes it
 * Return: a descriptor, non-blocking; or -1
 */
int listen_tcp(enum http_listener_kind kind, const char *text, struct error *err);

/** listen_text() - where a socket really is: "[::]:8443", or its path. Return: @out, "" for one that is nowhere */
const char *listen_text(int fd, char *out, size_t size);

/** struct listeners - zero-initialised is none; descriptors are owned until http_server_start() has taken them */
struct listeners {
        struct http_listener items[LISTENERS_MAX];
        size_t count;
        bool unix_passed; /* the Unix socket is the service manager's: its file is not ours to remove */
};

/**
 * listeners_passed() - take what sd_listen_fds_with_names(3) gives, by name: "rest" or "unix", "https", "http"
 * @err: ERR_CONFIG for another name, or a socket that does not fit its name
 */
int listeners_passed(struct listeners *listeners, struct error *err);

/** listeners_has() - the first of a kind; NULL: there is none */
const struct http_listener *listeners_has(const struct listeners *listeners,
                                          enum http_listener_kind kind);

/** listeners_add() - take a descriptor in. @err: ERR_CONFIG: there are too many; it is closed then */
int listeners_add(struct listeners *listeners, enum http_listener_kind kind, int fd,
                  struct error *err);

/** listeners_begin() - listen(2) on all of them. @err: ERR_BUSY where somebody else began to meanwhile */
int listeners_begin(const struct listeners *listeners, struct error *err);

/** listeners_done() - close them */
void listeners_done(struct listeners *listeners);
