/*
 * Peer certificates: see peer_certificate.h.
 *
 * It believes nothing that a peer sends: only what an issuer of this CA has signed, and of that only what the store still
 * stands by. It never falls back to another way of knowing somebody.
 */
#include "daemon/authority/peer_certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/authority/internal.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/oid.h"

#define ISSUERS_MAX (SIGNER_ISSUERS_MAX + 1) /* the root, too */
#define PURPOSES_MAX 32                      /* of one certificate; ours have two */

struct known_issuer {
        const struct cert *cert;
        struct public_key *key;
};

struct peer_verifier {
        struct known_issuer issuers[ISSUERS_MAX];
        size_t count;
        struct peer_verifier *before;
};

/* ---- the CA's own issuers ---- */

void peer_verifier_follows(struct peer_verifier *verifier, struct peer_verifier *before) {
        verifier->before = before;
}

struct peer_verifier *peer_verifier_free(struct peer_verifier *verifier) {
        if (verifier)
                (void) peer_verifier_free(verifier->before);
        for (size_t i = 0; verifier && i < verifier->count; i++)
                (void) public_key_free(verifier->issuers[i].key);
        free(verifier);
        return NULL;
}

static int add_issuer(struct peer_verifier *verifier, const struct cert *cert, struct error *err) {
        struct known_issuer *issuer = &verifier->issuers[verifier->count];

        if (public_key_from_spki(cert->spki, RSA_BITS_MAX, &issuer->key, err) < 0)
                return -1;
        issuer->cert = cert;
        verifier->count++;
        return 0;
}

int peer_verifier_new(const struct ca_info *ca, struct peer_verifier **ret, struct error *err) {
        CAD_AUTO(peer_verifier_free) struct peer_verifier *verifier = calloc(1, sizeof(*verifier));

        if (!verifier)
                return error_no_memory(err);
        (void) add_issuer(verifier, &ca->root, /* err= */ NULL);
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (add_issuer(verifier, &ca->issuers[i].cert, err) < 0)
                        return -1;
        *ret = CAD_TAKE(verifier);
        return 0;
}

/* ---- is it one of ours? ---- */

/* Each says what somebody has to do who did not mean any harm. */
#define NOT_TAKEN "the client certificate is not taken: "

static bool is_for(const struct cert *cert, struct bytes purpose) {
        struct der_reader outer = der_reader(cert->extended_key_usage);
        struct der_reader list = der_enter(&outer, DER_SEQUENCE);
        bool found = false;

        for (size_t n = 0; der_more(&list) && n < PURPOSES_MAX; n++)
                found |= bytes_equal(der_get(&list, DER_OID), purpose);
        return found && der_done(&list) && der_done(&outer);
}

static bool for_clients(const struct cert *cert) {
        return is_for(cert, OID_KP_CLIENT_AUTH);
}

/* A server's, too: it proves who holds its key, who may renew and revoke it. A role it never gives (authority_authenticate()). */
static bool for_tls(const struct cert *cert) {
        return for_clients(cert) || is_for(cert, OID_KP_SERVER_AUTH);
}

static bool may_sign_handshakes(const struct cert *cert) {
        return !cert->has_key_usage || cert->key_usage & KU_DIGITAL_SIGNATURE;
}

static bool is_leaf(const struct cert *cert) {
        return !cert->is_ca && !(cert->key_usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
}

static bool is_understood(const struct cert *cert) {
        return !cert->unknown_critical && cert->name_constraints.size == 0;
}

static bool serial_fits(const struct cert *cert) {
        return cert->serial.size <= PRINCIPAL_SERIAL_MAX;
}

static bool is_signed_by_another(const struct cert *cert) {
        return !cert_is_self_signed(cert);
}

static const struct {
        bool (*holds)(const struct cert *cert);
        const char *otherwise;
} demands[] = {
        { is_leaf, "it is a CA's, and those sign certificates and nothing else" },
        { is_signed_by_another, "it is self-signed; show one that this CA has issued" },
        { is_understood, "it has a critical extension that is not known here" },
        { for_tls,
          "it is not for TLS (neither clientAuth nor serverAuth in its extended key usage); ask for one of the profile client, device, peer or server" },
        { may_sign_handshakes, "its key usage does not allow digitalSignature" },
        { serial_fits, "its serial number has more than 20 octets" },
};

static bool has_issued(const struct known_issuer *issuer, const struct cert *cert) {
        return bytes_equal(issuer->cert->subject, cert->issuer) &&
                bytes_equal(issuer->cert->subject_key_id, cert->authority_key_id);
}

static int find_issuer(const struct peer_verifier *verifier, const struct cert *cert,
                       const struct known_issuer **ret, struct error *err) {
        for (size_t i = 0; i < verifier->count; i++) {
                if (!has_issued(&verifier->issuers[i], cert))
                        continue;
                if (public_key_verify(verifier->issuers[i].key, cert->algorithm, cert->tbs,
                                      cert->signature, NULL) < 0)
                        return error_set(err, ERR_UNAUTHENTICATED,
                                         NOT_TAKEN "its signature is not this CA's");
                *ret = &verifier->issuers[i];
                return 0;
        }
        return error_set(err, ERR_UNAUTHENTICATED,
                         NOT_TAKEN
                         "it is of another CA; show one that this CA has issued, or none");
}

static int read_first(const struct bytes *chain, size_t count, struct cert *ret,
                      struct error *err) {
        struct error why = { 0 };

        if (count == 0)
                return error_set(err, ERR_UNAUTHENTICATED, "there is no client certificate");
        if (count > PEER_CHAIN_MAX)
                return error_set(
                        err, ERR_UNAUTHENTICATED,
                        NOT_TAKEN
                        "%zu of them were sent, %d are the most: its own and its issuer's are enough",
                        count, PEER_CHAIN_MAX);
        if (chain[0].size > PEER_CERTIFICATE_MAX)
                return error_set(err, ERR_UNAUTHENTICATED,
                                 NOT_TAKEN "it has %zu octets, %u are the most", chain[0].size,
                                 PEER_CERTIFICATE_MAX);
        if (cert_read(chain[0], ret, &why) < 0)
                return error_set(err, ERR_UNAUTHENTICATED, NOT_TAKEN "%s", why.text);
        for (size_t i = 0; i < ARRAY_SIZE(demands); i++)
                if (!demands[i].holds(ret))
                        return error_set(err, ERR_UNAUTHENTICATED, NOT_TAKEN "%s",
                                         demands[i].otherwise);
        return 0;
}

int peer_certificate_verify(const struct peer_verifier *verifier, const struct bytes *chain,
                            size_t count, struct peer_certificate *ret, struct error *err) {
        const struct known_issuer *issuer;
        struct peer_certificate found = { 0 };
        struct cert cert;

        if (read_first(chain, count, &cert, err) < 0 ||
            find_issuer(verifier, &cert, &issuer, err) < 0)
                return -1;
        memcpy(found.serial, cert.serial.data, cert.serial.size);
        found.serial_size = cert.serial.size;
        cert_fingerprint(cert.der, found.fingerprint);
        sha256(cert.spki, found.spki);
        sha256(issuer->cert->spki, found.issuer_spki);
        found.for_clients = for_clients(&cert);
        found.validity = cert.validity;
        if (found.validity.not_after > issuer->cert->validity.not_after)
                found.validity.not_after = issuer->cert->validity.not_after;
        *ret = found;
        return 0;
}

int peer_certificate_judge(const struct peer_certificate *certificate, int64_t now,
                           struct principal *ret, struct error *err) {
        char when[MOMENT_TEXT_MAX], serial[2 * PRINCIPAL_SERIAL_MAX + 1];
        struct principal p = { .kind = PRINCIPAL_CERTIFICATE, .pending = true };

        if (now < certificate->validity.not_before)
                return error_set(err, ERR_UNAUTHENTICATED,
                                 NOT_TAKEN "it is not valid before %s; is a clock wrong?",
                                 moment_format(certificate->validity.not_before, when));
        if (now > certificate->validity.not_after)
                p.expired_s = now - certificate->validity.not_after;
        memcpy(p.serial, certificate->serial, sizeof(p.serial));
        p.serial_size = certificate->serial_size;
        memcpy(p.spki, certificate->spki, sizeof(p.spki));
        (void) snprintf(p.text, sizeof(p.text), "cert:%s",
                        hex_encode(BYTES(p.serial, p.serial_size), serial));
        *ret = p;
        return 0;
}

int authority_verify_peer(struct authority *a, const struct bytes *chain, size_t count,
                          struct peer_certificate *ret, struct error *err) {
        return peer_certificate_verify(a->peer_verifier, chain, count, ret, err);
}

/* ---- does the store stand by it? ---- */

static int find_row(struct authority *a, const struct peer_certificate *certificate,
                    struct cert_row **ret, struct error *err) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct error missing = { 0 };

        if (store_get_certificate(a->store, BYTES(certificate->serial, certificate->serial_size),
                                  &row, &missing) < 0) {
                if (missing.code == ERR_NOT_FOUND)
                        return error_set(err, ERR_UNAUTHENTICATED,
                                         NOT_TAKEN
                                         "this CA knows no certificate with its serial number");
                *err = missing;
                return -1;
        }
        if (memcmp(row->fingerprint, certificate->fingerprint, sizeof(row->fingerprint)) != 0)
                return error_set(err, ERR_UNAUTHENTICATED,
                                 NOT_TAKEN "this CA has issued another one with its serial number");
        *ret = CAD_TAKE(row);
        return 0;
}

static int check_status(const struct cert_row *row, struct error *err) {
        char when[MOMENT_TEXT_MAX];

        switch (row->status) {
        case CERT_STATUS_VALID:
        case CERT_STATUS_EXPIRED:
                return 0;
        case CERT_STATUS_HELD:
                return error_set(err, ERR_UNAUTHENTICATED,
                                 NOT_TAKEN "it is on hold since %s; an operator can lift that",
                                 moment_format(row->revoked_at, when));
        case CERT_STATUS_REVOKED:
        case CERT_STATUS_COUNT:
                break;
        }
        return error_set(err, ERR_UNAUTHENTICATED,
                         NOT_TAKEN "it was revoked at %s (%s); enrol again with a new key",
                         moment_format(row->revoked_at, when), revocation_reason_name(row->reason));
}

/*
 * A key that is out proves nothing, also in a certificate that nobody has revoked yet. An issuer's: whoever has it makes
 * certificates with any serial number and key.
 */
static int check_keys(struct authority *a, const struct peer_certificate *certificate,
                      struct error *err) {
        struct spki_use own, issuers;

        if (store_spki_use(a->store, certificate->spki, /* look_for_use= */ false, &own, err) < 0 ||
            store_spki_use(a->store, certificate->issuer_spki, /* look_for_use= */ false, &issuers,
                           err) < 0)
                return -1;
        if (own.compromised || issuers.compromised)
                return error_set(err, ERR_UNAUTHENTICATED,
                                 NOT_TAKEN "the key of %s was compromised; enrol again%s",
                                 own.compromised ? "this certificate" : "its issuer",
                                 own.compromised ? " with a new key" : "");
        return 0;
}

static enum role role_of(struct authority *a, const struct cert_row *row) {
        const struct certificate_identity identity = { .profile = row->profile,
                                                       .label = row->label,
                                                       .names = row->names,
                                                       .name_count = row->name_count,
                                                       .spki = row->spki };
        enum role role;

        (void) pthread_mutex_lock(&a->lock);
        role = access_role_of_certificate(a->access, &identity);
        (void) pthread_mutex_unlock(&a->lock);
        return role;
}

int authority_authenticate(struct authority *a, const struct peer_certificate *certificate,
                           struct principal *principal, struct error *err) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;

        if (find_row(a, certificate, &row, err) < 0 || check_status(row, err) < 0 ||
            check_keys(a, certificate, err) < 0)
                return -1;
        principal->role = certificate->for_clients ? role_of(a, row) : ROLE_PUBLIC;
        principal->pending = false;
        return 0;
}
