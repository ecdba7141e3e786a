/*
 * Audit: see audit.h. One thread writes what is queued, sums up refusals once a minute, and has the signer anchor the chain.
 *
 * It must never make a caller wait for it, and never let callers make it grow: queue, sources and rows a minute are bounded.
 */
#include "daemon/authority/audit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/authority/internal.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define QUEUE_MAX 1024 /* events that wait for the disk: about 300 KiB */
#define TICK_MS 1000
#define MINUTE_MS 60000
#define SUMMARISE_MS 10000
#define SUMMARISE_SPANS 8 /* a time: 8 ms */
#define RETRY_MS 2000     /* after an anchor that the signer did not take */
#define FLUSH_S 1
#define CODES_MAX 4 /* refusals that are told apart in a summary */

/* One that waits; its texts are behind it. */
struct queued {
        struct queued *next;
        struct audit_event event;
        char texts[];
};

/* What one principal or one address was refused since the minute began. */
struct refusals {
        char who[AUDIT_WHO_MAX];
        bool known;
        unsigned count, told; /* told: in rows of their own */
        int64_t first_at, last_at;
        struct {
                enum error_code code;
                unsigned count;
        } codes[CODES_MAX]; /* the last one stands for all others, too */
};

struct audit {
        struct authority *authority;
        pthread_t thread;

        pthread_mutex_t lock; /* over what follows */
        pthread_cond_t wake;
        bool stopping, rush; /* rush: all that is due is done now, whatever the time */
        struct queued *first, **last;
        unsigned queued;
        uint64_t lost; /* events for which there was no room; told in a row */
        struct refusals sources[AUDIT_SOURCES_MAX];
        unsigned source_count;
        struct refusals others; /* for which there was no row */
        int64_t minute_began_ms;
        struct error write_error, anchor_error;
        bool anchor_again; /* another signer came: it may not know the end of the chain */

        /* of the thread alone */
        int64_t anchored, anchor_due_ms, summarise_due_ms;
};

/* ---- events that wait -------------------------------------------------------------------------------------- */

static size_t room(const char *text) {
        return text ? strlen(text) + 1 : 0;
}

static const char *keep(char **at, const char *text) {
        const char *kept = *at;

        if (!text)
                return NULL;
        *at = stpcpy(*at, text) + 1;
        return kept;
}

static struct queued *copy_event(const struct audit_event *e) {
        struct queued *q = malloc(sizeof(*q) + room(e->action) + room(e->principal) +
                                  room(e->source) + room(e->object) + room(e->outcome) +
                                  room(e->detail) + room(e->request_id));
        char *at;

        if (!q)
                return NULL;
        at = q->texts;
        q->next = NULL;
        q->event = (struct audit_event){
                .at = e->at ? e->at : moment_now(),
                .action = keep(&at, e->action),
                .principal = keep(&at, e->principal),
                .source = keep(&at, e->source),
                .object = keep(&at, e->object),
                .outcome = keep(&at, e->outcome),
                .detail = keep(&at, e->detail),
                .request_id = keep(&at, e->request_id),
        };
        return q;
}

/* With the lock. */
static int enqueue(struct audit *audit, const struct audit_event *event) {
        struct queued *q = audit->queued < QUEUE_MAX ? copy_event(event) : NULL;

        if (!q) {
                audit->lost++;
                return -1;
        }
        *audit->last = q;
        audit->last = &q->next;
        audit->queued++;
        return 0;
}

int audit_record(struct authority *a, const struct audit_event *event) {
        struct audit *audit = a->audit;
        int rc;

        if (!audit)
                return -1;
        (void) pthread_mutex_lock(&audit->lock);
        rc = enqueue(audit, event);
        (void) pthread_cond_signal(&audit->wake);
        (void) pthread_mutex_unlock(&audit->lock);
        return rc;
}

void audit_system(struct authority *a, const char *action, const char *object, const char *outcome,
                  const char *detail) {
        (void) audit_record(a,
                            &(struct audit_event){ .action = action,
                                                   .principal = "cad",
                                                   .object = object,
                                                   .outcome = outcome,
                                                   .detail = detail });
}

struct one_row {
        struct store_op op;
        const struct audit_event *event;
};

static int one_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        return tx_put_audit(tx, ((struct one_row *) op)->event, err);
}

int audit_record_wait(struct authority *a, const struct audit_event *event, struct error *err) {
        struct one_row row = { .op = { .apply = one_apply }, .event = event };

        if (!a->store)
                return error_set(err, ERR_STORE, "the store is not open");
        return store_write(a->store, &row.op, err);
}

/* ---- refusals ---------------------------------------------------------------------------------------------- */

/* Who is told apart: a principal by its text, else the address without its port, or the uid without the pid. */
static void who_is(const struct principal *principal, const char *source, struct refusals *ret) {
        size_t size = source ? strlen(source) : 0;
        const char *port, *pid;

        *ret = (struct refusals){ .known = principal && principal->kind != PRINCIPAL_ANONYMOUS };
        if (ret->known) {
                (void) snprintf(ret->who, sizeof(ret->who), "%s", principal->text);
                return;
        }
        pid = size ? strchr(source, ' ') : NULL;
        port = size ? strrchr(source, ':') : NULL;
        if (pid)
                size = (size_t) (pid - source);
        else if (port && strncmp(source, "uid:", 4) != 0)
                size = (size_t) (port - source);
        (void) snprintf(ret->who, sizeof(ret->who), "%.*s", (int) size, source ? source : "");
}

/* With the lock. */
static struct refusals *find_source(struct audit *audit, const struct refusals *wanted) {
        for (unsigned i = 0; i < audit->source_count; i++)
                if (audit->sources[i].known == wanted->known &&
                    strcmp(audit->sources[i].who, wanted->who) == 0)
                        return &audit->sources[i];
        if (audit->source_count == AUDIT_SOURCES_MAX)
                return &audit->others;
        audit->sources[audit->source_count] = *wanted;
        return &audit->sources[audit->source_count++];
}

static void count_refusal(struct refusals *r, enum error_code code, int64_t now) {
        unsigned i = 0;

        if (r->count++ == 0)
                r->first_at = now;
        r->last_at = now;
        while (i < CODES_MAX - 1 && r->codes[i].count > 0 && r->codes[i].code != code)
                i++;
        if (r->codes[i].count++ == 0)
                r->codes[i].code = code;
}

void audit_refused(struct authority *a, const struct principal *principal,
                   const struct audit_event *what, const struct error *why) {
        struct audit *audit = a->audit;
        struct audit_event row = *what;
        struct refusals who, *r;

        if (!audit || error_kind(why->code) != ERROR_REFUSAL)
                return;
        who_is(principal, what->source, &who);
        row.at = what->at ? what->at : moment_now();
        row.principal = principal ? principal->text : NULL;
        row.outcome = error_slug(why->code);
        if (!row.detail)
                row.detail = why->text;
        (void) pthread_mutex_lock(&audit->lock);
        r = find_source(audit, &who);
        count_refusal(r, why->code, row.at);
        if (r->known && r->told < AUDIT_REFUSALS_EACH && enqueue(audit, &row) == 0) {
                r->told++;
                (void) pthread_cond_signal(&audit->wake);
        }
        (void) pthread_mutex_unlock(&audit->lock);
}

/* clang-format off */
static const char *const action_names[] = {
        [ACTION_NONE]              = "none",
        [ACTION_READ_PUBLIC]       = "public.read",
        [ACTION_READ_METRICS]      = "metrics.read",
        [ACTION_LIST_CERTIFICATES] = "certificate.list",
        [ACTION_ISSUE]             = "certificate.issue",
        [ACTION_ISSUE_ADMIN]       = "certificate.issue",
        [ACTION_REVOKE]            = "certificate.revoke",
        [ACTION_RENEW]             = "certificate.renew",
        [ACTION_SUBMIT_REQUEST]    = "request.submit",
        [ACTION_READ_REQUEST]      = "request.read",
        [ACTION_LIST_REQUESTS]     = "request.list",
        [ACTION_DECIDE_REQUEST]    = "request.decide",
        [ACTION_MANAGE_TOKENS]     = "token.manage",
        [ACTION_PUBLISH_CRL]       = "crl.publish",
        [ACTION_READ_AUDIT]        = "audit.read",
        [ACTION_CHANGE_CA]         = "ca.change",
        [ACTION_BACKUP]            = "backup.make",
};
/* clang-format on */
_Static_assert(ARRAY_SIZE(action_names) == ACTION_COUNT, "one name an action");

const char *audit_action(enum action action) {
        return (unsigned) action < ACTION_COUNT ? action_names[action] : "none";
}

static void describe(const struct refusals *r, struct buffer *out) {
        char first[MOMENT_TEXT_MAX], last[MOMENT_TEXT_MAX];

        buffer_format(out, "%u calls from %s to %s", r->count, moment_format(r->first_at, first),
                      moment_format(r->last_at, last));
        if (r->told)
                buffer_format(out, ", %u of them in rows of their own", r->told);
        for (unsigned i = 0; i < CODES_MAX && r->codes[i].count; i++)
                buffer_format(out, "%s%u %s%s", i ? ", " : ": ", r->codes[i].count,
                              i == CODES_MAX - 1 ? "others such as " : "",
                              error_slug(r->codes[i].code));
}

/* With the lock. */
static void sum_up(struct audit *audit, const struct refusals *r) {
        CAD_AUTO(buffer_done) struct buffer detail = { 0 };
        struct audit_event row = {
                .action = "access.refused",
                .principal = r->known ? r->who : "anonymous",
                .source = r->known ? "" : r->who,
                .outcome = error_slug(r->codes[0].code),
        };

        if (r->count == r->told)
                return;
        describe(r, &detail);
        row.detail = buffer_string(&detail);
        (void) enqueue(audit, &row);
}

/* With the lock: end the minute. */
static void sum_up_all(struct audit *audit) {
        for (unsigned i = 0; i < audit->source_count; i++)
                sum_up(audit, &audit->sources[i]);
        if (audit->others.count) {
                (void) snprintf(audit->others.who, sizeof(audit->others.who), "%s",
                                "more sources than are told apart");
                sum_up(audit, &audit->others);
        }
        audit->source_count = 0;
        audit->others = (struct refusals){ 0 };
        audit->minute_began_ms = moment_monotonic_ms();
}

/* With the lock. */
static void tell_of_lost(struct audit *audit) {
        char detail[96];

        if (audit->lost == 0 || audit->queued == QUEUE_MAX)
                return;
        (void) snprintf(detail, sizeof(detail), "%llu events: too many waited for the disk",
                        (unsigned long long) audit->lost);
        if (enqueue(audit,
                    &(struct audit_event){ .action = "audit.lost",
                                           .principal = "cad",
                                           .outcome = error_slug(ERR_OVERLOADED),
                                           .detail = detail }) == 0)
                audit->lost = 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

struct many_rows {
        struct store_op op;
        const struct queued *first;
};

static int many_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        for (const struct queued *q = ((struct many_rows *) op)->first; q; q = q->next)
                if (tx_put_audit(tx, &q->event, err) < 0)
                        return -1;
        return 0;
}

static void free_events(struct queued *q) {
        while (q) {
                struct queued *next = q->next;

                free(q);
                q = next;
        }
}

/* With the lock, which it gives up for the write. What cannot be written waits: its room is counted, so that it stays bounded. */
static void write_queued(struct audit *audit) {
        struct queued *first = audit->first, **last = audit->last;
        struct many_rows rows = { .op = { .apply = many_apply }, .first = first };
        struct error err = { 0 };
        unsigned written = audit->queued;
        int rc;

        if (!first)
                return;
        audit->first = NULL;
        audit->last = &audit->first;
        (void) pthread_mutex_unlock(&audit->lock);
        rc = store_write(audit->authority->store, &rows.op, &err);
        (void) pthread_mutex_lock(&audit->lock);
        if (rc < 0 && audit->write_error.code == ERR_NONE)
                log_error(LOG_LEVEL_ERROR, &err, "the audit cannot be written");
        audit->write_error = rc < 0 ? err : (struct error){ 0 };
        if (rc == 0) {
                audit->queued -= written;
                free_events(first);
                return;
        }
        *last = audit->first; /* in front of what came meanwhile */
        if (!audit->first)
                audit->last = last;
        audit->first = first;
}

/* ---- anchors ----------------------------------------------------------------------------------------------- */

static void note_anchor_error(struct audit *audit, const struct error *err) {
        (void) pthread_mutex_lock(&audit->lock);
        if (err->code != ERR_NONE && err->code != audit->anchor_error.code &&
            err->code != ERR_SIGNER_UNAVAILABLE) /* the supervisor says so */
                log_error(LOG_LEVEL_WARNING, err, "the audit cannot be anchored with the signer");
        audit->anchor_error = *err;
        (void) pthread_mutex_unlock(&audit->lock);
}

static int set_anchor(struct audit *audit, struct error *err) {
        struct sign_anchors anchors;
        struct audit_anchor anchor = { 0 };
        struct audit_head head;

        if (store_audit_head(audit->authority->store, &head, err) < 0)
                return -1;
        if (head.number == audit->anchored || head.number == 0)
                return 0;
        anchor.number = head.number;
        memcpy(anchor.hash, head.hash, sizeof(anchor.hash));
        if (signer_client_anchors(audit->authority->signer, &anchor, &anchors, err) < 0)
                return -1;
        audit->anchored = head.number;
        return 0;
}

/* Without the lock. */
static void anchor_if_due(struct audit *audit, bool rush) {
        int64_t every_ms = atomic_load(&audit->authority->anchor_every_s) * 1000;
        int64_t now_ms = moment_monotonic_ms();
        struct error err = { 0 };

        if (!rush && now_ms < audit->anchor_due_ms)
                return;
        audit->anchor_due_ms = now_ms + every_ms;
        if (set_anchor(audit, &err) < 0 && every_ms > RETRY_MS)
                audit->anchor_due_ms = now_ms + RETRY_MS;
        if (err.code != ERR_RATE_LIMITED) /* one was set a moment ago */
                note_anchor_error(audit, &err);
}

void audit_signer_attached(struct authority *a) {
        struct audit *audit = a->audit;

        if (!audit)
                return;
        (void) pthread_mutex_lock(&audit->lock);
        audit->anchor_again = true;
        (void) pthread_cond_signal(&audit->wake);
        (void) pthread_mutex_unlock(&audit->lock);
}

static void summarise_if_due(struct audit *audit) {
        int64_t now_ms = moment_monotonic_ms();
        struct error err = { 0 };
        bool done = false;

        if (now_ms < audit->summarise_due_ms)
                return;
        for (int i = 0; i < SUMMARISE_SPANS && !done; i++)
                if (store_audit_summarise(audit->authority->store, &done, &err) < 0)
                        break; /* the store's health says why; lists are slower meanwhile */
        audit->summarise_due_ms = now_ms + (done || err.code ? SUMMARISE_MS : TICK_MS);
}

/* ---- the thread -------------------------------------------------------------------------------------------- */

/* With the lock. */
static void wait_a_tick(struct audit *audit) {
        struct timespec until;

        if (audit->stopping || audit->rush || (audit->first && audit->write_error.code == ERR_NONE))
                return;
        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TICK_MS / 1000;
        (void) pthread_cond_timedwait(&audit->wake, &audit->lock, &until);
}

static void *audit_thread(void *argument) {
        struct audit *audit = argument;
        bool stopping, rush;

        (void) pthread_setname_np(pthread_self(), "audit");
        (void) pthread_mutex_lock(&audit->lock);
        do {
                wait_a_tick(audit);
                stopping = audit->stopping;
                rush = audit->rush;
                if (stopping || rush || moment_monotonic_ms() - audit->minute_began_ms >= MINUTE_MS)
                        sum_up_all(audit);
                tell_of_lost(audit);
                write_queued(audit);
                if (audit->anchor_again) {
                        audit->anchor_again = false;
                        audit->anchored = audit->anchor_due_ms = 0;
                }
                (void) pthread_mutex_unlock(&audit->lock);
                if (!stopping) {
                        anchor_if_due(audit, rush);
                        summarise_if_due(audit);
                }
                (void) pthread_mutex_lock(&audit->lock);
                if (rush) {
                        audit->rush = false;
                        (void) pthread_cond_broadcast(&audit->wake);
                }
        } while (!stopping);
        (void) pthread_mutex_unlock(&audit->lock);
        return NULL;
}

void audit_flush(struct authority *a) {
        struct audit *audit = a->audit;
        struct timespec until;
        int rc = 0;

        if (!audit)
                return;
        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += FLUSH_S;
        (void) pthread_mutex_lock(&audit->lock);
        audit->rush = true;
        (void) pthread_cond_broadcast(&audit->wake);
        while (rc == 0 && audit->rush)
                rc = pthread_cond_timedwait(&audit->wake, &audit->lock, &until);
        (void) pthread_mutex_unlock(&audit->lock);
}

int audit_new(struct authority *a, struct audit **ret, struct error *err) {
        struct audit *audit = calloc(1, sizeof(*audit));
        pthread_condattr_t monotonic;
        int rc;

        if (!audit)
                return error_no_memory(err);
        audit->authority = a;
        audit->last = &audit->first;
        audit->minute_began_ms = moment_monotonic_ms();
        (void) pthread_mutex_init(&audit->lock, NULL);
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&audit->wake, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
        rc = pthread_create(&audit->thread, NULL, audit_thread, audit);
        if (rc != 0) {
                (void) pthread_cond_destroy(&audit->wake);
                (void) pthread_mutex_destroy(&audit->lock);
                free(audit);
                return error_errno(err, rc, "cannot start the audit's thread");
        }
        *ret = audit;
        return 0;
}

struct audit *audit_free(struct audit *audit) {
        if (!audit)
                return NULL;
        (void) pthread_mutex_lock(&audit->lock);
        audit->stopping = true;
        (void) pthread_cond_broadcast(&audit->wake);
        (void) pthread_mutex_unlock(&audit->lock);
        (void) pthread_join(audit->thread, NULL);
        free_events(audit->first);
        (void) pthread_cond_destroy(&audit->wake);
        (void) pthread_mutex_destroy(&audit->lock);
        free(audit);
        return NULL;
}

void audit_set_anchor_every(struct authority *a, int64_t seconds) {
        atomic_store(&a->anchor_every_s, seconds > 0 ? seconds : AUDIT_ANCHOR_EVERY_S);
}

int audit_health(struct authority *a, struct error *err) {
        struct audit *audit = a->audit;
        struct error is;

        if (!audit)
                return error_set(err, ERR_STORE, "is not open");
        (void) pthread_mutex_lock(&audit->lock);
        is = audit->write_error.code ? audit->write_error : audit->anchor_error;
        (void) pthread_mutex_unlock(&audit->lock);
        if (is.code == ERR_NONE)
                return 0;
        if (err)
                *err = is;
        return -1;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

int audit_list(struct authority *a, const struct principal *principal,
               const struct audit_filter *filter, const char *cursor, size_t limit, audit_each each,
               void *data, char *next, struct error *err) {
        if (access_check(principal, ACTION_READ_AUDIT, err) < 0)
                return -1;
        return store_audit_list(a->store, filter, cursor, limit, each, data, next, err);
}

/* The anchors first: what is anchored was committed before, so the head cannot be behind them unless something is wrong. */
int audit_state(struct authority *a, const struct principal *principal, struct audit_state *ret,
                struct error *err) {
        if (access_check(principal, ACTION_READ_AUDIT, err) < 0 ||
            signer_client_anchors(a->signer, /* anchor= */ NULL, &ret->anchors, err) < 0 ||
            store_audit_head(a->store, &ret->head, err) < 0)
                return -1;
        audit_chain_begin(a->ca->id, ret->begin);
        return 0;
}
