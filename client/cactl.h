/*
 * cactl, inside: what the command line said, and the table row that a command is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cad-build.h" /* CAD_VERSION; made by the build */

/* What cactl ends with. A function that returns one of these has said why, unless it is DONE. */
enum result {
        DONE = 0,
        REFUSED = 1, /* refused or failed */
        WRONG_USAGE = 2,
        UNREACHABLE = 3, /* no CA to be reached */
};

/** struct option - a row of a command's options; a table of them ends with name NULL */
struct option {
        const char *name; /* without the dashes */
        const char *arg;  /* what its value is called in the help; NULL: it takes none */
        const char *help;
        bool repeats; /* may be given more than once */
        char letter;  /* 'h' for -h; 0: none */
};

struct client;

/** struct command - a row of the command table */
struct command {
        const char *group; /* "cert" of "cert list"; NULL: a single word */
        const char *name;
        const char *args; /* as the help shows them */
        size_t args_min, args_max;
        const char *help;             /* one line */
        const char *more;             /* a paragraph for --help; may be NULL */
        const struct option *options; /* NULL: none of its own */
        bool names_root; /* --root and --fingerprint say which root it is about, with or without --url */
        enum result (*run)(struct client *c);
};

#define ARGS_ANY SIZE_MAX

struct given_option {
        const struct option *option;
        const char *value; /* "" where it takes none */
};

struct http;
struct place;

/** struct client - one run of cactl */
struct client {
        const struct command *command;
        const char *group; /* while the command line is read: the first of two words */
        struct given_option *given;
        size_t given_count;
        const char **args;
        size_t args_count;
        bool json;
        bool quiet;
        int64_t now; /* read once, at start; the CA's where this machine's clock cannot be right (trust_clock.h) */
        struct http *http; /* made with the first request */
        long limit_ms;     /* of a request to the CA; 0: as long as is usual */
        /* NULL, or the certificate that the command is about, and its key: over the network that one is shown where no --cert is given */
        const char *own_certificate, *own_key;
        /* NULL, or: there and nowhere else is the CA, whatever options and cactl.conf say (enroll, renew) */
        const struct place *at;
        const char *bearer; /* NULL, or a token that goes with each request */
        long status;        /* of the last answer; 0: none has come */
};

/** option_value() - what was given for an option, NULL where it was not given */
const char *option_value(const struct client *c, const char *name);

/** option_given() - whether an option was given */
bool option_given(const struct client *c, const char *name);

/** global_option_value() - the same for an option of cactl itself, where a command has one of the same name (issue --key) */
const char *global_option_value(const struct client *c, const char *name);

/** option_next() - values of a repeated option one after the other; *at starts at 0. NULL after the last */
const char *option_next(const struct client *c, const char *name, size_t *at);

/**
 * when_parse() - an option that says when: "2027-01-31", RFC 3339, or a duration counted from now
 * @direction: 1: a duration is one to come, -1: one that has passed
 * @out:       MOMENT_TEXT_MAX bytes
 * @ret:       RFC 3339 in @out; NULL where the option was not given
 */
enum result when_parse(const struct client *c, const char *option, int direction, char *out,
                       const char **ret);

extern const struct command cmd_audit_list;
extern const struct command cmd_audit_verify;
extern const struct command cmd_backup;
extern const struct command cmd_restore;
extern const struct command cmd_deploy_backups;
extern const struct command cmd_deploy_install;
extern const struct command cmd_deploy_list;
extern const struct command cmd_deploy_restore;
extern const struct command cmd_doctor;
extern const struct command cmd_status;
extern const struct command cmd_issue;
extern const struct command cmd_cert_list;
extern const struct command cmd_cert_show;
extern const struct command cmd_cert_sign;
extern const struct command cmd_cert_export;
extern const struct command cmd_cert_revoke;
extern const struct command cmd_cert_renew;
extern const struct command cmd_ca_show;
extern const struct command cmd_ca_fingerprint;
extern const struct command cmd_ca_rotate;
extern const struct command cmd_ca_activate;
extern const struct command cmd_request_submit;
extern const struct command cmd_request_list;
extern const struct command cmd_request_show;
extern const struct command cmd_request_approve;
extern const struct command cmd_request_deny;
extern const struct command cmd_crl_show;
extern const struct command cmd_crl_publish;
extern const struct command cmd_profile_list;
extern const struct command cmd_profile_show;
extern const struct command cmd_enroll;
extern const struct command cmd_renew;
extern const struct command cmd_token_create;
extern const struct command cmd_token_list;
extern const struct command cmd_token_revoke;
extern const struct command cmd_trust_install;
extern const struct command cmd_trust_remove;
extern const struct command cmd_trust_status;
