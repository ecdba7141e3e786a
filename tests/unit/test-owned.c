/*
 * Whose the signer's files are: each that another may write to, or owns, is refused with what mends it.
 */
#include "signer-fixture.h"

#include <sys/wait.h>

#include "daemon/signer/owned.h"

#define STRANGER 12345

static struct scratch scratch;

static void set_up(void) {
        scratch_open(&scratch);
        scratch_ca(&scratch, NULL);
        scratch_write(&scratch, "log", "", 0600);
        scratch_write(&scratch, "log.32", "", 0600);
        scratch_write(&scratch, "lock", "1\n", 0600);
}

static void tear_down(void) {
        scratch_close(&scratch);
}

static int check(struct error *err) {
        return owned_check(scratch.fd, "/state", err);
}

static const struct {
        const char *path, *shown;
        bool folder;
} owned[] = {
        { ".", "/state", true },
        { "ca", "/state/ca", true },
        { "ca/ca.conf", "/state/ca/ca.conf", false },
        { "ca/root.crt", "/state/ca/root.crt", false },
        { "ca/root.key", "/state/ca/root.key", false },
        { "ca/int-2.key", "/state/ca/int-2.key", false },
        { "log", "/state/log", false },
        { "log.32", "/state/log.32", false },
        { "mark", "/state/mark", false },
        { "lock", "/state/lock", false },
};

START_TEST(what_others_may_write_to_is_refused) {
        static const struct {
                mode_t mode;
                const char *who;
        } rows[] = { { 0720, "its group" }, { 0702, "everybody" }, { 0722, "everybody" } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char text[256];
                struct error err;

                ck_assert_int_eq(fchmodat(scratch.fd, owned[_i].path, rows[i].mode, 0), 0);
                (void) snprintf(
                        text, sizeof(text),
                        "%s may be written to by %s (mode %04o), but only the signer's user may: "
                        "chmod go-w %s",
                        owned[_i].shown, rows[i].who, (unsigned) rows[i].mode, owned[_i].shown);
                ck_refused(check(&err), err, ERR_FILE_UNSAFE);
                ck_assert_str_eq(err.text, text);
                ck_assert_int_eq(fchmodat(scratch.fd, owned[_i].path, 0755, 0), 0);
                ck_ok(check(&err), err);
        }
}
END_TEST

START_TEST(what_another_owns_is_refused) {
        char text[64];
        struct error err;

        if (geteuid() != 0)
                return;
        ck_assert_int_eq(fchownat(scratch.fd, owned[_i].path, STRANGER, 0, 0), 0);
        (void) snprintf(text, sizeof(text), "chown%s 0 %s", owned[_i].folder ? " -R" : "",
                        owned[_i].shown);
        ck_refused(check(&err), err, ERR_FILE_UNSAFE);
        ck_assert_msg(strstr(err.text, "belongs to uid 12345"), "%s", err.text);
        ck_assert_msg(strstr(err.text, text), "%s", err.text);
}
END_TEST

START_TEST(what_is_not_there_or_no_file_is_not_its_business) {
        struct scratch empty;
        struct error err = { 0 };

        ck_ok(check(&err), err);
        ck_assert_int_eq(unlinkat(scratch.fd, "lock", 0), 0);
        ck_assert_int_eq(mkfifoat(scratch.fd, "lock", 0600), 0);
        ck_assert_int_eq(unlinkat(scratch.fd, "mark", 0), 0);
        ck_assert_int_eq(symlinkat("elsewhere", scratch.fd, "mark"), 0); /* of mode 0777 */
        ck_ok(check(&err), err);
        scratch_open(&empty);
        ck_ok(owned_check(empty.fd, "/state", &err), err);
        ck_assert_int_eq(symlinkat(scratch.path, empty.fd, "ca"), 0);
        ck_ok(owned_check(empty.fd, "/state", &err), err);
        scratch_close(&empty);
}
END_TEST

START_TEST(root_becomes_whose_the_folder_is_and_nobody_else_anybody) {
        struct error err = { 0 };
        int status = 0;
        pid_t pid;

        if (geteuid() != 0) {
                ck_ok(owned_become(scratch.fd, "/state", &err), err);
                return;
        }
        ck_ok(owned_become(scratch.fd, "/state", &err), err);
        ck_assert_int_eq(geteuid(), 0);
        ck_assert_int_eq(fchown(scratch.fd, STRANGER, STRANGER + 1), 0);
        pid = fork();
        if (pid == 0)
                _exit(owned_become(scratch.fd, "/state", &err) == 0 && geteuid() == STRANGER &&
                                      getuid() == STRANGER && getegid() == STRANGER + 1 &&
                                      setuid(0) < 0
                              ? 0
                              : 1);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("owned");
        TCase *tc = tcase_create("owned");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, what_others_may_write_to_is_refused, 0, ARRAY_SIZE(owned));
        tcase_add_loop_test(tc, what_another_owns_is_refused, 0, ARRAY_SIZE(owned));
        tcase_add_test(tc, what_is_not_there_or_no_file_is_not_its_business);
        tcase_add_test(tc, root_becomes_whose_the_folder_is_and_nobody_else_anybody);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
