/*
 * The publisher's thread: what is due, one after the other, and what comes of it. The lock is held over nothing that takes time.
 */
#include "daemon/authority/publisher_parts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define LOOK_EVERY_MS INT64_C(200) /* at changes, while they keep coming */
#define LOG_EVERY_FAILURES 10

/* ---- one CRL, and what comes of it -------------------------------------------------------------------------- */

static void tell_made(const struct making *m, int64_t took_ms) {
        char until[MOMENT_TEXT_MAX], number[24];
        const struct log_field fields[] = { { "CAD_ISSUER", m->publication->issuer },
                                            { "CAD_CRL_NUMBER", number } };

        (void) snprintf(number, sizeof(number), "%lld", (long long) m->row.number);
        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields),
                   "CRL %s of %s: %lld entries, good until %s (%s; it took %lld ms)", number,
                   m->publication->issuer, (long long) m->row.entries,
                   moment_format(m->row.next_update, until), crl_make_reason(m->why),
                   (long long) took_ms);
}

/* With the lock. */
static void note_outcome(struct making *m, int rc, bool asked, const struct error *err) {
        struct publication *pub = m->publication;
        struct publisher *p = m->publisher;

        if (rc == 0) {
                pub->state.failures = 0;
                return;
        }
        pub->state.failures++;
        pub->state.failed_ms = moment_monotonic_ms();
        pub->failure = *err;
        if (asked && p->ask_failure.code == ERR_NONE)
                p->ask_failure = *err;
}

static void tell_failed(const struct making *m, unsigned failures, const struct error *err) {
        if (err->code == ERR_STOPPING)
                return;
        if (failures == 1 || failures % LOG_EVERY_FAILURES == 0)
                log_error(LOG_LEVEL_ERROR, err,
                          "cannot publish the CRL of %s (try %u; the next one in %lld s)",
                          m->publication->issuer, failures,
                          (long long) (crl_retry_ms(failures) / 1000));
}

/* With the lock, which is given up meanwhile. */
static void publish(struct publisher *p, struct publication *pub, enum crl_due why) {
        struct making m = { .publisher = p, .publication = pub, .why = why, .wish.entries_fd = -1 };
        struct crl_settings settings = crl_settings_of(&p->settings, pub->is_root);
        int64_t began_ms = moment_monotonic_ms(), took_ms;
        bool asked = pub->state.asked;
        struct error err = { 0 };
        int rc;

        pub->state.asked = false; /* who asks from now on wants one that begins later */
        (void) pthread_mutex_unlock(&p->lock);
        rc = crl_make(&m, &settings, &err);
        m.wish.entries_fd = fd_close(m.wish.entries_fd);
        took_ms = moment_monotonic_ms() - began_ms;
        if (rc == 0)
                tell_made(&m, took_ms);
        else
                tell_failed(&m, pub->state.failures + 1, &err); /* this thread alone changes it */
        (void) pthread_mutex_lock(&p->lock);
        if (rc == 0) { /* one that failed has waited for others: there is nothing to rest from */
                pub->state.began_ms = began_ms;
                pub->state.took_ms = took_ms;
        }
        note_outcome(&m, rc, asked, &err);
}

/* ---- what is due -------------------------------------------------------------------------------------------- */

bool publication_can_be_made(const struct publication *pub, int64_t now) {
        return pub->has_key && now <= pub->cert->validity.not_after;
}

/* With the lock, which is given up meanwhile. Which issuers have changes that their CRLs do not have yet? */
static void look_at_changes(struct publisher *p) {
        int64_t now_ms = moment_monotonic_ms();

        p->looked_ms = now_ms;
        atomic_store(&p->changed, false);
        for (size_t i = 0; i < p->count; i++) {
                struct publication *pub = &p->of[i];
                struct crl_row row;
                struct error err = { 0 };
                int rc;

                (void) pthread_mutex_unlock(&p->lock);
                rc = store_get_crl(p->authority->store, pub->issuer, &row, &err);
                (void) pthread_mutex_lock(&p->lock);
                if (rc == 0 && row.changes <= pub->changes_seen)
                        continue;
                if (rc < 0) /* then all of them are made anew, or say why not */
                        row.changes = pub->changes_seen;
                pub->changes_seen = row.changes;
                pub->state.last_change_ms = now_ms;
                if (!pub->state.first_change_ms)
                        pub->state.first_change_ms = now_ms;
        }
}

/* With the lock. */
static struct publication *find_due(struct publisher *p, enum crl_due *ret_why,
                                    int64_t *ret_wait_ms) {
        int64_t now = moment_now(), now_ms = moment_monotonic_ms();

        for (size_t i = 0; i < p->count; i++) {
                struct publication *pub = &p->of[i];
                struct crl_settings settings = crl_settings_of(&p->settings, pub->is_root);
                int64_t wait_ms = 0;

                if (!publication_can_be_made(pub, now)) {
                        pub->state.asked = false;
                        continue;
                }
                *ret_why = crl_due(&pub->state, &settings, now, now_ms, &wait_ms);
                if (*ret_why != CRL_NOT_DUE)
                        return pub;
                if (wait_ms < *ret_wait_ms)
                        *ret_wait_ms = wait_ms;
        }
        return NULL;
}

/* With the lock, which is given up meanwhile. */
void publisher_answer_waiting(struct publisher *p, const struct error *err) {
        struct waiter waiting[PUBLISHER_WAITING_MAX];
        size_t count = p->waiting_count;

        if (count == 0)
                return;
        memcpy(waiting, p->waiting, count * sizeof(*waiting));
        p->waiting_count = 0;
        p->ask_failure = (struct error){ 0 };
        (void) pthread_mutex_unlock(&p->lock);
        for (size_t i = 0; i < count; i++)
                waiting[i].done(waiting[i].context, err);
        (void) pthread_mutex_lock(&p->lock);
}

/* With the lock: whether nothing is left of what somebody asked for. */
static bool all_asked_done(const struct publisher *p) {
        for (size_t i = 0; i < p->count; i++)
                if (p->of[i].state.asked)
                        return false;
        return true;
}

/* With the lock. */
static void sleep_ms(struct publisher *p, int64_t ms) {
        struct timespec until;

        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        ms += until.tv_nsec / 1000000;
        until.tv_sec += ms / 1000;
        until.tv_nsec = ms % 1000 * 1000000 + until.tv_nsec % 1000000;
        (void) pthread_cond_timedwait(&p->wake, &p->lock, &until);
}

/* With the lock: one step. */
static void work(struct publisher *p) {
        int64_t wait_ms = 30000, since_ms = moment_monotonic_ms() - p->looked_ms;
        struct publication *due;
        enum crl_due why = CRL_NOT_DUE;

        if (atomic_load(&p->changed)) {
                if (since_ms >= LOOK_EVERY_MS)
                        look_at_changes(p);
                else
                        wait_ms = LOOK_EVERY_MS - since_ms;
        }
        due = find_due(p, &why, &wait_ms);
        if (due)
                publish(p, due, why);
        if (p->waiting_count > 0 && all_asked_done(p)) {
                struct error failure = p->ask_failure;

                publisher_answer_waiting(p, failure.code ? &failure : NULL);
                return;
        }
        if (!due && !p->stopping)
                sleep_ms(p, wait_ms > 0 ? wait_ms : 1);
}

void *publisher_thread(void *data) {
        struct publisher *p = data;

        (void) pthread_setname_np(pthread_self(), "publisher");
        (void) pthread_mutex_lock(&p->lock);
        while (!p->stopping)
                work(p);
        (void) pthread_mutex_unlock(&p->lock);
        return NULL;
}
