/*
 * Where distributions keep their bundle of roots. Most of these places are links, or have been: they are followed, since who may write
 * there is root. Nothing is judged here.
 */
#include "system_roots.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "files.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

#define BUNDLE_MAX (8u * 1024 * 1024) /* bytes; Debian's has 220 KB */

static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Alpine; Arch */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
        "/var/lib/ca-certificates/ca-bundle.pem",            /* openSUSE, SLES */
        "/etc/pki/tls/certs/ca-bundle.crt",                  /* RHEL 6 and before */
};

/* Return: whether there was such a file */
static bool read_one(const char *path, struct buffer *ret) {
        CAD_AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                descriptor_read(fd, path, BUNDLE_MAX, ret, /* err= */ NULL) == 0;
}

void system_roots_read(const char *named, struct buffer *ret) {
        if (named) {
                (void) read_one(named, ret);
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(places); i++)
                if (read_one(places[i], ret))
                        return;
}
