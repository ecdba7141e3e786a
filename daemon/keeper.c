/*
 * The keeper and cad's end of it. Fixed-size messages over a socketpair; a message that is none ends the connection.
 */
#include "daemon/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"

enum order {
        ORDER_START,
        ORDER_ENDED,
        ORDER_SIGNAL,
};

struct keeper_order {
        int32_t order;
        int32_t signal; /* SIGHUP or SIGKILL */
};

struct keeper_answer {
        int32_t ok;
        int32_t pid;
        int32_t status;
        char text[256];
};

/* ---- cad's end ---- */

static bool exchange_order(int fd, const struct keeper_order *order, struct keeper_answer *ret,
                           int *ret_fd) {
        union {
                char room[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control;
        struct iovec part = { ret, sizeof(*ret) };
        struct msghdr message = { .msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = sizeof(control) };
        const struct cmsghdr *c;

        if (send(fd, order, sizeof(*order), MSG_NOSIGNAL) != (ssize_t) sizeof(*order) ||
            recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != (ssize_t) sizeof(*ret))
                return false;
        c = CMSG_FIRSTHDR(&message);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof(int))) {
                int received;

                memcpy(&received, CMSG_DATA(c), sizeof(received));
                if (ret_fd)
                        *ret_fd = received;
                else
                        (void) fd_close(received);
        }
        return true;
}

static pid_t keeper_start(struct launcher *l, int *ret_fd, struct error *err) {
        const struct keeper_order order = { .order = ORDER_START };
        struct keeper_answer answer = { 0 };

        *ret_fd = -1;
        if (!exchange_order(l->keeper_fd, &order, &answer, ret_fd))
                return error_set(err, ERR_SIGNER_UNAVAILABLE,
                                 "the keeper, which starts the signer, is gone: restart cad");
        answer.text[sizeof(answer.text) - 1] = '\0';
        if (!answer.ok || *ret_fd < 0)
                return error_set(err, ERR_SIGNER_UNAVAILABLE, "%s", answer.text);
        return answer.pid;
}

static bool keeper_ended(struct launcher *l, pid_t pid, int *ret_status) {
        const struct keeper_order order = { .order = ORDER_ENDED };
        struct keeper_answer answer = { 0 };

        (void) pid; /* the keeper has one child */
        if (!exchange_order(l->keeper_fd, &order, &answer, NULL))
                return true;
        *ret_status = answer.status;
        return answer.ok;
}

static void keeper_send(struct launcher *l, pid_t pid, int signal) {
        const struct keeper_order order = { .order = ORDER_SIGNAL, .signal = signal };
        struct keeper_answer answer;

        (void) pid;
        (void) exchange_order(l->keeper_fd, &order, &answer, NULL);
}

/* ---- the keeper ---- */

struct keeper {
        struct launcher direct;
        int fd, signal_fd;
        pid_t cad, signer;
        int signer_status;
        bool signer_ended;
};

static void send_answer(struct keeper *k, const struct keeper_answer *answer, int fd) {
        union {
                char room[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec part = { (void *) (uintptr_t) answer, sizeof(*answer) };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

        if (fd >= 0) {
                struct cmsghdr *c;

                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
                c = CMSG_FIRSTHDR(&message);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &fd, sizeof(fd));
        }
        (void) sendmsg(k->fd, &message, MSG_NOSIGNAL);
}

static void on_start(struct keeper *k) {
        struct keeper_answer answer = { 0 };
        struct error err = { 0 };
        int fd = -1;

        if (k->signer > 0 && !k->signer_ended)
                (void) error_set(&err, ERR_STATE_CONFLICT, "the signer is still running");
        else
                k->signer = k->direct.start(&k->direct, &fd, &err);
        if (err.code == ERR_NONE) {
                k->signer_ended = false;
                answer.ok = 1;
                answer.pid = k->signer;
        }
        (void) snprintf(answer.text, sizeof(answer.text), "%.250s", err.text);
        send_answer(k, &answer, fd);
        (void) fd_close(fd);
}

static void on_ended(struct keeper *k) {
        if (k->signer > 0 && !k->signer_ended)
                k->signer_ended = k->direct.ended(&k->direct, k->signer, &k->signer_status);
        send_answer(k,
                    &(struct keeper_answer){ .ok = k->signer <= 0 || k->signer_ended,
                                             .status = k->signer_status },
                    -1);
}

static void on_send(struct keeper *k, int signal) {
        if ((signal == SIGHUP || signal == SIGKILL) && k->signer > 0 && !k->signer_ended)
                k->direct.send(&k->direct, k->signer, signal);
        send_answer(k, &(struct keeper_answer){ .ok = 1 }, -1);
}

static bool on_order(struct keeper *k) {
        struct keeper_order order;

        if (recv(k->fd, &order, sizeof(order), 0) != (ssize_t) sizeof(order))
                return false;
        switch (order.order) {
        case ORDER_START:
                on_start(k);
                return true;
        case ORDER_ENDED:
                on_ended(k);
                return true;
        case ORDER_SIGNAL:
                on_send(k, order.signal);
                return true;
        default:
                return false;
        }
}

/* Signals to us are meant for cad: whoever started us knows no other pid. */
static void forward_signals(struct keeper *k) {
        struct signalfd_siginfo info;

        while (read(k->signal_fd, &info, sizeof(info)) == (ssize_t) sizeof(info))
                if (info.ssi_signo != SIGCHLD)
                        (void) kill(k->cad, (int) info.ssi_signo);
}

_Noreturn static void keep(struct keeper *k) {
        struct pollfd fds[] = { { .fd = k->fd, .events = POLLIN },
                                { .fd = k->signal_fd, .events = POLLIN } };
        int status = 0;

        while (waitpid(k->cad, &status, WNOHANG) != k->cad) {
                (void) poll(fds, ARRAY_SIZE(fds), 1000);
                if (fds[0].fd >= 0 && fds[0].revents && !on_order(k)) {
                        (void) kill(k->cad, SIGTERM); /* it speaks no more, or nonsense */
                        fds[0].fd = -1;
                }
                forward_signals(k);
        }
        if (k->signer > 0 && !k->signer_ended)
                (void) kill(k->signer,
                            SIGKILL); /* cad has ended it as it should by now, or could not */
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

/* ---- dropping ---- */

static int hand_over_file(int dir_fd, const char *name, uid_t uid, gid_t gid, struct error *err) {
        if (fchownat(dir_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, errno, "cannot give %s to the user that is to work with it",
                                   name);
        return 0;
}

/* A folder and what lies in it, two levels deep at most: STATE, or STATE/signer with its ca. Links are given, not followed. */
static int hand_over(int dir_fd, const char *path, const char *skip, uid_t uid, gid_t gid,
                     int depth, struct error *err) {
        CAD_AUTO(fd_close) int fd = folder_open(dir_fd, path, true, err);
        DIR *dir = fd < 0 ? NULL : fdopendir(dup(fd));
        int rc = fd < 0 ? -1 : 0;

        if (fd >= 0 && fchown(fd, uid, gid) < 0)
                rc = error_errno(err, errno, "cannot give %s to the user that is to work with it",
                                 path);
        for (struct dirent *e; rc == 0 && dir && (e = readdir(dir));) {
                if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                    (skip && strcmp(e->d_name, skip) == 0))
                        continue;
                rc = e->d_type == DT_DIR && depth > 0
                        ? hand_over(fd, e->d_name, NULL, uid, gid, depth - 1, err)
                        : hand_over_file(fd, e->d_name, uid, gid, err);
        }
        if (dir)
                (void) closedir(dir);
        return rc;
}

static int give_folders(const struct config *config, const struct launch_plan *plan, uid_t uid,
                        gid_t gid, struct error *err) {
        if (hand_over(AT_FDCWD, config->state_dir, "signer", uid, gid, 0, err) < 0 ||
            hand_over(AT_FDCWD, plan->state_dir, NULL, plan->uid, plan->gid, 1, err) < 0)
                return -1;
        if (chmod(config->state_dir, 0711) < 0) /* the signer passes through it to its own */
                return error_errno(err, errno, "cannot open %s for the signer to pass",
                                   config->state_dir);
        return 0;
}

static int drop_to(uid_t uid, gid_t gid, const struct config *config, struct error *err) {
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return error_errno(err, errno, "cannot become the user %s", KEEPER_USER);
        if (setuid(0) == 0)
                return error_set(err, ERR_INTERNAL,
                                 "root could be had again after it was given up");
        if (access(config->state_dir, W_OK | X_OK) < 0)
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "the user %s cannot reach %s: give a --state-dir whose parent folders it may enter, or start cad as another "
                        "user than root",
                        KEEPER_USER, config->state_dir);
        return 0;
}

static int make_signal_fd(void) {
        sigset_t set;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        (void) sigaddset(&set, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
        return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int keeper_begin(const struct config *config, struct launch_plan *plan, struct launcher *ret,
                 struct error *err) {
        const struct passwd *user;
        uid_t uid;
        gid_t gid;
        int pair[2];
        pid_t pid;

        if (geteuid() != 0 || !(user = getpwnam(KEEPER_USER)))
                return 0;
        uid = user->pw_uid;
        gid = user->pw_gid;
        user = getpwnam(KEEPER_SIGNER_USER);
        if (!user || user->pw_uid == 0 || uid == 0 || user->pw_uid == uid)
                return 0;
        plan->uid = user->pw_uid;
        plan->gid = user->pw_gid;
        if (give_folders(config, plan, uid, gid, err) < 0)
                return -1;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(err, errno, "cannot make a socket for the keeper");
        pid = fork();
        if (pid < 0)
                return error_errno(err, errno, "cannot start the keeper");
        if (pid > 0) {
                struct keeper keeper = { .direct = launcher_direct(plan),
                                         .fd = pair[0],
                                         .signal_fd = make_signal_fd(),
                                         .cad = pid };

                (void) fd_close(pair[1]);
                keep(&keeper);
        }
        (void) fd_close(pair[0]);
        *ret = (struct launcher){ .start = keeper_start,
                                  .ended = keeper_ended,
                                  .send = keeper_send,
                                  .keeper_fd = pair[1] };
        if (drop_to(uid, gid, config, err) < 0)
                return -1;
        /* after dropping: a change of user clears it */
        if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 || getppid() == 1)
                return error_set(err, ERR_STOPPING, "the keeper has ended");
        return 1;
}
