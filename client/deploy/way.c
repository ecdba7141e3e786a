/*
 * Ways: see way.h. Each part is opened by its name in the folder before it, and looked at before it is gone through.
 */
#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/text.h"

#define LINKS_MAX 40 /* as Linux has it */
#define PART (O_PATH | O_NOFOLLOW | O_CLOEXEC)

struct way {
        const char *folder; /* as it was asked for */
        int fd;             /* where we are */
        char rest[PATH_MAX];
        unsigned links;
        bool is_led; /* by a link that is neither root's nor ours, but of */
        uid_t leader;
};

static void way_done(struct way *w) {
        w->fd = fd_close(w->fd);
}
CAD_CLEANUP_DONE(struct way, way_done)

static int cannot(const struct way *w, struct error *err) {
        if (errno == ENOENT)
                return error_set(err, ERR_NOT_FOUND, "the folder %s is not there", w->folder);
        return error_errno(err, errno, "cannot open the folder %s", w->folder);
}

static void go_to(struct way *w, int fd) {
        (void) fd_close(w->fd);
        w->fd = fd;
}

static int start(struct way *w, struct error *err) {
        int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return cannot(w, err);
        go_to(w, fd);
        return 0;
}

/* The next part of the way. Return: whether there is one */
static bool take_part(struct way *w, char out[NAME_MAX + 1]) {
        const char *part = w->rest + strspn(w->rest, "/");
        size_t size = strcspn(part, "/");

        if (size > NAME_MAX)
                size = NAME_MAX; /* openat() will not find it */
        memcpy(out, part, size);
        out[size] = '\0';
        memmove(w->rest, part + size, strlen(part + size) + 1);
        return size > 0;
}

static int check_leader(const struct way *w, const struct stat *there, struct error *err) {
        if (!w->is_led || there->st_uid == w->leader)
                return 0;
        return error_set(
                err, ERR_FILE_UNSAFE,
                "%s: a link that belongs to uid %u leads into a folder of uid %u: give the folder itself, or make the link as root",
                w->folder, (unsigned) w->leader, (unsigned) there->st_uid);
}

static int open_part(const struct way *w, const char *name, bool make, struct error *err) {
        int fd = openat(w->fd, name, PART);
        struct stat here;

        if (fd < 0 && errno == ENOENT && make) {
                if (fstat(w->fd, &here) < 0 || check_leader(w, &here, err) < 0)
                        return -1;
                if (folder_make(w->fd, name, 0755) < 0)
                        return error_errno(err, errno, "cannot make the folder %s", w->folder);
                fd = openat(w->fd, name, PART);
        }
        return fd < 0 ? cannot(w, err) : fd;
}

static int follow(struct way *w, int link_fd, uid_t owner, struct error *err) {
        char target[PATH_MAX], rest[PATH_MAX];
        ssize_t n = readlinkat(link_fd, "", target, sizeof(target) - 1);

        if (n < 0)
                return cannot(w, err);
        target[n] = '\0';
        if (++w->links > LINKS_MAX ||
            snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= (int) sizeof(rest))
                return error_set(err, ERR_FILE_UNSAFE, "%s leads through too many links",
                                 w->folder);
        memcpy(w->rest, rest, sizeof(rest));
        if (owner != 0 && owner != geteuid()) {
                if (w->is_led && w->leader != owner)
                        return error_set(
                                err, ERR_FILE_UNSAFE,
                                "%s: links of uid %u and of uid %u are on the way: give the folder itself",
                                w->folder, (unsigned) w->leader, (unsigned) owner);
                w->is_led = true;
                w->leader = owner;
        }
        return *target == '/' ? start(w, err) : 0;
}

static int step(struct way *w, const char *name, bool make, struct error *err) {
        CAD_AUTO(fd_close) int fd = open_part(w, name, make, err);
        struct stat st;

        if (fd < 0)
                return -1;
        if (fstat(fd, &st) < 0)
                return cannot(w, err);
        if (S_ISLNK(st.st_mode))
                return follow(w, fd, st.st_uid, err);
        if (!S_ISDIR(st.st_mode))
                return error_set(err, ERR_FILE_UNSAFE, "%s is not a folder", w->folder);
        go_to(w, CAD_TAKE_FD(fd));
        return 0;
}

static int arrive(const struct way *w, struct error *err) {
        CAD_AUTO(fd_close) int fd = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return cannot(w, err);
        if (check_leader(w, &st, err) < 0)
                return -1;
        if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
                return error_set(err, ERR_FILE_UNSAFE,
                                 "the folder %s is writable by everybody: chmod o-w %s", w->folder,
                                 w->folder);
        return CAD_TAKE_FD(fd);
}

int way_open(const char *folder, bool make, struct error *err) {
        CAD_AUTO(way_done) struct way w = { .folder = folder, .fd = -1 };
        char name[NAME_MAX + 1];

        if (snprintf(w.rest, sizeof(w.rest), "%s", folder) >= (int) sizeof(w.rest))
                return error_set(err, ERR_FILE_UNSAFE, "%.200s…: the path is too long", folder);
        if (start(&w, err) < 0)
                return -1;
        while (take_part(&w, name))
                if (step(&w, name, make, err) < 0)
                        return -1;
        return arrive(&w, err);
}
