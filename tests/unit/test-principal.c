/*
 * Principals: who has which role on the Unix socket, and by certificate.
 */
#include "unit.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/authority/principal.h"

#define SPKI "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

static struct access_list *list;

static void set_up(void) {
        list = access_list_new();
        ck_assert_ptr_nonnull(list);
}

static void tear_down(void) {
        list = access_list_free(list);
        ck_assert_ptr_null(list);
}

static void add(enum role role, const char *word) {
        struct error err = { 0 };

        ck_ok(access_list_add(list, role, word, &err), err);
}

static enum role role_of(uid_t uid, gid_t gid, const gid_t *groups, size_t count) {
        const struct peer_identity peer = {
                .uid = uid, .gid = gid, .groups = groups, .group_count = count
        };
        struct principal p;
        char text[32];

        principal_of_peer(list, &peer, &p);
        (void) snprintf(text, sizeof(text), "uid:%u", (unsigned) uid);
        ck_assert_str_eq(p.text, text);
        ck_assert(p.on_unix_socket);
        return p.role;
}

START_TEST(each_role_has_a_name_and_nothing_else_has) {
        static const char *const names[] = { "public", "reader", "operator", "admin" };

        for (size_t i = 0; i < ROLE_COUNT; i++)
                ck_assert_str_eq(role_name((enum role) i), names[i]);
        ck_assert_str_eq(role_name(ROLE_COUNT), "?");
}
END_TEST

START_TEST(root_and_the_user_of_cad_are_admins_and_nobody_else_is_anything) {
        ck_assert_int_eq(role_of(0, 0, NULL, 0), ROLE_ADMIN);
        ck_assert_int_eq(role_of(geteuid(), 54321, NULL, 0), ROLE_ADMIN);
        ck_assert_int_eq(role_of(54321, 54321, NULL, 0), ROLE_PUBLIC);
        ck_assert_int_eq(role_of(54321, 0, (gid_t[]){ 0 }, 1),
                         ROLE_PUBLIC); /* root's group is not root */
        ck_assert_int_eq(role_of((uid_t) -1, (gid_t) -1, NULL, 0), ROLE_PUBLIC);
}
END_TEST

static const struct {
        const char *why;
        uid_t uid;
        gid_t gid;
        gid_t groups[3];
        size_t group_count;
        enum role role;
} peers[] = {
        { "by uid", 1001, 1, { 0 }, 0, ROLE_READER },
        { "by uid, in no group of use", 1001, 5, { 6, 7, 8 }, 3, ROLE_READER },
        { "by primary group", 1234, 2001, { 0 }, 0, ROLE_OPERATOR },
        { "by the last of the other groups", 1234, 1, { 5, 6, 2001 }, 3, ROLE_OPERATOR },
        { "a group behind the end of the list does not count",
          1234,
          1,
          { 5, 6, 2001 },
          2,
          ROLE_PUBLIC },
        { "the highest counts, however it is come by", 1001, 2001, { 0 }, 0, ROLE_OPERATOR },
        { "the highest counts, whichever was said first", 1003, 2001, { 2001 }, 1, ROLE_ADMIN },
        { "a uid is no gid", 2001, 1, { 0 }, 0, ROLE_PUBLIC },
        { "a gid is no uid", 1234, 1001, { 1001 }, 1, ROLE_PUBLIC },
        { "nobody of note", 64444, 64444, { 64444 }, 1, ROLE_PUBLIC },
};

START_TEST(the_highest_role_of_uid_and_groups_counts) {
        add(ROLE_READER, "uid:1001");
        add(ROLE_ADMIN, "uid:1003");
        add(ROLE_READER, "uid:1003");
        add(ROLE_OPERATOR, "gid:2001");
        ck_assert_msg(role_of(peers[_i].uid, peers[_i].gid, peers[_i].groups,
                              peers[_i].group_count) == peers[_i].role,
                      "%s", peers[_i].why);
}
END_TEST

START_TEST(users_and_groups_are_known_by_name) {
        const struct passwd *user = getpwnam("daemon");
        const struct group *group = getgrnam("daemon");

        if (!user || !group || user->pw_uid == geteuid())
                return;
        add(ROLE_READER, "uid:daemon");
        add(ROLE_OPERATOR, "gid:daemon");
        ck_assert_int_eq(role_of(user->pw_uid, 54321, NULL, 0), ROLE_READER);
        ck_assert_int_eq(role_of(54321, group->gr_gid, NULL, 0), ROLE_OPERATOR);
}
END_TEST

START_TEST(what_tls_would_prove_the_kernel_does_not) {
        add(ROLE_ADMIN, "cert:admin");
        add(ROLE_ADMIN, "spki:" SPKI);
        ck_assert_int_eq(role_of(54321, 54321, NULL, 0), ROLE_PUBLIC);
}
END_TEST

static const struct {
        const char *why, *word;
} bad_words[] = {
        { "nothing", "" },
        { "a name without a kind", "anna" },
        { "an unknown kind", "user:anna" },
        { "another case", "UID:0" },
        { "a kind alone", "uid:" },
        { "a group alone", "gid:" },
        { "no such user", "uid:no-such-user-here" },
        { "no such group", "gid:no-such-group-here" },
        { "a negative uid is the largest one", "uid:-1" },
        { "(uid_t) -1 is no user", "uid:4294967295" },
        { "more than a uid holds", "uid:4294967296" },
        { "wraps to root", "uid:18446744073709551616" },
        { "hex", "uid:0x0" },
        { "a certificate without a name", "cert:" },
        { "a key without a digest", "spki:" },
        { "half a digest", "spki:0123456789abcdef" },
        { "a digest and more", "spki:" SPKI "00" },
        { "no hex", "spki:g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
};

START_TEST(a_word_that_is_none_is_refused_and_gives_nobody_a_role) {
        struct error err;

        ck_refused(access_list_add(list, ROLE_ADMIN, bad_words[_i].word, &err), err, ERR_CONFIG);
        ck_assert_msg(err.text[0] != '\0', "%s", bad_words[_i].why);
        ck_assert_int_eq(role_of(54321, 54321, NULL, 0), ROLE_PUBLIC);
        ck_assert_int_eq(role_of((uid_t) -1, (gid_t) -1, NULL, 0), ROLE_PUBLIC);
}
END_TEST

START_TEST(a_long_name_is_refused) {
        char word[400];
        struct error err;

        (void) snprintf(word, sizeof(word), "cert:%0*d", 300, 0);
        ck_refused(access_list_add(list, ROLE_ADMIN, word, &err), err, ERR_CONFIG);
}
END_TEST

START_TEST(the_list_has_an_end) {
        struct error err = { 0 };
        int added = 0;

        while (access_list_add(list, ROLE_READER, "uid:77777", &err) == 0)
                added++;
        ck_assert_int_eq(err.code, ERR_CONFIG);
        ck_assert_int_gt(added, 200);
        ck_assert_int_eq(role_of(77777, 1, NULL, 0), ROLE_READER);
}
END_TEST

START_TEST(a_role_can_be_emptied_but_for_root) {
        add(ROLE_ADMIN, "uid:1003");
        add(ROLE_READER, "uid:1001");
        access_list_reset(list, ROLE_ADMIN);
        ck_assert_int_eq(role_of(1003, 1, NULL, 0), ROLE_PUBLIC);
        ck_assert_int_eq(role_of(1001, 1, NULL, 0), ROLE_READER);
        ck_assert_int_eq(role_of(0, 0, NULL, 0), ROLE_ADMIN);
        ck_assert_int_eq(role_of(geteuid(), 1, NULL, 0), ROLE_ADMIN);
        add(ROLE_ADMIN, "uid:1003");
        ck_assert_int_eq(role_of(1003, 1, NULL, 0), ROLE_ADMIN);
}
END_TEST

/* ---- certificates ---- */

static const struct certificate_identity of_anna = {
        .profile = "admin",
        .label = "Anna",
        .names = (const char *const[]){ "anna.lan", "anna@home.lan" },
        .name_count = 2,
        .spki = (const uint8_t
                         *) "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"
                            "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef",
};

static const struct {
        const char *why, *word;
        bool fits;
} certificate_words[] = {
        { "by its key", "spki:" SPKI, true },
        { "by another key", "spki:1123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef",
          false },
        { "by its label", "cert:Anna", true },
        { "a label in another case is another one", "cert:anna", false },
        { "by its first name", "cert:anna.lan", true },
        { "by another name", "cert:anna@home.lan", true },
        { "names have no case", "cert:ANNA.lan", true },
        { "a part of a name is none", "cert:anna@home", false },
        { "a name is no pattern", "cert:*.lan", false },
        { "a uid is proved by the kernel alone", "uid:0", false },
        { "a gid, too", "gid:0", false },
};

START_TEST(an_admin_certificate_has_the_role_of_its_key_label_or_name) {
        add(ROLE_OPERATOR, certificate_words[_i].word);
        ck_assert_msg(access_role_of_certificate(list, &of_anna) ==
                              (certificate_words[_i].fits ? ROLE_OPERATOR : ROLE_PUBLIC),
                      "%s", certificate_words[_i].why);
}
END_TEST

START_TEST(certificates_of_other_profiles_have_no_role) {
        static const char *const profiles[] = { "server", "client", "device", "user",
                                                "Admin",  "admin2", "" };
        struct certificate_identity other = of_anna;

        for (size_t i = 0; i < ARRAY_SIZE(certificate_words); i++)
                add(ROLE_ADMIN, certificate_words[i].word);
        ck_assert_int_eq(access_role_of_certificate(list, &other), ROLE_ADMIN);
        for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
                other.profile = profiles[i];
                ck_assert_int_eq(access_role_of_certificate(list, &other), ROLE_PUBLIC);
        }
}
END_TEST

START_TEST(the_highest_role_of_a_certificate_counts) {
        add(ROLE_READER, "cert:Anna");
        add(ROLE_ADMIN, "cert:anna.lan");
        add(ROLE_OPERATOR, "spki:" SPKI);
        ck_assert_int_eq(access_role_of_certificate(list, &of_anna), ROLE_ADMIN);
        access_list_reset(list, ROLE_ADMIN);
        ck_assert_int_eq(access_role_of_certificate(list, &of_anna), ROLE_OPERATOR);
}
END_TEST

START_TEST(a_certificate_that_says_nothing_has_no_role) {
        static const uint8_t spki[32];
        const struct certificate_identity nobody = { .profile = "admin", .spki = spki };

        for (size_t i = 0; i < ARRAY_SIZE(certificate_words); i++)
                add(ROLE_ADMIN, certificate_words[i].word);
        ck_assert_int_eq(access_role_of_certificate(list, &nobody), ROLE_PUBLIC);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("principal");
        TCase *tc = tcase_create("principal");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, each_role_has_a_name_and_nothing_else_has);
        tcase_add_test(tc, root_and_the_user_of_cad_are_admins_and_nobody_else_is_anything);
        tcase_add_loop_test(tc, the_highest_role_of_uid_and_groups_counts, 0, ARRAY_SIZE(peers));
        tcase_add_test(tc, users_and_groups_are_known_by_name);
        tcase_add_test(tc, what_tls_would_prove_the_kernel_does_not);
        tcase_add_loop_test(tc, a_word_that_is_none_is_refused_and_gives_nobody_a_role, 0,
                            ARRAY_SIZE(bad_words));
        tcase_add_test(tc, a_long_name_is_refused);
        tcase_add_test(tc, the_list_has_an_end);
        tcase_add_test(tc, a_role_can_be_emptied_but_for_root);
        tcase_add_loop_test(tc, an_admin_certificate_has_the_role_of_its_key_label_or_name, 0,
                            ARRAY_SIZE(certificate_words));
        tcase_add_test(tc, certificates_of_other_profiles_have_no_role);
        tcase_add_test(tc, the_highest_role_of_a_certificate_counts);
        tcase_add_test(tc, a_certificate_that_says_nothing_has_no_role);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
