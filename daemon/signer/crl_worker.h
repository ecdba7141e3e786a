/*
 * The signer's thread that makes CRLs: one at a time, while others sign certificates and go first.
 */
#pragma once

#include "daemon/signer/crl.h"

#define CRL_WAITING_MAX 16 /* wishes that may wait; each holds a descriptor of cad's */

struct crl_worker; /* opaque; lives as long as the process */

/** struct crl_host - what the worker needs of who serves; called on the worker's thread */
struct crl_host {
        void *context;
        /* may one be signed now, with this number? Notes and logs it. @number 0 is replaced. @err: as signer_client_crl() */
        int (*admit)(void *context, const char *issuer, struct crl_wish *wish, struct error *err);
        /* wait until what admit() noted is on disk */
        int (*settle)(void *context, struct error *err);
        /* send a frame with a descriptor, or -1 */
        void (*answer)(void *context, struct bytes frame, int fd);
        /* whether certificates are being signed at this moment */
        bool (*busy)(void *context);
};

/**
 * crl_worker_start() - start the thread; it enters the sandbox of CRLs before it takes anything
 * @ca, @host: borrowed for as long as the process lives
 * @state_fd:  the signer's state folder, in which the root's key lies or not
 */
int crl_worker_start(const struct ca *ca, int state_fd, const struct crl_host *host,
                     struct crl_worker **ret, struct error *err);

/** crl_worker_use() - the CA has changed: from the next CRL on. @ca: borrowed as above */
void crl_worker_use(struct crl_worker *worker, const struct ca *ca);

/**
 * crl_worker_take() - have a CRL made; the answer goes out from the worker's thread
 * @wish: its entries_fd is taken, on success and failure
 * @err: ERR_OVERLOADED
 */
int crl_worker_take(struct crl_worker *worker, uint32_t id, struct sign_crl *wish,
                    struct error *err);
