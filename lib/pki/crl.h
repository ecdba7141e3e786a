/*
 * Certificate revocation lists (RFC 5280 §5): written from entries alone, linear in their number, and read strictly.
 *
 * Entries are records of a fixed size in a file that nobody can change any more (a sealed memfd, lib/base/memfd.h), so that two
 * processes can share a million of them without either holding them in its memory. The writer walks them in windows, once to
 * measure and once to write, and its output goes straight into a file: what it needs is the same for one entry and for millions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/pki/der.h"
#include "lib/pki/key.h"

#define CRL_SERIAL_MAX 20 /* octets of a serial; RFC 5280 §4.1.2.2 */
#define CRL_NUMBER_MAX 20 /* octets of a CRLNumber; RFC 5280 §5.2.3 */
#define CRL_ENTRIES_MAX (4u * 1000 * 1000)
#define CRL_SIZE_MAX (512u * 1024 * 1024) /* octets; CRL_ENTRIES_MAX of the longest are 244 MB */
#define CRL_REMOVE_FROM_CRL 8             /* the one CRLReason that only a delta CRL may hold */

/** struct crl_entry - a revoked certificate, as it lies in the file: native byte order, both ends are one machine */
struct crl_entry {
        uint8_t serial_size; /* 1–20 */
        uint8_t serial
                [CRL_SERIAL_MAX]; /* big-endian magnitude without leading zeros; what is behind it is zero */
        uint8_t reason; /* CRLReason (RFC 5280 §5.3.1): 0–6, 9, 10; 0 is left out of the CRL */
        uint8_t pad[2]; /* zero */
        int64_t revoked_at; /* seconds since the epoch */
};
_Static_assert(sizeof(struct crl_entry) == 32, "no hidden octets");

/** crl_entry_set() - fill one in, zeros included. Return: false where @serial is none of 1–20 octets without leading zero */
bool crl_entry_set(struct crl_entry *entry, struct bytes serial, unsigned reason,
                   int64_t revoked_at);

/**
 * crl_entry_check() - whether an entry can stand in a full CRL
 * @err: ERR_REQUEST_MALFORMED: a serial that is zero, negative as an INTEGER of 20 octets, too long or has zeros in front; a
 *       reason that is none, or removeFromCRL; a time before 1970 or after 9999; octets that should be zero
 */
int crl_entry_check(const struct crl_entry *entry, struct error *err);

/* ---- a file of entries: made by whoever knows them, sealed, then handed on ---- */

struct crl_entries; /* opaque */

/** crl_entries_new() - an empty one, in memory that is a file (memfd). @err: ERR_NO_MEMORY, ERR_IO */
int crl_entries_new(struct crl_entries **ret, struct error *err);
struct crl_entries *crl_entries_free(struct crl_entries *entries);
CAD_CLEANUP(struct crl_entries, crl_entries_free)

/** crl_entries_add() - at the end; entries are checked as crl_entry_check() does. @err: ERR_REQUEST_MALFORMED, ERR_NO_MEMORY, ERR_IO */
int crl_entries_add(struct crl_entries *entries, const struct crl_entry *entry, struct error *err);

/**
 * crl_entries_seal() - no more of them
 * @ret_count: how many there are
 * Return: the sealed descriptor, the caller's, or -1 with @err (ERR_IO)
 */
int crl_entries_seal(struct crl_entries *entries, size_t *ret_count, struct error *err);

/* ---- writing ---- */

/** struct crl_wish - what a CRL says beside its entries; views of the caller's */
struct crl_wish {
        struct bytes
                issuer; /* Name, header included: the CA certificate's subject, octet for octet */
        struct bytes key_id; /* of the authority key identifier */
        int64_t number;      /* CRLNumber, from 0 */
        int64_t this_update; /* seconds since the epoch */
        int64_t next_update;
        int entries_fd; /* sealed; -1 where there are none. Read with pread(), never mapped */
        size_t entry_count;
        void (*between)(
                void *context); /* called after each window of entries, to give way to others; NULL: none */
        void *context;
};

/**
 * crl_measure() - walk the entries once, check each, and sum up their octets
 * @err: ERR_REQUEST_MALFORMED with the index of the first bad entry, or where the file is not of @wish->entry_count entries or there are more
 *       than CRL_ENTRIES_MAX; ERR_IO
 */
int crl_measure(const struct crl_wish *wish, size_t *ret_octets, struct error *err);

/**
 * crl_write() - write a v2 CRL (RFC 5280 §5.1) and sign it
 *
 * Extensions: authority key identifier and CRL number. revokedCertificates is left out where there are none, reasonCode where it is unspecified.
 * The digest is computed while it is written; a key that signs no digest (Ed25519) has the file mapped for it.
 * @octets: as crl_measure() found; entries that differ from what was measured are refused
 * @out_fd: an empty file, readable and writable; nobody else may be able to write to it. On failure its content is worth nothing
 * @ret_size: octets of the CRL, which are those of the file
 * @err:    as crl_measure(); ERR_CRYPTO, ERR_IO, ERR_NO_MEMORY
 */
int crl_write(const struct crl_wish *wish, size_t octets, const struct private_key *key, int out_fd,
              size_t *ret_size, struct error *err);

/* ---- reading ---- */

/** struct crl - a CRL that was read; views point into @der of the caller, who keeps it alive */
struct crl {
        struct bytes der;
        struct bytes tbs;       /* header included */
        struct bytes algorithm; /* AlgorithmIdentifier, header included; equal inside and outside */
        struct bytes issuer;    /* Name, header included */
        int64_t this_update;
        int64_t next_update;
        struct bytes entries; /* content of revokedCertificates; empty where there are none */
        size_t entry_count;
        struct bytes authority_key_id; /* the octets */
        struct bytes number;           /* CRLNumber: INTEGER content without a leading zero */
        size_t extension_count;
        bool unknown_critical; /* a critical extension that none of the above */
        struct bytes signature;
};

/**
 * crl_read() - read a v2 CRL strictly, each entry included: what crl_write() writes, in whatever order of entries
 * @err: ERR_SIGNER_WRONG with what is wrong
 */
int crl_read(struct bytes der, struct crl *ret, struct error *err);

/** crl_entries_reader() - for crl_next_entry() */
static inline struct der_reader crl_entries_reader(const struct crl *crl) {
        return der_reader(crl->entries);
}

/** crl_next_entry() - the next one, in the form in which it was handed in. Return: false at the end, or where @r->failed */
bool crl_next_entry(struct der_reader *r, struct crl_entry *ret);

/** crl_number() - the number where it fits, else INT64_MAX */
int64_t crl_number(const struct crl *crl);

/**
 * crl_compare() - one pass over what came back from the signer against what was asked (design.md §2)
 *
 * Issuer, number, times, key identifier, number of extensions and each entry, in order. The signature is public_key_verify()'s business.
 * @err: ERR_SIGNER_WRONG with the first difference; ERR_IO
 */
int crl_compare(const struct crl *crl, const struct crl_wish *wish, struct error *err);
