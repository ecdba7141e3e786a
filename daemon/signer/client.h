/*
 * The signer as cad sees it: calls that are answered later, one reader, deadlines on every wait.
 *
 * Any thread sends; the client's reader thread receives and calls back. A call is answered exactly once: by the
 * signer, by its deadline, or by the loss of the connection.
 */
#pragma once

#include "daemon/signer/protocol.h"

#define SIGNER_DEADLINE_MS \
        3000 /* for an answer; then the caller gets a 503 and the supervisor looks after the signer */

struct signer_client; /* opaque */
struct signer_call;

/**
 * signer_done - what happens with the answer; on the reader's thread (or the sweeper's): it must not block for long
 * @issuer, @der: the certificate; they live for the call. @err NULL
 * @err:          why not; @der is empty
 */
typedef void (*signer_done)(struct signer_call *call, const char *issuer, struct bytes der,
                            const struct error *err);

/** struct signer_call - embedded in what the caller keeps until @done; the rest is the client's */
struct signer_call {
        signer_done done;
        uint32_t id;
        int64_t deadline_ms; /* monotonic */
        struct signer_call *next;
};

/**
 * signer_client_new() - without a connection yet
 * @drained: called on the reader's thread when it has handed out all the answers that were there: the moment to do once what would
 *           otherwise be done for each. Returns microseconds to sleep before looking for more answers and asking again, 0: done. NULL: none
 */
int signer_client_new(unsigned (*drained)(void *context), void *context, struct signer_client **ret,
                      struct error *err);

/** signer_client_free() - fails what is in flight with ERR_STOPPING, ends the reader. Return: NULL */
struct signer_client *signer_client_free(struct signer_client *client);
CAD_CLEANUP(struct signer_client, signer_client_free)

/**
 * signer_client_attach() - say HELLO on a new connection and use it from now on; what was in flight on an old one fails
 * @fd:    taken
 * @frame: SIGNER_FRAME_MAX octets of the caller, into which @ret_hello has its views
 * @deadline_ms: how long the signer may take to say hello (it may make a CA first)
 * @err:   what the signer said instead, or ERR_SIGNER_UNAVAILABLE
 */
int signer_client_attach(struct signer_client *client, int fd, int64_t deadline_ms, uint8_t *frame,
                         struct sign_hello *ret_hello, struct error *err);

/** signer_client_detach() - drop the connection: what is in flight fails with ERR_SIGNER_UNAVAILABLE */
void signer_client_detach(struct signer_client *client);

/**
 * signer_client_issue() - ask for a leaf
 * @err: ERR_SIGNER_UNAVAILABLE, ERR_OVERLOADED where too much is in flight: then @call->done is not called
 */
int signer_client_issue(struct signer_client *client, const struct sign_issue *issue,
                        struct signer_call *call, struct error *err);

/** signer_client_status() - ask how it is, and wait. @err: ERR_SIGNER_UNAVAILABLE */
int signer_client_status(struct signer_client *client, int64_t timeout_ms, struct sign_status *ret,
                         struct error *err);

#define SIGNER_CRL_DEADLINE_MS 60000 /* for a CRL: a million entries take a second or two */

/** struct signed_crl - a CRL as the signer made it: a sealed file in memory, and its octets mapped read-only */
struct signed_crl {
        struct bytes der;
        int fd;
};

void signed_crl_done(struct signed_crl *crl);
CAD_CLEANUP_DONE(struct signed_crl, signed_crl_done)

/**
 * signer_client_crl() - have a CRL made, and wait for it: up to SIGNER_CRL_DEADLINE_MS, so not on a thread that others wait for
 *
 * Certificates are issued meanwhile; calls of several threads go side by side (the signer makes one CRL at a time).
 * @wish: its entries_fd stays the caller's
 * @ret:  signed_crl_done() frees it. Of what it says nothing was compared yet: that is crl_read(), crl_compare(), public_key_verify()
 * @err:  ERR_SIGNER_UNAVAILABLE, ERR_STOPPING, ERR_OVERLOADED (too many wait already); ERR_REQUEST_MALFORMED (an entry, a missing seal);
 *        ERR_CA_MISSING (no such issuer), ERR_STATE_CONFLICT (the root key is away, or the number is not above the last one: its text says which),
 *        ERR_VALIDITY_OUT_OF_RANGE, ERR_CA_EXPIRED, ERR_CLOCK, ERR_RATE_LIMITED; ERR_SIGNER_WRONG
 */
int signer_client_crl(struct signer_client *client, const struct sign_crl *wish,
                      struct signed_crl *ret, struct error *err);

#define SIGNER_CHANGE_DEADLINE_MS 60000 /* for another intermediate: an RSA key takes a while */

/**
 * signer_client_change() - have another intermediate made, or have the standby become the active one, and wait for it
 * @type:   SIGNER_PREPARE or SIGNER_ACTIVATE
 * @issuer: whose turn it is; "": the standby's
 * @frame:  SIGNER_FRAME_MAX octets of the caller, into which @ret has its views: the CA as it is now
 * @err:    ERR_SIGNER_UNAVAILABLE (then it may have been done, and the next hello tells), ERR_STOPPING, ERR_OVERLOADED; ERR_STATE_CONFLICT
 *          (there is a standby, there is none, it is retired, the root key is away: its text says which), ERR_NOT_FOUND, ERR_CA_EXPIRED,
 *          ERR_CLOCK, ERR_STORE, ERR_STORE_FULL
 */
int signer_client_change(struct signer_client *client, enum signer_message type, const char *issuer,
                         uint8_t *frame, struct sign_hello *ret, struct error *err);

/**
 * signer_client_anchors() - send an anchor of the audit for the signer's log, or only ask for those that there are, and wait:
 * SIGNER_DEADLINE_MS at most
 * @anchor: its number and hash; NULL: only ask
 * @err:    ERR_SIGNER_UNAVAILABLE, ERR_STOPPING; ERR_RATE_LIMITED (the last one came a moment ago), ERR_CLOCK, ERR_STORE, ERR_STORE_FULL
 */
int signer_client_anchors(struct signer_client *client, const struct audit_anchor *anchor,
                          struct sign_anchors *ret, struct error *err);
