/*
 * Requests from outside, as DER and as text. Whatever is taken must hold together: views inside its own octets, names and
 * lists within their limits, and the same result when it is read again as what it says that it is.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/pki/csr.h"
#include "lib/pki/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): a build without asserts must still find it. */
static void must(bool holds) {
        if (!holds)
                abort();
}

static bool is_inside(const struct csr *csr, struct bytes view) {
        return view.size && view.data >= csr->octets &&
                view.data + view.size <= csr->octets + csr->der.size;
}

static void check_lists(const struct csr *csr) {
        must(csr->names.count <= SAN_COUNT_MAX && csr->extended_key_usage_count <= CSR_EKU_MAX);
        must(csr->other_extension_count <= CSR_EXTENSION_MAX &&
             csr->other_attribute_count <= CSR_EXTENSION_MAX);
        for (size_t i = 0; i < csr->extended_key_usage_count; i++)
                must(is_inside(csr, csr->extended_key_usage[i]));
        for (size_t i = 0; i < csr->other_extension_count; i++)
                must(is_inside(csr, csr->other_extensions[i]));
        for (size_t i = 0; i < csr->other_attribute_count; i++)
                must(is_inside(csr, csr->other_attributes[i]));
        must(!csr->names_from_cn || (csr->names.count == 1 && csr->common_name.size));
        must(csr->key_usage < KU_DECIPHER_ONLY << 1 && csr->has_key_usage == (csr->key_usage != 0));
}

static void check_csr(const struct csr *csr) {
        uint8_t id[KEY_ID_SIZE];
        struct error err = { 0 };

        must(csr->der.size <= CSR_MAX && csr->der.data == csr->octets && csr->key);
        must(is_inside(csr, csr->info) && is_inside(csr, csr->spki) &&
             is_inside(csr, csr->algorithm) && is_inside(csr, csr->subject));
        must(csr->signature.size == 0 || is_inside(csr, csr->signature));
        must(csr->common_name.size == 0 || is_inside(csr, csr->common_name));
        must(spki_key_id(csr->spki, id) == 0);
        check_lists(csr);
        if (csr_verify(csr, &err) < 0)
                must(err.code == ERR_CSR_SIGNATURE || err.code == ERR_CSR_WEAK_SIGNATURE);
}

static void fuzz_der(struct bytes input) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        CAD_AUTO(csr_free) struct csr *again = NULL;
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        struct error err = { 0 };

        if (csr_from_der(input, RSA_BITS_MAX, &csr, &err) < 0) {
                must(!csr && err.code != ERR_NONE && err.text[0] && err.field[0]);
                return;
        }
        must(bytes_equal(csr->der, input));
        check_csr(csr);
        pem_append(&pem, "CERTIFICATE REQUEST", csr->der);
        must(csr_from_text(buffer_bytes(&pem), RSA_BITS_MAX, &again, &err) == 0);
        must(bytes_equal(csr->der, again->der) && san_list_equal(&csr->names, &again->names));
}

static void fuzz_text(struct bytes input) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        struct error err = { 0 };

        if (csr_from_text(input, RSA_BITS_MAX, &csr, &err) < 0)
                must(!csr && err.code != ERR_NONE && err.text[0] && err.field[0]);
        else
                check_csr(csr);
}

static void fuzz_pem(struct bytes input) {
        char label[PEM_LABEL_MAX];
        struct error err = { 0 };
        size_t before;

        for (;;) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };
                int r;

                before = input.size;
                r = pem_next(&input, label, &der, &err);
                if (r <= 0) {
                        must(r == 0 || err.code == ERR_BODY_MALFORMED);
                        return;
                }
                must(input.size < before && der.size > 0 && label[0] &&
                     strnlen(label, sizeof(label)) < sizeof(label));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct bytes input = BYTES(data, size);

        fuzz_der(input);
        fuzz_text(input);
        fuzz_pem(input);
        return 0;
}
