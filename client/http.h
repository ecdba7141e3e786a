/*
 * One request to the CA, over its Unix socket or a URL.
 */
#pragma once

#include "cactl.h"
#include "lib/base/bytes.h"

#define ANSWER_MAX (16u * 1024 * 1024) /* bytes of a body; a page of certificates is far below */
#define HEADER_VALUE_MAX 128
#define HTTPS_PORT "8443" /* of a cad whose cad.conf names no other */

struct http_request {
        const char *method;
        const char *path;         /* "/v1/ca", encoded, with its query */
        const char *accept;       /* NULL: anything */
        const char *content_type; /* of @body */
        struct bytes body;
        const char *idempotency_key; /* NULL: none */
        /* NULL, or: a body of this type goes to @save_fd, however long it is and takes */
        const char *save_type;
        int save_fd;
};

struct http_answer {
        long status;
        struct buffer body;
        char content_type[HEADER_VALUE_MAX]; /* lower case, without parameters */
        char retry_after[HEADER_VALUE_MAX];  /* "" where there is none */
        char date[HEADER_VALUE_MAX];         /* the same */
        const struct http_request *request;  /* while it is under way */
        uint64_t saved;                      /* bytes that went to save_fd */
};

void http_answer_done(struct http_answer *answer);
CAD_CLEANUP_DONE(struct http_answer, http_answer_done)

struct http *http_free(struct http *h);
CAD_CLEANUP(struct http, http_free)

/**
 * http_call() - send a request and read the answer, whatever its status
 *
 * The first call finds the CA (--socket, --url, $CAD_SOCKET, the known places). A connection that breaks before the
 * answer is tried once more where that is safe: GET, or with an idempotency key.
 * @ret: zero-initialised
 * Return: DONE, or a result after saying what failed
 */
enum result http_call(struct client *c, const struct http_request *request,
                      struct http_answer *ret);

/** http_there() - whether there is a CA to ask: one that was named, a socket that answers, or a cactl.conf. Says nothing */
bool http_there(const struct client *c);

/** http_place() - where the CA is, for messages: the socket's path or the URL; "" before the first call */
const char *http_place(const struct client *c);

/** http_shows_certificate() - whether cactl says who it is with a client certificate */
bool http_shows_certificate(const struct client *c);

/** http_by_socket() - whether it is reached over a Unix socket */
bool http_by_socket(const struct client *c);
