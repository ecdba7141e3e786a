/*
 * The authority: the one way in. Who may, what may; issue, revoke, look up. Protocols translate and ask it.
 *
 * It alone talks to the signer and writes to the store. All functions may be called from any thread.
 */
#pragma once

#include "daemon/authority/ca_info.h"
#include "daemon/authority/principal.h"
#include "daemon/signer/protocol.h"
#include "db/store.h"
#include "lib/pki/csr.h"
#include "lib/pki/profile.h"

struct authority; /* opaque */

/**
 * authority_new() - without a signer and a store yet
 * @profiles, @access: taken, on success and failure
 */
int authority_new(struct profile_set *profiles, struct access_list *access, struct authority **ret,
                  struct error *err);

/** authority_free() - fails what is in flight, closes the store. Return: NULL */
struct authority *authority_free(struct authority *a);
CAD_CLEANUP(struct authority, authority_free)

/**
 * authority_attach_signer() - begin to use a signer that was started
 * @fd: taken
 * @timeout_ms: for its hello; it may make a CA first
 * @err: ERR_SIGNER_UNAVAILABLE, what the signer said of itself (ERR_CA_INCOMPLETE, ERR_KEY_PASSPHRASE, …), ERR_SIGNER_WRONG where it has another CA than before
 */
int authority_attach_signer(struct authority *a, int fd, int64_t timeout_ms, struct error *err);

/** authority_detach_signer() - the signer is gone or is to go: what is in flight fails with ERR_SIGNER_UNAVAILABLE */
void authority_detach_signer(struct authority *a);

/** authority_signer_status() - ask the signer how it is. @err: ERR_SIGNER_UNAVAILABLE */
int authority_signer_status(struct authority *a, int64_t timeout_ms, struct sign_status *ret,
                            struct error *err);

/** authority_open_store() - after the first signer was attached: the store must belong to its CA. @err: see store_open() */
int authority_open_store(struct authority *a, int state_dir_fd, unsigned readers,
                         struct error *err);

/** authority_ca() - the CA; after the first signer was attached, for as long as the authority lives */
const struct ca_info *authority_ca(const struct authority *a);

/** authority_own_key() - nobody gets a certificate for this key any more: it is that of the HTTPS listener. @err: ERR_NO_MEMORY */
int authority_own_key(struct authority *a, struct bytes spki, struct error *err);

/** authority_store() - for health and status alone */
struct store *authority_store(const struct authority *a);

/** authority_set_profiles(), authority_set_access() - use other ones from now on; taken */
void authority_set_profiles(struct authority *a, struct profile_set *profiles);
void authority_set_access(struct authority *a, struct access_list *access);

/** authority_identify() - the principal of a peer on the Unix socket */
void authority_identify(struct authority *a, const struct peer_identity *peer,
                        struct principal *ret);

/** struct profiles_ref - the profiles of this moment, kept alive while they are used */
struct profiles_ref {
        struct authority *authority;
        struct shared_profiles *shared;
        const struct profile_set *set;
};
struct profiles_ref authority_profiles(struct authority *a);
void profiles_ref_done(struct profiles_ref *ref);
CAD_CLEANUP_DONE(struct profiles_ref, profiles_ref_done)

/* ---- CRLs: see publisher.h ---- */

struct publisher;
struct crl_settings;

/** authority_start_publisher() - publish CRLs from now on; after the store was opened. @err: see publisher_start() */
int authority_start_publisher(struct authority *a, int state_dir_fd,
                              const struct crl_settings *settings, struct error *err);

/** authority_publisher() - for who serves CRLs, settings and status */
struct publisher *authority_publisher(const struct authority *a);

/** struct publish_request - who wants CRLs made now; lent for the call */
struct publish_request {
        const struct principal *principal;
        const char *source, *request_id; /* for the audit; NULL: not known */
};

/**
 * authority_publish() - have CRLs made now; needs the right to publish
 * @done: called once, on any thread: @err NULL when they are there
 * Return: 0, then @done is called (perhaps before this returns); or -1 with @err (ERR_FORBIDDEN, ERR_OVERLOADED, ERR_STOPPING), then it is not
 */
int authority_publish(struct authority *a, const struct publish_request *rq,
                      void (*done)(void *context, const struct error *err), void *context,
                      struct error *err);

/** authority_quiesce() - answer who waits for something that may take long: cad is about to stop */
void authority_quiesce(struct authority *a);

/* ---- issuing ---- */

/** struct issue_request - a wish, as the protocol read it; lent for the call */
struct issue_request {
        const struct principal *principal;
        struct bytes csr;         /* DER or PEM, as it came */
        const char *profile;      /* NULL: "server" */
        const char *const *names; /* instead of those in the CSR; NULL or 0 of them: the CSR's */
        size_t name_count;
        int64_t lifetime_s; /* 0: the profile's default */
        int64_t not_before; /* 0: now, set back a little */
        const char *label;  /* NULL: none */
        /* by the CA for itself, through no protocol: it may ask for an internal profile
           (store.h: cert_row.internal) */
        bool internal;
        const char *idempotency_key; /* NULL: none; belongs to principal, method and path */
        const char *method, *path;
        uint8_t body_hash[SHA256_SIZE];
        /* for the audit: the peer's text, X-Request-Id; NULL: not known */
        const char *source, *request_id;
        bool of_stranger; /* handed in by anybody: never of a profile that is for admins */
        const struct request_approval *approves; /* NULL: none; the request: db/requests.h */
        const char *requester; /* what the certificate's row says; NULL: the principal */
};

/** struct issued - a certificate that is on disk; lent for the call of issue_done */
struct issued {
        const struct cert_row *row;
        const struct ca_info_issuer *issuer;
        bool replayed; /* the idempotency key was used before: this is the certificate of then */
        bool validity_cut;    /* it ends with its issuer, sooner than was asked */
        bool key_used_before; /* another certificate, for other names, has this key */
};

/** issue_done - called once, on any thread: @issued with @err NULL once it is durable, else why not */
typedef void (*issue_done)(void *context, const struct issued *issued, const struct error *err);

/**
 * authority_issue() - check a wish and have it made: access, CSR, profile, names, constraints, proof of possession, validity
 *
 * Return: 0, then @done is called (perhaps before this returns); or -1 with @err, then it is not.
 * @err: threats.md §4 rows 1–30 as ERR_CSR_*, ERR_KEY_*, ERR_NAME*; ERR_PROFILE_UNKNOWN, ERR_VALIDITY_OUT_OF_RANGE, ERR_FORBIDDEN,
 *       ERR_IDEMPOTENCY_MISMATCH, ERR_SIGNER_UNAVAILABLE, ERR_OVERLOADED; through @done also what signer and store say
 */
int authority_issue(struct authority *a, const struct issue_request *rq, issue_done done,
                    void *context, struct error *err);

/** struct checked_wish - a wish that would be granted now; lent for the call of wish_checked */
struct checked_wish {
        const struct csr *csr;
        const struct profile *profile;
        const char *const *names; /* as text, lower case */
        size_t name_count;
        const uint8_t *spki; /* SHA-256 of its SubjectPublicKeyInfo */
};

typedef int (*wish_checked)(const struct checked_wish *wish, void *context, struct error *err);

/**
 * authority_check_wish() - what authority_issue() would refuse is refused, and nothing is issued; access is judged by the caller
 * @use: called before this returns, where nothing is wrong with the wish; what it returns is returned
 * @err: as authority_issue()
 */
int authority_check_wish(struct authority *a, const struct issue_request *rq, wish_checked use,
                         void *context, struct error *err);

/**
 * authority_issue_again() - give once more what was given for this caller's idempotency key
 * Return: 1 after calling @done; 0 where the key is new, or there is none; -1 with @err: ERR_IDEMPOTENCY_MISMATCH, ERR_REQUEST_MALFORMED, ERR_STORE
 */
int authority_issue_again(struct authority *a, const struct issue_request *rq, issue_done done,
                          void *context, struct error *err);

/* ---- looking up and revoking ---- */

/** authority_find() - a certificate by serial (hex). @err: ERR_NOT_FOUND, ERR_STORE */
int authority_find(struct authority *a, const char *serial, struct cert_row **ret,
                   struct error *err);

/** authority_list() - a page; needs the role reader. See store_list() */
int authority_list(struct authority *a, const struct principal *principal,
                   const struct cert_filter *filter, const char *cursor, size_t limit,
                   store_each each, void *data, char *next, struct error *err);

/** struct revoke_request - what is to become of a certificate; lent for the call */
struct revoke_request {
        const struct principal *principal;
        const char *serial;              /* hex */
        const char *reason;              /* by name, NULL: unspecified */
        const char *source, *request_id; /* as in struct issue_request */
};

/**
 * authority_revoke() - revoke, hold or lift a hold; needs the role operator; durable when it returns
 * @ret:    the certificate as it is now
 * @err:    ERR_FORBIDDEN, ERR_NOT_FOUND, ERR_ALREADY_REVOKED, ERR_REASON_INVALID, ERR_STATE_CONFLICT, ERR_STORE
 */
int authority_revoke(struct authority *a, const struct revoke_request *rq, struct cert_row **ret,
                     struct error *err);
