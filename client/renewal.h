/*
 * The same certificate again, as `cert renew` and `renew` ask for it.
 */
#pragma once

#include "cactl.h"
#include "issued.h"

/** renewal_key() - a new key of the kind that the old one is. @spki: of the old one. @err: ERR_KEY_*, ERR_CRYPTO */
int renewal_key(struct bytes spki, struct private_key **ret, struct error *err);

/** renewal_csr() - a CSR for a new key; names and subject are left to the certificate. @ret: DER, appended */
int renewal_csr(const struct private_key *key, struct buffer *ret, struct error *err);

/** renewal_body() - of the POST. @csr: DER; empty: the key stays. Return: NULL: out of memory */
json_t *renewal_body(struct bytes csr);

/** renewal_post() - POST /v1/certificates/@serial/renew */
enum result renewal_post(struct client *c, const char *serial, struct bytes csr, json_t **ret);

/** renewal_read() - what came back is for this key, these names and no other. @err: ERR_BODY_MALFORMED, ERR_SIGNER_WRONG */
int renewal_read(const json_t *answer, struct bytes spki, const struct san_list *names,
                 struct issued *ret, struct error *err);
