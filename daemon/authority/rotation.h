/*
 * Rotation: another standby is prepared, the standby becomes the active intermediate.
 *
 * The signer does it (daemon/signer/rotation.h); here is who may, the audit, and what of cad has to know: what is issued from
 * then on, whose client certificates are believed, whose CRLs are published. A request that was on its way is answered with a
 * certificate and the chain of the issuer that it began with.
 */
#pragma once

#include "daemon/authority/authority.h"

/** struct rotation_request - who wants it; lent for the call */
struct rotation_request {
        const struct principal *principal;
        const char *source, *request_id; /* for the audit; NULL: not known */
};

/**
 * authority_prepare_standby() - have another intermediate made, for the next rotation; needs the right to change the CA
 *
 * Blocks, up to SIGNER_CHANGE_DEADLINE_MS.
 * @ret: the new one; lives as long as the authority
 * @err: ERR_FORBIDDEN, ERR_STATE_CONFLICT (there is a standby already, the root's key is away), what signer_client_change() says; ERR_STORE
 */
int authority_prepare_standby(struct authority *a, const struct rotation_request *rq,
                              const struct ca_info_issuer **ret, struct error *err);

/**
 * authority_activate() - have an intermediate sign from now on. The one before is retired: it signs its CRL and nothing else
 * @id:  of the standby; of the active one: nothing changes
 * @ret: as it is now; lives as long as the authority
 * @err: as above; ERR_NOT_FOUND
 */
int authority_activate(struct authority *a, const struct rotation_request *rq, const char *id,
                       const struct ca_info_issuer **ret, struct error *err);

/**
 * authority_use_ca() - what a signer has told of its CA, from now on; for authority.c
 * @ca: taken, on success and failure
 * @err: ERR_SIGNER_WRONG where it is another CA than before
 */
int authority_use_ca(struct authority *a, struct ca_info *ca, struct error *err);
