/*
 * The publisher as others see it: see publisher.h. Nothing here waits for its thread but publisher_end().
 */
#include "daemon/authority/publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/authority/publisher_parts.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define MAX_AGE_S INT64_C(3600)
#define THREAD_STACK (512u * 1024) /* bytes */

/* ---- what others do ----------------------------------------------------------------------------------------- */

/* The lock is taken only by who finds the flag down: thousands of revocations wake the thread once. */
void publisher_changed(void *publisher) {
        struct publisher *p = publisher;

        if (atomic_exchange(&p->changed, true))
                return;
        (void) pthread_mutex_lock(&p->lock);
        (void) pthread_cond_signal(&p->wake);
        (void) pthread_mutex_unlock(&p->lock);
}

void publisher_wake(struct publisher *p) {
        (void) pthread_mutex_lock(&p->lock);
        for (size_t i = 0; i < p->count; i++)
                p->of[i].state.failed_ms -= CRL_RETRY_MAX_MS;
        (void) pthread_cond_signal(&p->wake);
        (void) pthread_mutex_unlock(&p->lock);
}

void publisher_set(struct publisher *p, const struct crl_settings *settings) {
        (void) pthread_mutex_lock(&p->lock);
        p->settings = *settings;
        (void) pthread_cond_signal(&p->wake);
        (void) pthread_mutex_unlock(&p->lock);
}

int publisher_ask(struct publisher *p, publisher_done done, void *context, struct error *err) {
        int rc = 0;

        (void) pthread_mutex_lock(&p->lock);
        if (p->stopping || !p->started)
                rc = error_set(err, ERR_STOPPING,
                               "cad is being started or stopped: nothing is published now");
        else if (p->waiting_count == PUBLISHER_WAITING_MAX)
                rc = error_set(err, ERR_OVERLOADED, "%d others are waiting for a CRL already",
                               PUBLISHER_WAITING_MAX);
        if (rc == 0) {
                p->waiting[p->waiting_count++] = (struct waiter){ done, context };
                for (size_t i = 0; i < p->count; i++)
                        p->of[i].state.asked = true;
                (void) pthread_cond_signal(&p->wake);
        }
        (void) pthread_mutex_unlock(&p->lock);
        return rc;
}

struct crl_snapshot *publisher_snapshot(struct publisher *p, const char *issuer, int64_t now,
                                        int64_t *ret_max_age_s) {
        struct crl_snapshot *found = NULL;
        int64_t left = 0;

        (void) pthread_mutex_lock(&p->lock);
        for (size_t i = 0; i < p->count && !found; i++) {
                const struct publication *pub = &p->of[i];

                if (!pub->current || strcmp(pub->issuer, issuer) != 0)
                        continue;
                found = crl_snapshot_ref(pub->current);
                left = pub->current->this_update +
                        crl_settings_of(&p->settings, pub->is_root).refresh_s - now;
        }
        (void) pthread_mutex_unlock(&p->lock);
        *ret_max_age_s = left < 0 ? 0 : left > MAX_AGE_S ? MAX_AGE_S : left;
        return found;
}

bool publisher_status(struct publisher *p, size_t i, int64_t now, struct publisher_status *ret) {
        const struct publication *pub = &p->of[i];
        bool there;

        (void) pthread_mutex_lock(&p->lock);
        there = i < p->count;
        if (there) {
                const struct crl_snapshot *s = pub->current;

                *ret = (struct publisher_status){
                        .exists = s != NULL,
                        .expired = now > pub->cert->validity.not_after,
                        .can_be_made = publication_can_be_made(pub, now),
                        .number = s ? s->number : 0,
                        .this_update = s ? s->this_update : 0,
                        .next_update = s ? s->next_update : 0,
                        .entry_count = s ? s->entry_count : 0,
                        .size = s ? s->der.size : 0,
                        .pending_s = !pub->state.first_change_ms
                                ? -1
                                : (moment_monotonic_ms() - pub->state.first_change_ms) / 1000,
                        .failures = pub->state.failures,
                        .made = pub->made,
                        .took_ms = pub->state.took_ms,
                        .failure = pub->failure,
                };
                memcpy(ret->issuer, pub->issuer, sizeof(ret->issuer));
        }
        (void) pthread_mutex_unlock(&p->lock);
        return there;
}

/* ---- life --------------------------------------------------------------------------------------------------- */

int publisher_new(struct authority *a, struct publisher **ret, struct error *err) {
        struct publisher *p = calloc(1, sizeof(*p));
        pthread_condattr_t attr;

        if (!p)
                return error_no_memory(err);
        p->authority = a;
        p->dir_fd = -1;
        (void) pthread_mutex_init(&p->lock, NULL);
        (void) pthread_condattr_init(&attr);
        (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&p->wake, &attr);
        (void) pthread_condattr_destroy(&attr);
        *ret = p;
        return 0;
}

static void add_publication(struct publisher *p, const char *issuer, const struct cert *cert,
                            bool is_root, bool has_key) {
        struct publication *pub = &p->of[p->count++];

        (void) snprintf(pub->issuer, sizeof(pub->issuer), "%s", issuer);
        pub->cert = cert;
        pub->is_root = is_root;
        pub->has_key = has_key;
}

/* What a run before this one left: served at once, and made anew where the store does not know it or knows of more. */
static int load(struct publisher *p, struct publication *pub, struct error *err) {
        struct error why = { 0 };
        struct crl_row row;

        if (store_get_crl(p->authority->store, pub->issuer, &row, err) < 0)
                return -1;
        pub->changes_seen = row.changes;
        if (crl_snapshot_load(p->dir_fd, pub->issuer, pub->cert, &pub->current, &why) < 0) {
                if (why.code == ERR_NO_MEMORY) {
                        *err = why;
                        return -1;
                }
                if (why.code != ERR_NOT_FOUND || row.number > 0)
                        log_error(LOG_LEVEL_WARNING, &why,
                                  "the stored CRL of %s cannot be used and is made anew",
                                  pub->issuer);
                return 0;
        }
        pub->state.exists = true;
        pub->state.this_update = pub->current->this_update;
        pub->state.next_update = pub->current->next_update;
        pub->state.outdated = pub->current->number != row.number;
        pub->adopt = pub->current->number > row.number;
        if (row.changes != row.included)
                pub->state.first_change_ms = pub->state.last_change_ms = moment_monotonic_ms();
        return 0;
}

static int open_folder(struct publisher *p, int state_dir_fd, struct error *err) {
        p->dir_fd = folder_open(state_dir_fd, PUBLISHER_FOLDER, /* make= */ true, err);
        return p->dir_fd < 0 ? -1 : 0;
}

static int start_thread(struct publisher *p, struct error *err) {
        pthread_attr_t attr;
        int rc;

        (void) pthread_attr_init(&attr);
        (void) pthread_attr_setstacksize(&attr, THREAD_STACK);
        rc = pthread_create(&p->thread, &attr, publisher_thread, p);
        (void) pthread_attr_destroy(&attr);
        if (rc)
                return error_errno(err, rc, "cannot start the publisher's thread");
        (void) pthread_mutex_lock(&p->lock);
        p->started = true;
        (void) pthread_mutex_unlock(&p->lock);
        return 0;
}

int publisher_start(struct publisher *p, int state_dir_fd, const struct crl_settings *settings,
                    struct error *err) {
        const struct ca_info *ca = p->authority->ca;

        p->settings = *settings;
        if (open_folder(p, state_dir_fd, err) < 0)
                return -1;
        for (size_t i = 0; i < ca->issuer_count; i++)
                add_publication(p, ca->issuers[i].id, &ca->issuers[i].cert, false, true);
        add_publication(p, SIGNER_ROOT_ID, &ca->root, true, ca->root_key_present);
        for (size_t i = 0; i < p->count; i++)
                if (load(p, &p->of[i], err) < 0)
                        return -1;
        return start_thread(p, err);
}

static bool publishes(const struct publisher *p, const char *issuer) {
        for (size_t i = 0; i < p->count; i++)
                if (strcmp(p->of[i].issuer, issuer) == 0)
                        return true;
        return false;
}

void publisher_follow(struct publisher *p, const char *issuer, const struct cert *cert) {
        (void) pthread_mutex_lock(&p->lock);
        if (p->started && p->count < PUBLISHER_ISSUERS_MAX && !publishes(p, issuer)) {
                add_publication(p, issuer, cert, /* is_root= */ false, /* has_key= */ true);
                (void) pthread_cond_signal(&p->wake);
        }
        (void) pthread_mutex_unlock(&p->lock);
}

bool publisher_stop(struct publisher *p) {
        static const struct error why = { .code = ERR_STOPPING,
                                          .text = "cad is being stopped: ask again in a moment" };
        bool started;

        (void) pthread_mutex_lock(&p->lock);
        p->stopping = true;
        started = p->started;
        (void) pthread_cond_broadcast(&p->wake);
        publisher_answer_waiting(p, &why);
        (void) pthread_mutex_unlock(&p->lock);
        return started;
}

void publisher_end(struct publisher *p) {
        if (!publisher_stop(p))
                return;
        (void) pthread_join(p->thread, NULL);
        (void) pthread_mutex_lock(&p->lock);
        p->started = false;
        (void) pthread_mutex_unlock(&p->lock);
}

struct publisher *publisher_free(struct publisher *p) {
        if (!p)
                return NULL;
        publisher_end(p);
        for (size_t i = 0; i < p->count; i++)
                p->of[i].current = crl_snapshot_unref(p->of[i].current);
        p->dir_fd = fd_close(p->dir_fd);
        (void) pthread_cond_destroy(&p->wake);
        (void) pthread_mutex_destroy(&p->lock);
        free(p);
        return NULL;
}
