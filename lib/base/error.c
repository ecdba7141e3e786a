/*
 * Errors: one table of codes, and the functions that fill one in. It prints and logs nothing.
 */
#include "error.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

static const struct {
        const char *name;
        const char *title;
        enum error_kind kind;
} error_rows[] = {
#define ERROR_TABLE_ROW(code, kind, title) [code] = { #code, title, kind },
        ERROR_CODES(ERROR_TABLE_ROW)
#undef ERROR_TABLE_ROW
};
_Static_assert(ARRAY_SIZE(error_rows) == ERR_COUNT, "one row a code");

#define SLUG_MAX 40
static char slugs[ERR_COUNT][SLUG_MAX];
static pthread_once_t slugs_once = PTHREAD_ONCE_INIT;

static void slugs_make(void) {
        for (size_t i = 0; i < ERR_COUNT; i++) {
                const char *name = error_rows[i].name + strlen("ERR_");
                size_t n = 0;

                for (; n < SLUG_MAX - 1 && name[n]; n++)
                        slugs[i][n] = name[n] == '_' ? '-'
                                                     : (char) tolower((unsigned char) name[n]);
        }
}

static void CAD_PRINTF(5, 0) error_fill(struct error *err, enum error_code code, const char *file,
                                        int line, const char *format, va_list args) {
        char text[ERROR_TEXT_MAX +
                  8]; /* longer than what is kept, so that a cut is seen and marked */

        (void) vsnprintf(text, sizeof(text), format, args);
        text_make_printable(text, err->text, sizeof(err->text));
        err->code = code;
        err->field[0] = '\0';
        err->file = file;
        err->line = line;
}

int error_set_at(struct error *err, enum error_code code, const char *file, int line,
                 const char *format, ...) {
        va_list args;

        if (!err)
                return -1;
        va_start(args, format);
        error_fill(err, code, file, line, format, args);
        va_end(args);
        return -1;
}

int error_set_field_at(struct error *err, enum error_code code, const char *field, const char *file,
                       int line, const char *format, ...) {
        va_list args;

        if (!err)
                return -1;
        va_start(args, format);
        error_fill(err, code, file, line, format, args);
        va_end(args);
        if (field)
                text_make_printable(field, err->field, sizeof(err->field));
        return -1;
}

int error_name_field(struct error *err, const char *format, ...) {
        char field[ERROR_FIELD_MAX + 8];
        va_list args;

        if (!err || err->field[0])
                return -1;
        va_start(args, format);
        (void) vsnprintf(field, sizeof(field), format, args);
        va_end(args);
        text_make_printable(field, err->field, sizeof(err->field));
        return -1;
}

static enum error_code code_of_errno(int errnum) {
        switch (errnum) {
        case ENOSPC:
        case EDQUOT:
                return ERR_STORE_FULL;
        case ENOMEM:
                return ERR_NO_MEMORY;
        default:
                return ERR_IO;
        }
}

int error_errno_at(struct error *err, int errnum, const char *file, int line, const char *format,
                   ...) {
        char what[ERROR_TEXT_MAX / 2];
        char reason[96];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(what, sizeof(what), format, args);
        va_end(args);
        return error_set_at(err, code_of_errno(errnum), file, line, "%s: %s", what,
                            strerror_r(errnum, reason, sizeof(reason)));
}

const char *error_slug(enum error_code code) {
        (void) pthread_once(&slugs_once, slugs_make);
        return (unsigned) code < ERR_COUNT ? slugs[code] : slugs[ERR_INTERNAL];
}

enum error_code error_from_slug(const char *slug) {
        for (unsigned code = 0; code < ERR_COUNT; code++)
                if (strcmp(error_slug((enum error_code) code), slug) == 0)
                        return (enum error_code) code;
        return ERR_INTERNAL;
}

const char *error_title(enum error_code code) {
        return (unsigned) code < ERR_COUNT ? error_rows[code].title
                                           : error_rows[ERR_INTERNAL].title;
}

enum error_kind error_kind(enum error_code code) {
        return (unsigned) code < ERR_COUNT ? error_rows[code].kind : ERROR_FAULT;
}
