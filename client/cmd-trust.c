/*
 * cactl trust: the CA's root into the stores of this machine, out of them, and how they stand.
 *
 * Nothing is changed before it is known which root it is and that it may be trusted at all.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "files.h"
#include "lib/base/text.h"
#include "lib/pki/dn.h"
#include "output.h"
#include "show.h"
#include "trust/trust.h"

#define DEFAULT_PASSWORD "changeit" /* of every cacerts, since Java 1.2 */
#define PASSWORD_MAX 256            /* bytes with NUL */

/* clang-format off */
#define WHERE_OPTIONS \
        { "system", NULL, "the system's store: what curl, wget, Python and most programs read" }, \
        { "nss", NULL, "Firefox, Thunderbird, Chromium and their kin, of all users where you are root" }, \
        { "java", NULL, "Java's cacerts, of each JVM that is found" }, \
        { "user", NULL, "only what is your own" }, \
        { "prefix", "DIR", "the stores of an image below this folder instead of this machine's" }, \
        { "java-store", "FILE", "this one instead of those that are found" }, \
        { "java-password-file", "FILE", "its password, where it is not changeit; '-' reads standard input" }
/* clang-format on */

static const struct option install_options[] = {
        WHERE_OPTIONS,
        { "replace", NULL, "take out other roots of the same name" },
        { "yes", NULL, "do not ask, also where the root may vouch for any name", false, 'y' },
        { 0 },
};

static const struct option other_options[] = { WHERE_OPTIONS, { 0 } };

/* ---- what to do ---- */

struct plan {
        struct trust_job job;
        char prefix[PATH_MAX], java_store[PATH_MAX], password[PASSWORD_MAX];
        bool chosen; /* by an option; else all that are there */
};

static enum result plan_prefix(const struct client *c, struct plan *plan) {
        const char *prefix = option_value(c, "prefix");

        plan->job.prefix = plan->prefix;
        if (!prefix)
                return DONE;
        if (!realpath(prefix, plan->prefix))
                return fail(REFUSED, "--prefix %s: there is no such folder", prefix);
        if (text_equal(plan->prefix, "/"))
                plan->prefix[0] = '\0';
        return DONE;
}

static enum result plan_password(const struct client *c, struct plan *plan) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        const char *path = option_value(c, "java-password-file");
        struct error err = { 0 };
        size_t size;

        plan->job.java_password = path ? plan->password : DEFAULT_PASSWORD;
        if (!path)
                return DONE;
        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        size = strcspn(buffer_string(&text), "\r\n");
        if (size == 0 || size >= sizeof(plan->password))
                return fail(REFUSED,
                            "--java-password-file %s: a password of 1 to %d bytes is wanted", path,
                            PASSWORD_MAX - 1);
        memcpy(plan->password, text.data, size);
        return DONE;
}

static enum result plan_java(const struct client *c, struct plan *plan) {
        const char *store = option_value(c, "java-store");

        if (store && !realpath(store, plan->java_store))
                return fail(REFUSED, "--java-store %s: there is no such file", store);
        if (store && *plan->prefix)
                return fail(WRONG_USAGE, "--java-store and --prefix: give one of them");
        plan->job.java_store = store ? plan->java_store : NULL;
        return plan_password(c, plan);
}

static enum result plan_make(const struct client *c, enum trust_action action,
                             const struct root *root, struct plan *plan) {
        enum result result = plan_prefix(c, plan);

        plan->job.action = action;
        plan->job.root = root;
        plan->job.own_only = option_given(c, "user");
        plan->job.replace = action == TRUST_INSTALL && option_given(c, "replace");
        for (size_t i = 0; i < TRUST_KIND_COUNT; i++) {
                plan->job.chosen[i] = option_given(c, trust_store_name((enum trust_kind) i));
                plan->chosen |= plan->job.chosen[i];
        }
        if (option_given(c, "java-store"))
                plan->chosen = plan->job.chosen[TRUST_JAVA] = true;
        for (size_t i = 0; i < TRUST_KIND_COUNT && !plan->chosen; i++)
                plan->job.chosen[i] = true;
        return result == DONE ? plan_java(c, plan) : result;
}

/* ---- how it went ---- */

/* What stands in the table and in the JSON. */
static const struct {
        const char *text;
        const char *name;
        enum tone tone;
} states[] = {
        [TRUST_ABSENT] = { "not there", "absent", TONE_PLAIN },
        [TRUST_INSTALLED] = { "installed", "installed", TONE_GOOD },
        [TRUST_DISTRUSTED] = { "there, not trusted", "distrusted", TONE_WARN },
        [TRUST_NEEDS_ROOT] = { "needs root", "needs_root", TONE_BAD },
        [TRUST_NEEDS_TOOL] = { "needs", "needs_tool", TONE_BAD },
        [TRUST_FAILED] = { "failed", "failed", TONE_BAD },
};
_Static_assert(ARRAY_SIZE(states) == TRUST_STATE_COUNT, "one row a state");

static const char *state_text(const struct trust_row *row, enum trust_action action, char *out,
                              size_t size) {
        bool before = action == TRUST_INSTALL && row->state == TRUST_INSTALLED && !row->changed;

        (void) snprintf(out, size, "%s%s%s%s", states[row->state].text,
                        row->state == TRUST_NEEDS_TOOL ? " " : "", row->tool,
                        before                                               ? " already"
                                : row->changed && row->state == TRUST_ABSENT ? " any more"
                                                                             : "");
        return out;
}

static void put_others(const struct trust_row *row, bool installing) {
        char groups[FINGERPRINT_TEXT_MAX];

        for (size_t i = 0; i < row->others_count; i++)
                put(TONE_WARN, "%s has another root of the same name, %s%s", row->where,
                    fingerprint_groups(row->others[i], groups),
                    installing ? ": it stays; --replace takes it out" : "");
}

static void put_rows(const struct trust_rows *rows, enum trust_action action) {
        static const struct column columns[] = {
                { "STORE", false }, { "USER", false }, { "WHERE", true }, { "STATE", false }
        };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));

        for (size_t i = 0; table && i < rows->count; i++) {
                const struct trust_row *row = &rows->items[i];
                char text[96];

                table_cell(table, TONE_STRONG, trust_store_name(row->kind));
                table_cell(table, TONE_PLAIN, row->user);
                table_cell(table, TONE_PLAIN, row->where);
                table_cell(table, states[row->state].tone,
                           state_text(row, action, text, sizeof(text)));
        }
        if (table)
                table_print(table);
        for (size_t i = 0; i < rows->count; i++) {
                if (rows->items[i].note[0])
                        put(states[rows->items[i].state].tone, "%s: %s", rows->items[i].where,
                            rows->items[i].note);
                put_others(&rows->items[i], action == TRUST_INSTALL);
        }
}

static json_t *row_json(const struct trust_row *row) {
        json_t *others = json_array();
        char hex[2 * SHA256_SIZE + 1], note[ERROR_TEXT_MAX], where[TRUST_WHERE_MAX];

        for (size_t i = 0; i < row->others_count; i++)
                (void) json_array_append_new(
                        others, json_string(hex_encode(BYTES(row->others[i], SHA256_SIZE), hex)));
        text_make_printable(row->note, note, sizeof(note));
        text_make_printable(row->where, where, sizeof(where));
        return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:o}", "store",
                         trust_store_name(row->kind), "user", row->user, "where", where, "state",
                         states[row->state].name, "changed", (int) row->changed, "needs", row->tool,
                         "note", note, "same_name", others);
}

static json_t *root_json(const struct root *root) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        char hex[2 * SHA256_SIZE + 1], words[FINGERPRINT_WORDS_MAX], subject[DN_TEXT_MAX];

        if (!root->der.size)
                return json_null();
        root_vouches_for(root, &names);
        return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s}", "subject",
                         dn_text(root->cert.subject, subject, sizeof(subject)), "fingerprint",
                         hex_encode(BYTES(root->digest, SHA256_SIZE), hex), "words",
                         fingerprint_words(root->digest, words), "confined", (int) root->confined,
                         "vouches_for", buffer_string(&names), "label", root->label);
}

static void put_all_json(const struct root *root, const struct trust_rows *rows) {
        CAD_AUTO(json_free) json_t *object = NULL;
        json_t *stores = json_array();

        for (size_t i = 0; i < rows->count; i++)
                (void) json_array_append_new(stores, row_json(&rows->items[i]));
        object = json_pack("{s:o, s:o}", "root", root_json(root), "stores", stores);
        put_json(object);
}

/* A kind that was asked for by name and is not here is no success either. */
static enum result check_all_there(const struct plan *plan, const struct trust_rows *rows) {
        enum result result = DONE;

        for (size_t i = 0; i < TRUST_KIND_COUNT; i++) {
                bool any = !plan->job.chosen[i] || !plan->chosen;

                for (size_t k = 0; k < rows->count && !any; k++)
                        any = rows->items[k].kind == (enum trust_kind) i;
                if (!any)
                        result = fail(REFUSED, "no store of the kind --%s was found%s%s%s",
                                      trust_store_name((enum trust_kind) i),
                                      *plan->job.prefix ? " in " : "", plan->job.prefix,
                                      plan->job.own_only ? " that is your own" : "");
        }
        if (result == DONE && !rows->count)
                return fail(REFUSED,
                            "no store was found%s: is the package ca-certificates installed?",
                            plan->job.own_only ? " that is your own" : "");
        return result;
}

static enum result judge(const struct client *c, const struct plan *plan,
                         const struct trust_rows *rows) {
        size_t failed = 0, changed = 0, browsers = 0;

        for (size_t i = 0; i < rows->count; i++) {
                failed += rows->items[i].state >= TRUST_NEEDS_ROOT;
                changed += rows->items[i].changed;
                browsers += rows->items[i].changed && rows->items[i].kind == TRUST_NSS;
        }
        if (browsers)
                say(c, "programs that are running take this up when they are started again");
        if (failed)
                return fail(REFUSED, "%zu of %zu stores %s: see above", failed, rows->count,
                            plan->job.action == TRUST_STATUS ? "cannot be read"
                                                             : "are not as they should be");
        if (rows->cut)
                return fail(REFUSED,
                            "there are more than %d stores: choose with --system, --nss, --java or "
                            "--user",
                            TRUST_ROWS_MAX);
        if (plan->job.action == TRUST_INSTALL && !changed)
                say(c, "it was installed already: nothing was changed");
        if (plan->job.action == TRUST_REMOVE && !changed)
                say(c, "it was nowhere: nothing was changed");
        return check_all_there(plan, rows);
}

static enum result work(struct client *c, enum trust_action action, const struct root *root) {
        CAD_AUTO(trust_rows_done) struct trust_rows rows = { 0 };
        struct plan plan = { .chosen = false };
        struct error err = { 0 };
        enum result result = plan_make(c, action, root, &plan);

        if (result != DONE)
                return result;
        if (trust_run(&plan.job, &rows, &err) < 0)
                result = fail_error(&err);
        explicit_bzero(plan.password, sizeof(plan.password));
        if (result != DONE)
                return result;
        if (c->json)
                put_all_json(root, &rows);
        else if (rows.count)
                put_rows(&rows, action);
        return judge(c, &plan, &rows);
}

/* ---- install ---- */

/* Loud, for who installs such a root hands over more than the LAN. */
static enum result confirm_unconfined(const struct client *c) {
        char line[16] = "";

        (void) fputs(
                "\nWARNING: this root is NOT confined to names of your own. Whoever holds its key can pass for any web site, bank or\n"
                "mail server before this machine. A CA for a LAN is better made with name constraints, as 'cad init' does.\n\n",
                stderr);
        if (option_given(c, "yes"))
                return DONE;
        if (!terminal_on(STDIN_FILENO) || !terminal_on(STDERR_FILENO))
                return fail(REFUSED,
                            "the root may vouch for any name and there is no terminal to "
                            "ask on: --yes installs it nevertheless");
        (void) fputs("Trust it nevertheless? Type yes: ", stderr);
        if (fgets(line, sizeof(line), stdin) && strcmp(line, "yes\n") == 0)
                return DONE;
        return fail(REFUSED, "nothing was changed");
}

static enum result install_run(struct client *c) {
        CAD_AUTO(root_done) struct root root = { 0 };
        struct error err = { 0 };
        enum result result = root_get(c, /* der_needed= */ true, &root);

        if (result != DONE)
                return result;
        root_show(c, &root);
        if (root_check(&root, c->now, &err) < 0)
                return fail_error(&err);
        if (!root.confined)
                result = confirm_unconfined(c);
        return result == DONE ? work(c, TRUST_INSTALL, &root) : result;
}

static enum result other_run(struct client *c, enum trust_action action) {
        CAD_AUTO(root_done) struct root root = { 0 };
        enum result result = root_get(c, /* der_needed= */ false, &root);

        return result == DONE ? work(c, action, &root) : result;
}

static enum result remove_run(struct client *c) {
        return other_run(c, TRUST_REMOVE);
}

static enum result status_run(struct client *c) {
        return other_run(c, TRUST_STATUS);
}

#define MORE_SOURCES \
        "The root comes from the cad on this machine; on a machine that has none, from --url http(s)://NAME[:PORT] with --fingerprint, " \
        "or from a file with --root FILE. "

const struct command cmd_trust_install = {
        .group = "trust",
        .name = "install",
        .args = "",
        .help = "Make this machine trust the CA's root: system, browsers, Java",
        .more = MORE_SOURCES
        "Each store is read back afterwards; exit status 1 says that one is not as it should be. Without --system, --nss or --java: all "
        "that are there.",
        .options = install_options,
        .names_root = true,
        .run = install_run,
};

const struct command cmd_trust_remove = {
        .group = "trust",
        .name = "remove",
        .args = "",
        .help = "Take the CA's root out of this machine's stores again",
        .more = MORE_SOURCES
        "--fingerprint alone will do, too. Just this root is removed, whatever it is called in a store.",
        .options = other_options,
        .names_root = true,
        .run = remove_run,
};

const struct command cmd_trust_status = {
        .group = "trust",
        .name = "status",
        .args = "",
        .help = "In which stores of this machine the CA's root is",
        .more = MORE_SOURCES "--fingerprint alone will do, too.",
        .options = other_options,
        .names_root = true,
        .run = status_run,
};
