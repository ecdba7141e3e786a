/*
 * When a CRL is made, and what it says of times: decisions alone, over clocks that are handed in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CRL_VALIDITY_DEFAULT_S (7 * INT64_C(86400))
#define CRL_REFRESH_DEFAULT_S (INT64_C(86400))
#define CRL_VALIDITY_MIN_S INT64_C(10)
#define CRL_VALIDITY_MAX_S (400 * INT64_C(86400)) /* the signer refuses more */
#define CRL_ROOT_VALIDITY_S (365 * INT64_C(86400))
#define CRL_SETTLE_MS INT64_C(1000)    /* since the last change: others may follow */
#define CRL_DELAY_MAX_MS INT64_C(5000) /* since the first change: it is made in any case */
#define CRL_REST_MAX_MS INT64_C(20000) /* between two of an issuer, where making one takes long */
#define CRL_RETRY_FIRST_MS INT64_C(1000)
#define CRL_RETRY_MAX_MS INT64_C(60000)
#define CRL_LATE_S \
        INT64_C(60) /* a revocation that relying parties cannot see for so long is a failure */

/** struct crl_settings - [Crl]; seconds. 0 is the default */
struct crl_settings {
        int64_t validity_s;
        int64_t refresh_s;
};

/** crl_settings_of() - with the defaults filled in (a third of a short validity); @root: what holds for the root's CRL, a year and half of it */
struct crl_settings crl_settings_of(const struct crl_settings *given, bool root);

/** struct crl_state - what is known of an issuer's CRL; real times are seconds, _ms are monotonic milliseconds */
struct crl_state {
        bool exists;
        bool outdated; /* it is not the one that the store knows of: made anew at once */
        bool asked;    /* somebody wants it now */
        int64_t this_update, next_update;
        int64_t first_change_ms, last_change_ms; /* changes that are not in it; 0: none */
        int64_t began_ms,
                took_ms;   /* when it was last made, and how long that took; 0: not since start */
        unsigned failures; /* tries in a row */
        int64_t failed_ms; /* the last of them */
};

enum crl_due {
        CRL_NOT_DUE,
        CRL_DUE_MISSING,
        CRL_DUE_ASKED,
        CRL_DUE_CHANGED,
        CRL_DUE_SCHEDULED,
};

/**
 * crl_due() - whether to make a CRL now, and why
 * @ret_wait_ms: how long nothing will have to be done as things stand, at most
 *
 * Many changes are one CRL: it is made when none has come for CRL_SETTLE_MS, CRL_DELAY_MAX_MS after the first at the latest, and not so
 * often that more than a third of the time goes into making it. On schedule it is made refresh_s after the last one, and
 * when a third of its life is left in any case. A clock that was put back makes a new one due.
 */
enum crl_due crl_due(const struct crl_state *state, const struct crl_settings *settings,
                     int64_t now, int64_t now_ms, int64_t *ret_wait_ms);

/** struct crl_times - of a CRL to be made */
struct crl_times {
        int64_t this_update, next_update, number;
        int64_t floor; /* certificates that ended before it have been on a CRL since they did */
};

/**
 * crl_times_of() - of the next CRL
 * @number_before: of the newest that is known, here or in the store
 * @scheduled_before: this_update of the last that was made on schedule, 0: none
 * @issuer_from, @issuer_until: validity of the issuer's certificate; the CRL does not outlive it
 *
 * this_update is set back by 5 minutes (a twentieth of a shorter life) for clocks that are late. The number is the time in seconds, or
 * one more than the one before (RFC 5280 §5.2.3): it rises also when the database is an older one. An entry stays until one
 * scheduled CRL has been made after its certificate's end (§3.3); whatever the clock said then, what is not expired now stays.
 */
struct crl_times crl_times_of(const struct crl_settings *settings, int64_t now,
                              int64_t number_before, int64_t scheduled_before, int64_t issuer_from,
                              int64_t issuer_until);

/** crl_counts_as_scheduled() - whether a CRL made for this reason is one of those on schedule: also where others came so often that none was due */
bool crl_counts_as_scheduled(enum crl_due why, const struct crl_settings *settings, int64_t now,
                             int64_t scheduled_before);

/** crl_retry_ms() - how long to wait after so many tries in a row that failed */
int64_t crl_retry_ms(unsigned failures);

enum crl_freshness {
        CRL_FRESH,
        CRL_AGEING, /* a third of its life is left, or less: it should have been made anew */
        CRL_LAPSED,
};

/** crl_freshness() - how a CRL stands at @now */
enum crl_freshness crl_freshness(int64_t this_update, int64_t next_update, int64_t now);
