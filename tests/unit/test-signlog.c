/*
 * The signer's log: what stands in a line, what a start reads from it, and what a full disk leaves behind.
 */
#include "signer-fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "daemon/signer/signlog.h"
#include "lib/base/text.h"

#define NOW INT64_C(1795290000) /* 2026-11-21T19:40:00Z */

/* ---- the disk: the program's own comes before libc's ---- */

static unsigned syncs;
static bool sync_fails;

int fdatasync(int fd) {
        syncs++;
        if (sync_fails) {
                errno = EIO;
                return -1;
        }
        return (int) syscall(SYS_fdatasync, fd);
}

static struct scratch scratch;
static struct profile_set *profiles;

static void set_up(void) {
        struct error err = { 0 };

        scratch_open(&scratch);
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
}

static void tear_down(void) {
        profiles = profiles_free(profiles);
        scratch_close(&scratch);
}

static struct signlog *open_log(struct rate *rate, int64_t *last_s) {
        struct signlog *log = NULL;
        struct error err = { 0 };

        ck_ok(signlog_open(scratch.fd, NOW, rate, &log, last_s, &err), err);
        return log;
}

static int issue_names(struct signlog *log, int64_t now_s, struct san_list *names,
                       struct error *err) {
        struct cert_wish wish = { .profile = profiles_find(profiles, "server", NULL),
                                  .serial = BYTES_LITERAL("\x10\x20\x30"),
                                  .spki = BYTES_LITERAL("spki"),
                                  .names = names,
                                  .validity = { now_s, now_s + DAY } };

        return signlog_issue(log, now_s, "int-1", &wish, err);
}

static void issue(struct signlog *log, int64_t now_s) {
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        struct error err = { 0 };

        ck_ok(san_list_add_text(&names, "nas.lan", &err), err);
        ck_ok(san_list_add_text(&names, "10.0.0.1", &err), err);
        ck_ok(issue_names(log, now_s, &names, &err), err);
}

static const char *content(struct buffer *text, const char *name) {
        struct error err = { 0 };

        buffer_done(text);
        ck_ok(file_read(scratch.fd, name, FILE_SECRET, 64 * 1024 * 1024, text, &err), err);
        return buffer_string(text);
}

/* Opens what is on disk with a limit of @per_hour. Return: how many of the last hour were counted */
static uint32_t counted(uint32_t per_hour, int64_t *last_s) {
        struct rate rate = { .per_hour = per_hour };

        (void) signlog_free(open_log(&rate, last_s));
        return rate_last_hour(&rate, NOW);
}

START_TEST(a_line_says_who_what_and_until_when) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct rate rate = { 0 };
        int64_t last_s = -1;
        struct signlog *log = open_log(&rate, &last_s);

        ck_assert_int_eq(last_s, 0);
        issue(log, NOW);
        ck_assert_str_eq(
                content(&text, "log"),
                "2026-11-21T19:40:00Z issue serial=102030 issuer=int-1 profile=server "
                "key=6feecc8c16c5551d9feb3eb5f77e2da773bf68bd9ef9c52927ceb2c86e56892b until=2026-11-22T19:40:00Z names=nas.lan,10.0.0.1\n");
        (void) signlog_free(log);
}
END_TEST

/* Names as they lie, unchecked: a URI may hold what no other kind does. */
static void issue_uris(struct signlog *log, const char *uri, size_t count) {
        struct san_list names = { .count = count };
        struct error err = { 0 };

        for (size_t i = 0; i < count; i++)
                names.items[i] = (struct san){ .type = SAN_URI, .value = bytes_of(uri) };
        ck_ok(issue_names(log, NOW, &names, &err), err);
}

START_TEST(a_name_cannot_look_like_two) {
        static const struct {
                const char *name, *written;
        } rows[] = {
                { "https://nas.lan/a,b.lan", "https://nas.lan/a\\2cb.lan" },
                { "https://nas.lan/a%2Cb", "https://nas.lan/a%2Cb" },
                { "https://nas.lan/a\\2cb", "https://nas.lan/a\\5c2cb" },
                { "https://nas.lan/a b=c", "https://nas.lan/a\\20b=c" },
                { ",,\\", "\\2c\\2c\\5c" },
        };
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct rate rate = { 0 };
        int64_t last_s;
        struct signlog *log = open_log(&rate, &last_s);

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char wanted[128];
                const char *names;

                issue_uris(log, rows[i].name, 1);
                names = strstr(strrchr(content(&text, "log"), 'Z'), " names=");
                (void) snprintf(wanted, sizeof(wanted), " names=%s\n", rows[i].written);
                ck_assert_str_eq(names, wanted);
        }
        (void) signlog_free(log);
}
END_TEST

START_TEST(no_single_name_is_too_long_for_a_line) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct rate rate = { 0 };
        int64_t last_s;
        struct signlog *log = open_log(&rate, &last_s);
        char commas[SAN_TEXT_MAX] = "";
        const char *line;
        size_t written = 0;

        memset(commas, ',', sizeof(commas) - 1);
        issue_uris(log, commas, 2);
        line = content(&text, "log");
        ck_assert_uint_le(strlen(line), SIGNLOG_LINE_MAX);
        ck_assert_msg(strstr(line, "\\2c,+1\n"), "the second is not counted in '%s'", line);
        while ((line = strstr(line, "\\2c"))) {
                line += 3;
                written++;
        }
        ck_assert_uint_eq(written, strlen(commas));
        (void) signlog_free(log);
}
END_TEST

START_TEST(names_beyond_a_line_are_counted) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        struct rate rate = { 0 };
        int64_t last_s;
        struct error err = { 0 };
        struct signlog *log = open_log(&rate, &last_s);
        const char *line;

        for (int i = 0; i < SAN_COUNT_MAX; i++) {
                char name[256];

                (void) snprintf(name, sizeof(name), "%063d.%063d.%03d.lan", i + 1, i + 1, i);
                ck_ok(san_list_add_text(&names, name, &err), err);
        }
        ck_ok(issue_names(log, NOW, &names, &err), err);
        line = content(&text, "log");
        ck_assert_uint_le(strlen(line), SIGNLOG_LINE_MAX);
        ck_assert_msg(strstr(line, ",+"), "no count in '%s'", line);
        ck_assert_uint_eq(line[strlen(line) - 1], '\n');
        (void) signlog_free(log);
}
END_TEST

START_TEST(a_start_counts_the_last_hour) {
        struct rate rate = { 0 };
        int64_t last_s = 0;
        struct signlog *log = open_log(&rate, &last_s);
        static const int64_t ages[] = { 7200, 3601, 3600, 3599, 1800, 60, 1, 0 };

        for (size_t i = 0; i < ARRAY_SIZE(ages); i++)
                issue(log, NOW - ages[i]);
        (void) signlog_free(log);
        ck_assert_uint_eq(counted(0, &last_s), 5);
        ck_assert_int_eq(last_s, NOW);
        ck_assert_uint_eq(counted(100, &last_s), 5);
}
END_TEST

static void log_crl(struct signlog *log, int64_t now_s, const char *issuer, int64_t number) {
        struct crl_wish wish = {
                .number = number, .this_update = now_s, .next_update = now_s + DAY, .entry_count = 3
        };
        struct error err = { 0 };

        ck_ok(signlog_crl(log, now_s, issuer, &wish, &err), err);
}

START_TEST(a_crl_has_a_line_of_its_own) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct rate rate = { 0 };
        int64_t last_s = -1;
        struct signlog *log = open_log(&rate, &last_s);

        log_crl(log, NOW, "int-1", 1795290000);
        ck_assert_str_eq(content(&text, "log"),
                         "2026-11-21T19:40:00Z crl issuer=int-1 number=1795290000 entries=3 "
                         "this-update=2026-11-21T19:40:00Z next-update=2026-11-22T19:40:00Z\n");
        (void) signlog_free(log);
}
END_TEST

START_TEST(a_start_finds_the_highest_number_of_each_issuer) {
        struct rate rate = { .per_hour = 10 };
        int64_t last_s = -1;
        struct signlog *log = open_log(&rate, &last_s);
        const struct signlog_seen *seen;

        log_crl(log, NOW - 9000, "root", 70);
        log_crl(log, NOW - 30, "int-1", 500);
        log_crl(log, NOW - 20, "int-1", 501);
        log_crl(log, NOW - 10, "abcdefghijklmno", INT64_MAX);
        (void) signlog_free(log);
        log = open_log(&rate, &last_s);
        seen = signlog_seen(log);
        ck_assert_int_eq(last_s, NOW - 10);
        ck_assert_msg(!seen->issued && !signlog_issued(log), "a CRL is no certificate");
        ck_assert_int_eq(crl_numbers_last(&seen->crls, "root"), 70);
        ck_assert_int_eq(crl_numbers_last(&seen->crls, "int-1"), 501);
        ck_assert_int_eq(crl_numbers_last(&seen->crls, "abcdefghijklmno"), INT64_MAX);
        ck_assert_uint_eq(rate_last_hour(&seen->crl_rate, NOW), 3);
        ck_assert_msg(rate_last_hour(&rate, NOW) == 0, "the limit on certificates is theirs alone");
        (void) signlog_free(log);
}
END_TEST

START_TEST(a_line_about_a_crl_that_is_none_says_nothing) {
        static const char *const lines[] = {
                "crl ",
                "crl issuer=int-1",
                "crl issuer=int-1 number=",
                "crl issuer=int-1 number=x",
                "crl number=5 issuer=int-1",
                "crl issuer= number=5",
                "crlissuer=int-1 number=5",
                "crl issuer=abcdefghijklmnop number=5",
                "crl issuer=int-1 number=-5",
        };
        struct rate rate = { 0 };
        int64_t last_s;

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                CAD_AUTO(buffer_done) struct buffer text = { 0 };
                struct signlog *log;

                buffer_format(&text, "2026-11-21T19:40:00Z %s\n", lines[i]);
                scratch_write(&scratch, "log", buffer_string(&text), 0600);
                log = open_log(&rate, &last_s);
                for (size_t row = 0; row < CRL_NUMBERS_MAX; row++)
                        ck_assert_msg(signlog_seen(log)->crls.rows[row].number == 0, "%s",
                                      lines[i]);
                (void) signlog_free(log);
        }
}
END_TEST

START_TEST(lines_of_a_clock_that_was_ahead_are_not_the_last_hour) {
        struct rate rate = { 0 };
        int64_t last_s = 0;
        struct signlog *log = open_log(&rate, &last_s);
        struct error err = { 0 };

        issue(log, NOW);
        issue(log, NOW + 365 * DAY);
        issue(log, NOW + 200); /* set back by less than five minutes: that is of now */
        (void) signlog_free(log);
        ck_assert_uint_eq(counted(10, &last_s), 2);
        log = open_log(&rate, &last_s);
        issue(log, NOW + 365 * DAY);
        (void) signlog_free(log);
        (void) counted(10, &last_s);
        ck_assert_int_eq(last_s, NOW + 365 * DAY);
        ck_ok(signlog_clock_accepted(scratch.fd, NOW, &err),
              err); /* and root says that it was wrong */
        ck_assert_uint_eq(counted(10, &last_s), 2);
        ck_assert_int_eq(last_s, NOW);
}
END_TEST

/* clang-format off */
static const struct { const char *why, *line; bool issued; } told[] = {
        { "a leaf for somebody", "2026-11-21T19:40:00Z issue serial=10 issuer=int-1 profile=server key=00 until=2026-11-22T19:40:00Z names=a.lan\n", true },
        { "the CA's own", "2026-11-21T19:40:00Z issue serial=10 issuer=int-1 profile=https key=00 until=2026-11-22T19:40:00Z names=a.lan\n", false },
        { "one whose profile only begins so", "2026-11-21T19:40:00Z issue serial=10 issuer=int-1 profile=https-x key=00 until=x names=a.lan\n", true },
        { "a name that pretends", "2026-11-21T19:40:00Z issue serial=10 issuer=int-1 profile=server key=00 until=x names=urn:x,profile=https\n", true },
        { "no profile", "2026-11-21T19:40:00Z issue serial=10\n", true },
        { "nothing behind", "2026-11-21T19:40:00Z issue profile=\n", true },
        { "something else", "2026-11-21T19:40:00Z clock-accept\n", false },
};
/* clang-format on */

START_TEST(what_is_the_ca_s_own_is_not_issued_for_others) {
        struct error err = { 0 };
        bool issued = false;

        scratch_write(&scratch, "log", told[_i].line, 0600);
        ck_ok(signlog_tells_of_issue(scratch.fd, &issued, &err), err);
        ck_assert_msg(issued == told[_i].issued, "%s", told[_i].why);
}
END_TEST

START_TEST(accepting_a_clock_makes_no_log) {
        struct error err = { 0 };

        ck_ok(signlog_clock_accepted(scratch.fd, NOW, &err), err);
        ck_assert(!scratch_has(&scratch, "log"));
        scratch_write(&scratch, "log", "", 0600);
        ck_ok(signlog_clock_accepted(scratch.fd, NOW, &err), err);
        struct stat st;

        ck_assert_int_eq(fstatat(scratch.fd, "log", &st, 0), 0);
        ck_assert_int_eq(st.st_size, 0);
}
END_TEST

START_TEST(a_half_line_is_ended_and_counts_for_nothing) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct rate rate = { 0 };
        int64_t last_s = 0;
        struct signlog *log;

        scratch_write(&scratch, "log",
                      "2026-11-21T19:30:00Z issue serial=01 x\n2026-11-21T19:31:00Z issue seri",
                      0600);
        log = open_log(&rate, &last_s);
        ck_assert_uint_eq(rate_last_hour(&rate, NOW), 1);
        issue(log, NOW);
        ck_assert_ptr_nonnull(strstr(content(&text, "log"), " seri\n2026-11-21T19:40:00Z issue"));
        (void) signlog_free(log);
}
END_TEST

START_TEST(lines_that_are_none_are_passed_over) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        int64_t last_s = 0;

        buffer_text(&text, "\n\nx\nnot a time at all, but long\n9999-99-99T99:99:99Z issue x\n");
        for (int i = 0; i < 200000; i++)
                buffer_text(&text, "y"); /* longer than what is read at once */
        buffer_text(&text, "\n2026-11-21T19:39:00Z issue serial=01 x\n2026-11-21T19:39:30Z note\n");
        scratch_write(&scratch, "log", buffer_string(&text), 0600);
        ck_assert_uint_eq(counted(10, &last_s), 1);
        ck_assert_int_eq(last_s, NOW - 30);
        ck_assert_uint_eq(counted(0, &last_s), 1);
}
END_TEST

START_TEST(every_line_of_the_hour_is_counted_however_long) {
        struct rate rate = { 0 };
        int64_t last_s = 0;
        struct signlog *log = open_log(&rate, &last_s);
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        struct error err = { 0 };
        uint32_t inside = 0;

        for (int i = 0; i < 20; i++) {
                char name[256];

                (void) snprintf(name, sizeof(name), "%063d.%03d.lan", i + 1, i);
                ck_ok(san_list_add_text(&names, name, &err), err);
        }
        for (int i = 0; i < 6000; i++) { /* 10 MiB, the first third before the hour */
                int64_t t = NOW - 5400 + i * 5400 / 6000;

                ck_ok(issue_names(log, t, &names, &err), err);
                inside += t > NOW - 3600;
        }
        ck_assert_uint_gt(inside, 3000);
        ck_assert(!signlog_rotate_due(log));
        (void) signlog_free(log);
        ck_assert_uint_eq(counted(10000, &last_s), inside);
        ck_ok(renameat(scratch.fd, "log", scratch.fd, "log.1"), err);
        ck_assert_uint_eq(counted(10000, &last_s), inside);
        ck_assert_int_eq(last_s, NOW - 1);
}
END_TEST

START_TEST(a_full_file_is_put_aside_and_eight_are_kept) {
        struct rate rate = { 0 };
        int64_t last_s = 0;
        struct signlog *log = open_log(&rate, &last_s);
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };
        char name[32];

        for (int i = 0; i < SIGNLOG_KEPT + 3; i++) {
                issue(log, NOW + i);
                ck_ok(signlog_rotate(log, &err), err);
                ck_assert(!signlog_rotate_due(log));
        }
        issue(log, NOW + 100);
        ck_assert_ptr_nonnull(strstr(content(&text, "log"), "T19:41:40Z"));
        for (int i = 1; i <= SIGNLOG_KEPT; i++) {
                char when[16];

                (void) snprintf(name, sizeof(name), "log.%d", i);
                (void) snprintf(when, sizeof(when), "T19:40:%02dZ", SIGNLOG_KEPT + 3 - i);
                ck_assert_msg(strstr(content(&text, name), when), "%s has not %s", name, when);
        }
        (void) snprintf(name, sizeof(name), "log.%d", SIGNLOG_KEPT + 1);
        ck_assert(!scratch_has(&scratch, name));
        ck_ok(signlog_sync(log, &err), err);
        (void) signlog_free(log);
}
END_TEST

START_TEST(a_rotation_that_fails_loses_nothing) {
        struct rate rate = { 0 };
        int64_t last_s = 0;
        struct signlog *log = open_log(&rate, &last_s);
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err;

        issue(log, NOW);
        ck_assert_int_eq(mkdirat(scratch.fd, "log.new", 0700),
                         0); /* stands for a disk without room for one more file */
        ck_refused(signlog_rotate(log, &err), err, ERR_IO);
        issue(log, NOW + 1);
        ck_assert_int_eq(unlinkat(scratch.fd, "log.new", AT_REMOVEDIR), 0);
        ck_ok(signlog_rotate(log, &err), err);
        issue(log, NOW + 2);
        ck_assert_ptr_nonnull(strstr(content(&text, "log.1"), "T19:40:01Z"));
        ck_assert_ptr_nonnull(strstr(content(&text, "log"), "T19:40:02Z"));
        (void) signlog_free(log);
}
END_TEST

START_TEST(a_full_disk_leaves_no_half_line) {
        struct rate rate = { 0 };
        int64_t last_s = 0;
        struct signlog *log = open_log(&rate, &last_s);
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        struct rlimit limit = { 0, RLIM_INFINITY };
        struct error err = { 0 };
        struct stat before, after;

        (void) signal(SIGXFSZ, SIG_IGN);
        issue(log, NOW);
        ck_ok(san_list_add_text(&names, "nas.lan", &err), err);
        ck_assert_int_eq(fstatat(scratch.fd, "log", &before, 0), 0);
        for (rlim_t room = 0; room < 150; room += 7) {
                int rc;

                limit.rlim_cur = (rlim_t) before.st_size + room;
                (void) setrlimit(
                        RLIMIT_FSIZE,
                        &limit); /* Check writes files too: nothing is asserted before it is lifted */
                rc = issue_names(log, NOW, &names, &err);
                limit.rlim_cur = RLIM_INFINITY;
                (void) setrlimit(RLIMIT_FSIZE, &limit);
                ck_assert_int_eq(rc, -1);
                ck_assert_int_eq(error_kind(err.code), ERROR_FAULT);
                ck_assert_int_eq(fstatat(scratch.fd, "log", &after, 0), 0);
                ck_assert_int_eq(after.st_size, before.st_size);
        }
        issue(log, NOW);
        ck_assert_uint_eq(counted(10, &last_s), 2);
        (void) signlog_free(log);
}
END_TEST

START_TEST(what_was_written_is_synced_once_and_again_where_that_failed) {
        struct rate rate = { 0 };
        int64_t last_s;
        struct signlog *log = open_log(&rate, &last_s);
        struct error err = { 0 };

        issue(log, NOW);
        syncs = 0;
        sync_fails = true;
        ck_refused(signlog_sync(log, &err), err, ERR_IO);
        sync_fails = false;
        ck_ok(signlog_sync(log, &err), err);
        ck_assert_uint_eq(syncs, 2);
        ck_ok(signlog_sync(log, &err), err);
        ck_assert_uint_eq(syncs, 2);
        issue(log, NOW);
        ck_ok(signlog_sync(log, &err), err);
        ck_assert_uint_eq(syncs, 3);
        (void) signlog_free(log);
}
END_TEST

START_TEST(a_log_that_is_no_file_is_refused) {
        struct rate rate = { 0 };
        struct signlog *log = (struct signlog *) 0x1;
        int64_t last_s = 7;
        struct error err;

        ck_assert_int_eq(mkfifoat(scratch.fd, "log", 0600), 0);
        ck_refused(signlog_open(scratch.fd, NOW, &rate, &log, &last_s, &err), err, ERR_FILE_UNSAFE);
        ck_assert_int_eq(unlinkat(scratch.fd, "log", 0), 0);
        ck_assert_int_eq(symlinkat("elsewhere", scratch.fd, "log"), 0);
        ck_assert_int_eq(signlog_open(scratch.fd, NOW, &rate, &log, &last_s, &err), -1);
        ck_assert_ptr_eq(log, (void *) 0x1);
        ck_assert_int_eq(last_s, 7);
        ck_assert(!scratch_has(&scratch, "elsewhere"));
}
END_TEST

/* ---- what is no issuance ---- */

START_TEST(an_anchor_is_a_line_and_no_issuance) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct audit_anchor anchor = { .at = NOW, .number = 12, .hash = { 0xab } }, back;
        struct rate rate = { .per_hour = 5 };
        struct signlog *log;
        int64_t last_s = 0;
        bool issued = true;
        struct error err = { 0 };

        log = open_log(&rate, &last_s);
        ck_ok(signlog_audit(log, &anchor, &err), err);
        log = signlog_free(log);
        ck_assert_int_eq(audit_anchor_parse(strtok((char *) content(&text, SIGNLOG_FILE), "\n"),
                                            &back),
                         0);
        ck_assert_mem_eq(&back, &anchor, sizeof(back));
        log = open_log(&rate, &last_s);
        ck_assert_int_eq(last_s, NOW);
        ck_assert(!signlog_issued(log));
        ck_assert_int_eq(rate_last_hour(&rate, NOW), 0);
        ck_ok(signlog_tells_of_issue(scratch.fd, &issued, &err), err);
        ck_assert(!issued);
        issue(log, NOW);
        ck_assert(!signlog_issued(log)); /* it tells of what was read at start */
        log = signlog_free(log);
        log = open_log(&rate, &last_s);
        ck_assert(signlog_issued(log));
        ck_ok(signlog_tells_of_issue(scratch.fd, &issued, &err), err);
        ck_assert(issued);
        log = signlog_free(log);
}
END_TEST

START_TEST(without_a_log_there_is_no_issuance_and_nothing_to_note) {
        bool issued = true;
        struct error err = { 0 };

        ck_ok(signlog_tells_of_issue(scratch.fd, &issued, &err), err);
        ck_assert(!issued);
        ck_ok(signlog_ca_replaced(scratch.fd, NOW, &err), err);
        ck_assert_int_eq(faccessat(scratch.fd, SIGNLOG_FILE, F_OK, 0), -1);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("signlog");
        TCase *tc = tcase_create("signlog");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, a_line_says_who_what_and_until_when);
        tcase_add_test(tc, a_name_cannot_look_like_two);
        tcase_add_test(tc, no_single_name_is_too_long_for_a_line);
        tcase_add_test(tc, names_beyond_a_line_are_counted);
        tcase_add_test(tc, a_start_counts_the_last_hour);
        tcase_add_test(tc, a_crl_has_a_line_of_its_own);
        tcase_add_test(tc, a_start_finds_the_highest_number_of_each_issuer);
        tcase_add_test(tc, a_line_about_a_crl_that_is_none_says_nothing);
        tcase_add_test(tc, lines_of_a_clock_that_was_ahead_are_not_the_last_hour);
        tcase_add_loop_test(tc, what_is_the_ca_s_own_is_not_issued_for_others, 0, ARRAY_SIZE(told));
        tcase_add_test(tc, accepting_a_clock_makes_no_log);
        tcase_add_test(tc, a_half_line_is_ended_and_counts_for_nothing);
        tcase_add_test(tc, lines_that_are_none_are_passed_over);
        tcase_add_test(tc, every_line_of_the_hour_is_counted_however_long);
        tcase_add_test(tc, a_full_file_is_put_aside_and_eight_are_kept);
        tcase_add_test(tc, a_rotation_that_fails_loses_nothing);
        tcase_add_test(tc, a_full_disk_leaves_no_half_line);
        tcase_add_test(tc, what_was_written_is_synced_once_and_again_where_that_failed);
        tcase_add_test(tc, a_log_that_is_no_file_is_refused);
        tcase_add_test(tc, an_anchor_is_a_line_and_no_issuance);
        tcase_add_test(tc, without_a_log_there_is_no_issuance_and_nothing_to_note);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
