/*
 * The supervisor: one child, one socketpair, a pulse. Everything it does happens on the main thread.
 */
#include "daemon/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define SIGNER_FD 3              /* where the signer finds its socket */
#define HELLO_FIRST_MS 120000    /* it may make RSA keys and open encrypted ones */
#define HELLO_AGAIN_MS 5000
#define PULSE_TIMEOUT_MS 1000
#define PULSES_MISSED_MAX 2      /* then it hangs: it is killed */
#define BACKOFF_MAX_MS 30000
#define END_TIMEOUT_MS 2000

struct supervisor {
        struct authority *authority;
        char program[4096];
        char *state_dir, *store_path, *config_dir, *passphrase_file;
        pid_t pid; /* 0: not running */
        unsigned missed;
        int64_t backoff_ms, next_start_ms, pulse_ms;
};

int signer_program(char *out, size_t size, struct error *err) {
        ssize_t n = readlink("/proc/self/exe", out, size - 1);
        char *slash;

        if (n < 0)
                return error_errno(err, errno, "cannot find out where cad itself is");
        out[n] = '\0';
        slash = strrchr(out, '/');
        if (!slash || (size_t) (slash - out) + sizeof("/cad-signer") > size)
                return error_set(err, ERR_IO, "cannot find cad-signer beside %s", out);
        (void) strcpy(slash, "/cad-signer");
        if (access(out, X_OK) < 0)
                return error_errno(err, errno, "cannot run %s", out);
        return 0;
}

/* Signals that cad has blocked or ignores are given back to the signer as they were. */
static int spawn_signer(struct supervisor *s, int fd, struct error *err) {
        const char *argv[16] = { s->program, "serve", "--state-dir", s->state_dir, "--store", s->store_path, "--socket-fd", "3" };
        size_t argc = 8;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, restored;
        int rc;

        if (s->config_dir) {
                argv[argc++] = "--config-dir";
                argv[argc++] = s->config_dir;
        }
        if (s->passphrase_file) {
                argv[argc++] = "--passphrase-file";
                argv[argc++] = s->passphrase_file;
        }
        (void) sigemptyset(&none);
        (void) sigemptyset(&restored);
        (void) sigaddset(&restored, SIGPIPE);
        (void) posix_spawn_file_actions_init(&actions);
        (void) posix_spawn_file_actions_adddup2(&actions, fd, SIGNER_FD);
        (void) posix_spawn_file_actions_addclosefrom_np(&actions, SIGNER_FD + 1);
        (void) posix_spawnattr_init(&attributes);
        (void) posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        (void) posix_spawnattr_setsigmask(&attributes, &none);
        (void) posix_spawnattr_setsigdefault(&attributes, &restored);
        rc = posix_spawn(&s->pid, s->program, &actions, &attributes, (char *const *) (uintptr_t) argv, environ);
        (void) posix_spawnattr_destroy(&attributes);
        (void) posix_spawn_file_actions_destroy(&actions);
        if (rc != 0) {
                s->pid = 0;
                return error_errno(err, rc, "cannot start %s", s->program);
        }
        return 0;
}

static int start(struct supervisor *s, int64_t hello_ms, struct error *err) {
        int pair[2];
        int rc;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(err, errno, "cannot make a socket for the signer");
        rc = spawn_signer(s, pair[1], err);
        (void) fd_close(pair[1]);
        if (rc < 0) {
                (void) fd_close(pair[0]);
                return -1;
        }
        s->missed = 0;
        return authority_attach_signer(s->authority, pair[0], hello_ms, err);
}

/* Return: whether the child has ended and was taken notice of */
static bool reap(struct supervisor *s) {
        int status;

        if (s->pid == 0 || waitpid(s->pid, &status, WNOHANG) != s->pid)
                return s->pid == 0;
        if (WIFSIGNALED(status))
                log_line(LOG_LEVEL_ERROR, "cad-signer (pid %d) was ended by signal %d", (int) s->pid, WTERMSIG(status));
        else
                log_line(LOG_LEVEL_ERROR, "cad-signer (pid %d) has ended with status %d", (int) s->pid, WEXITSTATUS(status));
        s->pid = 0;
        return true;
}

static void end(struct supervisor *s, int64_t patience_ms) {
        int64_t until = moment_monotonic_ms() + patience_ms;
        int status;

        authority_detach_signer(s->authority); /* it ends by itself when its socket is closed */
        while (s->pid && waitpid(s->pid, &status, WNOHANG) != s->pid) {
                if (moment_monotonic_ms() >= until)
                        (void) kill(s->pid, SIGKILL);
                (void) usleep(2000);
        }
        s->pid = 0;
}

static void start_again(struct supervisor *s) {
        struct error err = { 0 };

        if (moment_monotonic_ms() < s->next_start_ms)
                return;
        authority_detach_signer(s->authority);
        if (start(s, HELLO_AGAIN_MS, &err) == 0) {
                log_notice("cad-signer was started again (pid %d)", (int) s->pid);
                s->backoff_ms = 0;
                return;
        }
        log_error(LOG_LEVEL_ERROR, &err, "cannot start cad-signer again");
        end(s, 0);
        s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : 500;
        if (s->backoff_ms > BACKOFF_MAX_MS)
                s->backoff_ms = BACKOFF_MAX_MS;
        s->next_start_ms = moment_monotonic_ms() + s->backoff_ms;
}

void supervisor_pulse(struct supervisor *s) {
        struct sign_status status;
        struct error err = { 0 };

        if (reap(s)) {
                start_again(s);
                return;
        }
        if (authority_signer_status(s->authority, PULSE_TIMEOUT_MS, &status, &err) == 0) {
                s->missed = 0;
                return;
        }
        if (++s->missed < PULSES_MISSED_MAX)
                return;
        log_line(LOG_LEVEL_ERROR, "cad-signer (pid %d) does not answer: it is killed and started again", (int) s->pid);
        end(s, 0);
        start_again(s);
}

void supervisor_reload(struct supervisor *s) {
        if (s->pid)
                (void) kill(s->pid, SIGHUP);
}

static int copy(const char *text, char **ret, struct error *err) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? error_no_memory(err) : 0;
}

static int prepare(struct supervisor *s, const struct config *config, struct error *err) {
        if (asprintf(&s->state_dir, "%s/signer", config->state_dir) < 0 ||
            asprintf(&s->store_path, "%s/cad.db", config->state_dir) < 0)
                return error_no_memory(err);
        if (copy(config->config_dir, &s->config_dir, err) < 0 || copy(config->passphrase_file, &s->passphrase_file, err) < 0)
                return -1;
        return signer_program(s->program, sizeof(s->program), err);
}

int supervisor_start(const struct config *config, struct authority *authority, struct supervisor **ret, struct error *err) {
        CAD_AUTO(supervisor_free) struct supervisor *s = calloc(1, sizeof(*s));

        if (!s)
                return error_no_memory(err);
        s->authority = authority;
        if (prepare(s, config, err) < 0 || start(s, HELLO_FIRST_MS, err) < 0)
                return -1;
        *ret = CAD_TAKE(s);
        return 0;
}

struct supervisor *supervisor_free(struct supervisor *s) {
        if (!s)
                return NULL;
        end(s, END_TIMEOUT_MS);
        free(s->state_dir);
        free(s->store_path);
        free(s->config_dir);
        free(s->passphrase_file);
        free(s);
        return NULL;
}
