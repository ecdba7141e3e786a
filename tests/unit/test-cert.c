/*
 * Certificates: what is written, GnuTLS and certtool read as it was meant; what is read, is read strictly; and no single
 * difference between what was asked and what came passes.
 */
#include "signer-fixture.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "lib/pki/cert.h"
#include "lib/pki/dn.h"

#define NOW INT64_C(1795290000) /* 2026-11-21T19:40:00Z */

static struct private_key *issuer_keys[KEY_TYPE_COUNT];
static struct buffer spkis[KEY_TYPE_COUNT];
static struct profile_set *profiles;
static uint8_t subject_octets[256];
static struct bytes subject;

static void set_up(void) {
        struct error err = { 0 };
        struct der_writer w;

        for (enum key_type type = 0; type < KEY_TYPE_COUNT; type++) {
                ck_ok(private_key_generate(type, 2048, &issuer_keys[type], &err), err);
                key_spki(type, 2048, &spkis[type]);
        }
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
        der_writer_init(&w, subject_octets, sizeof(subject_octets));
        dn_put(&w, "Home", "Home Intermediate 1");
        subject = der_writer_bytes(&w);
}

static void tear_down(void) {
        for (enum key_type type = 0; type < KEY_TYPE_COUNT; type++) {
                issuer_keys[type] = private_key_free(issuer_keys[type]);
                buffer_done(&spkis[type]);
        }
        profiles = profiles_free(profiles);
}

/* ---- one leaf and everything that it is made of ---- */

struct leaf {
        struct cert_issuer issuer;
        struct cert_wish wish;
        struct san_list names;
        struct buffer der;
        struct cert cert;
};

static void leaf_done(struct leaf *l) {
        san_list_done(&l->names);
        buffer_done(&l->der);
}
CAD_CLEANUP_DONE(struct leaf, leaf_done)

static void leaf_fill(struct leaf *l, const char *profile, enum key_type type, const char *name,
                      const char *common_name) {
        struct error err = { 0 };

        *l = (struct leaf){
                .issuer = { .subject = subject,
                            .key_id = { 1, 2, 3 },
                            .algorithm = private_key_algorithm(issuer_keys[0]),
                            .crl_url = "http://ca.lan/crl/int-1.crl",
                            .issuer_url = "http://ca.lan/ca/int-1.crt" },
                .wish = { .profile = profiles_find(profiles, profile, NULL),
                          .serial = BYTES_LITERAL("\x10\x02\x03\x04\x05\x06\x07\x08"),
                          .spki = buffer_bytes(&spkis[type]),
                          .key_type = type,
                          .common_name = common_name,
                          .validity = { NOW, NOW + 90 * DAY - 1 } },
        };
        ck_ok(san_list_add_text(&l->names, name, &err), err);
        l->wish.names = &l->names;
}

static void leaf_sign(struct leaf *l, enum key_type by) {
        static uint8_t octets[CERT_MAX];
        struct error err = { 0 };
        struct der_writer w;

        l->issuer.algorithm = private_key_algorithm(issuer_keys[by]);
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &l->issuer, &l->wish);
        buffer_done(&l->der);
        ck_ok(cert_sign(issuer_keys[by], der_writer_bytes(&w), &l->der, &err), err);
        ck_ok(cert_read(buffer_bytes(&l->der), &l->cert, &err), err);
}

static gnutls_x509_crt_t by_gnutls(struct bytes der) {
        gnutls_x509_crt_t crt;
        gnutls_datum_t datum = { (unsigned char *) (uintptr_t) der.data, (unsigned) der.size };

        ck_assert_int_eq(gnutls_x509_crt_init(&crt), 0);
        ck_assert_msg(gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER) == 0,
                      "GnuTLS does not read it");
        return crt;
}

/* certtool is the third reader: it must take the certificate and say @words of it. */
static void check_certtool(struct bytes der, const char *words) {
        struct scratch s;
        char command[256], got[16384];
        struct error err = { 0 };
        FILE *out;
        size_t n;

        scratch_open(&s);
        ck_ok(file_replace(s.fd, "c.der", der, 0600, &err), err);
        (void) snprintf(command, sizeof(command),
                        "certtool --inder --certificate-info --infile %s/c.der 2>&1", s.path);
        out = popen(command, "r");
        ck_assert_ptr_nonnull(out);
        n = fread(got, 1, sizeof(got) - 1, out);
        got[n] = '\0';
        ck_assert_msg(pclose(out) == 0, "certtool: %s", got);
        ck_assert_msg(strstr(got, words), "'%s' is not in what certtool says: %s", words, got);
        scratch_close(&s);
}

/* ---- written and read ---- */

START_TEST(a_leaf_of_each_profile_says_what_the_profile_says) {
        const struct profile *profile = profiles_at(profiles, (size_t) _i);
        const char *name = profile->name_types & SAN_BIT(SAN_DNS) ? "nas.lan" : "a@home.arpa";
        gnutls_x509_crt_t crt;
        unsigned usage = 0, critical = 0, ca = 1, count = 0;
        int path = 0;

        for (enum key_type type = 0; type < KEY_TYPE_COUNT; type++) {
                CAD_AUTO(leaf_done) struct leaf l;
                char oid[128];
                size_t size = sizeof(oid);
                unsigned want = 0;

                leaf_fill(&l, profile->name, type, name, NULL);
                leaf_sign(&l, KEY_ECDSA_P256);
                ck_assert(l.cert.san_critical && !l.cert.is_ca && l.cert.has_basic_constraints &&
                          !l.cert.unknown_critical);
                ck_assert_uint_eq(l.cert.key_usage, profile_key_usage(profile, type));
                ck_assert_int_eq(l.cert.ocsp_nocheck, profile->ocsp_nocheck);
                ck_assert_uint_eq(l.cert.extension_count, 8u + profile->ocsp_nocheck);
                crt = by_gnutls(l.cert.der);
                ck_assert_int_eq(gnutls_x509_crt_get_version(crt), 3);
                ck_assert_int_eq(gnutls_x509_crt_get_basic_constraints(crt, &critical, &ca, &path),
                                 0);
                ck_assert(critical && !ca);
                ck_assert_int_eq(gnutls_x509_crt_get_key_usage(crt, &usage, &critical), 0);
                ck_assert_uint_eq(critical, 1);
                ck_assert_uint_eq(!!(usage & GNUTLS_KEY_KEY_ENCIPHERMENT),
                                  type == KEY_RSA && (profile->key_usage & KU_KEY_ENCIPHERMENT));
                ck_assert(!(usage & (GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN)));
                for (uint32_t bit = 1; bit <= EKU_TIME_STAMPING; bit <<= 1)
                        want += !!(profile->extended_key_usage & bit);
                for (count = 0;
                     gnutls_x509_crt_get_key_purpose_oid(crt, count, oid, &size, &critical) == 0;
                     count++) {
                        size = sizeof(oid);
                        ck_assert_uint_eq(critical, 0);
                }
                ck_assert_uint_eq(count, want);
                ck_assert_int_eq((int64_t) gnutls_x509_crt_get_activation_time(crt), NOW);
                ck_assert_int_eq((int64_t) gnutls_x509_crt_get_expiration_time(crt),
                                 NOW + 90 * DAY - 1);
                gnutls_x509_crt_deinit(crt);
        }
}
END_TEST

START_TEST(a_leaf_signed_by_each_key_type_verifies) {
        for (enum key_type by = 0; by < KEY_TYPE_COUNT; by++) {
                CAD_AUTO(public_key_free) struct public_key *key = NULL;
                CAD_AUTO(buffer_done) struct buffer spki = { 0 };
                CAD_AUTO(leaf_done) struct leaf l;
                struct error err = { 0 };

                leaf_fill(&l, "server", KEY_ECDSA_P256, "nas.lan", "nas.lan");
                leaf_sign(&l, by);
                ck_ok(private_key_spki(issuer_keys[by], &spki, &err), err);
                ck_ok(public_key_from_spki(buffer_bytes(&spki), RSA_BITS_MAX, &key, &err), err);
                ck_ok(public_key_verify(key, l.cert.algorithm, l.cert.tbs, l.cert.signature, &err),
                      err);
                check_certtool(l.cert.der, "DNSname: nas.lan");
                ck_assert(!l.cert.san_critical);
        }
}
END_TEST

START_TEST(the_same_wish_gives_the_same_octets) {
        CAD_AUTO(leaf_done) struct leaf a;
        CAD_AUTO(leaf_done) struct leaf b;

        leaf_fill(&a, "server", KEY_RSA, "nas.lan", "nas.lan");
        leaf_fill(&b, "server", KEY_RSA, "nas.lan", "nas.lan");
        leaf_sign(&a, KEY_ED25519);
        leaf_sign(&b, KEY_ED25519);
        ck_assert(bytes_equal(a.cert.der, b.cert.der));
}
END_TEST

START_TEST(the_largest_leaf_fits) {
        CAD_AUTO(leaf_done) struct leaf l;
        struct error err = { 0 };
        char name[256];

        leaf_fill(&l, "server", KEY_RSA, "nas.lan", NULL);
        san_list_done(&l.names);
        for (int i = 0; i < SAN_COUNT_MAX; i++) {
                (void) snprintf(name, sizeof(name), "%063d.%063d.%063d.%053d.lan", i, i, i, i);
                for (char *p = name; *p; p++)
                        *p = *p == '0' ? 'a' : *p;
                ck_ok(san_list_add_text(&l.names, name, &err), err);
        }
        leaf_sign(&l, KEY_RSA);
        ck_assert_uint_le(l.cert.der.size, CERT_MAX);
        gnutls_x509_crt_deinit(by_gnutls(l.cert.der));
}
END_TEST

static const struct {
        const char *why;
        int64_t t;
        bool generalized;
} times[] = {
        { "1970", 0, false },
        { "the last second of UTCTime", INT64_C(2524607999), false },
        { "the first of GeneralizedTime", INT64_C(2524608000), true },
        { "2038", INT64_C(2147483648), false },
        { "a leap day", INT64_C(1835395200), false },
        { "the last of all", MOMENT_LAST, true },
};

START_TEST(times_are_written_as_rfc5280_wants) { /* §4.1.2.5 */
        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
                CAD_AUTO(leaf_done) struct leaf l;
                struct der_reader tbs, validity;
                gnutls_x509_crt_t crt;

                leaf_fill(&l, "server", KEY_ECDSA_P256, "nas.lan", NULL);
                l.wish.validity = (struct validity){ times[i].t, times[i].t };
                leaf_sign(&l, KEY_ECDSA_P256);
                ck_assert_int_eq(l.cert.validity.not_before, times[i].t);
                ck_assert_int_eq(l.cert.validity.not_after, times[i].t);
                tbs = der_reader(l.cert.tbs);
                tbs = der_enter(&tbs, DER_SEQUENCE);
                for (int skip = 0; skip < 4; skip++)
                        (void) der_get_element(&tbs, 0);
                validity = der_enter(&tbs, DER_SEQUENCE);
                ck_assert_msg(der_next_is(&validity,
                                          times[i].generalized ? DER_GENERALIZED_TIME
                                                               : DER_UTC_TIME),
                              "%s", times[i].why);
                crt = by_gnutls(l.cert.der);
                ck_assert_msg((int64_t) gnutls_x509_crt_get_expiration_time(crt) == times[i].t,
                              "%s", times[i].why);
                gnutls_x509_crt_deinit(crt);
        }
}
END_TEST

/* ---- CA certificates ---- */

START_TEST(a_ca_certificate_is_read_as_one_by_all) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = constraints_new();
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct error err = { 0 };
        struct cert_issuer issuer = { .subject = subject,
                                      .algorithm = private_key_algorithm(issuer_keys[0]),
                                      .crl_url = "http://ca.lan/crl/root.crl" };
        struct ca_wish wish = { .serial = BYTES_LITERAL("\x40\x01"),
                                .organization = "Home",
                                .common_name = "Home Root",
                                .constraints = nc,
                                .path_length = _i ? 0 : -1,
                                .self_signed = !_i,
                                .validity = { NOW, NOW + 7300 * DAY - 1 } };
        static uint8_t octets[CERT_MAX];
        struct der_writer w;
        struct cert cert;
        gnutls_x509_crt_t crt;
        unsigned critical = 0, ca = 0;
        int path = 7;

        ck_ok(constraints_add_defaults(nc, &err), err);
        ck_ok(constraints_close(nc, &err), err);
        ck_ok(private_key_spki(issuer_keys[0], &spki, &err), err);
        wish.spki = buffer_bytes(&spki);
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_ca(&w, &issuer, &wish);
        ck_ok(cert_sign(issuer_keys[0], der_writer_bytes(&w), &der, &err), err);
        ck_ok(cert_read(buffer_bytes(&der), &cert, &err), err);
        ck_assert(cert.is_ca && cert.path_length == wish.path_length &&
                  cert.key_usage == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
        ck_assert_int_eq(cert_is_self_signed(&cert), wish.self_signed);
        ck_assert_int_eq(cert.crl_distribution_points.size != 0, !wish.self_signed);
        ck_assert_int_eq(cert.authority_key_id.size, wish.self_signed ? 0 : KEY_ID_SIZE);
        crt = by_gnutls(cert.der);
        ck_assert_int_eq(gnutls_x509_crt_get_basic_constraints(crt, &critical, &ca, &path),
                         1); /* it gives the CA bit */
        ck_assert(critical && ca && path == wish.path_length);
        gnutls_x509_crt_deinit(crt);
        check_certtool(cert.der, "Name Constraints (critical)");
}
END_TEST

/* ---- strict reading ---- */

START_TEST(each_prefix_and_any_octet_more_are_refused) {
        CAD_AUTO(leaf_done) struct leaf l;
        CAD_AUTO(buffer_done) struct buffer longer = { 0 };
        struct cert ret, untouched;
        struct error err;

        leaf_fill(&l, "server", KEY_ECDSA_P256, "nas.lan", "nas.lan");
        leaf_sign(&l, KEY_ECDSA_P256);
        memset(&ret, 0xa5, sizeof(ret));
        memcpy(&untouched, &ret, sizeof(ret));
        for (size_t size = 0; size < l.der.size; size++)
                ck_refused(cert_read(BYTES(l.der.data, size), &ret, &err), err, ERR_CSR_MALFORMED);
        buffer_append(&longer, buffer_bytes(&l.der));
        buffer_append(&longer, BYTES_LITERAL("\0"));
        ck_refused(cert_read(buffer_bytes(&longer), &ret, &err), err, ERR_CSR_MALFORMED);
        ck_assert_int_eq(memcmp(&ret, &untouched, sizeof(ret)), 0);
}
END_TEST

/* One octet turned over: refused, or a certificate that the comparison refuses but for the signature. */
START_TEST(no_octet_of_a_leaf_can_change_unseen) {
        CAD_AUTO(leaf_done) struct leaf l;
        struct error err = { 0 };
        size_t tbs_end;

        leaf_fill(&l, "server", KEY_ECDSA_P256, "nas.lan", "nas.lan");
        leaf_sign(&l, KEY_ECDSA_P256);
        ck_ok(cert_compare(&l.cert, &l.issuer, &l.wish, &err), err);
        tbs_end = (size_t) (l.cert.tbs.data + l.cert.tbs.size - l.der.data) + l.cert.algorithm.size;
        for (size_t i = 0; i < tbs_end; i++) {
                for (int bit = 0; bit < 8; bit++) {
                        struct cert cert;

                        l.der.data[i] ^= (uint8_t) (1 << bit);
                        if (cert_read(buffer_bytes(&l.der), &cert, &err) == 0)
                                ck_refused(cert_compare(&cert, &l.issuer, &l.wish, &err), err,
                                           ERR_SIGNER_WRONG);
                        l.der.data[i] ^= (uint8_t) (1 << bit);
                }
        }
}
END_TEST

/* ---- comparison ---- */

static void other_issuer(struct leaf *l) {
        l->issuer.subject = BYTES_LITERAL("\x30\x00");
}
static void other_key_id(struct leaf *l) {
        l->issuer.key_id[19] ^= 1;
}
static void other_algorithm(struct leaf *l) {
        l->issuer.algorithm = private_key_algorithm(issuer_keys[KEY_RSA]);
}
static void other_crl_url(struct leaf *l) {
        l->issuer.crl_url = "http://ca.lan/crl/int-2.crl";
}
static void no_crl_url(struct leaf *l) {
        l->issuer.crl_url = NULL;
}
static void other_issuer_url(struct leaf *l) {
        l->issuer.issuer_url = "http://ca.lan/ca/int-2.crt";
}
static void ocsp_url(struct leaf *l) {
        l->issuer.ocsp_url = "http://ca.lan/ocsp";
}
static void other_serial(struct leaf *l) {
        l->wish.serial = BYTES_LITERAL("\x10\x02\x03\x04\x05\x06\x07\x09");
}
static void other_key(struct leaf *l) {
        l->wish.spki = buffer_bytes(&spkis[KEY_ECDSA_P384]);
}
static void other_common_name(struct leaf *l) {
        l->wish.common_name = "nas2.lan";
}
static void no_common_name(struct leaf *l) {
        l->wish.common_name = NULL;
}
static void begins_later(struct leaf *l) {
        l->wish.validity.not_before++;
}
static void ends_later(struct leaf *l) {
        l->wish.validity.not_after++;
}
static void ends_sooner(struct leaf *l) {
        l->wish.validity.not_after--;
}
static void other_profile(struct leaf *l) {
        l->wish.profile = profiles_find(profiles, "client", NULL);
}
static void more_usages(struct leaf *l) {
        l->wish.profile = profiles_find(profiles, "peer", NULL);
}
static void nocheck(struct leaf *l) {
        l->wish.profile = profiles_find(profiles, "ocsp", NULL);
}
static void rsa_usages(struct leaf *l) {
        l->wish.key_type = KEY_RSA;
}
static void one_name_more(struct leaf *l) {
        ck_assert_int_eq(san_list_add_text(&l->names, "b.lan", NULL), 0);
}
static void other_name(struct leaf *l) {
        san_list_done(&l->names);
        ck_assert_int_eq(san_list_add_text(&l->names, "nas2.lan", NULL), 0);
}

static const struct {
        const char *why;
        void (*change)(struct leaf *l);
        const char *says;
} differences[] = {
        { "issuer", other_issuer, "issuer" },
        { "authority key identifier", other_key_id, "issuer" },
        { "algorithm", other_algorithm, "issuer" },
        { "CRL URL", other_crl_url, "extensions" },
        { "no CRL URL", no_crl_url, "extensions" },
        { "issuer URL", other_issuer_url, "extensions" },
        { "OCSP URL", ocsp_url, "extensions" },
        { "serial", other_serial, "serial" },
        { "key", other_key, "public key" },
        { "CN", other_common_name, "names" },
        { "no CN", no_common_name, "names" },
        { "begins later", begins_later, "validity" },
        { "ends later", ends_later, "validity" },
        { "ends sooner", ends_sooner, "validity" },
        { "EKU", other_profile, "extensions" },
        { "one EKU more", more_usages, "extensions" },
        { "nocheck", nocheck, "extensions" },
        { "key usages", rsa_usages, "extensions" },
        { "a name more", one_name_more, "names" },
        { "another name", other_name, "names" },
};

START_TEST(each_single_difference_is_found) {
        CAD_AUTO(leaf_done) struct leaf l;
        struct error err = { 0 };

        leaf_fill(&l, "server", KEY_ECDSA_P256, "nas.lan", "nas.lan");
        leaf_sign(&l, KEY_ECDSA_P256);
        ck_ok(cert_compare(&l.cert, &l.issuer, &l.wish, &err), err);
        differences[_i].change(&l);
        ck_refused(cert_compare(&l.cert, &l.issuer, &l.wish, &err), err, ERR_SIGNER_WRONG);
        ck_assert_msg(strstr(err.text, differences[_i].says), "%s: %s", differences[_i].why,
                      err.text);
}
END_TEST

START_TEST(without_a_serial_asked_for_its_form_is_looked_at) {
        static const struct {
                const char *why;
                struct bytes serial;
                bool good;
        } rows[] = {
                { "as the signer makes them",
                  BYTES("\x10\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22", 19), true },
                { "20 octets", BYTES("\x7f\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23", 20),
                  true },
                { "21 octets",
                  BYTES("\x10\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24", 21), false },
                { "20 octets with the top bit",
                  BYTES("\x80\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23", 20), false },
                { "7 octets", BYTES("\x10\1\2\3\4\5\6", 7), false },
                { "zero", BYTES("\0", 1), false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CAD_AUTO(leaf_done) struct leaf l;

                leaf_fill(&l, "server", KEY_ECDSA_P256, "nas.lan", NULL);
                l.wish.serial = rows[i].serial;
                leaf_sign(&l, KEY_ECDSA_P256);
                l.wish.serial = BYTES_NONE;
                ck_assert_msg((cert_compare(&l.cert, &l.issuer, &l.wish, NULL) == 0) ==
                                      rows[i].good,
                              "%s", rows[i].why);
        }
}
END_TEST

START_TEST(a_tbs_that_does_not_fit_is_not_signed) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        CAD_AUTO(leaf_done) struct leaf l;
        uint8_t octets[64];
        struct error err;
        struct der_writer w;

        leaf_fill(&l, "server", KEY_ECDSA_P256, "nas.lan", NULL);
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &l.issuer, &l.wish);
        ck_refused(cert_sign(issuer_keys[0], der_writer_bytes(&w), &der, &err), err, ERR_INTERNAL);
        ck_assert_uint_eq(der.size, 0);
}
END_TEST

/* ---- validity ---- */

START_TEST(a_validity_is_as_long_as_it_says_to_the_second) { /* threats.md R-17 */
        const struct validity issuer = { 0, MOMENT_LAST };

        for (size_t i = 0; i < profiles_count(profiles); i++) {
                const struct profile *profile = profiles_at(profiles, i);
                const int64_t lives[] = { 0, 60, DAY, profile->validity_default_s,
                                          profile->validity_max_s };

                for (size_t k = 0; k < ARRAY_SIZE(lives); k++) {
                        int64_t life = lives[k] ? lives[k] : profile->validity_default_s;
                        struct error err = { 0 };
                        struct validity v;
                        bool cut = true;
                        int rc = cert_validity(profile, NOW, 0, lives[k], &issuer, &v, &cut, &err);

                        if (life > profile->validity_max_s) {
                                ck_assert_int_eq(rc, -1);
                                continue;
                        }
                        ck_ok(rc, err);
                        ck_assert_int_eq(v.not_after - v.not_before + 1, life);
                        ck_assert_int_eq(v.not_before,
                                         NOW - (lives[k] == 60 ? 15 : profile->backdate_s));
                        ck_assert(!cut);
                }
        }
}
END_TEST

static const struct {
        const char *why;
        int64_t not_before, lifetime_s; /* not_before relative to NOW, 0: not asked for */
        struct validity issuer;         /* relative to NOW */
        bool good, cut;
        struct validity got; /* relative to NOW */
} choices[] = {
        { "the default", 0, 0, { -DAY, 5000 * DAY }, true, false, { -3600, -3600 + 90 * DAY - 1 } },
        { "a second under a minute", 0, 59, { -DAY, 5000 * DAY }, false, false, { 0, 0 } },
        { "negative", 0, -DAY, { -DAY, 5000 * DAY }, false, false, { 0, 0 } },
        { "a minute is set back by a quarter, not by an hour",
          0,
          60,
          { -DAY, 5000 * DAY },
          true,
          false,
          { -15, 44 } },
        { "so is an hour", 0, 3600, { -DAY, 5000 * DAY }, true, false, { -900, 2699 } },
        { "four hours by the hour",
          0,
          4 * 3600,
          { -DAY, 5000 * DAY },
          true,
          false,
          { -3600, 3 * 3600 - 1 } },
        { "a minute from now", 10, 60, { -DAY, 5000 * DAY }, true, false, { 10, 69 } },
        { "the most",
          0,
          397 * DAY,
          { -DAY, 5000 * DAY },
          true,
          false,
          { -3600, -3600 + 397 * DAY - 1 } },
        { "a second more", 0, 397 * DAY + 1, { -DAY, 5000 * DAY }, false, false, { 0, 0 } },
        { "a start that is set back as far as may be",
          -3660,
          DAY,
          { -DAY, 5000 * DAY },
          true,
          false,
          { -3660, -3660 + DAY - 1 } },
        { "further", -3661, DAY, { -DAY, 5000 * DAY }, false, false, { 0, 0 } },
        { "a start next year",
          397 * DAY,
          DAY,
          { -DAY, 5000 * DAY },
          true,
          false,
          { 397 * DAY, 398 * DAY - 1 } },
        { "later", 397 * DAY + 1, DAY, { -DAY, 5000 * DAY }, false, false, { 0, 0 } },
        { "not before the issuer",
          0,
          DAY,
          { -60, 5000 * DAY },
          true,
          false,
          { -60, -60 + DAY - 1 } },
        { "not after the issuer",
          0,
          90 * DAY,
          { -DAY, 10 * DAY },
          true,
          true,
          { -3600, 10 * DAY } },
        { "just not cut",
          0,
          DAY,
          { -DAY, -3600 + DAY - 1 },
          true,
          false,
          { -3600, -3600 + DAY - 1 } },
        { "cut by a second",
          0,
          DAY,
          { -DAY, -3600 + DAY - 2 },
          true,
          true,
          { -3600, -3600 + DAY - 2 } },
        { "an issuer that ends now", 0, DAY, { -DAY, 0 }, false, false, { 0, 0 } },
        { "an issuer that is over", 0, DAY, { -10 * DAY, -5 * DAY }, false, false, { 0, 0 } },
        { "an issuer that begins when it would end",
          0,
          DAY,
          { 90 * DAY, 90 * DAY },
          false,
          false,
          { 0, 0 } },
};

START_TEST(a_validity_stays_inside_profile_and_issuer) {
        const struct profile *server = profiles_find(profiles, "server", NULL);
        const struct validity issuer = { NOW + choices[_i].issuer.not_before,
                                         NOW + choices[_i].issuer.not_after };
        struct validity v = { 11, 22 };
        struct error err = { 0 };
        bool cut = false;
        int rc = cert_validity(server, NOW,
                               choices[_i].not_before ? NOW + choices[_i].not_before : 0,
                               choices[_i].lifetime_s, &issuer, &v, &cut, &err);

        ck_assert_msg((rc == 0) == choices[_i].good, "%s: %s", choices[_i].why, err.text);
        if (rc < 0) {
                ck_assert_int_eq(err.code, ERR_VALIDITY_OUT_OF_RANGE);
                ck_assert_msg(err.field[0], "%s: no field", choices[_i].why);
                ck_assert_int_eq(v.not_before, 11);
                return;
        }
        ck_assert_msg(v.not_before == NOW + choices[_i].got.not_before &&
                              v.not_after == NOW + choices[_i].got.not_after &&
                              cut == choices[_i].cut,
                      "%s: from %lld to %lld, cut %d", choices[_i].why,
                      (long long) (v.not_before - NOW), (long long) (v.not_after - NOW), cut);
}
END_TEST

START_TEST(numbers_at_their_ends_are_refused_and_overflow_nothing) {
        const struct profile *server = profiles_find(profiles, "server", NULL);
        const struct validity issuer = { 0, MOMENT_LAST };
        static const int64_t ends[] = { INT64_MIN, INT64_MIN + 1, -1,
                                        INT64_MAX, INT64_MAX - 1, MOMENT_LAST + 1 };
        struct validity v;
        struct error err;
        bool cut;

        for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
                ck_refused(cert_validity(server, NOW, 0, ends[i], &issuer, &v, &cut, &err), err,
                           ERR_VALIDITY_OUT_OF_RANGE);
                ck_refused(cert_validity(server, NOW, ends[i], DAY, &issuer, &v, &cut, &err), err,
                           ERR_VALIDITY_OUT_OF_RANGE);
        }
}
END_TEST

/* ---- chains ---- */

START_TEST(a_chain_is_judged_by_gnutls) {
        struct scratch s;
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        static const struct {
                const char *why, *name;
                int64_t at; /* relative to now */
                bool flip, good;
        } rows[] = {
                { "as it should be", "nas.lan", 0, false, true },
                { "a name outside the constraints", "example.com", 0, false, false },
                { "an address outside", "8.8.8.8", 0, false, false },
                { "before its time", "nas.lan", -2 * 3600, false, false },
                { "after it", "nas.lan", 91 * DAY, false, false },
                { "a signature with a bit turned", "nas.lan", 0, true, false },
        };
        int64_t now = moment_now();

        scratch_open(&s);
        scratch_ca(&s, NULL);
        ca = scratch_load(&s);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CAD_AUTO(leaf_done) struct leaf l;
                static uint8_t octets[CERT_MAX];
                struct error err = { 0 };
                struct der_writer w;

                leaf_fill(&l, "server", KEY_ECDSA_P256, rows[i].name, NULL);
                l.wish.validity = (struct validity){ now - 3600, now + 90 * DAY };
                der_writer_init(&w, octets, sizeof(octets));
                cert_put_leaf(&w, &ca->issuers[0].signs_as, &l.wish);
                ck_ok(cert_sign(ca->issuers[0].key, der_writer_bytes(&w), &l.der, &err), err);
                l.der.data[l.der.size - 1] ^= rows[i].flip;
                ck_assert_msg((chain_verify(buffer_bytes(&l.der), ca->issuers[0].cert.der,
                                            ca->root.der, now + rows[i].at, &err) == 0) ==
                                      rows[i].good,
                              "%s: %s", rows[i].why, err.text);
                ck_assert_int_eq(chain_verify(buffer_bytes(&l.der), ca->issuers[1].cert.der,
                                              ca->root.der, now, NULL),
                                 -1);
        }
        scratch_close(&s);
}
END_TEST

/* Names by a CN too: what verifiers hold against the constraints (threats.md R-34) must pass them. */
START_TEST(a_common_name_of_any_kind_of_name_verifies) {
        struct scratch s;
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        static const struct {
                const char *profile, *name;
        } rows[] = { { "server", "nas.lan" },
                     { "server", "*.nas.lan" },
                     { "user", "a@home.arpa" },
                     { "client", "https://nas.lan/x" },
                     { "client", "a@nas.lan" } };
        int64_t now = moment_now();

        scratch_open(&s);
        scratch_ca(&s, NULL);
        ca = scratch_load(&s);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CAD_AUTO(leaf_done) struct leaf l;
                CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };
                static uint8_t octets[CERT_MAX], names[CERT_MAX];
                struct sign_issue issue = { .spki = buffer_bytes(&spkis[0]),
                                            .validity = { now - 60, now + DAY } };
                struct error err = { 0 };
                struct der_writer w;

                leaf_fill(&l, rows[i].profile, KEY_ECDSA_P256, rows[i].name, rows[i].name);
                (void) snprintf(issue.profile, sizeof(issue.profile), "%s", rows[i].profile);
                (void) snprintf(issue.common_name, sizeof(issue.common_name), "%s", rows[i].name);
                memcpy(issue.profile_digest, l.wish.profile->digest, PROFILE_DIGEST_SIZE);
                issue.names = names_der(names, sizeof(names),
                                        (const char *[]){ rows[i].name, NULL });
                if (policy_check(ca, profiles, &issue, now, &g, &err) < 0) {
                        ck_assert_int_eq(err.code, ERR_CSR_SUBJECT);
                        continue; /* refused is right too */
                }
                l.wish.validity = issue.validity;
                der_writer_init(&w, octets, sizeof(octets));
                cert_put_leaf(&w, &ca->issuers[0].signs_as, &l.wish);
                ck_ok(cert_sign(ca->issuers[0].key, der_writer_bytes(&w), &l.der, &err), err);
                ck_assert_msg(chain_verify(buffer_bytes(&l.der), ca->issuers[0].cert.der,
                                           ca->root.der, now, &err) == 0,
                              "CN=%s: %s", rows[i].name, err.text);
        }
        scratch_close(&s);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("cert");
        TCase *tc = tcase_create("cert");

        tcase_add_unchecked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, a_leaf_of_each_profile_says_what_the_profile_says, 0, 7);
        tcase_add_test(tc, a_leaf_signed_by_each_key_type_verifies);
        tcase_add_test(tc, the_same_wish_gives_the_same_octets);
        tcase_add_test(tc, the_largest_leaf_fits);
        tcase_add_test(tc, times_are_written_as_rfc5280_wants);
        tcase_add_loop_test(tc, a_ca_certificate_is_read_as_one_by_all, 0, 2);
        tcase_add_test(tc, each_prefix_and_any_octet_more_are_refused);
        tcase_add_test(tc, no_octet_of_a_leaf_can_change_unseen);
        tcase_add_loop_test(tc, each_single_difference_is_found, 0, ARRAY_SIZE(differences));
        tcase_add_test(tc, without_a_serial_asked_for_its_form_is_looked_at);
        tcase_add_test(tc, a_tbs_that_does_not_fit_is_not_signed);
        tcase_add_test(tc, a_validity_is_as_long_as_it_says_to_the_second);
        tcase_add_loop_test(tc, a_validity_stays_inside_profile_and_issuer, 0, ARRAY_SIZE(choices));
        tcase_add_test(tc, numbers_at_their_ends_are_refused_and_overflow_nothing);
        tcase_add_test(tc, a_chain_is_judged_by_gnutls);
        tcase_add_test(tc, a_common_name_of_any_kind_of_name_verifies);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
