/*
 * The signer's process: started, watched, started again.
 */
#pragma once

#include "daemon/authority/authority.h"
#include "daemon/config.h"

struct supervisor; /* opaque */

/**
 * supervisor_start() - start cad-signer and attach it; it makes the CA where there is nothing at all
 * @err: what the signer said, or ERR_SIGNER_UNAVAILABLE
 */
int supervisor_start(const struct config *config, struct authority *authority, struct supervisor **ret, struct error *err);

/** supervisor_pulse() - once a second: take its pulse, and start it again where it has ended or hangs */
void supervisor_pulse(struct supervisor *s);

/** supervisor_reload() - have it read its profiles anew */
void supervisor_reload(struct supervisor *s);

/** supervisor_free() - end the signer, wait for it a little, then kill it. Return: NULL */
struct supervisor *supervisor_free(struct supervisor *s);
CAD_CLEANUP(struct supervisor, supervisor_free)

/** signer_program() - path of cad-signer: beside cad itself. @err: ERR_IO */
int signer_program(char *out, size_t size, struct error *err);
