/*
 * Listening sockets of cad's own, where no service manager passes them.
 */
#pragma once

#include "lib/base/error.h"

/**
 * listen_unix() - listen on a path, in place of a socket that nobody listens on any more
 * @err: ERR_BUSY where somebody does; ERR_CONFIG for no path, or one of over 107 bytes; ERR_FILE_UNSAFE where another kind of file is there
 * Return: a descriptor, non-blocking, mode 0660; or -1
 */
int listen_unix(const char *path, struct error *err);
