/*
 * A frame on its socket, with a descriptor beside it or none.
 */
#pragma once

#include <sys/types.h>

#include "lib/base/bytes.h"

/** channel_send() - send @frame and, unless it is -1, @fd with it. @flags: of sendmsg(2). Return: as sendmsg(2) */
ssize_t channel_send(int socket_fd, struct bytes frame, int fd, int flags);

/**
 * channel_receive() - receive a frame into @size octets of @buffer
 * @flags:  of recvmsg(2)
 * @ret_fd: the one descriptor beside it, close-on-exec, the caller's; -1 where there is none. Of several none is handed on: the peer
 *          sends at most one
 * Return: as recvmsg(2); @ret_fd is -1 where that is not above 0
 */
ssize_t channel_receive(int socket_fd, uint8_t *buffer, size_t size, int flags, int *ret_fd);
