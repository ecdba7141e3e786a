#include "service.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "file.h"
#include "text.h"

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */

/* A variable that names a process: it may be meant for somebody before us. */
static bool meant_for_us(const char *pid_variable) {
        const char *text = getenv(pid_variable);
        uint64_t pid;

        return text && text_to_u64(text, INT32_MAX, &pid) == 0 && (pid_t) pid == getpid();
}

int service_listen_fd(int *ret, struct error *err) {
        const char *count_text = getenv("LISTEN_FDS");
        uint64_t count = 0;

        *ret = -1;
        if (!count_text || !meant_for_us("LISTEN_PID") ||
            text_to_u64(count_text, 1024, &count) < 0 || count == 0)
                return 0;
        (void) unsetenv("LISTEN_FDS");
        (void) unsetenv("LISTEN_PID");
        (void) unsetenv("LISTEN_FDNAMES");
        if (count > 1)
                return error_set(
                        err, ERR_CONFIG,
                        "%llu sockets were passed, one is wanted: one ListenSequentialPacket= in the .socket unit",
                        (unsigned long long) count);
        (void) fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC);
        *ret = LISTEN_FDS_START;
        return 0;
}

/* One of a process, made before there are threads. */
static int notify_fd = -1;

void service_notify_open(void) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t size = path ? strlen(path) : 0;

        if (size < 2 || size >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
                return;
        memcpy(address.sun_path, path, size);
        if (path[0] == '@')
                address.sun_path[0] = '\0';
        notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (notify_fd >= 0 &&
            connect(notify_fd, (const struct sockaddr *) &address,
                    (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size)) < 0)
                notify_fd = fd_close(notify_fd);
}

void service_notify(const char *text) {
        if (notify_fd >= 0)
                (void) send(notify_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

int64_t service_watchdog_ms(void) {
        const char *text = getenv("WATCHDOG_USEC");
        uint64_t us;

        if (!text || text_to_u64(text, INT64_MAX, &us) < 0 ||
            (getenv("WATCHDOG_PID") && !meant_for_us("WATCHDOG_PID")))
                return 0;
        return (int64_t) (us / 1000);
}
