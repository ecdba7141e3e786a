/*
 * Peer certificates: a TLS client's certificate, from DER that nobody has looked at to a principal.
 *
 *      peer_certificate_verify()   in an event thread, once a connection: is it a TLS certificate of this CA?
 *      peer_certificate_judge()    in an event thread, each request: is it its time?
 *      authority_authenticate()    on a worker, each request: is it in the store, and neither revoked nor held? Which role?
 *
 * TLS has proved that the peer has the key of the first certificate, and nothing else (libraries.md §3).
 */
#pragma once

#include "daemon/authority/ca_info.h"
#include "daemon/authority/principal.h"

#define PEER_CHAIN_MAX 10                 /* certificates that a client may send; ours sends two */
#define PEER_CERTIFICATE_MAX (32u * 1024) /* octets of its own; CERT_MAX is the longest of ours */

struct authority;
struct peer_verifier; /* opaque, immutable once made */

/** peer_verifier_follows() - keep the verifier of before a rotation, in which others may still be, until this one is freed; taken */
void peer_verifier_follows(struct peer_verifier *verifier, struct peer_verifier *before);

/**
 * peer_verifier_new() - the keys of the CA's issuers, read once
 * @ca: must outlive it
 * @err: ERR_NO_MEMORY; ERR_KEY_* where an intermediate's key cannot be read. (A root's that is not to our taste has signed no leaf.)
 */
int peer_verifier_new(const struct ca_info *ca, struct peer_verifier **ret, struct error *err);
struct peer_verifier *peer_verifier_free(struct peer_verifier *verifier);
CAD_CLEANUP(struct peer_verifier, peer_verifier_free)

/** struct peer_certificate - what a verified certificate says; owns nothing */
struct peer_certificate {
        uint8_t serial[PRINCIPAL_SERIAL_MAX];
        size_t serial_size;
        uint8_t fingerprint[SHA256_SIZE];
        uint8_t spki[SHA256_SIZE];        /* SHA-256 of its SubjectPublicKeyInfo */
        uint8_t issuer_spki[SHA256_SIZE]; /* the same of its issuer's */
        bool for_clients;         /* else for servers: it is the owner of itself, and has no role */
        struct validity validity; /* ends with its issuer's at the latest */
};

/**
 * peer_certificate_verify() - whether the first of @chain is a TLS certificate of this CA (RFC 5280 §6.1), time aside
 * @chain: DER, as sent. Only the first is looked at: its issuer is known here, and whatever else a peer sends proves nothing
 * @ret:   set on success only
 * @err:   ERR_UNAUTHENTICATED with what is wrong: too many or too long, no certificate, a CA's, an unknown critical extension, for
 *         neither clients nor servers of TLS, of another issuer, self-signed, a signature that is not the issuer's
 *
 * A signature verification, a tenth of a millisecond, and only where the issuer's name and key id fit. From any thread.
 */
int peer_certificate_verify(const struct peer_verifier *verifier, const struct bytes *chain,
                            size_t count, struct peer_certificate *ret, struct error *err);

/**
 * peer_certificate_judge() - the principal of a verified certificate at a time
 * @ret: pending, with the role public; expired_s where it has expired
 * @err: ERR_UNAUTHENTICATED: it is not valid yet
 */
int peer_certificate_judge(const struct peer_certificate *certificate, int64_t now,
                           struct principal *ret, struct error *err);

/** authority_verify_peer() - peer_certificate_verify() with this CA's issuers */
int authority_verify_peer(struct authority *a, const struct bytes *chain, size_t count,
                          struct peer_certificate *ret, struct error *err);

/**
 * authority_authenticate() - look a verified certificate up: the row must be there, of these very octets, and neither revoked nor held
 * @principal: of peer_certificate_judge(); gets its role and is not pending any more, on success only
 * @err:       ERR_UNAUTHENTICATED: why it is not taken; ERR_STORE
 *
 * Reads the store: for a worker, not an event thread.
 */
int authority_authenticate(struct authority *a, const struct peer_certificate *certificate,
                           struct principal *principal, struct error *err);
