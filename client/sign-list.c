/*
 * cactl cert sign --csr-list: a certificate for each of many CSRs. A request is named after its CSR and the wish, so that the same
 * command after a crash gets what was issued, and nothing is issued twice.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api.h"
#include "files.h"
#include "issued.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "lib/pki/csr.h"
#include "lib/pki/pem.h"
#include "list.h"
#include "output.h"
#include "show.h"
#include "sign.h"

#define CSR_PATH_MAX 4096 /* bytes with NUL */

struct signing {
        const char *folder;
        bool force;
};

/* "devices/widget-7.csr" → "widget-7.pem" */
static enum result target_of(const char *path, char ret[FILE_NAME_MAX]) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        const char *dot = strrchr(name, '.');
        size_t length = dot && dot > name ? (size_t) (dot - name) : strlen(name);

        if (length == 0 || length + sizeof(".pem") > FILE_NAME_MAX)
                return fail(REFUSED, "%s is no name of a file", path);
        (void) snprintf(ret, FILE_NAME_MAX, "%.*s.pem", (int) length, name);
        return DONE;
}

static enum result read_csr(const struct list_line *line, char path[CSR_PATH_MAX],
                            struct csr **ret) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        const char *word = line->words[0];
        struct error err = { 0 };

        if (line->count != 1)
                return fail(REFUSED,
                            "a line is one path of a CSR: quotes do not keep blanks in it");
        if (snprintf(path, CSR_PATH_MAX, "%s%s", *word == '/' ? "" : line->folder, word) >=
            CSR_PATH_MAX)
                return fail(REFUSED, "the path is too long");
        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        if (csr_from_text(buffer_bytes(&text), RSA_BITS_MAX, ret, &err) < 0)
                return fail(REFUSED, "%s%s%s%s", err.text, err.field[0] ? " (field " : "",
                            err.field, err.field[0] ? ")" : "");
        return DONE;
}

/* @err says what it is not. */
static int still_good(const struct client *c, const struct file_set *files, const char *name,
                      const struct csr *csr, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        CAD_AUTO(issued_done) struct issued there = { 0 };

        if (file_read(files->dir_fd, name, FILE_PUBLIC, INPUT_MAX, &text, err) < 0 ||
            certs_from_text(&there.chain, buffer_bytes(&text), name, err) < 0 ||
            cert_read(buffer_bytes(&there.chain.der[0]), &there.cert, err) < 0)
                return -1;
        if (!bytes_equal(there.cert.spki, csr->spki))
                return error_set(err, ERR_STATE_CONFLICT, "it is for another key");
        if (there.cert.validity.not_after <= c->now)
                return error_set(err, ERR_STATE_CONFLICT, "it has expired");
        if (issued_check_names(&there, &csr->names, NULL) < 0)
                return error_set(err, ERR_STATE_CONFLICT, "it is for other names");
        return 0;
}

static enum result post(struct client *c, const struct csr *csr, bool once, json_t **ret) {
        CAD_AUTO(json_free) json_t *body = sign_body(c, csr, /* names= */ NULL);
        CAD_AUTO(free_text) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
        char key[2 * SHA256_SIZE + 1];
        uint8_t digest[SHA256_SIZE];

        if (!text)
                return body ? fail(REFUSED, "out of memory") : WRONG_USAGE;
        if (!once)
                return api_post(c, "/v1/certificates", body, ret);
        sha256(bytes_of(text), digest);
        return api_post_once(c, "/v1/certificates", body,
                             hex_encode(BYTES(digest, sizeof(digest)), key), ret);
}

static enum result write_one(struct file_set *files, const char *name,
                             const struct issued *issued) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        struct error err = { 0 };

        for (size_t i = 0; i < issued->chain.count; i++)
                pem_append(&pem, "CERTIFICATE", buffer_bytes(&issued->chain.der[i]));
        if (file_set_stage(files, name, buffer_bytes(&pem), 0644, &err) < 0 ||
            file_set_commit(files, &err) < 0)
                return fail(REFUSED,
                            "%s; the certificate %s was issued: the same command again gets it",
                            err.text, issued->serial);
        return DONE;
}

static enum result sign_one(struct client *c, const struct signing *s, struct file_set *files,
                            const char *name, const struct csr *csr, char *ret_serial) {
        CAD_AUTO(json_free) json_t *answer = NULL;
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        struct error err = { 0 };
        enum result result = post(c, csr, !s->force, &answer);

        if (result != DONE)
                return result;
        if (issued_read(answer, &issued, &err) < 0 ||
            issued_check_key(&issued, csr->spki, &err) < 0 ||
            issued_check_names(&issued, &csr->names, &err) < 0)
                return fail_error(&err);
        memcpy(ret_serial, issued.serial, sizeof(issued.serial));
        return write_one(files, name, &issued);
}

static enum line_outcome each_csr(struct client *c, const struct list_line *line, void *context,
                                  struct buffer *ret_what, char *ret_serial) {
        CAD_AUTO(file_set_done) struct file_set files = { 0 };
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        const struct signing *s = context;
        char path[CSR_PATH_MAX], name[FILE_NAME_MAX];
        struct error err = { 0 };
        enum result result;

        buffer_text(ret_what, line->words[0]);
        if (read_csr(line, path, &csr) != DONE || !csr || target_of(path, name) != DONE)
                return LINE_FAILED;
        if (file_set_open(&files, s->folder, s->force, &err) < 0) {
                (void) fail_error(&err);
                return LINE_FAILED;
        }
        if (!s->force && file_set_check(&files, name, NULL) < 0) {
                if (still_good(c, &files, name, csr, &err) == 0)
                        return LINE_SKIPPED;
                (void) fail(REFUSED,
                            "%s is there and is not what would be made: %s; --force replaces it",
                            name, err.text);
                return LINE_FAILED;
        }
        result = sign_one(c, s, &files, name, csr, ret_serial);
        return result == DONE ? LINE_DONE : result == UNREACHABLE ? LINE_STOP : LINE_FAILED;
}

enum result sign_list(struct client *c) {
        static const char *const suffixes[] = { ".csr", ".p10", ".req", NULL };
        const char *list = option_value(c, "csr-list");
        struct signing s = { .folder = option_value(c, "out"), .force = option_given(c, "force") };
        const struct list_work work = {
                .each = each_csr, .context = &s, .done = "issued", .stop = option_given(c, "stop")
        };
        struct stat st;

        if (c->args_count || option_given(c, "name"))
                return fail(WRONG_USAGE,
                            "with --csr-list the CSRs, and their names, are in the list");
        if (!s.folder || !*s.folder)
                return fail(WRONG_USAGE,
                            "--csr-list wants --out DIR: NAME.csr becomes DIR/NAME.pem");
        return stat(list, &st) == 0 && S_ISDIR(st.st_mode)
                ? list_run_folder(c, list, suffixes, &work)
                : list_run(c, list, &work);
}
