/*
 * Other programs, run for the user: bounded in time, their output kept for when they fail.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

/* bytes that are kept of what it says: keytool lists a few hundred KB; the rest is thrown away */
#define RUN_OUTPUT_MAX (4u * 1024 * 1024)

#define RUN_PATH_MAX 512 /* bytes with NUL of a program's path */

/** run_find() - the program of that name: @name itself where it has a '/', else the first in @path, "FOLDER:FOLDER". @out: RUN_PATH_MAX bytes.
 *  Return: whether there is one that can be run */
bool run_find(const char *name, const char *path, char *out);

/**
 * run_program() - run one and wait for it
 *
 * Standard input is empty. It gets a process group of its own, which is killed when the time is over.
 * @argv:       ends with NULL; a name without '/' is looked for in $PATH
 * @more:       "NAME=value", in front of our own environment; ends with NULL. NULL: none
 * @timeout_s:  seconds
 * @ret_output: what it wrote to standard output and error, appended
 * @err:        ERR_NOT_FOUND: it cannot be started; ERR_IO: it failed, with its exit status, the signal, or that it took too long
 */
int run_program(char *const argv[], const char *const more[], unsigned timeout_s,
                struct buffer *ret_output, struct error *err);
