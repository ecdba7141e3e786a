/*
 * Certificates: TBSCertificates written backwards from what was decided elsewhere, signatures put behind them.
 *
 * This file decides nothing: profile, names and validity were checked before. It must write the same octets for
 * the same wish, so that what comes back from the signer can be compared.
 */
#include "cert.h"

#include "dn.h"
#include "lib/base/moment.h"
#include "oid.h"

#define X509_V3 2 /* Version, RFC 5280 §4.1 */
#define BACKDATE_PART \
        4 /* of a life that was asked for: how far its beginning is set back at most */

/* ---- extensions; each function writes one Extension ---- */

static void put_extension(struct der_writer *w, struct bytes oid, bool critical,
                          size_t value_mark) {
        der_wrap(w, DER_OCTET_STRING, value_mark);
        if (critical)
                der_put_true(w);
        der_put(w, DER_OID, oid);
        der_wrap(w, DER_SEQUENCE, value_mark);
}

static void put_key_usage(struct der_writer *w, uint32_t usage) {
        size_t mark = der_mark(w);

        der_put_bits(w, usage);
        put_extension(w, OID_CE_KEY_USAGE, true, mark);
}

static void put_extended_key_usage(struct der_writer *w, uint32_t usage) {
        size_t mark = der_mark(w);

        for (uint32_t bit = EKU_TIME_STAMPING; bit; bit >>= 1)
                if (usage & bit)
                        der_put(w, DER_OID, eku_oid(bit));
        der_wrap(w, DER_SEQUENCE, mark);
        put_extension(w, OID_CE_EXTENDED_KEY_USAGE, false, mark);
}

static void put_basic_constraints(struct der_writer *w, bool is_ca, int path_length) {
        size_t mark = der_mark(w);

        if (is_ca && path_length >= 0)
                der_put_uint(w, (uint64_t) path_length);
        if (is_ca)
                der_put_true(w);
        der_wrap(w, DER_SEQUENCE, mark);
        put_extension(w, OID_CE_BASIC_CONSTRAINTS, true, mark);
}

static void put_subject_alt_name(struct der_writer *w, const struct san_list *names,
                                 bool critical) {
        size_t mark = der_mark(w);

        san_list_put_der(names, w);
        put_extension(w, OID_CE_SUBJECT_ALT_NAME, critical, mark);
}

static void put_subject_key_id(struct der_writer *w, struct bytes spki) {
        size_t mark = der_mark(w);
        uint8_t id[KEY_ID_SIZE];

        if (spki_key_id(spki, id) < 0) {
                w->failed = true;
                return;
        }
        der_put(w, DER_OCTET_STRING, BYTES(id, sizeof(id)));
        put_extension(w, OID_CE_SUBJECT_KEY_ID, false, mark);
}

static void put_authority_key_id(struct der_writer *w, const uint8_t id[KEY_ID_SIZE]) {
        size_t mark = der_mark(w);

        der_put(w, DER_CONTEXT(0), BYTES(id, KEY_ID_SIZE));
        der_wrap(w, DER_SEQUENCE, mark);
        put_extension(w, OID_CE_AUTHORITY_KEY_ID, false, mark);
}

/* One DistributionPoint with a fullName of one URI (RFC 5280 §4.2.1.13). */
static void put_crl_distribution_point(struct der_writer *w, const char *url) {
        size_t mark = der_mark(w);

        der_put(w, DER_CONTEXT(SAN_URI), bytes_of(url));
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark); /* fullName */
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark); /* distributionPoint */
        der_wrap(w, DER_SEQUENCE, mark);
        der_wrap(w, DER_SEQUENCE, mark);
        put_extension(w, OID_CE_CRL_DISTRIBUTION_POINTS, false, mark);
}

static void put_access_description(struct der_writer *w, struct bytes method, const char *url) {
        size_t mark = der_mark(w);

        der_put(w, DER_CONTEXT(SAN_URI), bytes_of(url));
        der_put(w, DER_OID, method);
        der_wrap(w, DER_SEQUENCE, mark);
}

static void put_authority_info_access(struct der_writer *w, const struct cert_issuer *issuer) {
        size_t mark = der_mark(w);

        if (issuer->issuer_url)
                put_access_description(w, OID_AD_CA_ISSUERS, issuer->issuer_url);
        if (issuer->ocsp_url)
                put_access_description(w, OID_AD_OCSP, issuer->ocsp_url);
        der_wrap(w, DER_SEQUENCE, mark);
        put_extension(w, OID_PE_AUTHORITY_INFO_ACCESS, false, mark);
}

static void put_name_constraints(struct der_writer *w, const struct name_constraints *constraints) {
        size_t mark = der_mark(w);

        constraints_put_der(constraints, w);
        put_extension(w, OID_CE_NAME_CONSTRAINTS, true, mark);
}

static void put_ocsp_nocheck(struct der_writer *w) {
        size_t mark = der_mark(w);

        der_put(w, DER_NULL, BYTES_NONE);
        put_extension(w, OID_PKIX_OCSP_NOCHECK, false, mark);
}

/* The extensions that point to the issuer, the same for all that it signs. */
static void put_issuer_extensions(struct der_writer *w, const struct cert_issuer *issuer) {
        if (issuer->issuer_url || issuer->ocsp_url)
                put_authority_info_access(w, issuer);
        if (issuer->crl_url)
                put_crl_distribution_point(w, issuer->crl_url);
        put_authority_key_id(w, issuer->key_id);
}

/* ---- TBSCertificate ---- */

static void put_validity(struct der_writer *w, const struct validity *validity) {
        size_t mark = der_mark(w);

        der_put_time(w, validity->not_after);
        der_put_time(w, validity->not_before);
        der_wrap(w, DER_SEQUENCE, mark);
}

/* Extensions since @mark → [3] EXPLICIT. */
static void wrap_extensions(struct der_writer *w, size_t mark) {
        der_wrap(w, DER_SEQUENCE, mark);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(3), mark);
}

/* What stands before subject and key; closes the TBSCertificate that began at @mark. */
static void put_head(struct der_writer *w, struct bytes issuer, struct bytes algorithm,
                     struct bytes serial, size_t mark) {
        size_t version;

        der_put_raw(w, issuer);
        der_put_raw(w, algorithm);
        der_put_unsigned(w, serial);
        version = der_mark(w);
        der_put_uint(w, X509_V3);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), version);
        der_wrap(w, DER_SEQUENCE, mark);
}

void cert_put_leaf(struct der_writer *w, const struct cert_issuer *issuer,
                   const struct cert_wish *wish) {
        size_t mark = der_mark(w);

        if (wish->profile->ocsp_nocheck)
                put_ocsp_nocheck(w);
        put_issuer_extensions(w, issuer);
        put_subject_key_id(w, wish->spki);
        put_subject_alt_name(w, wish->names, wish->common_name == NULL);
        put_extended_key_usage(w, wish->profile->extended_key_usage);
        put_key_usage(w, profile_key_usage(wish->profile, wish->key_type));
        put_basic_constraints(w, false, -1);
        wrap_extensions(w, mark);

        der_put_raw(w, wish->spki);
        dn_put(w, NULL, wish->common_name);
        put_validity(w, &wish->validity);
        put_head(w, issuer->subject, issuer->algorithm, wish->serial, mark);
}

void cert_put_ca(struct der_writer *w, const struct cert_issuer *issuer,
                 const struct ca_wish *wish) {
        size_t mark = der_mark(w);
        uint8_t subject_octets[512];
        struct der_writer subject;

        if (wish->constraints && !constraints_empty(wish->constraints))
                put_name_constraints(w, wish->constraints);
        if (!wish->self_signed)
                put_issuer_extensions(w, issuer);
        put_subject_key_id(w, wish->spki);
        put_key_usage(w, KU_KEY_CERT_SIGN | KU_CRL_SIGN);
        put_basic_constraints(w, true, wish->path_length);
        wrap_extensions(w, mark);

        der_put_raw(w, wish->spki);
        der_writer_init(&subject, subject_octets, sizeof(subject_octets));
        dn_put(&subject, wish->organization, wish->common_name);
        w->failed |= subject.failed;
        der_put_raw(w, der_writer_bytes(&subject));
        put_validity(w, &wish->validity);
        put_head(w, wish->self_signed ? der_writer_bytes(&subject) : issuer->subject,
                 issuer->algorithm, wish->serial, mark);
}

int cert_sign(const struct private_key *key, struct bytes tbs, struct buffer *ret,
              struct error *err) {
        uint8_t octets[CERT_MAX + SIGNATURE_MAX + 64], signature[SIGNATURE_MAX];
        struct der_writer w;
        size_t size;

        if (tbs.size == 0)
                return error_set(err, ERR_INTERNAL, "the certificate does not fit into %u bytes",
                                 CERT_MAX);
        if (private_key_sign(key, tbs, signature, &size, err) < 0)
                return -1;
        der_writer_init(&w, octets, sizeof(octets));
        der_put_bit_string(&w, BYTES(signature, size));
        der_put_raw(&w, private_key_algorithm(key));
        der_put_raw(&w, tbs);
        der_wrap(&w, DER_SEQUENCE, 0);
        if (w.failed)
                return error_set(err, ERR_INTERNAL, "the certificate does not fit into %u bytes",
                                 CERT_MAX);
        buffer_append(ret, der_writer_bytes(&w));
        return ret->failed ? error_no_memory(err) : 0;
}

/* ---- validity ---- */

/* Of a short life that was asked for, most is to be left: it is from now on (a profile's own is as the profile says). */
static int64_t back_s(const struct profile *profile, int64_t asked_s) {
        int64_t part_s = asked_s / BACKDATE_PART;

        return asked_s > 0 && part_s < profile->backdate_s ? part_s : profile->backdate_s;
}

int cert_validity(const struct profile *profile, int64_t now, int64_t not_before,
                  int64_t lifetime_s, const struct validity *issuer, struct validity *ret,
                  bool *ret_cut, struct error *err) {
        struct validity v;
        char asked[DURATION_TEXT_MAX], most[DURATION_TEXT_MAX], at[MOMENT_TEXT_MAX];
        int64_t begin = now - back_s(profile, lifetime_s);

        if (lifetime_s == 0)
                lifetime_s = profile->validity_default_s;
        if (lifetime_s < 60 || lifetime_s > profile->validity_max_s)
                return error_set_field(
                        err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                        "a validity of %s was asked for: the profile '%s' gives from 60s to %s",
                        duration_format(lifetime_s, asked), profile->name,
                        duration_format(profile->validity_max_s, most));
        /* a start in the past would make an age that the certificate does not have; one far off would outlive its key */
        if (not_before &&
            (not_before < now - profile->backdate_s - 60 ||
             not_before > now + profile->validity_max_s))
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "not_before",
                                       "not_before is %s: it may be from %s before now to %s after",
                                       moment_format(not_before < 0 || not_before > MOMENT_LAST
                                                             ? 0
                                                             : not_before,
                                                     at),
                                       duration_format(profile->backdate_s, asked),
                                       duration_format(profile->validity_max_s, most));
        v.not_before = not_before ? not_before : begin;
        if (v.not_before < issuer->not_before)
                v.not_before = issuer->not_before;
        v.not_after = v.not_before + lifetime_s -
                1; /* both ends are inclusive: RFC 5280 §4.1.2.5 */
        *ret_cut = v.not_after > issuer->not_after;
        if (*ret_cut)
                v.not_after = issuer->not_after;
        if (v.not_after <= v.not_before || v.not_after <= now)
                return error_set_field(
                        err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                        "the certificate would end at %s, before it begins or before now: the issuer ends "
                        "then, or not_before is too early",
                        moment_format(v.not_after < 0 ? 0 : v.not_after, at));
        *ret = v;
        return 0;
}

bool cert_is_self_signed(const struct cert *cert) {
        return bytes_equal(cert->issuer, cert->subject);
}

void cert_fingerprint(struct bytes der, uint8_t ret[SHA256_SIZE]) {
        sha256(der, ret);
}
