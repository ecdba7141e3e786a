/*
 * Paths and programs of the machine or of an image: see inside.h.
 */
#include "inside.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/files.h"
#include "client/run.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

#define WORDS_MAX_RUN 8 /* of a command, chroot and NULL included */
#define SAID_SHOWN 300  /* bytes of what a program said */

static const char *const program_folders[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                               "/usr/bin",        "/sbin",          "/bin" };

int inside_open(const struct trust_job *job, const char *path, int flags) {
        struct open_how how = { .flags = (uint64_t) (flags | O_CLOEXEC),
                                .resolve = RESOLVE_IN_ROOT };
        CAD_AUTO(fd_close) int root = -1;

        if (!*job->prefix)
                return open(path, flags | O_CLOEXEC);
        root = open(job->prefix, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return -1;
        return (int) syscall(SYS_openat2, root, path, &how, sizeof(how));
}

int inside_real(const struct trust_job *job, const char *path, char *out) {
        CAD_AUTO(fd_close) int fd = inside_open(job, path, O_PATH);
        char self[32];
        ssize_t n;

        if (fd < 0)
                return -1;
        (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        n = readlink(self, out, TRUST_WHERE_MAX);
        if (n <= 0 || n >= TRUST_WHERE_MAX)
                return -1;
        out[n] = '\0';
        return 0;
}

int inside_read(const struct trust_job *job, const char *path, size_t max_bytes, struct buffer *ret,
                struct error *err) {
        CAD_AUTO(fd_close) int fd = inside_open(job, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return error_set(err, ERR_NOT_FOUND, "%s is not there", path);
        if (fd < 0 && (errno == EACCES || errno == EPERM))
                return error_set(err, ERR_FORBIDDEN, "%s may not be read", path);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, errno, "cannot open %s", path);
        if (!S_ISREG(st.st_mode))
                return error_set(err, ERR_IO, "%s is no regular file", path);
        return descriptor_read(fd, path, max_bytes, ret, err);
}

/* ---- patterns ---- */

size_t inside_glob(const char *folder, const char *pattern, glob_t *ret) {
        CAD_AUTO(buffer_done) struct buffer whole = { 0 };

        for (const char *at = folder; *at; at++) {
                if (strchr("\\*?[]", *at))
                        buffer_text(&whole, "\\");
                buffer_append(&whole, BYTES(at, 1));
        }
        buffer_format(&whole, "/%s", pattern);
        if (whole.failed || glob(buffer_string(&whole), 0, /* errfunc= */ NULL, ret) != 0)
                return 0;
        return ret->gl_pathc;
}

/* ---- programs ---- */

static bool take_if_program(const struct trust_job *job, const char *folder, size_t length,
                            const char *name, char *out) {
        CAD_AUTO(fd_close) int fd = -1;
        char path[TRUST_WHERE_MAX];
        struct stat st;
        int n = snprintf(path, sizeof(path), "%.*s/%s", (int) length, folder, name);

        if (n < 0 || (size_t) n >= sizeof(path) || path[0] != '/')
                return false;
        fd = inside_open(job, path, O_PATH);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & S_IXUSR))
                return false;
        memcpy(out, path, (size_t) n + 1);
        return true;
}

bool inside_program(const struct trust_job *job, const char *name, char *out) {
        const char *path = *job->prefix ? NULL : getenv("PATH");

        while (path && *path) {
                size_t length = strcspn(path, ":");

                if (take_if_program(job, path, length, name, out))
                        return true;
                path += length + (path[length] == ':');
        }
        for (size_t i = 0; i < ARRAY_SIZE(program_folders); i++)
                if (take_if_program(job, program_folders[i], strlen(program_folders[i]), name, out))
                        return true;
        return false;
}

bool host_program(const char *name, char *out) {
        static const struct trust_job host = { .prefix = "" };

        return inside_program(&host, name, out);
}

const char *said(const struct buffer *output, char *out) {
        struct bytes text = buffer_bytes(output);
        char *end;

        while (text.size && isspace(text.data[text.size - 1]))
                text.size--;
        if (text.size > SAID_SHOWN) {
                text.data += text.size - SAID_SHOWN;
                text.size = SAID_SHOWN;
                while (text.size && (text.data[0] & 0xc0u) == 0x80u) { /* whole characters */
                        text.data++;
                        text.size--;
                }
        }
        (void) snprintf(out, ERROR_TEXT_MAX, "%.*s", (int) text.size,
                        text.data ? (const char *) text.data : "");
        for (end = out; *end; end++)
                if (isspace((unsigned char) *end))
                        *end = ' ';
        return out;
}

int inside_run(const struct trust_job *job, const char *const argv[], unsigned timeout_s,
               struct error *err) {
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        const char *words[WORDS_MAX_RUN] = { NULL };
        char chroot_path[TRUST_WHERE_MAX], text[ERROR_TEXT_MAX];
        struct error why = { 0 };
        size_t count = 0;

        if (*job->prefix) {
                if (!host_program("chroot", chroot_path))
                        return error_set(err, ERR_NOT_FOUND,
                                         "there is no chroot to run %s with in %s", argv[0],
                                         job->prefix);
                words[count++] = chroot_path;
                words[count++] = job->prefix;
        }
        while (*argv && count + 1 < WORDS_MAX_RUN)
                words[count++] = *argv++;
        if (run_program((char *const *) (uintptr_t) words, /* more= */ NULL, timeout_s, &output,
                        &why) == 0)
                return 0;
        return error_set(err, why.code, "%s%s%s", why.text, output.size ? ": " : "",
                         said(&output, text));
}
