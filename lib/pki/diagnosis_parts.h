/*
 * What the files of the diagnosis share; of no use outside of them.
 */
#pragma once

#include <gnutls/x509.h>

#include "cert.h"
#include "diagnosis.h"

#define DIAGNOSIS_PATH_MAX 10u /* certificates from leaf to root; Java takes no more */

/** struct diagnosed - a certificate as GnuTLS reads it, and, where it is as strict as ours, as lib/pki does */
struct diagnosed {
        struct bytes der;
        gnutls_x509_crt_t crt;          /* NULL: cannot be read at all */
        gnutls_datum_t subject, issuer; /* Names, header included; owned by @crt's allocator */
        struct cert cert;               /* where @strict */
        bool strict;
        bool heavy; /* its key would take too long to compute with: no signature is checked with it */
        int place; /* in the chain that was shown; -1: from elsewhere */
        char label[DIAGNOSIS_LABEL_MAX];
};

/** struct examination - one diagnosis while it runs */
struct examination {
        struct diagnosis *d;
        const struct diagnosis_case *c;
        struct diagnosed shown[DIAGNOSIS_CHAIN_MAX];
        struct diagnosed anchors[DIAGNOSIS_OTHERS_MAX];
        struct diagnosed known[DIAGNOSIS_OTHERS_MAX];
        size_t shown_count, anchor_count, known_count;
        const struct diagnosed *path[DIAGNOSIS_PATH_MAX + 1]; /* leaf first, a trusted root last */
        size_t path_count;
        bool trusted;    /* the path ends in an anchor */
        unsigned checks; /* signatures that were checked so far */
};

/** diagnosis_set_places() - what diagnosis_leaf() and the like will say; the views outlive the examination */
void diagnosis_set_places(struct diagnosis *d, struct bytes leaf, struct bytes issuer,
                          struct bytes anchor);

/** diagnosed_read() - read one; false: GnuTLS cannot */
bool diagnosed_read(struct bytes der, int place, struct diagnosed *ret);
void diagnosed_done(struct diagnosed *one);

/** diagnosed_is_ca() - whether its basic constraints say so */
bool diagnosed_is_ca(const struct diagnosed *one);

/** diagnosed_same_name() - whether @issuer's subject is @one's issuer, octet for octet */
bool diagnosed_same_name(const struct diagnosed *one, const struct diagnosed *issuer);

/** diagnosed_self_issued() - subject and issuer are the same */
bool diagnosed_self_issued(const struct diagnosed *one);

/** diagnosed_has_purpose() - whether its extended key usage has @oid; *ret_any: it has any usage at all */
bool diagnosed_has_purpose(const struct diagnosed *one, const char *oid, bool *ret_any);

/** diagnose_path() - order of the chain, its issuers and its root: fills in path and trusted */
void diagnose_path(struct examination *x);

/** diagnose_issuers() - what the CA certificates of the path may */
void diagnose_issuers(struct examination *x);

/** diagnose_leaf() - times, names, purpose, key of the leaf, keys and signatures of all */
void diagnose_leaf(struct examination *x);

/** diagnose_names() - the names of the leaf against the one that was asked for and against the constraints */
void diagnose_names(struct examination *x);
