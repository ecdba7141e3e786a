/*
 * The way to a folder that root writes into. Links on it are the admin's, or of somebody who owns no more than what he leads to: whoever
 * owns a folder on the way (a service's user) must not have a key put elsewhere by a link.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/error.h"

/**
 * way_open() - open a folder, part by part, so that nobody changes the way meanwhile
 * @folder: absolute
 * @make:   make what is not there, 0755
 * @err:    ERR_NOT_FOUND; ERR_FILE_UNSAFE: no folder, writable by everybody, or led to by a link whose owner is neither root nor we nor
 *          the folder's; ERR_IO
 * Return: a descriptor, or -1
 */
int way_open(const char *folder, bool make, struct error *err);
