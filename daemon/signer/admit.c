/*
 * What is signed is admitted first: clock and rate are judged, the number is drawn and the line is in the log, in one step under
 * the signer's lock, so that the log has all of it in order. Nothing is signed here, and no key is known.
 */
#include "daemon/signer/signer.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "lib/base/moment.h"

#define SERIAL_FIRST \
        0x10 /* fixed first octet: not 0, below 0x80, so that the INTEGER is just these octets */
#define CRLS_PER_HOUR \
        10000 /* as many lines as the shipped limit leaves for certificates: nobody rolls his traces out of the log */

/* design.md §2: unique, and time-ordered so that the store's index grows at its end. The caller holds the lock. */
static int make_serial(struct signer *s, int64_t now_ms, uint8_t serial[SIGNER_SERIAL_SIZE],
                       struct error *err) {
        int64_t ms = now_ms > s->mark.latest_ms ? now_ms : s->mark.latest_ms;

        serial[0] = SERIAL_FIRST;
        for (int i = 0; i < 6; i++)
                serial[1 + i] = (uint8_t) (ms >> (40 - 8 * i));
        if (gnutls_rnd(GNUTLS_RND_NONCE, serial + 7, SIGNER_SERIAL_SIZE - 7) < 0)
                return error_set(err, ERR_CRYPTO, "no random numbers are to be had");
        s->mark.latest_ms = ms;
        return 0;
}

/* The caller holds the lock. */
int admit_clock_locked(const struct signer *s, int64_t now_ms, struct error *err) {
        if (clock_check_ca(now_ms, s->ca_from_s, err) < 0)
                return -1;
        return clock_check(now_ms, s->mark.latest_ms, atomic_load(&s->synchronised), err);
}

/* Before anything is held against the time: with a wrong clock each validity looks wrong, and that is not the caller's to mend. */
int admit_clock(struct signer *s, int64_t now_ms, struct error *err) {
        int rc;

        (void) pthread_mutex_lock(&s->lock);
        rc = admit_clock_locked(s, now_ms, err);
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

/* Clock and rate are judged, the serial is drawn and the line is written in one step, so that the log has them in order. */
int admit_certificate(struct signer *s, struct policy_grant *grant, int64_t now_ms, uint8_t *serial,
                      struct error *err) {
        int rc = -1;

        (void) pthread_mutex_lock(&s->lock);
        if (admit_clock_locked(s, now_ms, err) == 0 &&
            rate_check(&s->rate, now_ms / 1000, err) == 0 &&
            make_serial(s, now_ms, serial, err) == 0) {
                grant->wish.serial = BYTES(serial, SIGNER_SERIAL_SIZE);
                rc = signlog_issue(s->log, now_ms / 1000, grant->issuer->id, &grant->wish, err);
                s->log_error = rc < 0 ? *err : (struct error){ 0 };
        }
        if (rc == 0) {
                rate_count(&s->rate, now_ms / 1000);
                s->mark.issued += !profile_is_own(grant->wish.profile->name);
        }
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

/* The caller holds the lock. */
static int judge_crl(struct signer *s, const char *issuer, const struct crl_wish *wish,
                     int64_t now_ms, struct error *err) {
        if (admit_clock_locked(s, now_ms, err) < 0 ||
            crl_number_check(&s->mark.crls, issuer, wish->number, now_ms / 1000, err) < 0)
                return -1;
        if (rate_last_hour(&s->crl_rate, now_ms / 1000) >= CRLS_PER_HOUR)
                return error_set(err, ERR_RATE_LIMITED,
                                 "%u CRLs were signed in the last hour, which is the limit",
                                 CRLS_PER_HOUR);
        return 0;
}

/* As admit_certificate() does for certificates: judged, numbered and logged in one step. */
int admit_crl(void *context, const char *issuer, struct crl_wish *wish, struct error *err) {
        struct signer *s = context;
        int64_t now_ms = moment_now_ms();
        int rc;

        (void) pthread_mutex_lock(&s->lock);
        if (wish->number == 0)
                wish->number = crl_number_next(&s->mark.crls, issuer, now_ms / 1000);
        rc = judge_crl(s, issuer, wish, now_ms, err);
        if (rc == 0) {
                rc = signlog_crl(s->log, now_ms / 1000, issuer, wish, err);
                s->log_error = rc < 0 ? *err : (struct error){ 0 };
        }
        if (rc == 0) {
                rate_count(&s->crl_rate, now_ms / 1000);
                crl_numbers_note(&s->mark.crls, issuer, wish->number);
                if (s->mark.latest_ms < now_ms)
                        s->mark.latest_ms = now_ms;
                s->crls_noted++;
        }
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

int admit_change(void *context, const char *line, struct error *err) {
        struct signer *s = context;
        int64_t now_ms = moment_now_ms();
        int rc;

        (void) pthread_mutex_lock(&s->lock);
        rc = admit_clock_locked(s, now_ms, err);
        if (rc == 0) {
                rc = signlog_change(s->log, now_ms / 1000, line, err);
                s->log_error = rc < 0 ? *err : (struct error){ 0 };
        }
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

/* The caller holds the lock. */
int admit_anchor_locked(struct signer *s, struct audit_anchor *anchor, enum anchor_news *ret,
                        struct error *err) {
        int64_t now_ms = moment_now_ms(), monotonic_ms = moment_monotonic_ms();

        *ret = anchors_judge(&s->anchors, anchor);
        if (*ret == ANCHOR_KNOWN)
                return 0;
        if (admit_clock_locked(s, now_ms, err) < 0)
                return -1;
        if (s->anchored_ms && monotonic_ms < s->anchored_ms + ANCHORS_APART_MS)
                return error_set(err, ERR_RATE_LIMITED,
                                 "the audit was anchored a moment ago: once a second is enough");
        anchor->at = now_ms / 1000;
        if (signlog_audit(s->log, anchor, err) < 0) {
                s->log_error = *err;
                return -1;
        }
        anchors_add(&s->anchors, anchor);
        s->anchors_changed = true;
        s->anchored_ms = monotonic_ms;
        return 0;
}
