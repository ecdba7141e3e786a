/*
 * GET /v1/certificates, GET and revoke of one.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/http/json.h"
#include "daemon/http/media.h"
#include "daemon/rest/certificate_form.h"
#include "daemon/rest/rest.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define LIST_DEFAULT 100

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

static int query_text(struct list_query *q, const char *value, size_t offset, struct error *err) {
        (void) err;
        memcpy((char *) q + offset, &value, sizeof(value));
        return 0;
}

static int query_name(struct list_query *q, const char *value, size_t offset, struct error *err) {
        (void) offset;
        if (strlen(value) >= sizeof(q->name))
                return error_set(err, ERR_QUERY_INVALID, "the name is longer than %zu characters",
                                 sizeof(q->name) - 1);
        (void) snprintf(q->name, sizeof(q->name), "%s", value);
        text_lower(q->name);
        q->filter.name = q->name;
        return 0;
}

static int query_status(struct list_query *q, const char *value, size_t offset, struct error *err) {
        (void) offset;
        if (cert_status_from_name(value, &q->filter.status) < 0)
                return error_set(err, ERR_QUERY_INVALID,
                                 "'%.40s' is none of valid, expired, revoked, held", value);
        return 0;
}

static int query_moment(struct list_query *q, const char *value, size_t offset, struct error *err) {
        int64_t t;

        if (moment_parse(value, &t, err) < 0)
                return -1;
        memcpy((char *) q + offset, &t, sizeof(t));
        return 0;
}

static int query_hash(uint8_t *out, const char *value, struct error *err) {
        size_t size;

        if (hex_decode(value, out, STORE_HASH_SIZE, &size) < 0 || size != STORE_HASH_SIZE)
                return error_set(err, ERR_QUERY_INVALID, "'%.70s' is no SHA-256: 64 hex digits",
                                 value);
        return 0;
}

static int query_fingerprint(struct list_query *q, const char *value, size_t offset,
                             struct error *err) {
        (void) offset;
        q->filter.fingerprint = q->fingerprint;
        return query_hash(q->fingerprint, value, err);
}

static int query_spki(struct list_query *q, const char *value, size_t offset, struct error *err) {
        (void) offset;
        q->filter.spki = q->spki;
        return query_hash(q->spki, value, err);
}

static int query_limit(struct list_query *q, const char *value, size_t offset, struct error *err) {
        uint64_t limit;

        (void) offset;
        if (text_to_u64(value, STORE_PAGE_MAX, &limit) < 0 || limit == 0)
                return error_set(err, ERR_QUERY_INVALID, "'%.40s' is no number from 1 to %d", value,
                                 STORE_PAGE_MAX);
        q->limit = (size_t) limit;
        return 0;
}

#define AT(member) offsetof(struct list_query, member)
static const struct {
        const char *key;
        int (*set)(struct list_query *q, const char *value, size_t offset, struct error *err);
        size_t offset;
} list_keys[] = {
        { "name", query_name, 0 },
        { "status", query_status, 0 },
        { "profile", query_text, AT(filter.profile) },
        { "issuer", query_text, AT(filter.issuer) },
        { "requester", query_text, AT(filter.requester) },
        { "label", query_text, AT(filter.label) },
        { "fingerprint", query_fingerprint, 0 },
        { "spki", query_spki, 0 },
        { "expires_after", query_moment, AT(filter.expires_after) },
        { "expires_before", query_moment, AT(filter.expires_before) },
        { "issued_after", query_moment, AT(filter.issued_after) },
        { "issued_before", query_moment, AT(filter.issued_before) },
        { "cursor", query_text, AT(cursor) },
        { "limit", query_limit, 0 },
};

static int read_one(struct list_query *q, const char *key, const char *value, struct error *err) {
        for (size_t i = 0; i < ARRAY_SIZE(list_keys); i++) {
                if (strcmp(list_keys[i].key, key) != 0)
                        continue;
                if (list_keys[i].set(q, value, list_keys[i].offset, err) == 0)
                        return 0;
                err->code = ERR_QUERY_INVALID;
                return error_name_field(err, "%s", key);
        }
        return error_set_field(err, ERR_QUERY_INVALID, key,
                               "there is no query parameter '%.40s' here", key);
}

static int read_query(struct exchange *x, struct list_query *q, struct error *err) {
        const char *key, *value;

        *q = (struct list_query){ .filter = { .status = CERT_FILTER_ANY, .now = moment_now() },
                                  .limit = LIST_DEFAULT };
        for (size_t i = 0; exchange_query_at(x, i, &key, &value); i++)
                if (read_one(q, key, value, err) < 0)
                        return -1;
        return 0;
}

struct list_page {
        struct buffer out;
        int64_t now;
        size_t count;
};

static void append_row(const struct cert_row *row, void *data) {
        struct list_page *page = data;

        buffer_text(&page->out, page->count++ ? "," : "");
        certificate_json_open(&page->out, row, NULL, /* whole= */ false, page->now);
        buffer_format(&page->out, ",\"requester\":");
        json_append_text(&page->out, row->requester);
        buffer_text(&page->out, "}");
}

void rest_certificate_list(struct exchange *x) {
        struct list_page page = { .now = moment_now() };
        char next[STORE_CURSOR_MAX] = "";
        struct list_query q;
        struct error err = { 0 };

        buffer_text(&page.out, "{\"certificates\":[");
        if (read_query(x, &q, &err) < 0 ||
            authority_list(rest_authority(x), rest_principal(x), &q.filter, q.cursor, q.limit,
                           append_row, &page, next, &err) < 0) {
                exchange_problem(x, &err);
        } else {
                buffer_text(&page.out, "],\"next\":");
                json_append_text(&page.out, next[0] ? next : NULL);
                buffer_text(&page.out, "}");
                exchange_reply_take(x, 200, "application/json", &page.out);
        }
        buffer_done(&page.out);
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

static int read_revoke_body(struct exchange *x, json_t **document, struct revoke_body *body,
                            struct error *err) {
        char type[MEDIA_TYPE_MAX];

        if (exchange_body(x).size == 0)
                return 0;
        if (media_type_parse(exchange_header(x, "Content-Type"), type, err) < 0)
                return -1;
        if (strcmp(type, "application/json") != 0)
                return error_set(err, ERR_MEDIA_TYPE,
                                 "'%s' is not taken here: send application/json", type);
        if (rest_no_private_key(x, err) < 0 ||
            json_read(exchange_body(x), JSON_DEPTH_MAX, REST_BODY_MAX, document, err) < 0)
                return -1;
        return json_members_read(*document, revoke_members, ARRAY_SIZE(revoke_members), body, NULL,
                                 err);
}

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

        if (read_revoke_body(x, &document, &body, &err) < 0) {
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
