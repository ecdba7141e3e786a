/*
 * The publisher: a CRL of each issuer, there on time.
 *
 *      a commit that revoked ──> publisher_changed() ──> the publisher's own thread, when it is due (crl_schedule.h):
 *                                 a flag, no more          entries from the store, in steps, into a sealed memfd
 *                                                          signer_client_crl(), all that comes back checked
 *      who serves <── publisher_snapshot() <───────────────the new one stored as STATE/crl/ISSUER.crl, and swapped in
 *
 * A try that fails is made again, later and later, up to a minute apart; the CRL that is there is served meanwhile. Nobody ever
 * waits for the thread but who asks for a CRL (publisher_ask()), and they are called back. All functions may be called from any
 * thread.
 */
#pragma once

#include "daemon/authority/crl_schedule.h"
#include "daemon/authority/crl_snapshot.h"
#include "lib/base/error.h"

struct authority;
struct publisher; /* opaque */

#define PUBLISHER_ISSUERS_MAX (SIGNER_ISSUERS_MAX + 1) /* and the root */
#define PUBLISHER_WAITING_MAX 32 /* who have asked for a CRL and are not answered yet */
#define PUBLISHER_FOLDER "crl"   /* in the state folder */

/** publisher_new() - without a thread yet: publisher_changed() may be called from now on. @err: ERR_NO_MEMORY */
int publisher_new(struct authority *a, struct publisher **ret, struct error *err);

/**
 * publisher_start() - serve what was stored, and begin to watch; when the CA is known and the store is open
 *
 * A stored CRL that is damaged or another CA's is said in the log and made anew.
 * @err: ERR_IO, ERR_FILE_UNSAFE, ERR_NO_MEMORY
 */
int publisher_start(struct publisher *p, int state_dir_fd, const struct crl_settings *settings,
                    struct error *err);

/**
 * publisher_follow() - the CA has another intermediate: publish its CRL, too; before publisher_start() it does nothing
 * @cert: lives as long as the authority
 */
void publisher_follow(struct publisher *p, const char *issuer, const struct cert *cert);

/** publisher_set() - other settings from now on; also before publisher_start(), which brings its own */
void publisher_set(struct publisher *p, const struct crl_settings *settings);

/** publisher_stop() - answer who waits with ERR_STOPPING, begin nothing more; returns at once, may be repeated. Return: whether there is a thread */
bool publisher_stop(struct publisher *p);

/** publisher_end() - stop, and wait for the thread: after the signer's client has failed what is in flight, before the store is closed */
void publisher_end(struct publisher *p);

/** publisher_free() - when nobody can call publisher_changed() any more: after the store is closed. Return: NULL */
struct publisher *publisher_free(struct publisher *p);
CAD_CLEANUP(struct publisher, publisher_free)

/** publisher_changed() - something was revoked, held or lifted; for store_options. Costs nothing where that is known already */
void publisher_changed(void *publisher);

/** publisher_wake() - what failed may work now (the signer is back): try again at once */
void publisher_wake(struct publisher *p);

/** publisher_done - @err NULL: there are CRLs of all issuers that were begun after the call; on the publisher's thread, or publisher_stop()'s */
typedef void (*publisher_done)(void *context, const struct error *err);

/** publisher_ask() - make CRLs now. @err: ERR_OVERLOADED, ERR_STOPPING: then @done is not called */
int publisher_ask(struct publisher *p, publisher_done done, void *context, struct error *err);

/**
 * publisher_snapshot() - the CRL of an issuer, which the caller keeps until crl_snapshot_unref(); NULL: there is none
 * @ret_max_age_s: for how long others may keep it without asking: until the next is due, an hour at most
 */
struct crl_snapshot *publisher_snapshot(struct publisher *p, const char *issuer, int64_t now,
                                        int64_t *ret_max_age_s);

/** struct publisher_status - how an issuer's CRL stands */
struct publisher_status {
        char issuer[SIGNER_ISSUER_MAX];
        bool exists;
        bool expired;     /* its certificate: nobody needs its CRL any more */
        bool can_be_made; /* its key is here, and its certificate has not expired */
        int64_t number, this_update, next_update;
        size_t entry_count, size;
        int64_t pending_s;    /* for how long a change has not been on it; -1: none */
        unsigned failures;    /* tries in a row */
        uint64_t made;        /* since start */
        int64_t took_ms;      /* to make the last one */
        struct error failure; /* of the last try, where failures is not 0 */
};

/** publisher_status() - of the @i-th issuer, the root last. Return: false: there are no more, or it was not started */
bool publisher_status(struct publisher *p, size_t i, int64_t now, struct publisher_status *ret);
