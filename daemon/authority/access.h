/*
 * Access: one table that says who may do what (design.md §8). Deny by default.
 *
 * Every function of the authority that does something for somebody begins with one of these two calls.
 */
#pragma once

#include "daemon/authority/principal.h"
#include "lib/base/bytes.h"

/** enum action - what can be asked of the authority; a row of the table each */
enum action {
        ACTION_READ_PUBLIC, /* health, the CA, profiles, one certificate, CRLs */
        ACTION_READ_METRICS,
        ACTION_LIST_CERTIFICATES,
        ACTION_ISSUE,
        ACTION_ISSUE_ADMIN, /* certificates of profile admin */
        ACTION_REVOKE,
        ACTION_RENEW,
        ACTION_SUBMIT_REQUEST,
        ACTION_LIST_REQUESTS,
        ACTION_DECIDE_REQUEST,
        ACTION_MANAGE_TOKENS,
        ACTION_PUBLISH_CRL,
        ACTION_READ_AUDIT,
        ACTION_CHANGE_CA, /* intermediates: prepare, activate */
        ACTION_BACKUP,
        ACTION_COUNT,
};

/** action_name() - "issuing a certificate"; for errors */
const char *action_name(enum action action);

/**
 * access_check() - whether a principal may do this at all
 * @err: ERR_UNAUTHENTICATED where nobody said who they are and that would help, else ERR_FORBIDDEN: who it is, what is wanted, how it is given
 */
int access_check(const struct principal *principal, enum action action, struct error *err);

/**
 * access_check_owner() - the same for something done to one certificate, which its owner may do, too
 * @spki: SHA-256 of the certificate's SubjectPublicKeyInfo, @serial: its serial
 */
int access_check_owner(const struct principal *principal, enum action action,
                       const uint8_t spki[32], struct bytes serial, struct error *err);

/**
 * access_possible() - whether any principal with what this one has shown so far might be allowed; for the gate before the body is read
 * A bearer token that was not looked up yet counts as a good one.
 */
int access_possible(const struct principal *principal, enum action action, struct error *err);
