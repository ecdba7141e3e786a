/*
 * EST: what all its answers share, and those that need no right.
 */
#include "daemon/est/est.h"

#include "lib/base/text.h"
#include "lib/pki/pkcs7.h"

static const char text_plain[] = "text/plain; charset=utf-8";

struct authority *est_authority(const struct exchange *x) {
        return *(struct authority *const *) exchange_context(x);
}

const struct principal *est_principal(const struct exchange *x) {
        static const struct principal anonymous = { .role = ROLE_PUBLIC, .text = "anonymous" };
        const struct principal *principal = exchange_principal(x);

        return principal ? principal : &anonymous;
}

/* ---- what is wrong ---- */

static void append_problem(struct buffer *out, const struct error *err, const char *request_id) {
        buffer_format(out, "%s: %s\n", error_title(err->code), problem_detail(err));
        if (err->field[0])
                buffer_format(out, "field: %s\n", err->field);
        if (request_id)
                buffer_format(out, "request_id: %s\n", request_id);
}

const struct problem_form est_problem = {
        .content_type = text_plain,
        /* the words that a body would have: Bouncy Castle's client cannot step over one */
        .challenge =
                "Basic realm=\"cad: any user, the password is a token or a pairing code; an empty one asks for approval\"",
        .challenge_bare = true,
        .append = append_problem,
};

/* ---- labels ---- */

int est_label(const struct exchange *x, const char **ret, struct error *err) {
        CAD_AUTO(profiles_ref_done)
        struct profiles_ref profiles = authority_profiles(est_authority(x));
        const char *label = exchange_param(x, "label");
        const struct profile *profile = label ? profiles_find(profiles.set, label, NULL) : NULL;

        if (label && (!profile || profile->enrolment == ENROLMENT_INTERNAL))
                return error_set(
                        err, ERR_NOT_FOUND,
                        "there is no EST label '%.40s': a label is the name of a profile, and GET /v1/profiles lists them",
                        label);
        *ret = label;
        return 0;
}

/* ---- certificates ---- */

/* RFC 8951 §3 has base64 without saying so in a header. Clients of RFC 7030 want to be told, and others must not mind. */
void est_reply_certificates(struct exchange *x, const struct bytes *certificates, size_t count) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        CAD_AUTO(buffer_done) struct buffer out = { 0 };

        pkcs7_append_certificates(&der, certificates, count);
        base64_append(&out, buffer_bytes(&der), 0);
        out.failed = out.failed || der.failed;
        exchange_reply_take(x, 200, "application/pkcs7-mime; smime-type=certs-only", &out);
        exchange_reply_header(x, "Content-Transfer-Encoding", "base64");
}

void est_cacerts(struct exchange *x) {
        const struct ca_info *ca = authority_ca(est_authority(x));
        struct bytes certificates[1 + SIGNER_ISSUERS_MAX] = { ca->root.der };
        const char *label;
        struct error err = { 0 };

        if (est_label(x, &label, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        for (size_t i = 0; i < ca->issuer_count; i++)
                certificates[1 + i] = ca->issuers[i].cert.der;
        est_reply_certificates(x, certificates, 1 + ca->issuer_count);
}

/* RFC 7030 §4.5.2: 204 where there is nothing to ask for. */
void est_csrattrs(struct exchange *x) {
        const char *label;
        struct error err = { 0 };

        if (est_label(x, &label, &err) < 0)
                exchange_problem(x, &err);
        else
                exchange_reply(x, 204, NULL, BYTES_NONE);
}

/* ---- what is not there ---- */

/* A key is made by who uses it (CA/B BR §6.1.1.3 for servers); CMC is a protocol of its own. RFC 7030 §4.3, §4.4: both are optional. */
void est_not_offered(struct exchange *x) {
        static const char text[] =
                "Not implemented: serverkeygen and fullcmc are not offered by this CA. Make the key where it is used, and send "
                "its CSR to simpleenroll.\n";

        exchange_reply(x, 501, text_plain, BYTES_LITERAL(text));
}
