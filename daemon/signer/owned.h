/*
 * Whose the signer's files are: its own user's, and nobody else may write to them.
 */
#pragma once

#include "lib/base/error.h"

/**
 * owned_check() - look at the folder itself, `ca` and what lies in it, the log, the mark and the lock; what is not there is no fault
 * @dir_fd: the signer's state folder
 * @path:   what that folder is called, for complaints
 * @err:    ERR_FILE_UNSAFE with the path, the owner or the mode that it has, and the chown or chmod that mends it; ERR_IO
 *
 * Links, FIFOs and the like are left to whoever opens them: they are refused there by name. Profiles and settings are not the signer's, but
 * root's, and have a rule of their own (file_read()).
 */
int owned_check(int dir_fd, const char *path, struct error *err);

/**
 * owned_become() - where root works on the folder of another user, become that user for good: what is written is then his, as before
 * @err: ERR_IO
 */
int owned_become(int dir_fd, const char *path, struct error *err);
