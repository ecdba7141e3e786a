/*
 * GET /v1/certificates, GET and revoke of one.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/http/json.h"
#include "daemon/rest/certificate_form.h"
#include "daemon/rest/list.h"
#include "daemon/rest/rest.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

struct authority *rest_authority(const struct exchange *x) {
        return ((struct rest *) exchange_context(x))->authority;
}

const struct principal *rest_principal(const struct exchange *x) {
        static const struct principal anonymous = { .role = ROLE_PUBLIC, .text = "anonymous" };
        const struct principal *principal = exchange_principal(x);

        return principal ? principal : &anonymous;
}

/* ---- list ---- */

struct list_query {
        struct cert_filter filter;
        uint8_t fingerprint[STORE_HASH_SIZE], spki[STORE_HASH_SIZE];
        char name[SAN_TEXT_MAX];
        const char *cursor;
        size_t limit;
};

static int query_name(void *target, const char *value, size_t offset, struct error *err) {
        struct list_query *q = target;

        (void) offset;
        if (strlen(value) >= sizeof(q->name))
                return error_set(err, ERR_QUERY_INVALID, "the name is longer than %zu characters",
                                 sizeof(q->name) - 1);
        (void) snprintf(q->name, sizeof(q->name), "%s", value);
        text_lower(q->name);
        q->filter.name = q->name;
        return 0;
}

static int query_status(void *target, const char *value, size_t offset, struct error *err) {
        struct list_query *q = target;

        (void) offset;
        if (cert_status_from_name(value, &q->filter.status) < 0)
                return error_set(err, ERR_QUERY_INVALID,
                                 "'%.40s' is none of valid, expired, revoked, held", value);
        return 0;
}

static int query_hash(uint8_t *out, const char *value, struct error *err) {
        size_t size;

        if (hex_decode(value, out, STORE_HASH_SIZE, &size) < 0 || size != STORE_HASH_SIZE)
                return error_set(err, ERR_QUERY_INVALID, "'%.70s' is no SHA-256: 64 hex digits",
                                 value);
        return 0;
}

static int query_fingerprint(void *target, const char *value, size_t offset, struct error *err) {
        struct list_query *q = target;

        (void) offset;
        q->filter.fingerprint = q->fingerprint;
        return query_hash(q->fingerprint, value, err);
}

static int query_spki(void *target, const char *value, size_t offset, struct error *err) {
        struct list_query *q = target;

        (void) offset;
        q->filter.spki = q->spki;
        return query_hash(q->spki, value, err);
}

#define AT(member) offsetof(struct list_query, member)
static const struct rest_query_key list_keys[] = {
        { "name", query_name, 0 },
        { "status", query_status, 0 },
        { "profile", rest_query_text, AT(filter.profile) },
        { "issuer", rest_query_text, AT(filter.issuer) },
        { "requester", rest_query_text, AT(filter.requester) },
        { "label", rest_query_text, AT(filter.label) },
        { "fingerprint", query_fingerprint, 0 },
        { "spki", query_spki, 0 },
        { "expires_after", rest_query_moment, AT(filter.expires_after) },
        { "expires_before", rest_query_moment, AT(filter.expires_before) },
        { "issued_after", rest_query_moment, AT(filter.issued_after) },
        { "issued_before", rest_query_moment, AT(filter.issued_before) },
        { "cursor", rest_query_text, AT(cursor) },
        { "limit", rest_query_limit, AT(limit) },
};

static void append_row(const struct cert_row *row, void *data) {
        struct rest_page *page = data;
        struct buffer *out = rest_page_row(page);

        certificate_json_open(out, row, NULL, /* whole= */ false, page->now);
        buffer_format(out, ",\"requester\":");
        json_append_text(out, row->requester);
        buffer_text(out, "}");
}

void rest_certificate_list(struct exchange *x) {
        CAD_AUTO(rest_page_done) struct rest_page page = rest_page_of("certificates");
        struct list_query q = { .filter = { .status = CERT_FILTER_ANY, .now = page.now },
                                .limit = REST_LIST_DEFAULT };
        char next[STORE_CURSOR_MAX] = "";
        struct error err = { 0 };

        if (rest_query_read(x, list_keys, ARRAY_SIZE(list_keys), &q, &err) < 0 ||
            authority_list(rest_authority(x), rest_principal(x), &q.filter, q.cursor, q.limit,
                           append_row, &page, next, &err) < 0)
                exchange_problem(x, &err);
        else
                rest_page_answer(x, &page, next);
}

/* ---- one ---- */

static const struct {
        const char *suffix;
        enum certificate_form form;
} suffixes[] = {
        { ".chain.pem", FORM_CHAIN }, /* before .pem, which it ends with */
        { ".pem", FORM_PEM },
        { ".der", FORM_DER },
};

/* "01ab.chain.pem" to the serial and a form; without a suffix the Accept header decides. */
static int split_serial(struct exchange *x, char *serial, size_t size, enum certificate_form *ret,
                        struct error *err) {
        (void) snprintf(serial, size, "%s", exchange_param(x, "serial"));
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                if (!text_ends_with(serial, suffixes[i].suffix))
                        continue;
                serial[strlen(serial) - strlen(suffixes[i].suffix)] = '\0';
                *ret = suffixes[i].form;
                return 0;
        }
        return certificate_form_choose(exchange_header(x, "Accept"), ret, err);
}

void rest_certificate_get(struct exchange *x) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        enum certificate_form form;
        struct error err = { 0 };
        char serial[128];

        if (split_serial(x, serial, sizeof(serial), &form, &err) < 0 ||
            authority_find(rest_authority(x), serial, &row, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        if (form != FORM_JSON && cert_row_lost(row)) {
                (void) error_set(
                        &err, ERR_NOT_FOUND,
                        "the certificate itself was lost with a database: a backup brought back what the signer's log knows of it, and it can be revoked");
                exchange_problem(x, &err);
                return;
        }
        certificate_form_append(&out, form, row,
                                ca_info_issuer(authority_ca(rest_authority(x)), row->issuer),
                                moment_now());
        exchange_reply_take(x, 200, certificate_form_type(form), &out);
}

/* ---- revoke ---- */

struct revoke_body {
        const char *reason;
};

static const struct json_member revoke_members[] = {
        { "reason", JSON_MEMBER_TEXT, JSON_TO(struct revoke_body, reason), false, 64 },
};

void rest_certificate_revoke(struct exchange *x) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        struct revoke_body body = { 0 };
        struct error err = { 0 };
        const char *serial = exchange_param(x, "serial");
        struct revoke_request rq = { .principal = rest_principal(x),
                                     .serial = serial,
                                     .source = exchange_peer(x)->text,
                                     .request_id = exchange_request_id(x) };
        const struct log_field fields[] = { { "CAD_SERIAL", serial },
                                            { "CAD_PRINCIPAL", rest_principal(x)->text },
                                            { "CAD_REQUEST_ID", exchange_request_id(x) } };

        if (rest_read_optional(x, revoke_members, ARRAY_SIZE(revoke_members), &body, &document,
                               &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        rq.reason = body.reason;
        if (authority_revoke(rest_authority(x), &rq, &row, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        log_fields(LOG_LEVEL_NOTICE, fields, ARRAY_SIZE(fields), "%s is now %s", serial,
                   cert_status_name(cert_row_status(row, moment_now())));
        certificate_form_append(&out, FORM_JSON, row,
                                ca_info_issuer(authority_ca(rest_authority(x)), row->issuer),
                                moment_now());
        exchange_reply_take(x, 200, "application/json", &out);
}
