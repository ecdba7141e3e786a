/*
 * Templates: files of ours with {{places}} that values are put into. Nothing else happens in one: no condition, no loop, and a
 * value is never looked at for places.
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define TEMPLATE_NAME_MAX 32 /* bytes of a place's name */

/** struct place - what {{name}} stands for */
struct place {
        const char *name;
        struct bytes value;
        bool is_markup; /* made by a template of ours: put in as it is. Else it is text, and escaped */
};

/** template_escape() - append text so that it is only text in HTML and XML, in an element and in a quoted attribute */
void template_escape(struct buffer *out, struct bytes text);

/**
 * template_fill() - append @text with its places filled
 * @err: ERR_INTERNAL: a place that is not among @places, or one without an end
 */
int template_fill(const char *text, const struct place *places, size_t place_count,
                  struct buffer *out, struct error *err);
