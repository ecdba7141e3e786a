/*
 * The sandbox: what a stage forbids ends the process, what it needs goes on.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/signer/sandbox.h"
#include "lib/base/bytes.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
        __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

static int pair[2];

static void do_open(void) {
        (void) !open("/dev/null", O_RDONLY | O_CLOEXEC);
}
static void do_sysinfo(void) {
        struct sysinfo info;

        (void) !sysinfo(&info);
}
static void do_create(void) {
        (void) !open("/tmp/cad-unit-must-not-be", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}
static void do_exec(void) {
        (void) execl("/bin/true", "true", (char *) NULL);
}
static void do_fork(void) {
        (void) !fork();
}
static void do_socket(void) {
        (void) !socket(AF_INET, SOCK_STREAM, 0);
}
static void do_unix_socket(void) {
        (void) !socket(AF_UNIX, SOCK_STREAM, 0);
}
static void do_connect(void) {
        (void) !connect(pair[0], &(struct sockaddr){ .sa_family = AF_UNIX },
                        sizeof(struct sockaddr));
}
static void do_bind(void) {
        (void) !bind(pair[0], &(struct sockaddr){ .sa_family = AF_UNIX }, sizeof(struct sockaddr));
}
static void do_ptrace(void) {
        (void) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static void do_read_others(void) {
        (void) syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}
static void do_rename(void) {
        (void) rename("/nonexistent/a", "/nonexistent/b");
}
static void do_unlink(void) {
        (void) unlink("/nonexistent/a");
}
static void do_mount(void) {
        (void) syscall(SYS_mount, "a", "/nonexistent", "tmpfs", 0UL, NULL);
}
static void do_setuid(void) {
        (void) !setuid(getuid());
}
static void do_kill(void) {
        (void) kill(getppid(), 0);
}
static void do_chmod(void) {
        (void) chmod("/nonexistent/a", 0777);
}
static void do_link(void) {
        (void) !symlink("/nonexistent/a", "/nonexistent/b");
}
static void do_io_uring(void) {
        (void) syscall(SYS_io_uring_setup, 1, NULL);
}
static void do_bpf(void) {
        (void) syscall(SYS_bpf, 0, NULL, 0);
}
static void do_clock(void) {
        (void) syscall(SYS_clock_settime, 0, NULL);
}
static void do_map_code(void) {
        (void) mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0);
}
static void do_make_code(void) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        (void) mprotect(p, 4096, PROT_READ | PROT_EXEC);
}
static void do_memfd_exec(void) {
        (void) syscall(SYS_memfd_create, "x", 0);
}

static void do_crl(void) {
        int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        char octet = 'x';

        if (fd < 0 || write(fd, &octet, 1) != 1 || pwrite(fd, &octet, 1, 1) != 1 ||
            pread(fd, &octet, 1, 1) != 1 || ftruncate(fd, 1) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 || fcntl(fd, F_GET_SEALS) != F_SEAL_WRITE)
                _exit(3);
        (void) close(fd);
}

static void do_work(void) {
        uint8_t octets[64];
        void *p;

        (void) gnutls_rnd(GNUTLS_RND_NONCE, octets, sizeof(octets));
        p = malloc(1 << 20);
        free(p);
        if (send(pair[0], octets, sizeof(octets), MSG_DONTWAIT) != (ssize_t) sizeof(octets) ||
            recv(pair[1], octets, sizeof(octets), 0) != (ssize_t) sizeof(octets) ||
            write(pair[0], octets, 1) != 1 || read(pair[1], octets, sizeof(octets)) != 1)
                _exit(3);
}

static void do_keeping(void) {
        int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
                _exit(3);
        (void) close(fd);
        (void) rename("/nonexistent/a", "/nonexistent/b");
}

enum fate {
        LIVES,
        DIES,
};

static const struct {
        const char *what;
        void (*call)(void);
        enum fate process, signing;
        enum fate crl; /* as a signing thread, but for what is there for CRLs */
} calls[] = {
        { "signing, answering, logging", do_work, LIVES, LIVES, LIVES },
        { "a file in memory, sealed", do_crl, LIVES, DIES, LIVES },
        { "looking after log and mark", do_keeping, LIVES, DIES, DIES },
        { "opening a file", do_open, LIVES, DIES, DIES },
        { "what qsort asks before it sorts much", do_sysinfo, LIVES, DIES, DIES },
        { "making a file", do_create, LIVES, DIES, DIES },
        { "renaming", do_rename, LIVES, DIES, DIES },
        { "running a program", do_exec, DIES, DIES, DIES },
        { "forking", do_fork, LIVES, DIES, DIES },
        { "a network socket", do_socket, DIES, DIES, DIES },
        { "a Unix socket", do_unix_socket, DIES, DIES, DIES },
        { "connecting", do_connect, DIES, DIES, DIES },
        { "binding", do_bind, DIES, DIES, DIES },
        { "tracing", do_ptrace, DIES, DIES, DIES },
        { "another's memory", do_read_others, DIES, DIES, DIES },
        { "unlink(2)", do_unlink, DIES, DIES, DIES },
        { "mounting", do_mount, DIES, DIES, DIES },
        { "another user", do_setuid, DIES, DIES, DIES },
        { "a signal to another", do_kill, DIES, DIES, DIES },
        { "modes by path", do_chmod, DIES, DIES, DIES },
        { "links", do_link, DIES, DIES, DIES },
        { "io_uring", do_io_uring, DIES, DIES, DIES },
        { "bpf", do_bpf, DIES, DIES, DIES },
        { "setting the clock", do_clock, DIES, DIES, DIES },
        { "a program in memory", do_memfd_exec, DIES, DIES, DIES },
        { "mapping code", do_map_code, DIES, DIES, DIES },
        { "making code", do_make_code, DIES, DIES, DIES },
};

/* Enter up to @stage in a child and call. Return: its wait status */
static int in_child(enum sandbox_stage stage, void (*call)(void)) {
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
                struct error err = { 0 };

                if (sandbox_prepare(&err) < 0 || sandbox_enter(SANDBOX_PROCESS, &err) < 0 ||
                    (stage != SANDBOX_PROCESS && sandbox_enter(stage, &err) < 0))
                        _exit(2);
                call();
                _exit(0);
        }
        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        return status;
}

static void check_fate(int status, enum fate fate, const char *stage, const char *what) {
#ifdef SANITIZED
        fate = LIVES; /* no filters then: all that is seen is that nothing else goes wrong */
        if (WIFEXITED(status) && WEXITSTATUS(status) != 2)
                return;
#endif
        if (fate == LIVES)
                ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: %s: status %x",
                              stage, what, (unsigned) status);
        else
                ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
                              "%s: %s: status %x", stage, what, (unsigned) status);
}

START_TEST(what_a_stage_forbids_ends_the_process) {
        check_fate(in_child(SANDBOX_PROCESS, calls[_i].call), calls[_i].process, "process",
                   calls[_i].what);
        check_fate(in_child(SANDBOX_SIGNING, calls[_i].call), calls[_i].signing, "signing",
                   calls[_i].what);
        check_fate(in_child(SANDBOX_CRL, calls[_i].call), calls[_i].crl, "crl", calls[_i].what);
        ck_assert_int_eq(access("/tmp/cad-unit-must-not-be", F_OK) == 0,
                         unlink("/tmp/cad-unit-must-not-be") == 0);
}
END_TEST

/* ---- threads ---- */

static void *open_in_thread(void *argument) {
        (void) argument;
        do_open();
        return NULL;
}

static void *enter_and_end(void *argument) {
        struct error err = { 0 };
        void *p = malloc(100);

        (void) argument;
        if (sandbox_enter(SANDBOX_SIGNING, &err) < 0)
                _exit(2);
        free(p);
        return NULL;
}

static void do_other_thread_opens(void) {
        pthread_t one, two;

        if (pthread_create(&one, NULL, enter_and_end, NULL) != 0 || pthread_join(one, NULL) != 0 ||
            pthread_create(&two, NULL, open_in_thread, NULL) != 0 || pthread_join(two, NULL) != 0)
                _exit(3);
}

START_TEST(a_signing_thread_binds_itself_alone_and_ends_well) {
        check_fate(in_child(SANDBOX_PROCESS, do_other_thread_opens), LIVES, "process", "threads");
}
END_TEST

/* ---- before, and around ---- */

START_TEST(no_cores_and_no_new_privileges) {
        struct error err = { 0 };
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
                struct rlimit core = { 1, 1 };

                _exit(sandbox_prepare(&err) == 0 && getrlimit(RLIMIT_CORE, &core) == 0 &&
                                      core.rlim_max == 0 &&
                                      prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
                                      prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
                              ? 0
                              : 1);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
}
END_TEST

#ifndef SANITIZED
/* A filter of whoever started us: everything but @number, for which it does @action. */
static void outer_filter(int number, uint32_t action) {
        struct sock_filter rules[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) number, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, action),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ARRAY_SIZE(rules), .filter = rules };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                _exit(4);
}

static int under_filter(int number, uint32_t action, void (*call)(void)) {
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
                struct error err = { 0 };

                outer_filter(number, action);
                if (sandbox_prepare(&err) < 0 || sandbox_enter(SANDBOX_PROCESS, &err) < 0 ||
                    sandbox_enter(SANDBOX_SIGNING, &err) < 0)
                        _exit(2);
                call();
                _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        return status;
}

START_TEST(a_service_managers_filter_that_forbids_ours_is_lived_with) {
        check_fate(under_filter(SYS_seccomp, SECCOMP_RET_KILL_PROCESS, do_work), LIVES, "kills",
                   "seccomp(2)");
        check_fate(under_filter(SYS_seccomp, SECCOMP_RET_ERRNO | EPERM, do_work), LIVES, "EPERM",
                   "seccomp(2)");
        check_fate(under_filter(SYS_seccomp, SECCOMP_RET_KILL_PROCESS, do_open), LIVES,
                   "then ours is not there", "open");
}
END_TEST

START_TEST(a_containers_filter_that_allows_ours_gets_it_on_top) {
        check_fate(under_filter(SYS_reboot, SECCOMP_RET_KILL_PROCESS, do_work), LIVES, "container",
                   "work");
        check_fate(under_filter(SYS_reboot, SECCOMP_RET_KILL_PROCESS, do_open), DIES, "container",
                   "open");
}
END_TEST
#endif

int main(void) {
        Suite *suite = suite_create("sandbox");
        TCase *tc = tcase_create("sandbox");

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return EXIT_FAILURE;
        tcase_add_loop_test(tc, what_a_stage_forbids_ends_the_process, 0, ARRAY_SIZE(calls));
        tcase_add_test(tc, a_signing_thread_binds_itself_alone_and_ends_well);
        tcase_add_test(tc, no_cores_and_no_new_privileges);
#ifndef SANITIZED
        tcase_add_test(tc, a_service_managers_filter_that_forbids_ours_is_lived_with);
        tcase_add_test(tc, a_containers_filter_that_allows_ours_gets_it_on_top);
#endif
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
