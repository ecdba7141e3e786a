/*
 * Certs-only PKCS#7, written with the DER writer. Nothing is signed and nothing is read here.
 */
#include "pkcs7.h"

#include <stdlib.h>

#include "der.h"

#define OID_DATA BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")
#define OID_SIGNED_DATA BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
#define HEADERS_MAX 128 /* octets around the certificates */

static void put_bag(struct der_writer *w, const struct bytes *certificates, size_t count) {
        size_t certs;

        der_put(w, DER_SET, BYTES_NONE); /* signerInfos */
        certs = der_mark(w);
        for (size_t i = count; i > 0; i--)
                der_put_raw(w, certificates[i - 1]);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), certs);
        certs = der_mark(w);
        der_put(w, DER_OID, OID_DATA);
        der_wrap(w, DER_SEQUENCE, certs); /* encapContentInfo without content */
        der_put(w, DER_SET, BYTES_NONE);  /* digestAlgorithms */
        der_put_uint(w, 1);
        der_wrap(w, DER_SEQUENCE, 0);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), 0);
        der_put(w, DER_OID, OID_SIGNED_DATA);
        der_wrap(w, DER_SEQUENCE, 0);
}

void pkcs7_append_certificates(struct buffer *out, const struct bytes *certificates, size_t count) {
        size_t size = HEADERS_MAX;
        struct der_writer w;
        uint8_t *octets;

        for (size_t i = 0; i < count; i++)
                size += certificates[i].size;
        octets = malloc(size);
        if (!octets) {
                out->failed = true;
                return;
        }
        der_writer_init(&w, octets, size);
        put_bag(&w, certificates, count);
        if (w.failed)
                out->failed = true;
        else
                buffer_append(out, der_writer_bytes(&w));
        free(octets);
}
