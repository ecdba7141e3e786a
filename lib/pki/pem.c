/*
 * PEM armour. It finds blocks and decodes them; what is inside is somebody else's to read. It must never copy
 * what lies outside of the blocks.
 */
#include "pem.h"

#include "lib/base/text.h"

#define DASHES "-----"
#define BEGIN "-----BEGIN "
#define END "-----END "
#define LINE_LENGTH 64 /* characters; RFC 7468 §2 */
#define BOM "\xef\xbb\xbf"

void pem_append(struct buffer *out, const char *label, struct bytes der) {
        size_t lines = der.size / 48 + 1;

        /* once for all, so that a key is not left behind in what was too small */
        (void) buffer_reserve(out,
                              lines * (LINE_LENGTH + 1) +
                                      2 * (strlen(label) + strlen(BEGIN DASHES "\n")));
        buffer_text(out, BEGIN);
        buffer_text(out, label);
        buffer_text(out, DASHES "\n");
        base64_append(out, der, LINE_LENGTH);
        if (out->size && !out->failed && out->data[out->size - 1] != '\n')
                buffer_text(out, "\n");
        buffer_text(out, END);
        buffer_text(out, label);
        buffer_text(out, DASHES "\n");
}

static bool starts_with(struct bytes text, const char *prefix) {
        size_t size = strlen(prefix);

        return text.size >= size && memcmp(text.data, prefix, size) == 0;
}

static void skip(struct bytes *text, size_t size) {
        text->data += size;
        text->size -= size;
}

/* The next line without its end (LF, CRLF or CR) and without white space at its end. */
static struct bytes next_line(struct bytes *text) {
        struct bytes line = BYTES(text->data, 0);

        while (line.size < text->size && text->data[line.size] != '\n' &&
               text->data[line.size] != '\r')
                line.size++;
        skip(text, line.size);
        if (starts_with(*text, "\r\n"))
                skip(text, 2);
        else if (text->size)
                skip(text, 1);
        while (line.size && (line.data[line.size - 1] == ' ' || line.data[line.size - 1] == '\t'))
                line.size--;
        return line;
}

/* The label of a line "-----BEGIN label-----" (or END): printable ASCII, of 1 to PEM_LABEL_MAX - 1 octets. */
static bool label_of(struct bytes line, const char *keyword, char *ret_label) {
        size_t before = strlen(keyword), after = strlen(DASHES);

        if (!starts_with(line, keyword) || line.size <= before + after ||
            line.size - before - after >= PEM_LABEL_MAX ||
            memcmp(line.data + line.size - after, DASHES, after) != 0)
                return false;
        line = BYTES(line.data + before, line.size - before - after);
        for (size_t i = 0; i < line.size; i++)
                if (line.data[i] < 0x20 || line.data[i] > 0x7e)
                        return false;
        memcpy(ret_label, line.data, line.size);
        ret_label[line.size] = '\0';
        return true;
}

static int find_begin(struct bytes *text, char *ret_label, struct error *err) {
        char shown[PEM_LABEL_MAX + 32];

        if (starts_with(*text, BOM))
                skip(text, strlen(BOM));
        while (text->size) {
                struct bytes line = next_line(text);

                if (!starts_with(line, BEGIN))
                        continue;
                if (!label_of(line, BEGIN, ret_label))
                        return error_set(
                                err, ERR_BODY_MALFORMED,
                                "'%s' is no PEM line: it must end with five dashes after its label",
                                text_printable(line, shown, sizeof(shown)));
                return 1;
        }
        return 0;
}

/* The base64 between the two lines; @text is moved behind the END line. */
static int find_end(struct bytes *text, const char *label, struct bytes *ret_base64,
                    struct error *err) {
        const uint8_t *start = text->data;

        while (text->size) {
                const uint8_t *line_start = text->data;
                struct bytes line = next_line(text);
                char end_label[PEM_LABEL_MAX];

                if (memchr(line.data, ':', line.size))
                        return error_set(
                                err, ERR_BODY_MALFORMED,
                                "the PEM block '%s' has header lines, an old form of encryption (RFC 1421): convert it, "
                                "for a key with 'openssl pkcs8 -topk8'",
                                label);
                if (!starts_with(line, DASHES))
                        continue;
                if (!label_of(line, END, end_label))
                        break;
                if (strcmp(end_label, label) != 0)
                        return error_set(err, ERR_BODY_MALFORMED, "the PEM block '%s' ends as '%s'",
                                         label, end_label);
                *ret_base64 = BYTES(start, (size_t) (line_start - start));
                return 0;
        }
        return error_set(err, ERR_BODY_MALFORMED,
                         "the PEM block '%s' has no line '" END "%s" DASHES "': it was cut", label,
                         label);
}

int pem_next(struct bytes *text, char *ret_label, struct buffer *ret_der, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
        struct bytes rest = *text, base64 = BYTES_NONE;
        char label[PEM_LABEL_MAX];
        int r;

        r = find_begin(&rest, label, err);
        if (r <= 0) {
                if (r == 0)
                        *text = rest;
                return r;
        }
        if (find_end(&rest, label, &base64, err) < 0)
                return -1;
        if (base64_decode(base64, &der) < 0)
                return der.failed ? error_no_memory(err)
                                  : error_set(err, ERR_BODY_MALFORMED,
                                              "the PEM block '%s' is not valid base64", label);
        if (der.size == 0)
                return error_set(err, ERR_BODY_MALFORMED, "the PEM block '%s' is empty", label);
        buffer_append(ret_der, buffer_bytes(&der));
        if (ret_der->failed)
                return error_no_memory(err);
        memcpy(ret_label, label, sizeof(label));
        *text = rest;
        return 1;
}

bool pem_has_private_key(struct bytes text) {
        /* Looked for anywhere, also in a block that pem_next() would refuse: it is a secret that was sent all the same. */
        static const char begin[] = "-----BEGIN", key[] = "PRIVATE KEY";

        while (text.size) {
                const uint8_t *at = memmem(text.data, text.size, begin, sizeof(begin) - 1);
                size_t line;

                if (!at)
                        return false;
                skip(&text, (size_t) (at - text.data) + sizeof(begin) - 1);
                for (line = 0; line < text.size && line < 2 * PEM_LABEL_MAX &&
                     text.data[line] != '\n' && text.data[line] != '\r';)
                        line++;
                if (memmem(text.data, line, key, sizeof(key) - 1))
                        return true;
        }
        return false;
}
