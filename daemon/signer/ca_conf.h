/*
 * ca/ca.conf: name and URL of the CA, which intermediates there are, which of them signs and which have signed.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/error.h"

#define CA_CONF_FILE "ca/ca.conf"

/** struct ca_conf - as it stands in the file; NULL: not said. The lists are words, separated by spaces */
struct ca_conf {
        char *name;
        char *public_url;
        char *intermediates;
        char *active;
        char *retired; /* those that were active once; the rest of the intermediates are standbys */
        char *replaces;
};

void ca_conf_done(struct ca_conf *conf);
CAD_CLEANUP_DONE(struct ca_conf, ca_conf_done)

/** ca_conf_read() - @err: ERR_NOT_FOUND; ERR_CA_INCOMPLETE where one that must be said is not; ERR_CONFIG, ERR_FILE_UNSAFE, ERR_IO */
int ca_conf_read(int state_fd, struct ca_conf *ret, struct error *err);

/** ca_conf_write() - durably, by replacement: killed at any moment, the old or the new one is there. @err: ERR_IO, ERR_STORE_FULL */
int ca_conf_write(int dir_fd, const char *path, const struct ca_conf *conf, struct error *err);

/** ca_conf_lists() - whether @id is a word of @list, which may be NULL */
bool ca_conf_lists(const char *list, const char *id);

/** ca_conf_add() - put another word behind a list. @err: ERR_NO_MEMORY */
int ca_conf_add(char **list, const char *id, struct error *err);
