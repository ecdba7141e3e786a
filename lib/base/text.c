/*
 * Text encodings. Pure functions: no locale, no allocation but in the buffers given.
 */
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at @p, 0 where there is none (RFC 3629 §4). */
static size_t utf8_sequence(const uint8_t *p, size_t left) {
        static const struct {
                uint8_t low, high, second_low, second_high;
                size_t length;
        } forms[] = {
                { 0x00, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
                { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
                { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
                { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
                { 0xf4, 0xf4, 0x80, 0x8f, 4 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
                if (p[0] < forms[i].low || p[0] > forms[i].high)
                        continue;
                if (forms[i].length > left)
                        return 0;
                for (size_t k = 1; k < forms[i].length; k++) {
                        uint8_t low = k == 1 ? forms[i].second_low : 0x80;
                        uint8_t high = k == 1 ? forms[i].second_high : 0xbf;

                        if (p[k] < low || p[k] > high)
                                return 0;
                }
                return forms[i].length;
        }
        return 0;
}

bool utf8_valid(struct bytes in) {
        size_t at = 0;

        while (at < in.size) {
                size_t n = utf8_sequence(in.data + at, in.size - at);

                if (n == 0)
                        return false;
                at += n;
        }
        return true;
}

/* The scalar value of the well-formed sequence at @p. */
static uint32_t utf8_scalar(const uint8_t *p, size_t n) {
        static const uint8_t first_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
        uint32_t c = p[0] & first_bits[n];

        for (size_t i = 1; i < n; i++)
                c = c << 6 | (p[i] & 0x3f);
        return c;
}

/* What moves the cursor, turns the text around it, breaks the line or is not seen: a name shown must do none of it. */
static bool is_hidden(uint32_t c) {
        static const struct {
                uint32_t first, last;
        } hidden[] = {
                { 0x0000, 0x001f }, /* C0 controls */
                { 0x007f, 0x009f }, /* DEL and C1 controls */
                { 0x061c, 0x061c }, /* ARABIC LETTER MARK */
                { 0x200b,
                  0x200b }, /* ZERO WIDTH SPACE; the joiners behind it are part of how some scripts are written */
                { 0x200e, 0x200f }, /* LEFT-TO-RIGHT MARK, RIGHT-TO-LEFT MARK */
                { 0x2028,
                  0x202e }, /* LINE and PARAGRAPH SEPARATOR, bidirectional embeddings and overrides */
                { 0x2060, 0x2060 }, /* WORD JOINER */
                { 0x2066, 0x2069 }, /* bidirectional isolates */
                { 0xfeff, 0xfeff }, /* ZERO WIDTH NO-BREAK SPACE */
        };

        for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
                if (c >= hidden[i].first && c <= hidden[i].last)
                        return true;
        return false;
}

/* What nearly all text is: it needs no look at each sequence. */
static bool is_plain_ascii(struct bytes in) {
        bool plain = true;

        for (size_t i = 0; i < in.size; i++)
                plain &= in.data[i] >= 0x20 && in.data[i] < 0x7f;
        return plain;
}

const char *text_printable(struct bytes in, char *out, size_t size) {
        static const char cut[] = "…";
        size_t at = 0, used = 0, mark = 0; /* where the mark fits still */

        if (size == 0)
                return out;
        if (in.size < size && is_plain_ascii(in)) {
                if (in.size)
                        memcpy(out, in.data, in.size);
                out[in.size] = '\0';
                return out;
        }
        while (at < in.size) {
                size_t n = utf8_sequence(in.data + at, in.size - at);
                bool shown = n > 0 && !is_hidden(utf8_scalar(in.data + at, n));
                size_t need = shown ? n : 1;

                if (used + need >= size) {
                        if (size >= sizeof(cut)) {
                                memcpy(out + mark, cut, sizeof(cut) - 1);
                                used = mark + sizeof(cut) - 1;
                        }
                        break;
                }
                if (shown)
                        memcpy(out + used, in.data + at, n);
                else
                        out[used] = '?';
                used += need;
                at += n ? n : 1;
                if (used + sizeof(cut) <= size)
                        mark = used;
        }
        out[used] = '\0';
        return out;
}

void text_make_printable(const char *in, char *out, size_t size) {
        (void) text_printable(bytes_of(in), out, size);
}

char *hex_encode(struct bytes in, char *out) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < in.size; i++) {
                out[2 * i] = digits[in.data[i] >> 4];
                out[2 * i + 1] = digits[in.data[i] & 15];
        }
        out[2 * in.size] = '\0';
        return out;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int hex_decode(const char *text, uint8_t *out, size_t max, size_t *ret_size) {
        size_t length = strlen(text);

        if (length % 2 || length / 2 > max)
                return -1;
        for (size_t i = 0; i < length / 2; i++) {
                int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

                if (high < 0 || low < 0)
                        return -1;
                out[i] = (uint8_t) (high << 4 | low);
        }
        *ret_size = length / 2;
        return 0;
}

void base64_append(struct buffer *out, struct bytes in, size_t line) {
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t chars = (in.size + 2) / 3 * 4;
        uint8_t *at = buffer_reserve(out, chars + (line ? chars / line + 1 : 0));
        uint8_t *start = at;
        size_t column = 0;

        if (!at)
                return;
        for (size_t i = 0; i < in.size; i += 3) {
                size_t left = in.size - i;
                uint32_t v = (uint32_t) in.data[i] << 16 |
                        (left > 1 ? (uint32_t) in.data[i + 1] << 8 : 0) |
                        (left > 2 ? in.data[i + 2] : 0u);

                *at++ = (uint8_t) digits[v >> 18];
                *at++ = (uint8_t) digits[v >> 12 & 63];
                *at++ = left > 1 ? (uint8_t) digits[v >> 6 & 63] : '=';
                *at++ = left > 2 ? (uint8_t) digits[v & 63] : '=';
                column += 4;
                if (line && column >= line) {
                        *at++ = '\n';
                        column = 0;
                }
        }
        if (line && column)
                *at++ = '\n';
        out->size += (size_t) (at - start);
}

static int base64_digit(uint8_t c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_space(uint8_t c) {
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

int base64_decode(struct bytes text, struct buffer *out) {
        uint32_t bits = 0;
        unsigned count = 0, pads = 0;
        uint8_t *at = buffer_reserve(out, text.size / 4 * 3 + 3);

        if (!at)
                return -1;
        for (size_t i = 0; i < text.size; i++) {
                int digit = base64_digit(text.data[i]);

                if (is_space(text.data[i]))
                        continue;
                if (text.data[i] == '=' && count % 4 >= 2) {
                        pads++;
                        continue;
                }
                if (digit < 0 || pads)
                        return -1;
                bits = bits << 6 | (uint32_t) digit;
                if (++count % 4 == 0) {
                        *at++ = (uint8_t) (bits >> 16);
                        *at++ = (uint8_t) (bits >> 8);
                        *at++ = (uint8_t) bits;
                        out->size += 3;
                }
        }
        if (count % 4 == 1 || (count % 4 && pads != 4 - count % 4) || (count % 4 == 0 && pads))
                return -1;
        if ((count % 4 == 2 && bits & 15) || (count % 4 == 3 && bits & 3))
                return -1;
        if (count % 4 >= 2) {
                bits <<= count % 4 == 2 ? 12 : 6;
                *at++ = (uint8_t) (bits >> 16);
                out->size++;
        }
        if (count % 4 == 3) {
                *at = (uint8_t) (bits >> 8);
                out->size++;
        }
        return 0;
}

int text_to_u64(const char *text, uint64_t max, uint64_t *ret) {
        uint64_t value = 0;

        if (!text || !*text)
                return -1;
        for (; *text; text++) {
                unsigned digit = (unsigned) (*text - '0');

                if (*text < '0' || *text > '9' || value > (max - digit % 10) / 10)
                        return -1;
                value = value * 10 + digit;
        }
        if (value > max)
                return -1;
        *ret = value;
        return 0;
}

bool text_equal(const char *a, const char *b) {
        return a && b ? strcmp(a, b) == 0 : a == b;
}

void text_lower(char *text) {
        for (; *text; text++)
                if (*text >= 'A' && *text <= 'Z')
                        *text = (char) (*text - 'A' + 'a');
}

bool text_ends_with(const char *text, const char *suffix) {
        size_t n = strlen(text), k = strlen(suffix);

        return n >= k && memcmp(text + n - k, suffix, k) == 0;
}
