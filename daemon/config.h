/*
 * Configuration of cad: command line over /etc/cad/cad.conf and cad.conf.d/ over defaults.
 */
#pragma once

#include "daemon/authority/crl_schedule.h"
#include "daemon/authority/principal.h"
#include "daemon/authority/requests.h"
#include "daemon/http/server.h"

/** struct config - all owned */
struct config {
        char *config_dir;  /* folder of cad.conf, profiles.d, signer.conf, ca-id; NULL: none */
        char *config_file; /* NULL: none was given */
        char *state_dir;
        char *socket_path;
        bool socket_given;  /* on the command line, over what any file says */
        char *https, *http; /* where to listen (listen.h); never NULL once read */
        bool https_given, http_given;
        char *public_url; /* http://NAME[:PORT] for certificates; NULL: the CA's own */
        char *own_names;  /* names of this host that it does not know of itself; NULL: none */
        int64_t https_validity_s; /* of the certificate for HTTPS; 0: the default */
        uint16_t http_port;       /* that a new CA's certificates point to; 0: the default */
        char *passphrase_file;
        char *signer_dir; /* the signer's state where it is not STATE/signer; NULL */
        char *signer_socket; /* where systemd listens for us on behalf of cad-signer; NULL: cad starts it itself */
        bool debug;
        struct http_limits limits;
        uint32_t connections_per_peer;
        uint32_t requests_waiting;
        uint32_t workers;
        int64_t anchor_every_s; /* of the audit; 0: the default */
        struct access_list *access;
        struct enrolment enrolment;
        struct crl_settings crl;
        char *alert_command; /* [Alert] Command=; NULL: none */
        bool metrics_public; /* /metrics is for everybody, not for readers alone */
};

void config_done(struct config *config);
CAD_CLEANUP_DONE(struct config, config_done)

/**
 * config_read() - the command line, then the files, then defaults for what is still open
 * @argv: words behind the command; argv[0] is not looked at
 * @rest: where not NULL, options that cad itself does not know are put here (for `cad init`, which hands them on), argc + 1 places
 * @err:  ERR_USAGE, ERR_CONFIG with file and line, ERR_NOT_FOUND for a --config that is not there
 */
int config_read(int argc, char **argv, const char **rest, struct config *ret, struct error *err);

/** config_read_again() - what the files say now, for a reload: [Access], [Metrics] and the like; nothing of the command line. @err: as above */
int config_read_again(const struct config *config, struct config *ret, struct error *err);

/** config_read_access() - [Access] anew, for a reload. @err: as above */
int config_read_access(const struct config *config, struct access_list **ret, struct error *err);
