/*
 * Backups of the running CA: the store and the CA's certificates. Never keys: those are the signer's, and root fetches them himself.
 */
#pragma once

#include "daemon/authority/audit.h"
#include "daemon/authority/authority.h"
#include "daemon/authority/health.h"

#define BACKUP_LAST_FILE "last-backup" /* in the state folder: when one was last made, RFC 3339 */

/**
 * authority_backup() - make a backup; one at a time. It takes as long as the store is large
 * @what: source and request_id of the caller, for the audit
 * @state_dir_fd: where the room for it is. A cad that was killed leaves one file there, which the next backup removes
 * @err:  ERR_FORBIDDEN, ERR_BUSY where one is being made, ERR_STORE, ERR_STORE_FULL, ERR_IO
 * Return: a descriptor of a file that has no name, the caller's; or -1
 */
int authority_backup(struct authority *a, const struct principal *principal,
                     const struct audit_event *what, int state_dir_fd, struct error *err);

/** backup_health() - a health_source: how old the last backup is. @context: the state folder's descriptor, as a pointer to int */
enum health_state backup_health(void *context, int64_t now, struct buffer *detail);
