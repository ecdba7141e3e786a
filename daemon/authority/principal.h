/*
 * Principals: who calls, as the transport proved it, and what that person or machine may do (design.md §8).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

#define PROFILE_ADMIN "admin"   /* its certificates may be given a role by [Access] */
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

/** struct principal - zero-initialised is an anonymous one, who may do what everybody may */
struct principal {
        enum principal_kind kind;
        enum role role;
        bool on_unix_socket;
        bool pending; /* shown, and not looked up in the store yet: nothing may be done with it */
        /* of a certificate */
        uint8_t serial[PRINCIPAL_SERIAL_MAX];
        size_t serial_size;
        uint8_t spki[32]; /* SHA-256 of its SubjectPublicKeyInfo */
        /* seconds; 0: it has not expired. One that has may renew itself and nothing else */
        int64_t expired_s;
        char token_id[PRINCIPAL_TOKEN_MAX]; /* of a token */
        /* for rows, logs and idempotency: "uid:0", "cert:SERIAL", "token:ID", "anonymous" */
        char text[PRINCIPAL_TEXT_MAX];
};

/** struct access_list - who has which role; from [Access] */
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

/** principal_of_peer() - the highest role of uid and groups; everybody who may open the socket is at least public.
 *  Numbers alone: it looks nothing up and may run in an event thread */
void principal_of_peer(const struct access_list *list, const struct peer_identity *peer,
                       struct principal *ret);

/** struct certificate_identity - what the store has of a client certificate; views */
struct certificate_identity {
        const char *profile;
        const char *label;        /* NULL: none */
        const char *const *names; /* as text */
        size_t name_count;
        const uint8_t *spki; /* SHA-256 of its SubjectPublicKeyInfo */
};

/**
 * access_role_of_certificate() - the highest role that [Access] gives it: by its key (spki:), its label or one of its names (cert:)
 *
 * Public unless it is of the profile PROFILE_ADMIN: no other is made by an admin alone, so a name in it proves nothing.
 */
enum role access_role_of_certificate(const struct access_list *list,
                                     const struct certificate_identity *certificate);
