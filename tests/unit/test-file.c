/*
 * Files that matter: what is refused, replacement that is cut off at every step, locks across processes.
 */
#include "folder-fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/base/text.h"

/* ---- what the tests take out of the kernel's hands ---- */

enum fault {
        FAULT_NONE,
        FAULT_ERRNO,
        FAULT_KILL,
        FAULT_SHORT,
        FAULT_EINTR
};

static struct {
        enum fault fault;
        int errnum;
        int at;    /* the step that it happens at, from 1 */
        int steps; /* that were taken */
} injected;

/* Each call of the wrapped functions is a step. Return: whether it shall fail */
static bool step_fails(void) {
        if (injected.fault == FAULT_NONE || ++injected.steps != injected.at)
                return false;
        if (injected.fault == FAULT_KILL)
                (void) kill(getpid(), SIGKILL);
        errno = injected.fault == FAULT_EINTR ? EINTR : injected.errnum;
        return true;
}

/* These stand before the C library's: the object under test is the one that ships. */
ssize_t write(int fd, const void *data, size_t size) {
        if (step_fails() && injected.fault != FAULT_SHORT)
                return -1;
        if (injected.fault == FAULT_SHORT && size > 1)
                size = 1;
        return syscall(SYS_write, fd, data, size);
}

int fsync(int fd) {
        return injected.fault != FAULT_EINTR && step_fails() ? -1 : (int) syscall(SYS_fsync, fd);
}

int fchmod(int fd, mode_t mode) {
        return injected.fault != FAULT_EINTR && step_fails() ? -1
                                                             : (int) syscall(SYS_fchmod, fd, mode);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
        return injected.fault != FAULT_EINTR && step_fails()
                ? -1
                : (int) syscall(SYS_renameat, from_fd, from, to_fd, to);
}

int unlinkat(int fd, const char *path, int flags) {
        return injected.fault != FAULT_EINTR && step_fails()
                ? -1
                : (int) syscall(SYS_unlinkat, fd, path, flags);
}

static void disarm(void) {
        injected.fault = FAULT_NONE;
}

static void tear_down(void) {
        disarm();
        (void) umask(022);
        folder_teardown();
}

static void check_content(const char *name, struct bytes expected) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err = { 0 };

        ck_ok(file_read(folder_fd, name, FILE_PUBLIC, 1 << 20, &content, &err), err);
        ck_assert_msg(bytes_equal(buffer_bytes(&content), expected), "%s has %zu bytes", name,
                      content.size);
}

/* ---- reading ---- */

static void make_plain(const char *name) {
        folder_write(name, BYTES_LITERAL("content"), 0600);
}
static void make_readable(const char *name) {
        folder_write(name, BYTES_LITERAL("content"), 0644);
}
static void make_group_readable(const char *name) {
        folder_write(name, BYTES_LITERAL("content"), 0640);
}
static void make_group_writable(const char *name) {
        folder_write(name, BYTES_LITERAL("content"), 0620);
}
static void make_writable(const char *name) {
        folder_write(name, BYTES_LITERAL("content"), 0666);
}
static void make_others_executable(const char *name) {
        folder_write(name, BYTES_LITERAL("content"), 0601);
}
static void make_empty(const char *name) {
        folder_write(name, BYTES_NONE, 0600);
}

static void make_nothing(const char *name) {
        (void) name;
}

static void make_symlink(const char *name) {
        folder_write("target", BYTES_LITERAL("content"), 0600);
        ck_assert_int_eq(symlinkat("target", folder_fd, name), 0);
}

static void make_dangling(const char *name) {
        ck_assert_int_eq(symlinkat("nowhere", folder_fd, name), 0);
}
static void make_loop(const char *name) {
        ck_assert_int_eq(symlinkat(name, folder_fd, name), 0);
}
static void make_fifo(const char *name) {
        ck_assert_int_eq(mkfifoat(folder_fd, name, 0600), 0);
}
static void make_folder(const char *name) {
        ck_assert_int_eq(mkdirat(folder_fd, name, 0700), 0);
}

static void make_hard_link(const char *name) {
        folder_write("other", BYTES_LITERAL("content"), 0600);
        ck_assert_int_eq(linkat(folder_fd, "other", folder_fd, name, 0), 0);
}

static void make_socket(const char *name) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", folder_path, name);
        ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        (void) close(fd);
}

/* clang-format off */
static const struct {
        const char *why;
        void (*make)(const char *name);
        enum error_code as_public, as_secret;
        const char *text; /* that the refusal has, "" for none */
} reads[] = {
        { "a file of one's own",                     make_plain,             ERR_NONE,        ERR_NONE,        "" },
        { "an empty one",                            make_empty,             ERR_NONE,        ERR_NONE,        "" },
        { "a public file is no secret",              make_readable,          ERR_NONE,        ERR_FILE_UNSAFE, "chmod 600 x" },
        { "readable by the group",                   make_group_readable,    ERR_NONE,        ERR_FILE_UNSAFE, "0640" },
        { "writable by the group",                   make_group_writable,    ERR_NONE,        ERR_FILE_UNSAFE, "chmod 600 x" },
        { "executable by others: a bit is a bit",    make_others_executable, ERR_NONE,        ERR_FILE_UNSAFE, "0601" },
        { "writable by everybody",                   make_writable,          ERR_FILE_UNSAFE, ERR_FILE_UNSAFE, "chmod o-w x" },
        { "not there",                               make_nothing,           ERR_NOT_FOUND,   ERR_NOT_FOUND,   "x is not there" },
        { "a symbolic link",                         make_symlink,           ERR_FILE_UNSAFE, ERR_FILE_UNSAFE, "symbolic link" },
        { "a dangling one",                          make_dangling,          ERR_FILE_UNSAFE, ERR_FILE_UNSAFE, "symbolic link" },
        { "one that leads to itself",                make_loop,              ERR_FILE_UNSAFE, ERR_FILE_UNSAFE, "symbolic link" },
        { "a FIFO: nobody waits for its other end",  make_fifo,              ERR_FILE_UNSAFE, ERR_FILE_UNSAFE, "not a regular file" },
        { "a socket",                                make_socket,            ERR_FILE_UNSAFE, ERR_FILE_UNSAFE, "not a regular file" },
        { "a folder",                                make_folder,            ERR_FILE_UNSAFE, ERR_FILE_UNSAFE, "not a regular file" },
        { "a second name, perhaps in another's home", make_hard_link,        ERR_NONE,        ERR_FILE_UNSAFE, "2 hard links" },
};
/* clang-format on */

static void check_read(size_t row, enum file_trust trust, enum error_code expected) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err = { 0 };
        int rc;

        buffer_text(&content, "before ");
        rc = file_read(folder_fd, "x", trust, 100, &content, &err);
        ck_assert_msg((rc == 0) == (expected == ERR_NONE) && err.code == expected, "%s: %s: %s",
                      reads[row].why, error_slug(err.code), err.text);
        if (rc == 0) {
                ck_assert_str_eq(buffer_string(&content),
                                 reads[row].make == make_empty ? "before " : "before content");
                return;
        }
        ck_assert_msg(strstr(err.text, reads[row].text) && strchr(err.text, 'x'), "%s: %s",
                      reads[row].why, err.text);
        ck_assert_str_eq(buffer_string(&content), "before ");
}

START_TEST(a_file_is_read_only_where_it_can_be_trusted) {
        reads[_i].make("x");
        check_read((size_t) _i, FILE_PUBLIC, reads[_i].as_public);
        check_read((size_t) _i, FILE_SECRET, reads[_i].as_secret);
}
END_TEST

START_TEST(a_device_is_no_file) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err;

        ck_refused(file_read(AT_FDCWD, "/dev/zero", FILE_PUBLIC, 100, &content, &err), err,
                   ERR_FILE_UNSAFE);
        ck_refused(file_read(AT_FDCWD, "/dev/null", FILE_PUBLIC, 100, &content, &err), err,
                   ERR_FILE_UNSAFE);
}
END_TEST

START_TEST(the_file_of_another_user_is_not_read) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err = { 0 };

        if (geteuid() != 0)
                return; /* only root can make one; whoever else runs this reads root's in the next test */
        make_plain("x");
        ck_assert_int_eq(fchownat(folder_fd, "x", 12345, (gid_t) -1, 0), 0);
        ck_refused(file_read(folder_fd, "x", FILE_SECRET, 100, &content, &err), err,
                   ERR_FILE_UNSAFE);
        ck_refused(file_read(folder_fd, "x", FILE_PUBLIC, 100, &content, &err), err,
                   ERR_FILE_UNSAFE);
        ck_assert_ptr_nonnull(strstr(err.text, "uid 12345"));
}
END_TEST

START_TEST(a_public_file_of_root_is_read_by_anybody) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err = { 0 };

        ck_ok(file_read(AT_FDCWD, "/etc/passwd", FILE_PUBLIC, 1 << 20, &content, &err), err);
        ck_assert_uint_gt(content.size, 0);
}
END_TEST

START_TEST(a_file_may_be_as_long_as_allowed_and_no_longer) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err = { 0 };

        folder_write("x", BYTES_LITERAL("12345678"), 0600);
        ck_ok(file_read(folder_fd, "x", FILE_SECRET, 8, &content, &err), err);
        ck_refused(file_read(folder_fd, "x", FILE_SECRET, 7, &content, &err), err, ERR_FILE_UNSAFE);
        ck_assert_ptr_nonnull(strstr(err.text, "8 bytes"));
        ck_assert_uint_eq(content.size, 8);
}
END_TEST

/* ---- writing ---- */

START_TEST(everything_is_written_through_interruptions_and_short_writes) {
        int fd = openat(folder_fd, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        injected.fault = FAULT_SHORT;
        injected.at = 1;
        ck_assert_int_eq(fd_write_all(fd, BYTES_LITERAL("short ")), 0);
        injected.fault = FAULT_EINTR;
        injected.steps = 0;
        ck_assert_int_eq(fd_write_all(fd, BYTES_LITERAL("interrupted")), 0);
        ck_assert_int_eq(injected.steps, 2);
        disarm();
        ck_assert_int_eq(fd_write_all(fd, BYTES_NONE), 0);
        (void) close(fd);
        check_content("x", BYTES_LITERAL("short interrupted"));
        ck_assert_int_eq(fd_write_all(-1, BYTES_LITERAL("x")), -1);
        ck_assert_int_eq(errno, EBADF);
}
END_TEST

static const mode_t modes[] = { 0600, 0644, 0640, 0400 };

START_TEST(a_new_file_has_the_mode_that_was_said_whatever_the_umask) {
        struct error err = { 0 };
        struct stat st;

        (void) umask(0777);
        ck_ok(file_replace(folder_fd, "x", BYTES_LITERAL("new"), modes[_i], &err), err);
        ck_assert_int_eq(fstatat(folder_fd, "x", &st, AT_SYMLINK_NOFOLLOW), 0);
        ck_assert_uint_eq(st.st_mode & 07777, modes[_i]);
        ck_assert(!folder_has("x.tmp"));
}
END_TEST

START_TEST(what_is_replaced_need_not_be_a_file_and_a_link_is_not_followed) {
        struct error err = { 0 };
        struct stat st;

        make_symlink("x");
        ck_ok(file_replace(folder_fd, "x", BYTES_LITERAL("new"), 0600, &err), err);
        check_content("x", BYTES_LITERAL("new"));
        check_content("target", BYTES_LITERAL("content"));
        ck_assert_int_eq(symlinkat("target", folder_fd, "x.tmp"), 0);
        ck_ok(file_replace(folder_fd, "x", BYTES_NONE, 0600, &err), err);
        check_content("target", BYTES_LITERAL("content"));
        ck_assert_int_eq(fstatat(folder_fd, "x", &st, AT_SYMLINK_NOFOLLOW), 0);
        ck_assert_int_eq(st.st_size, 0);
}
END_TEST

START_TEST(what_cannot_be_replaced_is_said_and_left) {
        struct error err;

        make_folder("x");
        ck_refused(file_replace(folder_fd, "x", BYTES_LITERAL("new"), 0600, &err), err, ERR_IO);
        ck_assert(!folder_has("x.tmp"));
        ck_refused(file_replace(folder_fd, "no/where", BYTES_LITERAL("new"), 0600, &err), err,
                   ERR_IO);
        make_folder("y.tmp");
        ck_refused(file_replace(folder_fd, "y", BYTES_LITERAL("new"), 0600, &err), err, ERR_IO);
        ck_assert(!folder_has("y"));
}
END_TEST

START_TEST(a_file_in_another_folder_is_replaced_too) {
        char path[128];
        struct error err = { 0 };

        make_folder("sub");
        ck_ok(file_replace(folder_fd, "sub/x", BYTES_LITERAL("new"), 0600, &err), err);
        check_content("sub/x", BYTES_LITERAL("new"));
        ck_ok(file_replace(AT_FDCWD, folder_join("sub/y", path), BYTES_LITERAL("new"), 0600, &err),
              err);
        check_content("sub/y", BYTES_LITERAL("new"));
}
END_TEST

static const struct {
        int errnum;
        enum error_code code;
} failures[] = {
        { ENOSPC, ERR_STORE_FULL }, { EDQUOT, ERR_STORE_FULL }, { EIO, ERR_IO }, { EROFS, ERR_IO }
};

/* Steps of a replacement: remove a left-over, fchmod, write, fsync, rename, fsync of the folder. */
#define REPLACE_STEPS 6
#define REPLACE_RENAMED 5

START_TEST(a_replacement_that_fails_at_any_step_leaves_old_or_new_whole) {
        for (int at = 1; at <= REPLACE_STEPS; at++) {
                bool ignored = at ==
                        1; /* a left-over that cannot be removed: creating the file tells */
                struct error err = { 0 };
                int rc;

                folder_write("x", BYTES_LITERAL("old"), 0600);
                injected.fault = FAULT_ERRNO;
                injected.errnum = failures[_i].errnum;
                injected.at = at;
                injected.steps = 0;
                rc = file_replace(folder_fd, "x", BYTES_LITERAL("new content"), 0600, &err);
                disarm();
                ck_assert_msg((rc == 0) == ignored, "step %d", at);
                if (!ignored)
                        ck_assert_int_eq(err.code, failures[_i].code);
                check_content("x",
                              ignored || at > REPLACE_RENAMED ? BYTES_LITERAL("new content")
                                                              : BYTES_LITERAL("old"));
                ck_assert_msg(!folder_has("x.tmp"), "step %d leaves its file", at);
        }
        injected.at = REPLACE_STEPS + 1;
        injected.fault = FAULT_ERRNO;
        injected.steps = 0;
        ck_assert_int_eq(file_replace(folder_fd, "x", BYTES_LITERAL("new content"), 0600, NULL), 0);
        ck_assert_int_eq(injected.steps, REPLACE_STEPS);
}
END_TEST

static bool killed_at(int at) {
        int status = 0;
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) {
                injected.fault = FAULT_KILL;
                injected.at = at;
                injected.steps = 0;
                _exit(file_replace(folder_fd, "x", BYTES_LITERAL("new content"), 0600, NULL) == 0
                              ? 0
                              : 1);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        return WIFSIGNALED(status);
}

START_TEST(a_process_killed_at_any_step_leaves_old_or_new_whole_and_the_next_goes_on) {
        int at = 1;

        for (folder_write("x", BYTES_LITERAL("old"), 0600); killed_at(at); at++) {
                struct error err = { 0 };

                check_content("x",
                              at > REPLACE_RENAMED ? BYTES_LITERAL("new content")
                                                   : BYTES_LITERAL("old"));
                ck_ok(file_replace(folder_fd, "x", BYTES_LITERAL("old"), 0600, &err), err);
                check_content("x", BYTES_LITERAL("old"));
                ck_assert(!folder_has("x.tmp"));
        }
        ck_assert_int_eq(at, REPLACE_STEPS + 1);
        check_content("x", BYTES_LITERAL("new content"));
}
END_TEST

/* ---- folders ---- */

static void make_world_writable_folder(const char *name) {
        make_folder(name);
        ck_assert_int_eq(fchmodat(folder_fd, name, 0777, 0), 0);
}

static void make_sticky_folder(const char *name) {
        make_folder(name);
        ck_assert_int_eq(fchmodat(folder_fd, name, 01777, 0), 0);
}

static void make_link_to_folder(const char *name) {
        make_folder("real");
        ck_assert_int_eq(symlinkat("real", folder_fd, name), 0);
}

static const struct {
        const char *why;
        void (*make)(const char *name);
        bool make_it;
        enum error_code code;
} folders[] = {
        { "a folder", make_folder, false, ERR_NONE },
        { "a folder that is there is not made again", make_folder, true, ERR_NONE },
        { "none, and it may not be made", make_nothing, false, ERR_NOT_FOUND },
        { "none, and it may be made", make_nothing, true, ERR_NONE },
        { "a file", make_plain, false, ERR_FILE_UNSAFE },
        { "a file in its place", make_plain, true, ERR_FILE_UNSAFE },
        { "a FIFO", make_fifo, false, ERR_FILE_UNSAFE },
        { "a link to a folder", make_link_to_folder, false, ERR_FILE_UNSAFE },
        { "a dangling link", make_dangling, true, ERR_FILE_UNSAFE },
        { "writable by everybody", make_world_writable_folder, false, ERR_FILE_UNSAFE },
        { "writable by everybody, each his own: /tmp", make_sticky_folder, false, ERR_NONE },
};

START_TEST(a_folder_is_opened_only_where_it_can_be_trusted) {
        CAD_AUTO(fd_close) int fd = -1;
        struct error err = { 0 };

        folders[_i].make("x");
        fd = folder_open(folder_fd, "x", folders[_i].make_it, &err);
        ck_assert_msg(err.code == folders[_i].code && (fd >= 0) == (folders[_i].code == ERR_NONE),
                      "%s: %s", folders[_i].why, err.text);
        if (fd >= 0)
                ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}
END_TEST

START_TEST(a_folder_is_made_with_its_parents_for_its_owner_alone) {
        CAD_AUTO(fd_close) int fd = -1;
        char path[128];
        struct error err = { 0 };
        struct stat st;

        (void) umask(0);
        fd = folder_open(AT_FDCWD, folder_join("a/b/c", path), true, &err);
        ck_assert_msg(fd >= 0, "%s", err.text);
        ck_assert_int_eq(fstatat(folder_fd, "a", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0700);
        ck_assert_int_eq(fstat(fd, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0700);
        ck_ok(folder_sync(fd, "a/b/c", &err), err);
        ck_refused(folder_sync(-1, "nothing", &err), err, ERR_IO);
        make_plain("file");
        ck_refused(folder_open(folder_fd, "file/below", true, &err), err, ERR_IO);
}
END_TEST

/* ---- locks ---- */

/* Takes the lock, says so, and holds it until it is killed. Return: its pid */
static pid_t holder(void) {
        int ready[2];
        char byte;
        pid_t child;

        ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
        child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
                int fd = lock_take(folder_fd, "lock", NULL);

                (void) !write(ready[1], fd >= 0 ? "y" : "n", 1);
                for (;;)
                        (void) pause();
        }
        (void) close(ready[1]);
        ck_assert_int_eq(read(ready[0], &byte, 1), 1);
        ck_assert_int_eq(byte, 'y');
        (void) close(ready[0]);
        return child;
}

START_TEST(a_lock_is_held_until_its_holder_is_gone_however_it_goes) {
        pid_t child = holder();
        char text[96];
        struct error err;
        int fd;

        ck_refused(lock_take(folder_fd, "lock", &err), err, ERR_BUSY);
        (void) snprintf(text, sizeof(text),
                        "already in use by process %ld (it has locked the file 'lock')",
                        (long) child);
        ck_assert_str_eq(err.text, text);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        fd = lock_take(folder_fd, "lock", &err);
        ck_assert_int_ge(fd, 0);
        (void) snprintf(text, sizeof(text), "%ld\n", (long) getpid());
        check_content("lock", bytes_of(text)); /* nothing is left of a longer pid before */
        (void) close(fd);
}
END_TEST

START_TEST(a_lock_is_not_taken_twice_by_one_process_either) {
        struct error err = { 0 };
        int fd = lock_take(folder_fd, "lock", &err);

        ck_assert_msg(fd >= 0, "%s", err.text);
        ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        ck_refused(lock_take(folder_fd, "lock", &err), err, ERR_BUSY);
        ck_assert_int_eq(fd_close(fd), -1);
        fd = lock_take(folder_fd, "lock", &err);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fd_close(fd), -1);
        ck_assert_int_eq(fd_close(-1), -1);
}
END_TEST

START_TEST(what_is_in_a_lock_that_nobody_holds_does_not_matter) {
        struct error err = { 0 };
        int fd;

        folder_write("lock",
                     BYTES_LITERAL("99999999999999999999999999 a much longer pid than there is\n"),
                     0600);
        fd = lock_take(folder_fd, "lock", &err);
        ck_assert_msg(fd >= 0, "%s", err.text);
        (void) close(fd);
}
END_TEST

START_TEST(a_lock_is_no_link_and_no_folder) {
        struct error err;

        make_symlink("lock");
        ck_refused(lock_take(folder_fd, "lock", &err), err, ERR_IO);
        check_content("target", BYTES_LITERAL("content"));
        make_folder("folder");
        ck_refused(lock_take(folder_fd, "folder", &err), err, ERR_IO);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("file");
        TCase *tc = tcase_create("file");

        tcase_add_checked_fixture(tc, folder_setup, tear_down);
        tcase_add_loop_test(tc, a_file_is_read_only_where_it_can_be_trusted, 0, ARRAY_SIZE(reads));
        tcase_add_test(tc, a_device_is_no_file);
        tcase_add_test(tc, the_file_of_another_user_is_not_read);
        tcase_add_test(tc, a_public_file_of_root_is_read_by_anybody);
        tcase_add_test(tc, a_file_may_be_as_long_as_allowed_and_no_longer);
        tcase_add_test(tc, everything_is_written_through_interruptions_and_short_writes);
        tcase_add_loop_test(tc, a_new_file_has_the_mode_that_was_said_whatever_the_umask, 0,
                            ARRAY_SIZE(modes));
        tcase_add_test(tc, what_is_replaced_need_not_be_a_file_and_a_link_is_not_followed);
        tcase_add_test(tc, what_cannot_be_replaced_is_said_and_left);
        tcase_add_test(tc, a_file_in_another_folder_is_replaced_too);
        tcase_add_loop_test(tc, a_replacement_that_fails_at_any_step_leaves_old_or_new_whole, 0,
                            ARRAY_SIZE(failures));
        tcase_add_test(tc,
                       a_process_killed_at_any_step_leaves_old_or_new_whole_and_the_next_goes_on);
        tcase_add_loop_test(tc, a_folder_is_opened_only_where_it_can_be_trusted, 0,
                            ARRAY_SIZE(folders));
        tcase_add_test(tc, a_folder_is_made_with_its_parents_for_its_owner_alone);
        tcase_add_test(tc, a_lock_is_held_until_its_holder_is_gone_however_it_goes);
        tcase_add_test(tc, a_lock_is_not_taken_twice_by_one_process_either);
        tcase_add_test(tc, what_is_in_a_lock_that_nobody_holds_does_not_matter);
        tcase_add_test(tc, a_lock_is_no_link_and_no_folder);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
