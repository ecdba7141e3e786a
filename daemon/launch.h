/*
 * Starting cad-signer: directly, through the keeper where cad was started as root and has dropped to a user that may not, or by
 * connecting to the socket of a service.
 */
#pragma once

#include <sys/types.h>

#include "daemon/config.h"

/** struct launch_plan - what is started; all owned */
struct launch_plan {
        char program[4096];
        char *state_dir, *store_path, *config_dir, *passphrase_file;
        char *public_url;  /* NULL: the signer's own */
        char http_port[8]; /* for the public URL of a new CA; "": the signer's default */
        uid_t uid;         /* of the signer, where not (uid_t) -1; then gid too */
        gid_t gid;
};

/** launch_plan_make() - @err: ERR_IO where cad-signer is not beside cad */
int launch_plan_make(const struct config *config, struct launch_plan *ret, struct error *err);
void launch_plan_done(struct launch_plan *plan);

/** struct launcher - who starts the signer, reaps it and signals it */
struct launcher {
        /** start - @ret_fd: cad's end of a new SOCK_SEQPACKET pair. Return: its pid, or -1 with @err */
        pid_t (*start)(struct launcher *l, int *ret_fd, struct error *err);
        /** ended - whether @pid has ended; @ret_status as waitpid(2) gives it. Does not wait */
        bool (*ended)(struct launcher *l, pid_t pid, int *ret_status);
        /** send - a signal to @pid */
        void (*send)(struct launcher *l, pid_t pid, int signal);
        const struct launch_plan *plan; /* of the direct one */
        int keeper_fd;                  /* of the keeper's */
        const char *socket_path;        /* of the one that connects; lent */
        int connection_fd;              /* its own descriptor of the connection, to see it end */
};

/** launcher_direct() - children of this process */
struct launcher launcher_direct(const struct launch_plan *plan);

/** launcher_socket() - a signer that systemd runs, behind a socket. @path: lent, lives as long as the launcher */
struct launcher launcher_socket(const char *path);

/** signer_state_dir() - where the signer's state is: [Signer] StateDir=, or `signer` in cad's own. @ret: owned. @err: ERR_NO_MEMORY */
int signer_state_dir(const struct config *config, char **ret, struct error *err);

/** signer_program() - path of cad-signer: beside cad itself. @err: ERR_IO */
int signer_program(char *out, size_t size, struct error *err);
