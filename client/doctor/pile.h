/*
 * Pile: certificates in DER, as many as come, up to a maximum.
 */
#pragma once

#include "lib/base/bytes.h"

#define PILE_MAX 512u /* certificates; a system trusts about 150 roots */

/** struct pile - zero-initialised is empty; each view is owned */
struct pile {
        struct bytes items[PILE_MAX];
        size_t count;
};

/** pile_add() - copy one. Return: 0, or -1: no memory or no room */
int pile_add(struct pile *pile, struct bytes der);

/** pile_add_pem() - copy the certificates of a PEM text, or the one of a DER text; what is none is passed over. Return: how many */
size_t pile_add_pem(struct pile *pile, struct bytes text);

/** pile_has() - whether it is there, octet for octet */
bool pile_has(const struct pile *pile, struct bytes der);

void pile_done(struct pile *pile);
CAD_CLEANUP_DONE(struct pile, pile_done)
