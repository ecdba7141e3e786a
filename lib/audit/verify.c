/*
 * Verifying the audit chain: see verify.h. Pure; one row is kept, until the one before it tells the hash that it builds on.
 */
#include "lib/audit/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"

struct mark { /* an anchor, and what is thought of it */
        struct audit_anchor anchor;
        bool left_behind;  /* the chain went back behind its row: it is not compared */
        bool stepped_back; /* between it and the next one … */
        int64_t lost_from; /* … and from this row on */
};

struct audit_verifier {
        uint8_t begin[AUDIT_HASH_SIZE];
        int64_t head;
        audit_found found;
        void *data;
        struct audit_verdict verdict;

        bool has_row; /* the row above, which waits for the one below it */
        int64_t number;
        uint8_t hash[AUDIT_HASH_SIZE];
        uint8_t octets[AUDIT_HASH_SIZE +
                       AUDIT_ROW_MAX]; /* its encoding, behind room for the hash before it */
        size_t size;                   /* of the encoding; 0: it has none */

        const struct mark *
                unfit; /* the lowest anchor that does not fit, and of which no lower one has fitted yet */
        size_t next; /* of marks */
        size_t count;
        struct mark marks[]; /* highest number first, once audit_verifier_new() is done */
};

static const char *const fault_names[] = {
        [AUDIT_ROW_CHANGED] = "changed",    [AUDIT_ROWS_MISSING] = "missing",
        [AUDIT_ROW_FOREIGN] = "foreign",    [AUDIT_ROWS_CUT] = "cut",
        [AUDIT_ROWS_REPLACED] = "replaced", [AUDIT_PUT_BACK] = "put_back",
};
_Static_assert(ARRAY_SIZE(fault_names) == AUDIT_FAULT_COUNT, "one name a fault");

const char *audit_fault_name(enum audit_fault fault) {
        return (unsigned) fault < AUDIT_FAULT_COUNT ? fault_names[fault] : "?";
}

static void tell(struct audit_verifier *v, enum audit_fault fault, int64_t first, int64_t last,
                 const struct audit_anchor *anchor) {
        const struct audit_finding finding = { fault, first, last, anchor };

        v->verdict.findings++;
        v->found(&finding, v->data);
}

/* ---- anchors as text --------------------------------------------------------------------------------------- */

char *audit_anchor_format(const struct audit_anchor *anchor, char *out) {
        char at[MOMENT_TEXT_MAX], hash[2 * AUDIT_HASH_SIZE + 1];

        (void) snprintf(out, AUDIT_ANCHOR_TEXT_MAX, "%s audit number=%" PRId64 " hash=%s",
                        moment_format(anchor->at, at), anchor->number,
                        hex_encode(BYTES(anchor->hash, AUDIT_HASH_SIZE), hash));
        return out;
}

int audit_anchor_parse(const char *line, struct audit_anchor *ret) {
        char at[MOMENT_TEXT_MAX], number[24], hash[2 * AUDIT_HASH_SIZE + 1], rest;
        struct audit_anchor anchor;
        uint64_t value;
        size_t size;

        if (sscanf(line, "%23s audit number=%23[0-9] hash=%64[0-9a-f]%c", at, number, hash,
                   &rest) != 3 ||
            moment_parse(at, &anchor.at, NULL) < 0 || text_to_u64(number, INT64_MAX, &value) < 0 ||
            hex_decode(hash, anchor.hash, AUDIT_HASH_SIZE, &size) < 0 || size != AUDIT_HASH_SIZE)
                return -1;
        anchor.number = (int64_t) value;
        *ret = anchor;
        return 0;
}

/* ---- anchors ----------------------------------------------------------------------------------------------- */

static bool same_hash(const uint8_t *a, const uint8_t *b) {
        return memcmp(a, b, AUDIT_HASH_SIZE) == 0;
}

/* Of another chain than the one that was anchored there later. */
static bool is_before(const struct audit_anchor *later, const struct audit_anchor *anchor) {
        return later->number < anchor->number ||
                (later->number == anchor->number && !same_hash(later->hash, anchor->hash));
}

/* Numbers that fall say that the chain went back. What was anchored above the row that it went back to is left behind. */
static void find_steps_back(struct audit_verifier *v) {
        const struct audit_anchor *lowest = NULL; /* of all later anchors */

        for (size_t i = v->count; i-- > 0;) {
                struct mark *m = &v->marks[i];
                const struct audit_anchor *next = i + 1 < v->count ? &m[1].anchor : NULL;

                m->left_behind = lowest && is_before(lowest, &m->anchor);
                m->stepped_back = next && is_before(next, &m->anchor);
                if (m->stepped_back)
                        m->lost_from = next->number < m->anchor.number ? next->number + 1
                                                                       : next->number;
                if (!lowest || m->anchor.number < lowest->number)
                        lowest = &m->anchor;
        }
}

static int by_number(const void *a, const void *b) {
        const struct mark *x = a, *y = b;

        return (x->anchor.number < y->anchor.number) - (x->anchor.number > y->anchor.number);
}

struct audit_verifier *audit_verifier_new(const uint8_t begin[AUDIT_HASH_SIZE], int64_t head,
                                          const struct audit_anchor *anchors, size_t anchor_count,
                                          audit_found found, void *data) {
        struct audit_verifier *v = calloc(1, sizeof(*v) + anchor_count * sizeof(v->marks[0]));

        if (!v)
                return NULL;
        memcpy(v->begin, begin, AUDIT_HASH_SIZE);
        v->head = head;
        v->found = found;
        v->data = data;
        v->count = anchor_count;
        for (size_t i = 0; i < anchor_count; i++)
                v->marks[i].anchor = anchors[i];
        find_steps_back(v);
        qsort(v->marks, v->count, sizeof(v->marks[0]), by_number);
        return v;
}

struct audit_verifier *audit_verifier_free(struct audit_verifier *v) {
        free(v);
        return NULL;
}

static void note_anchor(struct audit_verifier *v, const struct mark *m, bool fits) {
        if (!fits) {
                v->unfit = m;
                return;
        }
        if (v->unfit)
                tell(v, AUDIT_ROWS_REPLACED, m->anchor.number + 1, v->unfit->anchor.number,
                     &v->unfit->anchor);
        v->unfit = NULL;
        if (m->anchor.number > v->verdict.anchored) {
                v->verdict.anchored = m->anchor.number;
                v->verdict.anchored_at = m->anchor.at;
        }
}

/*
 * The anchors of the row above, or of rows that are not there. @computed is the hash that the row should have, NULL where
 * that is not known: a row whose hash alone was changed still fits its anchor.
 */
static void pass_anchors(struct audit_verifier *v, const uint8_t *computed) {
        for (; v->next < v->count && v->marks[v->next].anchor.number >= v->number; v->next++) {
                const struct mark *m = &v->marks[v->next];

                if (m->left_behind || m->anchor.number > v->number)
                        continue; /* told as cut or missing */
                note_anchor(v, m,
                            same_hash(m->anchor.hash, v->hash) ||
                                    (computed && same_hash(m->anchor.hash, computed)));
        }
}

/* The highest row that somebody has seen. */
static void check_end(struct audit_verifier *v, int64_t newest) {
        const struct audit_anchor *by = NULL;
        int64_t seen = v->head;

        for (size_t i = 0; i < v->count && !by; i++)
                if (!v->marks[i].left_behind)
                        by = &v->marks[i].anchor;
        if (by && by->number > seen)
                seen = by->number;
        else if (by && by->number <= newest)
                by = NULL;
        if (seen > newest)
                tell(v, AUDIT_ROWS_CUT, newest + 1, seen, by);
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

/* The row above, now that the hash before it is known; NULL: the row before it is missing. */
static void settle(struct audit_verifier *v, const uint8_t *before) {
        uint8_t computed[AUDIT_HASH_SIZE];
        bool known = before && v->size > 0;

        if (!v->has_row)
                return;
        if (known) {
                memcpy(v->octets, before, AUDIT_HASH_SIZE);
                audit_chain_digest(BYTES(v->octets, AUDIT_HASH_SIZE + v->size), computed);
                if (!same_hash(computed, v->hash))
                        tell(v, AUDIT_ROW_CHANGED, v->number, v->number, NULL);
        }
        pass_anchors(v, known ? computed : NULL);
        v->has_row = false;
}

static bool is_of_the_chain(const struct audit_verifier *v, const struct audit_row *row) {
        return row->number >= 1 && (v->verdict.newest == 0 || row->number < v->number);
}

void audit_verifier_row(struct audit_verifier *v, const struct audit_row *row) {
        v->verdict.rows++;
        if (!is_of_the_chain(v, row)) {
                tell(v, AUDIT_ROW_FOREIGN, row->number, row->number, NULL);
                return;
        }
        if (v->verdict.newest == 0) {
                v->verdict.newest = row->number;
                check_end(v, row->number);
        } else if (row->number < v->number - 1) {
                settle(v, NULL);
                tell(v, AUDIT_ROWS_MISSING, row->number + 1, v->number - 1, NULL);
        } else {
                settle(v, row->hash);
        }
        v->has_row = true;
        v->number = row->number;
        memcpy(v->hash, row->hash, AUDIT_HASH_SIZE);
        v->size = audit_row_check(row, NULL) == 0
                ? audit_row_encode(row, v->octets + AUDIT_HASH_SIZE)
                : 0;
        if (v->size == 0)
                tell(v, AUDIT_ROW_FOREIGN, row->number, row->number, NULL);
}

void audit_verifier_end(struct audit_verifier *v, struct audit_verdict *ret) {
        if (v->verdict.newest == 0)
                check_end(v, 0);
        settle(v, v->number == 1 ? v->begin : NULL);
        if (v->verdict.newest > 0 && v->number > 1)
                tell(v, AUDIT_ROWS_MISSING, 1, v->number - 1, NULL);
        if (v->unfit)
                tell(v, AUDIT_ROWS_REPLACED, 1, v->unfit->anchor.number, &v->unfit->anchor);
        v->unfit = NULL;
        for (size_t i = 0; i < v->count; i++)
                if (v->marks[i].stepped_back)
                        tell(v, AUDIT_PUT_BACK, v->marks[i].lost_from, v->marks[i].anchor.number,
                             &v->marks[i].anchor);
        *ret = v->verdict;
}
