/*
 * Chains as a hostile server shows them: whatever is in them, a diagnosis comes to an end, its findings are in order and printable, and the
 * certificates that it speaks of are among those that were given.
 *
 * An input is an octet of options, an octet that says how many of the certificates are trusted roots, then certificates, each behind two
 * octets of length.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/pki/diagnosis.h"

#define NOW INT64_C(1796060000) /* 2026-11-30 */
#define CERTS_MAX 64
#define INPUT_MAX (256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
        if (!holds)
                abort();
}

static size_t split(struct bytes in, struct bytes *out) {
        size_t count = 0;

        while (in.size >= 2 && count < CERTS_MAX) {
                size_t length = (size_t) in.data[0] << 8 | in.data[1];

                in = BYTES(in.data + 2, in.size - 2);
                if (length > in.size)
                        length = in.size;
                out[count++] = BYTES(in.data, length);
                in = BYTES(in.data + length, in.size - length);
        }
        return count;
}

static bool is_one_of(struct bytes one, const struct bytes *all, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (one.data == all[i].data && one.size == all[i].size)
                        return true;
        return one.size == 0;
}

static void check_findings(const struct diagnosis *d) {
        char printable[ERROR_TEXT_MAX];

        must(diagnosis_count(d) <= DIAGNOSIS_FINDINGS_MAX);
        for (size_t i = 0; i < diagnosis_count(d); i++) {
                const struct diagnosis_finding *finding = diagnosis_finding(d, i);

                must(finding->code < DIAGNOSIS_COUNT && finding->text[0]);
                text_make_printable(finding->text, printable, sizeof(printable));
                must(text_equal(printable, finding->text));
                must(i == 0 ||
                     diagnosis_code_severity(diagnosis_finding(d, i - 1)->code) <=
                             diagnosis_code_severity(finding->code));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const names[] = { NULL, "nas.lan", "192.168.1.5", "fd00::5" };
        CAD_AUTO(diagnosis_free) struct diagnosis *d = diagnosis_new();
        struct bytes certs[CERTS_MAX];
        struct diagnosis_case c = { .now = NOW };
        char label[DIAGNOSIS_LABEL_MAX];
        struct error err = { 0 };
        size_t count;

        if (size < 2 || size > INPUT_MAX || !d)
                return 0;
        count = split(BYTES(data + 2, size - 2), certs);
        c.name = names[data[0] & 3];
        c.purpose = data[0] >> 2 & 3;
        c.anchor_count = data[1] < count ? data[1] : count;
        c.chain_count = count - c.anchor_count;
        c.chain = certs;
        c.anchors = certs + c.chain_count;
        if (data[0] & 0x80) { /* all are known, too */
                c.known = certs;
                c.known_count = count;
        }
        must(diagnose(d, &c, &err) == 0 || err.code == ERR_CRYPTO);
        check_findings(d);
        must(is_one_of(diagnosis_leaf(d), certs, count));
        must(is_one_of(diagnosis_issuer(d), certs, count));
        must(is_one_of(diagnosis_anchor(d), certs, count));
        must(diagnosis_purposes(diagnosis_leaf(d)) <= (PURPOSE_SERVER | PURPOSE_CLIENT));
        must(strlen(diagnosis_label(diagnosis_leaf(d), label)) < sizeof(label));
        return 0;
}
