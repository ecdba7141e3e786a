/*
 * Services that cactl knows: where each wants key and certificate, and how it takes new ones.
 */
#pragma once

#include <sys/types.h>

#include "lib/base/error.h"
#include "lib/pki/credential.h"

#define SERVICE_DIRECTIVES_MAX 4
#define SERVICE_CONFIGS_MAX 3

/** struct service - a row of the table; NULL and 0 where there is no such thing */
struct service {
        const char *name;
        const char *unit;     /* of systemd */
        const char *pid_file; /* where systemd is not there */
        const char *process;  /* the pid file's process is called so: no other one is signalled */
        int signal;           /* that makes it read its certificates again */
        const char *
                check; /* words; "{config}" is the configuration file. A program that says whether the files can be used */
        const char *configs
                [SERVICE_CONFIGS_MAX]; /* its configuration; the first is {config}, all may have wildcards */
        struct {
                const char *word; /* a directive that names a file */
                enum credential_part part;
        } directives[SERVICE_DIRECTIVES_MAX];
        const char *places[CREDENTIAL_PART_COUNT]; /* where its configuration names none */
        const char *owner, *group; /* of files that hold the key and are new; NULL: root */
        mode_t key_mode;
        const char *hint; /* what to write into the configuration for @places */
};

/** service_find() - by name; NULL: not known */
const struct service *service_find(const char *name);

/** service_names() - all of them, "nginx, apache, …"; static */
const char *service_names(void);

/** struct found - files that a configuration names; texts are owned */
struct found {
        char *paths[CREDENTIAL_PART_COUNT];
};

void found_done(struct found *found);
CAD_CLEANUP_DONE(struct found, found_done)

/**
 * service_look() - read the service's configuration for where its certificate is
 * @config: this file alone; NULL: the usual ones
 * @ret:    empty where it names none, or what all services of the machine share (Debian's snakeoil)
 * @err:    ERR_STATE_CONFLICT where it names several: which is meant?
 */
int service_look(const struct service *service, const char *config, struct found *ret,
                 struct error *err);
