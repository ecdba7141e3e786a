/*
 * cactl cert export: a certificate in the form that somebody else's program wants. A key goes along only where --key names
 * one, and never into a file that others may read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "export/c_array.h"
#include "export/material.h"
#include "files.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"
#include "lib/pki/pkcs7.h"
#include "output.h"
#include "password.h"
#include "pkcs12.h"

static const struct option options[] = {
        { "format", "FORMAT",
          "pem (default), chain, fullchain, der, pkcs7, pkcs7-pem, pkcs12, c-array, pins" },
        { "key", "FILE",
          "its private key: into pkcs12, c-array, and behind the certificates of the PEM formats" },
        { "with-root", NULL, "chain, fullchain: the root too" },
        { "out", "FILE",
          "write there (default: standard output); c-array: FILE.c and FILE.h, wanted" },
        { "force", NULL, "replace files that are there" },
        { "name", "NAME",
          "pkcs12: what programs show; c-array: what the arrays' names begin with" },
        { "c-pem", NULL, "c-array: PEM with a NUL at the end (default: DER)" },
        PASSWORD_OPTIONS,
        { 0 },
};

#define OUTPUTS_MAX 2

/* What is to be written: one content, or two for c-array. */
struct output {
        struct buffer content[OUTPUTS_MAX];
        const char *suffix[OUTPUTS_MAX];
        size_t count;
        bool secret, binary;
};

static void output_done(struct output *o) {
        for (size_t i = 0; i < OUTPUTS_MAX; i++)
                buffer_wipe(&o->content[i]);
}

/* All that a row of the formats may look at. */
struct job {
        struct client *c;
        struct material m;
        struct password password;
        struct output out;
        char base[FILE_NAME_MAX]; /* of --out, without its folder */
        const char *folder;
};

static void job_done(struct job *j) {
        material_done(&j->m);
        password_done(&j->password);
        output_done(&j->out);
}
CAD_CLEANUP_DONE(struct job, job_done)

/* ---- the formats ---- */

static void append_pem(struct job *j, const struct certs *certs) {
        for (size_t i = 0; i < certs->count; i++)
                pem_append(&j->out.content[0], "CERTIFICATE", buffer_bytes(&certs->der[i]));
}

/* As HAProxy and others want it: all in one file, the key at its end. */
static int append_key(struct job *j, struct error *err) {
        j->out.secret = j->m.key != NULL;
        return j->m.key ? private_key_to_pem(j->m.key, BYTES_NONE, &j->out.content[0], err) : 0;
}

static int make_pem(struct job *j, struct error *err) {
        append_pem(j, &j->m.leaf);
        return append_key(j, err);
}

static void append_root(struct job *j) {
        if (option_given(j->c, "with-root"))
                append_pem(j, &j->m.root);
}

static int make_chain(struct job *j, struct error *err) {
        append_pem(j, &j->m.chain);
        append_root(j);
        (void) err;
        return 0;
}

static int make_fullchain(struct job *j, struct error *err) {
        append_pem(j, &j->m.leaf);
        append_pem(j, &j->m.chain);
        append_root(j);
        return append_key(j, err);
}

static int make_der(struct job *j, struct error *err) {
        (void) err;
        buffer_append(&j->out.content[0], j->m.cert.der);
        j->out.binary = true;
        return 0;
}

static size_t collect(const struct material *m, struct bytes all[2 + CERTS_MAX]) {
        size_t count = 0;

        all[count++] = m->cert.der;
        for (size_t i = 0; i < m->chain.count; i++)
                all[count++] = buffer_bytes(&m->chain.der[i]);
        all[count++] = buffer_bytes(&m->root.der[0]);
        return count;
}

static int by_octets(const void *a, const void *b) {
        const struct bytes *x = a, *y = b;
        int rc = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);

        return rc ? rc : (x->size > y->size) - (x->size < y->size);
}

/* It is a SET, which DER puts in order (X.690 §11.6): strict readers mind. */
static void put_pkcs7(const struct job *j, struct buffer *ret) {
        struct bytes all[2 + CERTS_MAX];
        size_t count = collect(&j->m, all);

        qsort(all, count, sizeof(*all), by_octets);
        pkcs7_append_certificates(ret, all, count);
}

static int make_pkcs7(struct job *j, struct error *err) {
        (void) err;
        put_pkcs7(j, &j->out.content[0]);
        j->out.binary = true;
        return 0;
}

static int make_pkcs7_pem(struct job *j, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };

        put_pkcs7(j, &der);
        if (der.failed)
                return error_no_memory(err);
        pem_append(&j->out.content[0], "PKCS7", buffer_bytes(&der));
        return 0;
}

/* "nas.lan" of the certificate where --name says nothing */
static void first_name(const struct material *m, char *out, size_t size) {
        CAD_AUTO(san_list_done) struct san_list list = { 0 };
        char text[SAN_TEXT_MAX];

        if (m->cert.san.size && san_list_from_der(&list, m->cert.san, "names", NULL) == 0 &&
            list.count)
                (void) snprintf(out, size, "%s", san_text(&list.items[0], text, sizeof(text)));
        else
                (void) snprintf(out, size, "certificate");
}

/* "getSecretKey failed: Password is not ASCII" */
static void warn_of_java(const struct job *j) {
        bool ascii = true;

        for (const char *at = j->password.text; *at; at++)
                ascii &= (unsigned char) *at < 0x80;
        if (!ascii)
                say(j->c, "note: Java opens this only with a password of ASCII characters");
}

static int make_pkcs12(struct job *j, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer key = { 0 };
        CAD_AUTO(certs_done) struct certs all = { 0 };
        struct bytes list[2 + CERTS_MAX];
        char name[SAN_TEXT_MAX];
        size_t count = collect(&j->m, list);

        first_name(&j->m, name, sizeof(name));
        for (size_t i = 0; i < count; i++)
                if (certs_add(&all, list[i], err) < 0)
                        return -1;
        if (private_key_to_pem(j->m.key, BYTES_NONE, &key, err) < 0)
                return -1;
        j->out.secret = j->out.binary = true;
        warn_of_java(j);
        return pkcs12_make(buffer_bytes(&key), &all,
                           option_given(j->c, "name") ? option_value(j->c, "name") : name,
                           j->password.text, option_given(j->c, "p12-legacy"), &j->out.content[0],
                           err);
}

static int make_c_array(struct job *j, struct error *err) {
        const char *given = option_value(j->c, "name");
        char prefix[C_PREFIX_MAX], header[FILE_NAME_MAX + 2];

        c_prefix(given ? given : j->base, prefix);
        (void) snprintf(header, sizeof(header), "%s.h", j->base);
        j->out.count = 2;
        j->out.suffix[0] = ".c";
        j->out.suffix[1] = ".h";
        j->out.secret = j->m.key != NULL;
        return c_array_make(&j->m, prefix, header, option_given(j->c, "c-pem"), &j->out.content[0],
                            &j->out.content[1], err);
}

/* For people and for programs: those of NATS and of curl as they are written there. */
static int make_pins(struct job *j, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer base64 = { 0 };
        uint8_t spki[SHA256_SIZE], certificate[SHA256_SIZE];
        char spki_hex[2 * SHA256_SIZE + 1], certificate_hex[2 * SHA256_SIZE + 1];

        sha256(j->m.cert.spki, spki);
        cert_fingerprint(j->m.cert.der, certificate);
        base64_append(&base64, BYTES(spki, sizeof(spki)), 0);
        if (base64.failed)
                return error_no_memory(err);
        (void) hex_encode(BYTES(spki, sizeof(spki)), spki_hex);
        (void) hex_encode(BYTES(certificate, sizeof(certificate)), certificate_hex);
        if (j->c->json) {
                CAD_AUTO(json_free)
                json_t *object = json_pack("{s:s, s:s, s:s}", "spki_sha256", spki_hex,
                                           "spki_sha256_base64", buffer_string(&base64),
                                           "certificate_sha256", certificate_hex);
                CAD_AUTO(free_text) char *text = json_dumps(object, JSON_INDENT(2));

                buffer_format(&j->out.content[0], "%s\n", text ? text : "{}");
                return 0;
        }
        buffer_format(&j->out.content[0],
                      "public key SHA-256, hex     %s\n"
                      "public key SHA-256, base64  %s\n"
                      "certificate SHA-256, hex    %s\n"
                      "curl                        --pinnedpubkey sha256//%s\n"
                      "nats-server                 pinned_certs: [ \"%s\" ]\n",
                      spki_hex, buffer_string(&base64), certificate_hex, buffer_string(&base64),
                      spki_hex);
        return 0;
}

enum key_rule {
        KEY_NEVER,
        KEY_MAY,
        KEY_MUST,
};

static const struct format {
        const char *name;
        enum material_need need;
        enum key_rule key;
        int (*make)(struct job *j, struct error *err);
} formats[] = {
        { "pem", NEED_LEAF, KEY_MAY, make_pem },
        { "chain", NEED_CHAIN, KEY_NEVER, make_chain },
        { "fullchain", NEED_CHAIN, KEY_MAY, make_fullchain },
        { "der", NEED_LEAF, KEY_NEVER, make_der },
        { "pkcs7", NEED_ROOT, KEY_NEVER, make_pkcs7 },
        { "pkcs7-pem", NEED_ROOT, KEY_NEVER, make_pkcs7_pem },
        { "pkcs12", NEED_ROOT, KEY_MUST, make_pkcs12 },
        { "c-array", NEED_ROOT, KEY_MAY, make_c_array },
        { "pins", NEED_LEAF, KEY_NEVER, make_pins },
};

/* ---- the command line ---- */

static enum result find_format(const struct client *c, const struct format **ret) {
        const char *name = option_value(c, "format");

        for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
                if (text_equal(formats[i].name, name ? name : "pem")) {
                        *ret = &formats[i];
                        return DONE;
                }
        return fail(
                WRONG_USAGE,
                "--format %s: there is pem, chain, fullchain, der, pkcs7, pkcs7-pem, pkcs12, c-array, pins",
                name);
}

static bool to_file(const struct client *c) {
        const char *out = option_value(c, "out");

        return out && !text_equal(out, "-");
}

static enum result check_options(const struct client *c, const struct format *f) {
        bool key = option_given(c, "key"), c_array = f->make == make_c_array,
             pkcs12 = f->make == make_pkcs12;
        const char *name = option_value(c, "name");

        if (f->key == KEY_MUST && !key)
                return fail(
                        WRONG_USAGE,
                        "%s holds the private key too: --key FILE names it (certificates alone: --format pkcs7)",
                        f->name);
        if (f->key == KEY_NEVER && key)
                return fail(WRONG_USAGE, "%s holds no private key: leave --key away", f->name);
        if (name && !c_array && !pkcs12)
                return fail(WRONG_USAGE, "--name is for pkcs12 and c-array");
        if (name && c_array && !c_prefix_ok(name))
                return fail(
                        WRONG_USAGE,
                        "--name %s: the arrays' names begin with it, so it is letters, digits and single underscores, a letter first",
                        name);
        if (name && !*name)
                return fail(WRONG_USAGE, "--name is empty");
        if (option_given(c, "c-pem") && !c_array)
                return fail(WRONG_USAGE, "--c-pem is for c-array");
        if (option_given(c, "with-root") && f->make != make_chain && f->make != make_fullchain)
                return fail(WRONG_USAGE, "--with-root is for chain and fullchain: %s",
                            f->need == NEED_ROOT ? "this one has the root anyway"
                                                 : "this one is the certificate alone");
        if (c_array && !to_file(c))
                return fail(WRONG_USAGE,
                            "c-array makes two files: --out NAME writes NAME.c and NAME.h");
        if (c->json && !to_file(c) && f->make != make_pins)
                return fail(WRONG_USAGE, "--json tells what was written: give --out FILE");
        return DONE;
}

/* Folder and name of --out; of NAME.c and NAME.h the ending goes. */
static enum result split_out(struct job *j, char *folder_copy, size_t size, bool c_array) {
        const char *out = option_value(j->c, "out");
        const char *slash = strrchr(out, '/'), *name = slash ? slash + 1 : out;
        size_t length = strlen(name);

        if (strlen(out) >= size || length == 0 || length + 3 > sizeof(j->base))
                return fail(WRONG_USAGE, "--out %s: it is no name of a file", out);
        memcpy(folder_copy, out, (size_t) (name - out));
        folder_copy[name - out] = '\0';
        j->folder = name == out ? "." : folder_copy;
        memcpy(j->base, name, length + 1);
        if (c_array && length > 2 &&
            (text_ends_with(j->base, ".c") || text_ends_with(j->base, ".h")))
                j->base[length - 2] = '\0';
        if (c_array && (strpbrk(j->base, "\"\\") || !utf8_valid(bytes_of(j->base))))
                return fail(WRONG_USAGE, "--out %s: choose a plainer name for a header", out);
        return DONE;
}

/* ---- writing ---- */

static enum result write_files(const struct job *j, char names[OUTPUTS_MAX][FILE_NAME_MAX]) {
        CAD_AUTO(file_set_done) struct file_set files = { 0 };
        struct error err = { 0 };

        if (file_set_open(&files, j->folder, option_given(j->c, "force"), &err) < 0)
                return fail_error(&err);
        for (size_t i = 0; i < j->out.count; i++) {
                /* the key is in the first of them */
                mode_t mode = j->out.secret && i == 0 ? 0600 : 0644;

                if (file_set_check(&files, names[i], &err) < 0)
                        return fail(
                                REFUSED,
                                "%s is there already: --force replaces a file, --out puts it elsewhere",
                                names[i]);
                if (file_set_stage(&files, names[i], buffer_bytes(&j->out.content[i]), mode, &err) <
                    0)
                        return fail_error(&err);
        }
        return file_set_commit(&files, &err) < 0 ? fail_error(&err) : DONE;
}

static void tell_written(const struct job *j, const struct format *f,
                         char names[OUTPUTS_MAX][FILE_NAME_MAX]) {
        const char *prefix = text_equal(j->folder, ".") ? "" : j->folder;

        if (j->c->json) {
                CAD_AUTO(json_free)
                json_t *object = json_pack("{s:s, s:[], s:b}", "format", f->name, "files", "key",
                                           (int) j->out.secret);

                for (size_t i = 0; i < j->out.count; i++)
                        (void) json_array_append_new(json_object_get(object, "files"),
                                                     json_sprintf("%s%s", prefix, names[i]));
                put_json(object);
                return;
        }
        for (size_t i = 0; i < j->out.count; i++)
                say(j->c, "wrote %s%s%s", prefix, names[i],
                    j->out.secret && i == 0 ? ", with the private key: for your eyes alone" : "");
}

static enum result write_out(struct job *j, const struct format *f) {
        char names[OUTPUTS_MAX][FILE_NAME_MAX];
        enum result result;

        if (!to_file(j->c)) {
                if (j->out.binary && terminal_on(STDOUT_FILENO))
                        return fail(REFUSED, "%s is not for a terminal: --out FILE", f->name);
                put_raw(buffer_bytes(&j->out.content[0]));
                return DONE;
        }
        for (size_t i = 0; i < j->out.count; i++)
                (void) snprintf(names[i], sizeof(names[i]), "%.250s%s", j->base,
                                j->out.suffix[i] ? j->out.suffix[i] : "");
        result = write_files(j, names);
        if (result == DONE)
                tell_written(j, f, names);
        return result;
}

/* It is nowhere else: not even --quiet may lose it. */
static void tell_password(const struct job *j) {
        if (j->password.made)
                (void) fprintf(stderr, "password of the PKCS#12 file: %s\n", j->password.text);
}

static enum result make(struct job *j, const struct format *f) {
        enum material_need need = option_given(j->c, "with-root") && f->need < NEED_ROOT ? NEED_ROOT
                                                                                         : f->need;
        struct error err = { 0 };
        enum result result = material_find(j->c, j->c->args[0], need, &j->m);

        if (result == DONE && option_given(j->c, "key"))
                result = material_take_key(&j->m, option_value(j->c, "key"));
        if (result != DONE)
                return result;
        j->out.count = 1;
        if (f->make(j, &err) < 0)
                return fail_error(&err);
        for (size_t i = 0; i < j->out.count; i++)
                if (j->out.content[i].failed)
                        return fail(REFUSED, "out of memory");
        result = write_out(j, f);
        if (result == DONE)
                tell_password(j);
        return result;
}

static enum result run(struct client *c) {
        CAD_AUTO(job_done) struct job j = { .c = c };
        char folder[4096] = ".";
        const struct format *f = NULL;
        enum result result = find_format(c, &f);

        if (result == DONE)
                result = check_options(c, f);
        if (result == DONE && to_file(c))
                result = split_out(&j, folder, sizeof(folder), f->make == make_c_array);
        if (result == DONE)
                result = password_plan(c, f->make == make_pkcs12, &j.password);
        if (result == DONE && j.password.wanted && f->make != make_pkcs12)
                result = fail(WRONG_USAGE, "a password is for pkcs12: nothing else is encrypted");
        return result == DONE ? make(&j, f) : result;
}

const struct command cmd_cert_export = {
        .group = "cert",
        .name = "export",
        .args = "SERIAL|FILE",
        .args_min = 1,
        .args_max = 1,
        .help = "A certificate in the form that another program wants",
        .more = "pem is the certificate alone, chain what stands between it and the root, fullchain both (what servers want). pkcs7 and "
                "pkcs12 hold the chain and the root too; pkcs12 is encrypted with AES-256, or with --p12-legacy as old Windows, macOS and "
                "Android want it. c-array is C for firmware, pins are the hashes that programs pin a key by. The private key goes along "
                "only where --key names it.",
        .options = options,
        .run = run,
};
