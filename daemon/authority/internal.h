/*
 * What the files of the authority share.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/authority/audit.h"
#include "daemon/authority/authority.h"
#include "daemon/authority/health.h"
#include "daemon/authority/limiter.h"
#include "daemon/authority/pace.h"
#include "daemon/authority/peer_certificate.h"
#include "daemon/authority/publisher.h"
#include "daemon/authority/recent_keys.h"
#include "daemon/authority/wall_clock.h"
#include "daemon/signer/client.h"

/* Profiles of one moment; freed by the last who uses them. */
struct shared_profiles {
        struct profile_set *set;
        atomic_uint users;
};

struct issuance;

struct authority {
        struct signer_client *signer;
        _Atomic(struct ca_info *)
                ca; /* another one after a rotation: who needs it twice takes it once */
        _Atomic(struct peer_verifier *) peer_verifier; /* of the CA above, and as old */
        pthread_mutex_t rotation_lock;                 /* one change of intermediates at a time */
        struct store *store;
        struct audit *audit; /* as long as the store is open */
        _Atomic int64_t anchor_every_s;
        struct publisher *publisher;
        struct recent_keys *recent_keys;
        struct limiter *limiter;         /* of wrong guesses, for every way in */
        struct limiter *pairing_limiter; /* of wrong pairing codes, apart from all else */
        _Atomic int64_t token_ms;        /* that the newest token has in its id */
        struct requests *requests;       /* see requests.h */
        struct pace *pace;               /* of owners with their own certificates */
        struct wall_clock wall_clock;
        uint8_t *hello_frame;
        struct health_source health_sources[HEALTH_SOURCES_MAX];
        size_t health_source_count;

        pthread_mutex_t lock; /* over what can be replaced while it runs */
        struct shared_profiles *profiles;
        struct access_list *access;

        /* of the reader of the signer's answers alone: what is signed and waits for one commit */
        struct store_op *signed_first, **signed_last;
        unsigned signed_count;
        int64_t signed_since_us;

        _Atomic int64_t
                prove_after_ms; /* monotonic: when the next leaf's signature is proved through the chain; 0: now */
        atomic_uint in_work; /* issuances that have begun and are not answered */
};

/** struct renewal - what is to be renewed; made by authority_renew() alone, which has seen that the caller may */
struct renewal {
        const struct cert_row *row; /* lent for the call, as is all of it */
        struct cert cert;           /* views into @row */
        bool names_all;             /* see struct renew_request */
};

/** renewal_judge() - whether this certificate may be renewed now, by this caller, under the profile of today. @err: see authority_renew() */
int renewal_judge(struct authority *a, const struct renewal *renewal,
                  const struct principal *principal, const struct profile *profile, int64_t now,
                  struct error *err);

/** renewal_check_csr() - a CSR for a new key wants the names that the certificate has, or none. @err: ERR_NAME_NOT_ALLOWED */
int renewal_check_csr(const struct renewal *renewal, const struct san_list *names,
                      const struct csr *csr, struct error *err);

/** renewal_times() - how long the new one is good for, and from when: 0 is what the profile says */
void renewal_times(const struct authority *a, const struct renewal *renewal,
                   const struct profile *profile, int64_t now, int64_t *ret_not_before,
                   int64_t *ret_lifetime_s);

/**
 * issue_begin() - what authority_issue() and authority_renew() share, after they have looked at the caller's right
 * @renewal: NULL: none. Its names stand in for those of @rq and of the CSR, which may be empty: then its key, too
 */
int issue_begin(struct authority *a, const struct issue_request *rq, const struct renewal *renewal,
                issue_done done, void *context, struct error *err);

/** issue_signed_drained() - hand all that was signed to the store, as one batch, or say how many microseconds to wait for more; on the
 *  reader's thread */
unsigned issue_signed_drained(void *authority);
