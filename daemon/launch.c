/*
 * cad-signer as a child of this process: exec'd, never only forked, with one socket and nothing else of ours.
 */
#include "daemon/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"

#define SIGNER_FD 3 /* where the signer finds its socket */
#define ARGS_MAX 24

int signer_program(char *out, size_t size, struct error *err) {
        ssize_t n = readlink("/proc/self/exe", out, size - 1);
        char *slash;

        if (n < 0)
                return error_errno(err, errno, "cannot find out where cad itself is");
        out[n] = '\0';
        slash = strrchr(out, '/');
        if (!slash || (size_t) (slash - out) + sizeof("/cad-signer") > size)
                return error_set(err, ERR_IO, "cannot find cad-signer beside %s", out);
        memcpy(slash, "/cad-signer", sizeof("/cad-signer"));
        if (access(out, X_OK) < 0)
                return error_errno(err, errno, "cannot run %s", out);
        return 0;
}

static int copy(const char *text, char **ret, struct error *err) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? error_no_memory(err) : 0;
}

void launch_plan_done(struct launch_plan *plan) {
        free(plan->state_dir);
        free(plan->store_path);
        free(plan->config_dir);
        free(plan->passphrase_file);
        free(plan->public_url);
        plan->public_url = NULL;
        plan->state_dir = plan->store_path = plan->config_dir = plan->passphrase_file = NULL;
}

int signer_state_dir(const struct config *config, char **ret, struct error *err) {
        int n = config->signer_dir ? asprintf(ret, "%s", config->signer_dir)
                                   : asprintf(ret, "%s/signer", config->state_dir);

        return n < 0 ? error_no_memory(err) : 0;
}

static int fill_plan(const struct config *config, struct launch_plan *plan, struct error *err) {
        if (signer_state_dir(config, &plan->state_dir, err) < 0)
                return -1;
        if (asprintf(&plan->store_path, "%s/cad.db", config->state_dir) < 0)
                return error_no_memory(err);
        if (copy(config->config_dir, &plan->config_dir, err) < 0 ||
            copy(config->passphrase_file, &plan->passphrase_file, err) < 0 ||
            copy(config->public_url, &plan->public_url, err) < 0)
                return -1;
        if (config->http_port)
                (void) snprintf(plan->http_port, sizeof(plan->http_port), "%u", config->http_port);
        return signer_program(plan->program, sizeof(plan->program), err);
}

int launch_plan_make(const struct config *config, struct launch_plan *ret, struct error *err) {
        *ret = (struct launch_plan){ .uid = (uid_t) -1, .gid = (gid_t) -1 };
        if (fill_plan(config, ret, err) == 0)
                return 0;
        launch_plan_done(ret);
        return -1;
}

static void fill_arguments(const struct launch_plan *plan, const char *argv[ARGS_MAX]) {
        size_t n = 0;

        argv[n++] = plan->program;
        argv[n++] = "serve";
        argv[n++] = "--state-dir";
        argv[n++] = plan->state_dir;
        argv[n++] = "--store";
        argv[n++] = plan->store_path;
        argv[n++] = "--socket-fd";
        argv[n++] = "3";
        if (plan->config_dir) {
                argv[n++] = "--config-dir";
                argv[n++] = plan->config_dir;
        }
        if (plan->passphrase_file) {
                argv[n++] = "--passphrase-file";
                argv[n++] = plan->passphrase_file;
        }
        if (plan->public_url) {
                argv[n++] = "--public-url";
                argv[n++] = plan->public_url;
        }
        if (plan->http_port[0]) {
                argv[n++] = "--http-port";
                argv[n++] = plan->http_port;
        }
        argv[n] = NULL;
}

/* In the child, where only async-signal-safe calls are allowed: other threads may have held any lock at the fork. */
static void become_signer(const struct launch_plan *plan, int fd, const char *const *argv) {
        sigset_t none;

        (void) sigemptyset(&none);
        (void) signal(SIGPIPE, SIG_DFL);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        if (fd == SIGNER_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, SIGNER_FD) < 0)
                _exit(EXIT_FAILURE);
        (void) close_range(SIGNER_FD + 1, ~0U, 0);
        if (plan->uid != (uid_t) -1 &&
            (setgroups(0, NULL) < 0 || setgid(plan->gid) < 0 || setuid(plan->uid) < 0))
                _exit(EXIT_FAILURE);
        (void) execv(plan->program, (char *const *) (uintptr_t) argv);
        _exit(EXIT_FAILURE);
}

static pid_t direct_start(struct launcher *l, int *ret_fd, struct error *err) {
        const char *argv[ARGS_MAX];
        int pair[2];
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(err, errno, "cannot make a socket for the signer");
        fill_arguments(l->plan, argv);
        pid = fork();
        if (pid == 0)
                become_signer(l->plan, pair[1], argv);
        (void) fd_close(pair[1]);
        if (pid < 0) {
                (void) fd_close(pair[0]);
                return error_errno(err, errno, "cannot start %s", l->plan->program);
        }
        *ret_fd = pair[0];
        return pid;
}

static bool direct_ended(struct launcher *l, pid_t pid, int *ret_status) {
        (void) l;
        return waitpid(pid, ret_status, WNOHANG) == pid;
}

static void direct_send(struct launcher *l, pid_t pid, int signal) {
        (void) l;
        (void) kill(pid, signal);
}

struct launcher launcher_direct(const struct launch_plan *plan) {
        return (struct launcher){ .start = direct_start,
                                  .ended = direct_ended,
                                  .send = direct_send,
                                  .plan = plan,
                                  .keeper_fd = -1,
                                  .connection_fd = -1 };
}
