/*
 * Bytes: a borrowed view, and a growing buffer that owns.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "macros.h"

/** struct bytes - a view of bytes that somebody else owns; {NULL, 0} is empty */
struct bytes {
        const uint8_t *data;
        size_t size;
};

#define BYTES(ptr, len) ((struct bytes){ .data = (const uint8_t *) (ptr), .size = (len) })
#define BYTES_NONE ((struct bytes){ NULL, 0 })
/** BYTES_LITERAL() - a string literal or char array without its NUL */
#define BYTES_LITERAL(s) BYTES((s), sizeof(s) - 1)

/** bytes_of() - the bytes of a C string, without its NUL; NULL is empty */
static inline struct bytes bytes_of(const char *text) {
        return BYTES(text, text ? strlen(text) : 0);
}

/** bytes_equal() - same length and content; not constant in time */
static inline bool bytes_equal(struct bytes a, struct bytes b) {
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/**
 * struct buffer - bytes that grow
 *
 * Zero-initialised is empty and ready. An allocation that fails sets @failed and makes every later
 * append a no-op, so that a writer checks once, at its end.
 */
struct buffer {
        uint8_t *data;
        size_t size;
        size_t capacity;
        bool failed;
};

/** buffer_done() - free what @b holds and leave it empty and ready */
void buffer_done(struct buffer *b);
CAD_CLEANUP_DONE(struct buffer, buffer_done)

/** buffer_wipe() - as buffer_done(), after overwriting the content: for secrets */
void buffer_wipe(struct buffer *b);
CAD_CLEANUP_DONE(struct buffer, buffer_wipe)

/** buffer_reserve() - room for @more bytes after the end; Return: where they go, or NULL (then @failed) */
uint8_t *buffer_reserve(struct buffer *b, size_t more);

/** buffer_append() - copy @bytes to the end */
void buffer_append(struct buffer *b, struct bytes bytes);

/** buffer_text() - copy a C string to the end, without its NUL */
void buffer_text(struct buffer *b, const char *text);

/** buffer_format() - printf to the end */
void buffer_format(struct buffer *b, const char *format, ...) CAD_PRINTF(2, 3);

/**
 * buffer_string() - the content as a C string
 *
 * A NUL is kept behind the content and not counted.
 * Return: a pointer that lives as long as @b is unchanged; "" where the buffer has failed.
 */
const char *buffer_string(struct buffer *b);

/** buffer_bytes() - a view of the content; it lives as long as @b is unchanged */
static inline struct bytes buffer_bytes(const struct buffer *b) {
        return BYTES(b->data, b->size);
}

/** free_text() - free() that returns NULL, for CAD_AUTO(free_text) char * */
char *free_text(char *text);
CAD_CLEANUP(char, free_text)
