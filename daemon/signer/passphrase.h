/*
 * The passphrase of the CA's keys: from a credential, a file or a prompt; never from a command line or the environment.
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define PASSPHRASE_MAX 1024
#define PASSPHRASE_CREDENTIAL \
        "ca-passphrase" /* name under $CREDENTIALS_DIRECTORY (systemd LoadCredential=) */

/**
 * passphrase_find() - a file, else the credential; "" where there is neither
 * @path: of the file, or NULL. One line break at its end is not part of the passphrase.
 * @ret:  appended; wants CAD_AUTO(buffer_wipe)
 * @err:  ERR_FILE_UNSAFE, ERR_NOT_FOUND, ERR_USAGE for an empty file
 */
int passphrase_find(const char *path, struct buffer *ret, struct error *err);

/** passphrase_ask() - ask on the terminal; @twice for a new one. @err: ERR_KEY_PASSPHRASE where there is no terminal */
int passphrase_ask(const char *prompt, bool twice, struct buffer *ret, struct error *err);
