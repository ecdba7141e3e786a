/*
 * Signer policy: may this certificate be made with this key, now?
 */
#pragma once

#include "daemon/signer/ca.h"
#include "daemon/signer/protocol.h"

/** struct policy_grant - a wish that passed, in the shape that the writer takes; views into the frame and into @names */
struct policy_grant {
        const struct ca_issuer *issuer;
        const struct profile *profile;
        struct san_list names; /* owned */
        struct cert_wish wish; /* without its serial */
        char common_name[65];
};

void policy_grant_done(struct policy_grant *grant);
CAD_CLEANUP_DONE(struct policy_grant, policy_grant_done)

/**
 * policy_check() - hold a wish against the signer's own profiles and constraints
 *
 * cad may be hostile: key, names, kinds of names, constraints, usages and validity are all checked again here. CA:TRUE, usages and
 * extensions cannot even be asked for: they follow from the profile.
 * @now_s: seconds since the epoch
 * @err: ERR_PROFILE_STALE where cad had another profile in mind, ERR_PROFILE_UNKNOWN, ERR_KEY_*, ERR_NAME_*, ERR_VALIDITY_OUT_OF_RANGE,
 *       ERR_CSR_SUBJECT, ERR_CA_MISSING for an unknown or retired issuer, ERR_CA_EXPIRED
 */
int policy_check(const struct ca *ca, const struct profile_set *profiles,
                 const struct sign_issue *issue, int64_t now_s, struct policy_grant *ret,
                 struct error *err);
