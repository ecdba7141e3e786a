/*
 * The publisher: see publisher.h. One thread does all the work; the lock is held over nothing that takes time.
 */
#include "daemon/authority/publisher.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/authority/audit.h"
#include "daemon/authority/internal.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/pki/crl.h"

#define STEP_ROWS 1024             /* of the store, in one read: some 0.3 ms */
#define LOOK_EVERY_MS INT64_C(200) /* at changes, while they keep coming */
#define LOG_EVERY_FAILURES 10
#define MAX_AGE_S INT64_C(3600)
#define THREAD_STACK (512u * 1024) /* bytes */

/* One issuer's. The thread alone uses adopt; the rest is under the publisher's lock. */
struct publication {
        char issuer[SIGNER_ISSUER_MAX];
        const struct cert *cert;
        bool is_root, has_key;
        bool adopt; /* the store is older than the CRL that was there at start: see adopt_published() */
        struct crl_state state;
        struct crl_snapshot *current;
        struct error failure;
        uint64_t made;
        int64_t changes_seen;
};

struct waiter {
        publisher_done done;
        void *context;
};

struct publisher {
        struct authority *authority;
        int dir_fd;
        pthread_t thread;
        bool started;
        atomic_bool changed; /* set by who commits, taken by the thread */

        pthread_mutex_t lock;
        pthread_cond_t wake;
        bool stopping;
        struct crl_settings settings;
        struct publication of[PUBLISHER_ISSUERS_MAX];
        size_t count;
        struct waiter waiting[PUBLISHER_WAITING_MAX];
        size_t waiting_count;
        struct error ask_failure; /* of what they wait for, so far */
        int64_t looked_ms;        /* at changes */
};

/* ---- making one --------------------------------------------------------------------------------------------- */

static const char *const reasons[] = {
        [CRL_NOT_DUE] = "",
        [CRL_DUE_MISSING] = "there was none",
        [CRL_DUE_ASKED] = "somebody asked",
        [CRL_DUE_CHANGED] = "something was revoked or lifted",
        [CRL_DUE_SCHEDULED] = "it was time",
};

/* What is being made, from its first step to its last. */
struct making {
        struct publisher *publisher;
        struct publication *publication;
        enum crl_due why;
        struct crl_row row;   /* as it will be */
        struct sign_crl wish; /* its entries_fd is ours */
        struct crl_times times;
};

static int add_rows(struct crl_entries *entries, const struct revoked_row *rows, size_t count,
                    struct error *err) {
        struct crl_entry entry;

        for (size_t i = 0; i < count; i++) {
                struct bytes serial = BYTES(rows[i].serial, rows[i].serial_size);

                if (!crl_entry_set(&entry, serial, rows[i].reason, rows[i].revoked_at))
                        return error_set(err, ERR_STORE,
                                         "a revoked certificate has a serial that is none");
                if (crl_entries_add(entries, &entry, err) < 0)
                        return -1;
        }
        return 0;
}

static bool stopping(struct publisher *p) {
        bool is;

        (void) pthread_mutex_lock(&p->lock);
        is = p->stopping;
        (void) pthread_mutex_unlock(&p->lock);
        return is;
}

static struct revoked_row *rows_free(struct revoked_row *rows) {
        free(rows);
        return NULL;
}
CAD_CLEANUP(struct revoked_row, rows_free)

/* All that is revoked or held and has to be on it, in steps: no read is open for long, and a million entries need no more
 * memory than a thousand. */
static int gather(struct making *m, struct error *err) {
        CAD_AUTO(crl_entries_free) struct crl_entries *entries = NULL;
        struct revoked_cursor cursor = revoked_from(m->times.floor);
        struct store *store = m->publisher->authority->store;
        CAD_AUTO(rows_free) struct revoked_row *rows = malloc(STEP_ROWS * sizeof(*rows));
        size_t count = STEP_ROWS, total = 0;

        if (!rows)
                return error_no_memory(err);
        if (crl_entries_new(&entries, err) < 0)
                return -1;
        while (count == STEP_ROWS) {
                if (stopping(m->publisher))
                        return error_set(err, ERR_STOPPING, "cad is being stopped");
                if (store_revoked_step(store, m->publication->issuer, &cursor, rows, STEP_ROWS,
                                       &count, err) < 0 ||
                    add_rows(entries, rows, count, err) < 0)
                        return -1;
        }
        m->wish.entries_fd = crl_entries_seal(entries, &total, err);
        m->wish.entry_count = (int64_t) total;
        return m->wish.entries_fd < 0 ? -1 : 0;
}

/* Some of what a CRL says, into the store. Return: how many it did not know, or -1 */
static int64_t adopt_some(struct making *m, struct der_reader *from, struct error *err) {
        CAD_AUTO(rows_free) struct revoked_row *rows = malloc(STEP_ROWS * sizeof(*rows));
        struct store_adopt adopt;
        struct crl_entry entry;
        size_t count = 0;

        if (!rows)
                return error_no_memory(err);
        while (count < STEP_ROWS && crl_next_entry(from, &entry)) {
                rows[count] = (struct revoked_row){
                        .serial_size = entry.serial_size,
                        .revoked_at = entry.revoked_at,
                        .reason = (enum revocation_reason) entry.reason
                };
                memcpy(rows[count++].serial, entry.serial, entry.serial_size);
        }
        store_adopt_init(&adopt, m->publication->issuer, rows, count, NULL);
        if (store_write(m->publisher->authority->store, &adopt.op, err) < 0)
                return -1;
        return (int64_t) adopt.adopted;
}

static void tell_adopted(const struct making *m, int64_t number, int64_t adopted) {
        char text[AUDIT_DETAIL_MAX];

        (void) snprintf(
                text, sizeof(text),
                "the database is older than CRL %lld of %s: %lld revocations that it did not know were taken over from there",
                (long long) number, m->publication->issuer, (long long) adopted);
        log_warning("%s", text);
        audit_system(m->publisher->authority, "crl.adopt", m->publication->issuer, NULL, text);
}

/* An older database was put in the place of a newer one: what had been published as revoked meanwhile must not come back to
 * life with the next CRL. */
static int adopt_published(struct making *m, struct error *err) {
        struct publication *pub = m->publication;
        struct der_reader entries;
        int64_t adopted = 0;
        struct crl crl;

        if (!pub->adopt)
                return 0;
        if (crl_read(pub->current->der, &crl, err) < 0)
                return -1;
        for (entries = crl_entries_reader(&crl); der_more(&entries);) {
                int64_t some = stopping(m->publisher)
                        ? error_set(err, ERR_STOPPING, "cad is being stopped")
                        : adopt_some(m, &entries, err);

                if (some < 0)
                        return -1;
                adopted += some;
        }
        pub->adopt = false;
        if (adopted > 0)
                tell_adopted(m, crl_number(&crl), adopted);
        return 0;
}

static void plan(struct making *m, const struct crl_settings *settings, int64_t now) {
        struct publication *pub = m->publication;
        int64_t before = m->row.number;

        if (pub->current && pub->current->number > before)
                before = pub->current->number;
        m->times = crl_times_of(settings, now, before, m->row.scheduled_at,
                                pub->cert->validity.not_before, pub->cert->validity.not_after);
        if (crl_counts_as_scheduled(m->why, settings, now, m->row.scheduled_at))
                m->row.scheduled_at = m->times.this_update;
        m->row.included = m->row.changes;
        m->row.number = m->wish.number = m->times.number;
        m->row.this_update = m->wish.this_update = m->times.this_update;
        m->row.next_update = m->wish.next_update = m->times.next_update;
        memcpy(m->wish.issuer, pub->issuer, sizeof(m->wish.issuer));
}

/* The signer is not believed: a CRL that was not asked for like this reaches nobody. */
static int check(const struct making *m, struct bytes der, struct crl *ret, struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        const struct cert *cert = m->publication->cert;
        const struct crl_wish wish = { .issuer = cert->subject,
                                       .key_id = cert->subject_key_id,
                                       .number = m->wish.number,
                                       .this_update = m->wish.this_update,
                                       .next_update = m->wish.next_update,
                                       .entries_fd = m->wish.entries_fd,
                                       .entry_count = (size_t) m->wish.entry_count };

        if (crl_read(der, ret, err) < 0 || crl_compare(ret, &wish, err) < 0 ||
            public_key_from_spki(cert->spki, RSA_BITS_MAX, &key, err) < 0)
                return -1;
        if (public_key_verify(key, ret->algorithm, ret->tbs, ret->signature, /* err= */ NULL) < 0)
                return error_set(err, ERR_SIGNER_WRONG,
                                 "the CRL of %s has a signature that is not good",
                                 m->publication->issuer);
        return 0;
}

/* Where the signer signed a later one than the store knows of (cad was killed before it was stored, or the store is older), it has to
 * choose the number: the clock may be far behind numbers that were used fast. */
static int have_signed(struct making *m, struct signed_crl *ret, struct error *err) {
        struct signer_client *signer = m->publisher->authority->signer;
        CAD_AUTO(signed_crl_done) struct signed_crl made = { .fd = -1 };
        struct sign_crl wish = m->wish;
        struct crl crl;

        if (signer_client_crl(signer, &wish, ret, err) == 0)
                return 0;
        if (err->code != ERR_STATE_CONFLICT || strcmp(err->field, "number") != 0)
                return -1;
        wish.number = 0;
        if (signer_client_crl(signer, &wish, &made, err) < 0 || crl_read(made.der, &crl, err) < 0)
                return -1;
        if (crl_number(&crl) <= m->wish.number)
                return error_set(err, ERR_SIGNER_WRONG,
                                 "the signer took CRL number %lld for %s, where %lld is too low",
                                 (long long) crl_number(&crl), m->wish.issuer,
                                 (long long) m->wish.number);
        m->row.number = m->wish.number = crl_number(&crl);
        *ret = made;
        made = (struct signed_crl){ .fd = -1 };
        return 0;
}

/* It is served from here on, whatever became of writing it down. */
static void put_in_place(struct making *m, struct crl_snapshot *fresh, bool kept) {
        struct publication *pub = m->publication;
        struct crl_snapshot *old;

        (void) pthread_mutex_lock(&m->publisher->lock);
        old = pub->current;
        pub->current = fresh;
        pub->state.exists = true;
        pub->state.outdated = !kept;
        pub->state.this_update = fresh->this_update;
        pub->state.next_update = fresh->next_update;
        pub->state.first_change_ms = pub->state.last_change_ms = 0;
        pub->changes_seen = m->row.included;
        pub->made++;
        (void) pthread_mutex_unlock(&m->publisher->lock);
        (void) crl_snapshot_unref(old);
}

/* The file first: a database that knows of a CRL which is not there would be believed. */
static int keep(struct making *m, const struct crl_snapshot *snapshot, struct error *err) {
        struct store_put_crl put;
        char detail[AUDIT_DETAIL_MAX];
        const struct audit_event event = { .action = "crl.publish",
                                           .principal = "cad",
                                           .object = m->publication->issuer,
                                           .detail = detail };

        (void) snprintf(detail, sizeof(detail), "number %lld, %lld entries: %s",
                        (long long) m->row.number, (long long) m->row.entries, reasons[m->why]);

        if (crl_snapshot_store(snapshot, m->publisher->dir_fd, err) < 0)
                return -1;
        store_put_crl_init(&put, &m->row, NULL);
        put.audit = &event;
        return store_write(m->publisher->authority->store, &put.op, err);
}

static int make(struct making *m, const struct crl_settings *settings, struct error *err) {
        struct publisher *p = m->publisher;
        CAD_AUTO(signed_crl_done) struct signed_crl made = { .fd = -1 };
        struct crl_snapshot *fresh;
        struct crl crl;
        int rc;

        if (adopt_published(m, err) < 0 ||
            store_get_crl(p->authority->store, m->publication->issuer, &m->row, err) < 0)
                return -1;
        plan(m, settings, moment_now());
        if (gather(m, err) < 0 || have_signed(m, &made, err) < 0 ||
            check(m, made.der, &crl, err) < 0)
                return -1;
        m->row.entries = m->wish.entry_count;
        m->wish.entries_fd = fd_close(
                m->wish.entries_fd); /* 32 octets an entry: not needed any more */
        fresh = crl_snapshot_of_signed(m->publication->issuer, &made, &crl);
        if (!fresh)
                return error_no_memory(err);
        rc = keep(m, fresh, err);
        put_in_place(m, fresh, rc == 0);
        return rc;
}

/* ---- what comes of it --------------------------------------------------------------------------------------- */

static void tell_made(const struct making *m, int64_t took_ms) {
        char until[MOMENT_TEXT_MAX], number[24];
        const struct log_field fields[] = { { "CAD_ISSUER", m->publication->issuer },
                                            { "CAD_CRL_NUMBER", number } };

        (void) snprintf(number, sizeof(number), "%lld", (long long) m->row.number);
        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields),
                   "CRL %s of %s: %lld entries, good until %s (%s; it took %lld ms)", number,
                   m->publication->issuer, (long long) m->row.entries,
                   moment_format(m->row.next_update, until), reasons[m->why], (long long) took_ms);
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
        rc = make(&m, &settings, &err);
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

/* ---- the thread --------------------------------------------------------------------------------------------- */

static bool can_be_made(const struct publication *pub, int64_t now) {
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

                if (!can_be_made(pub, now)) {
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
static void answer_waiting(struct publisher *p, const struct error *err) {
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

                answer_waiting(p, failure.code ? &failure : NULL);
                return;
        }
        if (!due && !p->stopping)
                sleep_ms(p, wait_ms > 0 ? wait_ms : 1);
}

static void *publisher_main(void *data) {
        struct publisher *p = data;

        (void) pthread_setname_np(pthread_self(), "publisher");
        (void) pthread_mutex_lock(&p->lock);
        while (!p->stopping)
                work(p);
        (void) pthread_mutex_unlock(&p->lock);
        return NULL;
}

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
                        .can_be_made = can_be_made(pub, now),
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
        rc = pthread_create(&p->thread, &attr, publisher_main, p);
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
        answer_waiting(p, &why);
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
