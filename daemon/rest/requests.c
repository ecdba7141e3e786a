/*
 * POST and GET /v1/requests, GET, approve and deny of one. Who came with a code, which readers see, is not told the id, which
 * is the device's right to poll.
 */
#include "daemon/authority/requests.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/http/json.h"
#include "daemon/rest/certificate_form.h"
#include "daemon/rest/issue_body.h"
#include "daemon/rest/list.h"
#include "daemon/rest/rest.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

/* ---- a request in JSON ---- */

static void member_text(struct buffer *out, const char *name, const char *value) {
        if (!value)
                return;
        buffer_format(out, ",\"%s\":", name);
        json_append_text(out, value);
}

static void member_moment(struct buffer *out, const char *name, int64_t t) {
        char text[MOMENT_TEXT_MAX];

        if (t)
                member_text(out, name, moment_format(t, text));
}

static void member_hex(struct buffer *out, const char *name, struct bytes octets) {
        char text[2 * STORE_HASH_SIZE + 1];

        if (octets.size)
                member_text(out, name, hex_encode(octets, text));
}

static void member_names(struct buffer *out, const struct request_row *row) {
        buffer_text(out, ",\"names\":[");
        for (size_t i = 0; i < row->name_count; i++) {
                buffer_text(out, i ? "," : "");
                json_append_text(out, row->names[i]);
        }
        buffer_text(out, "]");
}

enum audience {
        DEVICE, /* has the id */
        READER, /* has the role, and knows the code */
};

/* Without the closing brace. */
static void request_json_open(struct buffer *out, const struct request_row *row,
                              enum audience audience, int64_t now) {
        enum request_status status = request_row_status(row, now);
        char validity[DURATION_TEXT_MAX];

        buffer_format(out, "{\"code\":\"%s\",\"status\":\"%s\"", row->code,
                      request_status_name(status));
        if (audience == DEVICE)
                member_hex(out, "id", BYTES(row->id, sizeof(row->id)));
        member_text(out, "profile", row->profile);
        member_names(out, row);
        member_text(out, "key", row->key);
        member_hex(out, "spki", BYTES(row->spki, sizeof(row->spki)));
        if (row->lifetime_s)
                member_text(out, "validity", duration_format(row->lifetime_s, validity));
        member_text(out, "label", row->label);
        member_moment(out, "created_at", row->handed_in_at);
        member_moment(out, "expires_at", row->expires_at);
        member_moment(out, "decided_at", row->decided_at);
        member_text(out, "reason", row->reason);
        member_hex(out, "serial", row->serial);
        if (audience == READER) {
                member_text(out, "source", row->source);
                member_text(out, "decided_by", row->decided_by);
        } else if (status == REQUEST_WAITING) {
                buffer_format(out, ",\"interval\":%" PRId64, requests_poll_s(row, now));
        }
}

static void member_pem(struct buffer *out, const char *name, struct bytes der) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        pem_append(&pem, "CERTIFICATE", der);
        member_text(out, name, buffer_string(&pem));
        out->failed = out->failed || pem.failed;
}

static void answer_json(struct exchange *x, unsigned status, const struct request_row *row,
                        enum audience audience, const struct cert_row *cert) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        const struct ca_info_issuer *issuer = NULL;

        request_json_open(&out, row, audience, moment_now());
        if (cert) {
                issuer = ca_info_issuer(authority_ca(rest_authority(x)), cert->issuer);
                member_pem(&out, "certificate", cert->der);
        }
        if (issuer)
                member_pem(&out, "chain", issuer->cert.der);
        buffer_text(&out, "}");
        exchange_reply_take(x, status, "application/json", &out);
}

static void log_request(struct exchange *x, const struct request_row *row, const char *what) {
        const struct log_field fields[] = { { "CAD_REQUEST", row->code },
                                            { "CAD_PRINCIPAL", rest_principal(x)->text },
                                            { "CAD_REQUEST_ID", exchange_request_id(x) } };

        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields), "request %s for %s%s %s", row->code,
                   row->name_count ? row->names[0] : "?", row->name_count > 1 ? ", …" : "", what);
}

/* ---- handing in ---- */

static void come_back(struct exchange *x, const struct request_row *row, int64_t now) {
        char seconds[24];

        if (request_row_status(row, now) != REQUEST_WAITING)
                return;
        (void) snprintf(seconds, sizeof(seconds), "%" PRId64, requests_poll_s(row, now));
        exchange_reply_header(x, "Retry-After", seconds);
}

static int read_wish(struct exchange *x, struct issue_body *body, struct issue_request *rq,
                     struct error *err) {
        if (issue_body_read(x, body, rq, err) < 0)
                return -1;
        if (!body->not_before)
                return 0;
        return error_set_field(
                err, ERR_BODY_MALFORMED, "not_before",
                "nobody knows when a request will be decided on: it cannot say when its certificate begins");
}

void rest_request_submit(struct exchange *x) {
        CAD_AUTO(issue_body_done) struct issue_body body = { 0 };
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        struct issue_request rq = { .principal = rest_principal(x),
                                    .source = exchange_peer(x)->text,
                                    .request_id = exchange_request_id(x) };
        char location[64], id[REQUEST_ID_TEXT_MAX];
        struct error err = { 0 };

        if (read_wish(x, &body, &rq, &err) < 0 ||
            requests_submit(rest_authority(x), &rq, &row, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        (void) snprintf(location, sizeof(location), "/v1/requests/%s",
                        hex_encode(BYTES(row->id, sizeof(row->id)), id));
        answer_json(x, 202, row, DEVICE, NULL);
        exchange_reply_header(x, "Location", location);
        come_back(x, row, moment_now());
        log_request(x, row, "waits");
}

/* ---- list ---- */

struct list_query {
        enum request_status status;
        const char *cursor;
        size_t limit;
};

static int query_status(void *target, const char *value, size_t offset, struct error *err) {
        struct list_query *q = target;

        (void) offset;
        if (request_status_from_name(value, &q->status) < 0)
                return error_set(err, ERR_QUERY_INVALID,
                                 "'%.40s' is none of waiting, approved, denied, expired", value);
        return 0;
}

static const struct rest_query_key list_keys[] = {
        { "status", query_status, 0 },
        { "cursor", rest_query_text, offsetof(struct list_query, cursor) },
        { "limit", rest_query_limit, offsetof(struct list_query, limit) },
};

static void append_row(const struct request_row *row, void *data) {
        struct rest_page *page = data;

        request_json_open(rest_page_row(page), row, READER, page->now);
        buffer_text(&page->out, "}");
}

void rest_request_list(struct exchange *x) {
        CAD_AUTO(rest_page_done) struct rest_page page = rest_page_of("requests");
        struct list_query q = { .status = REQUEST_STATUS_COUNT, .limit = REST_LIST_DEFAULT };
        char next[STORE_CURSOR_MAX] = "";
        struct error err = { 0 };

        if (rest_query_read(x, list_keys, ARRAY_SIZE(list_keys), &q, &err) < 0 ||
            requests_list(rest_authority(x), rest_principal(x), q.status, q.cursor, q.limit,
                          append_row, &page, next, &err) < 0)
                exchange_problem(x, &err);
        else
                rest_page_answer(x, &page, next);
}

/* ---- one ---- */

static int find_certificate(struct exchange *x, const struct request_row *row,
                            struct cert_row **ret, struct error *err) {
        char serial[2 * STORE_SERIAL_MAX + 1];

        if (row->status != REQUEST_APPROVED)
                return 0;
        return authority_find(rest_authority(x), hex_encode(row->serial, serial), ret, err);
}

/* Who wants a certificate and no JSON: the status alone has to tell a program that it is none. */
static void answer_no_certificate(struct exchange *x, const struct request_row *row,
                                  enum audience audience) {
        int64_t now = moment_now();
        enum request_status status = request_row_status(row, now);
        struct error err = { 0 };

        if (status == REQUEST_WAITING) {
                answer_json(x, 202, row, audience, NULL);
                come_back(x, row, now);
                return;
        }
        (void) error_set(&err, ERR_STATE_CONFLICT, "the request %s %s%s%s", row->code,
                         status == REQUEST_DENIED ? "was denied" : "has expired: hand it in again",
                         row->reason ? ": " : "", row->reason ? row->reason : "");
        exchange_problem(x, &err);
}

static void answer_form(struct exchange *x, const struct cert_row *cert,
                        enum certificate_form form) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };

        certificate_form_append(&out, form, cert,
                                ca_info_issuer(authority_ca(rest_authority(x)), cert->issuer),
                                moment_now());
        exchange_reply_take(x, 200, certificate_form_type(form), &out);
}

void rest_request_get(struct exchange *x) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        CAD_AUTO(cert_row_free) struct cert_row *cert = NULL;
        enum certificate_form form;
        struct error err = { 0 };
        bool by_id = false;

        if (certificate_form_choose(exchange_header(x, "Accept"), &form, &err) < 0 ||
            requests_find(rest_authority(x), rest_principal(x), exchange_param(x, "id"), &row,
                          &by_id, &err) < 0 ||
            find_certificate(x, row, &cert, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        if (form == FORM_JSON) {
                answer_json(x, 200, row, by_id ? DEVICE : READER, cert);
                come_back(x, row, moment_now());
        } else if (cert) {
                answer_form(x, cert, form);
        } else {
                answer_no_certificate(x, row, by_id ? DEVICE : READER);
        }
}

/* ---- deciding ---- */

struct approve_body {
        const char *profile;
        const json_t *names;
        const char *validity;
        const char *label;
        const char *name_list[SAN_COUNT_MAX + 1];
};

static const struct json_member approve_members[] = {
        { "profile", JSON_MEMBER_TEXT, JSON_TO(struct approve_body, profile), false, 64 },
        { "names", JSON_MEMBER_TEXTS, JSON_TO(struct approve_body, names), false, SAN_COUNT_MAX },
        { "validity", JSON_MEMBER_TEXT, JSON_TO(struct approve_body, validity), false, 32 },
        { "label", JSON_MEMBER_TEXT, JSON_TO(struct approve_body, label), false, 256 },
};

struct deny_body {
        const char *reason;
};

static const struct json_member deny_members[] = {
        { "reason", JSON_MEMBER_TEXT, JSON_TO(struct deny_body, reason), false,
          REQUEST_REASON_LENGTH_MAX },
};

static int read_approval(struct exchange *x, struct approve_body *body, json_t **document,
                         struct issue_request *rq, struct error *err) {
        if (rest_read_optional(x, approve_members, ARRAY_SIZE(approve_members), body, document,
                               err) < 0)
                return -1;
        if (body->names && json_array_size(body->names) == 0)
                return error_set_field(
                        err, ERR_NAMES_MISSING, "names",
                        "an empty list leaves nothing to issue for: deny the request, or leave names out");
        for (size_t i = 0; i < json_array_size(body->names); i++)
                body->name_list[i] = json_string_value(json_array_get(body->names, i));
        rq->names = body->name_list;
        rq->name_count = json_array_size(body->names);
        rq->profile = body->profile;
        rq->label = body->label;
        if (body->validity && duration_parse(body->validity, &rq->lifetime_s, err) < 0)
                return error_name_field(err, "validity");
        if (body->validity && rq->lifetime_s == 0)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                                       "a validity of 0 is none");
        return 0;
}

void rest_request_approve(struct exchange *x) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct approve_body body = { 0 };
        struct issue_request rq = {
                .principal = rest_principal(x),
                .idempotency_key = exchange_header(x, "Idempotency-Key"),
                .method = "POST",
                .path = exchange_path(x),
                .source = exchange_peer(x)->text,
                .request_id = exchange_request_id(x),
        };
        enum certificate_form form;
        struct error err = { 0 };

        if (certificate_form_choose(exchange_header(x, "Accept"), &form, &err) < 0 ||
            read_approval(x, &body, &document, &rq, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        if (rq.idempotency_key)
                sha256(exchange_body(x), rq.body_hash);
        exchange_defer(x);
        if (requests_approve(rest_authority(x), &rq, exchange_param(x, "id"), rest_issued, x,
                             &err) < 0) {
                exchange_problem(x, &err);
                exchange_send(x);
        }
}

void rest_request_deny(struct exchange *x) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        const struct issue_request rq = { .principal = rest_principal(x),
                                          .source = exchange_peer(x)->text,
                                          .request_id = exchange_request_id(x) };
        struct deny_body body = { 0 };
        struct error err = { 0 };

        if (rest_read_optional(x, deny_members, ARRAY_SIZE(deny_members), &body, &document, &err) <
                    0 ||
            requests_deny(rest_authority(x), &rq, exchange_param(x, "id"), body.reason, &row,
                          &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        answer_json(x, 200, row, READER, NULL);
        log_request(x, row, "is denied");
}
