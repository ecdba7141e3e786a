/*
 * The supervisor: one signer, one socket, a pulse. Everything it does happens on the main thread.
 */
#include "daemon/supervise.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/authority/audit.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define HELLO_FIRST_MS 120000 /* it may make RSA keys and open encrypted ones */
#define HELLO_AGAIN_MS 5000
#define PULSE_TIMEOUT_MS 1000
#define PULSES_MISSED_MAX 2 /* then it hangs: it is killed */
#define BACKOFF_MAX_MS 30000
#define END_TIMEOUT_MS 2000

struct supervisor {
        struct authority *authority;
        struct launcher *launcher;
        pid_t pid; /* 0: not running */
        unsigned missed;
        int64_t backoff_ms, next_start_ms;
};

static int start(struct supervisor *s, int64_t hello_ms, struct error *err) {
        int fd;
        pid_t pid = s->launcher->start(s->launcher, &fd, err);

        if (pid < 0)
                return -1;
        s->pid = pid;
        s->missed = 0;
        return authority_attach_signer(s->authority, fd, hello_ms, err);
}

/* Return: whether the child has ended and was taken notice of */
static bool reap(struct supervisor *s) {
        int status = 0;

        if (s->pid == 0 || !s->launcher->ended(s->launcher, s->pid, &status))
                return s->pid == 0;
        if (WIFSIGNALED(status))
                log_line(LOG_LEVEL_ERROR, "cad-signer (pid %d) was ended by signal %d",
                         (int) s->pid, WTERMSIG(status));
        else
                log_line(LOG_LEVEL_ERROR, "cad-signer (pid %d) has ended with status %d",
                         (int) s->pid, WEXITSTATUS(status));
        audit_system(s->authority, "signer.lost", NULL, NULL, "cad-signer has ended");
        s->pid = 0;
        return true;
}

static void end(struct supervisor *s, int64_t patience_ms) {
        int64_t until = moment_monotonic_ms() + patience_ms;
        int status = 0;

        authority_detach_signer(s->authority); /* it ends by itself when its socket is closed */
        while (s->pid && !s->launcher->ended(s->launcher, s->pid, &status)) {
                if (moment_monotonic_ms() >= until)
                        s->launcher->send(s->launcher, s->pid, SIGKILL);
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
                audit_system(s->authority, "signer.start", NULL, NULL,
                             "cad-signer was started again");
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
        log_line(LOG_LEVEL_ERROR,
                 "cad-signer (pid %d) does not answer: it is killed and started again",
                 (int) s->pid);
        audit_system(s->authority, "signer.lost", NULL, NULL, "cad-signer does not answer");
        end(s, 0);
        start_again(s);
}

void supervisor_reload(struct supervisor *s) {
        if (s->pid)
                s->launcher->send(s->launcher, s->pid, SIGHUP);
}

int supervisor_start(struct launcher *launcher, struct authority *authority,
                     struct supervisor **ret, struct error *err) {
        CAD_AUTO(supervisor_free) struct supervisor *s = calloc(1, sizeof(*s));

        if (!s)
                return error_no_memory(err);
        s->authority = authority;
        s->launcher = launcher;
        if (start(s, HELLO_FIRST_MS, err) < 0)
                return -1;
        *ret = CAD_TAKE(s);
        return 0;
}

struct supervisor *supervisor_free(struct supervisor *s) {
        if (!s)
                return NULL;
        end(s, END_TIMEOUT_MS);
        free(s);
        return NULL;
}
