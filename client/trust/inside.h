/*
 * Paths of this machine, or of an image below --prefix, whose links are taken as those of the image and never lead out of it.
 */
#pragma once

#include <glob.h>
#include <stdbool.h>

#include "trust.h"

/** inside_open() - open @path, absolute, with @flags and no mode. Return: a descriptor, or -1 with errno */
int inside_open(const struct trust_job *job, const char *path, int flags);

/**
 * inside_real() - where @path really is, the prefix included
 * @out: TRUST_WHERE_MAX bytes
 * Return: 0, or -1 where it is not there or too long
 */
int inside_real(const struct trust_job *job, const char *path, char *out);

/** inside_read() - a regular file, at most @max_bytes. @ret: appended. @err: ERR_NOT_FOUND, ERR_FORBIDDEN,
 *  ERR_BODY_TOO_LARGE, ERR_IO */
int inside_read(const struct trust_job *job, const char *path, size_t max_bytes, struct buffer *ret,
                struct error *err);

/** inside_glob() - glob(3) of @pattern below @folder, whose own letters count as they are. Return: how many; @ret wants globfree() */
size_t inside_glob(const char *folder, const char *pattern, glob_t *ret);

/**
 * inside_program() - a program, in $PATH and where administrators' programs are; of an image there alone
 * @out: TRUST_WHERE_MAX bytes: its path, as the image has it
 */
bool inside_program(const struct trust_job *job, const char *name, char *out);

/** host_program() - the same on this machine, whatever the prefix */
bool host_program(const char *name, char *out);

/** inside_run() - run a program of the machine or of the image (there by chroot). @argv: [0] is a path; at most 6 words. As run_program() */
int inside_run(const struct trust_job *job, const char *const argv[], unsigned timeout_s,
               struct error *err);

/** said() - the end of what a program said, as one printable line. @out: ERROR_TEXT_MAX bytes. Return: @out */
const char *said(const struct buffer *output, char *out);
