/*
 * cactl cert renew: the same certificate again, for as long, with its key or a new one.
 *
 * On the socket as an operator; over the network with the key of the certificate itself. A new key is never sent, and not put in
 * place before its certificate has come.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "files.h"
#include "issued.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/csr.h"
#include "lib/pki/pem.h"
#include "output.h"
#include "renewal.h"
#include "show.h"

#define SERIAL_SURE_DIGITS 16 /* a word of so many hex digits is a serial, not a file */
#define PATH_SIZE 4096

static const struct option renew_options[] = {
        { "csr", "FILE", "a CSR with a new key; names in it must be those of the certificate" },
        { "new-key", "FILE",
          "take the private key in FILE from now on; made there where it is not there" },
        { "out", "FILE", "write certificate and chain there (default: standard output)" },
        { 0 },
};

/* What is renewed, and with which key. */
struct renewing {
        bool from_file;
        char serial[SERIAL_TEXT_MAX];
        struct certs certs;
        struct cert cert; /* views into @certs */
        struct san_list names;
        char key_path[PATH_SIZE]; /* of the key that it has, where that was found */
        struct private_key *new_key;
        struct file_set key_set; /* where a new key waits that was made now */
        struct csr *csr;
        struct buffer csr_der;
};

static void renewing_done(struct renewing *r) {
        certs_done(&r->certs);
        san_list_done(&r->names);
        r->new_key = private_key_free(r->new_key);
        file_set_done(&r->key_set);
        r->csr = csr_free(r->csr);
        buffer_done(&r->csr_der);
}
CAD_CLEANUP_DONE(struct renewing, renewing_done)

/* ---- what is renewed ---- */

static enum result read_certificate(struct renewing *r, const char *where) {
        struct error err = { 0 };

        if (cert_read(buffer_bytes(&r->certs.der[0]), &r->cert, &err) < 0 ||
            (r->cert.san.size && san_list_from_der(&r->names, r->cert.san, "names", &err) < 0))
                return fail(REFUSED, "%s: %s", where, err.text);
        return DONE;
}

static enum result target_of_serial(struct client *c, struct renewing *r) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *object = NULL;
        struct error err = { 0 };
        enum result result;

        buffer_format(&path, "/v1/certificates/%s", r->serial);
        result = api_get(c, buffer_string(&path), &object);
        if (result != DONE)
                return result;
        if (issued_of_row(object, r->serial, &r->certs, &err) < 0)
                return fail_error(&err);
        return read_certificate(r, "the CA's answer");
}

/* `cactl issue` writes nas.pem and nas-key.pem; some keep both in one file. */
static void find_key(const char *path, struct bytes text, struct renewing *r) {
        size_t stem = strlen(path);

        if (pem_has_private_key(text)) {
                (void) snprintf(r->key_path, sizeof(r->key_path), "%s", path);
                return;
        }
        if (text_ends_with(path, ".pem") || text_ends_with(path, ".crt"))
                stem -= strlen(".pem");
        (void) snprintf(r->key_path, sizeof(r->key_path), "%.*s-key.pem", (int) stem, path);
        if (access(r->key_path, F_OK) < 0)
                r->key_path[0] = '\0';
}

static enum result target_of_file(const struct client *c, struct renewing *r) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        const char *path = c->args[0];
        struct error err = { 0 };
        enum result result;

        r->from_file = true;
        if (input_read(path, &text, &err) < 0)
                return fail(REFUSED,
                            "%s: it is no serial (hex digits), and no file that can be read: %s",
                            path, err.text);
        if (certs_from_text(&r->certs, buffer_bytes(&text), path, &err) < 0)
                return fail_error(&err);
        result = read_certificate(r, path);
        if (result != DONE)
                return result;
        if (r->cert.serial.size > SERIAL_MAX)
                return fail(REFUSED, "%s: its serial is longer than any of this CA", path);
        (void) hex_encode(r->cert.serial, r->serial);
        if (!text_equal(path, "-"))
                find_key(path, buffer_bytes(&text), r);
        return DONE;
}

/* Over the network a certificate is renewed with its own key, unless it is said who else one is. */
static enum result choose_identity(struct client *c, const struct renewing *r) {
        const char *key = global_option_value(c, "key");

        if (global_option_value(c, "cert"))
                return DONE;
        if (key && (!r->from_file || text_equal(c->args[0], "-")))
                return fail(
                        WRONG_USAGE,
                        "--key goes with --cert, or with the certificate's FILE in place of its serial");
        if (r->from_file && !text_equal(c->args[0], "-") && (key || r->key_path[0])) {
                c->own_certificate = c->args[0];
                c->own_key = key ? key : r->key_path;
        }
        return DONE;
}

static enum result find_target(struct client *c, struct renewing *r) {
        enum result result;

        if (serial_parse(c->args[0], r->serial) == 0 &&
            (strlen(r->serial) >= SERIAL_SURE_DIGITS || access(c->args[0], F_OK) < 0)) {
                result = choose_identity(c, r);
                return result == DONE ? target_of_serial(c, r) : result;
        }
        result = target_of_file(c, r);
        return result == DONE ? choose_identity(c, r) : result;
}

/* ---- a new key ---- */

static enum result read_csr(const char *path, struct renewing *r) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        /* a key that was given by mistake ends here: it is not sent */
        if (csr_from_text(buffer_bytes(&text), RSA_BITS_MAX, &r->csr, &err) < 0)
                return fail(REFUSED, "%s: %s%s%s%s", path, err.text, err.field[0] ? " (field " : "",
                            err.field, err.field[0] ? ")" : "");
        return DONE;
}

static int make_key(const char *path, struct renewing *r, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(free_text) char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;
        const char *name = slash ? path + (slash - folder) + 1 : path;

        if (!folder)
                return error_no_memory(err);
        if (slash)
                slash[slash == folder] = '\0';
        if (renewal_key(r->cert.spki, &r->new_key, err) < 0 ||
            private_key_to_pem(r->new_key, BYTES_NONE, &pem, err) < 0 ||
            file_set_open(&r->key_set, slash ? folder : ".", /* replace= */ false, err) < 0 ||
            file_set_check(&r->key_set, name, err) < 0)
                return -1;
        return file_set_stage(&r->key_set, name, buffer_bytes(&pem), 0600, err);
}

static int take_key(const char *path, struct renewing *r, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };

        if (access(path, F_OK) < 0 && errno == ENOENT)
                return make_key(path, r, err);
        if (input_read(path, &text, err) < 0)
                return -1;
        if (private_key_from_pem(buffer_bytes(&text), BYTES_NONE, &r->new_key, err) == 0)
                return 0;
        if (err->code == ERR_KEY_PASSPHRASE)
                return error_set(err, ERR_KEY_PASSPHRASE,
                                 "%s is encrypted: make a CSR with it and give that with --csr",
                                 path);
        return -1;
}

static enum result new_key(const char *path, struct renewing *r) {
        struct error err = { 0 };

        if (take_key(path, r, &err) < 0 || renewal_csr(r->new_key, &r->csr_der, &err) < 0 ||
            csr_from_der(buffer_bytes(&r->csr_der), RSA_BITS_MAX, &r->csr, &err) < 0)
                return fail(REFUSED, "%s: %s", path, err.text);
        return DONE;
}

static enum result choose_key(const struct client *c, struct renewing *r) {
        const char *csr = option_value(c, "csr"), *key = option_value(c, "new-key");

        if (csr && key)
                return fail(WRONG_USAGE, "--csr and --new-key both bring a new key: give one");
        if (csr)
                return read_csr(csr, r);
        return key ? new_key(key, r) : DONE;
}

/* ---- doing it ---- */

static enum result post(struct client *c, const struct renewing *r, json_t **ret) {
        return renewal_post(c, r->serial, r->csr ? r->csr->der : BYTES_NONE, ret);
}

static enum result check_answer(const struct renewing *r, const json_t *answer,
                                struct issued *issued) {
        struct error err = { 0 };

        if (renewal_read(answer, r->csr ? r->csr->spki : r->cert.spki, &r->names, issued, &err) < 0)
                return fail_error(&err);
        return DONE;
}

static enum result put_in_place(const struct client *c, struct renewing *r,
                                const struct issued *issued, const json_t *answer) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        const char *path = option_value(c, "out");
        struct error err = { 0 };
        char words[WORDS_MAX];

        say(c, "renewed %s as %s, good until %s", r->serial, issued->serial,
            time_both(issued->cert.validity.not_after, c->now, words));
        for (size_t i = 0; i < issued->chain.count; i++)
                pem_append(&pem, "CERTIFICATE", buffer_bytes(&issued->chain.der[i]));
        if ((r->key_set.open && file_set_commit(&r->key_set, &err) < 0) ||
            (path && output_write(path, buffer_bytes(&pem), &err) < 0))
                return fail(REFUSED,
                            "%s; the certificate was issued: cactl cert show %s --pem prints it",
                            err.text, issued->serial);
        if (c->json)
                put_json(answer);
        else if (!path)
                put_raw(buffer_bytes(&pem));
        return DONE;
}

static enum result renew_run(struct client *c) {
        CAD_AUTO(renewing_done) struct renewing r = { 0 };
        CAD_AUTO(json_free) json_t *answer = NULL;
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        enum result result = find_target(c, &r);

        if (result == DONE)
                result = choose_key(c, &r);
        if (result == DONE)
                result = post(c, &r, &answer);
        if (result == DONE)
                result = check_answer(&r, answer, &issued);
        if (result == DONE)
                result = put_in_place(c, &r, &issued, answer);
        c->own_certificate = c->own_key = NULL;
        return result;
}

const struct command cmd_cert_renew = {
        .group = "cert",
        .name = "renew",
        .args = "SERIAL|FILE",
        .args_min = 1,
        .args_max = 1,
        .help = "The same certificate again: its names and profile, for as long",
        .more = "On the socket an operator renews any. With --url a certificate is renewed with its own key, which is looked for in FILE "
                "and beside it (nas.pem, nas-key.pem) where --key does not name it. The old certificate stays valid until its end.",
        .options = renew_options,
        .run = renew_run,
};
