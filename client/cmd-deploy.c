/*
 * cactl deploy: the command line of it. What it does is in deploy/; the CA is not asked for anything here.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "deploy/deploy.h"
#include "deploy/source.h"
#include "lib/base/moment.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "output.h"

static const struct option install_options[] = {
        { "from", "FOLDER",
          "the certificate is there, as 'cactl enroll' or 'cactl issue --out' wrote it (default: the one in "
          "CONF/certs)" },
        { "cert", "FILE", "the certificate: PEM, DER or PKCS#7, from whatever CA" },
        { "key", "FILE", "its private key, where it is in another file" },
        { "chain", "FILE", "the certificates above it, where they are in another file" },
        { "root", "FILE", "the root of its CA, where it is in another file" },
        { "p12", "FILE", "all of it in one PKCS#12 file" },
        { "password-file", "FILE", "the password of what is encrypted (default: asked for)" },
        { "name", "NAME", "the certificate has to be for this name, too", .repeats = true },
        { "service", "SERVICE", "what kind of service it is, where the target has another name" },
        { "to-cert", "FILE", "where the certificate alone goes" },
        { "to-chain", "FILE", "where the chain goes" },
        { "to-fullchain", "FILE", "where certificate and chain go" },
        { "to-key", "FILE", "where the private key goes" },
        { "to-combined", "FILE", "where certificate, chain and key go, in one file" },
        { "to-root", "FILE", "where the root goes" },
        { "owner", "USER", "whom the files belong to (default: as before)" },
        { "group", "GROUP", "and which group" },
        { "mode", "MODE", "mode of the file with the key, as 0640 (default: as before)" },
        { "config", "FILE", "the service's configuration, where it is not at its usual place" },
        { "pid-file", "FILE", "signal the process whose pid is in there" },
        { "unit", "UNIT", "its systemd unit" },
        { "check", "COMMAND", "says whether the service can use the files; 'no': nothing does" },
        { "reload", "COMMAND", "makes the service read the files again; 'no': nothing does" },
        { "timeout", "TIME", "how long a command may take (default: 1m)" },
        { "force", NULL, "replace a file that does not hold what is to be there" },
        { 0 },
};

/* Options that are settings of a target. */
static const struct {
        const char *option;
        size_t offset;
        bool is_path; /* made absolute: the timer runs elsewhere */
        bool is_input;
} wishes[] = {
        { "cert", offsetof(struct target, inputs[INPUT_CERTIFICATE]), true, true },
        { "key", offsetof(struct target, inputs[INPUT_KEY]), true, true },
        { "chain", offsetof(struct target, inputs[INPUT_CHAIN]), true, true },
        { "root", offsetof(struct target, inputs[INPUT_ROOT]), true, true },
        { "p12", offsetof(struct target, inputs[INPUT_PKCS12]), true, true },
        { "password-file", offsetof(struct target, password_file), true, false },
        { "service", offsetof(struct target, service_name), false, false },
        { "to-cert", offsetof(struct target, paths[CREDENTIAL_CERTIFICATE]), true, false },
        { "to-chain", offsetof(struct target, paths[CREDENTIAL_CHAIN]), true, false },
        { "to-fullchain", offsetof(struct target, paths[CREDENTIAL_FULL_CHAIN]), true, false },
        { "to-key", offsetof(struct target, paths[CREDENTIAL_KEY]), true, false },
        { "to-combined", offsetof(struct target, paths[CREDENTIAL_COMBINED]), true, false },
        { "to-root", offsetof(struct target, paths[CREDENTIAL_ROOT]), true, false },
        { "owner", offsetof(struct target, owner), false, false },
        { "group", offsetof(struct target, group), false, false },
        { "mode", offsetof(struct target, mode), false, false },
        { "config", offsetof(struct target, config), true, false },
        { "pid-file", offsetof(struct target, pid_file), true, false },
        { "unit", offsetof(struct target, unit), false, false },
        { "check", offsetof(struct target, check), false, false },
        { "reload", offsetof(struct target, reload), false, false },
};

/* ---- install: what is wanted ---- */

static int make_absolute(const char *path, struct buffer *out, struct error *err) {
        char here[PATH_MAX];

        if (text_equal(path, "-"))
                return error_set(
                        err, ERR_USAGE,
                        "standard input cannot be read again when the certificate is renewed: give a file");
        while (strncmp(path, "./", 2) == 0)
                path += 2;
        if (*path != '/') {
                if (!getcwd(here, sizeof(here)))
                        return error_errno(err, errno, "cannot find out the current folder");
                buffer_format(out, "%s/", here);
        }
        buffer_text(out, path);
        while (out->size > 1 && out->data[out->size - 1] == '/')
                out->size--;
        return out->failed ? error_no_memory(err) : 0;
}

static int set_wish(const char *value, bool is_path, char **member, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };

        if (is_path && *value) {
                if (make_absolute(value, &path, err) < 0)
                        return -1;
                value = buffer_string(&path);
        }
        return target_set(member, value, err);
}

/* A new source replaces the old one whole: a key of one CA's and a certificate of another's would not fit. */
static int drop_source(const struct client *c, struct target *t, bool *ret_given,
                       struct error *err) {
        *ret_given = option_given(c, "from");
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
                *ret_given = *ret_given ||
                        (wishes[i].is_input && option_given(c, wishes[i].option));
        for (size_t i = 0; i < INPUT_COUNT && *ret_given; i++)
                if (target_set(&t->inputs[i], NULL, err) < 0)
                        return -1;
        return *ret_given && target_set(&t->source, NULL, err) < 0 ? -1 : 0;
}

static int take_source(const struct client *c, struct target *t, struct error *err) {
        const char *from = option_value(c, "from");
        bool given = false, any = false;

        if (drop_source(c, t, &given, err) < 0 ||
            (from && set_wish(from, true, &t->source, err) < 0))
                return -1;
        for (size_t i = 0; i < INPUT_COUNT; i++)
                any = any || t->inputs[i];
        if (!given && !t->source && !any)
                t->source = source_default();
        return 0;
}

static int take_names(const struct client *c, struct target *t, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        const char *name;
        size_t at = 0;

        while ((name = option_next(c, "name", &at)))
                buffer_format(&names, "%s%s", names.size ? " " : "", name);
        return names.size ? target_set(&t->names, buffer_string(&names), err) : 0;
}

static enum result take_wishes(const struct client *c, struct target *t) {
        const char *timeout = option_value(c, "timeout");
        struct error err = { 0 };

        if (take_source(c, t, &err) < 0 || take_names(c, t, &err) < 0)
                return fail_error(&err);
        for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
                const char *value = option_value(c, wishes[i].option);

                if (value &&
                    set_wish(value, wishes[i].is_path,
                             (char **) (void *) ((char *) t + wishes[i].offset), &err) < 0)
                        return fail_error(&err);
        }
        if (timeout &&
            (duration_parse(timeout, &t->timeout_s, &err) < 0 || t->timeout_s < 1 ||
             t->timeout_s > TARGET_TIMEOUT_MAX_S))
                return fail(WRONG_USAGE, "--timeout %s: 1s to %us are possible", timeout,
                            (unsigned) TARGET_TIMEOUT_MAX_S);
        return DONE;
}

static bool wishes_given(const struct client *c) {
        for (const struct option *o = install_options; o->name; o++)
                if (!text_equal(o->name, "force") && option_given(c, o->name))
                        return true;
        return false;
}

/* ---- install ---- */

static void tell_outcome(const struct client *c, const struct outcome *outcome, json_t *all) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        if (c->json)
                (void) json_array_append_new(all, outcome_json(outcome));
        outcome_text(outcome, &text);
        if (!c->json && !c->quiet)
                put(outcome->changed ? TONE_GOOD : TONE_PLAIN, "%s", buffer_string(&text));
        if (outcome->places_chosen)
                say(c, "%s has to be told of them: %s", outcome->target, outcome->hint);
}

static enum result install_one(struct client *c, const char *name, bool may_be_new, json_t *all) {
        CAD_AUTO(target_done) struct target target = { 0 };
        CAD_AUTO(outcome_done) struct outcome outcome = { 0 };
        bool is_new = false;
        enum result result = deploy_target_open(name, &target, may_be_new ? &is_new : NULL);

        if (result == DONE)
                result = take_wishes(c, &target);
        if (result == DONE)
                result = deploy_target(c, &target, option_given(c, "force"), &outcome);
        if (result == DONE)
                tell_outcome(c, &outcome, all);
        return result;
}

static enum result install_all(struct client *c, json_t *all) {
        CAD_AUTO(target_names_done) struct target_names names = { 0 };
        struct error err = { 0 };
        enum result worst = DONE;

        if (target_list(&names, &err) < 0)
                return fail_error(&err);
        if (names.count == 0)
                say(c,
                    "there is nothing to deploy: 'cactl deploy install SERVICE --from FOLDER' begins (%s)",
                    service_names());
        for (size_t i = 0; i < names.count; i++) {
                enum result result = install_one(c, names.names[i], false, all);

                worst = result == DONE ? worst : result;
        }
        return worst;
}

static enum result install_run(struct client *c) {
        CAD_AUTO(json_free) json_t *all = json_array();
        enum result worst = DONE;

        if (!all)
                return fail(REFUSED, "out of memory");
        if (c->args_count != 1 && wishes_given(c))
                return fail(
                        WRONG_USAGE,
                        "options go with one target: cactl deploy install TARGET --from FOLDER");
        if (c->args_count == 0)
                worst = install_all(c, all);
        for (size_t i = 0; i < c->args_count; i++) {
                enum result result = install_one(c, c->args[i], true, all);

                worst = result == DONE ? worst : result;
        }
        if (c->json)
                put_json(all);
        return worst;
}

const struct command cmd_deploy_install = {
        .group = "deploy",
        .name = "install",
        .args = "[TARGET]...",
        .args_max = ARGS_ANY,
        .help = "Put key, certificate and chain where a service wants them, and reload it",
        .more = "TARGET is nginx, apache, haproxy, lighttpd, nats, mosquitto, postgresql, postfix or dovecot, or a name of your "
                "own with --to-... options. What is said is kept in CONF/deploy.d/TARGET.conf and done again when the certificate is renewed. "
                "Without TARGET all that are there are brought up to date.",
        .options = install_options,
        .run = install_run,
};

/* ---- list ---- */

static const char *source_of(const struct target *t) {
        for (size_t i = 0; i < INPUT_COUNT; i++)
                if (t->inputs[i])
                        return t->inputs[i];
        return t->source ? t->source : "";
}

static json_t *target_json(const struct target *t, const char *state, bool good) {
        json_t *files = json_object();

        for (size_t i = 0; files && i < CREDENTIAL_PART_COUNT; i++)
                if (t->paths[i])
                        (void) json_object_set_new(files, target_part_key((enum credential_part) i),
                                                   json_string(t->paths[i]));
        return json_pack("{s:s, s:s*, s:s, s:o, s:b, s:s}", "target", t->name, "service",
                         t->service_name, "source", source_of(t), "files", files, "up_to_date",
                         good, "state", state);
}

static void list_row(struct table *table, const struct target *t, const char *state, bool good) {
        CAD_AUTO(buffer_done) struct buffer files = { 0 };

        for (size_t i = 0; i < CREDENTIAL_PART_COUNT; i++)
                if (t->paths[i])
                        buffer_format(&files, "%s%s", files.size ? ", " : "", t->paths[i]);
        table_cell(table, TONE_STRONG, t->name);
        table_cell(table, TONE_PLAIN, t->service_name ? t->service_name : "-");
        table_cell(table, TONE_PLAIN, source_of(t));
        table_cell(table, TONE_PLAIN, buffer_string(&files));
        table_cell(table, good ? TONE_GOOD : TONE_BAD, state);
}

static enum result list_one(struct client *c, const char *name, struct table *table, json_t *all) {
        CAD_AUTO(target_done) struct target target = { 0 };
        CAD_AUTO(free_text) char *state = NULL;
        bool good = false;
        enum result result = deploy_target_open(name, &target, /* ret_new= */ NULL);

        if (result != DONE)
                return result;
        state = deploy_state(c, &target, &good);
        if (!state)
                return fail(REFUSED, "out of memory");
        if (c->json)
                (void) json_array_append_new(all, target_json(&target, state, good));
        else
                list_row(table, &target, state, good);
        return DONE;
}

static enum result list_run(struct client *c) {
        static const struct column columns[] = { { "TARGET", false },
                                                 { "SERVICE", false },
                                                 { "FROM", false },
                                                 { "FILES", true },
                                                 { "STATE", false } };
        CAD_AUTO(target_names_done) struct target_names names = { 0 };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));
        CAD_AUTO(json_free) json_t *all = json_array();
        struct error err = { 0 };
        enum result worst = DONE;

        if (!table || !all)
                return fail(REFUSED, "out of memory");
        if (target_list(&names, &err) < 0)
                return fail_error(&err);
        for (size_t i = 0; i < names.count; i++) {
                enum result result = list_one(c, names.names[i], table, all);

                worst = result == DONE ? worst : result;
        }
        if (c->json)
                put_json(all);
        else if (names.count == 0)
                say(c,
                    "there is no target: 'cactl deploy install SERVICE --from FOLDER' makes one");
        else
                table_print(table);
        return worst;
}

const struct command cmd_deploy_list = {
        .group = "deploy",
        .name = "list",
        .args = "",
        .help = "What is deployed where, and whether it is up to date",
        .run = list_run,
};

/* ---- backups ---- */

static void backup_row(struct table *table, const char *target, const char *id,
                       const json_t *manifest) {
        const json_t *certificate = json_object_get(manifest, "certificate");
        const char *names = api_text(certificate, "names");

        table_cell(table, TONE_STRONG, target);
        table_cell(table, TONE_PLAIN, id);
        table_cell(table, TONE_PLAIN, api_text(manifest, "reason"));
        table_cell(table, TONE_PLAIN, api_text(certificate, "not_after"));
        table_cell(table, TONE_PLAIN, certificate ? (*names ? names : "-") : "nothing was there");
}

static enum result backups_of(const struct client *c, const char *target, struct table *table,
                              json_t *all) {
        CAD_AUTO(backup_ids_done) struct backup_ids ids = { 0 };
        struct error err = { 0 };
        CAD_AUTO(fd_close) int fd = -1;

        if (target_name_check(target, &err) < 0)
                return fail_error(&err);
        fd = backups_open(target, /* make= */ false, &err);
        if (fd < 0 && err.code == ERR_NOT_FOUND)
                return DONE;
        if (fd < 0 || backup_list(fd, &ids, &err) < 0)
                return fail_error(&err);
        for (size_t i = 0; i < ids.count; i++) {
                CAD_AUTO(json_free) json_t *manifest = NULL;

                if (backup_manifest(fd, ids.ids[i], &manifest, &err) < 0)
                        return fail_error(&err);
                (void) json_object_set_new(manifest, "id", json_string(ids.ids[i]));
                (void) json_array_append(all, manifest);
                if (!c->json)
                        backup_row(table, target, ids.ids[i], manifest);
        }
        return DONE;
}

static enum result backups_run(struct client *c) {
        static const struct column columns[] = { { "TARGET", false },
                                                 { "BACKUP", false },
                                                 { "BEFORE", false },
                                                 { "EXPIRES", false },
                                                 { "CERTIFICATE FOR", true } };
        CAD_AUTO(target_names_done) struct target_names names = { 0 };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));
        CAD_AUTO(json_free) json_t *all = json_array();
        struct error err = { 0 };
        enum result result = DONE;

        if (!table || !all)
                return fail(REFUSED, "out of memory");
        if (c->args_count == 0 && backups_targets(&names, &err) < 0)
                return fail_error(&err);
        if (c->args_count)
                result = backups_of(c, c->args[0], table, all);
        for (size_t i = 0; i < names.count && result == DONE; i++)
                result = backups_of(c, names.names[i], table, all);
        if (c->json)
                put_json(all);
        else
                table_print(table);
        if (result == DONE && json_array_size(all) == 0)
                say(c, "nothing was replaced%s%s so far", c->args_count ? " for " : "",
                    c->args_count ? c->args[0] : "");
        return result;
}

const struct command cmd_deploy_backups = {
        .group = "deploy",
        .name = "backups",
        .args = "[TARGET]",
        .args_max = 1,
        .help = "What was replaced, newest first",
        .more = "A backup is made of what was there before each change, and the last 20 of a target are kept. "
                "'cactl deploy restore TARGET BACKUP' brings one back.",
        .run = backups_run,
};

/* ---- restore ---- */

/* Where its file has gone, too, a service of that name can still be reloaded. */
static enum result open_for_restore(const char *name, struct target *t) {
        bool is_new = false;
        enum result result = deploy_target_open(name, t, &is_new);
        struct error err = { 0 };

        return result == DONE && target_check(t, &err) < 0 ? fail_error(&err) : result;
}

static enum result restore_run(struct client *c) {
        CAD_AUTO(target_done) struct target target = { 0 };
        CAD_AUTO(outcome_done) struct outcome outcome = { 0 };
        CAD_AUTO(json_free) json_t *all = json_array();
        enum result result = open_for_restore(c->args[0], &target);

        if (!all)
                return fail(REFUSED, "out of memory");
        if (result == DONE)
                result = deploy_restore(c, &target, c->args_count > 1 ? c->args[1] : NULL,
                                        &outcome);
        if (result != DONE)
                return result;
        tell_outcome(c, &outcome, all);
        if (c->json)
                put_json(json_array_get(all, 0));
        if (outcome.changed)
                say(c,
                    "the next 'cactl deploy install' brings the certificate of its source again");
        return DONE;
}

const struct command cmd_deploy_restore = {
        .group = "deploy",
        .name = "restore",
        .args = "TARGET [BACKUP]",
        .args_min = 1,
        .args_max = 2,
        .help = "Bring back what was there before, the newest backup or the one that is named",
        .more = "What is there now is backed up first, so that a restore can be taken back, too.",
        .run = restore_run,
};
