/*
 * cactl audit: who did what, and whether the record of it is whole.
 *
 * Verifying trusts nothing that it can compute: every row's hash is made anew from the row, and the chain is held against the
 * anchors that the signer keeps, or against the signer's log itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "lib/audit/verify.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "output.h"

#define LIST_DEFAULT "50" /* rows without --limit or --all */
#define PAGE "1000"       /* rows a request with --all, and when verifying */
#define SHOWN_MAX 20      /* findings that are told one by one */
#define PROGRESS_MS 200

/* ---- list ---- */

static const struct option list_options[] = {
        { "action", "ACTION", "of this kind: certificate.issue, or a whole group: certificate.*" },
        { "principal", "WHO", "by this principal, as the list shows it" },
        { "object", "WHAT", "to this serial, token, request, …" },
        { "since", "WHEN", "2027-01-31, a time, or 30d ago" },
        { "until", "WHEN", "before 2027-01-31, a time, or 30d ago" },
        { "limit", "N", "so many at most (default: " LIST_DEFAULT ")" },
        { "all", NULL, "all of them" },
        { 0 },
};

struct listing {
        struct table *table;
        bool opened;  /* with --json --all: the array has been begun */
        size_t count; /* rows so far */
};

static void row_cells(struct table *table, const json_t *row) {
        const char *outcome = api_text(row, "outcome");
        char number[24];

        (void) snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
                        json_integer_value(json_object_get(row, "number")));
        table_cell(table, TONE_DIM, number);
        table_cell(table, TONE_PLAIN, api_text(row, "at"));
        table_cell(table, TONE_STRONG, api_text(row, "action"));
        table_cell(table, TONE_PLAIN, api_text(row, "principal"));
        table_cell(table, TONE_PLAIN, api_text(row, "object"));
        table_cell(table, text_equal(outcome, "ok") ? TONE_GOOD : TONE_BAD, outcome);
        table_cell(table, TONE_PLAIN, api_text(row, "detail"));
}

static enum result list_page(struct client *c, const json_t *page, void *data, bool *go_on) {
        struct listing *listing = data;
        const json_t *rows = json_object_get(page, "audit"), *row;
        size_t i;

        *go_on = option_given(c, "all");
        if (c->json && !*go_on) {
                put_json(page);
                return DONE;
        }
        if (c->json && !listing->opened)
                put_raw(BYTES_LITERAL("{\"audit\": [\n"));
        listing->opened = c->json;
        json_array_foreach(rows, i, row) {
                if (!c->json) {
                        row_cells(listing->table, row);
                        continue;
                }
                if (listing->count + i)
                        put_raw(BYTES_LITERAL(",\n"));
                put_json(row);
        }
        if (!c->json)
                table_print(listing->table);
        listing->count += json_array_size(rows);
        return DONE;
}

static enum result list_query(const struct client *c, struct buffer *path) {
        static const char *const plain[] = { "action", "principal", "object" };
        const char *limit = option_value(c, "limit");
        char since_text[MOMENT_TEXT_MAX], until_text[MOMENT_TEXT_MAX];
        const char *since, *until;
        enum result result = when_parse(c, "since", -1, since_text, &since);

        if (result == DONE)
                result = when_parse(c, "until", -1, until_text, &until);
        if (result != DONE)
                return result;
        buffer_text(path, "/v1/audit");
        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                query_add(path, plain[i], option_value(c, plain[i]));
        query_add(path, "since", since);
        query_add(path, "until", until);
        query_add(path, "limit", limit ? limit : option_given(c, "all") ? PAGE : LIST_DEFAULT);
        return DONE;
}

static enum result list_run(struct client *c) {
        static const struct column columns[] = {
                { "ROW", false },    { "TIME", false },    { "ACTION", false }, { "WHO", false },
                { "OBJECT", false }, { "OUTCOME", false }, { "DETAIL", true },
        };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));
        CAD_AUTO(buffer_done) struct buffer base = { 0 };
        struct listing listing = { .table = table };
        CAD_AUTO(free_text) char *next = NULL;
        enum result result = table ? list_query(c, &base) : fail(REFUSED, "out of memory");

        if (result == DONE)
                result = api_pages(c, &base, list_page, &listing, &next);
        if (result != DONE)
                return result;
        if (listing.opened)
                put_raw(BYTES_LITERAL("], \"next\": null}\n"));
        else if (!c->json && listing.count == 0 && !next)
                say(c, "no row is like that");
        else if (!c->json && next)
                say(c, "there are more: --all shows them, --limit N more of them");
        return DONE;
}

const struct command cmd_audit_list = {
        .group = "audit",
        .name = "list",
        .args = "",
        .help = "Who did what, when, from where: newest first",
        .options = list_options,
        .run = list_run,
};

/* ---- verify: what is found ---- */

struct verifying {
        struct audit_verifier *verifier;
        const struct client *client;
        json_t *found; /* with --json */
        uint64_t told, rows;
        int64_t newest;       /* the number of the first row that came */
        int64_t progress_ms;  /* when it was last told */
        bool progress_is_out; /* a line is to be cleared */
};

static void clear_progress(struct verifying *v) {
        if (v->progress_is_out)
                (void) fprintf(stderr, "\r\033[K");
        v->progress_is_out = false;
}

static void show_progress(struct verifying *v) {
        int64_t now_ms = moment_monotonic_ms();

        if (v->client->quiet || !terminal_on(STDERR_FILENO) ||
            now_ms < v->progress_ms + PROGRESS_MS)
                return;
        v->progress_ms = now_ms;
        v->progress_is_out = true;
        (void) fprintf(stderr, "\r%" PRIu64 " of %" PRId64 " rows", v->rows, v->newest);
        (void) fflush(stderr);
}

static const char *rows_text(const struct audit_finding *f, char *out, size_t size) {
        if (f->first == f->last)
                (void) snprintf(out, size, "row %" PRId64, f->first);
        else
                (void) snprintf(out, size, "rows %" PRId64 " to %" PRId64, f->first, f->last);
        return out;
}

static void put_finding(const struct audit_finding *f) {
        char rows[64], at[MOMENT_TEXT_MAX] = "";
        const char *are = f->first == f->last ? "is" : "are";

        (void) rows_text(f, rows, sizeof(rows));
        if (f->anchor)
                (void) moment_format(f->anchor->at, at);
        switch (f->fault) {
        case AUDIT_ROW_CHANGED:
                put(TONE_BAD, "%s does not fit its hash: it was changed, or is not in its place",
                    rows);
                return;
        case AUDIT_ROWS_MISSING:
                put(TONE_BAD, "%s %s missing", rows, are);
                return;
        case AUDIT_ROW_FOREIGN:
                put(TONE_BAD, "%s was not written by cad", rows);
                return;
        case AUDIT_ROWS_CUT:
                put(TONE_BAD, "%s %s missing at the end%s%s%s", rows, are,
                    f->anchor ? ": the signer has an anchor of " : "", at,
                    f->anchor ? ". They were cut off, or an older copy of the database was put back"
                              : "");
                return;
        case AUDIT_ROWS_REPLACED:
                put(TONE_BAD,
                    "%s: changed, and hashed anew: the signer's anchor of %s says otherwise", rows,
                    at);
                return;
        case AUDIT_PUT_BACK:
                put(TONE_BAD,
                    "%s of an earlier run %s lost: the signer's anchor of %s has them, the next one goes back to row %" PRId64
                    ". An older copy of the database was put back",
                    rows, are, at, f->first - 1);
                return;
        case AUDIT_FAULT_COUNT:
                return;
        }
}

static json_t *finding_json(const struct audit_finding *f) {
        char at[MOMENT_TEXT_MAX];
        json_t *object = json_pack("{s:s, s:I, s:I}", "fault", audit_fault_name(f->fault), "first",
                                   (json_int_t) f->first, "last", (json_int_t) f->last);

        if (object && f->anchor)
                (void) json_object_set_new(object, "anchor",
                                           json_pack("{s:s, s:I}", "at",
                                                     moment_format(f->anchor->at, at), "number",
                                                     (json_int_t) f->anchor->number));
        return object;
}

static void on_found(const struct audit_finding *finding, void *data) {
        struct verifying *v = data;

        if (v->told++ >= SHOWN_MAX)
                return;
        if (v->found) {
                (void) json_array_append_new(v->found, finding_json(finding));
                return;
        }
        clear_progress(v);
        put_finding(finding);
}

/* ---- verify: anchors ---- */

struct anchors {
        struct audit_anchor *list;
        size_t count, room;
};

static void anchors_done(struct anchors *anchors) {
        free(anchors->list);
}
CAD_CLEANUP_DONE(struct anchors, anchors_done)

static enum result add_anchor(struct anchors *anchors, const struct audit_anchor *anchor) {
        struct audit_anchor *list;

        if (!anchors->list || anchors->count == anchors->room) {
                anchors->room = anchors->room ? 2 * anchors->room : 64;
                list = reallocarray(anchors->list, anchors->room, sizeof(*list));
                if (!list)
                        return fail(REFUSED, "out of memory");
                anchors->list = list;
        }
        anchors->list[anchors->count++] = *anchor;
        return DONE;
}

static int hash_read(const json_t *object, const char *key, uint8_t hash[AUDIT_HASH_SIZE]) {
        size_t size;

        return hex_decode(api_text(object, key), hash, AUDIT_HASH_SIZE, &size) == 0 &&
                        size == AUDIT_HASH_SIZE
                ? 0
                : -1;
}

static enum result bad_answer(void) {
        return fail(REFUSED,
                    "the CA's answer is not as it should be: are cad and cactl of one version?");
}

static enum result anchors_of_answer(const json_t *state, struct anchors *ret) {
        const json_t *each;
        size_t i;

        json_array_foreach(json_object_get(state, "anchors"), i, each) {
                struct audit_anchor anchor = { .number = json_integer_value(
                                                       json_object_get(each, "number")) };
                enum result result;

                if (anchor.number < 1 || api_time(each, "at", &anchor.at) < 0 ||
                    hash_read(each, "hash", anchor.hash) < 0)
                        return bad_answer();
                result = add_anchor(ret, &anchor);
                if (result != DONE)
                        return result;
        }
        return DONE;
}

/* Anchors of a file of the signer's log. Where another CA came in place of one, what was before is of no chain. */
static enum result anchors_of_file(const char *path, struct anchors *ret, int64_t *from) {
        FILE *file = fopen(path, "re");
        enum result result = DONE;
        size_t room = 0, before = ret->count;
        char *line = NULL;

        if (!file)
                return fail(REFUSED, "%s: %s", path, strerror(errno));
        while (result == DONE && getline(&line, &room, file) > 0) {
                struct audit_anchor anchor;
                char *replaced;

                line[strcspn(line, "\n")] = '\0';
                replaced = strstr(line, " ca-replaced");
                if (audit_anchor_parse(line, &anchor) == 0) {
                        result = add_anchor(ret, &anchor);
                } else if (replaced && !replaced[strlen(" ca-replaced")]) {
                        *replaced = '\0';
                        ret->count = before;
                        if (moment_parse(line, &anchor.at, NULL) == 0 && anchor.at > *from)
                                *from = anchor.at;
                }
        }
        free(line);
        (void) fclose(file);
        return result;
}

/* Within a second the order of the files is the order. */
static int by_time(const void *a, const void *b) {
        const struct audit_anchor *x = *(const struct audit_anchor *const *) a,
                                  *y = *(const struct audit_anchor *const *) b;

        if (x->at != y->at)
                return x->at < y->at ? -1 : 1;
        return (x > y) - (x < y);
}

static enum result sort_by_time(struct anchors *anchors) {
        const struct audit_anchor **order = calloc(anchors->count + 1, sizeof(const void *));
        struct audit_anchor *sorted = calloc(anchors->count + 1, sizeof(*sorted));

        if (!order || !sorted) {
                free(order);
                free(sorted);
                return fail(REFUSED, "out of memory");
        }
        for (size_t i = 0; i < anchors->count; i++)
                order[i] = &anchors->list[i];
        qsort(order, anchors->count, sizeof(const void *), by_time);
        for (size_t i = 0; i < anchors->count; i++)
                sorted[i] = *order[i];
        free(order);
        free(anchors->list);
        anchors->list = sorted;
        anchors->room = anchors->count + 1;
        return DONE;
}

static enum result anchors_of_files(const struct client *c, struct anchors *ret) {
        enum result result = DONE;
        int64_t from = 0;
        size_t at = 0, kept = 0;
        const char *path;

        while (result == DONE && (path = option_next(c, "signer-log", &at)))
                result = anchors_of_file(path, ret, &from);
        for (size_t i = 0; i < ret->count; i++)
                if (ret->list[i].at >= from)
                        ret->list[kept++] = ret->list[i];
        ret->count = kept;
        return result == DONE ? sort_by_time(ret) : result;
}

/* What was anchored before a restore that is known of is not held against the rows. */
static enum result leave_older_out(const struct client *c, struct anchors *anchors) {
        char text[MOMENT_TEXT_MAX];
        const char *since;
        enum result result = when_parse(c, "anchors-since", -1, text, &since);
        size_t kept = 0;
        int64_t from;

        if (result != DONE || !since || moment_parse(since, &from, NULL) < 0)
                return result;
        for (size_t i = 0; i < anchors->count; i++)
                if (anchors->list[i].at >= from)
                        anchors->list[kept++] = anchors->list[i];
        anchors->count = kept;
        return DONE;
}

/* ---- verify: rows ---- */

static enum result row_read(const json_t *object, struct audit_row *ret) {
        *ret = (struct audit_row){ .number = json_integer_value(
                                           json_object_get(object, "number")) };
        if (api_time(object, "at", &ret->at) < 0 || hash_read(object, "hash", ret->hash) < 0)
                return bad_answer();
        for (int i = 0; i < AUDIT_TEXT_COUNT; i++) {
                const json_t *text = json_object_get(object, audit_text_name(i));

                if (!json_is_string(text))
                        return bad_answer();
                ret->text[i] = BYTES(json_string_value(text), json_string_length(text));
        }
        return DONE;
}

static enum result verify_page(struct client *c, const json_t *page, void *data, bool *go_on) {
        struct verifying *v = data;
        const json_t *each;
        size_t i;

        (void) c, (void) go_on;
        json_array_foreach(json_object_get(page, "audit"), i, each) {
                struct audit_row row;
                enum result result = row_read(each, &row);

                if (result != DONE)
                        return result;
                if (v->rows++ == 0)
                        v->newest = row.number;
                audit_verifier_row(v->verifier, &row);
        }
        show_progress(v);
        return DONE;
}

static const char *behind_text(int64_t rows, char *out, size_t size) {
        if (rows == 0)
                return "that is all of them";
        (void) snprintf(out, size, "the %" PRId64 " newest not yet", rows);
        return out;
}

static void put_verdict(const struct audit_verdict *verdict) {
        char at[MOMENT_TEXT_MAX], behind[64];

        if (verdict->findings > SHOWN_MAX)
                put(TONE_BAD, "and %" PRIu64 " more", verdict->findings - SHOWN_MAX);
        if (verdict->findings == 0)
                put(TONE_GOOD, "%" PRIu64 " rows: none changed, none missing", verdict->rows);
        else
                put(TONE_BAD, "%" PRIu64 " rows: the audit is not as cad wrote it", verdict->rows);
        if (verdict->anchored > 0)
                put(TONE_PLAIN, "anchored with the signer up to row %" PRId64 ", at %s: %s",
                    verdict->anchored, moment_format(verdict->anchored_at, at),
                    behind_text(verdict->newest - verdict->anchored, behind, sizeof(behind)));
        else if (verdict->newest > 0)
                put(TONE_WARN, "none of them is anchored with the signer");
}

static enum result put_verdict_json(const struct verifying *v,
                                    const struct audit_verdict *verdict) {
        char at[MOMENT_TEXT_MAX];
        CAD_AUTO(json_free)
        json_t *document = json_pack(
                "{s:b, s:I, s:I, s:I, s:I, s:s?, s:I, s:O}", "ok", verdict->findings == 0, "rows",
                (json_int_t) verdict->rows, "newest", (json_int_t) verdict->newest, "anchored",
                (json_int_t) verdict->anchored, "not_anchored",
                (json_int_t) (verdict->newest - verdict->anchored), "anchored_at",
                verdict->anchored ? moment_format(verdict->anchored_at, at) : NULL, "fault_count",
                (json_int_t) verdict->findings, "faults", v->found);

        if (!document)
                return fail(REFUSED, "out of memory");
        put_json(document);
        return DONE;
}

static enum result verify_rows(struct client *c, struct verifying *v) {
        CAD_AUTO(buffer_done) struct buffer base = { 0 };
        struct audit_verdict verdict;
        CAD_AUTO(free_text) char *next = NULL;
        enum result result;

        buffer_text(&base, "/v1/audit?limit=" PAGE);
        result = api_pages(c, &base, verify_page, v, &next);
        clear_progress(v);
        if (result != DONE)
                return result;
        audit_verifier_end(v->verifier, &verdict);
        if (c->json)
                result = put_verdict_json(v, &verdict);
        else
                put_verdict(&verdict);
        return result != DONE || verdict.findings == 0 ? result : REFUSED;
}

/* Anchors and end before the first row: what they tell of is there by then. */
static enum result verify_run(struct client *c) {
        CAD_AUTO(json_free) json_t *state = NULL, *found = c->json ? json_array() : NULL;
        CAD_AUTO(anchors_done) struct anchors anchors = { 0 };
        CAD_AUTO(audit_verifier_free) struct audit_verifier *verifier = NULL;
        struct verifying v = { .client = c, .found = found };
        uint8_t begin[AUDIT_HASH_SIZE];
        enum result result = api_get(c, "/v1/audit/anchors", &state);

        if (result != DONE)
                return result;
        if (hash_read(state, "begin", begin) < 0)
                return bad_answer();
        result = option_given(c, "signer-log") ? anchors_of_files(c, &anchors)
                                               : anchors_of_answer(state, &anchors);
        if (result == DONE)
                result = leave_older_out(c, &anchors);
        if (result != DONE)
                return result;
        verifier = audit_verifier_new(
                begin,
                json_integer_value(json_object_get(json_object_get(state, "head"), "number")),
                anchors.list, anchors.count, on_found, &v);
        if (!verifier)
                return fail(REFUSED, "out of memory");
        v.verifier = verifier;
        return verify_rows(c, &v);
}

static const struct option verify_options[] = {
        { "signer-log", "FILE",
          "take the anchors from the signer's log itself (signer/log, as root); may be repeated for log.1, …",
          true },
        { "anchors-since", "WHEN",
          "leave older anchors out: after a restore that you know of. 2027-01-31, a time, or 30d ago" },
        { 0 },
};

const struct command cmd_audit_verify = {
        .group = "audit",
        .name = "verify",
        .args = "",
        .help = "Whether the record is whole: nothing changed, missing, cut off or put back",
        .more = "Each row's hash is made of the row and of the hash before it. Every minute the signer writes the newest hash into "
                "its own log, where cad cannot change it. All rows are read and hashed anew, and held against these anchors. It "
                "ends with 1 where a row was changed or is missing, where rows were cut off at the end, or where an older copy "
                "of the database was put back, and says which rows. A backup that you restored yourself is an older copy, too: "
                "--anchors-since then leaves out what was anchored before.",
        .options = verify_options,
        .run = verify_run,
};
