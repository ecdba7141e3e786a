/*
 * The service manager's side of a process, for one that links next to nothing: the socket that systemd passes
 * (sd_listen_fds(3)) and the word that goes back to it (sd_notify(3)). cad itself uses libsystemd; cad-signer does not, since
 * that would bring a dozen libraries into the process that holds the keys.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"

/**
 * service_listen_fd() - the one socket that was passed
 * @ret: its descriptor, close-on-exec; -1 where none was
 * @err: ERR_CONFIG where there are several. The variables are taken out of the environment
 */
int service_listen_fd(int *ret, struct error *err);

/** service_notify() - "READY=1", "WATCHDOG=1", "STATUS=…" to $NOTIFY_SOCKET; nothing where there is none. It never blocks and never fails */
void service_notify(const char *text);

/** service_notify_open() - find $NOTIFY_SOCKET now, since the sandbox will not let sockets be made later */
void service_notify_open(void);

/** service_watchdog_ms() - how often WATCHDOG=1 is wanted at least ($WATCHDOG_USEC, for this process); 0: never */
int64_t service_watchdog_ms(void);
