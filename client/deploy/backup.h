/*
 * Backups of what a target had: STATE/backups/TARGET/2026-11-30T17-02-11Z-1/, with a manifest.
 *
 * A backup that has the file `unfinished` is the journal of a change that is under way, or was when the power went.
 */
#pragma once

#include <jansson.h>

#include "held.h"
#include "target.h"

#define BACKUPS_KEPT 20 /* of one target */
#define BACKUP_ID_MAX 48
#define CHANGES_MAX CREDENTIAL_PART_COUNT
#define TEMPORARY_MAX 300

/** struct change - one path, what is there and what is to be there */
struct change {
        char *path;
        int dir_fd;
        const char *base; /* into @path */
        char temporary[TEMPORARY_MAX];
        struct held before, after;
        uint8_t after_digest
                [SHA256_SIZE]; /* of @after; known where its content is not (a journal) */
        bool secret;
};

struct changes {
        struct change items[CHANGES_MAX];
        size_t count;
};

void changes_done(struct changes *changes);
CAD_CLEANUP_DONE(struct changes, changes_done)

/** changes_add() - a path to be looked at: its folder is opened and what is there is read. Return: the change, or NULL with @err */
struct change *changes_add(struct changes *changes, const char *path, bool make_folder,
                           struct error *err);

/** backups_open() - the folder of a target's backups, made where it is not there (0700). Return: a descriptor, or -1 with @err */
int backups_open(const char *target, bool make, struct error *err);

/**
 * backup_write() - keep what is there before @changes, and the journal of them
 *
 * Complete and on disk before it has its name; it is `unfinished` until backup_finish().
 * @changes: their temporary names are chosen here
 * @ret_id:  BACKUP_ID_MAX bytes
 */
int backup_write(int backups_fd, const char *target, const char *reason, struct changes *changes,
                 int64_t now, char *ret_id, struct error *err);

/** backup_finish() - the change is over */
int backup_finish(int backups_fd, const char *id, struct error *err);

/** backup_drop() - remove one whole */
int backup_drop(int backups_fd, const char *id, struct error *err);

/** backup_prune() - remove the oldest beyond BACKUPS_KEPT, and what was left half-made; an unfinished one stays */
void backup_prune(int backups_fd);

/**
 * backup_read() - a backup as changes: `before` is what was kept, the digest of `after` what replaced it
 *
 * Folders are opened; contents are held against their SHA-256.
 * @err: ERR_NOT_FOUND, ERR_STATE_CONFLICT (damaged)
 */
int backup_read(int backups_fd, const char *id, struct changes *ret, struct error *err);

/** backup_manifest() - its manifest.json. @ret: a reference. @err: ERR_NOT_FOUND, ERR_STATE_CONFLICT */
int backup_manifest(int backups_fd, const char *id, json_t **ret, struct error *err);

/** struct backup_ids - newest first */
struct backup_ids {
        char (*ids)[BACKUP_ID_MAX];
        size_t count;
};
void backup_ids_done(struct backup_ids *ids);
CAD_CLEANUP_DONE(struct backup_ids, backup_ids_done)

/** backup_list() - all that are complete */
int backup_list(int backups_fd, struct backup_ids *ret, struct error *err);

/** backups_targets() - the targets that have backups; none where nothing was deployed so far. @err: ERR_IO */
int backups_targets(struct target_names *ret, struct error *err);

/** backup_is_unfinished() - whether it is a journal */
bool backup_is_unfinished(int backups_fd, const char *id);
