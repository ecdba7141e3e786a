#include "daemon/signer/accept.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/service.h"

#define WAIT_MS 1000

static bool may_connect(int fd, uid_t uid) {
        struct ucred peer = { .uid = (uid_t) -1 };
        socklen_t size = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
            (peer.uid == 0 || (uid != (uid_t) -1 && peer.uid == uid)))
                return true;
        log_warning("turned away a connection of uid %u (pid %d): it is not cad's",
                    (unsigned) peer.uid, (int) peer.pid);
        return false;
}

int accept_cad(int listen_fd, uid_t uid, struct error *err) {
        for (;;) {
                struct pollfd p = { .fd = listen_fd, .events = POLLIN };
                CAD_AUTO(fd_close) int fd = -1;

                service_notify("WATCHDOG=1");
                if (poll(&p, 1, WAIT_MS) <= 0)
                        continue;
                fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0 && may_connect(fd, uid))
                        return CAD_TAKE_FD(fd);
                if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                        return error_errno(err, errno, "cannot accept cad's connection");
        }
}

int accept_waiting(int listen_fd) {
        struct pollfd p = { .fd = listen_fd, .events = POLLIN };

        return poll(&p, 1, 0) > 0 ? accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
}
