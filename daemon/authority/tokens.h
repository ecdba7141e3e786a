/*
 * Tokens: one enrolment right each, handed to a device. Names, profile, number of uses and end are fixed when it is made.
 *
 *      cad_0199f3c2a1b20c41_5f0d…           cad_ + id + _ + secret
 *
 *      7XK2-M9QP                            a pairing code: see pairing.h
 *
 * The id finds the row, so that no random key is searched; of the secret only a SHA-256 is kept. What a device may get with
 * it is decided in authority_issue(), in whose transaction the use is taken.
 */
#pragma once

#include "daemon/authority/access.h"
#include "daemon/authority/authority.h"
#include "daemon/authority/grant.h"

#define TOKEN_TEXT_MAX 54    /* bytes with NUL of a whole token */
#define TOKEN_SECRET_SIZE 16 /* octets: 128 bits */
#define TOKEN_LIFE_DEFAULT_S (24 * INT64_C(3600))
#define TOKEN_LIFE_MAX_S (365 * INT64_C(86400))
#define TOKEN_USES_MAX INT64_C(1000000)

/** struct token_grant - a token and what it may get; owns all that it points to */
struct token_grant {
        struct token_row *row; /* see db/store.h: id, profile, uses, expires_at, … */
        char id[STORE_TOKEN_ID_MAX];
        struct grant_names names;
};
struct token_grant *token_grant_free(struct token_grant *grant);
CAD_CLEANUP(struct token_grant, token_grant_free)

/**
 * tokens_authenticate() - who shows this token?
 * @bearer: the token alone ("cad_…"), or a pairing code, as it came: behind "Bearer ", or EST's Basic password
 * @source: where it came from, as struct peer has it: "uid:1000 pid:4711", "192.0.2.1:4711", "[fe80::1%eth0]:4711"
 * @ret:    set on success only. A token that is used up is let in: it may only ask again for what it got (idempotency key)
 * @err:    ERR_UNAUTHENTICATED: no token of this CA, and nobody is told which part of it was wrong; ERR_TOKEN_SPENT: it is
 *          genuine, and expired or revoked; ERR_TOO_MANY_REQUESTS: too many wrong ones from there, the store was not asked; ERR_STORE
 *
 * Reads the store: for a worker, not an event thread.
 */
int tokens_authenticate(struct authority *a, const char *bearer, const char *source,
                        struct token_grant **ret, struct error *err);

/** token_principal() - who has shown it: kind PRINCIPAL_TOKEN, role public, text "token:ID" */
void token_principal(const struct token_grant *grant, struct principal *ret);

/**
 * tokens_grant() - the grant of a principal that tokens_authenticate() let in, as it is now; token_row_check() says whether it is still good
 * @err: ERR_NOT_FOUND, ERR_STORE
 */
int tokens_grant(struct authority *a, const struct principal *principal, struct token_grant **ret,
                 struct error *err);

/** token_split() - the id of a whole token, STORE_TOKEN_ID_MAX bytes. Return: 0, or -1 where it has not the form of one */
int token_split(const char *text, char *ret_id);

/* ---- what it is good for; for authority_issue() ---- */

/** token_check_profile() - whether any token may be for this profile. @err: ERR_FORBIDDEN, field profile */
int token_check_profile(const struct profile *profile, struct error *err);

/** token_grant_profile() - the token's profile; @asked: NULL, or the same one. @err: ERR_FORBIDDEN, field profile */
int token_grant_profile(const struct token_grant *grant, const char *asked, const char **ret,
                        struct error *err);

/**
 * token_grant_times() - hold the times that are wished against the token
 * @not_before: 0: now; not after the token's own end
 * @lifetime_s: 0: the profile's default; may become less
 * @err: ERR_VALIDITY_OUT_OF_RANGE, field validity or not_before
 */
int token_grant_times(const struct token_grant *grant, const struct profile *profile,
                      int64_t not_before, int64_t *lifetime_s, struct error *err);

/* ---- managing them ---- */

/** struct token_wish - what a new token is to be good for; lent for the call */
struct token_wish {
        const struct principal *principal; /* who asks for it */
        const char *const *names;
        size_t name_count;
        const char *profile;    /* NULL: "server" */
        int64_t validity_max_s; /* of a certificate; 0: as the profile has it */
        int64_t uses;           /* 1 to TOKEN_USES_MAX */
        int64_t life_s;         /* of the token; 0: as long as is usual */
        const char *label;      /* NULL: none */
        bool is_short;          /* a pairing code: one use, PAIRING_LIFE_S at most */
        const char *source,
                *request_id; /* for the audit: the peer's text, X-Request-Id; NULL: not known */
};

/**
 * tokens_create() - make a token; durable when it returns
 * @ret:      the row
 * @ret_text: TOKEN_TEXT_MAX bytes: the token, told this once; wipe it
 * @err:      ERR_UNAUTHENTICATED, ERR_FORBIDDEN; a token that could never work: ERR_NAME_INVALID, ERR_NAME_NOT_ALLOWED, ERR_NAME_NOT_PERMITTED,
 *            ERR_PROFILE_UNKNOWN, ERR_FORBIDDEN (field profile), ERR_VALIDITY_OUT_OF_RANGE; ERR_BODY_MALFORMED (uses, label); ERR_TOO_MANY_REQUESTS: as
 *            many pairing codes as may be are good already; ERR_STORE
 */
int tokens_create(struct authority *a, const struct token_wish *wish, struct token_row **ret,
                  char *ret_text, struct error *err);

/** tokens_find() - one by id, without its secret. @err: ERR_FORBIDDEN, ERR_NOT_FOUND, ERR_STORE */
int tokens_find(struct authority *a, const struct principal *principal, const char *id,
                struct token_row **ret, struct error *err);

/** tokens_list() - a page, newest first. See store_list_tokens() */
int tokens_list(struct authority *a, const struct principal *principal, const char *cursor,
                size_t limit, store_each_token each, void *data, char *next, struct error *err);

/** struct token_revocation - a token that is to be taken back; lent for the call */
struct token_revocation {
        const struct principal *principal;
        const char *id;
        const char *source, *request_id; /* as in struct token_wish */
};

/**
 * tokens_revoke() - no further use from now on; what it got stays valid; durable when it returns. Once more changes nothing
 * @err: ERR_FORBIDDEN, ERR_NOT_FOUND, ERR_STORE
 */
int tokens_revoke(struct authority *a, const struct token_revocation *rq, struct token_row **ret,
                  struct error *err);
