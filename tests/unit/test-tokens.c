/*
 * Tokens of the authority, with a signer that is played: who is let in, what a token could get and does get, and that many callers with
 * one use get one certificate.
 */
#include "authority-fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/authority/limiter.h"
#include "daemon/authority/pairing.h"
#include "daemon/authority/tokens.h"
#include "daemon/authority/wall_clock.h"
#include "lib/base/log.h"
#include "lib/base/text.h"

#define SOON_MS 5000
#define HERE "uid:1000 pid:1"

static struct authority *authority;
static pthread_t signer_thread;
static int signer_fd = -1;
static atomic_uint signed_count;
static atomic_bool clock_is_wrong; /* by the signer's word */
static const struct principal manager = {
        .kind = PRINCIPAL_PEER, .role = ROLE_OPERATOR, .on_unix_socket = true, .text = "uid:1001"
};

/* ---- what is logged: never a secret ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct buffer logged;

static void keep_log(enum log_level level, const char *text, const struct log_field *fields,
                     size_t count) {
        (void) level;
        (void) pthread_mutex_lock(&log_lock);
        buffer_format(&logged, "%s\n", text);
        for (size_t i = 0; i < count; i++)
                buffer_format(&logged, "%s=%s\n", fields[i].name,
                              fields[i].value ? fields[i].value : "");
        (void) pthread_mutex_unlock(&log_lock);
}

static bool log_holds(const char *text) {
        bool found;

        (void) pthread_mutex_lock(&log_lock);
        found = strstr(buffer_string(&logged), text) != NULL;
        (void) pthread_mutex_unlock(&log_lock);
        return found;
}

/* ---- the signer ---- */

static void tell_status(uint32_t id) {
        uint8_t frame[SIGNER_FRAME_MAX];
        struct sign_status status = { 0 };

        if (atomic_load(&clock_is_wrong))
                (void) snprintf(status.clock, sizeof(status.clock), "it is 1970");
        fake_send(signer_fd, sign_status_encode(frame, id, &status));
}

static void *signer_run(void *unused) {
        static uint8_t frame[SIGNER_FRAME_MAX];
        struct frame_reader fields;
        struct signer_header header;

        (void) unused;
        while (fake_receive(signer_fd, -1, frame, &header, &fields)) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };
                struct sign_issue wish;
                struct error err = { 0 };

                if (header.type == SIGNER_STATUS)
                        tell_status(header.id);
                if (header.type != SIGNER_ISSUE)
                        continue;
                ck_ok(sign_issue_decode(&fields, &wish, &err), err);
                ck_ok(issued_sign(&wish, atomic_fetch_add(&signed_count, 1) + 1, &der, &err), err);
                fake_certificate(signer_fd, header.id, buffer_bytes(&der));
        }
        return NULL;
}

static void set_up(void) {
        struct error err = { 0 };

        log_set_sink(keep_log);
        atomic_store(&signed_count, 0);
        atomic_store(&clock_is_wrong, false);
        issued_setup();
        authority = authority_attached(&signer_fd);
        ck_assert_int_eq(pthread_create(&signer_thread, NULL, signer_run, NULL), 0);
        ck_ok(authority_open_store(authority, scratch.fd, 0, &err), err);
}

static void tear_down(void) {
        (void) shutdown(signer_fd, SHUT_RDWR);
        ck_assert_int_eq(pthread_join(signer_thread, NULL), 0);
        signer_fd = fd_close(signer_fd);
        authority = authority_free(authority);
        issued_teardown();
        buffer_done(&logged);
}

/* ---- tokens ---- */

struct made_token {
        char id[STORE_TOKEN_ID_MAX];
        char text[TOKEN_TEXT_MAX];
};

static struct made_token make_token_as(const struct token_wish *wish) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        struct made_token made;
        struct error err = { 0 };

        struct token_wish mine = *wish;

        mine.principal = &manager;
        ck_ok(tokens_create(authority, &mine, &row, made.text, &err), err);
        memcpy(made.id, row->id, sizeof(made.id));
        return made;
}

static struct made_token make_token(const char *name, int64_t uses) {
        return make_token_as(&(struct token_wish){ .names = &name, .name_count = 1, .uses = uses });
}

static int authenticate(const char *bearer, struct principal *ret, struct error *err) {
        CAD_AUTO(token_grant_free) struct token_grant *grant = NULL;

        if (tokens_authenticate(authority, bearer, HERE, &grant, err) < 0)
                return -1;
        token_principal(grant, ret);
        return 0;
}

static void revoke_token(const char *id) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        struct error err = { 0 };

        const struct token_revocation rq = { .principal = &manager, .id = id };

        ck_ok(tokens_revoke(authority, &rq, &row, &err), err);
        ck_assert_int_eq(token_row_status(row, moment_now()), TOKEN_STATUS_REVOKED);
}

/* ---- who is let in ---- */

START_TEST(a_token_says_who_shows_it_and_has_no_role) {
        static const enum action never[] = { ACTION_MANAGE_TOKENS, ACTION_ISSUE_ADMIN,
                                             ACTION_REVOKE,        ACTION_DECIDE_REQUEST,
                                             ACTION_READ_AUDIT,    ACTION_LIST_CERTIFICATES };
        struct made_token made = make_token("nas.lan", 1);
        struct principal p;
        struct error err = { 0 };
        char text[64];

        ck_ok(authenticate(made.text, &p, &err), err);
        (void) snprintf(text, sizeof(text), "token:%s", made.id);
        ck_assert_int_eq(p.kind, PRINCIPAL_TOKEN);
        ck_assert_int_eq(p.role, ROLE_PUBLIC);
        ck_assert_str_eq(p.token_id, made.id);
        ck_assert_str_eq(p.text, text);
        ck_ok(access_check(&p, ACTION_ISSUE, &err), err);
        for (size_t i = 0; i < ARRAY_SIZE(never); i++)
                ck_refused(access_check(&p, never[i], &err), err, ERR_FORBIDDEN);
}
END_TEST

START_TEST(no_two_tokens_are_alike_and_a_newer_one_has_a_higher_id) {
        struct made_token before = make_token("nas.lan", 1);

        for (int i = 0; i < 50; i++) {
                struct made_token made = make_token("nas.lan", 1);

                ck_assert_str_ne(made.id, before.id);
                ck_assert(strcmp(made.id, before.id) > 0);
                ck_assert_str_ne(strrchr(made.text, '_'), strrchr(before.text, '_'));
                ck_assert_uint_eq(strlen(made.text), TOKEN_TEXT_MAX - 1);
                before = made;
        }
}
END_TEST

/* What is done to a good token so that it is bad. */
static void flip_last(char *text) {
        text[strlen(text) - 1] ^= 1;
}
static void flip_id(char *text) {
        text[10] = text[10] == '7' ? '6' : '7';
}
static void cut(char *text) {
        text[strlen(text) - 1] = '\0';
}
static void upper(char *text) {
        for (char *p = text; *p; p++)
                if (*p >= 'a' && *p <= 'f' && p > text + 4)
                        *p = (char) (*p - 'a' + 'A');
}
static void other_prefix(char *text) {
        text[0] = 'x';
}
static void no_gap(char *text) {
        *strrchr(text, '_') = '0';
}
static void nothing(char *text) {
        text[0] = '\0';
}

static const struct {
        const char *why;
        void (*spoil)(char *text);
} spoilt[] = {
        { "the last digit of the secret", flip_last },
        { "a digit of the id", flip_id },
        { "cut by one", cut },
        { "in capitals", upper },
        { "another prefix", other_prefix },
        { "no gap", no_gap },
        { "nothing", nothing },
};

START_TEST(a_wrong_token_is_refused_and_no_one_is_told_what_of_it) {
        struct made_token made = make_token("nas.lan", 1);
        char text[TOKEN_TEXT_MAX + 1];
        struct principal p;
        struct error unknown = { 0 }, err = { 0 };

        /* the odds are that upper() has letters to change; where it has none the token stays good */
        memcpy(text, made.text, sizeof(made.text));
        spoilt[_i].spoil(text);
        if (strcmp(text, made.text) == 0)
                return;
        ck_refused(authenticate("cad_7000000000000000_00000000000000000000000000000000", &p,
                                &unknown),
                   unknown, ERR_UNAUTHENTICATED);
        ck_refused(authenticate(text, &p, &err), err, ERR_UNAUTHENTICATED);
        ck_assert_msg(strcmp(err.text, unknown.text) == 0, "%s: %s", spoilt[_i].why, err.text);
        ck_assert_msg(!text[0] || !strstr(err.text, text), "%s", err.text);
        ck_assert(strlen(text) < 10 || !log_holds(text));
        ck_ok(authenticate(made.text, &p, &err), err);
}
END_TEST

START_TEST(one_byte_more_is_no_token) {
        struct made_token made = make_token("nas.lan", 1);
        char text[TOKEN_TEXT_MAX + 1];
        struct principal p;
        struct error err = { 0 };

        (void) snprintf(text, sizeof(text), "%s0", made.text);
        ck_refused(authenticate(text, &p, &err), err, ERR_UNAUTHENTICATED);
}
END_TEST

START_TEST(every_beginning_of_a_token_is_none) {
        struct made_token made = make_token("nas.lan", 1);
        char id[STORE_TOKEN_ID_MAX] = "untouched";

        for (size_t n = 0; n < TOKEN_TEXT_MAX - 1; n++) {
                char part[TOKEN_TEXT_MAX] = "";

                memcpy(part, made.text, n);
                ck_assert_int_eq(token_split(part, id), -1);
                ck_assert_str_eq(id, "untouched");
        }
        ck_assert_int_eq(token_split(made.text, id), 0);
        ck_assert_str_eq(id, made.id);
}
END_TEST

START_TEST(a_revoked_token_is_told_so_to_who_has_it_alone) {
        struct made_token made = make_token("nas.lan", 1);
        struct principal p;
        struct error err = { 0 };

        revoke_token(made.id);
        ck_refused(authenticate(made.text, &p, &err), err, ERR_TOKEN_SPENT);
        ck_assert_msg(strstr(err.text, "revoked"), "%s", err.text);
        flip_last(made.text);
        ck_refused(authenticate(made.text, &p, &err), err, ERR_UNAUTHENTICATED);
        ck_assert_msg(!strstr(err.text, "revoked"), "%s", err.text);
}
END_TEST

START_TEST(after_many_wrong_ones_a_source_waits_and_others_do_not) {
        CAD_AUTO(token_grant_free) struct token_grant *grant = NULL;
        struct made_token made = make_token("nas.lan", 1), wrong = made;
        struct principal p;
        struct error err = { 0 };

        flip_last(wrong.text);
        for (int i = 0; i < LIMITER_SOURCE_BURST; i++)
                ck_refused(authenticate(wrong.text, &p, &err), err, ERR_UNAUTHENTICATED);
        for (int i = 0; i < 1000; i++)
                ck_refused(authenticate(wrong.text, &p, &err), err, ERR_TOO_MANY_REQUESTS);
        ck_refused(authenticate(made.text, &p, &err), err, ERR_TOO_MANY_REQUESTS);
        ck_ok(tokens_authenticate(authority, made.text, "192.0.2.1:80", &grant, &err), err);
        ck_assert(log_holds("wrong token was shown from " HERE));
        ck_assert(!log_holds(strrchr(made.text, '_') + 1));
}
END_TEST

/* ---- making one ---- */

static const struct {
        const char *why;
        struct token_wish wish;
        const char *name;
        enum error_code code;
        const char *field;
} bad_wishes[] = {
        { "a profile that is not there",
          { .profile = "nope", .uses = 1 },
          "nas.lan",
          ERR_PROFILE_UNKNOWN,
          "profile" },
        { "the profile of admins",
          { .profile = "admin", .uses = 1 },
          "nas.lan",
          ERR_FORBIDDEN,
          "profile" },
        { "the CA's own", { .profile = "ocsp", .uses = 1 }, "nas.lan", ERR_FORBIDDEN, "profile" },
        { "one that wants approval",
          { .profile = "user", .uses = 1 },
          "anna@home.lan",
          ERR_FORBIDDEN,
          "profile" },
        { "a public name", { .uses = 1 }, "google.com", ERR_NAME_NOT_PERMITTED, "names[0]" },
        { "no name at all", { .uses = 1 }, NULL, ERR_NAMES_MISSING, "names" },
        { "a lone star", { .uses = 1 }, "*", ERR_NAME_INVALID, "names[0]" },
        { "no use", { .uses = 0 }, "nas.lan", ERR_BODY_MALFORMED, "uses" },
        { "fewer", { .uses = -1 }, "nas.lan", ERR_BODY_MALFORMED, "uses" },
        { "too many uses", { .uses = TOKEN_USES_MAX + 1 }, "nas.lan", ERR_BODY_MALFORMED, "uses" },
        { "too long a life",
          { .uses = 1, .life_s = TOKEN_LIFE_MAX_S + 1 },
          "nas.lan",
          ERR_VALIDITY_OUT_OF_RANGE,
          "expires_in" },
        { "certificates longer than the profile has",
          { .uses = 1, .validity_max_s = INT64_C(86400) * 826 },
          "nas.lan",
          ERR_VALIDITY_OUT_OF_RANGE,
          "validity" },
        { "certificates of a second",
          { .uses = 1, .validity_max_s = 1 },
          "nas.lan",
          ERR_VALIDITY_OUT_OF_RANGE,
          "validity" },
        { "a label of no UTF-8",
          { .uses = 1, .label = "\xff" },
          "nas.lan",
          ERR_BODY_MALFORMED,
          "label" },
};

static void ignore_row(const struct token_row *row, void *data) {
        (void) row;
        ++*(unsigned *) data;
}

static unsigned count_tokens(void) {
        char next[STORE_CURSOR_MAX];
        unsigned count = 0;
        struct error err = { 0 };

        ck_ok(tokens_list(authority, &manager, NULL, STORE_PAGE_MAX, ignore_row, &count, next,
                          &err),
              err);
        return count;
}

START_TEST(a_token_that_could_never_work_is_not_made) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        struct token_wish wish = bad_wishes[_i].wish;
        char text[TOKEN_TEXT_MAX];
        struct error err = { 0 };

        wish.names = &bad_wishes[_i].name;
        wish.name_count = bad_wishes[_i].name ? 1 : 0;
        wish.principal = &manager;
        ck_assert_msg(tokens_create(authority, &wish, &row, text, &err) < 0, "%s",
                      bad_wishes[_i].why);
        ck_assert_msg(err.code == bad_wishes[_i].code, "%s: %s", bad_wishes[_i].why, err.text);
        ck_assert_str_eq(err.field, bad_wishes[_i].field);
        ck_assert_ptr_null(row);
        ck_assert_uint_eq(count_tokens(), 0);
}
END_TEST

START_TEST(no_token_is_made_by_a_clock_that_the_signer_takes_for_wrong) {
        const char *name = "nas.lan";
        const struct token_wish wish = {
                .names = &name, .name_count = 1, .uses = 1, .principal = &manager
        };
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        char text[TOKEN_TEXT_MAX];
        struct sign_status status;
        struct error err = { 0 };

        atomic_store(&clock_is_wrong, true); /* nobody has asked yet: it is asked now */
        ck_refused(tokens_create(authority, &wish, &row, text, &err), err, ERR_CLOCK);
        ck_assert_str_eq(err.text, "it is 1970");
        ck_assert_uint_eq(count_tokens(), 0);
        atomic_store(&clock_is_wrong, false); /* its word counts until it is asked again */
        ck_refused(tokens_create(authority, &wish, &row, text, &err), err, ERR_CLOCK);
        ck_ok(authority_signer_status(authority, SOON_MS, &status, &err), err);
        ck_ok(tokens_create(authority, &wish, &row, text, &err), err);
}
END_TEST

static const struct {
        const char *why;
        int64_t s, ms;
        bool stands;
} later[] = {
        { "the same moment", 1000, 5000, true },
        { "an hour later", 4600, 3605000, true },
        { "a minute too many", 1060, 5000, true },
        { "more than a minute too many", 1061, 5000, false },
        { "a minute too few", 940, 5000, true },
        { "set back", 939, 5000, false },
        { "ten years ahead", 315361000, 6000, false },
        { "it slept", 1000, 3605000, false },
};

START_TEST(what_the_signer_said_of_the_clock_stands_until_it_is_set) {
        const struct sign_status fine = { 0 };
        struct wall_clock clock;

        wall_clock_init(&clock);
        ck_assert(!wall_clock_stands(&clock, later[_i].s, later[_i].ms));
        wall_clock_note(&clock, &fine, 1000, 5000);
        ck_assert_msg(wall_clock_stands(&clock, later[_i].s, later[_i].ms) == later[_i].stands,
                      "%s", later[_i].why);
        wall_clock_done(&clock);
}
END_TEST

START_TEST(the_largest_token_is_made) {
        static const char *const names[] = { "a.lan", "*.lan" };
        struct token_wish wish = { .names = names,
                                   .name_count = 2,
                                   .uses = TOKEN_USES_MAX,
                                   .life_s = TOKEN_LIFE_MAX_S,
                                   .validity_max_s = INT64_C(86400) * 397 };

        (void) make_token_as(&wish);
        ck_assert_uint_eq(count_tokens(), 1);
}
END_TEST

START_TEST(only_operators_make_see_and_revoke_tokens) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        static const struct principal reader = { .kind = PRINCIPAL_PEER,
                                                 .role = ROLE_READER,
                                                 .text = "uid:7" };
        struct made_token made = make_token("nas.lan", 1);
        struct token_revocation rq = { .id = made.id };
        struct token_wish wish = { .uses = 1 };
        char text[TOKEN_TEXT_MAX], next[STORE_CURSOR_MAX];
        struct principal others[2] = { reader };
        unsigned count = 0;
        struct error err = { 0 };

        ck_ok(authenticate(made.text, &others[1], &err), err);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                const struct principal *p = &others[i];

                wish.principal = rq.principal = p;
                ck_refused(tokens_create(authority, &wish, &row, text, &err), err, ERR_FORBIDDEN);
                ck_refused(tokens_find(authority, p, made.id, &row, &err), err, ERR_FORBIDDEN);
                ck_refused(tokens_revoke(authority, &rq, &row, &err), err, ERR_FORBIDDEN);
                ck_refused(tokens_list(authority, p, NULL, 10, ignore_row, &count, next, &err), err,
                           ERR_FORBIDDEN);
        }
        ck_assert_uint_eq(count, 0);
}
END_TEST

/* ---- issuing with one ---- */

struct caller {
        struct issue_request rq;
        struct principal principal;
        struct buffer csr;
        atomic_uint answers;
        struct error err;
        bool issued, replayed;
        uint8_t serial[STORE_SERIAL_MAX];
        char requester[PRINCIPAL_TEXT_MAX], label[64], profile[PROFILE_NAME_MAX];
        int64_t lifetime_s;
};

static void caller_done(struct caller *c) {
        buffer_done(&c->csr);
}
CAD_CLEANUP_DONE(struct caller, caller_done)

static void caller_init(struct caller *c, const char *bearer, const char *cn,
                        const char *const *names) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };

        *c = (struct caller){ 0 };
        ck_ok(authenticate(bearer, &c->principal, &err), err);
        for (; *names; names++)
                ck_ok(san_list_add_text(&list, *names, &err), err);
        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        ck_ok(csr_create(key, cn, &list, &c->csr, &err), err);
        c->rq = (struct issue_request){ .principal = &c->principal,
                                        .csr = buffer_bytes(&c->csr),
                                        .method = "POST",
                                        .path = "/v1/certificates" };
}

static void on_issued(void *context, const struct issued *issued, const struct error *err) {
        struct caller *c = context;

        if (err)
                c->err = *err;
        if (issued) {
                c->issued = true;
                c->replayed = issued->replayed;
                memcpy(c->serial, issued->row->serial.data, issued->row->serial.size);
                (void) snprintf(c->requester, sizeof(c->requester), "%s", issued->row->requester);
                (void) snprintf(c->profile, sizeof(c->profile), "%s", issued->row->profile);
                (void) snprintf(c->label, sizeof(c->label), "%s",
                                issued->row->label ? issued->row->label : "");
                c->lifetime_s = issued->row->not_after - issued->row->not_before + 1;
        }
        atomic_fetch_add(&c->answers, 1);
}

/* Return: 0 issued; -1 refused, with c->err */
static int ask(struct caller *c) {
        if (authority_issue(authority, &c->rq, on_issued, c, &c->err) < 0)
                return -1;
        for (int i = 0; atomic_load(&c->answers) == 0; i++) {
                ck_assert_msg(i < 4 * SOON_MS, "no answer");
                (void) usleep(500);
        }
        return c->issued ? 0 : -1;
}

static int64_t used(const char *id) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        struct error err = { 0 };

        ck_ok(tokens_find(authority, &manager, id, &row, &err), err);
        return row->used;
}

static const char *const nas[] = { "nas.lan", NULL };

START_TEST(a_token_gets_what_it_is_for_and_is_used) {
        CAD_AUTO(caller_done) struct caller c, again;
        struct made_token made = make_token("nas.lan", 1);

        caller_init(&c, made.text, "nas.lan", nas);
        ck_ok(ask(&c), c.err);
        ck_assert_str_eq(c.requester, c.principal.text);
        ck_assert_str_eq(c.profile, "server");
        ck_assert_int_eq(used(made.id), 1);

        caller_init(&again, made.text, "nas.lan", nas);
        ck_refused(ask(&again), again.err, ERR_TOKEN_SPENT);
        ck_assert_uint_eq(atomic_load(&signed_count), 1);
}
END_TEST

START_TEST(profile_validity_and_label_are_those_of_the_token) {
        CAD_AUTO(caller_done) struct caller c;
        struct token_wish wish = { .names = nas,
                                   .name_count = 1,
                                   .profile = "device",
                                   .uses = 1,
                                   .validity_max_s = 86400,
                                   .label = "kitchen" };
        struct made_token made = make_token_as(&wish);

        caller_init(&c, made.text, "nas.lan", nas);
        ck_ok(ask(&c), c.err);
        ck_assert_str_eq(c.profile, "device");
        ck_assert_str_eq(c.label, "kitchen");
        ck_assert_int_eq(c.lifetime_s, 86400);
}
END_TEST

/* A wish that the token does not cover: what is changed in a good one, and what is said of it. */
static void ask_profile(struct caller *c) {
        c->rq.profile = "client";
}
static void ask_admin(struct caller *c) {
        c->rq.profile = "admin";
}
static void ask_long(struct caller *c) {
        c->rq.lifetime_s = 86401;
}
static void ask_later(struct caller *c) {
        c->rq.not_before = moment_now() + 40 * INT64_C(86400);
}
static void ask_json_name(struct caller *c) {
        static const char *const names[] = { "nas.lan", "evil.lan" };

        c->rq.names = names;
        c->rq.name_count = 2;
}
static void ask_json_wildcard(struct caller *c) {
        static const char *const names[] = { "*.nas.lan" };

        c->rq.names = names;
        c->rq.name_count = 1;
}

static const struct {
        const char *why;
        const char *cn;
        const char *san[3];
        void (*change)(struct caller *c);
        enum error_code code;
        const char *field;
} outside[] = {
        { "another profile", "nas.lan", { "nas.lan" }, ask_profile, ERR_FORBIDDEN, "profile" },
        { "the profile of admins", "nas.lan", { "nas.lan" }, ask_admin, ERR_FORBIDDEN, "profile" },
        { "a second longer",
          "nas.lan",
          { "nas.lan" },
          ask_long,
          ERR_VALIDITY_OUT_OF_RANGE,
          "validity" },
        { "a beginning after the token's end",
          "nas.lan",
          { "nas.lan" },
          ask_later,
          ERR_VALIDITY_OUT_OF_RANGE,
          "not_before" },
        { "a name in the JSON",
          "nas.lan",
          { "nas.lan" },
          ask_json_name,
          ERR_FORBIDDEN,
          "names[1]" },
        { "a wildcard in the JSON",
          "nas.lan",
          { "nas.lan" },
          ask_json_wildcard,
          ERR_FORBIDDEN,
          "names[0]" },
        { "a name in the SAN",
          "nas.lan",
          { "nas.lan", "evil.lan" },
          NULL,
          ERR_FORBIDDEN,
          "csr.san[1]" },
        { "an address in the SAN",
          "nas.lan",
          { "nas.lan", "10.0.0.66" },
          NULL,
          ERR_FORBIDDEN,
          "csr.san[1]" },
        { "a name in the CN alone", "evil.lan", { NULL }, NULL, ERR_FORBIDDEN, "csr.subject.CN" },
        { "a wildcard in the SAN", "nas.lan", { "*.nas.lan" }, NULL, ERR_FORBIDDEN, "csr.san[0]" },
};

START_TEST(what_is_outside_the_grant_is_refused_and_takes_no_use) {
        CAD_AUTO(caller_done) struct caller c;
        static const char *const names[] = { "nas.lan", "*.nas.lan" };
        struct token_wish wish = {
                .names = names, .name_count = 2, .uses = 1, .validity_max_s = 86400
        };
        struct made_token made = make_token_as(&wish);

        caller_init(&c, made.text, outside[_i].cn, outside[_i].san);
        if (outside[_i].change)
                outside[_i].change(&c);
        ck_assert_msg(ask(&c) < 0, "%s", outside[_i].why);
        ck_assert_msg(c.err.code == outside[_i].code, "%s: %s", outside[_i].why, c.err.text);
        ck_assert_msg(strcmp(c.err.field, outside[_i].field) == 0, "%s: %s", outside[_i].why,
                      c.err.field);
        ck_assert_int_eq(used(made.id), 0);
        ck_assert_uint_eq(atomic_load(&signed_count), 0);
}
END_TEST

START_TEST(a_retry_with_its_key_gets_the_same_though_the_token_is_used_up) {
        CAD_AUTO(caller_done) struct caller c, again, other;
        struct made_token made = make_token("nas.lan", 1);

        caller_init(&c, made.text, "nas.lan", nas);
        c.rq.idempotency_key = "k1";
        ck_ok(ask(&c), c.err);
        caller_init(&again, made.text, "nas.lan", nas);
        again.rq.idempotency_key = "k1";
        ck_ok(ask(&again), again.err);
        ck_assert(again.replayed);
        ck_assert_mem_eq(again.serial, c.serial, sizeof(c.serial));
        caller_init(&other, made.text, "nas.lan", nas);
        other.rq.idempotency_key = "k2";
        ck_refused(ask(&other), other.err, ERR_TOKEN_SPENT);
        ck_assert_int_eq(used(made.id), 1);
}
END_TEST

START_TEST(a_principal_that_says_it_is_a_token_and_is_none_gets_nothing) {
        CAD_AUTO(caller_done) struct caller c;
        struct made_token made = make_token("nas.lan", 1);

        caller_init(&c, made.text, "nas.lan", nas);
        c.principal.token_id[0] = '\0';
        ck_refused(ask(&c), c.err, ERR_NOT_FOUND);
}
END_TEST

#define RACERS 50

static void *race(void *data) {
        (void) ask(data);
        return NULL;
}

START_TEST(of_fifty_callers_with_one_use_one_gets_a_certificate) {
        static struct caller callers[RACERS];
        struct made_token made = make_token("nas.lan", 1);
        pthread_t threads[RACERS];
        unsigned won = 0;

        for (int i = 0; i < RACERS; i++)
                caller_init(&callers[i], made.text, "nas.lan", nas);
        for (int i = 0; i < RACERS; i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &callers[i]), 0);
        for (int i = 0; i < RACERS; i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        for (int i = 0; i < RACERS; i++) {
                won += callers[i].issued;
                ck_assert(callers[i].issued || callers[i].err.code == ERR_TOKEN_SPENT);
                caller_done(&callers[i]);
        }
        ck_assert_uint_eq(won, 1);
        ck_assert_int_eq(used(made.id), 1);
}
END_TEST

/* ---- pairing codes ---- */

/* PBKDF2 with HMAC-SHA256 and 20 000 rounds, as Python's hashlib makes it: 40 bits in a stolen database are worth that much work. */
START_TEST(a_code_is_kept_as_a_slow_hash) {
        static const uint8_t expected[PAIRING_HASH_SIZE] = {
                0x15, 0xa9, 0x7a, 0x24, 0x24, 0x35, 0xef, 0x4a, 0x8f, 0x3a, 0x30,
                0xe3, 0xcc, 0x51, 0x82, 0xc7, 0x28, 0xd7, 0x21, 0x31, 0xb4, 0xf4,
                0x79, 0x58, 0xf7, 0x0f, 0x3e, 0x6a, 0x07, 0x18, 0x34, 0x2c
        };
        uint8_t hash[PAIRING_HASH_SIZE];
        struct error err = { 0 };

        ck_ok(pairing_hash("7XK2M9QP", BYTES_LITERAL("salt"), hash, &err), err);
        ck_assert_mem_eq(hash, expected, sizeof(expected));
}
END_TEST

static struct made_token make_code(void) {
        return make_token_as(
                &(struct token_wish){ .names = nas, .name_count = 1, .uses = 1, .is_short = true });
}

/* Another code of the same form. */
static void spoil(char *code) {
        code[0] = code[0] == '7' ? '8' : '7';
}

START_TEST(a_code_is_taken_as_people_type_it_and_once) {
        CAD_AUTO(caller_done) struct caller c, again;
        struct made_token made = make_code();
        char typed[CODE_SHOWN_MAX + 2];
        struct principal p;
        struct error err = { 0 };

        ck_assert_uint_eq(strlen(made.text), CODE_SHOWN_MAX - 1);
        (void) snprintf(typed, sizeof(typed), " %.4s %.4s", made.text, made.text + 5);
        text_lower(typed);
        ck_ok(authenticate(typed, &p, &err), err);
        ck_assert_str_eq(p.token_id, made.id);
        caller_init(&c, typed, "nas.lan", nas);
        ck_ok(ask(&c), c.err);
        caller_init(&again, typed, "nas.lan", nas);
        ck_refused(ask(&again), again.err, ERR_TOKEN_SPENT);
        ck_assert(!log_holds(made.text));
}
END_TEST

START_TEST(a_wrong_code_is_refused_in_the_words_of_a_wrong_token) {
        struct made_token made = make_code();
        struct error unknown = { 0 }, err = { 0 };
        struct principal p;

        spoil(made.text);
        ck_refused(authenticate(made.text, &p, &err), err, ERR_UNAUTHENTICATED);
        ck_refused(authenticate("cad_7000000000000000_00000000000000000000000000000000", &p,
                                &unknown),
                   unknown, ERR_UNAUTHENTICATED);
        ck_assert_str_eq(err.text, unknown.text);
        ck_assert(!log_holds(made.text));
}
END_TEST

START_TEST(a_revoked_code_is_no_code) {
        struct made_token made = make_code();
        struct principal p;
        struct error err = { 0 };

        revoke_token(made.id);
        ck_refused(authenticate(made.text, &p, &err), err, ERR_UNAUTHENTICATED);
}
END_TEST

START_TEST(guesses_at_codes_and_at_tokens_have_budgets_of_their_own) {
        struct made_token code = make_code(), token = make_token("nas.lan", 1);
        char wrong[TOKEN_TEXT_MAX];
        struct principal p;
        struct error err = { 0 };

        memcpy(wrong, code.text, sizeof(wrong));
        spoil(wrong);
        for (int i = 0; i < LIMITER_PAIRING_SOURCE_BURST; i++)
                ck_refused(authenticate(wrong, &p, &err), err, ERR_UNAUTHENTICATED);
        ck_refused(authenticate(code.text, &p, &err), err, ERR_TOO_MANY_REQUESTS);
        for (int i = 0; i < LIMITER_SOURCE_BURST; i++) {
                ck_ok(authenticate(token.text, &p, &err), err);
                ck_refused(authenticate("cad_", &p, &err), err, ERR_UNAUTHENTICATED);
        }
        ck_refused(authenticate(token.text, &p, &err), err, ERR_TOO_MANY_REQUESTS);
}
END_TEST

static const struct {
        const char *why;
        struct token_wish wish;
        enum error_code code;
        const char *field;
} bad_codes[] = {
        { "two uses", { .uses = 2, .is_short = true }, ERR_BODY_MALFORMED, "uses" },
        { "eleven minutes",
          { .uses = 1, .is_short = true, .life_s = PAIRING_LIFE_S + 1 },
          ERR_VALIDITY_OUT_OF_RANGE,
          "expires_in" },
        { "a profile for admins",
          { .uses = 1, .is_short = true, .profile = "admin" },
          ERR_FORBIDDEN,
          "profile" },
};

START_TEST(a_code_for_more_than_a_code_is_for_is_not_made) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        struct token_wish wish = bad_codes[_i].wish;
        char text[TOKEN_TEXT_MAX];
        struct error err = { 0 };

        wish.principal = &manager;
        wish.names = nas;
        wish.name_count = 1;
        ck_refused(tokens_create(authority, &wish, &row, text, &err), err, bad_codes[_i].code);
        ck_assert_str_eq(err.field, bad_codes[_i].field);
}
END_TEST

START_TEST(a_code_lives_ten_minutes) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        struct made_token made = make_code();
        struct error err = { 0 };

        ck_ok(tokens_find(authority, &manager, made.id, &row, &err), err);
        ck_assert(row->is_short);
        ck_assert_int_eq(row->expires_at - row->created_at, 600);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("tokens");
        TCase *tc = tcase_create("tokens");

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, a_token_says_who_shows_it_and_has_no_role);
        tcase_add_test(tc, no_two_tokens_are_alike_and_a_newer_one_has_a_higher_id);
        tcase_add_loop_test(tc, a_wrong_token_is_refused_and_no_one_is_told_what_of_it, 0,
                            ARRAY_SIZE(spoilt));
        tcase_add_test(tc, one_byte_more_is_no_token);
        tcase_add_test(tc, no_token_is_made_by_a_clock_that_the_signer_takes_for_wrong);
        tcase_add_loop_test(tc, what_the_signer_said_of_the_clock_stands_until_it_is_set, 0,
                            ARRAY_SIZE(later));
        tcase_add_test(tc, every_beginning_of_a_token_is_none);
        tcase_add_test(tc, a_revoked_token_is_told_so_to_who_has_it_alone);
        tcase_add_test(tc, after_many_wrong_ones_a_source_waits_and_others_do_not);
        tcase_add_loop_test(tc, a_token_that_could_never_work_is_not_made, 0,
                            ARRAY_SIZE(bad_wishes));
        tcase_add_test(tc, the_largest_token_is_made);
        tcase_add_test(tc, only_operators_make_see_and_revoke_tokens);
        tcase_add_test(tc, a_token_gets_what_it_is_for_and_is_used);
        tcase_add_test(tc, profile_validity_and_label_are_those_of_the_token);
        tcase_add_loop_test(tc, what_is_outside_the_grant_is_refused_and_takes_no_use, 0,
                            ARRAY_SIZE(outside));
        tcase_add_test(tc, a_retry_with_its_key_gets_the_same_though_the_token_is_used_up);
        tcase_add_test(tc, a_principal_that_says_it_is_a_token_and_is_none_gets_nothing);
        tcase_add_test(tc, of_fifty_callers_with_one_use_one_gets_a_certificate);
        tcase_add_test(tc, a_code_is_kept_as_a_slow_hash);
        tcase_add_test(tc, a_code_is_taken_as_people_type_it_and_once);
        tcase_add_test(tc, a_wrong_code_is_refused_in_the_words_of_a_wrong_token);
        tcase_add_test(tc, a_revoked_code_is_no_code);
        tcase_add_test(tc, guesses_at_codes_and_at_tokens_have_budgets_of_their_own);
        tcase_add_loop_test(tc, a_code_for_more_than_a_code_is_for_is_not_made, 0,
                            ARRAY_SIZE(bad_codes));
        tcase_add_test(tc, a_code_lives_ten_minutes);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
