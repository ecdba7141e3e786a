/*
 * The table of stores, and what is done in each place: look, change, and look again. What a change says of itself counts for nothing
 * but a failure.
 */
#include "trust.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/pki/pem.h"
#include "users.h"

static const struct trust_store *const stores[] = {
        [TRUST_SYSTEM] = &trust_system,
        [TRUST_NSS] = &trust_nss,
        [TRUST_JAVA] = &trust_java,
};
_Static_assert(ARRAY_SIZE(stores) == TRUST_KIND_COUNT, "one row a kind");

const char *trust_store_name(enum trust_kind kind) {
        return stores[kind]->name;
}

void trust_rows_done(struct trust_rows *rows) {
        free(rows->items);
        *rows = (struct trust_rows){ 0 };
}

struct trust_row *trust_row_add(struct trust_rows *rows, enum trust_kind kind) {
        if (!rows->items)
                rows->items = calloc(TRUST_ROWS_MAX, sizeof(*rows->items));
        rows->cut |= rows->count == TRUST_ROWS_MAX;
        if (!rows->items || rows->count == TRUST_ROWS_MAX)
                return NULL;
        rows->items[rows->count].kind = kind;
        return &rows->items[rows->count++];
}

void trust_set(struct trust_row *row, enum trust_state state, const char *format, ...) {
        va_list args;

        row->state = state;
        va_start(args, format);
        (void) vsnprintf(row->note, sizeof(row->note), format, args);
        va_end(args);
}

/* ---- certificates of a store ---- */

void trust_scan_der(struct trust_scan *scan, const struct root *root, struct bytes der) {
        struct error ignored = { 0 };
        struct cert cert;

        scan->count++;
        if (root_match_fits(&root->match, der)) {
                scan->there = true;
                return;
        }
        if (!root->der.size || scan->others_count == TRUST_OTHERS_MAX ||
            cert_read(der, &cert, &ignored) < 0 || !cert_is_self_signed(&cert) ||
            !bytes_equal(cert.subject, root->cert.subject))
                return;
        cert_fingerprint(der, scan->others[scan->others_count++]);
}

int trust_scan_text(struct trust_scan *scan, const struct root *root, struct bytes text,
                    struct error *err) {
        if (text.size && text.data[0] == DER_SEQUENCE) {
                trust_scan_der(scan, root, text);
                return 0;
        }
        for (;;) {
                CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX];
                int found = pem_next(&text, label, &der, err);

                if (found <= 0)
                        return found;
                if (text_equal(label, "CERTIFICATE"))
                        trust_scan_der(scan, root, buffer_bytes(&der));
        }
}

/* ---- one place ---- */

static const char *const state_words[] = {
        [TRUST_ABSENT] = "not there",
        [TRUST_INSTALLED] = "there",
        [TRUST_DISTRUSTED] = "there, but not trusted",
        [TRUST_NEEDS_ROOT] = "not to be read without root",
        [TRUST_NEEDS_TOOL] = "not to be read without its program",
        [TRUST_FAILED] = "not to be read",
};
_Static_assert(ARRAY_SIZE(state_words) == TRUST_STATE_COUNT, "one row a state");

static void take_failure(struct trust_row *row, const struct error *err) {
        trust_set(row, err->code == ERR_FORBIDDEN ? TRUST_NEEDS_ROOT : TRUST_FAILED, "%s",
                  err->text);
}

/* Afterwards it is as it is read back, whatever the program that changed it has said. */
static void look_again(const struct trust_store *store, const struct trust_job *job,
                       struct trust_row *row, enum trust_state wanted) {
        char note[ERROR_TEXT_MAX / 2];

        row->note[0] = '\0';
        row->others_count = 0;
        store->look(job, row);
        if (row->state == wanted) {
                row->changed = true;
                return;
        }
        text_make_printable(row->note, note, sizeof(note));
        trust_set(row, TRUST_FAILED, "it was %s, and when read back it is %s%s%s",
                  wanted == TRUST_INSTALLED ? "put there" : "taken out", state_words[row->state],
                  *note ? ": " : "", note);
}

static int remove_others(const struct trust_store *store, const struct trust_job *job,
                         struct trust_row *row, struct error *err) {
        for (size_t i = 0; i < row->others_count; i++) {
                const struct root_match match = root_match_of(row->others[i]);

                if (store->remove(job, row, &match, err) < 0)
                        return -1;
        }
        return 0;
}

static void install(const struct trust_store *store, const struct trust_job *job,
                    struct trust_row *row) {
        bool replace = job->replace && row->others_count;
        struct error err = { 0 };

        if (row->state == TRUST_INSTALLED && !replace)
                return;
        if ((row->state != TRUST_INSTALLED && store->install(job, row, &err) < 0) ||
            (replace && remove_others(store, job, row, &err) < 0)) {
                take_failure(row, &err);
                return;
        }
        look_again(store, job, row, TRUST_INSTALLED);
        if (replace && row->state == TRUST_INSTALLED && row->others_count)
                trust_set(row, TRUST_FAILED,
                          "an older root of the same name was taken out, and "
                          "when read back one is still there");
}

static void take_out(const struct trust_store *store, const struct trust_job *job,
                     struct trust_row *row) {
        struct error err = { 0 };

        if (row->state == TRUST_ABSENT)
                return;
        if (store->remove(job, row, &job->root->match, &err) < 0)
                take_failure(row, &err);
        else
                look_again(store, job, row, TRUST_ABSENT);
}

static void work(const struct trust_store *store, const struct trust_job *job,
                 struct trust_row *row) {
        store->look(job, row);
        if (row->state >= TRUST_NEEDS_ROOT)
                return;
        if (job->action == TRUST_INSTALL)
                install(store, job, row);
        else if (job->action == TRUST_REMOVE)
                take_out(store, job, row);
}

int trust_work(const struct trust_job *job, enum trust_kind kind, struct trust_rows *ret,
               struct error *err) {
        size_t first = ret->count;

        if (stores[kind]->find(job, ret, err) < 0)
                return -1;
        for (size_t i = first; i < ret->count; i++)
                work(stores[kind], job, &ret->items[i]);
        return 0;
}

int trust_run(const struct trust_job *job, struct trust_rows *ret, struct error *err) {
        for (size_t i = 0; i < TRUST_KIND_COUNT; i++) {
                enum trust_kind kind = (enum trust_kind) i;
                int rc;

                if (!job->chosen[i])
                        continue;
                rc = stores[i]->each_user ? users_work(job, kind, ret, err)
                                          : trust_work(job, kind, ret, err);
                if (rc < 0)
                        return -1;
        }
        return 0;
}
