/*
 * Access: see access.h. The table is the one place that gives rights; what has no row may not be done.
 */
#include "daemon/authority/access.h"

#include <string.h>

#include "lib/base/macros.h"

enum who_else {         /* beside those who have the role */
        TOKEN = 1 << 0, /* a token, as far as its grant goes */
        OWNER = 1 << 1, /* who holds the key of the certificate */
        EXPIRED = 1
                << 2, /* the owner also after the certificate has expired; its grace is judged by whoever acts */
        LOCAL = 1 << 3, /* on the Unix socket alone */
};

/* clang-format off */
static const struct access_row {
        const char *name;
        enum role role;
        unsigned who_else;
} rows[] = {
        [ACTION_READ_PUBLIC]       = { "reading what is public",        ROLE_PUBLIC,   0 },
        [ACTION_READ_METRICS]      = { "reading the metrics",           ROLE_READER,   0 },
        [ACTION_LIST_CERTIFICATES] = { "listing certificates",          ROLE_READER,   0 },
        [ACTION_ISSUE]             = { "issuing a certificate",         ROLE_OPERATOR, TOKEN },
        [ACTION_ISSUE_ADMIN]       = { "issuing an admin certificate",  ROLE_ADMIN,    LOCAL },
        [ACTION_REVOKE]            = { "revoking a certificate",        ROLE_OPERATOR, OWNER },
        [ACTION_RENEW]             = { "renewing a certificate",        ROLE_OPERATOR, OWNER | EXPIRED },
        [ACTION_SUBMIT_REQUEST]    = { "handing in a request",          ROLE_PUBLIC,   TOKEN },
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

const char *action_name(enum action action) {
        return (unsigned) action < ACTION_COUNT ? rows[action].name : "?";
}

static const char *who(const struct principal *principal) {
        return principal->text[0] ? principal->text : "anonymous";
}

static int refuse(const struct principal *principal, const struct access_row *row,
                  struct error *err) {
        if (principal->kind == PRINCIPAL_ANONYMOUS)
                return error_set(
                        err, ERR_UNAUTHENTICATED,
                        "%s is not for everybody: come with a client certificate%s, or through the Unix socket",
                        row->name, row->who_else & TOKEN ? " or a token" : "");
        if (row->who_else & LOCAL && !principal->on_unix_socket)
                return error_set(err, ERR_FORBIDDEN, "%s is done on the Unix socket alone",
                                 row->name);
        if (principal->expired_s > 0)
                return error_set(
                        err, ERR_FORBIDDEN,
                        "your certificate has expired: it may still renew itself for a while, and nothing else");
        return error_set(
                err, ERR_FORBIDDEN,
                "you are %s, with the role %s: %s wants the role %s. An admin gives it with [Access] %s= in cad.conf%s",
                who(principal), role_name(principal->role), row->name, role_name(row->role),
                row->role == ROLE_ADMIN              ? "Admin"
                        : row->role == ROLE_OPERATOR ? "Operator"
                                                     : "Reader",
                principal->on_unix_socket ? ", or use sudo" : "");
}

static bool by_role(const struct principal *principal, const struct access_row *row) {
        if (row->who_else & LOCAL && !principal->on_unix_socket)
                return false;
        return row->role == ROLE_PUBLIC ||
                (principal->role >= row->role && principal->expired_s == 0);
}

static bool by_token(const struct principal *principal, const struct access_row *row) {
        return principal->kind == PRINCIPAL_TOKEN && row->who_else & TOKEN;
}

static bool may_own(const struct principal *principal, const struct access_row *row) {
        return principal->kind == PRINCIPAL_CERTIFICATE && row->who_else & OWNER &&
                (principal->expired_s == 0 || row->who_else & EXPIRED);
}

int access_check(const struct principal *principal, enum action action, struct error *err) {
        if ((unsigned) action >= ACTION_COUNT)
                return error_set(err, ERR_INTERNAL, "there is no action %d", (int) action);
        if (by_role(principal, &rows[action]) || by_token(principal, &rows[action]))
                return 0;
        return refuse(principal, &rows[action], err);
}

int access_check_owner(const struct principal *principal, enum action action,
                       const uint8_t spki[32], struct bytes serial, struct error *err) {
        if ((unsigned) action >= ACTION_COUNT)
                return error_set(err, ERR_INTERNAL, "there is no action %d", (int) action);
        if (may_own(principal, &rows[action]) &&
            bytes_equal(BYTES(principal->serial, principal->serial_size), serial) &&
            memcmp(principal->spki, spki, sizeof(principal->spki)) == 0)
                return 0;
        return access_check(principal, action, err);
}

int access_possible(const struct principal *principal, enum action action, struct error *err) {
        if ((unsigned) action < ACTION_COUNT && may_own(principal, &rows[action]))
                return 0;
        return access_check(principal, action, err);
}
