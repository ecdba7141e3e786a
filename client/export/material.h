/*
 * What is exported: a certificate, what stands between it and the root, the root; and a key, where one was given.
 */
#pragma once

#include "cactl.h"
#include "lib/base/bytes.h"
#include "lib/pki/cert.h"
#include "lib/pki/key.h"
#include "show.h"

enum material_need {
        NEED_LEAF,
        NEED_CHAIN, /* the intermediates, too */
        NEED_ROOT,  /* and the root: then all of it is verified */
};

/** struct material - zero-initialised is empty */
struct material {
        struct certs leaf;       /* one */
        struct certs chain;      /* from the leaf's issuer upwards, without the root */
        struct certs root;       /* one, or none where it was not needed */
        struct cert cert;        /* the leaf's; points into @leaf */
        struct private_key *key; /* NULL: none was given */
};

void material_done(struct material *m);
CAD_CLEANUP_DONE(struct material, material_done)

/**
 * material_find() - from a file where @what is one, else by its serial from the CA; what a file lacks comes from the CA
 *
 * Return: DONE, or a result after saying what is wrong: nothing like that, another CA's, a chain that does not lead to the root
 */
enum result material_find(struct client *c, const char *what, enum material_need need,
                          struct material *ret);

/** material_take_key() - read a private key, asking for its passphrase on a terminal; it has to fit the certificate */
enum result material_take_key(struct material *m, const char *path);
