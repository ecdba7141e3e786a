/*
 * International domain names: A-labels checked, U-labels mapped and shown.
 *
 * Must never let a label through that is not the one spelling of what it shows: a person compares what is
 * shown, a verifier the octets.
 */
#include "idna.h"

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

#define LABEL_MAX 63 /* octets; RFC 1035 §2.3.4 */

static void datum_done(gnutls_datum_t *d) {
        gnutls_free(d->data);
        *d = (gnutls_datum_t){ NULL, 0 };
}
CAD_CLEANUP_DONE(gnutls_datum_t, datum_done)

enum script {
        SCRIPT_LATIN = 1 << 0,
        SCRIPT_GREEK = 1 << 1,
        SCRIPT_CYRILLIC = 1 << 2,
        SCRIPT_ARMENIAN = 1 << 3,
        SCRIPT_CHEROKEE = 1 << 4,
};

/*
 * The scripts whose letters look like another's (UTS #39): `а` U+0430 beside `a` in one label is made to
 * deceive, no language writes so. Han, Kana and Hangul mix with Latin in honest names and look like nothing
 * else, so they are not listed. A label wholly in one script may still look like a word of another: what a
 * CA for private names can do against that is to show both forms and to have people approve.
 */
static const struct {
        uint32_t first, last;
        enum script script;
} scripts[] = {
        { 'A', 'Z', SCRIPT_LATIN },          { 'a', 'z', SCRIPT_LATIN },
        { 0x00c0, 0x00d6, SCRIPT_LATIN },    { 0x00d8, 0x00f6, SCRIPT_LATIN },
        { 0x00f8, 0x02af, SCRIPT_LATIN },    { 0x0370, 0x03ff, SCRIPT_GREEK },
        { 0x0400, 0x052f, SCRIPT_CYRILLIC }, { 0x0531, 0x058a, SCRIPT_ARMENIAN },
        { 0x13a0, 0x13ff, SCRIPT_CHEROKEE }, { 0x1c80, 0x1c8f, SCRIPT_CYRILLIC },
        { 0x1e00, 0x1eff, SCRIPT_LATIN },    { 0x1f00, 0x1fff, SCRIPT_GREEK },
        { 0x2c60, 0x2c7f, SCRIPT_LATIN },    { 0x2de0, 0x2dff, SCRIPT_CYRILLIC },
        { 0xa640, 0xa69f, SCRIPT_CYRILLIC }, { 0xa722, 0xa7ff, SCRIPT_LATIN },
        { 0xab30, 0xab6f, SCRIPT_LATIN },    { 0xab70, 0xabbf, SCRIPT_CHEROKEE },
};

/* The next code point of well-formed UTF-8. */
static uint32_t next_code_point(const uint8_t **at) {
        const uint8_t *p = *at;
        unsigned more = p[0] < 0x80 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
        uint32_t c = more ? p[0] & (0x3fu >> more) : p[0];

        for (unsigned i = 1; i <= more; i++)
                c = c << 6 | (p[i] & 0x3fu);
        *at = p + 1 + more;
        return c;
}

static bool mixes_scripts(const char *label) {
        unsigned seen = 0;

        for (const uint8_t *at = (const uint8_t *) label; *at;) {
                uint32_t c = next_code_point(&at);

                for (size_t i = 0; i < ARRAY_SIZE(scripts); i++)
                        if (c >= scripts[i].first && c <= scripts[i].last)
                                seen |= (unsigned) scripts[i].script;
        }
        return (seen & (seen - 1)) != 0;
}

static bool is_ascii(struct bytes text) {
        for (size_t i = 0; i < text.size; i++)
                if (text.data[i] >= 0x80)
                        return false;
        return true;
}

/* GNUTLS_IDNA_FORCE_2008: without it a label that IDNA 2008 refuses is tried again as IDNA 2003 has it. */
static int map(struct bytes name, gnutls_datum_t *ret) {
        return gnutls_idna_map((const char *) name.data, (unsigned) name.size, ret,
                               GNUTLS_IDNA_FORCE_2008);
}

/* The U-label of @label where it is good, in @ret; else the reason. */
static const char *decode_label(struct bytes label, gnutls_datum_t *ret) {
        CAD_AUTO(datum_done) gnutls_datum_t again = { NULL, 0 };

        if (label.size > LABEL_MAX ||
            gnutls_idna_reverse_map((const char *) label.data, (unsigned) label.size, ret, 0) < 0 ||
            !ret->data || !utf8_valid(BYTES(ret->data, ret->size)) ||
            is_ascii(BYTES(ret->data, ret->size)))
                return "has an A-label (xn--…) that does not decode to an international name";
        if (map(BYTES(ret->data, ret->size), &again) < 0 ||
            !bytes_equal(BYTES(again.data, again.size), label))
                return "has an A-label (xn--…) that IDNA 2008 does not allow, or that is not the one spelling of its "
                       "name";
        if (mixes_scripts((const char *) ret->data))
                return "has an A-label (xn--…) that mixes letters of scripts that look alike, such as Latin and "
                       "Cyrillic";
        return NULL;
}

const char *idna_label_fault(const char *label) {
        CAD_AUTO(datum_done) gnutls_datum_t unicode = { NULL, 0 };

        return decode_label(bytes_of(label), &unicode);
}

static bool is_host_character(uint8_t c) {
        return c == '-' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                (c >= 'A' && c <= 'Z');
}

/* Whether the mapping leaves the character out: told by putting it between two letters. */
static bool is_dropped(struct bytes character) {
        CAD_AUTO(datum_done) gnutls_datum_t mapped = { NULL, 0 };
        char text[8] = "a";

        memcpy(text + 1, character.data, character.size);
        text[1 + character.size] = 'b';
        return map(BYTES(text, character.size + 2), &mapped) == 0 &&
                bytes_equal(BYTES(mapped.data, mapped.size), BYTES_LITERAL("ab"));
}

/*
 * The mapping drops what it does not like instead of saying so: `a_ü` becomes `aü`, and so does what stands for
 * ASCII that host names may not hold (U+FF0F `／`) and what is invisible. The result is a name that nobody
 * wrote, so such characters are looked for before.
 */
static bool is_mappable(struct bytes name) {
        const uint8_t *end = name.data + name.size;

        if (!utf8_valid(name))
                return false;
        for (const uint8_t *at = name.data, *next; at < end; at = next) {
                next = at;
                (void) next_code_point(&next);
                if (*at >= 0x80 ? is_dropped(BYTES(at, (size_t) (next - at)))
                                : !is_host_character(*at))
                        return false;
        }
        return true;
}

int idna_to_ascii(struct bytes name, char *out, size_t size) {
        CAD_AUTO(datum_done) gnutls_datum_t ascii = { NULL, 0 };

        if (name.size == 0 || name.size > 1024 || !is_mappable(name) || map(name, &ascii) < 0)
                return -1;
        if (ascii.size == 0 || ascii.size >= size || !is_ascii(BYTES(ascii.data, ascii.size)))
                return -1;
        memcpy(out, ascii.data, ascii.size);
        out[ascii.size] = '\0';
        return 0;
}

static bool is_a_label(struct bytes label) {
        return label.size > 4 && memcmp(label.data, "xn--", 4) == 0;
}

const char *idna_to_unicode(struct bytes name, char *out, size_t size) {
        size_t used = 0;

        out[0] = '\0';
        for (size_t at = 0; at <= name.size && used + 1 < size;) {
                CAD_AUTO(datum_done) gnutls_datum_t unicode = { NULL, 0 };
                const uint8_t *dot = at < name.size ? memchr(name.data + at, '.', name.size - at)
                                                    : NULL;
                struct bytes label = BYTES(name.data + at,
                                           (dot ? (size_t) (dot - name.data) : name.size) - at);
                struct bytes shown = label;

                at += label.size + 1;
                if (is_a_label(label) && !decode_label(label, &unicode))
                        shown = BYTES(unicode.data, unicode.size);
                (void) text_printable(shown, out + used, size - used);
                used += strlen(out + used);
                if (dot && used + 1 < size)
                        used += (size_t) snprintf(out + used, size - used, ".");
        }
        return out;
}
