/*
 * cad-signer as a service of its own: systemd listens on its socket and starts it when cad connects. There is no child to
 * reap or to signal: the connection is all there is, and when it ends, so does that signer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/launch.h"
#include "lib/base/file.h"

#define NO_PID 1 /* who answers is systemd's business */

static int connect_to(const char *path, struct error *err) {
        CAD_AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (fd < 0)
                return error_errno(err, errno, "cannot make a socket for the signer");
        if (strlen(path) >= sizeof(address.sun_path))
                return error_set(err, ERR_CONFIG,
                                 "the path of the signer's socket is too long (%zu bytes): %s",
                                 strlen(path), path);
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) == 0)
                return CAD_TAKE_FD(fd);
        return error_set(err, ERR_SIGNER_UNAVAILABLE,
                         "cannot reach the signer on %s (%s): systemctl status cad-signer.socket",
                         path, strerror(errno));
}

static pid_t socket_start(struct launcher *l, int *ret_fd, struct error *err) {
        int fd = connect_to(l->socket_path, err);

        l->connection_fd = fd_close(l->connection_fd);
        if (fd < 0)
                return -1;
        l->connection_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        *ret_fd = fd;
        return NO_PID;
}

/* A hang-up is all that can be seen of its end. */
static bool socket_ended(struct launcher *l, pid_t pid, int *ret_status) {
        struct pollfd p = { .fd = l->connection_fd };

        (void) pid;
        *ret_status = 0;
        if (l->connection_fd >= 0 && poll(&p, 1, 0) >= 0 && !(p.revents & (POLLHUP | POLLERR)))
                return false;
        l->connection_fd = fd_close(l->connection_fd);
        return true;
}

/* Profiles are read anew by its own reload (PropagatesReloadTo= of cad.service). One that hangs is systemd's to end: its
 * watchdog does; here only the connection goes. */
static void socket_send(struct launcher *l, pid_t pid, int signal) {
        (void) pid;
        if (signal == SIGKILL && l->connection_fd >= 0)
                (void) shutdown(l->connection_fd, SHUT_RDWR);
}

struct launcher launcher_socket(const char *path) {
        return (struct launcher){ .start = socket_start,
                                  .ended = socket_ended,
                                  .send = socket_send,
                                  .keeper_fd = -1,
                                  .connection_fd = -1,
                                  .socket_path = path };
}
