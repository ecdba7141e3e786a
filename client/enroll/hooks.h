/*
 * CONF/hooks.d: what the admin wants run after a certificate has changed.
 */
#pragma once

#include "client/cactl.h"

#define HOOK_TIMEOUT_S 60
#define HOOKS_MAX 64

/** struct hook_event - what has changed */
struct hook_event {
        const char *reason; /* "enrolled", "renewed" */
        const char *folder; /* CONF/certs/NAME */
        const char *names;  /* "nas.lan 192.168.1.5" */
        const char *serial; /* hex */
};

/**
 * hooks_run() - run every executable file in @conf/hooks.d, sorted by name
 *
 * Each gets $CACTL_REASON, $CACTL_FOLDER, $CACTL_NAMES and $CACTL_SERIAL, and HOOK_TIMEOUT_S seconds. Left out: names that begin with '.' or end
 * with '~', ".dpkg-old" or the like. One that fails does not keep the others from being run; what it said is shown.
 * Refused: one that others than root and we may write; all, where others may write to the folder.
 * Return: DONE, or REFUSED after saying which failed
 */
enum result hooks_run(const struct client *c, const char *conf, const struct hook_event *event);
