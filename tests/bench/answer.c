/*
 * Reading one HTTP/1.1 answer out of a buffer.
 *
 * Knows what the measured servers send, Content-Length and chunks. It must be cheap (the generator
 * shares the cores with the server), and it never reads past the length it is told.
 */
#include "answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_END "\r\n\r\n"

/* The value of header @name in the @len bytes after the status line, or NULL. */
static const char *header_find(const char *head, size_t len, const char *name) {
        size_t name_len = strlen(name);
        const char *end = head + len;

        while (head < end) {
                const char *line_end = memmem(head, (size_t) (end - head), "\r\n", 2);

                if (!line_end)
                        line_end = end;
                if ((size_t) (line_end - head) > name_len && head[name_len] == ':' &&
                    strncasecmp(head, name, name_len) == 0) {
                        head += name_len + 1;
                        return head + strspn(head, " \t");
                }
                head = line_end + 2;
        }
        return NULL;
}

/* Joins the chunks at @from in place. Returns as answer_parse() does. (RFC 9112 §7.1) */
static int chunks_join(char *from, size_t len, bool join, struct answer *answer) {
        char *in = from, *out = from;

        for (;;) {
                char *line_end = memmem(in, len - (size_t) (in - from), "\r\n", 2);
                unsigned long size;
                char *digits_end;

                if (!line_end)
                        return 0;
                size = strtoul(in, &digits_end, 16);
                if (digits_end == in)
                        return -1;
                in = line_end + 2;
                if (len - (size_t) (in - from) < 2 || size > len - (size_t) (in - from) - 2)
                        return 0;
                if (join)
                        memmove(out, in, size);
                out += size;
                in += size + 2;
                if (size == 0)
                        break;
        }
        answer->body = from;
        answer->body_len = (size_t) (out - from);
        answer->total_len = (size_t) (in - from);
        return 1;
}

static int body_measure(char *body, size_t have, const char *length, bool chunked,
                        struct answer *answer) {
        int whole;

        if (chunked) {
                /* First without moving a byte: a body that is not whole is parsed again. */
                whole = chunks_join(body, have, /* join= */ false, answer);
                return whole == 1 ? chunks_join(body, have, /* join= */ true, answer) : whole;
        }
        if (!length)
                return -1;
        answer->body = body;
        answer->body_len = strtoul(length, /* end= */ NULL, 10);
        answer->total_len = answer->body_len;
        return have >= answer->body_len;
}

/* What a head says. */
struct head {
        const char *length; /* value of Content-Length, or NULL */
        size_t size;        /* with the empty line */
        bool chunked;
};

/* Return: 1, 0 where it is not whole, -1 where it is none. */
static int head_parse(const char *buffer, size_t len, struct head *ret, struct answer *answer) {
        const char *end = memmem(buffer, len, HEAD_END, strlen(HEAD_END));
        const char *headers, *encoding, *connection;

        if (!end)
                return 0;
        if (strncmp(buffer, "HTTP/1.1 ", 9) != 0)
                return -1;
        ret->size = (size_t) (end - buffer) + strlen(HEAD_END);
        headers = (const char *) memmem(buffer, len, "\r\n", 2) + 2;
        len = ret->size - (size_t) (headers - buffer);
        encoding = header_find(headers, len, "Transfer-Encoding");
        connection = header_find(headers, len, "Connection");
        ret->length = header_find(headers, len, "Content-Length");
        ret->chunked = encoding && strncasecmp(encoding, "chunked", 7) == 0;
        answer->status = (unsigned) strtoul(buffer + 9, /* end= */ NULL, 10);
        answer->closes = connection && strncasecmp(connection, "close", 5) == 0;
        return 1;
}

/* RFC 9110 §8.6: the Content-Length of a 304 is that of the 200 which it stands for. */
static bool without_body(unsigned status) {
        return status == 204 || status == 304;
}

int answer_begins(const char *buffer, size_t len, struct answer *ret) {
        struct answer answer = {};
        struct head head;
        int whole = head_parse(buffer, len, &head, &answer);

        if (whole != 1)
                return whole;
        if (head.chunked || (!head.length && !without_body(answer.status)))
                return -1;
        answer.body = buffer + head.size;
        if (!without_body(answer.status))
                answer.body_len = strtoul(head.length, /* end= */ NULL, 10);
        answer.total_len = head.size + answer.body_len;
        *ret = answer;
        return 1;
}

int answer_parse(char *buffer, size_t len, struct answer *ret) {
        struct answer answer = {};
        struct head head;
        int whole = head_parse(buffer, len, &head, &answer);

        if (whole != 1)
                return whole;
        if (without_body(answer.status))
                return answer_begins(buffer, len, ret);
        whole = body_measure(buffer + head.size, len - head.size, head.length, head.chunked,
                             &answer);
        if (whole != 1)
                return whole;
        answer.total_len += head.size;
        *ret = answer;
        return 1;
}
