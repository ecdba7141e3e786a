/*
 * Signer policy: may this certificate be made with this key, now?
 *
 * Pure decisions over decoded requests: no sockets, no key material. The network side may be hostile, so
 * whatever it has already checked is checked again here.
 */
#include "daemon/signer/policy.h"

#include "lib/base/moment.h"
#include "lib/base/text.h"

#define CLOCK_SKEW_S 60 /* between cad's reading of the clock and ours */

void policy_grant_done(struct policy_grant *grant) {
        san_list_done(&grant->names);
}

static int check_issuer(const struct ca *ca, const struct sign_issue *issue, int64_t now_s,
                        const struct ca_issuer **ret, struct error *err) {
        const struct ca_issuer *issuer = ca_issuer_find(ca, issue->issuer);
        char until[MOMENT_TEXT_MAX];

        if (!issuer || (issuer->state != SIGNER_ISSUER_ACTIVE && now_s > issuer->signs_until_s))
                return error_set(err, ERR_CA_MISSING, "there is no active issuer '%s'",
                                 issue->issuer);
        if (now_s > issuer->cert.validity.not_after)
                return error_set(err, ERR_CA_EXPIRED,
                                 "the issuer %s has expired at %s: make another one the active one",
                                 issuer->id, moment_format(issuer->cert.validity.not_after, until));
        *ret = issuer;
        return 0;
}

static int check_profile(const struct profile_set *profiles, const struct sign_issue *issue,
                         const struct profile **ret, struct error *err) {
        const struct profile *profile = profiles_find(profiles, issue->profile, err);

        if (!profile)
                return -1;
        if (memcmp(profile->digest, issue->profile_digest, sizeof(profile->digest)) != 0)
                return error_set(err, ERR_PROFILE_STALE,
                                 "the profile '%s' differs between cad and cad-signer: reload both",
                                 profile->name);
        *ret = profile;
        return 0;
}

static int check_key(const struct ca *ca, const struct profile *profile, struct bytes spki,
                     enum key_type *ret_type, struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;

        if (ca_owns_key(ca, spki))
                return error_set_field(
                        err, ERR_KEY_RESERVED, "csr.key",
                        "the key is one of this CA's own: make a key of your own for the certificate");
        if (public_key_from_spki(spki, profile->rsa_bits_max, &key, err) < 0 ||
            profile_check_key(profile, key, err) < 0)
                return error_name_field(err, "csr.key");
        *ret_type = public_key_type(key);
        return 0;
}

/* A CN is only another spelling of one of the names: verifiers hold some of them against the constraints (threats.md R-34). */
static int check_common_name(const struct sign_issue *issue, const struct san_list *names,
                             struct error *err) {
        char text[SAN_TEXT_MAX];

        if (!issue->common_name[0])
                return 0;
        for (size_t i = 0; i < names->count; i++)
                if (names->items[i].type != SAN_IP &&
                    strcmp(san_text(&names->items[i], text, sizeof(text)), issue->common_name) == 0)
                        return 0;
        return error_set_field(err, ERR_CSR_SUBJECT, "csr.subject.CN",
                               "the common name '%s' is none of the DNS names", issue->common_name);
}

static int check_validity(const struct profile *profile, const struct ca_issuer *issuer,
                          const struct validity *v, int64_t now_s, struct error *err) {
        const struct validity *bounds = &issuer->cert.validity;
        char text[DURATION_TEXT_MAX];

        if (v->not_before < 0 || v->not_after > MOMENT_LAST || v->not_before > v->not_after)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                                       "the validity ends before it begins");
        if (v->not_after - v->not_before >= profile->validity_max_s)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                                       "the validity is longer than the %s of the profile '%s'",
                                       duration_format(profile->validity_max_s, text),
                                       profile->name);
        if (v->not_before < now_s - profile->backdate_s - CLOCK_SKEW_S ||
            v->not_before > now_s + profile->validity_max_s || v->not_after <= now_s)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "not_before",
                                       "the validity begins too far from now, or is over already");
        if (v->not_before < bounds->not_before || v->not_after > bounds->not_after)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                                       "the validity is not inside that of the issuer %s",
                                       issuer->id);
        return 0;
}

int policy_check(const struct ca *ca, const struct profile_set *profiles,
                 const struct sign_issue *issue, int64_t now_s, struct policy_grant *ret,
                 struct error *err) {
        struct policy_grant grant = { 0 };
        enum key_type type = KEY_TYPE_COUNT;

        if (check_issuer(ca, issue, now_s, &grant.issuer, err) < 0 ||
            check_profile(profiles, issue, &grant.profile, err) < 0 ||
            check_key(ca, grant.profile, issue->spki, &type, err) < 0 ||
            check_validity(grant.profile, grant.issuer, &issue->validity, now_s, err) < 0)
                return -1;
        if (san_list_from_der(&grant.names, issue->names, "names", err) < 0 ||
            profile_check_names(grant.profile, &grant.names, "names", err) < 0 ||
            constraints_check_list(grant.issuer->constraints, &grant.names, "names", err) < 0 ||
            (grant.issuer->root_constraints &&
             constraints_check_list(grant.issuer->root_constraints, &grant.names, "names", err) <
                     0) ||
            check_common_name(issue, &grant.names, err) < 0) {
                policy_grant_done(&grant);
                return -1;
        }
        *ret = grant;
        memcpy(ret->common_name, issue->common_name, sizeof(ret->common_name));
        ret->wish = (struct cert_wish){
                .profile = grant.profile,
                .spki = issue->spki,
                .key_type = type,
                .common_name = ret->common_name[0] ? ret->common_name : NULL,
                .names = &ret->names,
                .validity = issue->validity,
        };
        return 0;
}
