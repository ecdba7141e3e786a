/*
 * The authority's life: signer, store, profiles and access lists, put together and taken apart.
 */
#include "daemon/authority/authority.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/authority/access.h"
#include "daemon/authority/internal.h"
#include "daemon/authority/requests.h"
#include "daemon/authority/rotation.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

static struct shared_profiles *profiles_share(struct profile_set *set) {
        struct shared_profiles *shared = calloc(1, sizeof(*shared));

        if (!shared) {
                (void) profiles_free(set);
                return NULL;
        }
        shared->set = set;
        atomic_store(&shared->users, 1);
        return shared;
}

static void profiles_unref(struct shared_profiles *shared) {
        if (shared && atomic_fetch_sub(&shared->users, 1) == 1) {
                (void) profiles_free(shared->set);
                free(shared);
        }
}

int authority_new(struct profile_set *profiles, struct access_list *access, struct authority **ret,
                  struct error *err) {
        struct authority *a = calloc(1, sizeof(*a));

        if (!a) {
                (void) profiles_free(profiles);
                (void) access_list_free(access);
                return error_no_memory(err);
        }
        (void) pthread_mutex_init(&a->lock, NULL);
        (void) pthread_mutex_init(&a->rotation_lock, NULL);
        wall_clock_init(&a->wall_clock);
        a->access = access;
        a->profiles = profiles_share(profiles);
        a->hello_frame = malloc(SIGNER_FRAME_MAX);
        a->recent_keys = recent_keys_new();
        a->limiter = limiter_new(&limiter_tokens);
        a->pairing_limiter = limiter_new(&limiter_pairing);
        a->pace = pace_new();
        a->requests = requests_new();
        a->signed_last = &a->signed_first;
        audit_set_anchor_every(a, AUDIT_ANCHOR_EVERY_S);
        if (!a->profiles || !a->hello_frame || !a->recent_keys || !a->limiter ||
            !a->pairing_limiter || !a->pace || !a->requests) {
                (void) authority_free(a);
                return error_no_memory(err);
        }
        if (signer_client_new(issue_signed_drained, a, &a->signer, err) < 0 ||
            publisher_new(a, &a->publisher, err) < 0) {
                (void) authority_free(a);
                return -1;
        }
        *ret = a;
        return 0;
}

struct authority *authority_free(struct authority *a) {
        if (!a)
                return NULL;
        if (a->publisher && publisher_stop(a->publisher)) {
                signer_client_detach(a->signer); /* it may be waiting for an answer */
                publisher_end(a->publisher);
        }
        a->audit = audit_free(a->audit);
        a->signer = signer_client_free(
                a->signer); /* before the store: what was signed is still committed */
        a->store = store_close(a->store);
        a->publisher = publisher_free(a->publisher);
        a->peer_verifier = peer_verifier_free(a->peer_verifier);
        a->ca = ca_info_free(a->ca);
        profiles_unref(a->profiles);
        a->access = access_list_free(a->access);
        a->recent_keys = recent_keys_free(a->recent_keys);
        a->limiter = limiter_free(a->limiter);
        a->pairing_limiter = limiter_free(a->pairing_limiter);
        a->pace = pace_free(a->pace);
        a->requests = requests_free(a->requests);
        free(a->hello_frame);
        wall_clock_done(&a->wall_clock);
        (void) pthread_mutex_destroy(&a->rotation_lock);
        (void) pthread_mutex_destroy(&a->lock);
        free(a);
        return NULL;
}

int authority_attach_signer(struct authority *a, int fd, int64_t timeout_ms, struct error *err) {
        CAD_AUTO(ca_info_free) struct ca_info *ca = NULL;
        struct sign_hello hello;
        bool first;

        if (signer_client_attach(a->signer, fd, timeout_ms, a->hello_frame, &hello, err) < 0)
                return -1;
        if (ca_info_new(&hello, &ca, err) < 0) {
                signer_client_detach(a->signer);
                return -1;
        }
        first = !a->ca;
        if (authority_use_ca(a, CAD_TAKE(ca), err) < 0) {
                signer_client_detach(a->signer);
                return -1;
        }
        if (first)
                return 0;
        publisher_wake(a->publisher);
        audit_signer_attached(a);
        return 0;
}

void authority_detach_signer(struct authority *a) {
        signer_client_detach(a->signer);
}

int authority_signer_status(struct authority *a, int64_t timeout_ms, struct sign_status *ret,
                            struct error *err) {
        int64_t now_s = moment_now(), now_ms = moment_monotonic_ms();

        if (signer_client_status(a->signer, timeout_ms, ret, err) < 0)
                return -1;
        wall_clock_note(&a->wall_clock, ret, now_s, now_ms);
        return 0;
}

int authority_open_store(struct authority *a, int state_dir_fd, unsigned readers,
                         struct error *err) {
        struct store_options options = {
                .ca_id = a->ca->id,
                .replaces = a->ca->replaces[0] ? a->ca->replaces : NULL,
                /* a CA that has signed leaves had a database: its absence is a loss, not a beginning */
                .create = a->ca->issued_before == 0,
                .readers = readers,
                .revoked = publisher_changed,
                .revoked_context = a->publisher,
        };

        if (store_open(state_dir_fd, &options, &a->store, err) < 0)
                return -1;
        return audit_new(a, &a->audit, err);
}

int authority_start_publisher(struct authority *a, int state_dir_fd,
                              const struct crl_settings *settings, struct error *err) {
        return publisher_start(a->publisher, state_dir_fd, settings, err);
}

struct publisher *authority_publisher(const struct authority *a) {
        return a->publisher;
}

int authority_publish(struct authority *a, const struct publish_request *rq,
                      void (*done)(void *context, const struct error *err), void *context,
                      struct error *err) {
        const struct audit_event event = { .action = "crl.publish",
                                           .principal = rq->principal->text,
                                           .source = rq->source,
                                           .request_id = rq->request_id };

        if (access_check(rq->principal, ACTION_PUBLISH_CRL, err) < 0) {
                audit_refused(a, rq->principal, &event, err);
                return -1;
        }
        (void) audit_record(a, &event);
        return publisher_ask(a->publisher, done, context, err);
}

void authority_quiesce(struct authority *a) {
        (void) publisher_stop(a->publisher);
}

const struct ca_info *authority_ca(const struct authority *a) {
        return a->ca;
}

int authority_own_key(struct authority *a, struct bytes spki, struct error *err) {
        return ca_info_add_key(a->ca, spki, err);
}

struct store *authority_store(const struct authority *a) {
        return a->store;
}

void authority_set_profiles(struct authority *a, struct profile_set *profiles) {
        struct shared_profiles *fresh = profiles_share(profiles), *old;

        if (!fresh)
                return;
        (void) pthread_mutex_lock(&a->lock);
        old = a->profiles;
        a->profiles = fresh;
        (void) pthread_mutex_unlock(&a->lock);
        profiles_unref(old);
}

void authority_set_access(struct authority *a, struct access_list *access) {
        struct access_list *old;

        (void) pthread_mutex_lock(&a->lock);
        old = a->access;
        a->access = access;
        (void) pthread_mutex_unlock(&a->lock);
        (void) access_list_free(old);
}

void authority_identify(struct authority *a, const struct peer_identity *peer,
                        struct principal *ret) {
        (void) pthread_mutex_lock(&a->lock);
        principal_of_peer(a->access, peer, ret);
        (void) pthread_mutex_unlock(&a->lock);
}

struct profiles_ref authority_profiles(struct authority *a) {
        struct profiles_ref ref = { .authority = a };

        (void) pthread_mutex_lock(&a->lock);
        ref.shared = a->profiles;
        (void) atomic_fetch_add(&ref.shared->users, 1);
        (void) pthread_mutex_unlock(&a->lock);
        ref.set = ref.shared->set;
        return ref;
}

void profiles_ref_done(struct profiles_ref *ref) {
        profiles_unref(ref->shared);
        *ref = (struct profiles_ref){ 0 };
}
