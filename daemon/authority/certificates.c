/*
 * Certificates that are there: found, listed, revoked.
 */
#include <string.h>

#include "daemon/authority/authority.h"
#include "daemon/authority/internal.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

static int read_serial(const char *text, uint8_t serial[STORE_SERIAL_MAX], struct bytes *ret,
                       struct error *err) {
        size_t size;

        if (hex_decode(text, serial, STORE_SERIAL_MAX, &size) < 0 || size == 0)
                return error_set(
                        err, ERR_NOT_FOUND,
                        "'%.60s' is no serial number: it is written as up to 40 hex digits, as `cactl cert list` shows it",
                        text);
        *ret = BYTES(serial, size);
        return 0;
}

int authority_find(struct authority *a, const char *serial, struct cert_row **ret,
                   struct error *err) {
        uint8_t octets[STORE_SERIAL_MAX];
        struct bytes number;

        if (read_serial(serial, octets, &number, err) < 0)
                return -1;
        return store_get_certificate(a->store, number, ret, err);
}

int authority_list(struct authority *a, const struct principal *principal,
                   const struct cert_filter *filter, const char *cursor, size_t limit,
                   store_each each, void *data, char *next, struct error *err) {
        if (principal_require(principal, ROLE_READER, "listing certificates", err) < 0)
                return -1;
        return store_list(a->store, filter, cursor, limit, each, data, next, err);
}

int authority_revoke(struct authority *a, const struct principal *principal, const char *serial,
                     const char *reason, struct cert_row **ret, struct error *err) {
        uint8_t octets[STORE_SERIAL_MAX];
        struct bytes number;
        enum revocation_reason why = REASON_UNSPECIFIED;
        struct store_revoke op;

        if (principal_require(principal, ROLE_OPERATOR, "revoking a certificate", err) < 0 ||
            read_serial(serial, octets, &number, err) < 0 ||
            (reason && revocation_reason_from_name(reason, &why, err) < 0))
                return -1;
        store_revoke_init(&op, number, why, moment_now(), NULL);
        if (store_write(a->store, &op.op, err) < 0)
                return -1;
        return store_get_certificate(a->store, number, ret, err);
}
