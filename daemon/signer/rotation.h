/*
 * Intermediates while the signer serves: another standby is made, the standby becomes the active one.
 *
 *      key and certificate written → the CA as it would be, loaded and probed → a line in the log → ca.conf replaced → in use
 *
 * Replacing ca.conf is the one step that counts: killed before it, the next start finds the CA as it was; after it, as it is now.
 * A thread of its own does it, for a key may take seconds to make and certificates are issued meanwhile.
 */
#pragma once

#include "daemon/signer/ca.h"

#define ROTATION_GRACE_S \
        10 /* for wishes that name the issuer which was active when they left cad; longer than cad waits for an answer */

struct rotation; /* opaque; lives as long as the process */

/** struct rotation_host - what it needs of who serves; called on its thread */
struct rotation_host {
        void *context;
        /* may something be signed now? Writes the line. @err: ERR_CLOCK, ERR_STORE, ERR_STORE_FULL */
        int (*admit)(void *context, const char *line, struct error *err);
        /* whether leaves of all intermediates verify. @err: ERR_SIGNER_WRONG */
        int (*probe)(void *context, const struct ca *ca, struct error *err);
        /* use it from now on: taken, for as long as the process lives */
        void (*use)(void *context, struct ca *ca);
        /* the answer that says how the CA is now */
        struct bytes (*tell)(void *context, uint32_t id, uint8_t *frame);
        void (*answer)(void *context, struct bytes frame, int fd);
};

/**
 * rotation_start() - start the thread, in the sandbox of the process
 * @ca, @host, @passphrase: borrowed for as long as the process lives. The passphrase encrypts the key of another intermediate
 */
int rotation_start(struct ca *ca, int state_fd, struct bytes passphrase,
                   const struct rotation_host *host, struct rotation **ret, struct error *err);

/**
 * rotation_take() - have a change made; the answer goes out from its thread
 * @type:   SIGNER_PREPARE or SIGNER_ACTIVATE
 * @issuer: whose turn it is; "": the standby's
 * @err:    ERR_OVERLOADED where one is being made already
 */
int rotation_take(struct rotation *r, enum signer_message type, uint32_t id, const char *issuer,
                  struct error *err);
