/*
 * Diagnosis: a chain goes in, findings come out. Chains are made with GnuTLS here; tests/integration/test_doctor.py has them out of
 * real servers.
 */
#include "unit.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <string.h>

#include "lib/pki/diagnosis.h"

#define NOW INT64_C(1795290000) /* 2026-11-21T19:40:00Z */
#define DAY INT64_C(86400)
#define DER_MAX 8192
#define LEAF 0
#define MIDDLE 1
#define ROOT 2
#define OTHER 3 /* a leaf of a root that is not trusted */
#define OTHER_ROOT 4
#define CERT_COUNT 5

/* ---- certificates ---- */

struct wish {
        const char *cn, *dns;
        bool ca;
        int64_t start, end;
        const char *purpose; /* OID; NULL: none */
        unsigned usage;
        size_t padding; /* octets of an extension that nobody knows */
        bool small_key;
};

struct made {
        gnutls_x509_crt_t crt;
        gnutls_x509_privkey_t key;
        uint8_t der[DER_MAX * 10];
        struct bytes bytes;
};

static void make(struct made *m, const struct wish *w, const struct made *issuer) {
        static uint8_t serial = 1;
        static uint8_t padding[DER_MAX * 9];
        size_t size = sizeof(m->der);

        serial++;
        ck_assert_int_eq(gnutls_x509_privkey_init(&m->key), 0);
        ck_assert_int_eq(gnutls_x509_privkey_generate(
                                 m->key, w->small_key ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA,
                                 w->small_key ? 1024
                                              : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                 0),
                         0);
        ck_assert_int_eq(gnutls_x509_crt_init(&m->crt), 0);
        gnutls_x509_crt_set_version(m->crt, 3);
        gnutls_x509_crt_set_serial(m->crt, &serial, 1);
        gnutls_x509_crt_set_activation_time(m->crt, w->start);
        gnutls_x509_crt_set_expiration_time(m->crt, w->end);
        gnutls_x509_crt_set_dn_by_oid(m->crt, GNUTLS_OID_X520_COMMON_NAME, 0, w->cn,
                                      (unsigned) strlen(w->cn));
        gnutls_x509_crt_set_key(m->crt, m->key);
        gnutls_x509_crt_set_basic_constraints(m->crt, w->ca, -1);
        gnutls_x509_crt_set_key_usage(m->crt, w->usage);
        if (w->dns)
                gnutls_x509_crt_set_subject_alt_name(m->crt, GNUTLS_SAN_DNSNAME, w->dns,
                                                     (unsigned) strlen(w->dns), GNUTLS_FSAN_SET);
        if (w->purpose)
                gnutls_x509_crt_set_key_purpose_oid(m->crt, w->purpose, 0);
        if (w->padding)
                gnutls_x509_crt_set_extension_by_oid(m->crt, "1.2.3.4", padding, w->padding, 0);
        ck_assert_int_eq(gnutls_x509_crt_sign2(m->crt, issuer ? issuer->crt : m->crt,
                                               issuer ? issuer->key : m->key, GNUTLS_DIG_SHA256, 0),
                         0);
        ck_assert_int_eq(gnutls_x509_crt_export(m->crt, GNUTLS_X509_FMT_DER, m->der, &size), 0);
        m->bytes = BYTES(m->der, size);
}

static const struct wish ca_wish = { "Root",
                                     NULL,
                                     true,
                                     NOW - 100 * DAY,
                                     NOW + 3000 * DAY,
                                     NULL,
                                     GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN,
                                     0,
                                     false };
static const struct wish leaf_wish = { "nas.lan",
                                       "nas.lan",
                                       false,
                                       NOW - DAY,
                                       NOW + 89 * DAY,
                                       GNUTLS_KP_TLS_WWW_SERVER,
                                       GNUTLS_KEY_DIGITAL_SIGNATURE,
                                       0,
                                       false };

static struct made all[CERT_COUNT];

static void made_setup(void) {
        struct wish middle = ca_wish, other = ca_wish;

        middle.cn = "Middle";
        other.cn = "Other Root";
        make(&all[ROOT], &ca_wish, NULL);
        make(&all[MIDDLE], &middle, &all[ROOT]);
        make(&all[LEAF], &leaf_wish, &all[MIDDLE]);
        make(&all[OTHER_ROOT], &other, NULL);
        make(&all[OTHER], &leaf_wish, &all[OTHER_ROOT]);
}

static void made_done(struct made *m) {
        gnutls_x509_crt_deinit(m->crt);
        gnutls_x509_privkey_deinit(m->key);
        memset(m, 0, sizeof(*m));
}

static void made_teardown(void) {
        for (size_t i = 0; i < CERT_COUNT; i++)
                made_done(&all[i]);
}

/* ---- looking ---- */

static struct diagnosis *look(const struct bytes *chain, size_t count, bool know_middle,
                              const char *name, unsigned purpose, int64_t now) {
        const struct bytes anchors[] = { all[ROOT].bytes }, known[] = { all[MIDDLE].bytes };
        const struct diagnosis_case c = { .chain = chain,
                                          .chain_count = count,
                                          .anchors = anchors,
                                          .anchor_count = 1,
                                          .known = known,
                                          .known_count = know_middle,
                                          .name = name,
                                          .purpose = purpose,
                                          .now = now };
        struct diagnosis *d = diagnosis_new();
        struct error err = { 0 };

        ck_assert_ptr_nonnull(d);
        ck_ok(diagnose(d, &c, &err), err);
        return d;
}

/* The findings as text: "expired name-mismatch". */
static const char *codes_of(const struct diagnosis *d) {
        static char text[2048];

        text[0] = '\0';
        for (size_t i = 0; i < diagnosis_count(d); i++) {
                strcat(text, i ? " " : "");
                strcat(text, diagnosis_slug(diagnosis_finding(d, i)->code));
        }
        return text;
}

/* ---- chains as they are shown ---- */

#define SERVER PURPOSE_SERVER
#define CLIENT PURPOSE_CLIENT
static const struct {
        const char *why;
        int chain[4]; /* -1 ends */
        bool know_middle;
        const char *name;
        unsigned purpose;
        int64_t now;
        const char *codes;
} chains[] = {
        { "a good chain has no finding", { LEAF, MIDDLE, -1 }, false, "nas.lan", SERVER, NOW, "" },
        { "no name asked for, none judged", { LEAF, MIDDLE, -1 }, false, NULL, SERVER, NOW, "" },
        { "capitals are no other name", { LEAF, MIDDLE, -1 }, false, "NAS.LAN", SERVER, NOW, "" },
        { "the last second counts",
          { LEAF, MIDDLE, -1 },
          false,
          "nas.lan",
          SERVER,
          NOW + 89 * DAY,
          "expires-soon" },
        { "one second later it is over",
          { LEAF, MIDDLE, -1 },
          false,
          "nas.lan",
          SERVER,
          NOW + 89 * DAY + 1,
          "expired" },
        { "the first second counts",
          { LEAF, MIDDLE, -1 },
          false,
          "nas.lan",
          SERVER,
          NOW - DAY,
          "" },
        { "one second before is too early",
          { LEAF, MIDDLE, -1 },
          false,
          "nas.lan",
          SERVER,
          NOW - DAY - 1,
          "not-yet-valid" },
        { "all are over",
          { LEAF, MIDDLE, -1 },
          false,
          "nas.lan",
          SERVER,
          NOW + 3001 * DAY,
          "expired issuer-expired issuer-expired" },
        { "another name", { LEAF, MIDDLE, -1 }, false, "x.lan", SERVER, NOW, "name-mismatch" },
        { "an address", { LEAF, MIDDLE, -1 }, false, "10.0.0.1", SERVER, NOW, "name-mismatch" },
        { "names are no matter of a client's",
          { LEAF, MIDDLE, -1 },
          false,
          "x.lan",
          CLIENT,
          NOW,
          "client-purpose" },
        { "a gap that is known", { LEAF, -1 }, true, NULL, SERVER, NOW, "intermediate-missing" },
        { "a gap that is not", { LEAF, -1 }, false, NULL, SERVER, NOW, "issuer-unknown" },
        { "the root may come along",
          { LEAF, MIDDLE, ROOT, -1 },
          false,
          NULL,
          SERVER,
          NOW,
          "root-sent" },
        { "but in its place", { LEAF, ROOT, MIDDLE, -1 }, false, NULL, SERVER, NOW, "root-sent" },
        { "a stranger's certificate is in between",
          { LEAF, OTHER, MIDDLE, -1 },
          false,
          NULL,
          SERVER,
          NOW,
          "chain-stray" },
        { "twice the same is no other one",
          { LEAF, LEAF, MIDDLE, -1 },
          false,
          NULL,
          SERVER,
          NOW,
          "" },
        { "the wrong way round",
          { MIDDLE, LEAF, -1 },
          false,
          NULL,
          SERVER,
          NOW,
          "leaf-not-first chain-order" },
        { "another root", { OTHER, OTHER_ROOT, -1 }, false, NULL, SERVER, NOW, "root-untrusted" },
        { "a root by itself, trusted",
          { ROOT, -1 },
          false,
          NULL,
          SERVER,
          NOW,
          "name-only-cn key-usage leaf-is-ca life-too-long purpose-missing" },
        { "and one that is not",
          { OTHER_ROOT, -1 },
          false,
          NULL,
          SERVER,
          NOW,
          "self-signed name-only-cn key-usage leaf-is-ca life-too-long purpose-missing" },
        { "nothing at all", { -1 }, false, NULL, SERVER, NOW, "no-certificate" },
};

START_TEST(a_chain_has_the_findings_that_it_deserves) {
        struct bytes chain[4];
        size_t count = 0;

        while (count < 4 && chains[_i].chain[count] >= 0) {
                chain[count] = all[chains[_i].chain[count]].bytes;
                count++;
        }
        CAD_AUTO(diagnosis_free)
        struct diagnosis *d = look(chain, count, chains[_i].know_middle, chains[_i].name,
                                   chains[_i].purpose, chains[_i].now);
        ck_assert_msg(strcmp(codes_of(d), chains[_i].codes) == 0, "%s: '%s' and not '%s'",
                      chains[_i].why, codes_of(d), chains[_i].codes);
}
END_TEST

/* ---- leaves ---- */

static const struct {
        const char *why;
        struct wish leaf;
        unsigned purpose;
        const char *codes, *says;
} leaves[] = {
        { "825 days are not too long",
          { "nas.lan", "nas.lan", false, NOW, NOW + 825 * DAY - 1, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          SERVER,
          "",
          "" },
        { "a second more is",
          { "nas.lan", "nas.lan", false, NOW, NOW + 825 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          SERVER,
          "life-too-long",
          "825 days" },
        { "a tenth of its life is soon",
          { "nas.lan", "nas.lan", false, NOW - 82 * DAY, NOW + 8 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          SERVER,
          "expires-soon",
          "" },
        { "and more is not",
          { "nas.lan", "nas.lan", false, NOW - 80 * DAY, NOW + 10 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          SERVER,
          "",
          "" },
        { "a week is soon in a longer life",
          { "nas.lan", "nas.lan", false, NOW - 57 * DAY, NOW + 7 * DAY - 60,
            GNUTLS_KP_TLS_WWW_SERVER, GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          SERVER,
          "expires-soon",
          "" },
        { "and is not in a short one",
          { "nas.lan", "nas.lan", false, NOW - 24 * DAY, NOW + 6 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          SERVER,
          "",
          "" },
        { "a client may last longer",
          { "anna", NULL, false, NOW, NOW + 3000 * DAY, GNUTLS_KP_TLS_WWW_CLIENT,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          CLIENT,
          "",
          "" },
        { "no names",
          { "nas.lan", NULL, false, NOW, NOW + 90 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          SERVER,
          "name-only-cn",
          "'nas.lan'" },
        { "no purpose",
          { "nas.lan", "nas.lan", false, NOW, NOW + 90 * DAY, NULL, GNUTLS_KEY_DIGITAL_SIGNATURE, 0,
            false },
          SERVER,
          "purpose-missing",
          "serverAuth" },
        { "another purpose, for both",
          { "nas.lan", "nas.lan", false, NOW, NOW + 90 * DAY, GNUTLS_KP_CODE_SIGNING,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, false },
          SERVER | CLIENT,
          "server-purpose client-purpose",
          "codeSigning" },
        { "a key that may not sign",
          { "nas.lan", "nas.lan", false, NOW, NOW + 90 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_KEY_AGREEMENT, 0, false },
          SERVER,
          "key-usage",
          "digitalSignature" },
        { "a small key",
          { "nas.lan", "nas.lan", false, NOW, NOW + 90 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 0, true },
          SERVER,
          "key-weak",
          "1024 bits" },
        { "more than Java takes",
          { "nas.lan", "nas.lan", false, NOW, NOW + 90 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 33 * 1024, false },
          SERVER,
          "chain-oversized",
          "34 KiB" },
        { "more than is read",
          { "nas.lan", "nas.lan", false, NOW, NOW + 90 * DAY, GNUTLS_KP_TLS_WWW_SERVER,
            GNUTLS_KEY_DIGITAL_SIGNATURE, 65 * 1024, false },
          SERVER,
          "unreadable chain-oversized",
          "that anybody would take" },
};

START_TEST(a_leaf_has_the_findings_that_it_deserves) {
        struct bytes chain[2];
        struct made *leaf = calloc(1, sizeof(*leaf));
        bool said = !*leaves[_i].says;

        ck_assert_ptr_nonnull(leaf);
        make(leaf, &leaves[_i].leaf, &all[MIDDLE]);
        chain[0] = leaf->bytes;
        chain[1] = all[MIDDLE].bytes;
        CAD_AUTO(diagnosis_free)
        struct diagnosis *d = look(chain, leaf->bytes.size > DIAGNOSIS_CERT_MAX ? 1 : 2, false,
                                   NULL, leaves[_i].purpose, NOW);
        ck_assert_msg(strcmp(codes_of(d), leaves[_i].codes) == 0, "%s: '%s' and not '%s'",
                      leaves[_i].why, codes_of(d), leaves[_i].codes);
        for (size_t i = 0; i < diagnosis_count(d); i++)
                said |= strstr(diagnosis_finding(d, i)->text, leaves[_i].says) != NULL;
        ck_assert_msg(said, "%s: nothing says '%s'", leaves[_i].why, leaves[_i].says);
        made_done(leaf);
        free(leaf);
}
END_TEST

START_TEST(it_says_which_certificates_it_means) {
        const struct bytes chain[] = { all[LEAF].bytes, all[MIDDLE].bytes };
        CAD_AUTO(diagnosis_free)
        struct diagnosis *good = look(chain, 2, false, NULL, SERVER, NOW);
        CAD_AUTO(diagnosis_free)
        struct diagnosis *lost = look(&all[OTHER].bytes, 1, false, NULL, SERVER, NOW);
        char label[DIAGNOSIS_LABEL_MAX];

        ck_assert(bytes_equal(diagnosis_leaf(good), all[LEAF].bytes));
        ck_assert(bytes_equal(diagnosis_issuer(good), all[MIDDLE].bytes));
        ck_assert(bytes_equal(diagnosis_anchor(good), all[ROOT].bytes));
        ck_assert(bytes_equal(diagnosis_leaf(lost), all[OTHER].bytes));
        ck_assert_uint_eq(diagnosis_issuer(lost).size, 0);
        ck_assert_uint_eq(diagnosis_anchor(lost).size, 0);
        ck_assert_str_eq(diagnosis_label(all[MIDDLE].bytes, label), "Middle");
        ck_assert_str_eq(diagnosis_label(BYTES_NONE, label), "(no name)");
        ck_assert_uint_eq(diagnosis_purposes(all[LEAF].bytes), PURPOSE_SERVER);
        ck_assert_uint_eq(diagnosis_purposes(all[ROOT].bytes), 0);
}
END_TEST

START_TEST(no_part_of_a_certificate_does_any_harm) {
        struct bytes whole = all[LEAF].bytes;

        for (size_t size = 0; size < whole.size; size++) {
                const struct bytes chain[] = { BYTES(whole.data, size), all[MIDDLE].bytes };
                CAD_AUTO(diagnosis_free)
                struct diagnosis *d = look(chain, 1, false, "nas.lan", SERVER, NOW);

                ck_assert_msg(diagnosis_has(d, DIAGNOSIS_UNREADABLE), "%zu octets", size);
        }
}
END_TEST

START_TEST(a_long_chain_is_looked_at_as_far_as_it_is_sane) {
        struct bytes chain[40];

        for (size_t i = 0; i < ARRAY_SIZE(chain); i++)
                chain[i] = i == 39 ? all[MIDDLE].bytes : all[LEAF].bytes;
        CAD_AUTO(diagnosis_free)
        struct diagnosis *d = look(chain, ARRAY_SIZE(chain), false, "nas.lan", SERVER, NOW);
        /* what makes it good is beyond what is looked at */
        ck_assert_str_eq(codes_of(d), "issuer-unknown chain-long");
        ck_assert_ptr_nonnull(strstr(diagnosis_finding(d, 1)->text, "40 certificates"));
}
END_TEST

/* ---- the table and the list ---- */

START_TEST(every_code_has_a_row_of_its_own) {
        for (enum diagnosis_code a = 0; a < DIAGNOSIS_COUNT; a++) {
                ck_assert_msg(diagnosis_slug(a) && *diagnosis_slug(a), "code %d", a);
                ck_assert_msg(diagnosis_title(a) && *diagnosis_title(a), "code %d", a);
                ck_assert(diagnosis_code_severity(a) < DIAGNOSIS_SEVERITY_COUNT);
                for (enum diagnosis_code b = 0; b < a; b++)
                        ck_assert_str_ne(diagnosis_slug(a), diagnosis_slug(b));
        }
        for (enum diagnosis_device i = 0; i < DEVICE_COUNT; i++)
                ck_assert(*diagnosis_device_name(i));
}
END_TEST

START_TEST(what_is_refused_is_refused_by_somebody) {
        for (enum diagnosis_code code = 0; code < DIAGNOSIS_COUNT; code++) {
                CAD_AUTO(diagnosis_free) struct diagnosis *d = diagnosis_new();
                const struct diagnosis_finding *finding;

                diagnosis_add(d, code, "x");
                finding = diagnosis_finding(d, 0);
                ck_assert_msg(diagnosis_code_severity(code) > DIAGNOSIS_SOME || finding->who ||
                                      finding->devices,
                              "%s", diagnosis_slug(code));
                ck_assert_msg(diagnosis_code_severity(code) <= DIAGNOSIS_SOME || !finding->devices,
                              "%s", diagnosis_slug(code));
        }
}
END_TEST

START_TEST(the_gravest_comes_first) {
        CAD_AUTO(diagnosis_free) struct diagnosis *d = diagnosis_new();

        ck_assert_int_eq(diagnosis_verdict(d), DIAGNOSIS_SEVERITY_COUNT);
        diagnosis_add(d, DIAGNOSIS_ROOT_SENT, "a");
        ck_assert_int_eq(diagnosis_verdict(d), DIAGNOSIS_NOTE);
        diagnosis_add(d, DIAGNOSIS_LIFE_TOO_LONG, "b");
        diagnosis_add(d, DIAGNOSIS_NAME_MISMATCH, "c");
        diagnosis_add(d, DIAGNOSIS_KEY_SHARED, "d");
        diagnosis_add(d, DIAGNOSIS_EXPIRED, "e");
        diagnosis_add(d, DIAGNOSIS_EXPIRED, "e");
        diagnosis_add(d, DIAGNOSIS_EXPIRED, "f\x1b[2J\n%%s");
        ck_assert_str_eq(codes_of(d),
                         "expired expired name-mismatch life-too-long key-shared root-sent");
        ck_assert_str_eq(diagnosis_finding(d, 1)->text, "f?[2J?%s");
        ck_assert_int_eq(diagnosis_verdict(d), DIAGNOSIS_REFUSED);
}
END_TEST

START_TEST(a_full_list_keeps_the_gravest) {
        CAD_AUTO(diagnosis_free) struct diagnosis *d = diagnosis_new();

        for (unsigned i = 0; i < DIAGNOSIS_FINDINGS_MAX + 5; i++)
                diagnosis_add(d, DIAGNOSIS_CHAIN_STRAY, "number %u", i);
        ck_assert_uint_eq(diagnosis_count(d), DIAGNOSIS_FINDINGS_MAX);
        diagnosis_add(d, DIAGNOSIS_REVOKED, "x");
        ck_assert_uint_eq(diagnosis_count(d), DIAGNOSIS_FINDINGS_MAX);
        ck_assert_int_eq(diagnosis_finding(d, 0)->code, DIAGNOSIS_REVOKED);
        ck_assert_str_eq(diagnosis_finding(d, DIAGNOSIS_FINDINGS_MAX - 1)->text, "number 30");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("diagnosis");
        TCase *chain = tcase_create("chain"), *list = tcase_create("list");

        tcase_add_unchecked_fixture(chain, made_setup, made_teardown);
        tcase_add_loop_test(chain, a_chain_has_the_findings_that_it_deserves, 0,
                            ARRAY_SIZE(chains));
        tcase_add_loop_test(chain, a_leaf_has_the_findings_that_it_deserves, 0, ARRAY_SIZE(leaves));
        tcase_add_test(chain, it_says_which_certificates_it_means);
        tcase_add_test(chain, no_part_of_a_certificate_does_any_harm);
        tcase_add_test(chain, a_long_chain_is_looked_at_as_far_as_it_is_sane);
        suite_add_tcase(suite, chain);
        tcase_add_test(list, every_code_has_a_row_of_its_own);
        tcase_add_test(list, what_is_refused_is_refused_by_somebody);
        tcase_add_test(list, the_gravest_comes_first);
        tcase_add_test(list, a_full_list_keeps_the_gravest);
        suite_add_tcase(suite, list);
        return unit_main(suite);
}
