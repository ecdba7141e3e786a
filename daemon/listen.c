/*
 * Sockets made by hand.
 */
#include "daemon/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/file.h"

#define BACKLOG 128

static int address_of(const char *path, struct sockaddr_un *ret, struct error *err) {
        int length = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);

        ret->sun_family = AF_UNIX;
        if (length <=
            0) /* the kernel would take it for an abstract socket, which has no owner and no mode */
                return error_set(err, ERR_CONFIG, "the socket's path is empty: give --socket PATH");
        if ((size_t) length >= sizeof(ret->sun_path))
                return error_set(
                        err, ERR_CONFIG,
                        "the socket's path has %d bytes, a Unix socket takes %zu at most: give a shorter --socket PATH (%s)",
                        length, sizeof(ret->sun_path) - 1, path);
        return 0;
}

/* Return: 1 somebody has the socket, 0 nobody has, -1 with @err */
static int is_taken(const char *path, const struct sockaddr_un *address, struct error *err) {
        CAD_AUTO(fd_close)
        int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (probe < 0)
                return error_errno(err, errno, "cannot make a socket");
        if (connect(probe, (const struct sockaddr *) address, sizeof(*address)) == 0)
                return 1;
        switch (errno) {
        case ECONNREFUSED:
        case ENOENT:
                return 0;
        case EAGAIN:     /* its queue is full */
        case EPROTOTYPE: /* it is of another kind, datagrams or packets */
                return 1;
        default:
                return error_errno(err, errno, "cannot find out whether somebody listens on %s",
                                   path);
        }
}

/* A socket file that nobody has is removed; anything else there is not ours to remove. */
static int clear_stale(const char *path, const struct sockaddr_un *address, struct error *err) {
        struct stat st;
        int taken;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : error_errno(err, errno, "cannot look at %s", path);
        if (!S_ISSOCK(st.st_mode))
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "%s is there and is no socket: move it away, or give another --socket PATH",
                        path);
        taken = is_taken(path, address, err);
        if (taken < 0)
                return -1;
        if (taken)
                return error_set(err, ERR_BUSY, "somebody listens on %s already: is cad running?",
                                 path);
        if (unlink(path) < 0 && errno != ENOENT)
                return error_errno(err, errno, "cannot remove the stale socket %s", path);
        return 0;
}

int listen_unix(const char *path, struct error *err) {
        CAD_AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { 0 };
        mode_t mask;
        int rc;

        if (fd < 0)
                return error_errno(err, errno, "cannot make a socket");
        if (address_of(path, &address, err) < 0 || clear_stale(path, &address, err) < 0)
                return -1;
        mask = umask(0117);
        rc = bind(fd, (const struct sockaddr *) &address, sizeof(address));
        (void) umask(mask);
        if (rc < 0)
                return error_errno(err, errno, "cannot listen on %s", path);
        if (listen(fd, BACKLOG) < 0)
                return error_errno(err, errno, "cannot listen on %s", path);
        return CAD_TAKE_FD(fd);
}
