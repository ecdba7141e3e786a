/*
 * Files that live in memory and can be closed against every change, to hand between processes that do not trust each other.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "bytes.h"
#include "error.h"

/** memfd_new() - an empty one, open for reading and writing. @name: what /proc shows. Return: a descriptor, or -1 with @err */
int memfd_new(const char *name, struct error *err);

/** memfd_seal() - from now on nobody can write, grow or shrink it, and the seals cannot be taken off. @err: ERR_IO */
int memfd_seal(int fd, struct error *err);

/**
 * memfd_check() - whether what somebody handed over is sealed in that way
 * @ret_size: octets
 * @err: ERR_REQUEST_MALFORMED: not a memfd, or not sealed against writing, growing and shrinking
 */
int memfd_check(int fd, size_t *ret_size, struct error *err);

/** memfd_map() - the whole of a sealed one, read-only; empty for an empty one. @err: ERR_NO_MEMORY, ERR_IO */
int memfd_map(int fd, size_t size, struct bytes *ret, struct error *err);
void memfd_unmap(struct bytes map);
