/*
 * The number of the last CRL of each issuer, as far as the signer has signed it: it is in the mark and in the log, so that a store
 * that was put back from a backup cannot make CRL numbers go back.
 */
#pragma once

#include <stdint.h>

#include "daemon/signer/protocol.h"

#define CRL_NUMBERS_MAX 16 /* issuers: those of a CA, and some that it once had */

/** struct crl_numbers - zero-initialised is empty; a row without a number is free */
struct crl_numbers {
        struct crl_number {
                char issuer[SIGNER_ISSUER_MAX];
                int64_t number;
        } rows[CRL_NUMBERS_MAX];
};

/** crl_numbers_last() - of an issuer; 0: none */
int64_t crl_numbers_last(const struct crl_numbers *numbers, const char *issuer);

/** crl_numbers_note() - remember a number where it is above the one that is there. Where there is no room, the lowest of others makes it */
void crl_numbers_note(struct crl_numbers *numbers, const char *issuer, int64_t number);

/** crl_numbers_merge() - note all of @from */
void crl_numbers_merge(struct crl_numbers *numbers, const struct crl_numbers *from);

/** crl_number_next() - the larger of the last one + 1 and the seconds since the epoch */
int64_t crl_number_next(const struct crl_numbers *numbers, const char *issuer, int64_t now_s);

/** crl_number_check() - whether an issuer's next CRL may have this number. @err: ERR_STATE_CONFLICT, field "number", with the last one */
int crl_number_check(const struct crl_numbers *numbers, const char *issuer, int64_t number,
                     int64_t now_s, struct error *err);
