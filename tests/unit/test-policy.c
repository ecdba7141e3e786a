/*
 * The signer's policy: every refusal, each with a wish that differs in one thing from one that is granted.
 */
#include "signer-fixture.h"

static struct scratch scratch;
static struct ca *ca;
static struct profile_set *profiles;
static struct buffer p256, rsa2048;
static int64_t now;

/* Everything that a case may change; the defaults are granted. */
struct wish {
        struct sign_issue issue;
        const char *profile, *common_name;
        const char *names[SAN_COUNT_MAX + 1];
        struct bytes names_der, spki;
        struct validity validity;
        int64_t now;
        uint8_t octets[CERT_MAX];
};

static void set_up(void) {
        struct error err = { 0 };

        scratch_open(&scratch);
        scratch_ca(&scratch, NULL);
        ca = scratch_load(&scratch);
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
        key_spki(KEY_ECDSA_P256, 0, &p256);
        key_spki(KEY_RSA, 2048, &rsa2048);
        now = moment_now();
}

static void tear_down(void) {
        ca = ca_free(ca);
        profiles = profiles_free(profiles);
        buffer_done(&p256);
        buffer_done(&rsa2048);
        scratch_close(&scratch);
}

static int check(struct wish *w, struct policy_grant *ret, struct error *err) {
        const char *profile = w->profile ? w->profile : "server";
        const struct profile *row = profiles_find(profiles, profile, NULL);

        (void) snprintf(w->issue.profile, sizeof(w->issue.profile), "%s", profile);
        if (row)
                memcpy(w->issue.profile_digest, row->digest, sizeof(row->digest));
        (void) snprintf(w->issue.common_name, sizeof(w->issue.common_name), "%s",
                        w->common_name ? w->common_name : "");
        if (!w->names[0])
                w->names[0] = "nas.lan";
        w->issue.names = w->names_der.data ? w->names_der
                                           : names_der(w->octets, sizeof(w->octets), w->names);
        w->issue.spki = w->spki.data ? w->spki : buffer_bytes(&p256);
        w->issue.validity = w->validity.not_after
                ? w->validity
                : (struct validity){ now - 3600, now - 3600 + 90 * DAY - 1 };
        return policy_check(ca, profiles, &w->issue, w->now ? w->now : now, ret, err);
}

/* Granted by check(), for more checks on the grant. */
static void grant(struct wish *w, struct policy_grant *ret) {
        struct error err = { 0 };

        ck_ok(check(w, ret, &err), err);
}

static void refuse(struct wish w, enum error_code code, const char *field, const char *words) {
        struct policy_grant ret, untouched;
        struct error err;

        memset(&ret, 0xa5, sizeof(ret));
        memcpy(&untouched, &ret, sizeof(ret));
        ck_refused(check(&w, &ret, &err), err, code);
        ck_assert_str_eq(err.field, field);
        ck_assert_msg(strstr(err.text, words), "'%s' is not in '%s'", words, err.text);
        ck_assert_msg(memcmp(&ret, &untouched, sizeof(ret)) == 0, "a grant on refusal");
}

START_TEST(a_good_wish_is_granted_as_it_is) {
        struct wish w = { .names = { "nas.lan", "192.168.1.10" }, .common_name = "nas.lan" };
        CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

        grant(&w, &g);
        ck_assert_str_eq(g.issuer->id, "int-1");
        ck_assert_str_eq(g.wish.profile->name, "server");
        ck_assert_str_eq(g.wish.common_name, "nas.lan");
        ck_assert_uint_eq(g.wish.names->count, 2);
        ck_assert_int_eq(g.wish.key_type, KEY_ECDSA_P256);
        ck_assert_uint_eq(g.wish.serial.size, 0);
        ck_assert(bytes_equal(g.wish.spki, buffer_bytes(&p256)));
        ck_assert_int_eq(g.wish.validity.not_before, w.issue.validity.not_before);
        ck_assert_int_eq(g.wish.validity.not_after, w.issue.validity.not_after);
}
END_TEST

START_TEST(each_profile_grants_its_own_kinds_of_names) {
        static const struct {
                const char *profile, *name;
        } rows[] = { { "server", "*.nas.lan" }, { "peer", "10.1.2.3" },
                     { "device", "fd00::1" },   { "client", "https://nas.lan/x" },
                     { "user", "a@home.arpa" }, { "admin", "a@home.arpa" },
                     { "ocsp", "ocsp.lan" } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct wish w = { .profile = rows[i].profile,
                                  .names = { rows[i].name },
                                  .validity = { now, now + 7 * DAY - 1 } };
                CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

                grant(&w, &g);
                ck_assert_ptr_null(g.wish.common_name);
        }
}
END_TEST

START_TEST(only_the_active_issuer_signs) {
        static const char *const others[] = { "int-2", "root", "int-9", "Int-1" };

        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                struct wish w = { 0 };

                (void) snprintf(w.issue.issuer, sizeof(w.issue.issuer), "%s", others[i]);
                refuse(w, ERR_CA_MISSING, "", others[i]);
        }
        struct wish w = { .issue = { .issuer = "int-1" } };
        CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

        grant(&w, &g);
}
END_TEST

START_TEST(an_expired_issuer_signs_nothing) {
        int64_t end = ca->issuers[0].cert.validity.not_after;
        struct wish last = { .now = end, .validity = { end - 60, end } };
        struct error err;
        struct policy_grant g = { 0 };

        refuse((struct wish){ .now = end + 1 }, ERR_CA_EXPIRED, "", "int-1");
        ck_refused(check(&last, &g, &err), err,
                   ERR_VALIDITY_OUT_OF_RANGE); /* the very last second gives a leaf that is over */
}
END_TEST

START_TEST(a_profile_is_known_and_the_same) {
        struct wish w = { 0 };
        struct policy_grant g;
        struct error err = { 0 };

        refuse((struct wish){ .profile = "ca" }, ERR_PROFILE_UNKNOWN, "profile", "server");
        grant(&w, &g);
        policy_grant_done(&g);
        for (size_t i = 0; i < PROFILE_DIGEST_SIZE; i++) {
                w.issue.profile_digest[i] ^= 1;
                ck_refused(policy_check(ca, profiles, &w.issue, now, &g, &err), err,
                           ERR_PROFILE_STALE);
                w.issue.profile_digest[i] ^= 1;
        }
}
END_TEST

START_TEST(the_cas_own_keys_are_reserved) {
        refuse((struct wish){ .spki = ca->root.spki }, ERR_KEY_RESERVED, "csr.key", "own");
        for (size_t i = 0; i < ca->issuer_count; i++)
                refuse((struct wish){ .spki = ca->issuers[i].cert.spki }, ERR_KEY_RESERVED,
                       "csr.key", "own");
}
END_TEST

START_TEST(a_key_is_checked_again) {
        uint8_t bad[256];
        size_t size = p256.size;

        memcpy(bad, p256.data, size);
        bad[size - 1] ^= 1;
        refuse((struct wish){ .spki = BYTES(bad, size) }, ERR_KEY_INVALID, "csr.key", "curve");
        refuse((struct wish){ .spki = BYTES(bad, size - 1) }, ERR_KEY_INVALID, "csr.key", "");
        refuse((struct wish){ .spki = BYTES(bad, 0) }, ERR_KEY_INVALID, "csr.key", "");
        struct wish rsa = { .spki = buffer_bytes(&rsa2048) };
        CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

        grant(&rsa, &g);
        ck_assert_int_eq(g.wish.key_type, KEY_RSA);
}
END_TEST

static const struct {
        const char *why, *profile, *name;
        enum error_code code;
} bad_names[] = {
        { "a public name", NULL, "example.com", ERR_NAME_NOT_PERMITTED },
        { "a public address", NULL, "8.8.8.8", ERR_NAME_NOT_PERMITTED },
        { "a public IPv6 address", NULL, "2001:db8::1", ERR_NAME_NOT_PERMITTED },
        { "a name that only ends like one", NULL, "evillan", ERR_NAME_NOT_PERMITTED },
        { "e-mail elsewhere", "user", "a@example.com", ERR_NAME_NOT_PERMITTED },
        { "a URI elsewhere", "client", "https://example.com/", ERR_NAME_NOT_PERMITTED },
        { "a kind that the profile has not", NULL, "a@home.arpa", ERR_NAME_NOT_ALLOWED },
        { "the other way round", "user", "nas.lan", ERR_NAME_NOT_ALLOWED },
        { "a wildcard where there are none", "device", "*.nas.lan", ERR_NAME_NOT_ALLOWED },
};

START_TEST(a_bad_name_is_refused_wherever_it_stands) {
        for (size_t at = 0; at < 3; at++) {
                struct wish w = { .profile = bad_names[_i].profile };
                bool user = w.profile && strcmp(w.profile, "user") == 0;
                char field[ERROR_FIELD_MAX];

                for (size_t i = 0; i < 3; i++)
                        w.names[i] = i == at ? bad_names[_i].name
                                : user       ? (const char *[]){ "a@lan", "b@lan", "c@lan" }[i]
                                             : (const char *[]){ "a.lan", "b.lan", "c.lan" }[i];
                (void) snprintf(field, sizeof(field), "names[%zu]", at);
                refuse(w, bad_names[_i].code, field, bad_names[_i].name);
        }
}
END_TEST

START_TEST(the_kth_of_a_hundred_is_found) { /* threats.md R-16 */
        char texts[SAN_COUNT_MAX][16], field[ERROR_FIELD_MAX];

        for (int k = 0; k < SAN_COUNT_MAX; k++) {
                static struct wish w;

                w = (struct wish){ 0 };
                for (int i = 0; i < SAN_COUNT_MAX; i++) {
                        (void) snprintf(texts[i], sizeof(texts[i]), i == k ? "n%d.com" : "n%d.lan",
                                        i);
                        w.names[i] = texts[i];
                }
                (void) snprintf(field, sizeof(field), "names[%d]", k);
                refuse(w, ERR_NAME_NOT_PERMITTED, field, texts[k]);
        }
}
END_TEST

START_TEST(names_that_are_no_names_are_refused) {
        refuse((struct wish){ .names_der = BYTES("", 0) }, ERR_CSR_MALFORMED, "names", "");
        refuse((struct wish){ .names_der = BYTES_LITERAL("\x30\x00") }, ERR_CSR_MALFORMED, "names",
               "");
        refuse((struct wish){ .names_der = BYTES_LITERAL("\x30\x09\x82\x07nas.la") },
               ERR_CSR_MALFORMED, "names", "");
        refuse((struct wish){ .names_der = BYTES_LITERAL("\x30\x09\x82\x07nas.lan\x00") },
               ERR_CSR_MALFORMED, "names", "");
        refuse((struct wish){ .names_der = BYTES_LITERAL("\x30\x09\x82\x07nas\0lan") },
               ERR_NAME_INVALID, "names[0]", "");
        refuse((struct wish){ .names_der = BYTES_LITERAL("\x30\x04\x88\x02\x2a\x03") },
               ERR_NAME_NOT_ALLOWED, "names[0]", "");
}
END_TEST

START_TEST(a_common_name_is_one_of_the_names) {
        static const char *const wrong[] = { "a.com",    "nas",      "NAS.LAN",
                                             "10.0.0.1", " nas.lan", "nas.lan " };
        struct wish w = { .names = { "a.lan", "nas.lan", "10.0.0.1" }, .common_name = "nas.lan" };
        CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

        grant(&w, &g);
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
                refuse((struct wish){ .names = { "a.lan", "nas.lan", "10.0.0.1" },
                                      .common_name = wrong[i] },
                       ERR_CSR_SUBJECT, "csr.subject.CN", wrong[i]);
}
END_TEST

static const struct {
        const char *why;
        int64_t from, to; /* relative to now */
        bool granted;
        const char *field;
} validities[] = {
        { "the longest", 0, 397 * DAY - 1, true, "" },
        { "a second longer", 0, 397 * DAY, false, "validity" },
        { "100 years", 0, 36500 * DAY, false, "validity" },
        { "ends before it begins", 10, 9, false, "validity" },
        { "one second", 5, 5, true, "" },
        { "set back as far as the profile goes", -3600, DAY, true, "" },
        { "and the skew between two readings", -3660, DAY, true, "" },
        { "a second further", -3661, DAY, false, "not_before" },
        { "over", -3600, -1, false, "not_before" },
        { "over now", -3600, 0, false, "not_before" },
        { "over in a second", -3600, 1, true, "" },
        { "begins as late as may be", 397 * DAY, 398 * DAY, true, "" },
        { "begins later", 397 * DAY + 1, 398 * DAY, false, "not_before" },
};

START_TEST(a_validity_is_inside_profile_and_present) {
        struct wish w = { .validity = { now + validities[_i].from, now + validities[_i].to } };

        if (validities[_i].granted) {
                CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

                grant(&w, &g);
        } else {
                refuse(w, ERR_VALIDITY_OUT_OF_RANGE, validities[_i].field, "validity");
        }
}
END_TEST

START_TEST(numbers_at_their_ends_overflow_nothing) {
        static const struct validity wrong[] = {
                { INT64_MIN, INT64_MAX }, { INT64_MIN, INT64_MIN + 1 }, { -1, 5 },
                { 0, INT64_MAX },         { INT64_MAX, INT64_MAX },     { 0, MOMENT_LAST + 1 }
        };

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
                refuse((struct wish){ .validity = wrong[i] }, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                       "");
}
END_TEST

START_TEST(a_validity_is_inside_the_issuers) {
        const struct validity *bounds = &ca->issuers[0].cert.validity;
        struct wish w = { .now = bounds->not_after - 30 * DAY,
                          .validity = { bounds->not_after - 30 * DAY, bounds->not_after } };
        CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

        grant(&w, &g);
        w.validity.not_after++;
        refuse(w, ERR_VALIDITY_OUT_OF_RANGE, "validity", "int-1");
        w = (struct wish){ .now = bounds->not_before,
                           .validity = { bounds->not_before - 1, bounds->not_before + DAY } };
        refuse(w, ERR_VALIDITY_OUT_OF_RANGE, "validity", "int-1");
}
END_TEST

START_TEST(the_roots_constraints_count_where_they_are_narrower) {
        struct ca_issuer *issuer = &ca->issuers[0];
        struct error err = { 0 };

        issuer->root_constraints = constraints_new();
        ck_ok(constraints_permit_dns(issuer->root_constraints, "home.lan", &err), err);
        ck_ok(constraints_close(issuer->root_constraints, &err), err);
        refuse((struct wish){ .names = { "a.home.lan", "nas.lan" } }, ERR_NAME_NOT_PERMITTED,
               "names[1]", "nas.lan");
        refuse((struct wish){ .names = { "10.0.0.1" } }, ERR_NAME_NOT_PERMITTED, "names[0]",
               "10.0.0.1");
        struct wish w = { .names = { "a.home.lan" } };
        CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

        grant(&w, &g);
}
END_TEST

START_TEST(a_grant_does_not_point_into_itself_wrongly) {
        struct wish w = { .names = { "nas.lan" }, .common_name = "nas.lan" };
        CAD_AUTO(policy_grant_done) struct policy_grant g = { 0 };

        grant(&w, &g);
        ck_assert_ptr_eq(g.wish.names, &g.names);
        ck_assert_ptr_eq(g.wish.common_name, g.common_name);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("policy");
        TCase *tc = tcase_create("policy");

        tcase_add_unchecked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, a_good_wish_is_granted_as_it_is);
        tcase_add_test(tc, each_profile_grants_its_own_kinds_of_names);
        tcase_add_test(tc, only_the_active_issuer_signs);
        tcase_add_test(tc, an_expired_issuer_signs_nothing);
        tcase_add_test(tc, a_profile_is_known_and_the_same);
        tcase_add_test(tc, the_cas_own_keys_are_reserved);
        tcase_add_test(tc, a_key_is_checked_again);
        tcase_add_loop_test(tc, a_bad_name_is_refused_wherever_it_stands, 0, ARRAY_SIZE(bad_names));
        tcase_add_test(tc, the_kth_of_a_hundred_is_found);
        tcase_add_test(tc, names_that_are_no_names_are_refused);
        tcase_add_test(tc, a_common_name_is_one_of_the_names);
        tcase_add_loop_test(tc, a_validity_is_inside_profile_and_present, 0,
                            ARRAY_SIZE(validities));
        tcase_add_test(tc, numbers_at_their_ends_overflow_nothing);
        tcase_add_test(tc, a_validity_is_inside_the_issuers);
        tcase_add_test(tc, a_grant_does_not_point_into_itself_wrongly);
        tcase_add_test(
                tc,
                the_roots_constraints_count_where_they_are_narrower); /* changes the CA: last where nothing forks */
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
