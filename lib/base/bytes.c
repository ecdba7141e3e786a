/*
 * Growing buffers. They never abort: a failed allocation is remembered and told at the end.
 */
#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>

#define FORMAT_GUESS 120 /* bytes; nearly all that is formatted is shorter */
#define BUFFER_MAX \
        ((size_t) 1 << 31) /* bytes; nothing here is ever near it: a bound for arithmetic */

void buffer_done(struct buffer *b) {
        free(b->data);
        *b = (struct buffer){ 0 };
}

void buffer_wipe(struct buffer *b) {
        if (b->data)
                explicit_bzero(b->data, b->capacity);
        buffer_done(b);
}

/* Grows by copying, never by realloc(): a secret must not stay behind in freed memory. */
static bool buffer_grow(struct buffer *b, size_t need) {
        size_t capacity = b->capacity ? b->capacity : 256;
        uint8_t *data;

        while (capacity < need)
                capacity *= 2;
        data = malloc(capacity);
        if (!data)
                return false;
        if (b->size)
                memcpy(data, b->data, b->size);
        if (b->data)
                explicit_bzero(b->data, b->capacity);
        free(b->data);
        b->data = data;
        b->capacity = capacity;
        return true;
}

uint8_t *buffer_reserve(struct buffer *b, size_t more) {
        if (b->failed)
                return NULL;
        if (more >= BUFFER_MAX || b->size + more >= BUFFER_MAX ||
            (b->size + more + 1 > b->capacity && !buffer_grow(b, b->size + more + 1))) {
                b->failed = true;
                return NULL;
        }
        return b->data + b->size;
}

void buffer_append(struct buffer *b, struct bytes bytes) {
        uint8_t *at = buffer_reserve(b, bytes.size);

        if (!at)
                return;
        if (bytes.size)
                memcpy(at, bytes.data, bytes.size);
        b->size += bytes.size;
}

void buffer_text(struct buffer *b, const char *text) {
        buffer_append(b, bytes_of(text));
}

void buffer_format(struct buffer *b, const char *format, ...) {
        uint8_t *at = buffer_reserve(b, FORMAT_GUESS);
        size_t room = at ? b->capacity - b->size : 0;
        va_list args;
        int length;

        if (!at)
                return;
        va_start(args, format);
        length = vsnprintf((char *) at, room, format, args);
        va_end(args);
        if (length >= 0 && (size_t) length >= room) {
                /* it did not fit: once more, with as much room as it said */
                at = buffer_reserve(b, (size_t) length);
                if (!at)
                        return;
                va_start(args, format);
                length = vsnprintf((char *) at, (size_t) length + 1, format, args);
                va_end(args);
        }
        if (length < 0)
                b->failed = true;
        else
                b->size += (size_t) length;
}

const char *buffer_string(struct buffer *b) {
        uint8_t *at = buffer_reserve(b, 0);

        if (!at)
                return "";
        *at = '\0';
        return (const char *) b->data;
}

char *free_text(char *text) {
        free(text);
        return NULL;
}
