/*
 * Bodies of requests, as far as more than one handler takes them.
 */
#include <string.h>

#include "daemon/http/json.h"
#include "daemon/http/media.h"
#include "daemon/rest/rest.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

/* PEM as it is; without armour it can only be base64 of DER, since JSON holds no octets. */
int rest_csr_text(const char *text, struct buffer *decoded, struct bytes *ret, struct error *err) {
        *ret = bytes_of(text);
        if (strstr(text, "-----"))
                return 0;
        if (base64_decode(*ret, decoded) < 0)
                return error_set_field(
                        err, ERR_CSR_MALFORMED, "csr",
                        "the CSR is neither PEM (-----BEGIN CERTIFICATE REQUEST-----) nor base64 of DER");
        *ret = buffer_bytes(decoded);
        return 0;
}

int rest_no_private_key(struct exchange *x, struct error *err) {
        if (!pem_has_private_key(exchange_body(x)))
                return 0;
        return error_set_field(
                err, ERR_PRIVATE_KEY_IN_BODY, "body",
                "a private key was sent. It is not kept here, but consider it lost: make a new key, and send its CSR alone");
}

int rest_read_nothing(struct exchange *x, struct error *err) {
        CAD_AUTO(json_drop) json_t *document = NULL;

        if (exchange_body(x).size == 0)
                return 0;
        if (json_read(exchange_body(x), JSON_DEPTH_MAX, REST_BODY_MAX, &document, err) < 0)
                return -1;
        return json_members_read(document, /* members= */ NULL, 0, /* target= */ NULL, NULL, err);
}

int rest_read_json(struct exchange *x, const struct json_member *members, size_t count,
                   void *target, size_t size_max, json_t **document, struct error *err) {
        char type[MEDIA_TYPE_MAX];

        if (media_type_parse(exchange_header(x, "Content-Type"), type, err) < 0)
                return -1;
        if (strcmp(type, "application/json") != 0)
                return error_set(err, ERR_MEDIA_TYPE,
                                 "'%s' is not taken here: send application/json", type);
        if (rest_no_private_key(x, err) < 0 ||
            json_read(exchange_body(x), JSON_DEPTH_MAX, size_max, document, err) < 0)
                return -1;
        return json_members_read(*document, members, count, target, NULL, err);
}

int rest_read_optional(struct exchange *x, const struct json_member *members, size_t count,
                       void *target, json_t **document, struct error *err) {
        return exchange_body(x).size == 0
                ? 0
                : rest_read_json(x, members, count, target, REST_BODY_MAX, document, err);
}
