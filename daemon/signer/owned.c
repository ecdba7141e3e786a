/*
 * Whose the signer's files are. It looks, and mends nothing: whoever could write to them may have done so already.
 */
#include "daemon/signer/owned.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/signer/anchors.h"
#include "daemon/signer/ca.h"
#include "daemon/signer/signlog.h"
#include "lib/base/file.h"

#define SHOWN_MAX 600 /* bytes of a path in a complaint */

/* @name: in @dir_fd; @shown: the whole path */
static int check_entry(int dir_fd, const char *name, const char *shown, struct error *err) {
        struct stat st;
        bool folder;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : error_errno(err, errno, "cannot look at %s", shown);
        folder = S_ISDIR(st.st_mode);
        if (!folder && !S_ISREG(st.st_mode))
                return 0;
        if (st.st_uid != geteuid())
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "%s belongs to uid %u, and not to the signer's user, uid %u. Look whether that is right, then: chown%s %u %s",
                        shown, (unsigned) st.st_uid, (unsigned) geteuid(), folder ? " -R" : "",
                        (unsigned) geteuid(), shown);
        if (st.st_mode & (S_IWGRP | S_IWOTH))
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "%s may be written to by %s (mode %04o), but only the signer's user may: chmod go-w %s",
                        shown, st.st_mode & S_IWOTH ? "everybody" : "its group",
                        (unsigned) st.st_mode & 07777u, shown);
        return 0;
}

static int check_ca(int dir_fd, const char *path, struct error *err) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, CA_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir;
        int rc = 0;

        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
                return 0;
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
                return error_errno(err, errno, "cannot open the folder %s/%s", path, CA_FOLDER);
        (void) CAD_TAKE_FD(fd);
        for (const struct dirent *e; rc == 0 && (e = readdir(dir));) {
                char shown[SHOWN_MAX];

                (void) snprintf(shown, sizeof(shown), "%s/%s/%s", path, CA_FOLDER, e->d_name);
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                        rc = check_entry(dirfd(dir), e->d_name, shown, err);
        }
        (void) closedir(dir);
        return rc;
}

int owned_check(int dir_fd, const char *path, struct error *err) {
        static const char *const names[] = { CA_FOLDER, "lock", "mark", SIGNLOG_FILE,
                                             ANCHORS_FILE };
        char shown[SHOWN_MAX], name[32];

        if (check_entry(dir_fd, ".", path, err) < 0)
                return -1;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                (void) snprintf(shown, sizeof(shown), "%s/%s", path, names[i]);
                if (check_entry(dir_fd, names[i], shown, err) < 0)
                        return -1;
        }
        for (int i = 1; i <= SIGNLOG_KEPT; i++) {
                (void) snprintf(name, sizeof(name), SIGNLOG_FILE ".%d", i);
                (void) snprintf(shown, sizeof(shown), "%s/%s", path, name);
                if (check_entry(dir_fd, name, shown, err) < 0)
                        return -1;
        }
        return check_ca(dir_fd, path, err);
}

int owned_become(int dir_fd, const char *path, struct error *err) {
        struct stat st;

        if (geteuid() != 0)
                return 0;
        if (fstat(dir_fd, &st) < 0)
                return error_errno(err, errno, "cannot look at %s", path);
        if (st.st_uid == 0)
                return 0;
        if (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
            setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
                return error_errno(err, errno, "cannot become uid %u, whose %s is",
                                   (unsigned) st.st_uid, path);
        return 0;
}
