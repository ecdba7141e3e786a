/*
 * The body that asks for a certificate, for now (POST /v1/certificates) or for later (POST /v1/requests).
 */
#pragma once

#include <jansson.h>

#include "daemon/authority/authority.h"
#include "daemon/http/exchange.h"

/** struct issue_body - what the body said; texts are lent by the document or by the exchange. Zero-initialised is empty */
struct issue_body {
        json_t *document;
        const char *csr;
        const char *profile;
        const json_t *names;
        const char *validity;
        const char *not_before;
        const char *label;
        const char *name_list[SAN_COUNT_MAX + 1];
        struct buffer decoded; /* of a CSR that came in base64 */
};

void issue_body_done(struct issue_body *body);
CAD_CLEANUP_DONE(struct issue_body, issue_body_done)

/**
 * issue_body_read() - a CSR, raw or in JSON with what is wanted beside it
 * @rq: csr, profile, names, lifetime_s, not_before, label are set, as views into @body and the exchange
 * @err: ERR_MEDIA_TYPE, ERR_BODY_MALFORMED, ERR_BODY_TOO_LARGE, ERR_PRIVATE_KEY_IN_BODY, ERR_CSR_MALFORMED, ERR_NAMES_TOO_MANY, ERR_VALIDITY_OUT_OF_RANGE
 */
int issue_body_read(struct exchange *x, struct issue_body *body, struct issue_request *rq,
                    struct error *err);
