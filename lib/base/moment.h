/*
 * Points in time and durations as text: RFC 3339 UTC outside, seconds since the epoch inside.
 */
#pragma once

#include <stdint.h>

#include "error.h"

#define MOMENT_TEXT_MAX 24 /* bytes with NUL: "9999-12-31T23:59:59Z" and a little */
#define MOMENT_LAST \
        INT64_C(253402300799) /* 9999-12-31T23:59:59Z, the last time that X.509 can say */
#define DURATION_TEXT_MAX 24

/** struct civil_time - a UTC date and time of the proleptic Gregorian calendar */
struct civil_time {
        int year, month, day, hour, minute, second;
};

/** moment_now() - seconds since the epoch by the real-time clock. Programs read it once an event and hand it down. */
int64_t moment_now(void);

/** moment_now_ms() - the same in milliseconds */
int64_t moment_now_ms(void);

/** moment_monotonic_ms() - milliseconds that never go back, for deadlines */
int64_t moment_monotonic_ms(void);

/** moment_civil() - the UTC date of @t; 0 ≤ @t ≤ MOMENT_LAST */
struct civil_time moment_civil(int64_t t);

/** moment_from_civil() - seconds since the epoch. Return: 0, or -1 where a field is out of range (a leap second too) */
int moment_from_civil(const struct civil_time *c, int64_t *ret);

/** moment_format() - RFC 3339, e.g. "2026-11-21T18:00:00Z"; @out has MOMENT_TEXT_MAX bytes. Return: @out */
char *moment_format(int64_t t, char *out);

/** moment_parse() - RFC 3339 with seconds, 'Z' or a numeric offset, fractions cut. ERR_REQUEST_MALFORMED */
int moment_parse(const char *text, int64_t *ret, struct error *err);

/**
 * duration_parse() - "90d", "12h", "2y", "1h30m", "45s", "2w"; a bare number is seconds
 * @ret_s: seconds; a year is 365 days. At most 100 years.
 * @err:   ERR_VALIDITY_OUT_OF_RANGE
 */
int duration_parse(const char *text, int64_t *ret_s, struct error *err);

/** duration_format() - the shortest exact text: "90d", "1h30m"; @out has DURATION_TEXT_MAX bytes. Return: @out */
char *duration_format(int64_t seconds, char *out);
