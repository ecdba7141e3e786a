/*
 * The forms in which a certificate leaves: JSON, PEM, chain, DER, PKCS#7.
 */
#pragma once

#include "daemon/authority/authority.h"

enum certificate_form {
        FORM_JSON,
        FORM_CHAIN,
        FORM_DER,
        FORM_PKCS7,
        FORM_PEM, /* the leaf alone; by suffix only */
        FORM_COUNT,
};

/** certificate_form_type() - the media type of a form */
const char *certificate_form_type(enum certificate_form form);

/** certificate_form_choose() - what an Accept header asks for. @err: ERR_NOT_ACCEPTABLE, ERR_REQUEST_MALFORMED */
int certificate_form_choose(const char *accept, enum certificate_form *ret, struct error *err);

/**
 * certificate_form_append() - write a certificate in a form
 * @issuer: its issuer, for the chain; NULL leaves it out
 * @now:    what "expired" is measured by
 */
void certificate_form_append(struct buffer *out, enum certificate_form form,
                             const struct cert_row *row, const struct ca_info_issuer *issuer,
                             int64_t now);

/** certificate_json_open() - the JSON object without its closing brace, so that more members may follow; @whole adds certificate and chain */
void certificate_json_open(struct buffer *out, const struct cert_row *row,
                           const struct ca_info_issuer *issuer, bool whole, int64_t now);
