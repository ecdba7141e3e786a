/*
 * Certificates from outside (files, roots that exist, the signer's answers): read strictly, every view inside the input, and
 * whatever hangs on a certificate can be read on without harm.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/moment.h"
#include "lib/pki/cert.h"
#include "lib/pki/dn.h"

#define FIRST_UTC_TIME INT64_C(-631152000) /* 1950-01-01T00:00:00Z */
#define INPUT_MAX 65536                    /* bytes; of a file that is read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
        if (!holds)
                abort();
}

static void must_be_inside(struct bytes view, struct bytes der) {
        must(view.size == 0 ||
             (view.data >= der.data && view.data + view.size <= der.data + der.size));
}

static void check_views(const struct cert *c, struct bytes der) {
        const struct bytes views[] = { c->der,
                                       c->tbs,
                                       c->serial,
                                       c->issuer,
                                       c->subject,
                                       c->spki,
                                       c->algorithm,
                                       c->signature,
                                       c->san,
                                       c->extended_key_usage,
                                       c->subject_key_id,
                                       c->authority_key_id,
                                       c->name_constraints,
                                       c->crl_distribution_points,
                                       c->authority_info_access };

        for (size_t i = 0; i < ARRAY_SIZE(views); i++)
                must_be_inside(views[i], der);
        must(c->tbs.size && c->serial.size && c->issuer.size && c->subject.size && c->spki.size);
        must(!(c->is_ca && !c->has_basic_constraints));
        must(c->path_length >= -1 && c->path_length <= 100);
        must(c->validity.not_before >= FIRST_UTC_TIME && c->validity.not_after <= MOMENT_LAST);
}

static void read_on(const struct cert *c) {
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        CAD_AUTO(constraints_free) struct name_constraints *constraints = NULL;
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        char text[DN_TEXT_MAX];
        uint8_t digest[SHA256_SIZE];

        (void) dn_text(c->subject, text, sizeof(text));
        (void) dn_common_name(c->issuer, text, sizeof(text));
        (void) cert_is_self_signed(c);
        cert_fingerprint(c->der, digest);
        if (c->san.size && san_list_from_der(&names, c->san, "names", NULL) == 0 &&
            c->name_constraints.size &&
            constraints_from_der(c->name_constraints, &constraints, NULL) == 0)
                (void) constraints_check_list(constraints, &names, "names", NULL);
        if (public_key_from_spki(c->spki, RSA_BITS_MAX, &key, NULL) == 0)
                (void) public_key_verify(key, c->algorithm, c->tbs, c->signature, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct bytes der = BYTES(data, size);
        struct cert cert, untouched;
        struct error err = { 0 };

        if (size > INPUT_MAX)
                return 0;
        memset(&cert, 0xa5, sizeof(cert));
        memcpy(&untouched, &cert, sizeof(cert));
        if (cert_read(der, &cert, &err) < 0) {
                must(err.code == ERR_CSR_MALFORMED && err.text[0] &&
                     memcmp(&cert, &untouched, sizeof(cert)) == 0);
                return 0;
        }
        check_views(&cert, der);
        read_on(&cert);
        return 0;
}
