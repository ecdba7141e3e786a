/*
 * Tokens: see tokens.h. The secret is made here, told once, and never stored or logged.
 */
#include "daemon/authority/tokens.h"

#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/authority/audit.h"
#include "daemon/authority/internal.h"
#include "daemon/authority/limiter.h"
#include "daemon/authority/pairing.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define TOKEN_PREFIX "cad_"
#define ID_LENGTH (STORE_TOKEN_ID_MAX - 1)
#define SECRET_LENGTH (2 * (size_t) TOKEN_SECRET_SIZE)
#define TEXT_LENGTH (TOKEN_TEXT_MAX - 1)
_Static_assert(TEXT_LENGTH == sizeof(TOKEN_PREFIX) - 1 + ID_LENGTH + 1 + SECRET_LENGTH,
               "a token is cad_ID_SECRET");

#define ID_RANDOM_BITS 21 /* below 42 bits of milliseconds: 63 in all, until the year 2109 */
#define ID_TRIES 8        /* a clock that was set back may meet an id of before */
#define LABEL_MAX 200     /* bytes */
#define DEFAULT_PROFILE "server"

struct token_grant *token_grant_free(struct token_grant *grant) {
        if (!grant)
                return NULL;
        (void) token_row_free(grant->row);
        grant_names_done(&grant->names);
        free(grant);
        return NULL;
}

static int grant_of(struct authority *a, const char *id, struct token_grant **ret,
                    struct error *err) {
        CAD_AUTO(token_grant_free) struct token_grant *grant = calloc(1, sizeof(*grant));

        if (!grant)
                return error_no_memory(err);
        if (store_get_token(a->store, id, &grant->row, err) < 0)
                return -1;
        memcpy(grant->id, grant->row->id, sizeof(grant->id));
        for (size_t i = 0; i < grant->row->name_count; i++)
                if (grant_names_add(&grant->names, grant->row->names[i], err) < 0)
                        return error_set(err, ERR_STORE,
                                         "the token %s has a name that cannot be read", id);
        *ret = CAD_TAKE(grant);
        return 0;
}

void token_principal(const struct token_grant *grant, struct principal *ret) {
        struct principal p = { .kind = PRINCIPAL_TOKEN, .role = ROLE_PUBLIC };

        (void) snprintf(p.token_id, sizeof(p.token_id), "%s", grant->id);
        (void) snprintf(p.text, sizeof(p.text), "token:%s", grant->id);
        *ret = p;
}

/* ---- who shows it? ---- */

int token_split(const char *text, char *ret_id) {
        const char *id = text + strlen(TOKEN_PREFIX), *secret = id + ID_LENGTH + 1;

        if (strlen(text) != TEXT_LENGTH || strncmp(text, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) != 0 ||
            id[ID_LENGTH] != '_' || strspn(secret, "0123456789abcdef") != SECRET_LENGTH)
                return -1;
        memcpy(ret_id, id, ID_LENGTH);
        ret_id[ID_LENGTH] = '\0';
        return token_id_valid(ret_id) ? 0 : -1;
}

/* The same look-up and the same comparison whether there is such a token or not. */
static int look_up(struct authority *a, const char *bearer, bool *ret_right, char *ret_id,
                   struct error *err) {
        uint8_t shown[SHA256_SIZE], kept[STORE_HASH_SIZE];
        bool found = false, same;

        *ret_right = false;
        if (token_split(bearer, ret_id) < 0)
                return 0;
        sha256(bytes_of(bearer), shown);
        if (store_token_hash(a->store, ret_id, kept, &found, err) < 0)
                return -1;
        same = gnutls_memcmp(shown, kept, sizeof(shown)) == 0;
        *ret_right = found && same;
        return 0;
}

/* A code is looked for among all that are good, and compared with each: the time it takes says nothing. */
struct code_search {
        uint8_t hash[PAIRING_HASH_SIZE];
        char id[STORE_TOKEN_ID_MAX];
        bool found;
};
_Static_assert(PAIRING_HASH_SIZE == STORE_HASH_SIZE, "the store keeps it as it is");

static void compare_code(const char *id, const uint8_t hash[STORE_HASH_SIZE], void *data) {
        struct code_search *search = data;

        if (gnutls_memcmp(hash, search->hash, STORE_HASH_SIZE) != 0)
                return;
        memcpy(search->id, id, sizeof(search->id));
        search->found = true;
}

/* The same for all codes of this CA, and of no other. */
static int hash_code(struct authority *a, const char code[CODE_TEXT_MAX],
                     uint8_t ret[PAIRING_HASH_SIZE], struct error *err) {
        uint8_t salt[SHA256_SIZE];

        sha256(a->ca->root.der, salt);
        return pairing_hash(code, BYTES(salt, sizeof(salt)), ret, err);
}

static int look_up_code(struct authority *a, const char code[CODE_TEXT_MAX], int64_t now,
                        bool *ret_right, char *ret_id, struct error *err) {
        struct code_search search = { .found = false };

        if (hash_code(a, code, search.hash, err) < 0 ||
            store_walk_short_tokens(a->store, now, compare_code, &search, err) < 0)
                return -1;
        if (search.found)
                memcpy(ret_id, search.id, sizeof(search.id));
        *ret_right = search.found;
        return 0;
}

/* What is told of a wrong one is the same of all, long or short. */
static int refuse_guess(struct limiter *limiter, const struct limiter_source *source,
                        const char *source_text, int64_t now_ms, struct error *err) {
        unsigned count = limiter_wrong(limiter, source, now_ms);
        const struct log_field fields[] = { { "CAD_PEER", source_text } };

        if (count)
                log_fields(LOG_LEVEL_WARNING, fields, ARRAY_SIZE(fields),
                           "%u wrong token%s shown from %s", count, count == 1 ? " was" : "s were",
                           source_text);
        return error_set(
                err, ERR_UNAUTHENTICATED,
                "this is no token of this CA: check that all of it was copied (cad_…, %d characters). A pairing code has 8, and is "
                "good once, for ten minutes",
                (int) TEXT_LENGTH);
}

int tokens_authenticate(struct authority *a, const char *bearer, const char *source_text,
                        struct token_grant **ret, struct error *err) {
        CAD_AUTO(token_grant_free) struct token_grant *grant = NULL;
        struct limiter_source source = limiter_source(source_text);
        int64_t now_ms = moment_monotonic_ms(), now = moment_now();
        char id[STORE_TOKEN_ID_MAX], code[CODE_TEXT_MAX];
        bool is_code = code_parse(bearer, code) == 0, right;
        /* guesses at codes are counted apart: they shut out no token */
        struct limiter *limiter = is_code ? a->pairing_limiter : a->limiter;

        if (limiter_admit(limiter, &source, now_ms, err) < 0 ||
            (is_code ? look_up_code(a, code, now, &right, id, err)
                     : look_up(a, bearer, &right, id, err)) < 0)
                return -1;
        if (!right)
                return refuse_guess(limiter, &source, source_text, now_ms, err);
        if (grant_of(a, id, &grant, err) < 0)
                return -1;
        if (token_row_status(grant->row, now) != TOKEN_STATUS_USED_UP &&
            token_row_check(grant->row, now, err) < 0)
                return -1;
        *ret = CAD_TAKE(grant);
        return 0;
}

int tokens_grant(struct authority *a, const struct principal *principal, struct token_grant **ret,
                 struct error *err) {
        if (principal->kind != PRINCIPAL_TOKEN)
                return error_set(err, ERR_INTERNAL, "%s is no token", principal->text);
        return grant_of(a, principal->token_id, ret, err);
}

/* ---- what it is good for ---- */

static int refuse_profile(const struct token_grant *grant, const char *asked, struct error *err) {
        return error_set_field(
                err, ERR_FORBIDDEN, "profile",
                "the token is for the profile '%s', not for '%.40s': leave the profile out",
                grant->row->profile, asked);
}

int token_check_profile(const struct profile *profile, struct error *err) {
        static const char *const why[] = {
                [ENROLMENT_TOKEN] = NULL,
                [ENROLMENT_APPROVAL] = "an operator approves each of them: hand in a request",
                [ENROLMENT_ADMIN] = "an admin issues them on the Unix socket alone",
                [ENROLMENT_INTERNAL] = "they are the CA's own",
        };
        const char *reason = strcmp(profile->name, PROFILE_ADMIN) == 0 ? why[ENROLMENT_ADMIN]
                                                                       : why[profile->enrolment];

        if (!reason)
                return 0;
        return error_set_field(err, ERR_FORBIDDEN, "profile",
                               "no token is for certificates of the profile '%s': %s",
                               profile->name, reason);
}

int token_grant_profile(const struct token_grant *grant, const char *asked, const char **ret,
                        struct error *err) {
        if (asked && strcmp(asked, grant->row->profile) != 0)
                return refuse_profile(grant, asked, err);
        *ret = grant->row->profile;
        return 0;
}

static int64_t smaller(int64_t a, int64_t b) {
        return a < b ? a : b;
}

int token_grant_times(const struct token_grant *grant, const struct profile *profile,
                      int64_t not_before, int64_t *lifetime_s, struct error *err) {
        char asked[DURATION_TEXT_MAX], most[DURATION_TEXT_MAX], when[MOMENT_TEXT_MAX];
        int64_t max = grant->row->validity_max_s;

        if (max && *lifetime_s > max)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                                       "a validity of %s was asked for: the token gives %s at most",
                                       duration_format(*lifetime_s, asked),
                                       duration_format(max, most));
        /* else a right for today would be one for next year */
        if (not_before > grant->row->expires_at)
                return error_set_field(
                        err, ERR_VALIDITY_OUT_OF_RANGE, "not_before",
                        "the certificate would begin after the token expires, at %s: let it begin sooner",
                        moment_format(grant->row->expires_at, when));
        if (max && *lifetime_s == 0)
                *lifetime_s = smaller(max, profile->validity_default_s);
        return 0;
}

/* ---- making one ---- */

static int64_t life_max_s(const struct token_wish *wish) {
        return wish->is_short ? PAIRING_LIFE_S : TOKEN_LIFE_MAX_S;
}

static int64_t life_of(const struct token_wish *wish) {
        if (wish->life_s)
                return wish->life_s;
        return wish->is_short ? PAIRING_LIFE_S : TOKEN_LIFE_DEFAULT_S;
}

static int check_numbers(const struct token_wish *wish, const struct profile *profile,
                         struct error *err) {
        char asked[DURATION_TEXT_MAX], most[DURATION_TEXT_MAX];

        if (wish->is_short && wish->uses != 1)
                return error_set_field(err, ERR_BODY_MALFORMED, "uses",
                                       "a pairing code is good once: make a long token for more");
        if (wish->uses < 1 || wish->uses > TOKEN_USES_MAX)
                return error_set_field(err, ERR_BODY_MALFORMED, "uses",
                                       "a token is good for 1 to %" PRId64 " certificates",
                                       TOKEN_USES_MAX);
        if (wish->life_s < 0 || wish->life_s > life_max_s(wish))
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "expires_in",
                                       "the %s would live for %s: %s at most",
                                       wish->is_short ? "pairing code" : "token",
                                       duration_format(wish->life_s < 0 ? 0 : wish->life_s, asked),
                                       duration_format(life_max_s(wish), most));
        if (wish->validity_max_s &&
            (wish->validity_max_s < 60 || wish->validity_max_s > profile->validity_max_s))
                return error_set_field(
                        err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                        "a validity of %s was asked for: the profile '%s' gives from 60s to %s",
                        duration_format(wish->validity_max_s < 0 ? 0 : wish->validity_max_s, asked),
                        profile->name, duration_format(profile->validity_max_s, most));
        return 0;
}

static int check_label(const char *label, struct error *err) {
        if (label && (strlen(label) > LABEL_MAX || !utf8_valid(bytes_of(label))))
                return error_set_field(err, ERR_BODY_MALFORMED, "label",
                                       "a label has at most %d bytes of UTF-8", LABEL_MAX);
        return 0;
}

/* What could never lead to a certificate is refused now, not when a device stands there with it. */
static int check_wish(struct authority *a, const struct token_wish *wish, const char *profile_name,
                      struct error *err) {
        CAD_AUTO(profiles_ref_done) struct profiles_ref profiles = authority_profiles(a);
        const struct profile *profile = profiles_find(profiles.set, profile_name, err);

        if (!profile)
                return error_name_field(err, "profile");
        if (token_check_profile(profile, err) < 0 || check_numbers(wish, profile, err) < 0 ||
            check_label(wish->label, err) < 0)
                return -1;
        return grant_names_check(wish->names, wish->name_count, profile,
                                 ca_info_active(a->ca)->constraints, err);
}

/* A new token on its way into the store. */
struct made {
        struct store_op op;
        struct token_row row;
        struct buffer lines, detail;
        const char *names[GRANT_NAMES_MAX];
        struct audit_event event;
};

static void made_done(struct made *m) {
        buffer_done(&m->lines);
        buffer_done(&m->detail);
}
CAD_CLEANUP_DONE(struct made, made_done)

/* The names as they will be compared: canonical, each once. */
static int fill_names(struct made *m, const struct token_wish *wish, struct error *err) {
        CAD_AUTO(grant_names_done) struct grant_names names = { 0 };
        char *text, *rest = NULL;

        for (size_t i = 0; i < wish->name_count; i++)
                if (grant_names_add(&names, wish->names[i], err) < 0)
                        return error_name_field(err, "names[%zu]", i);
        grant_names_lines(&names, &m->lines);
        text = (char *) buffer_string(&m->lines);
        if (m->lines.failed)
                return error_no_memory(err);
        for (char *name = strtok_r(text, "\n", &rest); name; name = strtok_r(NULL, "\n", &rest))
                m->names[m->row.name_count++] = name;
        m->row.names = m->names;
        return 0;
}

/* Milliseconds that no token has had yet, so that ids rise in the order in which tokens are made, whatever the clock does. */
static int64_t draw_ms(struct authority *a) {
        int64_t last = atomic_load(&a->token_ms), now = moment_now_ms(), ms;

        do {
                ms = now > last ? now : last + 1;
        } while (!atomic_compare_exchange_weak(&a->token_ms, &last, ms));
        return ms;
}

static int draw_id(struct authority *a, struct token_row *row, struct error *err) {
        uint32_t random;

        if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return error_set(err, ERR_CRYPTO, "there is no randomness for a token");
        (void) snprintf(row->id, sizeof(row->id), "%016" PRIx64,
                        (((uint64_t) draw_ms(a) << ID_RANDOM_BITS) & INT64_MAX) |
                                (random & ((1u << ID_RANDOM_BITS) - 1)));
        return 0;
}

/* Id and secret; only the hash of both stays. */
static int draw_token(struct token_row *row, char *ret_text, struct error *err) {
        uint8_t secret[TOKEN_SECRET_SIZE];
        char hex[SECRET_LENGTH + 1];

        if (getrandom(secret, sizeof(secret), 0) != (ssize_t) sizeof(secret))
                return error_set(err, ERR_CRYPTO, "there is no randomness for a token");
        (void) snprintf(ret_text, TOKEN_TEXT_MAX, TOKEN_PREFIX "%s_%s", row->id,
                        hex_encode(BYTES(secret, sizeof(secret)), hex));
        sha256(bytes_of(ret_text), row->hash);
        explicit_bzero(secret, sizeof(secret));
        explicit_bzero(hex, sizeof(hex));
        return 0;
}

static int draw_code(struct authority *a, struct token_row *row, char *ret_text,
                     struct error *err) {
        char code[CODE_TEXT_MAX];
        int rc = pairing_draw(code, err);

        if (rc == 0)
                rc = hash_code(a, code, row->hash, err);
        if (rc == 0)
                (void) code_show(code, ret_text);
        explicit_bzero(code, sizeof(code));
        return rc;
}

static int draw(struct authority *a, struct token_row *row, char *ret_text, struct error *err) {
        if (draw_id(a, row, err) < 0)
                return -1;
        return row->is_short ? draw_code(a, row, ret_text, err) : draw_token(row, ret_text, err);
}

static int put_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct made *m = (const struct made *) op;

        if (tx_put_token(tx, &m->row, err) < 0)
                return -1;
        return tx_put_audit(tx, &m->event, err);
}

static void fill_event(struct made *m, const struct token_wish *wish) {
        char when[MOMENT_TEXT_MAX];

        buffer_format(&m->detail, "%s%" PRId64 " of profile %s until %s for",
                      m->row.is_short ? "pairing code, " : "", m->row.uses, m->row.profile,
                      moment_format(m->row.expires_at, when));
        for (size_t i = 0; i < m->row.name_count; i++)
                buffer_format(&m->detail, "%s %s", i ? "," : "", m->row.names[i]);
        m->event = (struct audit_event){
                .at = m->row.created_at,
                .action = "token.create",
                .principal = wish->principal->text,
                .source = wish->source,
                .object = m->row.id,
                .detail = buffer_string(&m->detail),
                .request_id = wish->request_id,
        };
}

static int put(struct authority *a, struct made *m, char *ret_text, struct error *err) {
        struct error conflict = { 0 };

        for (int i = 0; i < ID_TRIES; i++) {
                m->op = (struct store_op){ .apply = put_apply };
                if (draw(a, &m->row, ret_text, err) < 0)
                        return -1;
                if (store_write(a->store, &m->op, &conflict) == 0)
                        return 0;
                if (conflict.code != ERR_STATE_CONFLICT)
                        break;
        }
        *err = conflict;
        return -1;
}

static int create(struct authority *a, const struct token_wish *wish, struct token_row **ret,
                  char *ret_text, struct error *err) {
        CAD_AUTO(made_done) struct made m = { 0 };
        int64_t now;

        /* by a wrong clock it would last for years, or be over when the clock is right */
        if (access_check(wish->principal, ACTION_MANAGE_TOKENS, err) < 0 ||
            wall_clock_now(a, &now, err) < 0)
                return -1;
        m.row = (struct token_row){
                .profile = wish->profile ? wish->profile : DEFAULT_PROFILE,
                .validity_max_s = wish->validity_max_s,
                .uses = wish->uses,
                .created_at = now,
                .expires_at = now + life_of(wish),
                .creator = wish->principal->text,
                .label = wish->label,
                .is_short = wish->is_short,
        };
        if (check_wish(a, wish, m.row.profile, err) < 0 || fill_names(&m, wish, err) < 0)
                return -1;
        fill_event(&m, wish);
        if (put(a, &m, ret_text, err) < 0)
                return -1;
        *ret = token_row_copy(&m.row);
        return *ret ? 0 : error_no_memory(err);
}

int tokens_create(struct authority *a, const struct token_wish *wish, struct token_row **ret,
                  char *ret_text, struct error *err) {
        const struct audit_event refused = { .action = "token.create",
                                             .source = wish->source,
                                             .request_id = wish->request_id };

        if (create(a, wish, ret, ret_text, err) == 0)
                return 0;
        explicit_bzero(ret_text, TOKEN_TEXT_MAX);
        audit_refused(a, wish->principal, &refused, err);
        return -1;
}

/* ---- looking up, listing, revoking ---- */

int tokens_find(struct authority *a, const struct principal *principal, const char *id,
                struct token_row **ret, struct error *err) {
        if (access_check(principal, ACTION_MANAGE_TOKENS, err) < 0)
                return -1;
        return store_get_token(a->store, id, ret, err);
}

int tokens_list(struct authority *a, const struct principal *principal, const char *cursor,
                size_t limit, store_each_token each, void *data, char *next, struct error *err) {
        if (access_check(principal, ACTION_MANAGE_TOKENS, err) < 0)
                return -1;
        return store_list_tokens(a->store, cursor, limit, each, data, next, err);
}

struct revoking {
        struct store_op op;
        const char *id;
        int64_t at;
        struct audit_event event;
};

static int revoke_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct revoking *r = (const struct revoking *) op;

        if (tx_revoke_token(tx, r->id, r->at, err) < 0)
                return -1;
        return tx_put_audit(tx, &r->event, err);
}

static int revoke(struct authority *a, const struct token_revocation *rq, struct token_row **ret,
                  struct error *err) {
        struct revoking revoking = { .op = { .apply = revoke_apply },
                                     .id = rq->id,
                                     .at = moment_now(),
                                     .event = { .action = "token.revoke",
                                                .principal = rq->principal->text,
                                                .source = rq->source,
                                                .object = rq->id,
                                                .request_id = rq->request_id } };

        revoking.event.at = revoking.at;
        if (access_check(rq->principal, ACTION_MANAGE_TOKENS, err) < 0 ||
            store_write(a->store, &revoking.op, err) < 0)
                return -1;
        return store_get_token(a->store, rq->id, ret, err);
}

int tokens_revoke(struct authority *a, const struct token_revocation *rq, struct token_row **ret,
                  struct error *err) {
        const struct audit_event refused = { .action = "token.revoke",
                                             .source = rq->source,
                                             .object = rq->id,
                                             .request_id = rq->request_id };

        if (revoke(a, rq, ret, err) == 0)
                return 0;
        audit_refused(a, rq->principal, &refused, err);
        return -1;
}
