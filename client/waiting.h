/*
 * A request that was handed in and waits for somebody to decide: what `request submit --wait`, `enroll` and `renew` share.
 */
#pragma once

#include "cactl.h"
#include "issued.h"
#include "lib/pki/request_code.h"

/** struct handed_in - zero-initialised and then filled by handed_in_read() */
struct handed_in {
        char code[REQUEST_CODE_SHOWN_MAX], id[REQUEST_ID_TEXT_MAX];
        struct buffer path; /* of the request in the API */
};

void handed_in_done(struct handed_in *h);
CAD_CLEANUP_DONE(struct handed_in, handed_in_done)

/**
 * handed_in_read() - what the CA made of it
 *
 * The code is computed here, of this key: that the CA's is the same says that it has got this key.
 */
enum result handed_in_read(const json_t *answer, struct bytes spki, struct handed_in *ret);

/** handed_in_interval() - seconds until it may be asked for again */
int64_t handed_in_interval(const json_t *request);

/**
 * handed_in_ask() - how it stands, once
 * @lost: how often in a row the CA was away; a CA that is being restarted is waited for as well
 * @ret:  stays NULL then
 */
enum result handed_in_ask(struct client *c, struct handed_in *request, unsigned *lost,
                          json_t **ret);

/** handed_in_wait() - with progress on a terminal. @ret: the request once it is decided on */
enum result handed_in_wait(struct client *c, struct handed_in *request, int64_t interval_s,
                           json_t **ret);

/**
 * handed_in_take() - the certificate of a request that was decided on, for this key and none but these names
 *
 * Whoever approved may have left names out: that is said. @ret: zero-initialised; the chain is left to the caller
 */
enum result handed_in_take(const struct client *c, const json_t *request, struct bytes spki,
                           const struct san_list *asked, const char *code, struct issued *ret);
