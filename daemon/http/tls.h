/*
 * TLS of one connection: what is shown to the client, and what the client shows. Private to the room.
 *
 * libmicrohttpd makes the handshake. It is told here which certificate to show, and is watched for a client that brings
 * what would cost too much or is too old; a client's certificate is taken along and never judged (design.md §8).
 */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "connection.h"

/* TLS 1.2 with AEAD and forward secrecy, TLS 1.3; no SHA-1; no FFDHE, whose large groups a client could make us compute in. */
#define TLS_PRIORITIES \
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:-DHE-DSS:-AES-128-CBC:-AES-256-CBC:" \
        "-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:-SIGN-DSA-SHA1:" \
        "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1"

/** tls_begin() - prepare a session right after accept: ask for a client certificate, watch the handshake */
void tls_begin(struct connection *connection, gnutls_session_t session);

/** tls_retrieve() - for MHD_OPTION_HTTPS_CERT_CALLBACK: the identity of the moment. Return: 0, or -1 where there is none */
int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *ca_names, int ca_names_len,
                 const gnutls_pk_algorithm_t *algorithms, int algorithms_len, gnutls_pcert_st **ret,
                 unsigned *ret_len, gnutls_privkey_t *ret_key);

/** tls_take_certificates() - copy what the client has shown to @connection; once, after the handshake */
void tls_take_certificates(struct connection *connection, gnutls_session_t session);

/**
 * tls_ended() - the connection is about to be closed: log a handshake that came to nothing, once a minute and address
 *
 * libmicrohttpd has freed the session by then, although it still hands it out: nothing may be asked of it.
 */
void tls_ended(struct connection *connection);
