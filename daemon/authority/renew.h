/*
 * Renewal: the same names and profile again, for as long; the one way for every protocol. And when to do it.
 */
#pragma once

#include "daemon/authority/authority.h"

/** struct renew_request - what the protocol read; lent for the call */
struct renew_request {
        const struct principal *principal;
        const char *serial; /* of the certificate that is renewed, hex */
        struct bytes
                csr; /* DER or PEM: with its key from now on; empty: with the key that it has */
        const char *profile; /* NULL: whatever it is of; else it has to be of this one */
        /* the CSR has to give the names of the certificate, all of them (RFC 7030 §4.2.2) */
        bool names_all;
        const char *idempotency_key; /* as in struct issue_request, as is what follows */
        const char *method, *path;
        uint8_t body_hash[SHA256_SIZE];
        const char *source, *request_id; /* for the audit, as in struct issue_request */
};

/**
 * authority_renew() - a certificate in place of another: its names, its profile, its label, and as long a life
 *
 * For who holds the key of that certificate, and operators. Profile, constraints and what is known of the keys are those of
 * today. The life is that of the old one, within what the profile gives today. Where the old one was cut short by its
 * issuer's end, it is the life that was asked for or that a token gave at most, else the profile's default. A CSR brings a new key; names and CN in it must be those of the certificate, or not be there.
 * The old certificate stays valid. One that is revoked meanwhile is not renewed: that is looked at in the transaction, too.
 *
 * Return: 0, then @done is called (perhaps before this returns); or -1 with @err, then it is not.
 * @err: ERR_NOT_FOUND; ERR_UNAUTHENTICATED, ERR_FORBIDDEN; ERR_ALREADY_REVOKED; ERR_STATE_CONFLICT: on hold, expired for longer than the profile's
 *       Grace=, of an issuer that is not of this CA or whose key was compromised, the CA's own; ERR_KEY_RESERVED: the key was
 *       compromised; ERR_NAME_NOT_ALLOWED, field csr.san or csr.subject.CN: the CSR wants other names; ERR_FORBIDDEN, field profile: it is of another; and all of authority_issue()
 */
int authority_renew(struct authority *a, const struct renew_request *rq, issue_done done,
                    void *context, struct error *err);

/** struct renew_window - when to renew, seconds since the epoch (RFC 9773 §4.1); start < end */
struct renew_window {
        int64_t start, end;
};

/**
 * renew_window_of() - when a certificate should be renewed (RFC 9773)
 *
 * From two thirds of its life, counted from when it was made where that is after its notBefore. The window is a twelfth of
 * the life long and begins up to a twelfth later, by a hash of the serial: what was issued in one minute is not renewed in one
 * (threats.md R-25), also by clients that do not choose a moment inside it. A sixth of the life is left after the latest end.
 * That of a revoked certificate has passed: now. A hold changes nothing, since it may be lifted.
 */
void renew_window_of(const struct cert_row *row, struct renew_window *ret);

/** renew_poll_s() - how many seconds to wait before asking for the window again: 6 h (RFC 9773 §4.3.3), less for a short life; 1 min at least */
int64_t renew_poll_s(const struct cert_row *row);
