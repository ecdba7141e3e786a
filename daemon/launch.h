/*
 * Starting cad-signer: directly, or through the keeper where cad was started as root and has dropped to a user that may not.
 */
#pragma once

#include <sys/types.h>

#include "daemon/config.h"

/** struct launch_plan - what is started; all owned */
struct launch_plan {
        char program[4096];
        char *state_dir, *store_path, *config_dir, *passphrase_file;
        uid_t uid; /* of the signer, where not (uid_t) -1; then gid too */
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
        int keeper_fd;                  /* of the other */
};

/** launcher_direct() - children of this process */
struct launcher launcher_direct(const struct launch_plan *plan);

/** signer_program() - path of cad-signer: beside cad itself. @err: ERR_IO */
int signer_program(char *out, size_t size, struct error *err);
