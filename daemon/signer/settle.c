/*
 * The signer's log, mark and anchors reach the disk, once a second; at start the newest of what is there counts.
 */
#include "daemon/signer/signer.h"

#include <time.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define SETTLE_MAX_MS 10000 /* for a disk to take log and mark before a CRL leaves */

/* glibc would measure it by the clock of the day, which may be set. */
void settle_init(pthread_cond_t *settled) {
        pthread_condattr_t monotonic;

        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(settled, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
}

/* The mark on disk may be a second behind the log, or be lost: the newest of what there is counts. */
int settle_restore(struct signer *s, int64_t log_last_s, struct error *err) {
        const struct ca *ca = s->ca;
        struct error missing = { 0 };

        if (clock_mark_read(s->state_fd, &s->mark, &missing) < 0 && missing.code != ERR_NOT_FOUND) {
                *err = missing;
                return -1;
        }
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (s->ca_from_s < ca->issuers[i].cert.validity.not_before)
                        s->ca_from_s = ca->issuers[i].cert.validity.not_before;
        if (s->mark.latest_ms < s->ca_from_s * 1000)
                s->mark.latest_ms = s->ca_from_s * 1000;
        if (s->mark.latest_ms < log_last_s * 1000)
                s->mark.latest_ms = log_last_s * 1000;
        crl_numbers_merge(&s->mark.crls, &signlog_seen(s->log)->crls);
        s->crl_rate = signlog_seen(s->log)->crl_rate;
        if (signlog_issued(s->log) && s->mark.issued == 0)
                s->mark.issued = 1; /* at least one: the exact number went with the mark */
        return clock_mark_write(s->state_fd, &s->mark, err);
}

/*
 * Once a second: what was logged and marked reaches the disk. While something is wrong with the disk the mark is written each time, so
 * that status says so when it is right again, without a wish that has to fail first.
 */
void settle_log(struct signer *s, struct clock_mark *written) {
        struct error err = { 0 };
        struct clock_mark mark;
        uint64_t crls;
        bool failing;
        int rc;

        atomic_store(&s->synchronised, clock_synchronised());
        (void) pthread_mutex_lock(&s->lock);
        mark = s->mark;
        crls = s->crls_noted;
        failing = s->log_error.code != ERR_NONE;
        rc = signlog_rotate_due(s->log) ? signlog_rotate(s->log, &err) : 0;
        (void) pthread_mutex_unlock(&s->lock);
        if (rc == 0 && !failing && clock_mark_equal(&mark, written))
                return;
        if (rc == 0 && (rc = signlog_sync(s->log, &err)) == 0 &&
            (rc = clock_mark_write(s->state_fd, &mark, &err)) == 0)
                *written = mark;
        if (rc < 0 && !failing)
                log_error(LOG_LEVEL_ERROR, &err, "the signer's log and mark are not on disk");
        (void) pthread_mutex_lock(&s->lock);
        s->log_error = s->settle_error = rc < 0 ? err : (struct error){ 0 };
        s->crls_settled = crls;
        (void) pthread_cond_broadcast(&s->settled);
        (void) pthread_mutex_unlock(&s->lock);
}

/* The same for the anchors, which are few. They are in the log already. */
void settle_anchors(struct signer *s) {
        struct sign_anchors anchors;
        struct error err = { 0 };
        bool due;

        (void) pthread_mutex_lock(&s->lock);
        due = s->anchors_changed;
        anchors = s->anchors;
        s->anchors_changed = false;
        (void) pthread_mutex_unlock(&s->lock);
        if (!due || anchors_write(s->state_fd, &anchors, &err) == 0)
                return;
        (void) pthread_mutex_lock(&s->lock);
        s->anchors_changed = true; /* again in a second */
        s->log_error = err;
        (void) pthread_mutex_unlock(&s->lock);
}

/* A number that was used must not come again, whatever happens to the power. */
int settle_crl(void *context, struct error *err) {
        struct signer *s = context;
        struct timespec until;
        int rc = 0;

        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += SETTLE_MAX_MS / 1000;
        (void) fd_write_all(s->tick_fd, BYTES_LITERAL("\1\0\0\0\0\0\0\0"));
        (void) pthread_mutex_lock(&s->lock);
        while (rc == 0 && s->crls_settled < s->crls_noted)
                rc = pthread_cond_timedwait(&s->settled, &s->lock, &until);
        if (rc != 0)
                (void) error_set(err, ERR_STORE, "the disk does not take the signer's log");
        else if (s->settle_error.code != ERR_NONE)
                *err = s->settle_error;
        rc = rc != 0 || s->settle_error.code != ERR_NONE ? -1 : 0;
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}
