/*
 * One process a home: see users.h. What it reports is data of that user, and is looked at as such.
 */
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inside.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

struct user {
        char name[TRUST_USER_MAX];
        char home[TRUST_WHERE_MAX]; /* the prefix included */
        uid_t uid;
        gid_t gid;
        bool drop; /* whether there are rights to give up */
};

/* ---- in the user's name ---- */

/* Return: whether nothing of root is left */
static bool drop_rights(const struct user *user) {
        if (setgroups(1, &user->gid) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
            setresuid(user->uid, user->uid, user->uid) < 0)
                return false;
        /* cannot be undone, or it was not done */
        return user->uid == 0 || (setuid(0) < 0 && getuid() == user->uid && getgid() == user->gid);
}

static void send_rows(int fd, const struct trust_rows *rows) {
        for (size_t i = 0; i < rows->count; i++)
                if (fd_write_all(fd, BYTES(&rows->items[i], sizeof(rows->items[i]))) < 0)
                        return;
}

/* No terminal either: what is run here could type into it. */
static _Noreturn void work_as(const struct user *user, const struct trust_job *job,
                              enum trust_kind kind, int report) {
        struct trust_job mine = *job;
        struct trust_rows rows = { 0 };
        struct error err = { 0 };

        (void) setsid();
        (void) umask(077);
        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (user->drop && !drop_rights(user))
                _exit(EXIT_FAILURE);
        (void) setenv("HOME", user->home, 1);
        mine.home = user->home;
        mine.until_ms = moment_monotonic_ms() + INT64_C(1000) * USERS_WORK_S;
        if (trust_work(&mine, kind, &rows, &err) < 0)
                _exit(EXIT_FAILURE);
        for (size_t i = 0; i < rows.count; i++)
                (void) snprintf(rows.items[i].user, sizeof(rows.items[i].user), "%s", user->name);
        send_rows(report, &rows);
        _exit(EXIT_SUCCESS);
}

/* ---- from outside ---- */

/* Whole rows that came are taken, with whatever a user may have put into them made harmless. */
static void take_row(struct trust_rows *ret, const struct trust_row *row, enum trust_kind kind) {
        struct trust_row *mine = trust_row_add(ret, kind);

        if (!mine)
                return;
        *mine = *row;
        mine->kind = kind;
        if ((unsigned) mine->state >= TRUST_STATE_COUNT)
                mine->state = TRUST_FAILED;
        if (mine->others_count > TRUST_OTHERS_MAX)
                mine->others_count = TRUST_OTHERS_MAX;
        mine->where[sizeof(mine->where) - 1] = '\0';
        mine->user[sizeof(mine->user) - 1] = '\0';
        mine->tool[sizeof(mine->tool) - 1] = '\0';
        mine->note[sizeof(mine->note) - 1] = '\0';
}

/* Return: whether its end came before @until_ms */
static bool read_rows(int fd, int64_t until_ms, struct trust_rows *ret, enum trust_kind kind) {
        struct trust_row row;
        size_t used = 0;

        for (;;) {
                int64_t left_ms = until_ms - moment_monotonic_ms();
                struct pollfd wait = { .fd = fd, .events = POLLIN };
                ssize_t n;

                if (left_ms <= 0)
                        return false;
                if (poll(&wait, 1, (int) left_ms) <= 0)
                        continue;
                n = read(fd, (char *) &row + used, sizeof(row) - used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return true;
                used += (size_t) n;
                if (used < sizeof(row))
                        continue;
                take_row(ret, &row, kind);
                used = 0;
        }
}

static void add_failure(struct trust_rows *ret, const struct user *user, enum trust_kind kind,
                        const char *what) {
        struct trust_row *row = trust_row_add(ret, kind);

        if (!row)
                return;
        (void) snprintf(row->where, sizeof(row->where), "%s", user->home);
        (void) snprintf(row->user, sizeof(row->user), "%s", user->name);
        trust_set(row, TRUST_FAILED, "%s", what);
}

static int work_in(const struct user *user, const struct trust_job *job, enum trust_kind kind,
                   struct trust_rows *ret, struct error *err) {
        CAD_AUTO(fd_close) int reader = -1;
        int ends[2], status = 0;
        bool ended;
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return error_errno(err, errno, "cannot make a pipe");
        reader = ends[0];
        (void) fflush(NULL);
        pid = fork();
        if (pid == 0)
                work_as(user, job, kind, ends[1]);
        (void) fd_close(ends[1]);
        if (pid < 0)
                return error_errno(err, errno, "cannot start a process");
        ended = read_rows(reader, moment_monotonic_ms() + INT64_C(1000) * USERS_TIMEOUT_S, ret,
                          kind);
        if (!ended)
                (void) kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                continue;
        if (!ended)
                add_failure(ret, user, kind, "this home does not answer: it was given up");
        else if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
                add_failure(ret, user, kind,
                            "the work in this home ended before its end: try again");
        return 0;
}

/* ---- who ---- */

static bool take_user(const struct trust_job *job, const struct passwd *entry, bool drop,
                      struct user *ret) {
        CAD_AUTO(fd_close) int fd = -1;
        struct stat st;
        int n;

        if (!entry->pw_dir || entry->pw_dir[0] != '/' || !entry->pw_dir[1])
                return false;
        *ret = (struct user){ .uid = entry->pw_uid, .gid = entry->pw_gid, .drop = drop };
        (void) snprintf(ret->name, sizeof(ret->name), "%s", entry->pw_name);
        n = snprintf(ret->home, sizeof(ret->home), "%s%s", job->prefix, entry->pw_dir);
        if (n < 0 || (size_t) n >= sizeof(ret->home))
                return false;
        /* a folder that is somebody else's is nobody's home */
        fd = inside_open(job, entry->pw_dir, O_PATH | O_DIRECTORY);
        return fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == ret->uid;
}

static bool is_known(const struct user *all, size_t count, const struct user *user) {
        for (size_t i = 0; i < count; i++)
                if (text_equal(all[i].home, user->home))
                        return true;
        return false;
}

/* Those of an image stand in its own file. */
static size_t list_users(const struct trust_job *job, struct user *all, bool root) {
        CAD_AUTO(fd_close) int fd = *job->prefix ? inside_open(job, "/etc/passwd", O_RDONLY) : -1;
        FILE *file = fd >= 0 ? fdopen(dup(fd), "re") : NULL;
        const struct passwd *entry;
        uid_t self = geteuid();
        size_t count = 0;

        if (*job->prefix && !file)
                return 0;
        while (count < USERS_MAX && (entry = file ? fgetpwent(file) : getpwent()))
                if ((entry->pw_uid == self || (root && !job->own_only)) &&
                    take_user(job, entry, root, &all[count]) && !is_known(all, count, &all[count]))
                        count++;
        if (file)
                (void) fclose(file);
        else
                endpwent();
        return count;
}

/* $HOME is where the caller's programs look, whatever the list of users says. Not root's: sudo may have left another's there. */
static size_t take_caller(const struct trust_job *job, struct user *ret) {
        const char *home = getenv("HOME");
        const struct passwd *entry = getpwuid(geteuid());

        *ret = (struct user){ .uid = geteuid(), .gid = getegid() };
        if (*job->prefix || !home || home[0] != '/' || strlen(home) >= sizeof(ret->home))
                return 0;
        (void) snprintf(ret->name, sizeof(ret->name), "%s", entry ? entry->pw_name : "");
        (void) snprintf(ret->home, sizeof(ret->home), "%s", home);
        return 1;
}

int users_work(const struct trust_job *job, enum trust_kind kind, struct trust_rows *ret,
               struct error *err) {
        struct user *all = calloc(USERS_MAX, sizeof(*all));
        bool root = geteuid() == 0;
        size_t count = 0;
        int rc = 0;

        if (!all)
                return error_no_memory(err);
        if (!root)
                count = take_caller(job, all);
        if (!count)
                count = list_users(job, all, root);
        for (size_t i = 0; i < count && rc == 0; i++)
                rc = work_in(&all[i], job, kind, ret, err);
        free(all);
        return rc;
}
