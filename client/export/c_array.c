/*
 * See c_array.h. Whatever stands in a certificate, nothing of it becomes C: octets become numbers, texts are cut down to
 * letters that mean nothing in a comment.
 */
#include "export/c_array.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"
#include "lib/pki/san.h"

#define OCTETS_A_LINE 12

static bool is_word(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* No leading digit or underscore, no two underscores in a row (C++ keeps those), none at the end. */
void c_prefix(const char *text, char out[C_PREFIX_MAX]) {
        size_t used = 0;

        if (*text >= '0' && *text <= '9')
                used = (size_t) snprintf(out, C_PREFIX_MAX, "device_");
        for (; *text && used + 1 < C_PREFIX_MAX; text++) {
                char c = is_word(*text) ? *text : '_';

                if (c == '_' && (used == 0 || out[used - 1] == '_'))
                        continue;
                out[used++] = c;
        }
        while (used && out[used - 1] == '_')
                used--;
        out[used] = '\0';
        if (used == 0)
                (void) snprintf(out, C_PREFIX_MAX, "device");
}

bool c_prefix_ok(const char *text) {
        char made[C_PREFIX_MAX];

        c_prefix(text, made);
        return *text && strcmp(made, text) == 0;
}

struct writer {
        struct buffer *c, *h;
        char prefix[C_PREFIX_MAX], upper[C_PREFIX_MAX];
        bool pem;
};

static void put_octets(struct buffer *out, struct bytes octets) {
        for (size_t i = 0; i < octets.size; i++)
                buffer_format(out, "%s0x%02x,", i % OCTETS_A_LINE ? " " : "\n        ",
                              octets.data[i]);
}

/* One array: declared and sized in the header, defined in the source. */
static void put_array(struct writer *w, const char *name, const char *what, struct bytes octets) {
        char upper[32];
        size_t n = 0;

        for (; name[n] && n + 1 < sizeof(upper); n++)
                upper[n] = (char) toupper((unsigned char) name[n]);
        upper[n] = '\0';
        buffer_format(w->h, "\n/* %s */\n#define %s_%s_SIZE %zuu\n", what, w->upper, upper,
                      octets.size);
        buffer_format(w->h, "extern const unsigned char %s_%s[%s_%s_SIZE];\n", w->prefix, name,
                      w->upper, upper);
        buffer_format(w->c, "\n/* %s */\nconst unsigned char %s_%s[%s_%s_SIZE] = {", what,
                      w->prefix, name, w->upper, upper);
        put_octets(w->c, octets);
        buffer_text(w->c, "\n};\n");
}

static int put_der(struct writer *w, const char *name, const char *what, const char *label,
                   struct bytes der, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };

        if (!w->pem) {
                put_array(w, name, what, der);
                return 0;
        }
        pem_append(&pem, label, der);
        buffer_append(&pem, BYTES("", 1)); /* the NUL counts, mbedTLS says */
        if (pem.failed)
                return error_no_memory(err);
        put_array(w, name, what, buffer_bytes(&pem));
        return 0;
}

/* As PEM they are one array; DER parsers want each alone: NAME_chain, NAME_chain_2, … */
static int put_chain(struct writer *w, const struct certs *chain, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        char name[32] = "chain";

        for (size_t i = 0; i < chain->count && !w->pem; i++) {
                if (i)
                        (void) snprintf(name, sizeof(name), "chain_%zu", i + 1);
                if (put_der(w, name, "The CA's intermediate: send it behind the certificate",
                            "CERTIFICATE", buffer_bytes(&chain->der[i]), err) < 0)
                        return -1;
        }
        if (!w->pem)
                return 0;
        for (size_t i = 0; i < chain->count; i++)
                pem_append(&pem, "CERTIFICATE", buffer_bytes(&chain->der[i]));
        buffer_append(&pem, BYTES("", 1));
        if (pem.failed)
                return error_no_memory(err);
        put_array(w, name, "The CA's intermediate: send it behind the certificate",
                  buffer_bytes(&pem));
        return 0;
}

static int put_key(struct writer *w, const struct private_key *key, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 }, der = { 0 };
        char label[PEM_LABEL_MAX];
        struct bytes rest;

        if (private_key_to_pem(key, BYTES_NONE, &pem, err) < 0)
                return -1;
        rest = buffer_bytes(&pem);
        if (pem_next(&rest, label, &der, err) != 1)
                return error_set(err, ERR_CRYPTO, "the key cannot be written");
        return put_der(w, "key", "The private key, PKCS#8: this file is a secret", label,
                       buffer_bytes(&der), err);
}

static void comment_text(const char *text, struct buffer *out) {
        for (; *text; text++)
                buffer_format(out, "%c", is_word(*text) || strchr(" .:@-*,", *text) ? *text : '_');
}

static void put_head(struct writer *w, const struct material *m, const char *file) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 }, about = { 0 };
        CAD_AUTO(san_list_done) struct san_list list = { 0 };
        char serial[2 * SERIAL_MAX + 1], until[MOMENT_TEXT_MAX];

        if (m->cert.san.size && san_list_from_der(&list, m->cert.san, "names", NULL) == 0)
                names_text(&list, &names);
        comment_text(buffer_string(&names), &about);
        for (int i = 0; i < 2; i++)
                buffer_format(
                        i ? w->h : w->c,
                        "/*\n * %s\n * serial %s, good until %s\n *\n * Made by cactl cert export: "
                        "make it anew instead of changing it.\n */\n",
                        buffer_string(&about),
                        m->cert.serial.size <= SERIAL_MAX ? hex_encode(m->cert.serial, serial)
                                                          : "?",
                        moment_format(m->cert.validity.not_after, until));
        buffer_format(w->h,
                      "#ifndef %s_H\n#define %s_H\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n",
                      w->upper, w->upper);
        buffer_format(w->c, "#include \"%s\"\n", file);
}

int c_array_make(const struct material *m, const char *prefix, const char *file, bool pem,
                 struct buffer *ret_c, struct buffer *ret_h, struct error *err) {
        struct writer w = { .c = ret_c, .h = ret_h, .pem = pem };

        (void) snprintf(w.prefix, sizeof(w.prefix), "%s", prefix);
        for (size_t i = 0; prefix[i] && i + 1 < sizeof(w.upper); i++)
                w.upper[i] = (char) toupper((unsigned char) prefix[i]);
        put_head(&w, m, file);
        if (put_der(&w, "certificate", "The certificate", "CERTIFICATE", m->cert.der, err) < 0 ||
            put_chain(&w, &m->chain, err) < 0 ||
            put_der(&w, "root", "The root: what a client trusts", "CERTIFICATE",
                    buffer_bytes(&m->root.der[0]), err) < 0 ||
            (m->key && put_key(&w, m->key, err) < 0))
                return -1;
        buffer_format(w.h, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
        return ret_c->failed || ret_h->failed ? error_no_memory(err) : 0;
}
