/* Reading one HTTP/1.1 answer out of a buffer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct answer {
        unsigned status;
        const char *body;
        size_t body_len;
        size_t total_len; /* bytes of the buffer that belong to this answer */
        bool closes;      /* the server said Connection: close */
};

/**
 * answer_parse() - is there a whole answer at the start of @buffer? (RFC 9112 §6)
 * @buffer: is changed: a chunked body is joined in place once it is whole
 * @ret:    set on success only; its body points into @buffer
 *
 * Return: 1 when there is one, 0 when more bytes are needed, -1 when it is no answer that this
 * reader knows (no status line, or neither Content-Length nor chunks).
 */
int answer_parse(char *buffer, size_t len, struct answer *ret);

/**
 * answer_begins() - is there a whole head at the start of @buffer, and is it known how long the answer will be?
 * @ret: set on success only; body_len and total_len may go past @len
 *
 * For who does not keep the body. Return: as answer_parse(); -1 for chunks, too.
 */
int answer_begins(const char *buffer, size_t len, struct answer *ret);
