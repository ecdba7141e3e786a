/*
 * The one place that replaces files of services. What is in a journal is undone by the same code as a failure of this run: it looks at
 * what is there, and remembers nothing.
 */
#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"

void swap_digests(struct changes *changes) {
        for (size_t i = 0; i < changes->count; i++)
                held_digest(&changes->items[i].after, changes->items[i].after_digest);
}

/* ---- placing ---- */

static bool not_possible(void) {
        return errno == EINVAL || errno == ENOSYS;
}

/* By exchange: at each moment one of both is under the name, and the old file, as it is, under the temporary one. */
static int place_one(const struct change *change) {
        int fd = change->dir_fd;

        if (change->after.kind == HELD_NOTHING)
                return change->before.kind == HELD_NOTHING
                        ? 0
                        : renameat(fd, change->base, fd, change->temporary);
        if (change->before.kind == HELD_NOTHING) {
                if (renameat2(fd, change->temporary, fd, change->base, RENAME_NOREPLACE) == 0)
                        return 0;
                return not_possible() ? renameat(fd, change->temporary, fd, change->base) : -1;
        }
        if (renameat2(fd, change->temporary, fd, change->base, RENAME_EXCHANGE) == 0)
                return 0;
        return not_possible() ? renameat(fd, change->temporary, fd, change->base) : -1;
}

int swap_place(struct changes *changes, struct error *err) {
        for (size_t i = 0; i < changes->count; i++) {
                const struct change *change = &changes->items[i];

                if (held_write(change->dir_fd, change->temporary, change->path, &change->after,
                               err) < 0)
                        return -1;
        }
        for (size_t i = 0; i < changes->count; i++)
                if (place_one(&changes->items[i]) < 0)
                        return error_errno(err, errno, "cannot replace %s", changes->items[i].path);
        for (size_t i = 0; i < changes->count; i++)
                if (folder_sync(changes->items[i].dir_fd, changes->items[i].path, err) < 0)
                        return -1;
        return 0;
}

/* ---- undoing ---- */

static bool is_digest(const struct held *held, const uint8_t digest[SHA256_SIZE]) {
        uint8_t found[SHA256_SIZE];

        held_digest(held, found);
        return memcmp(found, digest, sizeof(found)) == 0;
}

/* The old file itself, where it is still beside; else a copy of what the backup has. */
static int put_back(const struct change *change, const uint8_t before[SHA256_SIZE],
                    struct error *err) {
        CAD_AUTO(held_done) struct held beside = { 0 };
        struct error ignored = { 0 };
        int fd = change->dir_fd;

        if (change->before.kind == HELD_NOTHING)
                return unlinkat(fd, change->base, 0) < 0 && errno != ENOENT
                        ? error_errno(err, errno, "cannot remove %s", change->path)
                        : 0;
        if (held_read(fd, change->temporary, change->path, &beside, &ignored) < 0 ||
            !is_digest(&beside, before)) {
                (void) unlinkat(fd, change->temporary, 0);
                if (held_write(fd, change->temporary, change->path, &change->before, err) < 0)
                        return -1;
        }
        return renameat(fd, change->temporary, fd, change->base) < 0
                ? error_errno(err, errno, "cannot put %s back", change->path)
                : 0;
}

static int undo_one(const struct change *change, bool *ret_foreign, struct error *err) {
        CAD_AUTO(held_done) struct held now = { 0 };
        uint8_t before[SHA256_SIZE];

        held_digest(&change->before, before);
        if (held_read(change->dir_fd, change->base, change->path, &now, err) < 0)
                return -1;
        if (is_digest(&now, before))
                return 0;
        if (!is_digest(&now, change->after_digest)) {
                *ret_foreign = true;
                return 0;
        }
        return put_back(change, before, err);
}

int swap_undo(struct changes *changes, const char **ret_foreign, struct error *err) {
        int rc = 0;

        *ret_foreign = NULL;
        for (size_t i = 0; i < changes->count; i++) {
                struct error one = { 0 };
                bool foreign = false;

                /* one that cannot be put back keeps none of the others from it */
                if (undo_one(&changes->items[i], &foreign, &one) < 0 && rc == 0) {
                        *err = one;
                        rc = -1;
                }
                if (foreign)
                        *ret_foreign = changes->items[i].path;
                (void) fsync(changes->items[i].dir_fd);
        }
        return rc;
}

void swap_clean(struct changes *changes) {
        for (size_t i = 0; i < changes->count; i++)
                if (changes->items[i].temporary[0])
                        (void) unlinkat(changes->items[i].dir_fd, changes->items[i].temporary, 0);
}
