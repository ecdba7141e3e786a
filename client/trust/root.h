/*
 * The root that is to be trusted: from where it comes, whether it may be, and how it is talked about.
 */
#pragma once

#include "client/cactl.h"
#include "lib/pki/cert.h"
#include "lib/pki/constraints.h"
#include "lib/pki/fingerprint_words.h"

#define ROOT_LABEL_MAX 64 /* bytes with NUL */

/** struct root_match - which certificate is meant: by its fingerprint, as far as that is known */
struct root_match {
        struct fingerprint fingerprint;
};

/** root_match_fits() - whether that is the one */
bool root_match_fits(const struct root_match *match, struct bytes der);

/** root_match_of() - by the whole digest */
struct root_match root_match_of(const uint8_t digest[SHA256_SIZE]);

/** struct root - zero-initialised is empty */
struct root {
        struct root_match match;
        struct buffer der; /* empty: nothing but its fingerprint is known */
        struct buffer pem;
        struct cert cert; /* views into @der */
        uint8_t digest[SHA256_SIZE];
        /* what it is called in stores: of its name and the beginning of its fingerprint; a-z, 0-9 and '-' */
        char label[ROOT_LABEL_MAX];
        struct name_constraints *constraints; /* NULL: none, or none that can be read */
        bool confined;                        /* neither any DNS name nor any address */
};

void root_done(struct root *root);
CAD_CLEANUP_DONE(struct root, root_done)

/**
 * root_get() - the root that --root, --url or the CA of this machine gives, held against --fingerprint
 *
 * A root that came over the network without proof wants a fingerprint, which is asked for on the terminal where it was not given.
 * @der_needed: false: --fingerprint alone will do, too
 * @ret: zero-initialised
 * Return: DONE, or a result after saying what is wrong
 */
enum result root_get(struct client *c, bool der_needed, struct root *ret);

/**
 * root_check() - whether it may be trusted at all
 *
 * Refused: what is no CA certificate or not signed by itself, what has expired or is not valid yet, weak keys and signatures, and
 * what may not sign certificates.
 * @err: with what to do
 */
int root_check(const struct root *root, int64_t now, struct error *err);

/** root_show() - name, fingerprint, validity, and for which names it is, to standard error */
void root_show(const struct client *c, const struct root *root);

/** root_vouches_for() - "any name at all …" or the constraints in plain words. @out: appended */
void root_vouches_for(const struct root *root, struct buffer *out);
