/*
 * The signer's own sandbox, for where no service manager builds one.
 */
#pragma once

#include "lib/base/error.h"

enum sandbox_stage {
        SANDBOX_PROCESS, /* every thread: what signing, the log's rotation and a reload of profiles need */
        SANDBOX_SIGNING, /* the calling thread, on top: no opening, renaming or starting of anything */
        SANDBOX_CRL,     /* the same, and files in memory: made, read, written, sealed */
};

/** sandbox_prepare() - before keys are read: no core dumps, no tracing by others, no new privileges */
int sandbox_prepare(struct error *err);

/**
 * sandbox_enter() - install the system-call filter of a stage; a call outside it ends the process
 *
 * Under a service manager's own filter that forbids seccomp(2), both stages do nothing: that filter is the sandbox then. Under one that
 * allows it (a container's) ours are added. SANDBOX_PROCESS comes first, while there is one thread.
 * Builds with a sanitizer or valgrind, which make system calls of their own, leave the filters out.
 * @err: ERR_INTERNAL
 */
int sandbox_enter(enum sandbox_stage stage, struct error *err);
