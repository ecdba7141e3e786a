/*
 * Whether the clock can be right (design.md §6): held against the build, and a mark of the latest time that
 * the signer signed at, kept on disk.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/signer/crl_numbers.h"
#include "lib/base/error.h"

#define CLOCK_BACK_MAX_MS (5 * 60 * INT64_C(1000)) /* how far before the mark is still signed */
#define CLOCK_AHEAD_MAX_MS \
        (30 * 24 * 60 * 60 * \
         INT64_C(1000)) /* how far after it while the clock is not synchronised */

/** struct clock_mark - what is kept on disk */
struct clock_mark {
        int64_t latest_ms; /* the latest time that was signed at, milliseconds since the epoch */
        int64_t issued;    /* leaves signed so far for others than the CA itself */
        struct crl_numbers crls;
};

/** clock_mark_equal() - whether both say the same */
bool clock_mark_equal(const struct clock_mark *a, const struct clock_mark *b);

/** clock_mark_read() - @err: ERR_NOT_FOUND, ERR_CA_INCOMPLETE where it cannot be read */
int clock_mark_read(int dir_fd, struct clock_mark *ret, struct error *err);

/** clock_mark_write() - durably, by replacement */
int clock_mark_write(int dir_fd, const struct clock_mark *mark, struct error *err);

/** clock_synchronised() - whether the kernel says that its clock is disciplined (adjtimex) */
bool clock_synchronised(void);

/**
 * clock_check() - may be signed at this time?
 * @now_ms, @latest_ms: milliseconds since the epoch
 * @err: ERR_CLOCK with both times and the way out (`cad clock accept`)
 */
int clock_check(int64_t now_ms, int64_t latest_ms, bool synchronised, struct error *err);

/**
 * clock_check_ca() - is it the time of the CA yet? Accepting the clock does not help where it is not, so this comes before clock_check()
 * @ca_from_s: since when its certificates are valid, seconds since the epoch
 * @err: ERR_CLOCK with both times and the ways out (the right clock, `cad init --again`)
 */
int clock_check_ca(int64_t now_ms, int64_t ca_from_s, struct error *err);
