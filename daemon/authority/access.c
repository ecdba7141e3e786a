/*
 * Access: see access.h. The table is the one place that gives rights; what has no row may not be done.
 *
 * Pure: it looks nothing up. Who somebody is, was proved by others (principal.h).
 */
#include "daemon/authority/access.h"

#include <string.h>

#include "lib/base/text.h"

enum who_else {         /* beside those who have the role */
        TOKEN = 1 << 0, /* a token, as far as its grant goes */
        OWNER = 1 << 1, /* who holds the key of the certificate */
        EXPIRED = 1
                << 2, /* the owner also after it has expired; its grace is judged by whoever acts */
        LOCAL = 1 << 3, /* on the Unix socket alone */
};

/* clang-format off */
static const struct access_row {
        const char *name; /* NULL: nobody may */
        enum role role;
        unsigned who_else;
} rows[] = {
        [ACTION_NONE]              = { NULL, ROLE_ADMIN, 0 },
        [ACTION_READ_PUBLIC]       = { "reading what is public",        ROLE_PUBLIC,   0 },
        [ACTION_READ_METRICS]      = { "reading the metrics",           ROLE_READER,   0 },
        [ACTION_LIST_CERTIFICATES] = { "listing certificates",          ROLE_READER,   0 },
        [ACTION_ISSUE]             = { "issuing a certificate",         ROLE_OPERATOR, TOKEN },
        [ACTION_ISSUE_ADMIN]       = { "issuing an admin certificate",  ROLE_ADMIN,    LOCAL },
        [ACTION_REVOKE]            = { "revoking a certificate",        ROLE_OPERATOR, OWNER },
        [ACTION_RENEW]             = { "renewing a certificate",        ROLE_OPERATOR, OWNER | EXPIRED },
        [ACTION_SUBMIT_REQUEST]    = { "handing in a request",          ROLE_PUBLIC,   0 },
        [ACTION_READ_REQUEST]      = { "looking at a request",          ROLE_PUBLIC,   0 },
        [ACTION_LIST_REQUESTS]     = { "listing requests",              ROLE_READER,   0 },
        [ACTION_DECIDE_REQUEST]    = { "deciding on a request",         ROLE_OPERATOR, 0 },
        [ACTION_MANAGE_TOKENS]     = { "managing tokens",               ROLE_OPERATOR, 0 },
        [ACTION_PUBLISH_CRL]       = { "publishing a CRL",              ROLE_OPERATOR, 0 },
        [ACTION_READ_AUDIT]        = { "reading the audit",             ROLE_READER,   0 },
        [ACTION_CHANGE_CA]         = { "changing the CA",               ROLE_ADMIN,    0 },
        [ACTION_BACKUP]            = { "making a backup",               ROLE_ADMIN,    LOCAL },
};
/* clang-format on */
_Static_assert(ARRAY_SIZE(rows) == ACTION_COUNT, "one row an action");

static const char *const role_settings[] = {
        [ROLE_PUBLIC] = NULL,
        [ROLE_READER] = "Reader",
        [ROLE_OPERATOR] = "Operator",
        [ROLE_ADMIN] = "Admin",
};
_Static_assert(ARRAY_SIZE(role_settings) == ROLE_COUNT, "one row a role");

const char *action_name(enum action action) {
        return (unsigned) action < ACTION_COUNT && rows[action].name ? rows[action].name : "?";
}

static const struct access_row *row_of(enum action action, struct error *err) {
        if ((unsigned) action < ACTION_COUNT && rows[action].name)
                return &rows[action];
        (void) error_set(err, ERR_INTERNAL, "there is no right to the action %d", (int) action);
        return NULL;
}

/* ---- the answer is no ---- */

/* "Operator=cert:NAME": as whoever asks would be named in it */
static int refuse_role(const struct principal *p, const struct access_row *row, struct error *err) {
        char spki[2 * sizeof(p->spki) + 1] = "";

        if (p->kind == PRINCIPAL_CERTIFICATE)
                return error_set(
                        err, ERR_FORBIDDEN,
                        "you are %s, with the role %s: %s wants the role %s%s. An admin gives it to a certificate of the "
                        "profile " PROFILE_ADMIN " with [Access] %s=spki:%s in cad.conf",
                        p->text, role_name(p->role), row->name, role_name(row->role),
                        row->who_else & OWNER ? ", or the certificate's own key" : "",
                        role_settings[row->role],
                        hex_encode(BYTES(p->spki, sizeof(p->spki)), spki));
        return error_set(
                err, ERR_FORBIDDEN,
                "you are %s, with the role %s: %s wants the role %s. An admin gives it with [Access] %s=%s in cad.conf%s",
                p->text[0] ? p->text : "anonymous", role_name(p->role), row->name,
                role_name(row->role), role_settings[row->role], p->text,
                p->on_unix_socket ? ", or use sudo" : "");
}

static int refuse_token(const struct access_row *row, struct error *err) {
        return error_set(
                err, ERR_FORBIDDEN,
                "you come with a token: it is for getting certificates, and %s wants the role %s. Come with a client certificate of the "
                "profile " PROFILE_ADMIN " that has it, or through the Unix socket",
                row->name, role_name(row->role));
}

static int refuse(const struct principal *p, const struct access_row *row, struct error *err) {
        if (row->who_else & LOCAL && !p->on_unix_socket)
                return error_set(err, ERR_FORBIDDEN,
                                 "%s is done on the Unix socket alone: on the CA's own machine",
                                 row->name);
        if (p->expired_s > 0)
                return error_set(
                        err, ERR_UNAUTHENTICATED,
                        "your certificate (%s) has expired: it may renew itself for as long as its profile gives grace, and "
                        "nothing else. Without it, what is public is there for everybody",
                        p->text);
        switch (p->kind) {
        case PRINCIPAL_ANONYMOUS:
                return error_set(
                        err, ERR_UNAUTHENTICATED,
                        "%s is not for everybody: come with a client certificate%s, or through the Unix socket",
                        row->name, row->who_else & TOKEN ? " or a token" : "");
        case PRINCIPAL_TOKEN:
                return refuse_token(row, err);
        case PRINCIPAL_PEER:
        case PRINCIPAL_CERTIFICATE:
                break;
        }
        return refuse_role(p, row, err);
}

/* ---- who may ---- */

static bool by_role(const struct principal *p, const struct access_row *row) {
        return p->expired_s == 0 && p->role >= row->role &&
                (p->on_unix_socket || !(row->who_else & LOCAL));
}

static bool by_token(const struct principal *p, const struct access_row *row) {
        return p->kind == PRINCIPAL_TOKEN && row->who_else & TOKEN;
}

static bool may_own(const struct principal *p, const struct access_row *row) {
        return p->kind == PRINCIPAL_CERTIFICATE && row->who_else & OWNER &&
                (p->expired_s == 0 || row->who_else & EXPIRED);
}

/* A certificate may turn out to have any role; whether it has, is in the store. */
static bool may_turn_out(const struct principal *p, const struct access_row *row) {
        return p->pending && p->kind == PRINCIPAL_CERTIFICATE && p->expired_s == 0 &&
                !(row->who_else & LOCAL);
}

static bool allowed(const struct principal *p, const struct access_row *row) {
        return by_role(p, row) || by_token(p, row);
}

int access_check(const struct principal *principal, enum action action, struct error *err) {
        const struct access_row *row = row_of(action, err);

        if (!row)
                return -1;
        if (principal->pending)
                return error_set(err, ERR_INTERNAL, "%s was not looked up before %s",
                                 principal->text, row->name);
        return allowed(principal, row) ? 0 : refuse(principal, row, err);
}

int access_check_owner(const struct principal *principal, enum action action,
                       const uint8_t spki[32], struct bytes serial, struct error *err) {
        const struct access_row *row = row_of(action, err);

        if (row && !principal->pending && may_own(principal, row) && serial.size &&
            bytes_equal(BYTES(principal->serial, principal->serial_size), serial) &&
            memcmp(principal->spki, spki, sizeof(principal->spki)) == 0)
                return 0;
        return row ? access_check(principal, action, err) : -1;
}

int access_possible(const struct principal *principal, enum action action, struct error *err) {
        const struct access_row *row = row_of(action, err);

        if (!row)
                return -1;
        if (allowed(principal, row) || may_own(principal, row) || may_turn_out(principal, row))
                return 0;
        return refuse(principal, row, err);
}
