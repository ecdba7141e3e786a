/*
 * Access: the whole table, held against one that was written down by hand from design.md §8, caller by caller.
 */
#include "unit.h"

#include <string.h>

#include "daemon/authority/access.h"

static const uint8_t own_spki[32] = { 1, 2, 3 }, other_spki[32] = { 3, 2, 1 };
static const struct bytes own_serial = BYTES_LITERAL("\x10\x01"),
                          other_serial = BYTES_LITERAL("\x10\x02");

/* Who there is, a letter each. */
static const struct {
        char letter;
        const char *who;
        enum principal_kind kind;
        enum role role;
        bool on_unix_socket, owner, expired;
} callers[] = {
        { 'A', "anonymous over HTTPS", PRINCIPAL_ANONYMOUS, ROLE_PUBLIC, false, false, false },
        { 'U', "nobody on the Unix socket", PRINCIPAL_ANONYMOUS, ROLE_PUBLIC, true, false, false },
        { 'p', "a uid without a role", PRINCIPAL_PEER, ROLE_PUBLIC, true, false, false },
        { 'r', "a reader by uid", PRINCIPAL_PEER, ROLE_READER, true, false, false },
        { 'o', "an operator by uid", PRINCIPAL_PEER, ROLE_OPERATOR, true, false, false },
        { 'a', "an admin by uid", PRINCIPAL_PEER, ROLE_ADMIN, true, false, false },
        { 'c', "a device, another's certificate", PRINCIPAL_CERTIFICATE, ROLE_PUBLIC, false, false,
          false },
        { 'w', "a device, its own certificate", PRINCIPAL_CERTIFICATE, ROLE_PUBLIC, false, true,
          false },
        { 'x', "an expired device, its own certificate", PRINCIPAL_CERTIFICATE, ROLE_PUBLIC, false,
          true, true },
        { 'X', "an expired admin certificate, another's", PRINCIPAL_CERTIFICATE, ROLE_ADMIN, false,
          false, true },
        { 'R', "a reader by certificate", PRINCIPAL_CERTIFICATE, ROLE_READER, false, false, false },
        { 'O', "an operator by certificate", PRINCIPAL_CERTIFICATE, ROLE_OPERATOR, false, false,
          false },
        { 'D', "an admin by certificate", PRINCIPAL_CERTIFICATE, ROLE_ADMIN, false, false, false },
        { 't', "a token", PRINCIPAL_TOKEN, ROLE_PUBLIC, false, false, false },
        { 'T', "a token on the Unix socket", PRINCIPAL_TOKEN, ROLE_PUBLIC, true, false, false },
};

/* Who may: all others may not. */
static const struct {
        enum action action;
        const char *may;
} expected[] = {
        { ACTION_NONE, "" },
        { ACTION_READ_PUBLIC, "AUproacwRODtT" },
        { ACTION_READ_METRICS, "roaROD" },
        { ACTION_LIST_CERTIFICATES, "roaROD" },
        { ACTION_ISSUE, "oaODtT" },
        { ACTION_ISSUE_ADMIN, "a" },
        { ACTION_REVOKE, "oaODw" },
        { ACTION_RENEW, "oaODwx" },
        { ACTION_SUBMIT_REQUEST, "AUproacwRODtT" },
        { ACTION_READ_REQUEST, "AUproacwRODtT" },
        { ACTION_LIST_REQUESTS, "roaROD" },
        { ACTION_DECIDE_REQUEST, "oaOD" },
        { ACTION_MANAGE_TOKENS, "oaOD" },
        { ACTION_PUBLISH_CRL, "oaOD" },
        { ACTION_READ_AUDIT, "roaROD" },
        { ACTION_CHANGE_CA, "aD" },
        { ACTION_BACKUP, "a" },
};

static struct principal caller(size_t i) {
        struct principal p = { .kind = callers[i].kind,
                               .role = callers[i].role,
                               .on_unix_socket = callers[i].on_unix_socket,
                               .expired_s = callers[i].expired ? 60 : 0,
                               .text = "somebody" };

        if (p.kind != PRINCIPAL_CERTIFICATE)
                return p;
        memcpy(p.serial, own_serial.data, own_serial.size);
        p.serial_size = own_serial.size;
        memcpy(p.spki, own_spki, sizeof(p.spki));
        return p;
}

START_TEST(every_action_has_a_row_here_and_a_name) {
        ck_assert_uint_eq(ARRAY_SIZE(expected), ACTION_COUNT);
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
                ck_assert_int_eq(expected[i].action, (int) i);
        for (size_t i = 1; i < ARRAY_SIZE(expected); i++)
                ck_assert_str_ne(action_name((enum action) i), "?");
        ck_assert_str_eq(action_name(ACTION_NONE), "?");
        ck_assert_str_eq(action_name(ACTION_COUNT), "?");
}
END_TEST

START_TEST(each_caller_may_what_is_written_down_and_nothing_else) {
        for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
                const struct principal p = caller(i);
                bool may = strchr(expected[_i].may, callers[i].letter) != NULL;
                struct error err = { 0 };
                int rc = access_check_owner(&p, expected[_i].action,
                                            callers[i].owner ? own_spki : other_spki,
                                            callers[i].owner ? own_serial : other_serial, &err);

                ck_assert_msg((rc == 0) == may, "%s, %s: %s", callers[i].who,
                              action_name(expected[_i].action), may ? err.text : "may");
                /* without an object, an owner owns nothing */
                rc = access_check(&p, expected[_i].action, &err);
                ck_assert_msg((rc == 0) ==
                                      (may &&
                                       !(callers[i].owner && strchr("wx", callers[i].letter) &&
                                         !strchr(expected[_i].may, 'c'))),
                              "%s, %s at all", callers[i].who, action_name(expected[_i].action));
                if (may)
                        ck_ok(access_possible(&p, expected[_i].action, &err), err);
        }
}
END_TEST

START_TEST(what_may_never_be_is_refused_before_the_body) {
        for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
                const struct principal p = caller(i);
                const char *may = expected[_i].may;
                bool device = p.kind == PRINCIPAL_CERTIFICATE;
                bool ever = strchr(may, callers[i].letter) ||
                        (device && strchr(may, callers[i].expired ? 'x' : 'w'));

                ck_assert_msg((access_possible(&p, expected[_i].action, NULL) == 0) == ever,
                              "%s, %s", callers[i].who, action_name(expected[_i].action));
        }
}
END_TEST

START_TEST(what_was_not_looked_up_may_do_nothing_yet_and_might_be_good) {
        for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
                struct principal p = caller(i);
                const char *may = expected[_i].may;
                char best = p.kind == PRINCIPAL_TOKEN ? 't' : callers[i].expired ? 'x' : 'D';
                struct error err;

                if (p.kind != PRINCIPAL_CERTIFICATE && p.kind != PRINCIPAL_TOKEN)
                        continue;
                p.role = ROLE_PUBLIC;
                p.pending = true;
                ck_refused(access_check(&p, expected[_i].action, &err), err, ERR_INTERNAL);
                ck_refused(access_check_owner(&p, expected[_i].action, own_spki, own_serial, &err),
                           err, ERR_INTERNAL);
                ck_assert_msg((access_possible(&p, expected[_i].action, NULL) == 0) ==
                                      (strchr(may, best) != NULL),
                              "%s, %s", callers[i].who, action_name(expected[_i].action));
        }
}
END_TEST

START_TEST(an_owner_owns_by_key_and_serial_both) {
        const struct principal p = caller(7);
        static const uint8_t no_spki[32];
        struct error err = { 0 };

        ck_assert_int_eq(callers[7].letter, 'w');
        ck_ok(access_check_owner(&p, ACTION_RENEW, own_spki, own_serial, &err), err);
        ck_refused(access_check_owner(&p, ACTION_RENEW, own_spki, other_serial, &err), err,
                   ERR_FORBIDDEN);
        ck_refused(access_check_owner(&p, ACTION_RENEW, other_spki, own_serial, &err), err,
                   ERR_FORBIDDEN);
        ck_refused(access_check_owner(&p, ACTION_RENEW, own_spki, BYTES(own_serial.data, 1), &err),
                   err, ERR_FORBIDDEN);
        /* nobody owns what has no serial, whoever has none himself */
        const struct principal nobody = { .kind = PRINCIPAL_CERTIFICATE };
        ck_refused(access_check_owner(&nobody, ACTION_RENEW, no_spki, BYTES_NONE, &err), err,
                   ERR_FORBIDDEN);
}
END_TEST

static const struct {
        const char *why;
        char letter;
        enum action action;
        enum error_code code;
        const char *says[4];
} words[] = {
        { "who said nothing can say something",
          'A',
          ACTION_ISSUE,
          ERR_UNAUTHENTICATED,
          { "client certificate", "token", "Unix socket" } },
        { "a token would not help here",
          'A',
          ACTION_LIST_CERTIFICATES,
          ERR_UNAUTHENTICATED,
          { "client certificate, or" } },
        { "no credential helps but the place",
          'A',
          ACTION_BACKUP,
          ERR_FORBIDDEN,
          { "on the Unix socket alone" } },
        { "an admin is told the place",
          'D',
          ACTION_ISSUE_ADMIN,
          ERR_FORBIDDEN,
          { "on the Unix socket alone" } },
        { "a peer is told what to write",
          'p',
          ACTION_REVOKE,
          ERR_FORBIDDEN,
          { "you are somebody", "role public", "role operator", "[Access] Operator=somebody" } },
        { "a reader, too",
          'r',
          ACTION_CHANGE_CA,
          ERR_FORBIDDEN,
          { "role reader", "role admin", "[Access] Admin=", "sudo" } },
        { "a certificate is told its key",
          'c',
          ACTION_LIST_CERTIFICATES,
          ERR_FORBIDDEN,
          { "role reader", "profile admin", "[Access] Reader=spki:010203000000" } },
        { "a stranger is told that the owner may",
          'c',
          ACTION_REVOKE,
          ERR_FORBIDDEN,
          { "the certificate's own key" } },
        { "a token never becomes more",
          't',
          ACTION_MANAGE_TOKENS,
          ERR_FORBIDDEN,
          { "a token", "for getting certificates", "role operator" } },
        { "the expired is told what is left",
          'x',
          ACTION_REVOKE,
          ERR_UNAUTHENTICATED,
          { "has expired", "renew itself" } },
        { "what is public, too", 'X', ACTION_READ_PUBLIC, ERR_UNAUTHENTICATED, { "has expired" } },
};

START_TEST(who_may_not_is_told_the_way_out) {
        for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
                const struct principal p = caller(i);
                struct error err;

                if (callers[i].letter != words[_i].letter)
                        continue;
                ck_refused(access_check(&p, words[_i].action, &err), err, words[_i].code);
                for (size_t n = 0; n < ARRAY_SIZE(words[_i].says) && words[_i].says[n]; n++)
                        ck_assert_msg(strstr(err.text, words[_i].says[n]), "%s: '%s' is not in: %s",
                                      words[_i].why, words[_i].says[n], err.text);
        }
}
END_TEST

START_TEST(what_has_no_row_nobody_may) {
        const struct principal root = {
                .kind = PRINCIPAL_PEER, .role = ROLE_ADMIN, .on_unix_socket = true, .text = "uid:0"
        };
        static const enum action none[] = { ACTION_NONE, ACTION_COUNT, (enum action) - 1 };
        struct error err;

        for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
                ck_refused(access_check(&root, none[i], &err), err, ERR_INTERNAL);
                ck_refused(access_possible(&root, none[i], &err), err, ERR_INTERNAL);
                ck_refused(access_check_owner(&root, none[i], own_spki, own_serial, &err), err,
                           ERR_INTERNAL);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("access");
        TCase *tc = tcase_create("access");

        tcase_add_test(tc, every_action_has_a_row_here_and_a_name);
        tcase_add_loop_test(tc, each_caller_may_what_is_written_down_and_nothing_else, 0,
                            ARRAY_SIZE(expected));
        tcase_add_loop_test(tc, what_may_never_be_is_refused_before_the_body, 0,
                            ARRAY_SIZE(expected));
        tcase_add_loop_test(tc, what_was_not_looked_up_may_do_nothing_yet_and_might_be_good, 0,
                            ARRAY_SIZE(expected));
        tcase_add_test(tc, an_owner_owns_by_key_and_serial_both);
        tcase_add_loop_test(tc, who_may_not_is_told_the_way_out, 0, ARRAY_SIZE(words));
        tcase_add_test(tc, what_has_no_row_nobody_may);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
