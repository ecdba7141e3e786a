/*
 * The roots that this machine trusts, as its distribution keeps them in one file.
 */
#pragma once

#include "lib/base/bytes.h"

/**
 * system_roots_read() - the bundle in PEM
 * @named: read in place of the distribution's; NULL: none
 * @ret: appended; nothing where there is none, or none that can be read
 */
void system_roots_read(const char *named, struct buffer *ret);
