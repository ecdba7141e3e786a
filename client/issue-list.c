/*
 * cactl issue --list: a key and a certificate for each line. The key is put in place before the CA is asked, and the request
 * is named after key and wish: whatever happens between, the same command again gets the same certificate, not another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "issue.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "list.h"
#include "output.h"

struct batch {
        struct certs root;
        struct password password; /* one for all */
        const char *folder;
        bool force;
        void *bases; /* of tsearch(): file names that this list has written */
};

static void batch_done(struct batch *b) {
        certs_done(&b->root);
        password_done(&b->password);
        tdestroy(b->bases, free);
}
CAD_CLEANUP_DONE(struct batch, batch_done)

/* ---- a line ---- */

static int compare_texts(const void *a, const void *b) {
        return strcasecmp(a, b);
}

/* Two lines for the same files: the second would replace the first's, or be taken for done. */
static enum result claim_base(struct batch *b, const char *base) {
        char *copy = strdup(base);
        char **at = copy ? tsearch(copy, &b->bases, compare_texts) : NULL;

        if (!at) {
                free(copy);
                return fail(REFUSED, "out of memory");
        }
        if (*at == copy)
                return DONE;
        free(copy);
        return fail(
                REFUSED,
                "the files %s.pem are those of a line before: name=BASE gives them another name",
                base);
}

/* Names, and name=BASE. */
static enum result plan_line(const struct client *c, const struct list_line *line,
                             struct plan *plan) {
        const char *names[LIST_WORDS_MAX], *base = NULL;
        size_t count = 0;

        for (size_t i = 0; i < line->count; i++) {
                if (strncmp(line->words[i], "name=", 5) == 0)
                        base = line->words[i] + 5;
                else
                        names[count++] = line->words[i];
        }
        if (count == 0)
                return fail(WRONG_USAGE, "there is no name to issue for");
        return plan_make(c, names, count, base, plan);
}

static bool is_there(const struct file_set *files, const char *name) {
        struct stat st;

        return fstatat(files->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int read_key(const struct file_set *files, const char *name, struct private_key **ret,
                    struct buffer *ret_pem, struct error *err) {
        return file_read(files->dir_fd, name, FILE_SECRET, INPUT_MAX, ret_pem, err) < 0
                ? -1
                : private_key_from_pem(buffer_bytes(ret_pem), BYTES_NONE, ret, err);
}

/* Whether what is there is what would be made: this key, these names, this CA, in time. @err says what it is not. */
static int still_good(const struct client *c, const struct batch *b, const struct file_set *files,
                      const struct plan *plan, struct issued *there, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 }, spki = { 0 };
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(private_key_free) struct private_key *key = NULL;

        if (file_read(files->dir_fd, plan->certificate, FILE_PUBLIC, INPUT_MAX, &text, err) < 0 ||
            certs_from_text(&there->chain, buffer_bytes(&text), plan->certificate, err) < 0 ||
            cert_read(buffer_bytes(&there->chain.der[0]), &there->cert, err) < 0 ||
            read_key(files, plan->key, &key, &pem, err) < 0 ||
            private_key_spki(key, &spki, err) < 0)
                return -1;
        if (!bytes_equal(buffer_bytes(&spki), there->cert.spki))
                return error_set(err, ERR_STATE_CONFLICT, "it is not for the key in %s", plan->key);
        if (there->cert.validity.not_after <= c->now)
                return error_set(err, ERR_STATE_CONFLICT, "it has expired");
        if (issued_check_names(there, &plan->names, NULL) < 0)
                return error_set(err, ERR_STATE_CONFLICT, "it is for other names");
        if (issued_check_chain(there, buffer_bytes(&b->root.der[0]), c->now, NULL) < 0)
                return error_set(err, ERR_STATE_CONFLICT, "it is not of this CA");
        return 0;
}

/* The key of a try that was cut off is used again: the CA may have certified it already. */
static enum result provide_key(const struct client *c, const struct plan *plan,
                               struct file_set *files, struct private_key **ret,
                               struct buffer *ret_pem, bool *ret_new) {
        struct error err = { 0 };
        enum result result;

        *ret_new = false;
        if (is_there(files, plan->key)) {
                if (read_key(files, plan->key, ret, ret_pem, &err) < 0)
                        return fail(
                                REFUSED,
                                "%s is there without its certificate and cannot be used: %s; --force replaces it",
                                plan->key, err.text);
                return DONE;
        }
        result = issue_make_key(c, plan, ret, ret_pem);
        if (result != DONE)
                return result;
        if (file_set_stage(files, plan->key, buffer_bytes(ret_pem), 0600, &err) < 0 ||
            file_set_commit(files, &err) < 0)
                return fail_error(&err);
        *ret_new = true;
        return DONE;
}

static enum result write_rest(const struct client *c, const struct batch *b,
                              const struct plan *plan, const struct issued *issued,
                              struct bytes key_pem) {
        CAD_AUTO(file_set_done) struct file_set files = { 0 };
        struct error err = { 0 };

        if (file_set_open(&files, b->folder, b->force, &err) < 0 ||
            (b->force && file_set_stage(&files, plan->key, key_pem, 0600, &err) < 0) ||
            issue_stage_certificates(&files, plan, issued, &err) < 0 ||
            issue_stage_p12(c, &files, plan, issued, key_pem, &err) < 0 ||
            file_set_commit(&files, &err) < 0)
                return fail(REFUSED,
                            "%s; the certificate %s was issued: the same command again gets it",
                            err.text, issued->serial);
        return DONE;
}

static enum line_outcome outcome_of(enum result result) {
        return result == DONE ? LINE_DONE : result == UNREACHABLE ? LINE_STOP : LINE_FAILED;
}

/* With --force the old files stay until key and certificate are there, and the request is a new one each time. */
static enum result issue_one(struct client *c, struct batch *b, const struct plan *plan,
                             struct file_set *files, struct issued *ret) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(json_free) json_t *answer = NULL;
        bool new_key = false;
        enum result result = b->force ? issue_make_key(c, plan, &key, &pem)
                                      : provide_key(c, plan, files, &key, &pem, &new_key);

        if (result == DONE)
                result = issue_certificate(c, plan, &b->root, key, !b->force, &answer, ret);
        if (result == DONE)
                return write_rest(c, b, plan, ret, buffer_bytes(&pem));
        /* refused: nothing was issued for it. Where the CA could not be reached, it may have been */
        if (result == REFUSED && new_key && ret->serial[0] == '\0')
                (void) unlinkat(files->dir_fd, plan->key, 0);
        return result;
}

static enum line_outcome do_line(struct client *c, struct batch *b, const struct plan *plan,
                                 char *ret_serial) {
        CAD_AUTO(file_set_done) struct file_set files = { 0 };
        CAD_AUTO(issued_done) struct issued there = { 0 }, issued = { 0 };
        struct error err = { 0 };
        enum result result;

        if (file_set_open(&files, b->folder, b->force, &err) < 0) {
                (void) fail_error(&err);
                return LINE_FAILED;
        }
        if (!b->force && is_there(&files, plan->certificate)) {
                if (still_good(c, b, &files, plan, &there, &err) == 0)
                        return LINE_SKIPPED;
                (void) fail(REFUSED,
                            "%s is there and is not what would be made: %s; --force replaces it",
                            plan->certificate, err.text);
                return LINE_FAILED;
        }
        result = issue_one(c, b, plan, &files, &issued);
        memcpy(ret_serial, issued.serial, sizeof(issued.serial));
        return outcome_of(result);
}

static enum line_outcome each_line(struct client *c, const struct list_line *line, void *context,
                                   struct buffer *ret_what, char *ret_serial) {
        CAD_AUTO(plan_done) struct plan plan = { 0 };
        struct batch *b = context;
        enum result result = plan_line(c, line, &plan);

        if (result == DONE)
                result = claim_base(b, plan.base);
        buffer_text(ret_what, plan.base[0] ? plan.base : line->words[0]);
        if (result != DONE)
                return LINE_FAILED;
        plan.password = b->password;
        return do_line(c, b, &plan, ret_serial);
}

/* ---- the list ---- */

static enum result write_root(struct client *c, struct batch *b) {
        CAD_AUTO(file_set_done) struct file_set files = { 0 };
        struct error err = { 0 };
        bool wanted = false;
        enum result result;

        if (file_set_open(&files, b->folder, b->force, &err) < 0)
                return fail_error(&err);
        result = issue_take_root(c, &files, &b->root, &wanted);
        if (result != DONE || !wanted)
                return result;
        return issue_stage_root(&files, &b->root, &err) < 0 || file_set_commit(&files, &err) < 0
                ? fail_error(&err)
                : DONE;
}

enum result issue_list(struct client *c) {
        CAD_AUTO(batch_done)
        struct batch b = { .folder = option_value(c, "out"), .force = option_given(c, "force") };
        const struct list_work work = {
                .each = each_line, .context = &b, .done = "issued", .stop = option_given(c, "stop")
        };
        enum result result;

        if (c->args_count || option_given(c, "name"))
                return fail(
                        WRONG_USAGE,
                        "with --list the names are in the list: 'widget-7.lan 192.168.1.7 name=widget-7'");
        if (!b.folder)
                b.folder = ".";
        result = password_plan(c, option_given(c, "p12"), &b.password);
        if (result == DONE)
                result = write_root(c, &b);
        if (result == DONE)
                result = list_run(c, option_value(c, "list"), &work);
        if (b.password.made && b.root.count) /* it is nowhere else: not even --quiet may lose it */
                (void) fprintf(stderr, "password of all PKCS#12 files: %s\n", b.password.text);
        return result;
}
