/*
 * Configuration of cad: command line over /etc/cad/cad.conf and cad.conf.d/ over defaults.
 */
#pragma once

#include "daemon/authority/principal.h"
#include "daemon/http/server.h"

/** struct config - all owned */
struct config {
        char *config_dir;  /* folder of cad.conf, profiles.d, signer.conf, ca-id; NULL: none */
        char *config_file; /* NULL: none was given */
        char *state_dir;
        char *socket_path;
        bool socket_given; /* on the command line, over what any file says */
        char *passphrase_file;
        bool debug;
        struct http_limits limits;
        uint32_t connections_per_peer;
        uint32_t requests_waiting;
        uint32_t workers;
        struct access_list *access;
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

/** config_read_access() - [Access] anew, for a reload. @err: as above */
int config_read_access(const struct config *config, struct access_list **ret, struct error *err);
