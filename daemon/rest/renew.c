/*
 * GET /v1/certificates/{serial}/renewal: when to renew; POST …/renew: doing it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/authority/renew.h"
#include "daemon/http/json.h"
#include "daemon/http/media.h"
#include "daemon/rest/certificate_form.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

#define ETAG_MAX 64

/* ---- when ---- */

/* RFC 9110 §13.1.2: a list of tags, or "*"; a weak one does for GET. */
static bool etag_matches(const char *list, const char *etag) {
        size_t size = strlen(etag);

        while (list && *list) {
                list += strspn(list, " \t,");
                if (*list == '*')
                        return true;
                if (strncmp(list, "W/", 2) == 0)
                        list += 2;
                if (strncmp(list, etag, size) == 0 && strchr(" \t,", list[size]))
                        return true; /* strchr() finds the end, too */
                list += strcspn(list, ",");
        }
        return false;
}

static void answer_window(struct exchange *x, const struct renew_window *window, const char *etag) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        char start[MOMENT_TEXT_MAX], end[MOMENT_TEXT_MAX];

        if (etag_matches(exchange_header(x, "If-None-Match"), etag)) {
                exchange_reply(x, 304, NULL, BYTES_NONE);
                return;
        }
        buffer_format(&out, "{\"window\":{\"start\":\"%s\",\"end\":\"%s\"}}",
                      moment_format(window->start, start), moment_format(window->end, end));
        exchange_reply_take(x, 200, "application/json", &out);
}

/* Not to be believed for long: a revocation moves it. So it may be kept, and is asked about. */
void rest_certificate_renewal(struct exchange *x) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct renew_window window;
        struct error err = { 0 };
        char etag[ETAG_MAX], poll[24];

        if (authority_find(rest_authority(x), exchange_param(x, "serial"), &row, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        renew_window_of(row, &window);
        (void) snprintf(etag, sizeof(etag), "\"%" PRIx64 "-%" PRIx64 "\"", (uint64_t) window.start,
                        (uint64_t) window.end);
        (void) snprintf(poll, sizeof(poll), "%" PRId64, renew_poll_s(row));
        answer_window(x, &window, etag);
        exchange_reply_header(x, "ETag", etag);
        exchange_reply_header(x, "Cache-Control", "no-cache");
        exchange_reply_header(x, "Retry-After", poll);
}

/* ---- doing it ---- */

struct renew_body {
        json_t *document;
        const char *csr;
        struct buffer decoded; /* of a CSR that came in base64 */
};

static void renew_body_done(struct renew_body *body) {
        json_decref(body->document);
        buffer_done(&body->decoded);
}
CAD_CLEANUP_DONE(struct renew_body, renew_body_done)

static const struct json_member renew_members[] = {
        { "csr", JSON_MEMBER_TEXT, JSON_TO(struct renew_body, csr), false, REST_CSR_BODY_MAX },
};

static int read_json_body(struct exchange *x, struct renew_body *body, struct renew_request *rq,
                          struct error *err) {
        if (rest_no_private_key(x, err) < 0 ||
            json_read(exchange_body(x), JSON_DEPTH_MAX, REST_CSR_BODY_MAX, &body->document, err) <
                    0 ||
            json_members_read(body->document, renew_members, ARRAY_SIZE(renew_members), body, NULL,
                              err) < 0)
                return -1;
        if (!body->csr)
                return 0;
        /* an empty one is a mistake, not the wish to keep the key */
        if (!*body->csr)
                return error_set_field(err, ERR_CSR_MALFORMED, "csr",
                                       "the CSR is empty: leave it out to keep the key");
        return rest_csr_text(body->csr, &body->decoded, &rq->csr, err);
}

static int read_body(struct exchange *x, struct renew_body *body, struct renew_request *rq,
                     struct error *err) {
        char type[MEDIA_TYPE_MAX];

        if (exchange_body(x).size == 0)
                return 0;
        if (media_type_parse(exchange_header(x, "Content-Type"), type, err) < 0)
                return -1;
        if (strcmp(type, "application/json") == 0)
                return read_json_body(x, body, rq, err);
        if (strcmp(type, "application/pkcs10") == 0 ||
            strcmp(type, "application/x-pem-file") == 0) {
                rq->csr = exchange_body(x);
                return 0;
        }
        return error_set(
                err, ERR_MEDIA_TYPE,
                "'%s' is not taken here: send application/json or application/pkcs10, or nothing",
                type);
}

void rest_certificate_renew(struct exchange *x) {
        CAD_AUTO(renew_body_done) struct renew_body body = { 0 };
        struct renew_request rq = {
                .principal = rest_principal(x),
                .serial = exchange_param(x, "serial"),
                .idempotency_key = exchange_header(x, "Idempotency-Key"),
                .method = "POST",
                .path = exchange_path(x),
                .source = exchange_peer(x)->text,
                .request_id = exchange_request_id(x),
        };
        enum certificate_form form;
        struct error err = { 0 };

        if (certificate_form_choose(exchange_header(x, "Accept"), &form, &err) < 0 ||
            read_body(x, &body, &rq, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        if (rq.idempotency_key)
                sha256(exchange_body(x), rq.body_hash);
        exchange_defer(x);
        if (authority_renew(rest_authority(x), &rq, rest_issued, x, &err) < 0) {
                exchange_problem(x, &err);
                exchange_send(x);
        }
}
