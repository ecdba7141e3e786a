/*
 * The clock's plausibility. A decision over three numbers, and the small file that holds one of them.
 */
#include "daemon/signer/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/timex.h>
#include <unistd.h>

#include "cad-build.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"

#define TIMESYNCD_FILE "/run/systemd/timesync/synchronized"
#define MARK_FILE "mark"
#define MARK_MAX 2048 /* bytes; a line of 64 for each of CRL_NUMBERS_MAX issuers, and one */

bool clock_mark_equal(const struct clock_mark *a, const struct clock_mark *b) {
        bool equal = a->latest_ms == b->latest_ms && a->issued == b->issued;

        for (size_t i = 0; equal && i < CRL_NUMBERS_MAX; i++)
                equal = a->crls.rows[i].number == b->crls.rows[i].number;
        return equal;
}

/* Lines "crl ISSUER NUMBER" behind the first. Return: false where one cannot be read */
static bool read_numbers(const char *text, struct crl_numbers *ret) {
        while ((text = strchr(text, '\n')) && *++text) {
                char issuer[SIGNER_ISSUER_MAX];
                int64_t number;

                if (sscanf(text, "crl %15s %" SCNd64, issuer, &number) != 2 || number <= 0)
                        return false;
                crl_numbers_note(ret, issuer, number);
        }
        return true;
}
_Static_assert(SIGNER_ISSUER_MAX == 16, "as in the format");

int clock_mark_read(int dir_fd, struct clock_mark *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct clock_mark mark = { 0 };

        if (file_read(dir_fd, MARK_FILE, FILE_SECRET, MARK_MAX, &text, err) < 0)
                return -1;
        if (sscanf(buffer_string(&text), "%" SCNd64 " %" SCNd64, &mark.latest_ms, &mark.issued) !=
                    2 ||
            mark.latest_ms < 0 || mark.issued < 0 ||
            !read_numbers(buffer_string(&text), &mark.crls))
                return error_set(
                        err, ERR_CA_INCOMPLETE,
                        "the signer's time mark (%s) cannot be read: `cad clock accept` makes it anew",
                        MARK_FILE);
        *ret = mark;
        return 0;
}

int clock_mark_write(int dir_fd, const struct clock_mark *mark, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        buffer_format(&text, "%" PRId64 " %" PRId64 "\n", mark->latest_ms, mark->issued);
        for (size_t i = 0; i < CRL_NUMBERS_MAX; i++)
                if (mark->crls.rows[i].number > 0)
                        buffer_format(&text, "crl %s %" PRId64 "\n", mark->crls.rows[i].issuer,
                                      mark->crls.rows[i].number);
        if (text.failed)
                return error_no_memory(err);
        return file_replace(dir_fd, MARK_FILE, buffer_bytes(&text), 0600, err);
}

/* Under ProtectClock= of systemd the kernel may not be asked; systemd-timesyncd leaves word when it has set the clock. */
bool clock_synchronised(void) {
        struct timex t = { .modes = 0 };
        int state = adjtimex(&t);

        if (state < 0 && (errno == EPERM || errno == EACCES))
                return access(TIMESYNCD_FILE, F_OK) == 0;
        return state >= 0 && state != TIME_ERROR;
}

int clock_check_ca(int64_t now_ms, int64_t ca_from_s, struct error *err) {
        char now[MOMENT_TEXT_MAX], from[MOMENT_TEXT_MAX];

        if (clock_check(now_ms, /* latest_ms= */ now_ms, /* synchronised= */ true, err) < 0)
                return -1;
        if (now_ms >= ca_from_s * 1000 - CLOCK_BACK_MAX_MS)
                return 0;
        return error_set(
                err, ERR_CLOCK,
                "this machine's clock says %s, but the CA's own certificates begin at %s: set the clock. If it is right "
                "now, it was ahead when the CA was made: `cad init --again` makes the CA anew as long as nothing was "
                "issued; after that, make a new one in a new state folder",
                moment_format(now_ms / 1000, now), moment_format(ca_from_s, from));
}

int clock_check(int64_t now_ms, int64_t latest_ms, bool synchronised, struct error *err) {
        char now[MOMENT_TEXT_MAX], other[MOMENT_TEXT_MAX];

        if (now_ms < 0 || now_ms / 1000 > MOMENT_LAST)
                return error_set(err, ERR_CLOCK,
                                 "this machine's clock is outside the years 1970 to 9999: set it");
        (void) moment_format(now_ms / 1000, now);
        if (now_ms / 1000 < CAD_BUILD_TIME)
                return error_set(
                        err, ERR_CLOCK,
                        "this machine's clock says %s, which is before this program was built (%s): set the clock",
                        now, moment_format(CAD_BUILD_TIME, other));
        (void) moment_format(latest_ms / 1000, other);
        if (now_ms < latest_ms - CLOCK_BACK_MAX_MS)
                return error_set(
                        err, ERR_CLOCK,
                        "this machine's clock says %s, but the CA has signed at %s already: set the clock, or, if "
                        "that earlier time was the wrong one, run `cad clock accept`",
                        now, other);
        if (!synchronised && now_ms > latest_ms + CLOCK_AHEAD_MAX_MS)
                return error_set(
                        err, ERR_CLOCK,
                        "this machine's clock says %s, over 30 days after the CA last signed (%s), and it is not "
                        "synchronised: start a time service, or run `cad clock accept` if the clock is right",
                        now, other);
        return 0;
}
