/*
 * Renewals: see renewal.h.
 */
#include "renewal.h"

#include "lib/pki/pem.h"
#include "output.h"

int renewal_key(struct bytes spki, struct private_key **ret, struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *old = NULL;

        if (public_key_from_spki(spki, RSA_BITS_MAX, &old, err) < 0)
                return -1;
        return private_key_generate(public_key_type(old), public_key_bits(old), ret, err);
}

int renewal_csr(const struct private_key *key, struct buffer *ret, struct error *err) {
        const struct san_list none = { .count = 0 };

        return csr_create(key, /* common_name= */ NULL, &none, ret, err);
}

json_t *renewal_body(struct bytes csr) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        if (csr.size)
                pem_append(&pem, "CERTIFICATE REQUEST", csr);
        return json_pack("{s:s*}", "csr", csr.size ? buffer_string(&pem) : NULL);
}

enum result renewal_post(struct client *c, const char *serial, struct bytes csr, json_t **ret) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *body = renewal_body(csr);

        if (!body)
                return fail(REFUSED, "out of memory");
        buffer_format(&path, "/v1/certificates/%s/renew", serial);
        return api_post(c, buffer_string(&path), body, ret);
}

int renewal_read(const json_t *answer, struct bytes spki, const struct san_list *names,
                 struct issued *ret, struct error *err) {
        if (issued_read(answer, ret, err) < 0 || issued_check_key(ret, spki, err) < 0)
                return -1;
        return issued_check_names(ret, names, err);
}
