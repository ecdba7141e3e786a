/*
 * Access: one table that says who may do what (design.md §8). Deny by default.
 *
 * Every function of the authority that does something for somebody begins with access_check() or access_check_owner().
 * In front of it the HTTP side asks access_possible(), so that a body which nobody will look at is never read.
 */
#pragma once

#include "daemon/authority/principal.h"
#include "lib/base/bytes.h"

/** enum action - what can be asked of the authority; a row of the table each */
enum action {
        ACTION_NONE,        /* a route that forgot to say: nobody may */
        ACTION_READ_PUBLIC, /* health, the CA, profiles, one certificate, CRLs */
        ACTION_READ_METRICS,
        ACTION_LIST_CERTIFICATES,
        ACTION_ISSUE,
        ACTION_ISSUE_ADMIN, /* certificates of profile admin */
        ACTION_REVOKE,
        ACTION_RENEW,
        ACTION_SUBMIT_REQUEST, /* [Enrolment] may say no to who is anonymous; whoever acts looks at that */
        ACTION_READ_REQUEST, /* one, by its id: 128 bits that nobody guesses are the right */
        ACTION_LIST_REQUESTS,
        ACTION_DECIDE_REQUEST,
        ACTION_MANAGE_TOKENS,
        ACTION_PUBLISH_CRL,
        ACTION_READ_AUDIT,
        ACTION_CHANGE_CA, /* intermediates: prepare, activate */
        ACTION_BACKUP,
        ACTION_COUNT,
};

/** action_name() - "issuing a certificate"; for errors. Static */
const char *action_name(enum action action);

/**
 * access_check() - whether a principal may do this to anything
 * @err: ERR_UNAUTHENTICATED where nobody said who they are and that would help, or a certificate has expired; else
 *       ERR_FORBIDDEN: who it is, what is wanted, how it is given. ERR_INTERNAL for a principal that was not looked up
 */
int access_check(const struct principal *principal, enum action action, struct error *err);

/**
 * access_check_owner() - the same for something done to one certificate, which its owner may do, too
 * @spki: SHA-256 of the certificate's SubjectPublicKeyInfo, @serial: its serial
 */
int access_check_owner(const struct principal *principal, enum action action,
                       const uint8_t spki[32], struct bytes serial, struct error *err);

/**
 * access_possible() - whether this principal might be allowed to do this to something; for the gate before the body is read
 *
 * What was shown and not looked up yet (principal.pending) counts as good: a token, and a certificate of any role.
 * It is asked again when it is known. @err: as access_check()
 */
int access_possible(const struct principal *principal, enum action action, struct error *err);
