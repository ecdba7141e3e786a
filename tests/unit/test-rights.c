/*
 * Rights where the work is done: what the authority does for somebody it refuses to whom the table gives nothing, whether or not the
 * route has asked before. There is neither a CA nor a signer here, so that whatever goes on after the question fails otherwise.
 */
#include "tests/unit/store-fixture.h"

#include "daemon/authority/audit.h"
#include "daemon/authority/backup.h"
#include "daemon/authority/internal.h"
#include "daemon/authority/renew.h"
#include "daemon/authority/requests.h"
#include "daemon/authority/rotation.h"
#include "daemon/authority/tokens.h"
#include "lib/base/text.h"

static struct authority *authority;
static char serial[2 * STORE_SERIAL_MAX + 1]; /* of a certificate that is there */

static void set_up(void) {
        struct profile_set *profiles = NULL;
        struct made m;
        struct error err = { 0 };

        fixture_setup();
        put_many(7, 1, 0);
        (void) hex_encode(make(&m, 7)->serial, serial);
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
        ck_ok(authority_new(profiles, access_list_new(), &authority, &err), err);
        authority->store = fixture_store;
}

static void tear_down(void) {
        authority = authority_free(authority); /* the store with it */
        fixture_store = NULL;
        fixture_teardown();
}

/* ---- what is asked for ---- */

static void never_issued(void *context, const struct issued *issued, const struct error *err) {
        (void) context, (void) issued, (void) err;
        ck_abort_msg("somebody was answered");
}

static void never_published(void *context, const struct error *err) {
        (void) context, (void) err;
        ck_abort_msg("somebody was answered");
}

static void no_certificate(const struct cert_row *row, void *data) {
        (void) row, (void) data;
        ck_abort_msg("a certificate was listed");
}

static void no_request(const struct request_row *row, void *data) {
        (void) row, (void) data;
        ck_abort_msg("a request was listed");
}

static void no_token(const struct token_row *row, void *data) {
        (void) row, (void) data;
        ck_abort_msg("a token was listed");
}

static void no_row(const struct audit_row *row, void *data) {
        (void) row, (void) data;
        ck_abort_msg("a row of the audit was listed");
}

static int list(const struct principal *p, struct error *err) {
        const struct cert_filter any = { .status = CERT_FILTER_ANY };
        char next[STORE_CURSOR_MAX];

        return authority_list(authority, p, &any, NULL, 10, no_certificate, NULL, next, err);
}

static int issue(const struct principal *p, struct error *err) {
        const struct issue_request rq = { .principal = p };

        return authority_issue(authority, &rq, never_issued, NULL, err);
}

static int withdraw(const struct principal *p, struct error *err) {
        const struct revoke_request rq = { .principal = p, .serial = serial };
        struct cert_row *row;

        return authority_revoke(authority, &rq, &row, err);
}

static int renew(const struct principal *p, struct error *err) {
        const struct renew_request rq = { .principal = p, .serial = serial };

        return authority_renew(authority, &rq, never_issued, NULL, err);
}

static int publish(const struct principal *p, struct error *err) {
        const struct publish_request rq = { .principal = p };

        return authority_publish(authority, &rq, never_published, NULL, err);
}

static int list_requests(const struct principal *p, struct error *err) {
        char next[STORE_CURSOR_MAX];

        return requests_list(authority, p, REQUEST_STATUS_COUNT, NULL, 10, no_request, NULL, next,
                             err);
}

static int find_request(const struct principal *p, struct error *err) {
        struct request_row *row;
        bool by_id;

        return requests_find(authority, p, "7XK2M9QP", &row, &by_id, err);
}

static int approve(const struct principal *p, struct error *err) {
        const struct issue_request rq = { .principal = p };

        return requests_approve(authority, &rq, "7XK2M9QP", never_issued, NULL, err);
}

static int deny(const struct principal *p, struct error *err) {
        const struct issue_request rq = { .principal = p };
        struct request_row *row;

        return requests_deny(authority, &rq, "7XK2M9QP", NULL, &row, err);
}

static int create_token(const struct principal *p, struct error *err) {
        const struct token_wish wish = { .principal = p, .uses = 1 };
        char text[TOKEN_TEXT_MAX];
        struct token_row *row;

        return tokens_create(authority, &wish, &row, text, err);
}

static int find_token(const struct principal *p, struct error *err) {
        struct token_row *row;

        return tokens_find(authority, p, "0000000000000001", &row, err);
}

static int list_tokens(const struct principal *p, struct error *err) {
        char next[STORE_CURSOR_MAX];

        return tokens_list(authority, p, NULL, 10, no_token, NULL, next, err);
}

static int revoke_token(const struct principal *p, struct error *err) {
        const struct token_revocation rq = { .principal = p, .id = "0000000000000001" };
        struct token_row *row;

        return tokens_revoke(authority, &rq, &row, err);
}

static int list_audit(const struct principal *p, struct error *err) {
        const struct audit_filter all = { 0 };
        char next[AUDIT_CURSOR_MAX];

        return audit_list(authority, p, &all, NULL, 10, no_row, NULL, next, err);
}

static int read_anchors(const struct principal *p, struct error *err) {
        struct audit_state state;

        return audit_state(authority, p, &state, err);
}

static int back_up(const struct principal *p, struct error *err) {
        const struct audit_event what = { 0 };

        return authority_backup(authority, p, &what, fixture_fd, err);
}

static int prepare(const struct principal *p, struct error *err) {
        const struct rotation_request rq = { .principal = p };
        const struct ca_info_issuer *made;

        return authority_prepare_standby(authority, &rq, &made, err);
}

static int activate(const struct principal *p, struct error *err) {
        const struct rotation_request rq = { .principal = p };
        const struct ca_info_issuer *made;

        return authority_activate(authority, &rq, "int-2", &made, err);
}

static const struct {
        const char *what;
        enum role least;
        int (*call)(const struct principal *p, struct error *err);
        bool for_tokens, on_socket_alone;
} calls[] = {
        { "listing certificates", ROLE_READER, list },
        { "issuing", ROLE_OPERATOR, issue, .for_tokens = true },
        { "revoking", ROLE_OPERATOR, withdraw },
        { "renewing", ROLE_OPERATOR, renew },
        { "publishing CRLs", ROLE_OPERATOR, publish },
        { "listing requests", ROLE_READER, list_requests },
        { "looking at a request by its code", ROLE_READER, find_request },
        { "approving", ROLE_OPERATOR, approve },
        { "denying", ROLE_OPERATOR, deny },
        { "making a token", ROLE_OPERATOR, create_token },
        { "looking at a token", ROLE_OPERATOR, find_token },
        { "listing tokens", ROLE_OPERATOR, list_tokens },
        { "revoking a token", ROLE_OPERATOR, revoke_token },
        { "reading the audit", ROLE_READER, list_audit },
        { "reading its anchors", ROLE_READER, read_anchors },
        { "making a backup", ROLE_ADMIN, back_up, .on_socket_alone = true },
        { "making a standby", ROLE_ADMIN, prepare },
        { "changing over to it", ROLE_ADMIN, activate },
};

/* ---- by whom ---- */

static void check_refused(int call, const struct principal *p, enum error_code code) {
        struct error err = { 0 };

        ck_assert_msg(calls[call].call(p, &err) < 0, "%s, by %s", calls[call].what, p->text);
        ck_assert_msg(err.code == code, "%s, by %s: %s", calls[call].what, p->text, err.text);
}

START_TEST(nobody_gets_what_the_table_does_not_give) {
        const struct principal anonymous = { .text = "anonymous" },
                               token = { .kind = PRINCIPAL_TOKEN,
                                         .token_id = "0000000000000001",
                                         .text = "token:1" },
                               device = { .kind = PRINCIPAL_CERTIFICATE,
                                          .serial = { 5 },
                                          .serial_size = 1,
                                          .text = "cert:05" },
                               pending = { .kind = PRINCIPAL_CERTIFICATE,
                                           .pending = true,
                                           .role = ROLE_ADMIN,
                                           .text = "cert:06" };
        struct principal below = { .kind = PRINCIPAL_PEER,
                                   .on_unix_socket = true,
                                   .role = (enum role)(calls[_i].least - 1),
                                   .text = "uid:1" };

        check_refused(_i, &anonymous,
                      calls[_i].on_socket_alone ? ERR_FORBIDDEN : ERR_UNAUTHENTICATED);
        if (!calls[_i].for_tokens)
                check_refused(_i, &token, ERR_FORBIDDEN);
        check_refused(_i, &device, ERR_FORBIDDEN);
        check_refused(_i, &below, ERR_FORBIDDEN);
        check_refused(_i, &pending, ERR_INTERNAL);
        below.role = calls[_i].least;
        below.on_unix_socket = false;
        if (calls[_i].on_socket_alone)
                check_refused(_i, &below, ERR_FORBIDDEN);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM tokens"), 0);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM certificates WHERE status > 0"), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("rights");
        TCase *tc = tcase_create("rights");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_loop_test(tc, nobody_gets_what_the_table_does_not_give, 0, ARRAY_SIZE(calls));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
