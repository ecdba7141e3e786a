/*
 * Principals: who calls, as the transport proved it, and what that person or machine may do (design.md §8).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

#define PRINCIPAL_TEXT_MAX 96   /* bytes with NUL: "uid:1000", "cert:10…", "token:…" */
#define PRINCIPAL_SERIAL_MAX 20 /* octets */
#define PRINCIPAL_TOKEN_MAX 40  /* bytes with NUL of a token's id */

/* Each role may all that the ones before it may. */
enum role {
        ROLE_PUBLIC,
        ROLE_READER,
        ROLE_OPERATOR,
        ROLE_ADMIN,
        ROLE_COUNT,
};

/** role_name() - "public", "reader", "operator", "admin" */
const char *role_name(enum role role);

/** enum principal_kind - how it was proved */
enum principal_kind {
        PRINCIPAL_ANONYMOUS,
        PRINCIPAL_PEER,        /* uid and groups, by the kernel */
        PRINCIPAL_CERTIFICATE, /* a certificate of this CA, by TLS */
        PRINCIPAL_TOKEN,       /* a bearer token of this CA */
};

/** struct principal - zero-initialised is an anonymous one */
struct principal {
        enum principal_kind kind;
        enum role role;
        bool on_unix_socket;
        /* of a certificate */
        uint8_t serial[PRINCIPAL_SERIAL_MAX];
        size_t serial_size;
        uint8_t spki[32]; /* SHA-256 of its SubjectPublicKeyInfo */
        int64_t expired_s; /* for how long it has been expired; 0: it is not. One that is may renew itself and nothing else */
        /* of a token */
        char token_id[PRINCIPAL_TOKEN_MAX];
        char text
                [PRINCIPAL_TEXT_MAX]; /* for rows, logs and idempotency: "uid:0(root)"; "anonymous" */
};

/** struct access_list - who has which role on the Unix socket; from [Access] */
struct access_list;

/** access_list_new() - root and the uid that cad runs as are admins. NULL: out of memory */
struct access_list *access_list_new(void);
struct access_list *access_list_free(struct access_list *list);
CAD_CLEANUP(struct access_list, access_list_free)

/** access_list_reset() - forget the words of @role so far; root and cad's own user stay */
void access_list_reset(struct access_list *list, enum role role);

/**
 * access_list_add() - give a role to "uid:NAME", "uid:1000", "gid:NAME", "cert:NAME", "spki:SHA256"
 * @err: ERR_CONFIG for an unknown kind, user or group
 */
int access_list_add(struct access_list *list, enum role role, const char *word, struct error *err);

/** struct peer_identity - what the kernel says of the other end of the Unix socket */
struct peer_identity {
        uid_t uid;
        gid_t gid;
        const gid_t *groups;
        size_t group_count;
};

/** principal_of_peer() - the highest role of uid and groups; everybody who may open the socket is at least public */
void principal_of_peer(const struct access_list *list, const struct peer_identity *peer,
                       struct principal *ret);

/** principal_require() - @err: ERR_FORBIDDEN: who the caller is, which role is wanted, and how it is given */
int principal_require(const struct principal *principal, enum role role, const char *what,
                      struct error *err);
