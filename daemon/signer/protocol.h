/*
 * What cad and cad-signer say to each other.
 *
 *      cad                                   cad-signer
 *       │ HELLO ─────────────────────────────▶ │   once a connection
 *       │ ◀───────────────────────── HELLO_OK  │   the CA: certificates, constraints, URL
 *       │ ISSUE (id 1) ──────────────────────▶ │
 *       │ ISSUE (id 2) ──────────────────────▶ │   many in flight, bounded
 *       │ ◀──────────────── CERTIFICATE (id 2) │   answers in any order
 *       │ ◀────────────────────── ERROR (id 1) │
 *       │ STATUS ────────────────────────────▶ │   the supervisor's pulse
 *       │ ◀──────────────────────── STATUS_OK  │
 *       │ CRL + descriptor (id 3) ───────────▶ │   the revoked entries in a sealed memfd
 *       │ ◀────────── CRL_OK + descriptor (id 3) │   the DER in another, when it is made; issuing goes on meanwhile
 *       │ ANCHOR (id 4) ─────────────────────▶ │   the end of the audit's chain, for the signer's log
 *       │ ◀─────────────── ANCHORS_OK (id 4)   │   the anchors that there are; ANCHORS only asks for them
 *       │ PREPARE, ACTIVATE (id 5) ──────────▶ │   another intermediate; the standby's turn
 *       │ ◀──────────────────── CA_OK (id 5)   │   the CA as it is now, as in HELLO_OK
 *
 * One frame is one SOCK_SEQPACKET datagram: a header, then fields. All numbers are big-endian. A field is a
 * 32-bit length and so many octets; a number is a field of 8 octets. The reader remembers failure: short,
 * over a maximum, or octets left over make a frame malformed, and nothing of it is used. A descriptor beside a frame
 * that takes none is closed unseen.
 *
 * cad never sends octets to be signed: it says what is wanted, and the signer writes it under its own rules.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/audit/verify.h"
#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/pki/cert.h"

#define SIGNER_PROTOCOL_VERSION 1
#define SIGNER_FRAME_MAX (64u * 1024) /* octets of a frame; the largest real one is about 34 KiB */
#define SIGNER_ISSUER_MAX 16          /* bytes with NUL of an issuer's id: "root", "int-1", … */
#define SIGNER_ISSUERS_MAX 8          /* intermediates of a CA */
#define SIGNER_IN_FLIGHT_MAX 128      /* calls that cad has open at once */

enum signer_message {
        SIGNER_HELLO = 1,
        SIGNER_ISSUE = 2,
        SIGNER_STATUS = 3,
        SIGNER_CRL = 4,
        SIGNER_ANCHOR = 5,
        SIGNER_ANCHORS = 6,
        SIGNER_PREPARE = 7,
        SIGNER_ACTIVATE = 8,
        SIGNER_HELLO_OK = 65,
        SIGNER_CERTIFICATE = 66,
        SIGNER_STATUS_OK = 67,
        SIGNER_CRL_OK = 68,
        SIGNER_ANCHORS_OK = 69,
        SIGNER_CA_OK = 70,
        SIGNER_ERROR = 127,
};

struct signer_header {
        uint8_t version;
        uint8_t type;
        uint32_t id;
};

/* ---- frames ---- */

/** struct frame_writer - builds a frame in a buffer of SIGNER_FRAME_MAX octets that the caller owns */
struct frame_writer {
        uint8_t *data;
        size_t size;
        bool failed;
};

void frame_begin(struct frame_writer *w, uint8_t *buffer, enum signer_message type, uint32_t id);
void frame_put(struct frame_writer *w, struct bytes field);
void frame_put_number(struct frame_writer *w, int64_t value);
/** frame_end() - fill in the length. Return: the frame, empty where it did not fit */
struct bytes frame_end(struct frame_writer *w);

/** struct frame_reader - reads the fields of a frame in order */
struct frame_reader {
        const uint8_t *at;
        const uint8_t *end;
        bool failed;
        int *fd; /* the descriptor that came beside the frame, for who takes it (CAD_TAKE_FD); NULL or -1: none */
};

/** frame_open() - read a header. @err: ERR_MESSAGE_MALFORMED for a wrong length or version; @ret is then set as far as it was readable */
int frame_open(struct bytes frame, struct signer_header *ret, struct frame_reader *ret_fields,
               struct error *err);
/** frame_get() - the next field, at most @max octets */
struct bytes frame_get(struct frame_reader *r, size_t max);
/** frame_get_text() - the next field as a C string in @out; a NUL inside or more than @size - 1 octets fails */
void frame_get_text(struct frame_reader *r, char *out, size_t size);
int64_t frame_get_number(struct frame_reader *r);
/** frame_done() - whether everything was read, and nothing failed or is left over */
bool frame_done(const struct frame_reader *r);

/* ---- messages ---- */

/** struct sign_issue - a wish for a leaf; views point into the frame */
struct sign_issue {
        char issuer[SIGNER_ISSUER_MAX]; /* "" is the active one */
        char profile[PROFILE_NAME_MAX];
        uint8_t profile_digest[PROFILE_DIGEST_SIZE];
        struct bytes spki;
        char common_name[65]; /* "": none */
        struct bytes names;   /* GeneralNames, DER */
        struct validity validity;
};

struct bytes sign_issue_encode(uint8_t *buffer, uint32_t id, const struct sign_issue *issue);
/** sign_issue_decode() - @err: ERR_MESSAGE_MALFORMED */
int sign_issue_decode(struct frame_reader *fields, struct sign_issue *ret, struct error *err);

struct bytes sign_certificate_encode(uint8_t *buffer, uint32_t id, const char *issuer,
                                     struct bytes der);
int sign_certificate_decode(struct frame_reader *fields, char ret_issuer[SIGNER_ISSUER_MAX],
                            struct bytes *ret_der, struct error *err);

struct bytes sign_error_encode(uint8_t *buffer, uint32_t id, const struct error *error);
/** sign_error_decode() - @ret gets the error that the signer sent. Return: 0, or -1 with @err where it cannot be read */
int sign_error_decode(struct frame_reader *fields, struct error *ret, struct error *err);

/** sign_empty_encode() - HELLO and STATUS carry no fields */
struct bytes sign_empty_encode(uint8_t *buffer, enum signer_message type, uint32_t id);

enum signer_issuer_state {
        SIGNER_ISSUER_ACTIVE,
        SIGNER_ISSUER_STANDBY,
        SIGNER_ISSUER_RETIRED,
        SIGNER_ISSUER_STATE_COUNT,
};

/** signer_issuer_state_name() - "active", "standby", "retired" */
const char *signer_issuer_state_name(enum signer_issuer_state state);

struct sign_hello_issuer {
        char id[SIGNER_ISSUER_MAX];
        enum signer_issuer_state state;
        struct bytes der;
};

/** struct sign_hello - the CA as the signer knows it; views point into the frame */
struct sign_hello {
        char ca_id[2 * SHA256_SIZE + 1];    /* SHA-256 of the root certificate, hex */
        char replaces[2 * SHA256_SIZE + 1]; /* of the CA that `cad init --again` put away, or "" */
        char name[65];
        char public_url[CERT_URL_MAX];
        struct bytes root;
        struct sign_hello_issuer issuers[SIGNER_ISSUERS_MAX];
        size_t issuer_count;
        int64_t issued; /* leaves that this CA has signed for others, as far as its log and mark tell */
        bool root_key_present;
        bool keys_encrypted;
        int64_t uid; /* of the signer's process */
};

struct bytes sign_hello_encode(uint8_t *buffer, uint32_t id, const struct sign_hello *hello);
/** sign_ca_encode() - the same fields as the answer to PREPARE and ACTIVATE; sign_hello_decode() reads both */
struct bytes sign_ca_encode(uint8_t *buffer, uint32_t id, const struct sign_hello *hello);
int sign_hello_decode(struct frame_reader *fields, struct sign_hello *ret, struct error *err);

/* ---- intermediates ---- */

/** sign_change_encode() - PREPARE or ACTIVATE. @issuer: whose turn it is, "": the standby's; PREPARE names none */
struct bytes sign_change_encode(uint8_t *buffer, enum signer_message type, uint32_t id,
                                const char *issuer);
/** sign_change_decode() - @err: ERR_MESSAGE_MALFORMED */
int sign_change_decode(struct frame_reader *fields, char ret_issuer[SIGNER_ISSUER_MAX],
                       struct error *err);

/**
 * signer_issuer_urls() - where CRL and certificate of an issuer are fetched: both ends must write the same
 * @crl_url, @issuer_url: CERT_URL_MAX bytes each
 */
void signer_issuer_urls(const char *public_url, const char *id, char *crl_url, char *issuer_url);

/** struct sign_status - how the signer is */
struct sign_status {
        int64_t issued;
        int64_t last_hour;          /* signatures in the last hour */
        int64_t per_hour;           /* the limit, 0: none */
        char clock[ERROR_TEXT_MAX]; /* "" where the clock is right, else why not */
        char log[ERROR_TEXT_MAX];   /* "" where the log can be written, else why not */
};

struct bytes sign_status_encode(uint8_t *buffer, uint32_t id, const struct sign_status *status);
int sign_status_decode(struct frame_reader *fields, struct sign_status *ret, struct error *err);

/* ---- CRLs ---- */

#define SIGNER_ROOT_ID "root"   /* the issuer of the root's own CRL */
#define SIGNER_CRL_DAYS_MAX 400 /* how far off nextUpdate may be */
#define SIGNER_CRL_NUMBER_STEP_MAX \
        86400 /* how far a number may be above both the clock's seconds and the last one: else one wish could use all numbers up */

/**
 * struct sign_crl - a wish for a CRL; the signer writes all of it but these entries
 *
 * @number: above that of the issuer's last CRL. 0: the signer takes the larger of that one + 1 and the seconds since the epoch, for a
 *          cad whose own memory of it is too old
 * @this_update: at most a day before now, and not after it
 * @next_update: after now, at most SIGNER_CRL_DAYS_MAX off and not after the issuer's end
 */
struct sign_crl {
        char issuer[SIGNER_ISSUER_MAX]; /* "int-1", …; SIGNER_ROOT_ID */
        int64_t number;
        int64_t this_update, next_update; /* seconds since the epoch */
        int64_t entry_count;
        int entries_fd; /* of crl_entries_seal(), lib/pki/crl.h; -1 where there are none. Goes beside the frame, not into it */
};

struct bytes sign_crl_encode(uint8_t *buffer, uint32_t id, const struct sign_crl *wish);
/** sign_crl_decode() - entries_fd is -1: who has received the frame has the descriptor. @err: ERR_MESSAGE_MALFORMED */
int sign_crl_decode(struct frame_reader *fields, struct sign_crl *ret, struct error *err);

/** sign_crl_ok_encode() - @size: octets of the CRL, in the sealed memfd beside the frame */
struct bytes sign_crl_ok_encode(uint8_t *buffer, uint32_t id, const char *issuer, int64_t number,
                                int64_t size);
int sign_crl_ok_decode(struct frame_reader *fields, char ret_issuer[SIGNER_ISSUER_MAX],
                       int64_t *ret_number, int64_t *ret_size, struct error *err);

/* ---- anchors of the audit ---- */

#define SIGNER_ANCHORS_MAX \
        64 /* that are kept for reading back: the newest, and thinner the older; all of them are in the log */

/** struct sign_anchors - in the order in which they were set */
struct sign_anchors {
        struct audit_anchor list[SIGNER_ANCHORS_MAX];
        size_t count;
};

/** sign_anchor_encode() - the time of an anchor is the signer's: it does not go into the message */
struct bytes sign_anchor_encode(uint8_t *buffer, uint32_t id, const struct audit_anchor *anchor);
/** sign_anchor_decode() - at is 0. @err: ERR_MESSAGE_MALFORMED */
int sign_anchor_decode(struct frame_reader *fields, struct audit_anchor *ret, struct error *err);

struct bytes sign_anchors_encode(uint8_t *buffer, uint32_t id, const struct sign_anchors *anchors);
int sign_anchors_decode(struct frame_reader *fields, struct sign_anchors *ret, struct error *err);
