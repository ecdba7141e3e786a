/*
 * Problem: see problem.h. What is ours to mend does not go out in detail.
 */
#include "problem.h"

#include "json.h"

#define SOON 1   /* seconds: it heals by itself at once */
#define LATER 10 /* seconds: somebody or something has to come back first */

/* RFC 9110 §15. Unreadable is 400, understood and refused is 422. Every code has a row; the unit test says so. */
/* clang-format off */
static const struct { unsigned short status, retry_after_s; } problems[ERR_COUNT] = {
        [ERR_NONE]                  = { 500, 0 },
        [ERR_CSR_MALFORMED]         = { 400, 0 },
        [ERR_CSR_SIGNATURE]         = { 400, 0 },
        [ERR_CSR_WEAK_SIGNATURE]    = { 422, 0 },
        [ERR_CSR_EXTENSION]         = { 422, 0 },
        [ERR_CSR_ATTRIBUTE]         = { 422, 0 },
        [ERR_CSR_SUBJECT]           = { 422, 0 },
        [ERR_KEY_UNSUPPORTED]       = { 422, 0 },
        [ERR_KEY_WEAK]              = { 422, 0 },
        [ERR_KEY_INVALID]           = { 422, 0 },
        [ERR_KEY_RESERVED]          = { 422, 0 },
        [ERR_NAME_INVALID]          = { 422, 0 },
        [ERR_NAME_NOT_PERMITTED]    = { 422, 0 },
        [ERR_NAME_NOT_ALLOWED]      = { 422, 0 },
        [ERR_NAMES_MISSING]         = { 422, 0 },
        [ERR_NAMES_TOO_MANY]        = { 422, 0 },
        [ERR_PROFILE_UNKNOWN]       = { 422, 0 },
        [ERR_VALIDITY_OUT_OF_RANGE] = { 422, 0 },
        [ERR_BODY_MALFORMED]        = { 400, 0 },
        [ERR_BODY_TOO_LARGE]        = { 413, 0 },
        [ERR_PRIVATE_KEY_IN_BODY]   = { 400, 0 },
        [ERR_MEDIA_TYPE]            = { 415, 0 },
        [ERR_NOT_ACCEPTABLE]        = { 406, 0 },
        [ERR_REQUEST_MALFORMED]     = { 400, 0 },
        [ERR_QUERY_INVALID]         = { 400, 0 },
        [ERR_NOT_FOUND]             = { 404, 0 },
        [ERR_METHOD_NOT_ALLOWED]    = { 405, 0 },
        [ERR_UNAUTHENTICATED]       = { 401, 0 },
        [ERR_TOKEN_SPENT]           = { 401, 0 },
        [ERR_FORBIDDEN]             = { 403, 0 },
        [ERR_HOST_NOT_ALLOWED]      = { 403, 0 },
        [ERR_TOO_MANY_REQUESTS]     = { 429, LATER },
        [ERR_REQUEST_TIMEOUT]       = { 408, 0 },
        [ERR_IDEMPOTENCY_MISMATCH]  = { 422, 0 },
        [ERR_IDEMPOTENCY_IN_FLIGHT] = { 409, SOON },
        [ERR_ALREADY_REVOKED]       = { 409, 0 },
        [ERR_REASON_INVALID]        = { 422, 0 },
        [ERR_STATE_CONFLICT]        = { 409, 0 },
        [ERR_USAGE]                 = { 500, 0 },
        [ERR_CONFIG]                = { 500, 0 },
        [ERR_FILE_UNSAFE]           = { 500, 0 },
        [ERR_KEY_PASSPHRASE]        = { 503, LATER },
        [ERR_CA_EXISTS]             = { 409, 0 },
        [ERR_CA_INCOMPLETE]         = { 503, LATER },
        [ERR_CA_MISSING]            = { 503, LATER },
        [ERR_BUSY]                  = { 503, SOON },
        [ERR_STORE_FOREIGN]         = { 500, 0 },
        [ERR_STORE_NEWER]           = { 500, 0 },
        [ERR_MESSAGE_MALFORMED]     = { 500, 0 },
        [ERR_PROFILE_STALE]         = { 503, SOON },
        [ERR_RATE_LIMITED]          = { 429, LATER },
        [ERR_CLOCK]                 = { 503, LATER },
        [ERR_CA_EXPIRED]            = { 503, LATER },
        [ERR_SIGNER_UNAVAILABLE]    = { 503, SOON },
        [ERR_SIGNER_WRONG]          = { 500, 0 },
        [ERR_NO_MEMORY]             = { 503, SOON },
        [ERR_IO]                    = { 500, 0 },
        [ERR_STORE]                 = { 503, LATER },
        [ERR_STORE_FULL]            = { 503, LATER },
        [ERR_OVERLOADED]            = { 503, SOON },
        [ERR_STOPPING]              = { 503, SOON },
        [ERR_CRYPTO]                = { 500, 0 },
        [ERR_INTERNAL]              = { 500, 0 },
};
/* clang-format on */

unsigned problem_status(enum error_code code) {
        return (unsigned) code < ERR_COUNT && problems[code].status ? problems[code].status : 500;
}

unsigned problem_retry_after_s(enum error_code code) {
        return (unsigned) code < ERR_COUNT ? problems[code].retry_after_s : 0;
}

static void member(struct buffer *out, const char *name, const char *value) {
        buffer_format(out, ",\"%s\":", name);
        json_append_text(out, value);
}

const char *problem_detail(const struct error *err) {
        return problem_status(err->code) == 500
                ? "It is not your request: the log has the cause under the request_id."
                : err->text;
}

const struct problem_form problem_document = {
        .content_type = PROBLEM_CONTENT_TYPE,
        .challenge = "Bearer realm=\"cad\"",
        .append = problem_append,
};

void problem_append(struct buffer *out, const struct error *err, const char *request_id) {
        unsigned status = problem_status(err->code);

        buffer_format(out, "{\"type\":\"urn:cad:problem:%s\"", error_slug(err->code));
        member(out, "title", error_title(err->code));
        buffer_format(out, ",\"status\":%u", status);
        if (problem_detail(err)[0])
                member(out, "detail", problem_detail(err));
        if (err->field[0])
                member(out, "field", err->field);
        if (request_id)
                member(out, "request_id", request_id);
        buffer_text(out, "}\n");
}
