/*
 * One certificate of this device: read, judged, replaced, and those who use it told. What `enroll` and `renew` share.
 */
#pragma once

#include "client/cactl.h"
#include "client/enroll/kept.h"
#include "client/issued.h"
#include "client/place.h"
#include "lib/pki/key.h"

/** struct device - opened by device_open(), which locks it; descriptors are -1 before */
struct device {
        const char *conf; /* CONF */
        char name[KEPT_NAME_MAX];
        char folder[4096]; /* CONF/certs/NAME */
        int certs_fd, lock_fd;
        /* what is there: filled by device_load() */
        struct enrolment what;
        struct buffer key_pem;
        struct private_key *key;
        struct certs chain, root;
        struct cert cert; /* views into @chain */
        char serial[SERIAL_TEXT_MAX];
};
#define DEVICE_EMPTY \
        { .certs_fd = -1, .lock_fd = -1 }

void device_done(struct device *d);
CAD_CLEANUP_DONE(struct device, device_done)

/**
 * device_open() - take the lock of NAME and clear up after whoever was killed
 * @make: make CONF/certs where it is not there
 * @ret:  DEVICE_EMPTY before; wants device_done() in any case
 * Return: DONE, or REFUSED after saying why: somebody else is at it, a folder that cannot be written to
 */
enum result device_open(const char *name, bool make, struct device *ret);

/**
 * device_load() - read what is there: key and certificate that fit, a chain that reaches the root
 *
 * Whether it has expired is not asked: chain and leaf are judged by the leaf's own time.
 * @err: ERR_NOT_FOUND: nothing is there; else what is wrong with it
 */
int device_load(struct device *d, struct error *err);

/** device_expired() - by @now */
bool device_expired(const struct device *d, int64_t now);

/**
 * device_place() - where its CA is, with the root that it was pinned to
 * @identity: with its certificate and key, too
 * @ret:      zero-initialised
 */
enum result device_place(const struct device *d, bool identity, struct place *ret);

/**
 * device_check_issued() - what the CA sent, before anything is done with it: chain to @root, and the time
 *
 * Where this machine's clock cannot be right, the told time has to lie in the certificate's life (trust_clock.h); where it may be, and
 * does not, that is said.
 * @root: DER
 */
enum result device_check_issued(const struct client *c, const struct issued *issued,
                                struct bytes root);

/** device_store() - put a new set in place of what is there. @key_pem: its key; @root: DER. Fills @d anew */
enum result device_store(struct device *d, const struct enrolment *what, struct bytes key_pem,
                         const struct issued *issued, struct bytes root);

/**
 * device_tell() - deploy targets and hooks, after a change
 *
 * That it is still to be done is on disk until it was done: the next `renew` or `enroll` does it.
 * @reason: "enrolled" or "renewed"
 */
enum result device_tell(struct client *c, struct device *d, const char *reason);
