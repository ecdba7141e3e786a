/*
 * A CSR from a file, and the names that stand in for its own: what `cert sign` and `request submit` share.
 */
#pragma once

#include <jansson.h>

#include "cactl.h"
#include "lib/pki/csr.h"

/** sign_read() - the CSR that the first argument names ('-': standard input); a private key in it is not sent anywhere */
enum result sign_read(const struct client *c, struct csr **ret);

/** sign_names() - what --name said. @ret: an array, untouched where it was not given */
enum result sign_names(const struct client *c, struct san_list *list, json_t **ret);

/** sign_list() - `cactl cert sign --csr-list FILE|DIR` */
enum result sign_list(struct client *c);

/** sign_body() - what is posted for a CSR: names NULL, and --profile, --validity, --label. NULL after saying why */
json_t *sign_body(const struct client *c, const struct csr *csr, json_t *names);

/** sign_post() - hand CSR, names, --profile, --validity, --label to @path of the API. @names: NULL: those of the CSR */
enum result sign_post(struct client *c, const char *path, const struct csr *csr, json_t *names,
                      json_t **ret);
