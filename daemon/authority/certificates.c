/*
 * Certificates that are there: found, listed, revoked.
 */
#include <string.h>

#include "daemon/authority/access.h"
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
        if (access_check(principal, ACTION_LIST_CERTIFICATES, err) < 0)
                return -1;
        return store_list(a->store, filter, cursor, limit, each, data, next, err);
}

/* Each certificate is revoked once; a hold can be put on and lifted for ever. */
static bool can_be_undone(enum revocation_reason why) {
        return why == REASON_CERTIFICATE_HOLD || why == REASON_REMOVE_FROM_CRL;
}

/*
 * Its owner may, too; who it belongs to is only looked up where that matters. Nobody has to wait with a revocation: whoever stole a
 * key could otherwise use up the pace of it.
 */
static int may_revoke(struct authority *a, const struct principal *principal, struct bytes serial,
                      enum revocation_reason why, struct error *err) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;

        if (principal->kind != PRINCIPAL_CERTIFICATE ||
            access_check(principal, ACTION_REVOKE, /* err= */ NULL) == 0)
                return access_check(principal, ACTION_REVOKE, err);
        if (store_get_certificate(a->store, serial, &row, err) < 0)
                return -1;
        if (access_check_owner(principal, ACTION_REVOKE, row->spki, row->serial, err) < 0)
                return -1;
        return can_be_undone(why) ? pace_take(a->pace, row, moment_monotonic_ms(), err) : 0;
}

static int revoke(struct authority *a, const struct revoke_request *rq, struct cert_row **ret,
                  struct error *err) {
        uint8_t octets[STORE_SERIAL_MAX];
        char object[2 * STORE_SERIAL_MAX + 1];
        struct bytes number;
        enum revocation_reason why = REASON_UNSPECIFIED;
        struct audit_event event = { .action = "certificate.revoke",
                                     .principal = rq->principal->text,
                                     .source = rq->source,
                                     .request_id = rq->request_id };
        struct store_revoke op;

        if (access_possible(rq->principal, ACTION_REVOKE, err) < 0 ||
            read_serial(rq->serial, octets, &number, err) < 0 ||
            (rq->reason && revocation_reason_from_name(rq->reason, &why, err) < 0) ||
            may_revoke(a, rq->principal, number, why, err) < 0)
                return -1;
        event.object = hex_encode(number, object);
        event.detail = revocation_reason_name(why);
        store_revoke_init(&op, number, why, moment_now(), NULL);
        op.audit = &event;
        if (store_write(a->store, &op.op, err) < 0)
                return -1;
        return store_get_certificate(a->store, number, ret, err);
}

int authority_revoke(struct authority *a, const struct revoke_request *rq, struct cert_row **ret,
                     struct error *err) {
        const struct audit_event refused = { .action = "certificate.revoke",
                                             .source = rq->source,
                                             .object = rq->serial,
                                             .request_id = rq->request_id };

        if (revoke(a, rq, ret, err) == 0)
                return 0;
        audit_refused(a, rq->principal, &refused, err);
        return -1;
}
