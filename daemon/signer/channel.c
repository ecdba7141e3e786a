/*
 * Frames and descriptors over the socket between cad and cad-signer. A peer may attach whatever it likes to any frame: nothing of
 * it may stay open here, and nothing is believed of it.
 */
#include "daemon/signer/channel.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/base/file.h"

union control {
        struct cmsghdr header; /* for its alignment */
        uint8_t octets[CMSG_SPACE(sizeof(int))];
};

ssize_t channel_send(int socket_fd, struct bytes frame, int fd, int flags) {
        union control control = { .octets = { 0 } };
        struct iovec iov = { .iov_base = (void *) (uintptr_t) frame.data, .iov_len = frame.size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        struct cmsghdr *part;

        if (fd >= 0) {
                message.msg_control = control.octets;
                message.msg_controllen = sizeof(control.octets);
                part = CMSG_FIRSTHDR(&message);
                part->cmsg_level = SOL_SOCKET;
                part->cmsg_type = SCM_RIGHTS;
                part->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(part), &fd, sizeof(int));
        }
        return sendmsg(socket_fd, &message, flags);
}

/* All of them, and what was received of them; the kernel has closed those that had no room. */
static int take_descriptor(struct msghdr *message) {
        int found = -1;
        size_t count = 0;

        for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
             part = CMSG_NXTHDR(message, part)) {
                if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len;
                     at += sizeof(int), count++) {
                        (void) fd_close(found);
                        memcpy(&found, (uint8_t *) part + at, sizeof(int));
                }
        }
        if (count > 1 || message->msg_flags & MSG_CTRUNC)
                found = fd_close(found);
        return found;
}

ssize_t channel_receive(int socket_fd, uint8_t *buffer, size_t size, int flags, int *ret_fd) {
        union control control;
        struct iovec iov = { .iov_base = buffer, .iov_len = size };
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = control.octets,
                                  .msg_controllen = sizeof(control.octets) };
        ssize_t n = recvmsg(socket_fd, &message, flags | MSG_CMSG_CLOEXEC);

        *ret_fd = n < 0 ? -1 : take_descriptor(&message);
        if (n == 0)
                *ret_fd = fd_close(*ret_fd);
        return n;
}
