/*
 * Deployment: the order of things. Everything that can be refused is refused before a file is touched; from the first rename on, what
 * goes wrong is undone, by this run or by the next.
 */
#include "deploy.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/deploy.h"
#include "client/output.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"
#include "source.h"
#include "swap.h"

#define LOCK "lock"

void outcome_done(struct outcome *outcome) {
        for (size_t i = 0; i < outcome->path_count; i++)
                free(outcome->paths[i]);
        *outcome = (struct outcome){ 0 };
}

/* ---- targets ---- */

enum result deploy_target_open(const char *name, struct target *ret, bool *ret_new) {
        struct error err = { 0 };

        if (target_load(name, ret, &err) == 0)
                return DONE;
        if (err.code != ERR_NOT_FOUND || !ret_new) {
                if (err.code == ERR_NOT_FOUND)
                        return fail(
                                REFUSED,
                                "there is no target '%s': 'cactl deploy list' shows what there is",
                                name);
                return fail_error(&err);
        }
        target_done(ret);
        *ret_new = true;
        err = (struct error){ 0 };
        return target_new(name, ret, &err) < 0 ? fail_error(&err) : DONE;
}

/* Whether it says where the certificate goes; the root may go somewhere besides. */
static bool has_places(const struct target *t) {
        for (size_t i = 0; i < CREDENTIAL_PART_COUNT; i++)
                if (t->paths[i] && (i != CREDENTIAL_ROOT || !t->service))
                        return true;
        return false;
}

static int take_places(struct target *t, const char *const places[CREDENTIAL_PART_COUNT],
                       struct error *err) {
        for (size_t i = 0; i < CREDENTIAL_PART_COUNT; i++)
                if (places[i] && !t->paths[i] && target_set(&t->paths[i], places[i], err) < 0)
                        return -1;
        return 0;
}

/* Where the service's own configuration says that they are; else where nothing else is. */
static int choose_places(struct target *t, struct outcome *ret, struct error *err) {
        CAD_AUTO(found_done) struct found found = { 0 };

        if (has_places(t))
                return 0;
        if (!t->service)
                return error_set(
                        err, ERR_USAGE,
                        "where to? '%s' is no service that is known (%s): --to-cert, --to-fullchain, --to-key, --to-combined, … FILE",
                        t->name, service_names());
        if (service_look(t->service, t->config, &found, err) < 0 ||
            take_places(t, (const char *const *) found.paths, err) < 0)
                return -1;
        if (has_places(t))
                return 0;
        ret->places_chosen = true;
        ret->hint = t->service->hint;
        return take_places(t, t->service->places, err);
}

/* ---- what is to be there ---- */

static int owner_of(const struct target *t, bool secret, struct held *after, bool stays,
                    struct error *err) {
        const char *owner = t->owner             ? t->owner
                : t->service && secret && !stays ? t->service->owner
                                                 : NULL;
        const char *group = t->group             ? t->group
                : t->service && secret && !stays ? t->service->group
                                                 : NULL;
        const struct passwd *user = owner ? getpwnam(owner) : NULL;
        const struct group *found = group ? getgrnam(group) : NULL;

        if ((owner && !user) || (group && !found))
                return error_set(err, ERR_CONFIG,
                                 "there is no %s '%s' here: Owner= and Group= say another",
                                 owner && !user ? "user" : "group", owner && !user ? owner : group);
        if (user)
                after->uid = user->pw_uid;
        if (found)
                after->gid = found->gr_gid;
        return 0;
}

/* Who owns what is replaced, its mode and its labels stay, unless the admin has said otherwise. */
static int attributes_of(const struct target *t, struct change *change, struct error *err) {
        struct held *after = &change->after;
        bool stays = held_like(change->dir_fd, change->base, &change->before, after);

        if (!stays) {
                after->uid = geteuid();
                after->gid = getegid();
                after->mode = !change->secret ? 0644 : t->service ? t->service->key_mode : 0600;
        }
        if (!change->secret && change->before.kind == HELD_LINK)
                after->mode |= 0444u; /* what held_like() is careful about is a key */
        if (change->secret && t->mode)
                after->mode = (mode_t) strtoul(t->mode, NULL, 8);
        return owner_of(t, change->secret, after, stays, err);
}

/* A path that was mistyped must cost nobody a file. */
static int check_foreign(const struct change *change, enum credential_part part,
                         struct error *err) {
        struct bytes content = buffer_bytes(&change->before.content);
        bool has_key;

        if (change->before.kind != HELD_FILE || content.size == 0)
                return 0;
        if (!memmem(content.data, content.size, "-----BEGIN ", strlen("-----BEGIN ")))
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "%s has neither a certificate nor a key in PEM: --force replaces it all the same",
                        change->path);
        has_key = pem_has_private_key(content);
        if (has_key != credential_part_is_secret(part))
                return error_set(err, ERR_STATE_CONFLICT,
                                 "%s %s, and %s= would put %s there: --force does so", change->path,
                                 has_key ? "holds a private key" : "holds no private key",
                                 target_part_key(part), has_key ? "certificates alone" : "one");
        return 0;
}

static int add_part(const struct target *t, enum credential_part part,
                    const struct credential *credential, bool force, struct changes *changes,
                    struct error *err) {
        struct change *change = changes_add(changes, t->paths[part], /* make_folder= */ true, err);

        if (!change)
                return -1;
        change->secret = credential_part_is_secret(part);
        change->after.kind = HELD_FILE;
        if ((!force && check_foreign(change, part, err) < 0) ||
            credential_pem(credential, part, &change->after.content, err) < 0 ||
            attributes_of(t, change, err) < 0)
                return -1;
        return 0;
}

static bool wants_key(const struct target *t) {
        for (size_t i = 0; i < CREDENTIAL_PART_COUNT; i++)
                if (t->paths[i] && credential_part_is_secret((enum credential_part) i))
                        return true;
        return false;
}

static int plan(const struct target *t, bool force, int64_t now, struct changes *changes,
                struct error *err) {
        CAD_AUTO(credential_free) struct credential *credential = NULL;

        if (source_read(t, wants_key(t), now, &credential, err) < 0)
                return -1;
        for (size_t i = 0; i < CREDENTIAL_PART_COUNT; i++)
                if (t->paths[i] &&
                    add_part(t, (enum credential_part) i, credential, force, changes, err) < 0)
                        return -1;
        return 0;
}

static bool is_up_to_date(const struct changes *changes) {
        for (size_t i = 0; i < changes->count; i++)
                if (!held_same(&changes->items[i].before, &changes->items[i].after))
                        return false;
        return true;
}

/* ---- one at a time, and nothing left half-done ---- */

struct work {
        const struct target *target;
        int backups_fd, lock_fd;
        struct outcome *outcome;
        int64_t now;
};

static void work_done(struct work *w) {
        w->backups_fd = fd_close(w->backups_fd);
        w->lock_fd = fd_close(w->lock_fd);
}
CAD_CLEANUP_DONE(struct work, work_done)

static int recover_one(const struct work *w, const char *id, struct error *err) {
        CAD_AUTO(changes_done) struct changes journal = { 0 };
        const char *foreign = NULL;

        if (backup_read(w->backups_fd, id, &journal, err) < 0 ||
            swap_undo(&journal, &foreign, err) < 0)
                return -1;
        swap_clean(&journal);
        w->outcome->recovered = true;
        return foreign ? backup_finish(w->backups_fd, id, err)
                       : backup_drop(w->backups_fd, id, err);
}

/* What was cut off is undone; what this run wants is then done from the start. */
static int recover(const struct work *w, struct error *err) {
        CAD_AUTO(backup_ids_done) struct backup_ids ids = { 0 };
        struct error one = { 0 };

        if (backup_list(w->backups_fd, &ids, err) < 0)
                return -1;
        for (size_t i = 0; i < ids.count; i++)
                if (backup_is_unfinished(w->backups_fd, ids.ids[i]) &&
                    recover_one(w, ids.ids[i], &one) < 0)
                        return error_set(err, one.code,
                                         "the change %s was cut off and cannot be undone: %s",
                                         ids.ids[i], one.text);
        return 0;
}

static int begin(struct work *w, struct error *err) {
        struct error ignored = { 0 };

        w->backups_fd = backups_open(w->target->name, /* make= */ true, err);
        if (w->backups_fd < 0)
                return -1;
        w->lock_fd = lock_take(w->backups_fd, LOCK, err);
        if (w->lock_fd < 0 || recover(w, err) < 0)
                return -1;
        /* it may have read what has just been undone; where it cannot be told now, it is told when that is over */
        if (w->outcome->recovered)
                (void) reload_run(w->target, /* revive= */ false, &w->outcome->reload, &ignored);
        return 0;
}

/* ---- replacing, and undoing ---- */

/* Return: -1, always, with what went wrong first and what is there now. */
static int undo(const struct work *w, struct changes *changes, const char *id, bool reload,
                const struct error *why, struct error *err) {
        struct error failed = { 0 }, again = { 0 };
        enum reload done = RELOAD_NONE;
        const char *foreign = NULL;

        if (swap_undo(changes, &foreign, &failed) < 0)
                return error_set(
                        err, why->code,
                        "%s; and the old files cannot be put back (%s): the next deploy tries again, they are in the backup %s",
                        why->text, failed.text, id);
        swap_clean(changes);
        (void) backup_drop(w->backups_fd, id, &failed);
        if (foreign)
                return error_set(
                        err, why->code,
                        "%s; the old files are back, but %s was changed by somebody else meanwhile",
                        why->text, foreign);
        if (reload && reload_run(w->target, /* revive= */ true, &done, &again) < 0)
                return error_set(
                        err, why->code,
                        "%s; the old files are back, but the reload with them failed, too: %s",
                        why->text, again.text);
        return error_set(err, why->code, "%s; the old files are back%s", why->text,
                         done == RELOAD_DONE ? ", and it was reloaded with them" : "");
}

static int note_paths(const struct changes *changes, struct outcome *outcome) {
        outcome->removed = true;
        for (size_t i = 0; i < changes->count; i++) {
                outcome->removed = outcome->removed && changes->items[i].after.kind == HELD_NOTHING;
                outcome->paths[i] = strdup(changes->items[i].path);
                if (!outcome->paths[i])
                        return -1;
                outcome->path_count++;
        }
        return 0;
}

/* Backup and journal, files, check, reload; then it is over. */
static int replace(const struct work *w, struct changes *changes, const char *reason,
                   struct error *err) {
        struct outcome *outcome = w->outcome;
        struct error why = { 0 };

        swap_digests(changes);
        if (note_paths(changes, outcome) < 0)
                return error_no_memory(err);
        if (backup_write(w->backups_fd, w->target->name, reason, changes, w->now, outcome->id,
                         err) < 0)
                return -1;
        if (swap_place(changes, &why) < 0)
                return undo(w, changes, outcome->id, /* reload= */ false, &why, err);
        if (reload_check(w->target, &why) < 0)
                return undo(w, changes, outcome->id, /* reload= */ false, &why, err);
        if (reload_run(w->target, /* revive= */ false, &outcome->reload, &why) < 0)
                return undo(w, changes, outcome->id, /* reload= */ true, &why, err);
        /* in this order: as long as an old key is beside, there is a journal that knows of it */
        swap_clean(changes);
        if (backup_finish(w->backups_fd, outcome->id, &why) < 0)
                return undo(w, changes, outcome->id, /* reload= */ true, &why, err);
        outcome->changed = true;
        backup_prune(w->backups_fd);
        return 0;
}

static void warn_of_modes(const struct client *c, const struct changes *changes) {
        for (size_t i = 0; i < changes->count; i++) {
                const struct change *change = &changes->items[i];

                if (change->secret && change->after.mode & 0007)
                        say(c,
                            "%s holds the private key and everybody may read it (mode %04o): chmod o= %s",
                            change->path, (unsigned) change->after.mode, change->path);
                if (change->before.kind == HELD_LINK && change->after.kind == HELD_FILE)
                        say(c,
                            "%s was a symbolic link: it is a file now, and what it led to is as it was",
                            change->path);
        }
}

static int deploy(struct client *c, struct work *w, struct target *target, bool force,
                  struct error *err) {
        CAD_AUTO(changes_done) struct changes changes = { 0 };

        if (target_check(target, err) < 0 || choose_places(target, w->outcome, err) < 0 ||
            target_check(target, err) < 0 || begin(w, err) < 0 ||
            plan(target, force, w->now, &changes, err) < 0)
                return -1;
        if (!is_up_to_date(&changes) && replace(w, &changes, "install", err) < 0)
                return -1;
        warn_of_modes(c, &changes);
        return target_save(target, err);
}

enum result deploy_target(struct client *c, struct target *target, bool force,
                          struct outcome *ret) {
        CAD_AUTO(work_done)
        struct work w = { target, -1, -1, ret, c->now };
        struct error err = { 0 };

        memcpy(ret->target, target->name, sizeof(ret->target));
        if (deploy(c, &w, target, force, &err) == 0)
                return DONE;
        return fail(err.code == ERR_USAGE ? WRONG_USAGE : REFUSED, "%s: %s", target->name,
                    err.text);
}

/* ---- restore ---- */

static int choose_backup(const struct work *w, const char *id, char *ret, struct error *err) {
        CAD_AUTO(backup_ids_done) struct backup_ids ids = { 0 };

        if (backup_list(w->backups_fd, &ids, err) < 0)
                return -1;
        for (size_t i = 0; i < ids.count; i++)
                if (!id || text_equal(ids.ids[i], id)) {
                        memcpy(ret, ids.ids[i], BACKUP_ID_MAX);
                        return 0;
                }
        return id
                ? error_set(
                          err, ERR_NOT_FOUND,
                          "there is no backup %s of it: 'cactl deploy backups %s' lists what there is",
                          id, w->target->name)
                : error_set(err, ERR_NOT_FOUND,
                            "there is no backup of it: nothing was replaced so far");
}

static int restore(struct work *w, const char *id, struct error *err) {
        CAD_AUTO(changes_done) struct changes kept = { 0 };
        CAD_AUTO(changes_done) struct changes changes = { 0 };
        char chosen[BACKUP_ID_MAX];

        if (begin(w, err) < 0 || choose_backup(w, id, chosen, err) < 0 ||
            backup_read(w->backups_fd, chosen, &kept, err) < 0)
                return -1;
        for (size_t i = 0; i < kept.count; i++) {
                struct change *change = changes_add(&changes, kept.items[i].path,
                                                    /* make_folder= */ true, err);

                if (!change)
                        return -1;
                change->after = kept.items[i].before;
                kept.items[i].before = (struct held){ 0 };
        }
        return is_up_to_date(&changes) ? 0 : replace(w, &changes, "restore", err);
}

enum result deploy_restore(struct client *c, struct target *target, const char *id,
                           struct outcome *ret) {
        CAD_AUTO(work_done)
        struct work w = { target, -1, -1, ret, c->now };
        struct error err = { 0 };

        memcpy(ret->target, target->name, sizeof(ret->target));
        if (restore(&w, id, &err) == 0)
                return DONE;
        return fail(REFUSED, "%s: %s", target->name, err.text);
}

/* ---- looking ---- */

char *deploy_state(struct client *c, const struct target *t, bool *ret_good) {
        CAD_AUTO(changes_done) struct changes changes = { 0 };
        CAD_AUTO(credential_free) struct credential *credential = NULL;
        struct error err = { 0 };

        *ret_good = false;
        if (source_read(t, wants_key(t), c->now, &credential, &err) < 0)
                return strdup(err.text);
        for (size_t i = 0; i < CREDENTIAL_PART_COUNT; i++) {
                struct change *change;

                if (!t->paths[i])
                        continue;
                change = changes_add(&changes, t->paths[i], /* make_folder= */ false, &err);
                if (!change)
                        return strdup(err.code == ERR_NOT_FOUND ? "not installed" : err.text);
                change->after.kind = HELD_FILE;
                if (credential_pem(credential, (enum credential_part) i, &change->after.content,
                                   &err) < 0 ||
                    !bytes_equal(buffer_bytes(&change->after.content),
                                 buffer_bytes(&change->before.content)))
                        return strdup(
                                change->before.kind == HELD_NOTHING
                                        ? "not installed"
                                        : "differs: cactl deploy install brings it up to date");
        }
        *ret_good = true;
        return strdup("up to date");
}

/* ---- telling ---- */

static const char *const reload_words[] = {
        [RELOAD_NONE] = "nothing says how to reload it",
        [RELOAD_NOT_RUNNING] = "it is not running",
        [RELOAD_DONE] = "reloaded",
};
static const char *const reload_names[] = {
        [RELOAD_NONE] = "none", [RELOAD_NOT_RUNNING] = "not_running", [RELOAD_DONE] = "done"
};

void outcome_text(const struct outcome *o, struct buffer *out) {
        buffer_format(out, "%s: ", o->target);
        if (o->recovered)
                buffer_text(out, "a change that was cut off was undone; ");
        if (!o->changed) {
                buffer_text(out, "up to date");
                return;
        }
        for (size_t i = 0; i < o->path_count; i++)
                buffer_format(out, "%s%s", i ? ", " : "", o->paths[i]);
        buffer_format(out, " %s; %s (backup %s)", o->removed ? "removed" : "replaced",
                      reload_words[o->reload], o->id);
}

json_t *outcome_json(const struct outcome *o) {
        json_t *files = json_array();

        for (size_t i = 0; files && i < o->path_count && o->changed; i++)
                (void) json_array_append_new(files, json_string(o->paths[i]));
        return json_pack("{s:s, s:b, s:b, s:o, s:s, s:s*}", "target", o->target, "changed",
                         o->changed, "recovered", o->recovered, "files", files, "reload",
                         reload_names[o->reload], "backup", o->changed ? o->id : NULL);
}

/* ---- for other commands ---- */

static void tell(const struct client *c, const struct outcome *outcome) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        outcome_text(outcome, &text);
        say(c, "%s", buffer_string(&text));
        if (outcome->places_chosen)
                say(c, "%s has to be told of them: %s", outcome->target, outcome->hint);
}

static bool same_folder(const char *a, const char *b) {
        CAD_AUTO(free_text) char *x = a ? realpath(a, NULL) : NULL;
        CAD_AUTO(free_text) char *y = b ? realpath(b, NULL) : NULL;

        return x && y ? text_equal(x, y) : text_equal(a, b);
}

static enum result deploy_one(struct client *c, const char *name, const char *folder) {
        CAD_AUTO(target_done) struct target target = { 0 };
        CAD_AUTO(outcome_done) struct outcome outcome = { 0 };
        enum result result = deploy_target_open(name, &target, /* ret_new= */ NULL);

        if (result != DONE || !same_folder(target.source, folder))
                return result;
        result = deploy_target(c, &target, /* force= */ false, &outcome);
        if (result == DONE)
                tell(c, &outcome);
        return result;
}

enum result deploy_folder(struct client *c, const char *folder) {
        CAD_AUTO(target_names_done) struct target_names names = { 0 };
        struct error err = { 0 };
        enum result all = DONE;

        if (target_list(&names, &err) < 0)
                return fail_error(&err);
        for (size_t i = 0; i < names.count; i++) {
                enum result result = deploy_one(c, names.names[i], folder);

                if (result != DONE)
                        all = result;
        }
        return all;
}

enum result deploy_known(const char *service) {
        CAD_AUTO(target_done) struct target target = { 0 };
        bool is_new = false;
        enum result result = deploy_target_open(service, &target, &is_new);

        if (result != DONE || !is_new || target.service_name)
                return result;
        return fail(
                WRONG_USAGE,
                "--deploy %s: it is no service that is known (%s), and no target: 'cactl deploy install %s --to-...' makes one",
                service, service_names(), service);
}

enum result deploy_add(struct client *c, const char *service, const char *folder) {
        CAD_AUTO(target_done) struct target target = { 0 };
        CAD_AUTO(outcome_done) struct outcome outcome = { 0 };
        CAD_AUTO(free_text) char *real = realpath(folder, NULL);
        struct error err = { 0 };
        bool is_new = false;
        enum result result = deploy_target_open(service, &target, &is_new);

        if (result != DONE)
                return result;
        for (size_t i = 0; i < INPUT_COUNT; i++)
                (void) target_set(&target.inputs[i], NULL, &err);
        if (target_set(&target.source, real ? real : folder, &err) < 0)
                return fail_error(&err);
        result = deploy_target(c, &target, /* force= */ false, &outcome);
        if (result == DONE)
                tell(c, &outcome);
        return result;
}
