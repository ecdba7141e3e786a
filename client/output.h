/*
 * What cactl writes: data to standard output, messages to standard error.
 *
 * Everything that is shown passes here and is made printable, whoever wrote it: an answer of the CA, a name
 * in a certificate, the path of a file. Write errors are found by output_close().
 */
#pragma once

#include <jansson.h>

#include "cactl.h"
#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define WORDS_MAX 64 /* bytes with NUL of a time in words */

enum tone {
        TONE_PLAIN,
        TONE_STRONG,
        TONE_DIM,
        TONE_GOOD,
        TONE_WARN,
        TONE_BAD,
};

/** output_init() - make descriptors 0 to 2 usable and find out what standard output is; once, at start */
void output_init(void);

/** output_broken() - whether writing to standard output has failed: a long list may as well stop */
bool output_broken(void);

/** output_close() - flush standard output. Return: DONE, or REFUSED after saying what failed (broken pipe, full disk) */
enum result output_close(void);

/** fail() - one line on standard error: "cactl: …". Return: @result, so that a function can say `return fail(…);` */
enum result fail(enum result result, const char *format, ...) CAD_PRINTF(2, 3);

/**
 * fail_about() - what failures are about from now on: "devices.txt:7", printable; it must stay. NULL: nothing in particular
 * @over_progress: whether a line of progress has to go first
 */
void fail_about(const char *where, bool over_progress);

/** fail_error() - the same with the sentence of @err; ERR_USAGE is WRONG_USAGE, all else REFUSED */
enum result fail_error(const struct error *err);

/** say() - a message on standard error, not with --quiet */
void say(const struct client *c, const char *format, ...) CAD_PRINTF(2, 3);

/** put() - printf one line to standard output */
void put(enum tone tone, const char *format, ...) CAD_PRINTF(2, 3);

/** put_paragraph() - text wrapped to the terminal's width, 80 columns elsewhere */
void put_paragraph(const char *text);

/** put_raw() - bytes as they are, for PEM and the like */
void put_raw(struct bytes bytes);

/** put_json() - a value as indented JSON with a line break; controls that JSON lets through are escaped */
void put_json(const json_t *value);

/** fact() - "  label         value", the value wrapped to the terminal's width */
void fact(const char *label, enum tone tone, const char *format, ...) CAD_PRINTF(3, 4);

/** struct column - one column of a table; at most one is flexible: it is cut where the terminal is too narrow */
struct column {
        const char *title;
        bool flexible;
};

struct table; /* rows of cells, printed with columns aligned by display width */

/** table_new() - @columns must stay; NULL: out of memory */
struct table *table_new(const struct column *columns, size_t count);
struct table *table_free(struct table *t);
CAD_CLEANUP(struct table, table_free)

/** table_cell() - add the next cell, row by row; @text is copied */
void table_cell(struct table *t, enum tone tone, const char *text);

/** table_print() - print the rows, the titles first the first time, and forget them; widths only grow from page to page */
void table_print(struct table *t);

/** text_width() - columns that @text takes on a terminal; @text is printable UTF-8 */
size_t text_width(const char *text);

/** time_in_words() - "in 3 months", "2 days ago"; @out has WORDS_MAX bytes. Return: @out */
char *time_in_words(int64_t t, int64_t now, char *out);

/** time_both() - "2027-02-19 18:00 UTC (in 3 months)"; @out has WORDS_MAX bytes. Return: @out */
char *time_both(int64_t t, int64_t now, char *out);

/** terminal_on() - whether @fd is a terminal */
bool terminal_on(int fd);
