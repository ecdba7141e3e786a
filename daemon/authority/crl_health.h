/*
 * How well a CRL stands, in words: red long before relying parties would notice.
 */
#pragma once

#include "daemon/authority/health.h"
#include "daemon/authority/publisher.h"

#define CRL_KEY_AWAY_FAILING_S (30 * INT64_C(86400)) /* the root's key has to be fetched first */
#define CRL_OVERDUE_S \
        INT64_C(120) /* its life is two thirds over, no try has failed, and yet there is no new one */

/**
 * crl_judge() - one issuer's
 * @text: a sentence, of @size bytes with its NUL
 *
 * Failing: there is none, or it has lapsed, or less than a third of its life is left and no new one can be made; or a revocation has not been
 * on it for CRL_LATE_S. Where the issuer's key is away (the root's) a third is a warning, and the last 30 days are failing. A failed try
 * with time left is a warning.
 */
enum health_state crl_judge(const struct publisher_status *status, int64_t now, char *text,
                            size_t size);
