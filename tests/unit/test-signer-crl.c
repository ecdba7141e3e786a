/*
 * The signer's word on CRLs: which wishes it grants, and that numbers only rise.
 */
#include "signer-fixture.h"

#include <sys/mman.h>

#include "daemon/signer/crl.h"
#include "daemon/signer/crl_numbers.h"
#include "lib/base/memfd.h"

static struct scratch scratch;
static struct ca *ca;
static int64_t now;

static void set_up(void) {
        scratch_open(&scratch);
        scratch_ca(&scratch, NULL);
        ca = scratch_load(&scratch);
        now = moment_now();
}

static void tear_down(void) {
        ca = ca_free(ca);
        scratch_close(&scratch);
}

static struct sign_crl good_wish(void) {
        return (struct sign_crl){ .issuer = "int-1",
                                  .number = now,
                                  .this_update = now - 300,
                                  .next_update = now + 7 * DAY,
                                  .entries_fd = -1 };
}

static int sealed(size_t size) {
        struct error err = { 0 };
        int fd = memfd_new("test", &err);

        ck_assert_int_eq(ftruncate(fd, (off_t) size), 0);
        ck_ok(memfd_seal(fd, &err), err);
        return fd;
}

/* ---- what is granted ---- */

START_TEST(each_issuer_signs_its_own) {
        static const char *const ids[] = { "int-1", "int-2", "root" };
        struct sign_crl wish = good_wish();
        struct error err = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
                CAD_AUTO(fd_close) int fd = -1;
                CAD_AUTO(public_key_free) struct public_key *key = NULL;
                const struct cert *cert = i < 2 ? &ca->issuers[i].cert : &ca->root;
                struct crl_grant grant;
                struct bytes der;
                struct crl crl;
                size_t size;

                (void) snprintf(wish.issuer, sizeof(wish.issuer), "%s", ids[i]);
                ck_ok(crl_policy_check(ca, true, &wish, now, &grant, &err), err);
                fd = crl_make(&grant, 0, &size, &err);
                ck_assert_msg(fd >= 0, "%s", err.text);
                ck_ok(memfd_map(fd, size, &der, &err), err);
                ck_ok(crl_read(der, &crl, &err), err);
                ck_ok(crl_compare(&crl, &grant.wish, &err), err);
                ck_assert(bytes_equal(crl.issuer, cert->subject));
                ck_assert(bytes_equal(crl.authority_key_id, cert->subject_key_id));
                ck_ok(public_key_from_spki(cert->spki, RSA_BITS_MAX, &key, &err), err);
                ck_ok(public_key_verify(key, crl.algorithm, crl.tbs, crl.signature, &err), err);
                memfd_unmap(der);
        }
}
END_TEST

START_TEST(who_has_signed_certificates_says_which_are_revoked_whatever_its_state) {
        struct sign_crl wish = good_wish();
        struct crl_grant grant;
        struct error err = { 0 };

        for (int state = 0; state < SIGNER_ISSUER_STATE_COUNT; state++) {
                ca->issuers[0].state = (enum signer_issuer_state) state;
                ck_ok(crl_policy_check(ca, true, &wish, now, &grant, &err), err);
        }
}
END_TEST

/* ---- what is not ---- */

#define END (ca->issuers[0].cert.validity.not_after)

static void no_issuer(struct sign_crl *w) {
        w->issuer[0] = '\0';
}
static void unknown_issuer(struct sign_crl *w) {
        w->issuer[4] = '9';
}
static void upper_case_root(struct sign_crl *w) {
        memcpy(w->issuer, "ROOT", 5);
}
static void this_tomorrow(struct sign_crl *w) {
        w->this_update = now + 61;
}
static void this_last_week(struct sign_crl *w) {
        w->this_update = now - DAY - 1;
}
static void this_negative(struct sign_crl *w) {
        w->this_update = INT64_MIN;
}
static void next_before_this(struct sign_crl *w) {
        w->next_update = w->this_update;
}
static void next_is_over(struct sign_crl *w) {
        w->next_update = now;
}
static void next_in_100_years(struct sign_crl *w) {
        w->next_update = now + 100 * 365 * DAY;
}
static void next_over_400_days(struct sign_crl *w) {
        w->next_update = now + 400 * DAY + 61;
}
static void next_overflows(struct sign_crl *w) {
        w->next_update = INT64_MAX;
}
static void negative_count(struct sign_crl *w) {
        w->entry_count = -1;
}
static void count_over_the_maximum(struct sign_crl *w) {
        w->entry_count = CRL_ENTRIES_MAX + 1;
}
static void no_entries(struct sign_crl *w) {
        w->entry_count = 1;
}
static void unsealed_entries(struct sign_crl *w) {
        w->entry_count = 1;
        w->entries_fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}
static void a_folder_for_entries(struct sign_crl *w) {
        w->entries_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static const struct {
        const char *why;
        void (*change)(struct sign_crl *w);
        enum error_code code;
        const char *field;
} refusals[] = {
        { "no issuer", no_issuer, ERR_CA_MISSING, "" },
        { "an unknown issuer", unknown_issuer, ERR_CA_MISSING, "" },
        { "another spelling of the root", upper_case_root, ERR_CA_MISSING, "" },
        { "thisUpdate to come", this_tomorrow, ERR_VALIDITY_OUT_OF_RANGE, "this_update" },
        { "thisUpdate long ago", this_last_week, ERR_VALIDITY_OUT_OF_RANGE, "this_update" },
        { "thisUpdate before all time", this_negative, ERR_VALIDITY_OUT_OF_RANGE, "this_update" },
        { "nextUpdate at thisUpdate", next_before_this, ERR_VALIDITY_OUT_OF_RANGE, "next_update" },
        { "nextUpdate now", next_is_over, ERR_VALIDITY_OUT_OF_RANGE, "next_update" },
        { "nextUpdate in 100 years", next_in_100_years, ERR_VALIDITY_OUT_OF_RANGE, "next_update" },
        { "nextUpdate in over 400 days", next_over_400_days, ERR_VALIDITY_OUT_OF_RANGE,
          "next_update" },
        { "nextUpdate after all time", next_overflows, ERR_VALIDITY_OUT_OF_RANGE, "next_update" },
        { "-1 entries", negative_count, ERR_REQUEST_MALFORMED, "" },
        { "an entry too many", count_over_the_maximum, ERR_REQUEST_MALFORMED, "" },
        { "an entry and no file", no_entries, ERR_REQUEST_MALFORMED, "" },
        { "a file that can be written", unsealed_entries, ERR_REQUEST_MALFORMED, "" },
        { "a folder", a_folder_for_entries, ERR_REQUEST_MALFORMED, "" },
};

START_TEST(every_other_wish_is_refused) {
        struct sign_crl wish = good_wish();
        struct crl_grant grant = { .key = (void *) 1 };
        struct error err = { 0 };

        refusals[_i].change(&wish);
        ck_refused(crl_policy_check(ca, true, &wish, now, &grant, &err), err, refusals[_i].code);
        ck_assert_msg(strcmp(err.field, refusals[_i].field) == 0, "%s: field %s", refusals[_i].why,
                      err.field);
        ck_assert_ptr_eq(grant.key, (void *) 1);
        (void) fd_close(wish.entries_fd);
}
END_TEST

START_TEST(limits_are_inclusive) {
        CAD_AUTO(fd_close) int fd = sealed(CRL_ENTRIES_MAX * sizeof(struct crl_entry));
        struct sign_crl wish = good_wish();
        struct crl_grant grant;
        struct error err = { 0 };

        wish.this_update = now - DAY;
        wish.next_update = now + 400 * DAY;
        wish.entry_count = CRL_ENTRIES_MAX;
        wish.entries_fd = fd;
        ck_ok(crl_policy_check(ca, true, &wish, now, &grant, &err), err);
        wish.this_update = now + 60; /* cad's clock may be a little ahead of our reading of it */
        ck_ok(crl_policy_check(ca, true, &wish, now, &grant, &err), err);
}
END_TEST

START_TEST(a_crl_ends_with_its_issuer) {
        struct sign_crl wish = good_wish();
        struct crl_grant grant;
        struct error err = { 0 };
        int64_t at = END - DAY;

        wish.this_update = at;
        wish.next_update = END;
        ck_ok(crl_policy_check(ca, true, &wish, at, &grant, &err), err);
        wish.next_update = END + 1;
        ck_refused(crl_policy_check(ca, true, &wish, at, &grant, &err), err,
                   ERR_VALIDITY_OUT_OF_RANGE);
        ck_refused(crl_policy_check(ca, true, &wish, END + 1, &grant, &err), err, ERR_CA_EXPIRED);
}
END_TEST

START_TEST(an_issuer_that_may_not_sign_crls_does_not) {
        struct sign_crl wish = good_wish();
        struct crl_grant grant;
        struct error err;

        ca->issuers[0].cert.key_usage &= ~(uint32_t) KU_CRL_SIGN;
        ck_refused(crl_policy_check(ca, true, &wish, now, &grant, &err), err, ERR_STATE_CONFLICT);
        ck_assert_ptr_nonnull(strstr(err.text, "cRLSign"));
        ca->issuers[0].cert.has_key_usage = false; /* RFC 5280 §6.3.3 (f): then it may */
        ck_ok(crl_policy_check(ca, true, &wish, now, &grant, &err), err);
}
END_TEST

/* ---- the root's key ---- */

static struct sign_crl root_wish(void) {
        struct sign_crl wish = good_wish();

        (void) snprintf(wish.issuer, sizeof(wish.issuer), "%s", SIGNER_ROOT_ID);
        return wish;
}

START_TEST(a_root_key_that_was_taken_away_is_not_used_out_of_memory) {
        struct sign_crl wish = root_wish();
        struct crl_grant grant;
        struct error err;

        ck_refused(crl_policy_check(ca, false, &wish, now, &grant, &err), err, ERR_STATE_CONFLICT);
        ck_assert_msg(strstr(err.text, "ca/root.key"), "%s", err.text);
}
END_TEST

START_TEST(without_a_root_key_all_else_is_signed) {
        struct sign_crl wish = root_wish(), other = good_wish();
        struct crl_grant grant;
        struct error err = { 0 };

        ca = ca_free(ca);
        ck_assert_int_eq(unlinkat(scratch.fd, "ca/root.key", 0), 0);
        ca = scratch_load(&scratch);
        ck_assert(!ca->root_key && !ca->root_key_present);
        ck_refused(crl_policy_check(ca, false, &wish, now, &grant, &err), err, ERR_STATE_CONFLICT);
        ck_refused(crl_policy_check(ca, true, &wish, now, &grant, &err), err, ERR_STATE_CONFLICT);
        ck_assert_msg(strstr(err.text, "start cad again"), "put back under a running signer: %s",
                      err.text);
        ck_ok(crl_policy_check(ca, false, &other, now, &grant, &err), err);
}
END_TEST

START_TEST(a_root_key_that_is_none_stops_nothing_but_the_roots_crl) {
        static const struct {
                const char *what, *text;
                mode_t mode;
        } rows[] = {
                { "rubbish", "rubbish", 0600 },
                { "others may read", "rubbish", 0644 },
        };
        struct sign_crl wish = root_wish(), other = good_wish();
        struct crl_grant grant;
        struct error err = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                ca = ca_free(ca);
                scratch_write(&scratch, "ca/root.key", rows[i].text, rows[i].mode);
                ca = scratch_load(&scratch);
                ck_refused(crl_policy_check(ca, true, &wish, now, &grant, &err), err,
                           ERR_STATE_CONFLICT);
                ck_assert_msg(strstr(err.text, "root.key"), "%s: %s", rows[i].what, err.text);
                ck_ok(crl_policy_check(ca, true, &other, now, &grant, &err), err);
        }
}
END_TEST

START_TEST(a_key_of_another_is_no_root_key) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        struct sign_crl wish = root_wish();
        struct crl_grant grant;
        struct error err = { 0 };

        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        ck_ok(private_key_to_pem(key, BYTES_NONE, &pem, &err), err);
        ca = ca_free(ca);
        scratch_write(&scratch, "ca/root.key", buffer_string(&pem), 0600);
        ca = scratch_load(&scratch);
        ck_assert_ptr_null(ca->root_key);
        ck_refused(crl_policy_check(ca, true, &wish, now, &grant, &err), err, ERR_STATE_CONFLICT);
        ck_assert_msg(strstr(err.text, "does not fit"), "%s", err.text);
}
END_TEST

/* A root that was there before may have no subject key identifier: then the key's own is said. */
START_TEST(a_root_without_a_key_identifier_gets_one) {
        struct sign_crl wish = root_wish();
        struct crl_grant grant;
        uint8_t id[KEY_ID_SIZE];
        struct error err = { 0 };

        ca->root.subject_key_id = BYTES_NONE;
        ck_ok(crl_policy_check(ca, true, &wish, now, &grant, &err), err);
        ck_assert_int_eq(spki_key_id(ca->root.spki, id), 0);
        ck_assert(bytes_equal(grant.wish.key_id, BYTES(id, sizeof(id))));
}
END_TEST

/* ---- numbers ---- */

START_TEST(numbers_only_rise) {
        struct crl_numbers numbers = { 0 };
        struct error err = { 0 };

        ck_assert_int_eq(crl_numbers_last(&numbers, "int-1"), 0);
        ck_assert_int_eq(crl_number_next(&numbers, "int-1", now), now);
        ck_ok(crl_number_check(&numbers, "int-1", 1, now, &err), err);
        crl_numbers_note(&numbers, "int-1", now);
        ck_refused(crl_number_check(&numbers, "int-1", now, now, &err), err, ERR_STATE_CONFLICT);
        ck_assert_str_eq(err.field, "number");
        ck_refused(crl_number_check(&numbers, "int-1", now - 1, now, &err), err,
                   ERR_STATE_CONFLICT);
        ck_refused(crl_number_check(&numbers, "int-1", 0, now, &err), err, ERR_STATE_CONFLICT);
        ck_refused(crl_number_check(&numbers, "int-1", -5, now, &err), err, ERR_STATE_CONFLICT);
        ck_ok(crl_number_check(&numbers, "int-1", now + 1, now, &err), err);
        ck_assert_int_eq(crl_number_next(&numbers, "int-1", now), now + 1);
        ck_assert_int_eq(crl_number_next(&numbers, "int-1", now + 5), now + 5);
        ck_assert_int_eq(crl_number_next(&numbers, "int-2", now), now);
        ck_ok(crl_number_check(&numbers, "int-2", 1, now, &err), err);
        crl_numbers_note(&numbers, "int-1", now - 7);
        ck_assert_int_eq(crl_numbers_last(&numbers, "int-1"), now);
}
END_TEST

/* One wish with the largest of all numbers, and no CRL could ever follow. */
START_TEST(nobody_can_use_the_numbers_up) {
        struct crl_numbers numbers = { 0 };
        struct error err = { 0 };

        ck_ok(crl_number_check(&numbers, "int-1", now + SIGNER_CRL_NUMBER_STEP_MAX, now, &err),
              err);
        ck_refused(crl_number_check(&numbers, "int-1", now + SIGNER_CRL_NUMBER_STEP_MAX + 1, now,
                                    &err),
                   err, ERR_STATE_CONFLICT);
        ck_refused(crl_number_check(&numbers, "int-1", INT64_MAX, now, &err), err,
                   ERR_STATE_CONFLICT);
        /* a clock that was years ahead has left its mark: it goes on from there */
        crl_numbers_note(&numbers, "int-1", now + 1000 * DAY);
        ck_ok(crl_number_check(&numbers, "int-1", now + 1000 * DAY + 1, now, &err), err);
        ck_assert_int_eq(crl_number_next(&numbers, "int-1", now), now + 1000 * DAY + 1);
        crl_numbers_note(&numbers, "int-1", INT64_MAX);
        ck_refused(crl_number_check(&numbers, "int-1", INT64_MAX, now, &err), err,
                   ERR_STATE_CONFLICT);
        ck_assert_int_eq(crl_number_next(&numbers, "int-1", now), INT64_MAX);
}
END_TEST

START_TEST(issuers_of_long_ago_make_room_for_new_ones) {
        struct crl_numbers numbers = { 0 }, merged = { 0 };
        char id[SIGNER_ISSUER_MAX];

        for (int i = 1; i <= CRL_NUMBERS_MAX + 1; i++) {
                (void) snprintf(id, sizeof(id), "int-%d", i);
                crl_numbers_note(&numbers, id, now + i);
        }
        ck_assert_int_eq(crl_numbers_last(&numbers, "int-1"), 0);
        ck_assert_int_eq(crl_numbers_last(&numbers, "int-2"), now + 2);
        ck_assert_int_eq(crl_numbers_last(&numbers, id), now + CRL_NUMBERS_MAX + 1);
        crl_numbers_note(&merged, "int-2", now + 1);
        crl_numbers_note(&merged, "int-3", now + 99);
        crl_numbers_merge(&merged, &numbers);
        ck_assert_int_eq(crl_numbers_last(&merged, "int-2"), now + 2);
        ck_assert_int_eq(crl_numbers_last(&merged, "int-3"), now + 99);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("signer-crl");
        TCase *tc = tcase_create("wishes");

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, each_issuer_signs_its_own);
        tcase_add_test(tc, who_has_signed_certificates_says_which_are_revoked_whatever_its_state);
        tcase_add_loop_test(tc, every_other_wish_is_refused, 0, ARRAY_SIZE(refusals));
        tcase_add_test(tc, limits_are_inclusive);
        tcase_add_test(tc, a_crl_ends_with_its_issuer);
        tcase_add_test(tc, an_issuer_that_may_not_sign_crls_does_not);
        tcase_add_test(tc, a_root_key_that_was_taken_away_is_not_used_out_of_memory);
        tcase_add_test(tc, without_a_root_key_all_else_is_signed);
        tcase_add_test(tc, a_root_key_that_is_none_stops_nothing_but_the_roots_crl);
        tcase_add_test(tc, a_key_of_another_is_no_root_key);
        tcase_add_test(tc, a_root_without_a_key_identifier_gets_one);
        tcase_add_test(tc, numbers_only_rise);
        tcase_add_test(tc, nobody_can_use_the_numbers_up);
        tcase_add_test(tc, issuers_of_long_ago_make_room_for_new_ones);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
