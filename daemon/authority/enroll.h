/*
 * Enrolment: a certificate at once for who has a right to one, else a request that waits for an operator. For protocols in which a
 * device sends a CSR and, when it had to wait or lost the answer, sends it again (EST, RFC 7030 §4.2).
 *
 * The CSR itself is the idempotency key, its signature aside: the same wish of the same caller within a day gets the same certificate,
 * and takes no second use of a token.
 */
#pragma once

#include "daemon/authority/authority.h"
#include "daemon/authority/renew.h"
#include "db/requests.h"

/** struct enroll_waiting - a request that waits */
struct enroll_waiting {
        char code[STORE_REQUEST_CODE_MAX]; /* for reading aloud */
        int64_t again_s;                   /* when to send the same again */
};

/**
 * authority_enroll() - have a certificate made, or hand the wish in
 * @rq:  as for authority_issue(); its idempotency_key and body_hash are not looked at
 * @ask: who is not known asks for an operator's approval in so many words. Without it he is told to come with a token, where a token
 *       would do for the profile
 * @ret: set where it waits
 *
 * Who may issue (operators, tokens) is never made to wait: what he may not have is refused.
 * Return: 1 it waits; 0, then @done is called (perhaps before this returns); or -1 with @err; then it is not.
 * @err: as authority_issue(), requests_submit_again(); ERR_UNAUTHENTICATED; ERR_ALREADY_REVOKED, ERR_STATE_CONFLICT: this wish got a
 *       certificate before, which is revoked, or on hold
 */
int authority_enroll(struct authority *a, const struct issue_request *rq, bool ask, issue_done done,
                     void *context, struct enroll_waiting *ret, struct error *err);

/**
 * authority_reenroll() - renew the certificate that the caller came with, by authority_renew() alone
 * @rq: its serial, idempotency_key and body_hash are not looked at
 *
 * Return, @err: as authority_renew(); ERR_UNAUTHENTICATED, ERR_FORBIDDEN: the caller came without a certificate; as authority_enroll()
 */
int authority_reenroll(struct authority *a, const struct renew_request *rq, issue_done done,
                       void *context, struct error *err);
