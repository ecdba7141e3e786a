/*
 * The stores of this machine that say which roots are trusted, behind one small interface: a row a kind of store.
 *
 * What a store reports is what was read back from it, by another way than it was written.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "root.h"

#define TRUST_ROWS_MAX 1024  /* places of all stores together */
#define TRUST_OTHERS_MAX 4   /* other roots of the same name that are named, a place */
#define TRUST_WHERE_MAX 1024 /* bytes with NUL of a path */
#define TRUST_USER_MAX 64

enum trust_kind {
        TRUST_SYSTEM,
        TRUST_NSS,
        TRUST_JAVA,
        TRUST_KIND_COUNT,
};

enum trust_action {
        TRUST_STATUS,
        TRUST_INSTALL,
        TRUST_REMOVE,
};

enum trust_state {
        TRUST_ABSENT,
        TRUST_INSTALLED,
        TRUST_DISTRUSTED, /* there, and not taken for a root */
        TRUST_NEEDS_ROOT,
        TRUST_NEEDS_TOOL,
        TRUST_FAILED,
        TRUST_STATE_COUNT,
};

/** struct trust_row - one place, and how it stands. No pointers: it is sent through a pipe as it is */
struct trust_row {
        enum trust_kind kind;
        enum trust_state state;
        bool changed;                /* by us, now */
        char where[TRUST_WHERE_MAX]; /* the prefix included */
        char user[TRUST_USER_MAX];   /* whose it is; "": the machine's */
        char tool[32];               /* TRUST_NEEDS_TOOL: which */
        char note[ERROR_TEXT_MAX];   /* why, or what is worth knowing; "": nothing */
        /* other roots of the same name that are there */
        size_t others_count; /* at most TRUST_OTHERS_MAX */
        uint8_t others[TRUST_OTHERS_MAX][SHA256_SIZE];
};

struct trust_rows {
        struct trust_row *items;
        size_t count;
        bool cut; /* there are more than TRUST_ROWS_MAX */
};

void trust_rows_done(struct trust_rows *rows);
CAD_CLEANUP_DONE(struct trust_rows, trust_rows_done)

/** trust_row_add() - one more, empty. NULL: TRUST_ROWS_MAX are there, or no memory */
struct trust_row *trust_row_add(struct trust_rows *rows, enum trust_kind kind);

/** struct trust_job - what to do; views */
struct trust_job {
        enum trust_action action;
        const struct root *root;
        bool chosen[TRUST_KIND_COUNT];
        bool own_only; /* only what belongs to the caller */
        bool replace;  /* other roots of the same name go */
        const char *
                prefix; /* "", or the folder of an image, absolute and real, without a slash at its end */
        const char *java_store;    /* NULL: all that are found */
        const char *java_password; /* of Java's stores */
        const char *home;          /* inside a store that is worked on user by user: whose */
        int64_t until_ms;          /* the same: when it has to be over, by moment_monotonic_ms() */
};

/**
 * struct trust_store - a kind of store
 *
 * find() appends a row for each place; look() fills in how it stands, as it is read; install() and remove() change it and need
 * not look whether that helped. remove() is told which root, for it is also how others of the same name go.
 * @err: ERR_FORBIDDEN where it wants root
 */
struct trust_store {
        const char *name;
        bool each_user; /* find() looks into job->home, with that user's rights */
        int (*find)(const struct trust_job *job, struct trust_rows *rows, struct error *err);
        void (*look)(const struct trust_job *job, struct trust_row *row);
        int (*install)(const struct trust_job *job, struct trust_row *row, struct error *err);
        int (*remove)(const struct trust_job *job, struct trust_row *row,
                      const struct root_match *match, struct error *err);
};

extern const struct trust_store trust_system, trust_nss, trust_java;

/** trust_store_name() - "system", "nss", "java" */
const char *trust_store_name(enum trust_kind kind);

/** trust_run() - do it in all stores that are chosen. @err: ERR_NO_MEMORY and the like; what fails in one place is in its row */
int trust_run(const struct trust_job *job, struct trust_rows *ret, struct error *err);

/** trust_work() - find the places of one store and work on each; for what runs in a user's name */
int trust_work(const struct trust_job *job, enum trust_kind kind, struct trust_rows *ret,
               struct error *err);

/** trust_set() - the state of a row, and its note */
void trust_set(struct trust_row *row, enum trust_state state, const char *format, ...)
        CAD_PRINTF(3, 4);

/** struct trust_scan - certificates of a store held against the root */
struct trust_scan {
        size_t count; /* all of them */
        bool there;   /* the one that is looked for is among them */
        size_t others_count;
        uint8_t others[TRUST_OTHERS_MAX][SHA256_SIZE]; /* of the same name */
};

/** trust_scan_der() - take one certificate into account */
void trust_scan_der(struct trust_scan *scan, const struct root *root, struct bytes der);

/** trust_scan_text() - the same for all of a PEM text, or one in DER. @err: it cannot be read to its end */
int trust_scan_text(struct trust_scan *scan, const struct root *root, struct bytes text,
                    struct error *err);
