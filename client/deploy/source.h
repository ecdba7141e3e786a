/*
 * Where a target's certificate comes from, read and checked before anything changes.
 */
#pragma once

#include "target.h"

/** source_default() - the one folder in CONF/certs; NULL where there is none or several. Owned by the caller */
char *source_default(void);

/**
 * source_read() - read the target's source, and check it: key fits, chain reaches the root, in time, Names= covered
 *
 * Source= is a folder as `cactl enroll` or `cactl issue --out` writes it, or FOLDER/BASE for one of several certificates in it. Where no root is
 * given, the system's are looked through. A password comes from PasswordFile= or is asked for on a terminal.
 * @wants_key: whether a key has to be there
 * @now: seconds since the epoch
 * @err: with the file that is at fault
 */
int source_read(const struct target *target, bool wants_key, int64_t now, struct credential **ret,
                struct error *err);
