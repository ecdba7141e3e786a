/*
 * Credentials from outside (uploaded, from Windows, out of somebody's mail): whatever a file holds is read or refused with a sentence; what was
 * arranged can be written, and is read again as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/pki/credential.h"

#define INPUT_MAX 65536
#define NOW INT64_C(1795305670)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
        if (!holds)
                abort();
}

static struct credential_parts *read_parts(struct bytes input, struct bytes password) {
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        struct error err = { 0 };

        must(parts != NULL);
        if (credential_parts_add(parts, input, password, &err) == 0)
                return CAD_TAKE(parts);
        must(err.code != ERR_NONE && err.text[0]);
        return NULL;
}

/* What we write we read, and it is the same. */
static void write_and_read(const struct credential *c) {
        enum credential_part part = credential_key(c) ? CREDENTIAL_COMBINED : CREDENTIAL_FULL_CHAIN;
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = NULL;
        CAD_AUTO(credential_free) struct credential *again = NULL;

        must(credential_pem(c, part, &pem, NULL) == 0);
        parts = read_parts(buffer_bytes(&pem), BYTES_NONE);
        must(parts && credential_arrange(parts, &again, NULL) == 0);
        must(bytes_equal(credential_leaf(c), credential_leaf(again)));
        must(credential_chain_count(c) == credential_chain_count(again));
}

static void use(struct bytes input, struct bytes password) {
        CAD_AUTO(credential_parts_free)
        struct credential_parts *parts = read_parts(input, password);
        CAD_AUTO(credential_free) struct credential *c = NULL;
        struct error err = { 0 };

        if (!parts)
                return;
        (void) credential_parts_seek(parts, input, NULL);
        if (credential_arrange(parts, &c, &err) < 0) {
                must(c == NULL && err.code != ERR_NONE && err.text[0]);
                return;
        }
        must(credential_leaf(c).size && credential_chain_count(c) <= CREDENTIAL_CHAIN_MAX);
        (void) credential_verify(c, NOW, NULL);
        (void) credential_covers(c, "nas.lan", NULL);
        write_and_read(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size > INPUT_MAX)
                return 0;
        use(BYTES(data, size), BYTES_NONE);
        use(BYTES(data, size), BYTES_LITERAL("geheim"));
        return 0;
}
