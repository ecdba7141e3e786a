/*
 * JSON bodies: any bytes. What is read must be written and read again as the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "daemon/http/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct wish {
        const char *csr, *profile;
        const json_t *names;
        bool force;
        int64_t count;
};

/* clang-format off */
static const struct json_member members[] = {
        { "csr", JSON_MEMBER_TEXT, JSON_TO(struct wish, csr), .required = true, .max = 16384 },
        { "profile", JSON_MEMBER_TEXT, JSON_TO(struct wish, profile), .max = 64 },
        { "names", JSON_MEMBER_TEXTS, JSON_TO(struct wish, names), .max = 100 },
        { "force", JSON_MEMBER_BOOL, JSON_TO(struct wish, force) },
        { "count", JSON_MEMBER_INTEGER, JSON_TO(struct wish, count), .max = 1000 },
};
/* clang-format on */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        CAD_AUTO(json_drop) json_t *document = NULL, *again = NULL;
        CAD_AUTO(buffer_done) struct buffer out = { 0 }, text = { 0 };
        struct wish wish = { 0 };
        struct error err = { 0 };

        if (json_read(BYTES(data, size), JSON_DEPTH_MAX, JSON_BODY_MAX, &document, &err) < 0)
                return err.code && !document ? 0 : (abort(), 0);
        json_append(&out, document);
        /* writing may make it longer: reals */
        if (json_read(buffer_bytes(&out), JSON_DEPTH_MAX, 8 * JSON_BODY_MAX, &again, &err) < 0 ||
            !json_equal(document, again))
                abort();
        if (json_members_read(document, members, ARRAY_SIZE(members), &wish, /* ret_given= */ NULL,
                              &err) == 0 &&
            !wish.csr)
                abort();
        json_append_text(&text, wish.csr);
        return text.failed || text.size == 0 ? (abort(), 0) : 0;
}
