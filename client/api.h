/*
 * The REST API as commands use it: JSON in, JSON out, problems told to the user.
 */
#pragma once

#include <jansson.h>

#include "cactl.h"
#include "lib/base/bytes.h"

static inline json_t *json_free(json_t *value) {
        json_decref(value);
        return NULL;
}
CAD_CLEANUP(json_t, json_free)

/** api_get() - GET a JSON object. @path is encoded. Return: DONE with @ret, or a result after saying what failed */
enum result api_get(struct client *c, const char *path, json_t **ret);

/** api_try_get() - the same, but 403 and @status_too are no failure: then *ret is the object, or NULL for 403. Says nothing of them */
enum result api_try_get(struct client *c, const char *path, long status_too, json_t **ret);

/**
 * api_page - what is done with a page of a list
 * @go_on: true before; false: the next is not asked for
 */
typedef enum result (*api_page)(struct client *c, const json_t *page, void *data, bool *go_on);

/**
 * api_pages() - GET a list, one page after the other, as long as @each wants and somebody reads what is written
 * @base:     path and query, without a cursor
 * @ret_next: the cursor of the page that was not asked for, the caller's; NULL: there is none
 */
enum result api_pages(struct client *c, const struct buffer *base, api_page each, void *data,
                      char **ret_next);

/** api_get_text() - GET something that is not JSON: PEM. @ret: appended */
enum result api_get_text(struct client *c, const char *path, const char *accept,
                         struct buffer *ret);

struct http_request;

/** api_save() - a request whose answer goes to a file (its save_type and save_fd). @ret_saved: bytes. Return: DONE, or a result after saying what failed */
enum result api_save(struct client *c, const struct http_request *request, uint64_t *ret_saved);

/** api_post() - POST a JSON object with an idempotency key, so that a broken connection is tried again */
enum result api_post(struct client *c, const char *path, const json_t *body, json_t **ret);

/** api_post_once() - the same with a key of the caller's, who may ask again: what was answered to that key is answered once more */
enum result api_post_once(struct client *c, const char *path, const json_t *body, const char *key,
                          json_t **ret);

/**
 * api_send() - any other method, or a POST that must not be tried again by itself: no idempotency key
 * @body: NULL: none
 */
enum result api_send(struct client *c, const char *method, const char *path, const json_t *body,
                     json_t **ret);

/** api_text() - a member that is a string, "" where there is none */
const char *api_text(const json_t *object, const char *key);

/** api_texts() - the strings of a member that is an array, joined by ", ". @out: appended; "" where there are none */
const char *api_texts(const json_t *object, const char *key, struct buffer *out);

/** api_time() - a member that is an RFC 3339 time. Return: 0, or -1 where it is none */
int api_time(const json_t *object, const char *key, int64_t *ret);

/** query_add() - append "?name=value" or "&name=value", encoded; nothing for a NULL value */
void query_add(struct buffer *path, const char *name, const char *value);

/** serial_parse() - a serial as people copy it (either case, colons) to lower-case hex. @out has 41 bytes. Return: 0 or -1 */
int serial_parse(const char *text, char *out);

#define SERIAL_TEXT_MAX 41 /* bytes with NUL */
