/*
 * What tests that touch files share: a folder of their own, gone after each test, and files in it.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "tests/unit/unit.h"

static char folder_path[64];
static int folder_fd = -1;

static inline void folder_setup(void) {
        (void) snprintf(folder_path, sizeof(folder_path), "%.30s/cad-unit-XXXXXX",
                        getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(folder_path));
        folder_fd = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(folder_fd, 0);
}

static inline void folder_teardown(void) {
        char command[256];

        folder_fd = fd_close(folder_fd);
        (void) snprintf(command, sizeof(command), "chmod -R u+rwX '%s' && rm -rf '%s'", folder_path,
                        folder_path);
        ck_assert_int_eq(system(command), 0);
}

/** folder_write() - make a file with just this content and mode, whatever the umask */
static inline void folder_write(const char *name, struct bytes content, mode_t mode) {
        int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fd_write_all(fd, content), 0);
        ck_assert_int_eq(fchmod(fd, mode), 0);
        (void) close(fd);
}

/** folder_has() - whether something of this name is there, a dangling link too */
static inline bool folder_has(const char *name) {
        struct stat st;

        return fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/** folder_join() - an absolute path in the folder; @out has 128 bytes. Return: @out */
static inline char *folder_join(const char *name, char out[128]) {
        (void) snprintf(out, 128, "%s/%s", folder_path, name);
        return out;
}
