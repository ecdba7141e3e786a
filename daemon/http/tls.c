/*
 * TLS: see tls.h and identity.h. The one file of the room that talks to GnuTLS.
 *
 * GnuTLS keeps the pointers that tls_retrieve() gives it for as long as the session lives, so each connection holds on to
 * the identity that it was shown: a new one can take its place at any time.
 */
#include "tls.h"

#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "identity.h"
#include "lib/base/log.h"

/* What a client's RSA key may have: verifying grows with both, and happens in an event thread. lib/pki takes no larger ones. */
#define CLIENT_RSA_BITS_MAX 8192u
#define CLIENT_RSA_EXPONENT_MAX 32u      /* octets */
#define HANDSHAKE_BYTES_MAX (32u * 1024) /* a message of the handshake; a long chain is 10 KiB */

struct tls_identity {
        atomic_uint users;
        gnutls_pcert_st chain[TLS_CHAIN_MAX];
        unsigned chain_len;
        gnutls_privkey_t key;
};

/* ---- identity ---- */

struct tls_identity *tls_identity_ref(struct tls_identity *identity) {
        if (identity)
                (void) atomic_fetch_add(&identity->users, 1);
        return identity;
}

struct tls_identity *tls_identity_unref(struct tls_identity *identity) {
        if (!identity || atomic_fetch_sub(&identity->users, 1) != 1)
                return NULL;
        for (unsigned i = 0; i < identity->chain_len; i++)
                gnutls_pcert_deinit(&identity->chain[i]);
        gnutls_privkey_deinit(identity->key);
        free(identity);
        return NULL;
}

static int unreadable(struct error *err, int rc, const char *what) {
        if (rc == GNUTLS_E_MEMORY_ERROR)
                return error_no_memory(err);
        return error_set(err, ERR_KEY_INVALID, "the %s for TLS cannot be used: %s", what,
                         gnutls_strerror(rc));
}

static gnutls_datum_t datum_of(struct bytes bytes) {
        return (gnutls_datum_t){ (unsigned char *) (uintptr_t) bytes.data, (unsigned) bytes.size };
}

static int read_chain(struct tls_identity *identity, struct bytes text, struct error *err) {
        const gnutls_datum_t pem = datum_of(text);
        unsigned len = TLS_CHAIN_MAX;
        int rc = gnutls_pcert_list_import_x509_raw(identity->chain, &len, &pem, GNUTLS_X509_FMT_PEM,
                                                   /* flags= */ 0);

        if (rc < 0)
                return unreadable(err, rc, "certificate");
        identity->chain_len = len;
        return 0;
}

static int read_key(struct tls_identity *identity, struct bytes text, struct error *err) {
        const gnutls_datum_t pem = datum_of(text);
        int rc = gnutls_privkey_init(&identity->key);

        if (rc >= 0)
                rc = gnutls_privkey_import_x509_raw(identity->key, &pem, GNUTLS_X509_FMT_PEM,
                                                    /* password= */ NULL, /* flags= */ 0);
        return rc < 0 ? unreadable(err, rc, "key") : 0;
}

static bool same_key(gnutls_pubkey_t a, gnutls_pubkey_t b) {
        gnutls_datum_t x = { NULL, 0 }, y = { NULL, 0 };
        bool same = gnutls_pubkey_export2(a, GNUTLS_X509_FMT_DER, &x) >= 0 &&
                gnutls_pubkey_export2(b, GNUTLS_X509_FMT_DER, &y) >= 0 && x.size == y.size &&
                memcmp(x.data, y.data, x.size) == 0;

        gnutls_free(x.data);
        gnutls_free(y.data);
        return same;
}

static int check_pair(const struct tls_identity *identity, struct error *err) {
        gnutls_pubkey_t public;
        bool same;

        if (gnutls_pubkey_init(&public) < 0)
                return error_no_memory(err);
        same = gnutls_pubkey_import_privkey(public, identity->key, /* usage= */ 0,
                                            /* flags= */ 0) >= 0 &&
                same_key(public, identity->chain[0].pubkey);
        gnutls_pubkey_deinit(public);
        return same
                ? 0
                : error_set(err, ERR_KEY_INVALID, "the key for TLS is not that of the certificate");
}

int tls_identity_new(struct bytes chain, struct bytes key, struct tls_identity **ret,
                     struct error *err) {
        CAD_AUTO(tls_identity_unref) struct tls_identity *identity = calloc(1, sizeof(*identity));

        if (!identity)
                return error_no_memory(err);
        atomic_store(&identity->users, 1);
        if (read_chain(identity, chain, err) < 0 || read_key(identity, key, err) < 0 ||
            check_pair(identity, err) < 0)
                return -1;
        *ret = CAD_TAKE(identity);
        return 0;
}

/* ---- the handshake ---- */

/* libmicrohttpd has the session's own pointer; that of the session cache, which there is none of, is free. */
static struct connection *connection_of(gnutls_session_t session) {
        return gnutls_db_get_ptr(session);
}

static int give_up(struct connection *c, gnutls_session_t session, gnutls_alert_description_t alert,
                   const char *why) {
        c->tls_refusal = why;
        (void) gnutls_alert_send(session, GNUTLS_AL_FATAL, alert);
        return GNUTLS_E_UNSUPPORTED_VERSION_PACKET;
}

/* RFC 8446 §4.1.2, RFC 5246 §7.4.1.2: whoever speaks TLS 1.2 or later says 0x0303 here. */
static bool speaks_tls12(const gnutls_datum_t *hello) {
        return hello->size < 2 || hello->data[0] > 3 ||
                (hello->data[0] == 3 && hello->data[1] >= 3);
}

static const char *rsa_fault(gnutls_x509_crt_t crt) {
        gnutls_datum_t modulus = { NULL, 0 }, exponent = { NULL, 0 };
        bool bearable = gnutls_x509_crt_get_pk_rsa_raw(crt, &modulus, &exponent) >= 0 &&
                modulus.size <= CLIENT_RSA_BITS_MAX / 8 + 1 &&
                exponent.size <= CLIENT_RSA_EXPONENT_MAX + 1;

        gnutls_free(modulus.data);
        gnutls_free(exponent.data);
        return bearable ? NULL : "the RSA key of its certificate is too large";
}

/* By what is known to be cheap: a key of DSA may have a group of any size. */
static const char *key_fault(gnutls_x509_crt_t crt) {
        switch (gnutls_x509_crt_get_pk_algorithm(crt, /* bits= */ NULL)) {
        case GNUTLS_PK_RSA:
        case GNUTLS_PK_RSA_PSS:
                return rsa_fault(crt);
        case GNUTLS_PK_ECDSA:
        case GNUTLS_PK_EDDSA_ED25519:
        case GNUTLS_PK_EDDSA_ED448:
                return NULL;
        default:
                return "its certificate has a kind of key that is not taken here";
        }
}

/* Return: why a handshake cannot go on with this certificate, or NULL. Whether it is worth anything is judged later, by others */
static const char *certificate_fault(const gnutls_datum_t *certificate) {
        const char *fault = NULL;
        gnutls_x509_crt_t crt;
        unsigned usage = 0;

        if (gnutls_x509_crt_init(&crt) < 0)
                return "out of memory";
        if (gnutls_x509_crt_import(crt, certificate, GNUTLS_X509_FMT_DER) < 0)
                fault = "its certificate cannot be read";
        else
                fault = key_fault(crt);
        /* RFC 8446 §4.4.2.3: GnuTLS would end the handshake without a word */
        if (!fault && gnutls_x509_crt_get_key_usage(crt, &usage, NULL) >= 0 &&
            !(usage & GNUTLS_KEY_DIGITAL_SIGNATURE))
                fault = "its certificate is not for digital signatures, so it proves nothing in TLS";
        gnutls_x509_crt_deinit(crt);
        return fault;
}

static int on_client_certificate(struct connection *c, gnutls_session_t session) {
        unsigned len = 0;
        const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &len);
        const char *fault = shown && len ? certificate_fault(&shown[0]) : NULL;

        return fault ? give_up(c, session, GNUTLS_A_UNSUPPORTED_CERTIFICATE, fault) : 0;
}

/* Each message of the handshake comes by, before and after it was worked on. */
static int on_message(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                      const gnutls_datum_t *message) {
        struct connection *c = connection_of(session);

        if (!c || !incoming)
                return 0;
        if (type == GNUTLS_HANDSHAKE_CLIENT_HELLO && when == GNUTLS_HOOK_PRE) {
                c->tls_spoken = true;
                if (!speaks_tls12(message))
                        return give_up(c, session, GNUTLS_A_PROTOCOL_VERSION,
                                       "it speaks nothing newer than TLS 1.1");
        } else if (type == GNUTLS_HANDSHAKE_CERTIFICATE_VERIFY && when == GNUTLS_HOOK_PRE) {
                return on_client_certificate(c, session); /* it was read by now */
        } else if (type == GNUTLS_HANDSHAKE_FINISHED && when == GNUTLS_HOOK_POST) {
                c->tls_established = true;
                connection_established(c);
        }
        return 0;
}

void tls_begin(struct connection *c, gnutls_session_t session) {
        gnutls_db_set_ptr(session, c);
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
        gnutls_handshake_set_max_packet_length(session, HANDSHAKE_BYTES_MAX);
        gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_BOTH,
                                           on_message);
}

int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *ca_names, int ca_names_len,
                 const gnutls_pk_algorithm_t *algorithms, int algorithms_len, gnutls_pcert_st **ret,
                 unsigned *ret_len, gnutls_privkey_t *ret_key) {
        struct connection *c = connection_of(session);

        (void) ca_names;
        (void) ca_names_len;
        (void) algorithms;
        (void) algorithms_len;
        if (!c)
                return -1;
        if (!c->identity) /* TLS 1.3 may ask twice: it is the same one then */
                c->identity = http_server_identity(c->server);
        if (!c->identity) {
                c->tls_refusal = "there is no certificate for HTTPS yet";
                return -1;
        }
        *ret = c->identity->chain;
        *ret_len = c->identity->chain_len;
        *ret_key = c->identity->key;
        return 0;
}

void tls_take_certificates(struct connection *c, gnutls_session_t session) {
        unsigned len = 0;
        const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &len);
        size_t size = len * sizeof(struct bytes);
        uint8_t *at;

        if (!shown || len == 0)
                return;
        for (unsigned i = 0; i < len; i++)
                size += shown[i].size;
        c->certificates = malloc(size);
        if (!c->certificates)
                return; /* none: fewer rights, never more */
        at = (uint8_t *) &c->certificates[len];
        for (unsigned i = 0; i < len; i++) {
                memcpy(at, shown[i].data, shown[i].size);
                c->certificates[i] = BYTES(at, shown[i].size);
                at += shown[i].size;
        }
        c->certificates_len = len;
}

void tls_ended(struct connection *c) {
        /* Whoever sent nothing was no TLS client: a port scan, a balancer that looks whether we are there. */
        if (c->tls_established || !c->tls_spoken || !connection_log_allowed(c))
                return;
        if (c->tls_refusal)
                log_info("no TLS with %s: %s", c->peer.text, c->tls_refusal);
        else if (c->identity)
                log_info(
                        "no TLS with %s: it went away when it was shown our certificate; does it trust this CA?",
                        c->peer.text);
        else
                log_info(
                        "no TLS with %s: it went away, or has no version, cipher or group in common with us",
                        c->peer.text);
}
