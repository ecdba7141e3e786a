/*
 * A signer that systemd starts: it waits on the socket that was passed for the one cad that it serves.
 */
#pragma once

#include <sys/types.h>

#include "lib/base/error.h"

/**
 * accept_cad() - wait for a connection of a user who may
 * @listen_fd: listens, SOCK_SEQPACKET
 * @uid:       who may connect beside root, by SO_PEERCRED; (uid_t) -1: nobody else. Others are turned away, and it waits on
 *
 * Tells the watchdog while it waits. Return: the connection, or -1 with @err
 */
int accept_cad(int listen_fd, uid_t uid, struct error *err);

/** accept_waiting() - the connection that waits already, whoever it is from, to be told why not. Return: -1 where there is none */
int accept_waiting(int listen_fd);
