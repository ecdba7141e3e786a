/*
 * What everybody may know: the CA, its certificates, its profiles, its health.
 */
#include <stdio.h>

#include "cad-build.h"
#include "daemon/authority/health.h"
#include "daemon/authority/rotation.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/dn.h"

static const char *const pem_type = "application/x-pem-file";

static json_t *json_moment(int64_t t) {
        char text[MOMENT_TEXT_MAX];

        return json_string(moment_format(t, text));
}

static json_t *json_duration(int64_t seconds) {
        char text[DURATION_TEXT_MAX];

        return json_string(duration_format(seconds, text));
}

/* Members that every CA certificate has. */
static json_t *json_ca_certificate(const struct cert *cert) {
        uint8_t fingerprint[SHA256_SIZE];
        char hex[2 * SHA256_SIZE + 1], subject[DN_TEXT_MAX], serial[2 * SERIAL_MAX + 1];

        cert_fingerprint(cert->der, fingerprint);
        return json_pack("{s:s, s:s, s:o, s:o, s:s}", "subject",
                         dn_text(cert->subject, subject, sizeof(subject)), "serial",
                         hex_encode(cert->serial, serial), "not_before",
                         json_moment(cert->validity.not_before), "not_after",
                         json_moment(cert->validity.not_after), "fingerprint",
                         hex_encode(BYTES(fingerprint, sizeof(fingerprint)), hex));
}

static json_t *json_issuer(const struct ca_info_issuer *issuer) {
        json_t *out = json_ca_certificate(&issuer->cert);

        (void) json_object_set_new(out, "id", json_string(issuer->id));
        (void) json_object_set_new(out, "state",
                                   json_string(signer_issuer_state_name(issuer->state)));
        (void) json_object_set_new(out, "crl_url", json_string(issuer->crl_url));
        (void) json_object_set_new(out, "issuer_url", json_string(issuer->issuer_url));
        return out;
}

static json_t *json_constraint_list(const struct name_constraints *nc,
                                    enum constraints_list which) {
        json_t *list = json_array();
        char text[SAN_TEXT_MAX];
        enum san_type type;

        for (size_t i = 0; i < constraints_count(nc, which); i++) {
                const char *value = constraints_text(nc, which, i, &type, text, sizeof(text));

                (void) json_array_append_new(list,
                                             json_pack("{s:s, s:s}", "type",
                                                       name_type_name(SAN_BIT(type)), "value",
                                                       value));
        }
        return list;
}

static json_t *json_constraints(const struct name_constraints *nc) {
        CAD_AUTO(buffer_done) struct buffer words = { 0 };

        if (constraints_empty(nc))
                buffer_text(&words, "every name there is: this CA is not constrained");
        else
                constraints_describe(nc, &words);
        return json_pack("{s:o, s:o, s:s}", "permitted",
                         json_constraint_list(nc, CONSTRAINTS_PERMITTED), "excluded",
                         json_constraint_list(nc, CONSTRAINTS_EXCLUDED), "text",
                         buffer_string(&words));
}

void rest_ca(struct exchange *x) {
        const struct ca_info *ca = authority_ca(rest_authority(x));
        const struct ca_info_issuer *active = ca_info_active(ca);
        json_t *issuers = json_array();

        for (size_t i = 0; i < ca->issuer_count; i++)
                (void) json_array_append_new(issuers, json_issuer(&ca->issuers[i]));
        exchange_json(x, 200,
                      json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:{s:s, s:s}, s:b, s:b}", "name",
                                ca->name, "fingerprint", ca->id, "root",
                                json_ca_certificate(&ca->root), "issuers", issuers, "constraints",
                                json_constraints(active->constraints), "public_url", ca->public_url,
                                "urls", "crl", active->crl_url, "issuer", active->issuer_url,
                                "root_key_present", ca->root_key_present, "keys_encrypted",
                                ca->keys_encrypted));
}

void rest_root_pem(struct exchange *x) {
        exchange_reply(x, 200, pem_type, buffer_bytes(&authority_ca(rest_authority(x))->root_pem));
}

void rest_bundle_pem(struct exchange *x) {
        exchange_reply(x, 200, pem_type,
                       buffer_bytes(&authority_ca(rest_authority(x))->bundle_pem));
}

/* ---- intermediates ---- */

static struct rotation_request rotation_request_of(struct exchange *x) {
        return (struct rotation_request){ .principal = rest_principal(x),
                                          .source = exchange_peer(x)->text,
                                          .request_id = exchange_request_id(x) };
}

/* A worker waits for the signer: it happens once a year. */
void rest_ca_prepare(struct exchange *x) {
        const struct rotation_request rq = rotation_request_of(x);
        const struct ca_info_issuer *made;
        struct error err = { 0 };

        if (rest_read_nothing(x, &err) < 0 ||
            authority_prepare_standby(rest_authority(x), &rq, &made, &err) < 0)
                exchange_problem(x, &err);
        else
                exchange_json(x, 201, json_issuer(made));
}

void rest_ca_activate(struct exchange *x) {
        const struct rotation_request rq = rotation_request_of(x);
        const struct ca_info_issuer *active;
        struct error err = { 0 };

        if (rest_read_nothing(x, &err) < 0 ||
            authority_activate(rest_authority(x), &rq, exchange_param(x, "id"), &active, &err) < 0)
                exchange_problem(x, &err);
        else
                exchange_json(x, 200, json_issuer(active));
}

/* ---- profiles ---- */

static json_t *json_bits(uint32_t bits, const char *(*name)(uint32_t bit)) {
        json_t *list = json_array();

        for (uint32_t bit = 1; bit && bit <= bits; bit <<= 1)
                if (bits & bit)
                        (void) json_array_append_new(list, json_string(name(bit)));
        return list;
}

static json_t *json_profile(const struct profile *p) {
        char digest[2 * PROFILE_DIGEST_SIZE + 1];

        return json_pack(
                "{s:s, s:s, s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:s, s:b, s:b, s:s}",
                "name", p->name, "description", p->description, "name_types",
                json_bits(p->name_types, name_type_name), "key_types",
                json_bits(p->key_types, key_type_setting), "rsa_bits_min", (int) p->rsa_bits_min,
                "rsa_bits_max", (int) p->rsa_bits_max, "key_usage",
                json_bits(p->key_usage, key_usage_name), "extended_key_usage",
                json_bits(p->extended_key_usage, eku_name), "validity_default",
                json_duration(p->validity_default_s), "validity_max",
                json_duration(p->validity_max_s), "grace", json_duration(p->grace_s), "enrolment",
                profile_enrolment_name(p->enrolment), "wildcards", p->wildcards,
                "strict_extensions", p->strict_extensions, "digest",
                hex_encode(BYTES(p->digest, sizeof(p->digest)), digest));
}

void rest_profiles(struct exchange *x) {
        CAD_AUTO(profiles_ref_done)
        struct profiles_ref profiles = authority_profiles(rest_authority(x));
        json_t *list = json_array();

        for (size_t i = 0; i < profiles_count(profiles.set); i++)
                (void) json_array_append_new(list, json_profile(profiles_at(profiles.set, i)));
        exchange_json(x, 200, json_pack("{s:o}", "profiles", list));
}

/* ---- health ---- */

/* The public sees whether; who may read sees why. */
void rest_health(struct exchange *x) {
        bool detailed = rest_principal(x)->role >= ROLE_READER;
        json_t *checks = json_array();
        struct health health;

        authority_health(rest_authority(x), moment_now(), &health);
        for (size_t i = 0; i < health.count; i++)
                (void) json_array_append_new(
                        checks,
                        detailed ? json_pack("{s:s, s:s, s:s}", "name", health.checks[i].name,
                                             "status", health_state_name(health.checks[i].state),
                                             "detail", health.checks[i].detail)
                                 : json_pack("{s:s, s:s}", "name", health.checks[i].name, "status",
                                             health_state_name(health.checks[i].state)));
        exchange_json(x, health.state == HEALTH_FAILING ? 503 : 200,
                      json_pack("{s:s, s:s, s:o}", "status",
                                health.state == HEALTH_FAILING ? "failing" : "ok", "version",
                                CAD_VERSION, "checks", checks));
}
