/*
 * Hundreds of things in one command: a list that is worked off line by line, what came of each, and a summary.
 *
 * The file is text as people and spreadsheets write it: words separated by blanks, tabs, commas, semicolons or quotes,
 * '#' before a comment, LF or CR LF, a byte-order mark. A line that cannot be done is said with file and line, and
 * the others go on.
 */
#pragma once

#include <jansson.h>

#include "cactl.h"
#include "lib/base/bytes.h"

#define LIST_WORDS_MAX 128 /* of a line: more names than a certificate has */

/** struct list_line - lent for the call */
struct list_line {
        const char *where; /* "devices.txt:7", for messages */
        const char *const *words;
        size_t count;
        const char *folder; /* that the list lies in, for what a line names: "." or "DIR/…" */
};

enum line_outcome {
        LINE_DONE,
        LINE_SKIPPED, /* it is there already, and still good */
        LINE_FAILED,  /* said why */
        LINE_STOP,    /* said why, and nothing after it can be done: the CA is gone */
};

/**
 * struct list_work - what is done with a line
 * @each: @ret_what: appended, what the line is about, for progress and --json; @ret_serial: SERIAL_TEXT_MAX bytes, "" where there is none
 */
struct list_work {
        enum line_outcome (*each)(struct client *c, const struct list_line *line, void *context,
                                  struct buffer *ret_what, char *ret_serial);
        void *context;
        const char *done; /* "issued", for the summary */
        bool stop;        /* at the first line that fails */
};

/**
 * list_run() - work a list off; '-' is standard input
 * Return: DONE where nothing failed; REFUSED or UNREACHABLE, after a summary
 */
enum result list_run(struct client *c, const char *path, const struct list_work *work);

/** list_run_folder() - the same over the files of a folder that end in @suffixes (ends with NULL), by name; a line is a path each */
enum result list_run_folder(struct client *c, const char *path, const char *const *suffixes,
                            const struct list_work *work);
