/*
 * The signer's files, between a backup and the signer's folder: see restore_keys.h. It is cad-signer that reads and writes them, at the other end
 * of a pipe; what it says is believed as far as the root goes.
 */
#include "daemon/restore_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/backup_ca.h"
#include "daemon/launch.h"
#include "daemon/signer/bundle.h"
#include "lib/base/file.h"

/* @trial: the mask of signals that it is to have, in a trial; else NULL */
static pid_t run_signer(const struct restore_keys *keys, const char *command, int from, int to,
                        const sigset_t *trial, struct error *err) {
        const char *argv[8] = { "", command, "--state-dir", keys->signer_dir };
        char program[4096];
        size_t n = 4;
        pid_t pid;

        if (signer_program(program, sizeof(program), err) < 0)
                return -1;
        argv[0] = program;
        if (keys->passphrase_file) {
                argv[n++] = "--passphrase-file";
                argv[n++] = keys->passphrase_file;
        }
        if (trial)
                argv[n++] = "--check";
        pid = fork();
        if (pid == 0) {
                if ((from >= 0 && dup2(from, STDIN_FILENO) < 0) ||
                    (to >= 0 && dup2(to, STDOUT_FILENO) < 0))
                        _exit(EXIT_FAILURE);
                (void) close_range(STDERR_FILENO + 1, ~0U, 0);
                if (trial)
                        (void) sigprocmask(SIG_SETMASK, trial, NULL);
                (void) execv(program, (char *const *) (uintptr_t) argv);
                _exit(EXIT_FAILURE);
        }
        return pid < 0 ? error_errno(err, errno, "cannot run %s", program) : pid;
}

static void signals_that_wait(sigset_t *ret) {
        static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD };

        (void) sigemptyset(ret);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                (void) sigaddset(ret, signals[i]);
}

/* In a trial, who tells us to end ends cad-signer, and then us, when what it wrote was removed. */
static void await_signer(pid_t pid) {
        siginfo_t info = { 0 };
        sigset_t awaited;
        int signal;

        signals_that_wait(&awaited);
        while (waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == 0) {
                signal = sigwaitinfo(&awaited, NULL);
                if (signal < 0 || signal == SIGCHLD)
                        continue;
                (void) kill(pid, SIGKILL);
                (void) raise(signal); /* blocked: it waits */
                return;
        }
}

/* @said: what was wrong at this end. Where the pipe ended early, the signer has said why. */
static int end_signer(pid_t pid, const struct error *said, struct error *err) {
        bool ours = said->code != ERR_NONE && said->code != ERR_IO &&
                said->code != ERR_MESSAGE_MALFORMED;
        int status = 0;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return error_errno(err, errno, "cannot wait for cad-signer");
        if (!ours && !(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS))
                return error_set(err, ERR_IO, "cad-signer could not do it: it said why above");
        if (said->code == ERR_NONE)
                return 0;
        *err = *said;
        return -1;
}

static int take_keys(const struct restore_keys *keys, int fd, struct error *err) {
        for (;;) {
                CAD_AUTO(buffer_wipe) struct buffer content = { 0 };
                char name[BUNDLE_NAME_MAX];
                int rc = bundle_get(fd, name, &content, err);

                if (rc <= 0)
                        return rc;
                if (strcmp(name, BUNDLE_PREFIX CA_FOLDER "/root.crt") == 0 &&
                    backup_ca_is_root(buffer_bytes(&content), keys->ca_id, err) < 0)
                        return -1;
                if (backup_put(keys->backup, name, buffer_bytes(&content), err) < 0)
                        return -1;
        }
}

int restore_keys_export(const struct restore_keys *keys, struct error *err) {
        CAD_AUTO(fd_close) int from = -1;
        struct error said = { 0 };
        int pair[2];
        pid_t pid;
        int rc;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return error_errno(err, errno, "cannot make a pipe");
        from = pair[0];
        pid = run_signer(keys, "export", -1, pair[1], /* trial= */ NULL, err);
        (void) fd_close(pair[1]);
        if (pid < 0)
                return -1;
        rc = backup_begin(keys->backup, BUNDLE_PREFIX, &said) < 0 ? -1
                                                                  : take_keys(keys, from, &said);
        (void) fd_close(CAD_TAKE_FD(from));
        return end_signer(pid, &said, err) < 0 || rc < 0 ? -1 : backup_commit(keys->backup, err);
}

static int give_one(void *context, const char *name, struct bytes content, struct error *err) {
        if (!bundle_name_good(name))
                return 0;
        return bundle_put(*(const int *) context, name, content) < 0
                ? error_errno(err, errno, "cannot hand %s to cad-signer", name)
                : 0;
}

static int give_keys(const struct restore_keys *keys, const sigset_t *trial, struct error *err) {
        struct error said = { 0 };
        int pair[2], rc;
        pid_t pid;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return error_errno(err, errno, "cannot make a pipe");
        pid = run_signer(keys, "import", pair[0], -1, trial, err);
        (void) fd_close(pair[0]);
        if (pid < 0) {
                (void) fd_close(pair[1]);
                return -1;
        }
        rc = backup_each(keys->backup, give_one, &pair[1], &said);
        if (rc == 0 && bundle_put(pair[1], "", BYTES_NONE) < 0)
                rc = error_errno(&said, errno, "cannot hand the signer's files over");
        (void) fd_close(pair[1]);
        if (trial)
                await_signer(pid);
        return end_signer(pid, &said, err) < 0 || rc < 0 ? -1 : 0;
}

int restore_keys_import(const struct restore_keys *keys, struct error *err) {
        return give_keys(keys, /* trial= */ NULL, err);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        (void) remove(path);
        return 0;
}

/* Nothing of a key may stay: whoever is told to end does so when all is removed again. */
int restore_keys_try(const struct restore_keys *keys, struct error *err) {
        sigset_t wait, mask;
        int rc;

        signals_that_wait(&wait);
        (void) sigprocmask(SIG_BLOCK, &wait, &mask);
        rc = give_keys(keys, &mask, err);
        (void) nftw(keys->signer_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        (void) sigprocmask(SIG_SETMASK, &mask, NULL);
        return rc;
}
