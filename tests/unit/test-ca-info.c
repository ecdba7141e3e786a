/*
 * The CA as cad keeps it: all of it copied from the signer's hello, and believed no further than it can be read.
 */
#include "issued-fixture.h"

#include "daemon/authority/ca_info.h"
#include "lib/pki/pem.h"

static struct buffer leaf;

static void set_up(void) {
        issued_setup();
        issued_leaf((const char *const[]){ "nas.lan", NULL }, 1, &leaf);
}

static void tear_down(void) {
        buffer_done(&leaf);
        issued_teardown();
}

/* Made from a hello that is gone afterwards, as the frame's buffer is. */
static struct ca_info *make_info(void) {
        uint8_t *frame = malloc(SIGNER_FRAME_MAX);
        struct sign_hello hello, decoded;
        struct frame_reader fields;
        struct signer_header header;
        struct ca_info *info = NULL;
        struct error err = { 0 };

        ck_assert_ptr_nonnull(frame);
        ca_hello(ca, &hello);
        hello.issued = 4711;
        hello.uid = 12;
        ck_ok(frame_open(sign_hello_encode(frame, 0, &hello), &header, &fields, &err), err);
        ck_ok(sign_hello_decode(&fields, &decoded, &err), err);
        ck_ok(ca_info_new(&decoded, &info, &err), err);
        memset(frame, 0xa5, SIGNER_FRAME_MAX);
        free(frame);
        return info;
}

static void check_pem(struct bytes text, const struct bytes *expected, size_t count) {
        for (size_t i = 0; i <= count; i++) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX];
                struct error err = { 0 };
                int rc = pem_next(&text, label, &der, &err);

                ck_assert_msg(rc == (i < count), "block %zu: %s", i, err.text);
                if (rc == 0)
                        return;
                ck_assert_str_eq(label, "CERTIFICATE");
                ck_assert(bytes_equal(buffer_bytes(&der), expected[i]));
        }
}

START_TEST(everything_that_the_signer_told_is_kept) {
        CAD_AUTO(ca_info_free) struct ca_info *info = make_info();

        ck_assert_str_eq(info->id, ca->id);
        ck_assert_str_eq(info->name, "Unit CA");
        ck_assert_str_eq(info->public_url, "http://ca.lan:8080");
        ck_assert_str_eq(info->replaces, "");
        ck_assert_int_eq(info->issued_before, 4711);
        ck_assert_int_eq(info->signer_uid, 12);
        ck_assert(info->root_key_present && !info->keys_encrypted);
        ck_assert(bytes_equal(info->root.der, ca->root.der) && info->root.is_ca);
        ck_assert_uint_eq(info->issuer_count, 2);
        for (size_t i = 0; i < 2; i++) {
                const struct ca_info_issuer *issuer = &info->issuers[i];

                ck_assert_str_eq(issuer->id, ca->issuers[i].id);
                ck_assert_int_eq(issuer->state, ca->issuers[i].state);
                ck_assert(bytes_equal(issuer->cert.der, ca->issuers[i].cert.der));
                ck_assert(constraints_equal(issuer->constraints, ca->issuers[i].constraints));
        }
}
END_TEST

START_TEST(what_an_issuer_writes_into_certificates_is_what_the_signer_writes) {
        CAD_AUTO(ca_info_free) struct ca_info *info = make_info();

        for (size_t i = 0; i < info->issuer_count; i++) {
                const struct cert_issuer *here = &info->issuers[i].signs_as,
                                         *there = &ca->issuers[i].signs_as;

                ck_assert(bytes_equal(here->subject, there->subject));
                ck_assert(bytes_equal(here->algorithm, there->algorithm));
                ck_assert_mem_eq(here->key_id, there->key_id, KEY_ID_SIZE);
                ck_assert_str_eq(here->crl_url, there->crl_url);
                ck_assert_str_eq(here->issuer_url, there->issuer_url);
        }
}
END_TEST

START_TEST(the_pem_of_root_bundle_and_issuers_is_that_of_the_der) {
        CAD_AUTO(ca_info_free) struct ca_info *info = make_info();
        const struct bytes all[] = { ca->root.der, ca->issuers[0].cert.der,
                                     ca->issuers[1].cert.der };

        check_pem(buffer_bytes(&info->root_pem), all, 1);
        check_pem(buffer_bytes(&info->bundle_pem), all, 3);
        check_pem(buffer_bytes(&info->issuers[1].pem), &all[2], 1);
}
END_TEST

START_TEST(issuers_are_found_by_what_they_are) {
        static const char *const none[] = { "", "root", "int-3", "INT-1", "int-1 " };
        CAD_AUTO(ca_info_free) struct ca_info *info = make_info();

        ck_assert_str_eq(ca_info_active(info)->id, "int-1");
        ck_assert_str_eq(ca_info_issuer(info, "int-2")->id, "int-2");
        for (size_t i = 0; i < ARRAY_SIZE(none); i++)
                ck_assert_msg(ca_info_issuer(info, none[i]) == NULL, "'%s'", none[i]);
        info->issuers[0].state = SIGNER_ISSUER_RETIRED;
        info->issuers[1].state = SIGNER_ISSUER_ACTIVE;
        ck_assert_str_eq(ca_info_active(info)->id, "int-2");
}
END_TEST

START_TEST(the_keys_of_the_ca_are_known_and_no_others) {
        CAD_AUTO(ca_info_free) struct ca_info *info = make_info();
        CAD_AUTO(buffer_done) struct buffer other = { 0 };

        key_spki(KEY_ECDSA_P256, 0, &other);
        ck_assert(ca_info_owns_key(info, ca->root.spki));
        ck_assert(ca_info_owns_key(info, ca->issuers[0].cert.spki));
        ck_assert(ca_info_owns_key(info, ca->issuers[1].cert.spki)); /* the standby's too */
        ck_assert(!ca_info_owns_key(info, buffer_bytes(&other)));
        ck_assert(!ca_info_owns_key(info, BYTES_NONE));
}
END_TEST

START_TEST(a_key_that_is_added_is_its_own_for_good) {
        CAD_AUTO(ca_info_free) struct ca_info *info = make_info();
        CAD_AUTO(buffer_done) struct buffer first = { 0 }, second = { 0 };
        struct error err = { 0 };

        key_spki(KEY_ECDSA_P256, 0, &first);
        key_spki(KEY_RSA, 2048, &second);
        ck_ok(ca_info_add_key(info, buffer_bytes(&first), &err), err);
        ck_assert(ca_info_owns_key(info, buffer_bytes(&first)));
        ck_assert(!ca_info_owns_key(info, buffer_bytes(&second)));
        ck_ok(ca_info_add_key(info, buffer_bytes(&second), &err), err);
        ck_ok(ca_info_add_key(info, buffer_bytes(&second), &err), err);
        ck_assert(ca_info_owns_key(info, buffer_bytes(&first)));
        ck_assert(ca_info_owns_key(info, buffer_bytes(&second)));
        ck_assert(ca_info_owns_key(info, ca->root.spki));
}
END_TEST

/* ---- a hello that does not hold ---- */

static void no_root(struct sign_hello *h) {
        h->root = BYTES_NONE;
}
static void rubbish_root(struct sign_hello *h) {
        h->root = BYTES_LITERAL("rubbish");
}
static void leaf_root(struct sign_hello *h) {
        h->root = buffer_bytes(&leaf);
}
static void cut_root(struct sign_hello *h) {
        h->root.size--;
}
static void other_root(struct sign_hello *h) {
        h->root = h->issuers[0].der;
}
static void other_id(struct sign_hello *h) {
        h->ca_id[0] = h->ca_id[0] == 'a' ? 'b' : 'a';
}
static void no_id(struct sign_hello *h) {
        h->ca_id[0] = '\0';
}
static void no_issuers(struct sign_hello *h) {
        h->issuer_count = 0;
}
static void none_active(struct sign_hello *h) {
        h->issuers[0].state = SIGNER_ISSUER_RETIRED;
}
static void rubbish_issuer(struct sign_hello *h) {
        h->issuers[1].der = BYTES_LITERAL("rubbish");
}
static void leaf_issuer(struct sign_hello *h) {
        h->issuers[0].der = buffer_bytes(&leaf);
}
static void cut_issuer(struct sign_hello *h) {
        h->issuers[1].der.size -= 10;
}
static void empty_issuer(struct sign_hello *h) {
        h->issuers[0].der = BYTES_NONE;
}

static const struct {
        const char *why;
        void (*change)(struct sign_hello *hello);
} bad_hellos[] = {
        { "no root", no_root },
        { "a root that is no certificate", rubbish_root },
        { "a leaf for the root", leaf_root },
        { "a root cut off", cut_root },
        { "another certificate for the root", other_root },
        { "another id", other_id },
        { "no id", no_id },
        { "no issuers", no_issuers },
        { "no active issuer", none_active },
        { "an issuer that is no certificate", rubbish_issuer },
        { "a leaf for an issuer", leaf_issuer },
        { "an issuer cut off", cut_issuer },
        { "an empty issuer", empty_issuer },
};

START_TEST(a_hello_that_does_not_hold_is_not_believed) {
        struct ca_info *untouched = (void *) 0x1, *info = untouched;
        struct sign_hello hello;
        struct error err;

        ca_hello(ca, &hello);
        bad_hellos[_i].change(&hello);
        ck_refused(ca_info_new(&hello, &info, &err), err, ERR_SIGNER_WRONG);
        ck_assert_msg(info == untouched, "%s", bad_hellos[_i].why);
        ck_assert_ptr_null(ca_info_free(NULL));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("ca-info");
        TCase *tc = tcase_create("ca-info");

        tcase_set_timeout(tc, 30);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, everything_that_the_signer_told_is_kept);
        tcase_add_test(tc, what_an_issuer_writes_into_certificates_is_what_the_signer_writes);
        tcase_add_test(tc, the_pem_of_root_bundle_and_issuers_is_that_of_the_der);
        tcase_add_test(tc, issuers_are_found_by_what_they_are);
        tcase_add_test(tc, the_keys_of_the_ca_are_known_and_no_others);
        tcase_add_test(tc, a_key_that_is_added_is_its_own_for_good);
        tcase_add_loop_test(tc, a_hello_that_does_not_hold_is_not_believed, 0,
                            ARRAY_SIZE(bad_hellos));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
