/*
 * The signer at work: frames in, certificates out.
 */
#pragma once

#include "daemon/signer/ca.h"
#include "daemon/signer/rate.h"

/** struct serve_options - what a serving signer needs; borrowed for as long as it serves */
struct serve_options {
        int socket_fd; /* SOCK_SEQPACKET to cad */
        int state_fd;  /* the signer's state directory */
        int config_fd; /* the configuration folder, or -1 */
        struct ca *ca;
        struct bytes
                passphrase; /* of its keys, for that of another intermediate; empty: they are not encrypted */
        struct profile_set *profiles; /* taken */
        uint32_t per_hour;            /* 0: no limit */
};

/**
 * serve() - serve until cad closes the socket or SIGTERM/SIGINT comes; SIGHUP reads the profiles anew
 *
 * Enters the sandbox before the first frame is read.
 * Return: 0 after an orderly end, -1 with @err
 */
int serve(const struct serve_options *options, struct error *err);
