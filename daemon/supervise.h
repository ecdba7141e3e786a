/*
 * The signer's process: started, watched, started again.
 */
#pragma once

#include "daemon/authority/authority.h"
#include "daemon/launch.h"

struct supervisor; /* opaque */

/**
 * supervisor_start() - start cad-signer and attach it; it makes the CA where there is nothing at all
 * @launcher: borrowed for as long as the supervisor lives
 * @err: what the signer said, or ERR_SIGNER_UNAVAILABLE
 */
int supervisor_start(struct launcher *launcher, struct authority *authority,
                     struct supervisor **ret, struct error *err);

/** supervisor_pulse() - once a second: take its pulse, and start it again where it has ended or hangs */
void supervisor_pulse(struct supervisor *s);

/** supervisor_reload() - have it read its profiles anew */
void supervisor_reload(struct supervisor *s);

/** supervisor_free() - end the signer, wait for it a little, then kill it. Return: NULL */
struct supervisor *supervisor_free(struct supervisor *s);
CAD_CLEANUP(struct supervisor, supervisor_free)
