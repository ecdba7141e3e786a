/*
 * A certificate for a key that is made here: asked for with a token, or by a request that somebody approves. What was asked is on disk
 * before it is, and the same question is asked again after a crash: it gets the same answer.
 */
#pragma once

#include "client/enroll/device.h"

/** struct wish - what is to be obtained */
struct wish {
        struct enrolment what; /* url, names, profile, validity, label, key */
        struct bytes root;     /* DER: the pinned one */
};

/** struct asked - what was asked for: pending, and its CSR read */
struct asked {
        struct kept_pending pending;
        struct csr *csr;
        struct certs root;
};

void asked_done(struct asked *a);
CAD_CLEANUP_DONE(struct asked, asked_done)

/** asked_load() - what waits on disk. @err: ERR_NOT_FOUND: nothing does */
int asked_load(const struct device *d, struct asked *ret, struct error *err);

/** asked_fits() - whether that is what @wish wants, of the same CA: then it goes on, with its key */
bool asked_fits(const struct asked *a, const struct wish *wish);

/** asked_make() - a key and a CSR for @wish, on disk, in place of what waited before */
enum result asked_make(const struct client *c, struct device *d, const struct wish *wish,
                       struct asked *ret);

/** asked_drop_answered() - what waits on disk although its certificate is in place: somebody was killed between the two */
void asked_drop_answered(struct device *d);

/**
 * asked_drop_refused() - what this run made and the CA's last answer refused for good waits for nothing
 *
 * What an earlier run asked stays: its answer may have been lost, and it comes again for that key alone.
 */
void asked_drop_refused(const struct client *c, struct device *d);

/** asked_place() - where its CA is. @root_path: of the pinned root. @ret: zero-initialised */
enum result asked_place(const struct device *d, const struct asked *a, struct place *ret);

/** obtain_by_token() - now. @ret: zero-initialised; checked. c->bearer is the token, for this one call */
enum result obtain_by_token(struct client *c, const struct asked *a, const char *token,
                            struct issued *ret, struct enrolment *ret_what);

enum obtain_how {
        OBTAIN_WAIT,  /* until it is decided on */
        OBTAIN_LEAVE, /* a later run takes it */
        OBTAIN_TIMER, /* the same; nobody is there: what was denied stays so, and is not handed in again every few hours */
};

/**
 * obtain_by_request() - hand it in where it was not, and ask how it stands
 * @ret_waits: it still waits: then @ret is empty
 * A request that was denied or that nobody decided on is forgotten, so that the next run begins anew.
 */
enum result obtain_by_request(struct client *c, struct device *d, struct asked *a,
                              enum obtain_how how, struct issued *ret, struct enrolment *ret_what,
                              bool *ret_waits);

/** obtain_finish() - put it in place; nothing waits any more */
enum result obtain_finish(const struct client *c, struct device *d, const struct asked *a,
                          const struct issued *issued, const struct enrolment *what);
