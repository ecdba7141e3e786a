/*
 * The log: one line an event, fields beside it, levels, and what a peer said cannot forge a line.
 */
#include "folder-fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/text.h"

/* ---- a sink that keeps the last line ---- */

static struct {
        int lines;
        enum log_level level;
        char text[2048];
        size_t count;
        char names[LOG_FIELDS_MAX][32], values[LOG_FIELDS_MAX][256];
} seen;

static void keep(enum log_level level, const char *text, const struct log_field *fields,
                 size_t count) {
        seen.lines++;
        seen.level = level;
        (void) snprintf(seen.text, sizeof(seen.text), "%s", text);
        seen.count = count;
        ck_assert_uint_le(count, LOG_FIELDS_MAX);
        for (size_t i = 0; i < count; i++) {
                (void) snprintf(seen.names[i], sizeof(seen.names[i]), "%s", fields[i].name);
                (void) snprintf(seen.values[i], sizeof(seen.values[i]), "%s", fields[i].value);
        }
}

static void with_sink(void) {
        memset(&seen, 0, sizeof(seen));
        log_set_sink(keep);
        log_set_level(LOG_LEVEL_INFO);
}

static const struct {
        enum log_level threshold, level;
        bool written;
} levels[] = {
        { LOG_LEVEL_INFO, LOG_LEVEL_ERROR, true },     { LOG_LEVEL_INFO, LOG_LEVEL_INFO, true },
        { LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, false },    { LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG, true },
        { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, false }, { LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, true },
};

START_TEST(what_is_above_the_level_is_dropped) {
        struct error err = { 0 };
        int expected = levels[_i].written ? 3 : 0;

        log_set_level(levels[_i].threshold);
        (void) error_set(&err, ERR_IO, "x");
        log_line(levels[_i].level, "x");
        log_fields(levels[_i].level, NULL, 0, "x");
        log_error(levels[_i].level, &err, "x");
        ck_assert_int_eq(seen.lines, expected);
        if (expected)
                ck_assert_int_eq(seen.level, levels[_i].level);
}
END_TEST

START_TEST(fields_come_in_order_and_those_without_a_value_not_at_all) {
        const struct log_field fields[] = { { "CAD_SERIAL", "01ab" },
                                            { "CAD_LABEL", NULL },
                                            { "CAD_PRINCIPAL", "uid:0" } };

        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields), "issued %d", 1);
        ck_assert_str_eq(seen.text, "issued 1");
        ck_assert_uint_eq(seen.count, 2);
        ck_assert_str_eq(seen.names[0], "CAD_SERIAL");
        ck_assert_str_eq(seen.values[0], "01ab");
        ck_assert_str_eq(seen.names[1], "CAD_PRINCIPAL");
        ck_assert_str_eq(seen.values[1], "uid:0");
}
END_TEST

START_TEST(more_fields_than_there_is_room_for_are_left_out) {
        struct log_field fields[LOG_FIELDS_MAX + 4];

        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                fields[i] = (struct log_field){ "X", i % 2 ? NULL : "y" };
        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields), "half of them");
        ck_assert_uint_eq(seen.count, (LOG_FIELDS_MAX + 4) / 2);
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                fields[i].value = "y";
        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields), "all");
        ck_assert_uint_eq(seen.count, LOG_FIELDS_MAX);
}
END_TEST

START_TEST(what_a_peer_said_begins_no_line_and_forges_no_field) {
        const struct log_field fields[] = { { "CAD_LABEL", "x\nPRIORITY=0\x1b[2J" } };

        log_fields(LOG_LEVEL_INFO, fields, 1, "label %s", "a\nb\r\xe2\x80\xae");
        ck_assert_str_eq(seen.text, "label a?b??");
        ck_assert_str_eq(seen.values[0], "x?PRIORITY=0?[2J");
        log_line(LOG_LEVEL_INFO, "%s", "%n%s\n");
        ck_assert_str_eq(seen.text, "%n%s?");
}
END_TEST

START_TEST(a_long_line_is_cut_and_marked) {
        for (int length = 1000; length < 1060; length++) {
                log_line(LOG_LEVEL_INFO, "%0*dü", length, 0);
                ck_assert(utf8_valid(bytes_of(seen.text)));
                ck_assert_uint_lt(strlen(seen.text), 1024);
                ck_assert_msg(text_ends_with(seen.text, length + 2 < 1024 ? "ü" : "…"), "%d",
                              length);
        }
        log_fields(LOG_LEVEL_INFO, &(struct log_field){ "X", seen.text }, 1, "x");
        ck_assert(text_ends_with(seen.values[0], "…") && strlen(seen.values[0]) < 128);
}
END_TEST

START_TEST(an_error_is_logged_with_its_code_and_where_it_was_set) {
        struct error err = { 0 };
        char line[16];

        (void) error_set(&err, ERR_STORE_FULL, "no space");
        (void) snprintf(line, sizeof(line), "%d", err.line);
        log_error(LOG_LEVEL_ERROR, &err, "writing %s", "cad.db");
        ck_assert_str_eq(seen.text, "writing cad.db: no space");
        ck_assert_uint_eq(seen.count, 3);
        ck_assert_str_eq(seen.values[0], "store-full");
        ck_assert_str_eq(seen.names[1], "CODE_FILE");
        ck_assert(text_ends_with(seen.values[1], "test-log.c"));
        ck_assert_str_eq(seen.names[2], "CODE_LINE");
        ck_assert_str_eq(seen.values[2], line);
}
END_TEST

START_TEST(an_error_from_nowhere_is_logged_without_a_place) {
        const struct error err = { .code = ERR_IO, .text = "said by the signer" };

        log_error(LOG_LEVEL_ERROR, &err, "it");
        ck_assert_uint_eq(seen.count, 1);
        ck_assert_str_eq(seen.text, "it: said by the signer");
}
END_TEST

/* ---- standard error ---- */

static int saved_stderr = -1;

static void with_standard_error(void) {
        char path[128];
        int fd;

        folder_setup();
        fd = open(folder_join("stderr", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        ck_assert_int_ge(saved_stderr, 0);
        ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        (void) close(fd);
        (void) unsetenv("JOURNAL_STREAM");
        log_set_sink(NULL);
        log_set_level(LOG_LEVEL_INFO);
}

static void restore(void) {
        (void) dup2(saved_stderr, STDERR_FILENO);
        saved_stderr = fd_close(saved_stderr);
        folder_teardown();
}

/* As systemd says it; where it is not, $JOURNAL_STREAM is of another file, as of what began a shell. */
static void stderr_is_of_journal(bool is) {
        char text[64];
        struct stat st;

        ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
        (void) snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino + !is);
        ck_assert_int_eq(setenv("JOURNAL_STREAM", text, /* overwrite= */ 1), 0);
}

static const char *written(struct buffer *ret) {
        struct error err = { 0 };

        buffer_done(ret);
        ck_ok(file_read(folder_fd, "stderr", FILE_PUBLIC, 1 << 20, ret, &err), err);
        return buffer_string(ret);
}

START_TEST(a_line_on_standard_error_has_its_priority_and_its_fields) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        const struct log_field fields[] = { { "CAD_SERIAL", "01ab" },
                                            { "CAD_LABEL", NULL },
                                            { "A", "b" } };

        stderr_is_of_journal(true);
        log_fields(LOG_LEVEL_WARNING, fields, ARRAY_SIZE(fields), "a line");
        log_notice("another");
        log_debug("not this one");
        ck_assert_str_eq(written(&out), "<4>a line CAD_SERIAL=01ab A=b\n<5>another\n");
}
END_TEST

START_TEST(what_is_not_the_journal_gets_no_priority) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };

        log_warning("one");
        stderr_is_of_journal(false);
        log_warning("two");
        ck_assert_int_eq(setenv("JOURNAL_STREAM", "8:x", /* overwrite= */ 1), 0);
        log_warning("three");
        ck_assert_str_eq(written(&out), "one\ntwo\nthree\n");
}
END_TEST

START_TEST(the_longest_line_with_all_fields_ends_with_one_line_break) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        struct log_field fields[LOG_FIELDS_MAX];
        char value[200];
        const char *text;

        memset(value, 'v', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                fields[i] = (struct log_field){ "A_RATHER_LONG_NAME_OF_A_FIELD", value };
        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields), "%0*d", 2000, 0);
        text = written(&out);
        ck_assert(text_ends_with(text, "\n"));
        ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(a_log_that_is_gone_stops_nobody) {
        (void) close(STDERR_FILENO);
        log_notice("nobody hears this");
        ck_assert(true);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("log");
        TCase *lines = tcase_create("lines"), *standard_error = tcase_create("standard error");

        tcase_add_checked_fixture(lines, with_sink, NULL);
        tcase_add_loop_test(lines, what_is_above_the_level_is_dropped, 0, ARRAY_SIZE(levels));
        tcase_add_test(lines, fields_come_in_order_and_those_without_a_value_not_at_all);
        tcase_add_test(lines, more_fields_than_there_is_room_for_are_left_out);
        tcase_add_test(lines, what_a_peer_said_begins_no_line_and_forges_no_field);
        tcase_add_test(lines, a_long_line_is_cut_and_marked);
        tcase_add_test(lines, an_error_is_logged_with_its_code_and_where_it_was_set);
        tcase_add_test(lines, an_error_from_nowhere_is_logged_without_a_place);
        suite_add_tcase(suite, lines);
        tcase_add_checked_fixture(standard_error, with_standard_error, restore);
        tcase_add_test(standard_error, a_line_on_standard_error_has_its_priority_and_its_fields);
        tcase_add_test(standard_error, what_is_not_the_journal_gets_no_priority);
        tcase_add_test(standard_error, the_longest_line_with_all_fields_ends_with_one_line_break);
        tcase_add_test(standard_error, a_log_that_is_gone_stops_nobody);
        suite_add_tcase(suite, standard_error);
        return unit_main(suite);
}
