/*
 * What happened after a backup was made, as far as others remember it: the signer's log knows what was signed, the last published CRLs
 * know what was revoked. A restore brings both back, so that a revocation never comes to life again in silence.
 */
#pragma once

#include "db/backup.h"
#include "lib/base/bytes.h"

#define LOST_DER_SIZE \
        2 /* octets that stand in the place of a certificate that is not known itself */

struct losses; /* opaque */

/**
 * losses_find() - look at what there is
 * @backup:        held against
 * @state_dir_fd:  cad's state folder, for its `crl` folder
 * @signer_dir_fd: the signer's, for its log; -1: it cannot be read
 * @err: ERR_STORE, ERR_IO, ERR_NO_MEMORY; what is missing is no error, see losses_unknown()
 */
int losses_find(struct backup *backup, int state_dir_fd, int signer_dir_fd, struct losses **ret,
                struct error *err);
struct losses *losses_free(struct losses *losses);
CAD_CLEANUP(struct losses, losses_free)

/** losses_changes() - for backup_extract(); views that live as long as @losses */
struct backup_changes losses_changes(const struct losses *losses);

/** losses_unknown() - in words, a line each, what cannot be known, appended to @out; nothing where all is known */
void losses_unknown(const struct losses *losses, struct buffer *out);

/** losses_list() - in words, a line each: the certificates that only the signer's log knows */
void losses_list(const struct losses *losses, struct buffer *out);

/** losses_garbled() - lines of the signer's log that are no whole line of its own, as a power cut leaves one; what they would have said was never answered */
size_t losses_garbled(const struct losses *losses);
