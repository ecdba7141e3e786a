/*
 * A server's chain by its own clock: see trust_clock.h. No socket and no clock here.
 */
#include "trust_clock.h"

#include <stdio.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/oid.h"

bool trust_clock_needed(int64_t now, struct bytes root) {
        struct error ignored = { 0 };
        struct cert cert;

        if (now < CAD_BUILD_TIME)
                return true;
        return cert_read(root, &cert, &ignored) == 0 && now < cert.validity.not_before;
}

static bool is_for_servers(const struct cert *cert) {
        struct der_reader outer = der_reader(cert->extended_key_usage),
                          list = der_enter(&outer, DER_SEQUENCE);
        bool found = false;

        while (der_more(&list))
                found = bytes_equal(der_get(&list, DER_OID), OID_KP_SERVER_AUTH) || found;
        return found && der_done(&list) && der_done(&outer) && !cert->is_ca;
}

static int make_pin(struct bytes spki, char *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        uint8_t digest[SHA256_SIZE];

        sha256(spki, digest);
        buffer_text(&text, "sha256//");
        base64_append(&text, BYTES(digest, sizeof(digest)), /* line= */ 0);
        if (text.failed)
                return error_no_memory(err);
        (void) snprintf(ret, TRUST_CLOCK_PIN_MAX, "%s", buffer_string(&text));
        return 0;
}

int trust_clock_verify(const struct certs *chain, struct bytes root, int64_t told, char *ret_pin,
                       struct error *err) {
        char when[MOMENT_TEXT_MAX];
        struct cert leaf;

        if (told < 0 || told > MOMENT_LAST)
                return error_set(err, ERR_CLOCK, "it does not tell the time");
        if (trust_clock_needed(told, root))
                return error_set(err, ERR_CLOCK, "it says that it is %s, which cannot be either",
                                 moment_format(told, when));
        if (chain->count < 2)
                return error_set(
                        err, ERR_SIGNER_WRONG,
                        "it shows %zu certificates; its own and an intermediate are wanted",
                        chain->count);
        if (cert_read(buffer_bytes(&chain->der[0]), &leaf, err) < 0 ||
            chain_verify(leaf.der, buffer_bytes(&chain->der[1]), root, told, err) < 0)
                return -1;
        if (!is_for_servers(&leaf))
                return error_set(err, ERR_SIGNER_WRONG,
                                 "its certificate is not one for TLS servers");
        return make_pin(leaf.spki, ret_pin, err);
}
