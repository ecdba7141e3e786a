/*
 * A certificate that the CA sent, held against what was asked for.
 */
#pragma once

#include <jansson.h>

#include "api.h"
#include "cactl.h"
#include "lib/base/moment.h"
#include "lib/pki/san.h"
#include "show.h"

/** struct issued - the leaf, and the chain with the leaf first; zero-initialised is empty */
struct issued {
        struct certs chain;
        struct cert cert; /* points into @chain */
        char serial[SERIAL_TEXT_MAX];
};

void issued_done(struct issued *issued);
CAD_CLEANUP_DONE(struct issued, issued_done)

/** issued_read() - read `certificate` and `chain` of an answer. @err: ERR_BODY_MALFORMED */
int issued_read(const json_t *answer, struct issued *ret, struct error *err);

/**
 * issued_of_row() - the certificate in what the CA says of @serial; @err as certs_from_text()
 *
 * A restore brings back some of which only the signer's log knew: without a certificate, and refused in words.
 */
int issued_of_row(const json_t *row, const char *serial, struct certs *ret, struct error *err);

/** issued_check_key() - it holds this public key. @err: ERR_SIGNER_WRONG */
int issued_check_key(const struct issued *issued, struct bytes spki, struct error *err);

/** issued_check_names() - it is for these names, all of them and no other. @err: ERR_SIGNER_WRONG */
int issued_check_names(const struct issued *issued, const struct san_list *names,
                       struct error *err);

/** issued_check_chain() - leaf, intermediates and @root verify, by GnuTLS. @err: ERR_SIGNER_WRONG */
int issued_check_chain(const struct issued *issued, struct bytes root, int64_t now,
                       struct error *err);

/**
 * issued_validity() - what --days or --validity say, as the API takes it
 * @text: DURATION_TEXT_MAX bytes for it
 * @ret:  @text, or NULL where neither was given
 */
enum result issued_validity(const struct client *c, char *text, const char **ret);
