/*
 * POST /v1/certificates: a CSR, raw or in JSON, to one call of the authority; its answer to 201.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/json.h"
#include "daemon/http/media.h"
#include "daemon/rest/certificate_form.h"
#include "daemon/rest/issue_body.h"
#include "daemon/rest/rest.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

void issue_body_done(struct issue_body *body) {
        json_decref(body->document);
        buffer_done(&body->decoded);
}

static const struct json_member issue_members[] = {
        { "csr", JSON_MEMBER_TEXT, JSON_TO(struct issue_body, csr), true, REST_CSR_BODY_MAX },
        { "profile", JSON_MEMBER_TEXT, JSON_TO(struct issue_body, profile), false, 64 },
        { "names", JSON_MEMBER_TEXTS, JSON_TO(struct issue_body, names), false,
          REST_CSR_BODY_MAX }, /* read_names() counts */
        { "validity", JSON_MEMBER_TEXT, JSON_TO(struct issue_body, validity), false, 32 },
        { "not_before", JSON_MEMBER_TEXT, JSON_TO(struct issue_body, not_before), false, 40 },
        { "label", JSON_MEMBER_TEXT, JSON_TO(struct issue_body, label), false, 256 },
};

static int read_names(struct issue_body *body, struct issue_request *rq, struct error *err) {
        if (json_array_size(body->names) > SAN_COUNT_MAX)
                return error_set_field(err, ERR_NAMES_TOO_MANY, "names",
                                       "there are %zu names: a certificate has %d at most",
                                       json_array_size(body->names), SAN_COUNT_MAX);
        for (size_t i = 0; i < json_array_size(body->names); i++)
                body->name_list[i] = json_string_value(json_array_get(body->names, i));
        rq->names = body->name_list;
        rq->name_count = json_array_size(body->names);
        return 0;
}

static int read_times(const struct issue_body *body, struct issue_request *rq, struct error *err) {
        if (body->validity) {
                if (duration_parse(body->validity, &rq->lifetime_s, err) < 0)
                        return error_name_field(err, "validity");
                if (rq->lifetime_s == 0)
                        return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                                               "a validity of 0 is none");
        }
        if (body->not_before && moment_parse(body->not_before, &rq->not_before, err) < 0) {
                err->code = ERR_VALIDITY_OUT_OF_RANGE;
                return error_name_field(err, "not_before");
        }
        if (body->not_before && rq->not_before <= 0) /* 0 would mean that none was asked for */
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "not_before",
                                       "not_before is %s: leave it out, or say when "
                                       "the certificate begins",
                                       body->not_before);
        return 0;
}

static int read_json_body(struct exchange *x, struct issue_body *body, struct issue_request *rq,
                          struct error *err) {
        if (rest_no_private_key(x, err) < 0 ||
            json_read(exchange_body(x), JSON_DEPTH_MAX, REST_CSR_BODY_MAX, &body->document, err) <
                    0 ||
            json_members_read(body->document, issue_members, ARRAY_SIZE(issue_members), body, NULL,
                              err) < 0)
                return -1;
        rq->profile = body->profile;
        rq->label = body->label;
        if (rest_csr_text(body->csr, &body->decoded, &rq->csr, err) < 0 ||
            read_names(body, rq, err) < 0)
                return -1;
        return read_times(body, rq, err);
}

int issue_body_read(struct exchange *x, struct issue_body *body, struct issue_request *rq,
                    struct error *err) {
        char type[MEDIA_TYPE_MAX];

        if (media_type_parse(exchange_header(x, "Content-Type"), type, err) < 0)
                return -1;
        if (strcmp(type, "application/json") == 0)
                return read_json_body(x, body, rq, err);
        if (strcmp(type, "application/pkcs10") == 0 ||
            strcmp(type, "application/x-pem-file") == 0) {
                rq->csr = exchange_body(x);
                return 0;
        }
        return error_set(err, ERR_MEDIA_TYPE,
                         "'%s' is not taken here: send application/json or application/pkcs10",
                         type);
}

/* ---- the answer ---- */

static void append_warnings(struct buffer *out, const struct issued *issued) {
        static const char cut[] =
                "\"the certificate ends with its issuer, sooner than was asked for\"";
        static const char used[] =
                "\"another certificate, for other names, has the same key: a key of its own for each device is safer\"";

        if (!issued->validity_cut && !issued->key_used_before)
                return;
        buffer_format(out, ",\"warnings\":[%s%s%s]", issued->validity_cut ? cut : "",
                      issued->validity_cut && issued->key_used_before ? "," : "",
                      issued->key_used_before ? used : "");
}

static void log_issued(struct exchange *x, const struct issued *issued, const char *serial) {
        const struct log_field fields[] = {
                { "CAD_SERIAL", serial },
                { "CAD_PRINCIPAL", rest_principal(x)->text },
                { "CAD_PROFILE", issued->row->profile },
                { "CAD_REQUEST_ID", exchange_request_id(x) },
        };

        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields), "%s %s for %s%s",
                   issued->replayed ? "gave again" : "issued", serial,
                   issued->row->name_count ? issued->row->names[0] : "?",
                   issued->row->name_count > 1 ? ", …" : "");
}

void rest_issued(void *context, const struct issued *issued, const struct error *err) {
        struct exchange *x = context;
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        char location[64 + 2 * STORE_SERIAL_MAX], serial[2 * STORE_SERIAL_MAX + 1];
        enum certificate_form form = FORM_JSON;
        int64_t now = moment_now();

        if (err) {
                exchange_problem(x, err);
                exchange_send(x);
                return;
        }
        (void) certificate_form_choose(exchange_header(x, "Accept"), &form,
                                       NULL); /* was looked at before */
        if (form == FORM_JSON) {
                certificate_json_open(&out, issued->row, issued->issuer, /* whole= */ true, now);
                append_warnings(&out, issued);
                buffer_append(&out, BYTES_LITERAL("}"));
        } else {
                certificate_form_append(&out, form, issued->row, issued->issuer, now);
        }
        (void) hex_encode(issued->row->serial, serial);
        (void) snprintf(location, sizeof(location), "/v1/certificates/%s", serial);
        exchange_reply_take(x, 201, certificate_form_type(form), &out);
        exchange_reply_header(x, "Location", location);
        log_issued(x, issued, serial);
        exchange_send(x);
}

void rest_certificate_issue(struct exchange *x) {
        CAD_AUTO(issue_body_done) struct issue_body body = { 0 };
        struct issue_request rq = {
                .principal = rest_principal(x),
                .idempotency_key = exchange_header(x, "Idempotency-Key"),
                .method = "POST",
                .path = "/v1/certificates",
                .source = exchange_peer(x)->text,
                .request_id = exchange_request_id(x),
        };
        enum certificate_form form;
        struct error err = { 0 };

        if (certificate_form_choose(exchange_header(x, "Accept"), &form, &err) < 0 ||
            issue_body_read(x, &body, &rq, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        if (rq.idempotency_key)
                sha256(exchange_body(x), rq.body_hash);
        exchange_defer(x);
        if (authority_issue(rest_authority(x), &rq, rest_issued, x, &err) < 0) {
                exchange_problem(x, &err);
                exchange_send(x);
        }
}
