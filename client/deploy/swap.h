/*
 * Several files replaced together: all written beside their places first, then renamed, or none.
 */
#pragma once

#include "backup.h"

/** swap_digests() - fill in what each change leads to; before backup_write() */
void swap_digests(struct changes *changes);

/**
 * swap_place() - put `after` of all in place
 *
 * The old files stay beside the new ones until swap_clean(): bringing them back needs no room on the disk.
 * @err: ERR_IO, ERR_STORE_FULL; some may be in place then: swap_undo()
 */
int swap_place(struct changes *changes, struct error *err);

/**
 * swap_undo() - put `before` of all back, where `after` is; also of a journal that was read
 * @ret_foreign: a path that neither state is at: somebody else has changed it, and it is left; NULL: none. Into @changes
 * @err: ERR_IO, ERR_STORE_FULL
 */
int swap_undo(struct changes *changes, const char **ret_foreign, struct error *err);

/** swap_clean() - remove what was kept beside */
void swap_clean(struct changes *changes);
