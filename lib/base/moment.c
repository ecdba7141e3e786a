/*
 * Time as text. Pure but for the three clocks; the calendar is computed, so that TZ and locale do not matter.
 */
#include "moment.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400
#define WEEK_S (7 * DAY_S)
#define YEAR_S (365 * DAY_S)
#define DURATION_MAX_S (INT64_C(100) * YEAR_S)
#define MOMENT_FIRST INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */

static int64_t clock_ms(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t moment_now(void) {
        return clock_ms(CLOCK_REALTIME) / 1000;
}

int64_t moment_now_ms(void) {
        return clock_ms(CLOCK_REALTIME);
}

int64_t moment_monotonic_ms(void) {
        return clock_ms(CLOCK_MONOTONIC);
}

/* Days to and from civil dates: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t days_from_civil(int64_t y, int m, int d) {
        int64_t era, yoe, doy;

        y -= m <= 2;
        era = (y >= 0 ? y : y - 399) / 400;
        yoe = y - era * 400;
        doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
        return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

struct civil_time moment_civil(int64_t t) {
        int64_t days = t / DAY_S, rest = t % DAY_S, z, era, doe, yoe, doy, mp;
        struct civil_time c;

        if (rest < 0) {
                rest += DAY_S;
                days--;
        }
        z = days + 719468;
        era = (z >= 0 ? z : z - 146096) / 146097;
        doe = z - era * 146097;
        yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        mp = (5 * doy + 2) / 153;
        c.day = (int) (doy - (153 * mp + 2) / 5 + 1);
        c.month = (int) (mp < 10 ? mp + 3 : mp - 9);
        c.year = (int) (yoe + era * 400 + (c.month <= 2));
        c.hour = (int) (rest / HOUR_S);
        c.minute = (int) (rest % HOUR_S / MINUTE_S);
        c.second = (int) (rest % MINUTE_S);
        return c;
}

static int days_in_month(int year, int month) {
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

        return days[month - 1] + (month == 2 && leap);
}

int moment_from_civil(const struct civil_time *c, int64_t *ret) {
        if (c->year < 1 || c->year > 9999 || c->month < 1 || c->month > 12 || c->day < 1 ||
            c->day > days_in_month(c->year, c->month) || c->hour < 0 || c->hour > 23 ||
            c->minute < 0 || c->minute > 59 || c->second < 0 || c->second > 59)
                return -1;
        *ret = days_from_civil(c->year, c->month, c->day) * DAY_S + c->hour * HOUR_S +
                c->minute * MINUTE_S + c->second;
        return 0;
}

char *moment_format(int64_t t, char *out) {
        struct civil_time c = moment_civil(t);

        (void) snprintf(out, MOMENT_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02uZ",
                        (unsigned) c.year % 10000u, (unsigned) c.month % 100u,
                        (unsigned) c.day % 100u, (unsigned) c.hour % 100u,
                        (unsigned) c.minute % 100u, (unsigned) c.second % 100u);
        return out;
}

/* Reads exactly @digits digits at *at. */
static bool take_number(const char **at, int digits, int *ret) {
        int value = 0;

        for (int i = 0; i < digits; i++, (*at)++) {
                if (**at < '0' || **at > '9')
                        return false;
                value = value * 10 + (**at - '0');
        }
        *ret = value;
        return true;
}

static bool take_char(const char **at, const char *one_of) {
        if (!**at || !strchr(one_of, **at))
                return false;
        (*at)++;
        return true;
}

/* 'Z' or ±hh:mm, as seconds east of UTC. */
static bool take_offset(const char **at, int *ret_s) {
        int hour, minute, sign = **at == '-' ? -1 : 1;

        *ret_s = 0;
        if (take_char(at, "Zz"))
                return true;
        if (!take_char(at, "+-") || !take_number(at, 2, &hour) || !take_char(at, ":") ||
            !take_number(at, 2, &minute) || hour > 23 || minute > 59)
                return false;
        *ret_s = sign * (hour * HOUR_S + minute * MINUTE_S);
        return true;
}

int moment_parse(const char *text, int64_t *ret, struct error *err) {
        const char *at = text;
        struct civil_time c;
        int offset_s;
        int64_t t;
        bool ok = take_number(&at, 4, &c.year) && take_char(&at, "-") &&
                take_number(&at, 2, &c.month) && take_char(&at, "-") &&
                take_number(&at, 2, &c.day) && take_char(&at, "Tt ") &&
                take_number(&at, 2, &c.hour) && take_char(&at, ":") &&
                take_number(&at, 2, &c.minute) && take_char(&at, ":") &&
                take_number(&at, 2, &c.second);

        if (ok && *at == '.') {
                at++;
                ok = isdigit((unsigned char) *at);
                while (isdigit((unsigned char) *at))
                        at++;
        }
        if (!ok || !take_offset(&at, &offset_s) || *at || moment_from_civil(&c, &t) < 0 ||
            t - offset_s < MOMENT_FIRST ||
            t - offset_s > MOMENT_LAST) /* an offset may lead out of the four digits of a year */
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "'%.40s' is not a time: write it as 2027-01-31T12:00:00Z", text);
        *ret = t - offset_s;
        return 0;
}

static const struct {
        char unit;
        int64_t seconds;
} duration_units[] = {
        { 'y', YEAR_S }, { 'w', WEEK_S },   { 'd', DAY_S },
        { 'h', HOUR_S }, { 'm', MINUTE_S }, { 's', 1 },
};

static int64_t unit_seconds(char unit) {
        for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++)
                if (duration_units[i].unit == unit)
                        return duration_units[i].seconds;
        return 0;
}

int duration_parse(const char *text, int64_t *ret_s, struct error *err) {
        const char *at = text;
        int64_t total = 0;

        do {
                int64_t value = 0, unit;

                if (!isdigit((unsigned char) *at))
                        goto malformed;
                for (; isdigit((unsigned char) *at); at++) {
                        value = value * 10 + (*at - '0');
                        if (value > DURATION_MAX_S)
                                goto too_long;
                }
                unit = *at ? unit_seconds(*at++) : 1;
                if (unit == 0)
                        goto malformed;
                if (value > DURATION_MAX_S / unit)
                        goto too_long;
                total += value * unit;
                if (total > DURATION_MAX_S)
                        goto too_long;
        } while (*at);
        *ret_s = total;
        return 0;

malformed:
        return error_set(err, ERR_VALIDITY_OUT_OF_RANGE,
                         "'%.40s' is not a duration: write it as 90d, 12h, 30m, 2w or 2y", text);
too_long:
        return error_set(err, ERR_VALIDITY_OUT_OF_RANGE, "'%.40s' is longer than 100 years", text);
}

char *duration_format(int64_t seconds, char *out) {
        size_t used = 0;

        if (seconds <= 0) {
                (void) snprintf(out, DURATION_TEXT_MAX, "%" PRId64 "s", seconds);
                return out;
        }
        out[0] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++) {
                int64_t n = seconds / duration_units[i].seconds;

                /* whole weeks read worse than days, and years only where nothing is left over */
                if (n == 0 || duration_units[i].unit == 'w' ||
                    (duration_units[i].unit == 'y' && seconds % YEAR_S))
                        continue;
                used += (size_t) snprintf(out + used, DURATION_TEXT_MAX - used, "%" PRId64 "%c", n,
                                          duration_units[i].unit);
                seconds -= n * duration_units[i].seconds;
                if (used >= DURATION_TEXT_MAX)
                        break;
        }
        return out;
}
