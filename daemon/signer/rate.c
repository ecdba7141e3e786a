/*
 * The rate limit. Pure: counts and a time that is handed in.
 */
#include "daemon/signer/rate.h"

#include <string.h>

static void move_to(struct rate *rate, int64_t minute) {
        if (minute - rate->minute >= RATE_SLOTS) {
                memset(rate->counts, 0, sizeof(rate->counts));
                rate->minute = minute;
        }
        while (rate->minute < minute) {
                rate->minute++;
                rate->counts[rate->minute % RATE_SLOTS] = 0;
        }
}

void rate_count(struct rate *rate, int64_t now_s) {
        move_to(rate, now_s / 60);
        rate->counts[rate->minute % RATE_SLOTS]++;
}

/* Looking must not move the slots: a clock that is wrong for a moment would forget the hour, or keep it for ever. */
uint32_t rate_last_hour(const struct rate *rate, int64_t now_s) {
        int64_t now = now_s / 60 > rate->minute ? now_s / 60 : rate->minute;
        uint32_t sum = 0;

        for (int64_t minute = rate->minute;
             minute >= 0 && minute > now - RATE_SLOTS && minute > rate->minute - RATE_SLOTS;
             minute--)
                sum += rate->counts[minute % RATE_SLOTS];
        return sum;
}

int rate_check(const struct rate *rate, int64_t now_s, struct error *err) {
        if (rate->per_hour && rate_last_hour(rate, now_s) >= rate->per_hour)
                return error_set(
                        err, ERR_RATE_LIMITED,
                        "%u certificates were signed in the last hour, which is the limit ([Limits] PerHour= in "
                        "signer.conf): try again later",
                        rate->per_hour);
        return 0;
}
