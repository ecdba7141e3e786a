/*
 * Running programs: see run.h. What a program left running in the background keeps open is not waited for.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/moment.h"

#define LOOK_EVERY_MS 50

bool run_find(const char *name, const char *path, char *out) {
        if (strchr(name, '/'))
                return snprintf(out, RUN_PATH_MAX, "%s", name) < RUN_PATH_MAX &&
                        access(out, X_OK) == 0;
        for (size_t size; *path; path += size + (path[size] == ':')) {
                size = strcspn(path, ":");
                if (snprintf(out, RUN_PATH_MAX, "%.*s/%s", (int) size, path, name) < RUN_PATH_MAX &&
                    access(out, X_OK) == 0)
                        return true;
        }
        return false;
}

/* Ours behind theirs: the first of two counts for getenv(). */
static char **make_environment(const char *const more[]) {
        size_t ours = 0, theirs = 0;
        char **all;

        while (environ && environ[ours])
                ours++;
        while (more && more[theirs])
                theirs++;
        all = calloc(ours + theirs + 1, sizeof(*all));
        for (size_t i = 0; all && i < theirs; i++)
                all[i] = (char *) (uintptr_t) more[i];
        for (size_t i = 0; all && i < ours; i++)
                all[theirs + i] = environ[i];
        return all;
}

static int start(char *const argv[], const char *const more[], int output, pid_t *ret) {
        char **environment = make_environment(more);
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t defaults;
        int error;

        if (!environment)
                return ENOMEM;
        (void) posix_spawn_file_actions_init(&actions);
        (void) posix_spawnattr_init(&attributes);
        (void) posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        (void) posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
        (void) posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
        (void) sigemptyset(&defaults);
        (void) sigaddset(&defaults, SIGPIPE); /* cactl ignores it */
        (void) posix_spawnattr_setsigdefault(&attributes, &defaults);
        (void) posix_spawnattr_setpgroup(&attributes, 0);
        (void) posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
        error = posix_spawnp(ret, argv[0], &actions, &attributes, argv, environment);
        (void) posix_spawn_file_actions_destroy(&actions);
        (void) posix_spawnattr_destroy(&attributes);
        free(environment);
        return error;
}

/* What is there now. Return: whether more may come */
static bool take_output(int fd, struct buffer *out, size_t start_size) {
        char part[4096];
        ssize_t n;

        while ((n = read(fd, part, sizeof(part))) > 0) {
                size_t room = RUN_OUTPUT_MAX - (out->size - start_size);

                buffer_append(out, BYTES(part, (size_t) n < room ? (size_t) n : room));
        }
        return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static int judge(const char *name, int status, unsigned timeout_s, bool late, struct error *err) {
        if (late)
                return error_set(err, ERR_IO, "%s was not done after %u s and was stopped", name,
                                 timeout_s);
        if (WIFSIGNALED(status))
                return error_set(err, ERR_IO, "%s was ended by signal %d", name, WTERMSIG(status));
        if (WEXITSTATUS(status) == 0)
                return 0;
        return error_set(err, ERR_IO, "%s ended with exit status %d", name, WEXITSTATUS(status));
}

static int watch(pid_t pid, const char *name, int fd, unsigned timeout_s, struct buffer *out,
                 struct error *err) {
        int64_t until_ms = moment_monotonic_ms() + (int64_t) timeout_s * 1000;
        struct pollfd output = { .fd = fd, .events = POLLIN };
        size_t start_size = out->size;
        bool late = false;
        int status = 0;

        while (waitpid(pid, &status, late ? 0 : WNOHANG) == 0) {
                (void) poll(&output, 1, LOOK_EVERY_MS);
                if (output.fd >= 0 && !take_output(fd, out, start_size))
                        output.fd = -1; /* closed: only wait */
                late = moment_monotonic_ms() > until_ms;
                if (late)
                        (void) kill(-pid, SIGKILL);
        }
        (void) take_output(fd, out, start_size);
        return judge(name, status, timeout_s, late, err);
}

/* With a pipe for its output. Return: the end to read from, or -1 */
static int start_with_pipe(char *const argv[], const char *const more[], pid_t *ret,
                           struct error *err) {
        CAD_AUTO(fd_close) int reader = -1;
        CAD_AUTO(fd_close) int writer = -1;
        int pipes[2], error;

        if (pipe2(pipes, O_CLOEXEC) < 0)
                return error_errno(err, errno, "cannot make a pipe");
        reader = pipes[0];
        writer = pipes[1];
        (void) fcntl(reader, F_SETFL, O_NONBLOCK);
        error = start(argv, more, writer, ret);
        if (error)
                return error_set(err, ERR_NOT_FOUND, "%s cannot be started: %s", argv[0],
                                 strerror(error));
        return CAD_TAKE_FD(reader);
}

int run_program(char *const argv[], const char *const more[], unsigned timeout_s,
                struct buffer *ret_output, struct error *err) {
        pid_t pid = -1;
        CAD_AUTO(fd_close) int reader = start_with_pipe(argv, more, &pid, err);

        return reader < 0 ? -1 : watch(pid, argv[0], reader, timeout_s, ret_output, err);
}
