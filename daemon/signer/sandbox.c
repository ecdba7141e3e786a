/*
 * System-call filters as data: one list a stage. Nothing here may fail softly: a sandbox that could not be built
 * ends the signer before it serves.
 */
#include "daemon/signer/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
        __has_feature(memory_sanitizer)
#define UNDER_SANITIZER true
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER false
#endif

/* What a signing thread does: receive, compute, log, answer, wait. */
#define SIGNING_CALLS \
        SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), \
                SCMP_SYS(sendmsg), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(futex), \
                SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(getrandom), \
                SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), \
                SCMP_SYS(brk), SCMP_SYS(mprotect), SCMP_SYS(exit), SCMP_SYS(exit_group), \
                SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), \
                SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), \
                SCMP_SYS(sched_yield), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill), \
                SCMP_SYS(restart_syscall), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), \
                SCMP_SYS(ftruncate), SCMP_SYS(getuid), SCMP_SYS(geteuid)

/* The thread that makes CRLs besides: read entries at places, make a file in memory (with just these flags), write at places, seal. */
#define CRL_CALLS SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(memfd_create), SCMP_SYS(fcntl)

/* The main thread besides: sync and put aside the log, keep the mark, look at the kernel's clock, read profiles anew, start threads.
 * sysinfo is qsort's: it asks how much memory there is before it sorts a long list. */
#define PROCESS_CALLS \
        CRL_CALLS, SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(openat), SCMP_SYS(getdents64), \
                SCMP_SYS(fchmod), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(rename), \
                SCMP_SYS(unlinkat), SCMP_SYS(adjtimex), SCMP_SYS(clone), SCMP_SYS(clone3), \
                SCMP_SYS(prctl), SCMP_SYS(seccomp), SCMP_SYS(dup), SCMP_SYS(clock_adjtime), \
                SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(prlimit64), SCMP_SYS(sysinfo)

static const int signing_calls[] = { SIGNING_CALLS };
static const int crl_calls[] = { SIGNING_CALLS, CRL_CALLS };
static const int process_calls[] = { SIGNING_CALLS, PROCESS_CALLS };

static const struct {
        const int *calls;
        size_t count;
        bool all_threads;
} stages[] = {
        [SANDBOX_PROCESS] = { process_calls, ARRAY_SIZE(process_calls), true },
        [SANDBOX_SIGNING] = { signing_calls, ARRAY_SIZE(signing_calls), false },
        [SANDBOX_CRL] = { crl_calls, ARRAY_SIZE(crl_calls), false },
};

int sandbox_prepare(struct error *err) {
        const struct rlimit no_core = { 0, 0 };

        if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_errno(err, errno, "cannot lock the signer's process down");
        return 0;
}

/*
 * A filter of whoever started us may forbid seccomp(2), and kill who calls it. A child asks first. Where it does not come back well, the
 * filter that is there is the sandbox.
 */
static bool may_add_filters(void) {
        uint32_t action = SECCOMP_RET_KILL_PROCESS;
        int status = 0;
        pid_t child;

        if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0)
                return true;
        child = fork();
        if (child == 0)
                _exit(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0
                              ? EXIT_SUCCESS
                              : EXIT_FAILURE);
        return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                WEXITSTATUS(status) == EXIT_SUCCESS;
}

static bool running_under_valgrind(void) {
        const char *preload = getenv("LD_PRELOAD");

        return preload && (strstr(preload, "/valgrind/") || strstr(preload, "vgpreload"));
}

/* Memory may be had and protected, but nothing new becomes code. */
static int add_call(scmp_filter_ctx filter, int call) {
        if (call == SCMP_SYS(mmap) || call == SCMP_SYS(mprotect))
                return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (call == SCMP_SYS(memfd_create))
                return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                        SCMP_A1(SCMP_CMP_EQ, MFD_CLOEXEC | MFD_ALLOW_SEALING));
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
}

static int add_calls(scmp_filter_ctx filter, enum sandbox_stage stage) {
        for (size_t i = 0; i < stages[stage].count; i++) {
                int rc = add_call(filter, stages[stage].calls[i]);

                if (rc < 0 && rc != -EEXIST && rc != -EDOM)
                        return rc;
        }
        return 0;
}

int sandbox_enter(enum sandbox_stage stage, struct error *err) {
        static bool foreign; /* set by SANDBOX_PROCESS, before there are threads */
        scmp_filter_ctx filter;
        int rc;

        if (UNDER_SANITIZER || running_under_valgrind())
                return 0;
        if (stage == SANDBOX_PROCESS)
                foreign = !may_add_filters();
        if (foreign)
                return 0;
        filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        if (!filter)
                return error_no_memory(err);
        rc = stages[stage].all_threads ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : 0;
        if (rc == 0)
                rc = add_calls(filter, stage);
        if (rc == 0)
                rc = seccomp_load(filter);
        seccomp_release(filter);
        if (rc < 0)
                return error_set(err, ERR_INTERNAL,
                                 "cannot install the signer's system-call filter: %s",
                                 strerror(-rc));
        return 0;
}
