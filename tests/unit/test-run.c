/*
 * Programs that are run: how they end is told, what they say is kept, and none is waited for without end.
 */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/run.h"
#include "lib/base/macros.h"
#include "lib/base/moment.h"

static int sh(const char *script, unsigned timeout_s, struct buffer *output, struct error *err) {
        char *const argv[] = { (char *) "sh", (char *) "-c", (char *) (uintptr_t) script, NULL };
        const char *const more[] = { "GREETING=hello", NULL };

        return run_program(argv, more, timeout_s, output, err);
}

static const struct {
        const char *why, *script, *output, *error; /* error NULL: it goes well */
} rows[] = {
        { "it goes well", "true", "", NULL },
        { "both outputs are kept", "echo a; echo b >&2", "a\nb\n", NULL },
        { "the environment has what was given and ours", "echo $GREETING ${PATH:+path}",
          "hello path\n", NULL },
        { "nothing is on standard input", "cat", "", NULL },
        { "an exit status", "echo no; exit 3", "no\n", "exit status 3" },
        { "a signal", "kill -9 $$", "", "signal 9" },
        { "what it left behind is not waited for", "sleep 3 & echo done", "done\n", NULL },
        { "one that hangs is stopped, with its children", "echo a; sleep 3 | sleep 30", "a\n",
          "after 1 s" },
};

/* What a terminal would have: nobody whom we run is to read it. */
static void type_something(void) {
        int pipes[2];

        ck_assert_int_eq(pipe(pipes), 0);
        ck_assert_int_eq(write(pipes[1], "typed\n", 6), 6);
        ck_assert_int_eq(dup2(pipes[0], STDIN_FILENO), STDIN_FILENO);
        (void) close(pipes[0]);
        (void) close(pipes[1]);
}

START_TEST(how_it_ends_is_told) {
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        int64_t before_ms = moment_monotonic_ms();
        struct error err = { 0 };
        int r;

        type_something();
        r = sh(rows[_i].script, 1, &output, &err);
        ck_assert_msg((r == 0) == (rows[_i].error == NULL), "%s: %s", rows[_i].why, err.text);
        ck_assert_str_eq(buffer_string(&output), rows[_i].output);
        if (rows[_i].error)
                ck_assert_msg(strstr(err.text, rows[_i].error), "%s", err.text);
        ck_assert_msg(moment_monotonic_ms() - before_ms < 20000, "%s", rows[_i].why);
}
END_TEST

START_TEST(nothing_of_one_that_hangs_goes_on) {
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        int64_t until_ms = moment_monotonic_ms() + 10000;
        struct error err = { 0 };
        pid_t group;

        ck_assert_int_eq(sh("echo $$; sleep 60 | sleep 60", 1, &output, &err), -1);
        group = (pid_t) strtol(buffer_string(&output), NULL, 10);
        ck_assert_int_gt(group, 1);
        while (kill(-group, 0) == 0) { /* until whoever inherits them has noticed */
                ck_assert(moment_monotonic_ms() < until_ms);
                (void) usleep(10000);
        }
}
END_TEST

START_TEST(one_that_talks_without_end_is_cut) {
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        struct error err = { 0 };

        ck_ok(sh("head -c 5000000 /dev/zero | tr '\\0' x", 30, &output, &err), err);
        ck_assert_uint_eq(output.size, RUN_OUTPUT_MAX);
}
END_TEST

START_TEST(one_that_is_not_there_is_said_to_be_so) {
        char *const argv[] = { (char *) "/nowhere/x", NULL };
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        struct error err;

        ck_refused(run_program(argv, NULL, 1, &output, &err), err, ERR_NOT_FOUND);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("run");
        TCase *tc = tcase_create("run");

        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, how_it_ends_is_told, 0, ARRAY_SIZE(rows));
        tcase_add_test(tc, nothing_of_one_that_hangs_goes_on);
        tcase_add_test(tc, one_that_talks_without_end_is_cut);
        tcase_add_test(tc, one_that_is_not_there_is_said_to_be_so);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
