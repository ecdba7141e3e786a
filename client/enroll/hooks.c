/*
 * Hooks: see hooks.h. Whoever may write one becomes who we are, so it is looked at who may.
 */
#include "client/enroll/hooks.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/output.h"
#include "client/run.h"
#include "lib/base/text.h"

#define VARIABLE_COUNT 4

/* As run-parts(8) has it: what editors and dpkg leave behind is none. */
static int is_hook(const struct dirent *entry) {
        const char *name = entry->d_name;
        const char *dpkg = strstr(name, ".dpkg-");

        return *name != '.' && !text_ends_with(name, "~") && !dpkg &&
                !text_ends_with(name, ".rpmsave") && !text_ends_with(name, ".rpmnew");
}

/* Return: 1 to be run, 0 not executable, -1 after saying why it must not be */
static int may_run(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
                return 0;
        if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH))) {
                (void) fail(REFUSED,
                            "%s was not run: it has to belong to root or to uid %u and be writable "
                            "by nobody else (chmod go-w)",
                            path, (unsigned) geteuid());
                return -1;
        }
        return 1;
}

static enum result run_hook(const struct client *c, const char *path,
                            const char *const variables[]) {
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        char *const argv[] = { (char *) (uintptr_t) path, NULL };
        char shown[RUN_OUTPUT_MAX];
        struct error err = { 0 };
        enum result result = DONE;

        if (run_program(argv, variables, HOOK_TIMEOUT_S, &output, &err) < 0)
                result = fail(REFUSED, "the hook %s", err.text);
        else
                say(c, "ran %s", path);
        if (result == DONE || !output.size)
                return result;
        for (char *line = strtok((char *) (uintptr_t) buffer_string(&output), "\n"); line;
             line = strtok(NULL, "\n")) {
                text_make_printable(line, shown, sizeof(shown));
                (void) fprintf(stderr, "  | %s\n", shown);
        }
        return result;
}

static void free_entries(struct dirent **entries, int count) {
        for (int i = 0; i < count; i++)
                free(entries[i]);
        free(entries);
}

static enum result run_all(const struct client *c, const char *folder, struct dirent **entries,
                           int count, const char *const variables[]) {
        enum result result = DONE;

        for (int i = 0; i < count; i++) {
                CAD_AUTO(buffer_done) struct buffer path = { 0 };
                int may;

                buffer_format(&path, "%s/%s", folder, entries[i]->d_name);
                may = may_run(buffer_string(&path));
                if (may < 0 || (may > 0 && run_hook(c, buffer_string(&path), variables) != DONE))
                        result = REFUSED;
        }
        return result;
}

/* Whoever may put a link there has any program of root's run. */
static enum result check_folder(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == ENOENT
                        ? DONE
                        : fail(REFUSED, "cannot look into %s: %s", path, strerror(errno));
        if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
                return fail(
                        REFUSED,
                        "no hook was run: %s has to belong to root or to uid %u and be writable "
                        "by nobody else (chmod go-w)",
                        path, (unsigned) geteuid());
        return DONE;
}

enum result hooks_run(const struct client *c, const char *conf, const struct hook_event *event) {
        CAD_AUTO(buffer_done) struct buffer folder = { 0 };
        struct buffer texts[VARIABLE_COUNT] = { { 0 } };
        const char *const names[VARIABLE_COUNT] = { "CACTL_REASON", "CACTL_FOLDER", "CACTL_NAMES",
                                                    "CACTL_SERIAL" };
        const char *const values[VARIABLE_COUNT] = { event->reason, event->folder, event->names,
                                                     event->serial };
        const char *variables[VARIABLE_COUNT + 1] = { NULL };
        struct dirent **entries = NULL;
        enum result result = DONE;
        int count;

        buffer_format(&folder, "%s/hooks.d", conf);
        if (check_folder(buffer_string(&folder)) != DONE)
                return REFUSED;
        count = scandir(buffer_string(&folder), &entries, is_hook, alphasort);
        if (count < 0)
                return errno == ENOENT ? DONE
                                       : fail(REFUSED, "cannot look into %s: %s",
                                              buffer_string(&folder), strerror(errno));
        if (count > HOOKS_MAX)
                result = fail(REFUSED, "%s: there are more than %d hooks", buffer_string(&folder),
                              HOOKS_MAX);
        for (size_t i = 0; i < VARIABLE_COUNT; i++) {
                buffer_format(&texts[i], "%s=%s", names[i], values[i]);
                variables[i] = buffer_string(&texts[i]);
        }
        if (result == DONE)
                result = run_all(c, buffer_string(&folder), entries, count, variables);
        for (size_t i = 0; i < VARIABLE_COUNT; i++)
                buffer_done(&texts[i]);
        free_entries(entries, count);
        return result;
}
