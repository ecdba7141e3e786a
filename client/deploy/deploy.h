/*
 * One deployment, from source to reload.
 */
#pragma once

#include "backup.h"
#include "client/cactl.h"
#include "reload.h"
#include "target.h"

/** struct outcome - what became of one target; zero-initialised */
struct outcome {
        char target[TARGET_NAME_MAX + 1];
        bool recovered;         /* a change that had been cut off was undone first */
        bool changed;           /* else it was up to date */
        char id[BACKUP_ID_MAX]; /* of the backup of what was there; "": there was no change */
        enum reload reload;
        char *paths[CHANGES_MAX]; /* that were replaced; owned */
        size_t path_count;
        bool removed;       /* all of them: there was nothing before */
        bool places_chosen; /* the service's configuration names none: it has to be told */
        const char *hint;   /* what to write there */
};

void outcome_done(struct outcome *outcome);
CAD_CLEANUP_DONE(struct outcome, outcome_done)

/**
 * deploy_target() - check, back up, replace, reload; undo where that fails
 * @target: its places are filled in where it has none, and it is written to CONF/deploy.d once its files are in place
 * @force:  replace files that do not look like what is to be there
 * Return: DONE, or a result after saying what is wrong and what is there now
 */
enum result deploy_target(struct client *c, struct target *target, bool force, struct outcome *ret);

/** deploy_restore() - bring a backup back, after what is there was backed up. @id: NULL: the newest */
enum result deploy_restore(struct client *c, struct target *target, const char *id,
                           struct outcome *ret);

/** deploy_target_open() - CONF/deploy.d/NAME.conf, or a new target of that name. @ret_new: whether it is one; may be NULL, then it has to be there */
enum result deploy_target_open(const char *name, struct target *ret, bool *ret_new);

/** deploy_state() - how a target is, without changing anything. @ret: in words, owned by the caller; @ret_good: whether all is as it should be */
char *deploy_state(struct client *c, const struct target *target, bool *ret_good);

/** outcome_text() - one line for people. @out: appended */
void outcome_text(const struct outcome *outcome, struct buffer *out);

/** outcome_json() - NULL: out of memory */
json_t *outcome_json(const struct outcome *outcome);
