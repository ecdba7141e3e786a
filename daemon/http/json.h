/*
 * JSON: bodies read within bounds, against a table of known members; text appended quickly.
 *
 * RFC 8259, and stricter (RFC 8785 §3.1 in spirit): no duplicate names, no NUL, no lone surrogate, no BOM.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define JSON_DEPTH_MAX 16           /* objects and arrays inside each other */
#define JSON_BODY_MAX (256u * 1024) /* bytes; no request of ours needs more */

static inline json_t *json_drop(json_t *json) {
        json_decref(json);
        return NULL;
}
CAD_CLEANUP(json_t, json_drop)

/**
 * json_read() - parse a whole body
 * @depth_max: JSON_DEPTH_MAX or less
 * @size_max:  bytes
 * @ret:       set on success only; an object or an array; json_drop() it
 * @err:       ERR_BODY_TOO_LARGE; ERR_BODY_MALFORMED with line and column
 *
 * Depth and size are checked before the parser sees the bytes.
 */
int json_read(struct bytes body, size_t depth_max, size_t size_max, json_t **ret,
              struct error *err);

enum json_member_kind {
        JSON_MEMBER_TEXT,    /* const char *, lent by the document */
        JSON_MEMBER_TEXTS,   /* const json_t *: an array of strings, lent */
        JSON_MEMBER_BOOL,    /* bool */
        JSON_MEMBER_INTEGER, /* int64_t, 0 to max */
        JSON_MEMBER_KIND_COUNT,
};

/** struct json_member - one member that an object may have */
struct json_member {
        const char *name;
        enum json_member_kind kind;
        size_t offset; /* in the target; the type is that of the kind */
        bool required; /* an empty text or array counts as missing */
        size_t max; /* bytes of a text, elements of an array (each JSON_TEXT_MAX bytes at most), value of an integer */
};

#define JSON_TEXT_MAX 1024 /* bytes of a string in an array */

/** JSON_TO() - the member of the target that a row fills */
#define JSON_TO(type, member) .offset = offsetof(type, member)

/**
 * json_members_read() - fill a struct from an object
 * @document:    must be an object
 * @members:     all that is known; a null is as good as absent
 * @target:      members that are absent keep what they hold
 * @ret_given:   bit i is set where row i was given; may be NULL; at most 32 rows
 * @err:         ERR_BODY_MALFORMED with the member as field: unknown, of another type, over its maximum, missing
 */
int json_members_read(const json_t *document, const struct json_member *members, size_t members_len,
                      void *target, unsigned *ret_given, struct error *err);

/** json_append_text() - append @text as a JSON string with its quotes; @text is UTF-8, NULL becomes null */
void json_append_text(struct buffer *out, const char *text);

/** json_append() - append a document, compact; a failure sets @out->failed */
void json_append(struct buffer *out, const json_t *document);
