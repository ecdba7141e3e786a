/*
 * Counts what a program does to files and sockets, and at the moment that is asked for kills it or has the call fail: preloaded into
 * cad, cad-signer and cactl by tests/torture/moments.py, which maps the same file.
 *
 * Only calls that change something on disk or send something are counted, of all threads together. The clock of the day can be set while
 * the program runs, too: libfaketime could do so by files only, which the signer's filter of system calls does not permit.
 */
#undef _FILE_OFFSET_BITS /* both names of each call are wanted */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What is shared with the test; one for each kind of program: cad-signer has the second. */
struct control {
        _Atomic int32_t armed;
        _Atomic int32_t fault;  /* an enum fault */
        _Atomic int64_t wanted; /* the moment, from 1 on; 0: only count */
        _Atomic int64_t seen;
        _Atomic int64_t ahead_s; /* how far the clock of the day is ahead */
};

enum fault {
        FAULT_KILL, /* SIGKILL before the call */
        FAULT_FULL, /* from there on, whatever needs room fails with ENOSPC */
        FAULT_IO,   /* this call alone fails with EIO */
};

/* What kind of call it is. */
enum kind {
        KIND_GROWS, /* needs room on disk */
        KIND_OTHER, /* changes what is there, or waits for the disk */
        KIND_SENDS, /* says something to another process: never fails here */
};

static struct control *control;

__attribute__((constructor)) static void map_control(void) {
        const char *path = getenv("MOMENTS");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *map;

        if (fd < 0)
                return;
        map = mmap(NULL, 2 * sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void) close(fd);
        if (map != MAP_FAILED)
                control = (struct control *) map +
                        (strcmp(program_invocation_short_name, "cad-signer") == 0);
}

/* Return: whether the call is to fail, with errno set. */
static int fails(enum kind kind) {
        int fault;
        int64_t now, wanted;

        if (!control || !atomic_load(&control->armed))
                return 0;
        fault = atomic_load(&control->fault);
        if (fault == FAULT_FULL ? kind != KIND_GROWS : fault == FAULT_IO && kind == KIND_SENDS)
                return 0;
        now = atomic_fetch_add(&control->seen, 1) + 1;
        wanted = atomic_load(&control->wanted);
        if (!wanted || (fault == FAULT_FULL ? now < wanted : now != wanted))
                return 0;
        if (fault == FAULT_KILL) {
                (void) kill(getpid(), SIGKILL);
                for (;;)
                        (void) pause();
        }
        errno = fault == FAULT_FULL ? ENOSPC : EIO;
        return 1;
}

/* One with a name: a memfd is no disk. */
static int is_file(int fd) {
        struct stat st;
        int saved = errno, rc = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 0;

        errno = saved;
        return rc;
}

#define NEXT(name, type) ((type) dlsym(RTLD_NEXT, name))

/* Calls of the same shape: what they return, their name, kind, condition, arguments and what is handed on. */
#define CALL(type, name, kind, when, args, ...) \
        type name args { \
                static type(*next) args; \
                if (!next) \
                        next = NEXT(#name, type(*) args); \
                return (when) && fails(kind) ? -1 : next(__VA_ARGS__); \
        }

CALL(ssize_t, write, is_file(fd) ? KIND_GROWS : KIND_SENDS, 1,
     (int fd, const void *data, size_t size), fd, data, size)
CALL(ssize_t, writev, is_file(fd) ? KIND_GROWS : KIND_SENDS, 1,
     (int fd, const struct iovec *parts, int count), fd, parts, count)
CALL(ssize_t, pwrite, KIND_GROWS, is_file(fd), (int fd, const void *data, size_t size, off_t at),
     fd, data, size, at)
CALL(ssize_t, pwrite64, KIND_GROWS, is_file(fd),
     (int fd, const void *data, size_t size, off64_t at), fd, data, size, at)
CALL(ssize_t, send, KIND_SENDS, 1, (int fd, const void *data, size_t size, int flags), fd, data,
     size, flags)
CALL(ssize_t, sendmsg, KIND_SENDS, 1, (int fd, const struct msghdr *message, int flags), fd,
     message, flags)
CALL(int, fsync, KIND_OTHER, 1, (int fd), fd)
CALL(int, fdatasync, KIND_OTHER, 1, (int fd), fd)
CALL(int, ftruncate, KIND_GROWS, is_file(fd), (int fd, off_t size), fd, size)
CALL(int, ftruncate64, KIND_GROWS, is_file(fd), (int fd, off64_t size), fd, size)
CALL(int, fallocate, KIND_GROWS, is_file(fd), (int fd, int mode, off_t at, off_t size), fd, mode,
     at, size)
CALL(int, rename, KIND_OTHER, 1, (const char *from, const char *to), from, to)
CALL(int, renameat, KIND_OTHER, 1, (int a, const char *from, int b, const char *to), a, from, b, to)
CALL(int, renameat2, KIND_OTHER, 1,
     (int a, const char *from, int b, const char *to, unsigned flags), a, from, b, to, flags)
CALL(int, linkat, KIND_GROWS, 1, (int a, const char *from, int b, const char *to, int flags), a,
     from, b, to, flags)
CALL(int, symlinkat, KIND_GROWS, 1, (const char *to, int fd, const char *path), to, fd, path)
CALL(int, unlink, KIND_OTHER, 1, (const char *path), path)
CALL(int, unlinkat, KIND_OTHER, 1, (int fd, const char *path, int flags), fd, path, flags)
CALL(int, mkdir, KIND_GROWS, 1, (const char *path, mode_t mode), path, mode)
CALL(int, mkdirat, KIND_GROWS, 1, (int fd, const char *path, mode_t mode), fd, path, mode)

static mode_t mode_of(int flags, va_list more) {
        return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
        va_list more;
        mode_t mode;

        va_start(more, flags);
        mode = mode_of(flags, more);
        va_end(more);
        return openat(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
        va_list more;
        mode_t mode;

        va_start(more, flags);
        mode = mode_of(flags, more);
        va_end(more);
        return openat(AT_FDCWD, path, flags, mode);
}

int openat64(int fd, const char *path, int flags, ...) {
        va_list more;
        mode_t mode;

        va_start(more, flags);
        mode = mode_of(flags, more);
        va_end(more);
        return openat(fd, path, flags, mode);
}

int openat(int fd, const char *path, int flags, ...) {
        static int (*next)(int, const char *, int, ...);
        va_list more;
        mode_t mode;

        if (!next)
                next = NEXT("openat", int (*)(int, const char *, int, ...));
        va_start(more, flags);
        mode = mode_of(flags, more);
        va_end(more);
        return (flags & (O_CREAT | O_TRUNC)) && fails(KIND_GROWS) ? -1
                                                                  : next(fd, path, flags, mode);
}

/* ---- the clock ---- */

static int64_t ahead_s(void) {
        return control ? atomic_load(&control->ahead_s) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret) {
        static int (*next)(clockid_t, struct timespec *);
        int rc;

        if (!next)
                next = NEXT("clock_gettime", int (*)(clockid_t, struct timespec *));
        rc = next(clock, ret);
        if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                ret->tv_sec += ahead_s();
        return rc;
}

time_t time(time_t *ret) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}

int gettimeofday(struct timeval *ret, void *zone) {
        struct timespec now;

        (void) zone;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        *ret = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
        return 0;
}
