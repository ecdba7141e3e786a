/*
 * CRLs in the signer: what of a wish is granted, and the making. All that a CRL says but its entries, number and times is the signer's own.
 */
#pragma once

#include "daemon/signer/ca.h"
#include "daemon/signer/protocol.h"
#include "lib/pki/crl.h"

/** struct crl_grant - a wish that passed; views into the CA */
struct crl_grant {
        char issuer[SIGNER_ISSUER_MAX];
        const struct private_key *key;
        struct crl_wish wish;        /* entries_fd is borrowed; the number may still be 0 */
        uint8_t key_id[KEY_ID_SIZE]; /* where the issuer's certificate says none */
};

/**
 * crl_policy_check() - hold a wish against the CA and the time; its number is crl_number_check()'s business, its entries crl_measure()'s
 *
 * cad may be hostile: nothing of what it says is believed.
 * @root_key_there: whether the root's key still lies where it belongs. One that was taken away is not used out of memory either
 * @ret:  must stay where it is: its wish may point into it
 * @err: ERR_CA_MISSING for an unknown issuer, ERR_STATE_CONFLICT where the root's key is away or the issuer may not sign CRLs, ERR_CA_EXPIRED,
 *       ERR_VALIDITY_OUT_OF_RANGE with the field, ERR_REQUEST_MALFORMED: entries without a sealed memfd, or too many
 */
int crl_policy_check(const struct ca *ca, bool root_key_there, const struct sign_crl *wish,
                     int64_t now_s, struct crl_grant *ret, struct error *err);

/**
 * crl_make() - write and sign what was granted
 * @octets: of crl_measure()
 * Return: a sealed memfd of @ret_size octets, the caller's, or -1 with @err
 */
int crl_make(const struct crl_grant *grant, size_t octets, size_t *ret_size, struct error *err);
