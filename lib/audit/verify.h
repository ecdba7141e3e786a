/*
 * Verifying the audit chain: fed with rows, newest first, it says which are changed, missing, or were never written.
 *
 * A row's hash is made of the row and of the hash before it, so a row that was changed does not fit any more; one that was
 * taken out leaves a gap in the numbers; rows cut off at the end are missed by the head, and by the anchors that the
 * signer keeps where cad cannot rewrite them. An anchor also finds a chain that was made anew from some row on.
 */
#pragma once

#include <stdbool.h>

#include "lib/audit/chain.h"

/** struct audit_anchor - the end of the chain at some time, as the signer has it */
struct audit_anchor {
        int64_t at; /* seconds since the epoch, by the signer */
        int64_t number;
        uint8_t hash[AUDIT_HASH_SIZE];
};

#define AUDIT_ANCHOR_TEXT_MAX 160 /* bytes with NUL */

/** audit_anchor_format() - "2026-11-21T18:00:00Z audit number=12 hash=…", as the signer logs it; @out has AUDIT_ANCHOR_TEXT_MAX bytes. Return: @out */
char *audit_anchor_format(const struct audit_anchor *anchor, char *out);

/** audit_anchor_parse() - the same read back. Return: 0, or -1 where the line is something else */
int audit_anchor_parse(const char *line, struct audit_anchor *ret);

enum audit_fault {
        AUDIT_ROW_CHANGED,  /* the row does not fit its hash and the row before it */
        AUDIT_ROWS_MISSING, /* there are no rows with these numbers */
        AUDIT_ROW_FOREIGN, /* a row that is none of the chain: its number, an order that cannot be, texts that cad never writes */
        AUDIT_ROWS_CUT,    /* rows at the end are missing: the head or an anchor has seen them */
        AUDIT_ROWS_REPLACED, /* the rows fit each other, but not the anchor: some of them were changed, and hashed anew */
        AUDIT_PUT_BACK, /* the chain went back: an older copy of the database was put in place after the anchor */
        AUDIT_FAULT_COUNT,
};

/** audit_fault_name() - "changed", "missing", …; static */
const char *audit_fault_name(enum audit_fault fault);

/** struct audit_finding - one thing that is wrong, with rows @first to @last */
struct audit_finding {
        enum audit_fault fault;
        int64_t first, last;
        const struct audit_anchor *anchor; /* that says so; NULL: none */
};

typedef void (*audit_found)(const struct audit_finding *finding, void *data);

/** struct audit_verdict - when all rows were seen */
struct audit_verdict {
        uint64_t rows;     /* seen */
        uint64_t findings; /* told */
        int64_t newest;    /* number of the last row, 0 without any */
        int64_t anchored;  /* number of the newest row that an anchor fits, 0 without any */
        int64_t anchored_at;
};

struct audit_verifier; /* opaque */

/**
 * audit_verifier_new() - begin
 * @begin:   hash 0 of the chain, audit_chain_begin()
 * @head:    number of the row that the head says is the last, read before the first row was; 0: not known
 * @anchors: in the order in which they were set; read before the first row was; copied
 * Return: NULL without memory
 */
struct audit_verifier *audit_verifier_new(const uint8_t begin[AUDIT_HASH_SIZE], int64_t head,
                                          const struct audit_anchor *anchors, size_t anchor_count,
                                          audit_found found, void *data);

/** audit_verifier_row() - the next older row */
void audit_verifier_row(struct audit_verifier *v, const struct audit_row *row);

/** audit_verifier_end() - there are no older rows */
void audit_verifier_end(struct audit_verifier *v, struct audit_verdict *ret);

/** audit_verifier_free() - Return: NULL */
struct audit_verifier *audit_verifier_free(struct audit_verifier *v);
CAD_CLEANUP(struct audit_verifier, audit_verifier_free)
