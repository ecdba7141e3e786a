/*
 * What came back is looked at before anything is done with it: key, names, chain.
 */
#include "issued.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"
#include "output.h"

#define DAYS_MAX 36500u

void issued_done(struct issued *issued) {
        certs_done(&issued->chain);
}

int issued_read(const json_t *answer, struct issued *ret, struct error *err) {
        const char *leaf = api_text(answer, "certificate"), *chain = api_text(answer, "chain");

        if (certs_from_text(&ret->chain, bytes_of(leaf), "the CA's answer", err) < 0)
                return -1;
        if (ret->chain.count != 1)
                return error_set(err, ERR_BODY_MALFORMED, "the CA sent %zu certificates as one",
                                 ret->chain.count);
        if (*chain &&
            certs_from_text(&ret->chain, bytes_of(chain), "the chain of the CA's answer", err) < 0)
                return -1;
        if (cert_read(buffer_bytes(&ret->chain.der[0]), &ret->cert, err) < 0)
                return -1;
        (void) hex_encode(BYTES(ret->cert.serial.data,
                                ret->cert.serial.size > SERIAL_MAX ? SERIAL_MAX
                                                                   : ret->cert.serial.size),
                          ret->serial);
        return 0;
}

int issued_of_row(const json_t *row, const char *serial, struct certs *ret, struct error *err) {
        if (!json_object_get(row, "certificate"))
                return error_set(
                        err, ERR_NOT_FOUND,
                        "%s was lost with a database, and only the signer's log knows of it: give its owner a new one; "
                        "'cactl cert revoke %s' takes it back",
                        serial, serial);
        return certs_from_text(ret, bytes_of(api_text(row, "certificate")), "the CA's answer", err);
}

int issued_check_key(const struct issued *issued, struct bytes spki, struct error *err) {
        if (bytes_equal(issued->cert.spki, spki))
                return 0;
        return error_set(
                err, ERR_SIGNER_WRONG,
                "the certificate that came back (serial %s) is for another key: is this your CA?",
                issued->serial);
}

int issued_check_names(const struct issued *issued, const struct san_list *names,
                       struct error *err) {
        CAD_AUTO(san_list_done) struct san_list there = { 0 };
        char text[SAN_TEXT_MAX];

        if (issued->cert.san.size && san_list_from_der(&there, issued->cert.san, "names", err) < 0)
                return -1;
        for (size_t i = 0; i < names->count; i++)
                if (!san_list_contains(&there, &names->items[i]))
                        return error_set(
                                err, ERR_SIGNER_WRONG,
                                "the certificate that came back (serial %s) lacks the name %s",
                                issued->serial, san_text(&names->items[i], text, sizeof(text)));
        for (size_t i = 0; i < there.count; i++)
                if (!san_list_contains(names, &there.items[i]))
                        return error_set(
                                err, ERR_SIGNER_WRONG,
                                "the certificate that came back (serial %s) has a name that was not asked for: %s",
                                issued->serial, san_text(&there.items[i], text, sizeof(text)));
        return 0;
}

int issued_check_chain(const struct issued *issued, struct bytes root, int64_t now,
                       struct error *err) {
        const struct validity *v = &issued->cert.validity;
        int64_t at = now < v->not_before ? v->not_before : now > v->not_after ? v->not_after : now;

        if (issued->chain.count != 2)
                return error_set(
                        err, ERR_SIGNER_WRONG,
                        "the CA sent a chain of %zu certificates; leaf and intermediate are wanted",
                        issued->chain.count);
        /* by the certificate's own time where this machine's clock is off: that is not the CA's fault */
        return chain_verify(issued->cert.der, buffer_bytes(&issued->chain.der[1]), root, at, err);
}

enum result issued_validity(const struct client *c, char *text, const char **ret) {
        const char *days = option_value(c, "days"), *validity = option_value(c, "validity");
        struct error err = { 0 };
        int64_t seconds = 0;
        uint64_t n = 0;

        *ret = NULL;
        if (days && validity)
                return fail(WRONG_USAGE,
                            "--days and --validity say the same thing twice: give one");
        if (!days && !validity)
                return DONE;
        if (days && (text_to_u64(days, DAYS_MAX, &n) < 0 || n == 0))
                return fail(WRONG_USAGE, "--days %s: a whole number of days is wanted, 1 to %u",
                            days, DAYS_MAX);
        if (validity && (duration_parse(validity, &seconds, &err) < 0 || seconds <= 0))
                return fail(WRONG_USAGE, "--validity %s: write it as 90d, 12h, 2y", validity);
        (void) duration_format(days ? (int64_t) n * 86400 : seconds, text);
        *ret = text;
        return DONE;
}
