/*
 * A CRL is made: entries from the store, the signer's signature, all that comes back held against what was asked, then stored and served.
 * When that is due is not decided here.
 */
#include "daemon/authority/publisher_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/authority/audit.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/pki/crl.h"

#define STEP_ROWS 1024 /* of the store, in one read: some 0.3 ms */

static const char *const reasons[] = {
        [CRL_NOT_DUE] = "",
        [CRL_DUE_MISSING] = "there was none",
        [CRL_DUE_ASKED] = "somebody asked",
        [CRL_DUE_CHANGED] = "something was revoked or lifted",
        [CRL_DUE_SCHEDULED] = "it was time",
};

const char *crl_make_reason(enum crl_due why) {
        return reasons[why];
}

/* What was revoked by a clock that was wrong counts from now: there are verifiers that let a revocation pass whose time is to come, and
 * a time that no CRL can have would be in the way of all others. */
static int64_t time_of(const struct revoked_row *row, int64_t now) {
        return row->revoked_at < 0 || row->revoked_at > now ? now : row->revoked_at;
}

static int add_rows(struct crl_entries *entries, const struct revoked_row *rows, size_t count,
                    int64_t now, struct error *err) {
        struct crl_entry entry;

        for (size_t i = 0; i < count; i++) {
                struct bytes serial = BYTES(rows[i].serial, rows[i].serial_size);

                if (!crl_entry_set(&entry, serial, rows[i].reason, time_of(&rows[i], now)))
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
                    add_rows(entries, rows, count, m->now, err) < 0)
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

        m->now = now;
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
                        (long long) m->row.number, (long long) m->row.entries,
                        crl_make_reason(m->why));

        if (crl_snapshot_store(snapshot, m->publisher->dir_fd, err) < 0)
                return -1;
        store_put_crl_init(&put, &m->row, NULL);
        put.audit = &event;
        return store_write(m->publisher->authority->store, &put.op, err);
}

int crl_make(struct making *m, const struct crl_settings *settings, struct error *err) {
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
