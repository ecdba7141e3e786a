/*
 * cactl status: the CA at a glance.
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "cactl.h"
#include "http.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "output.h"
#include "words.h"

#define NEXT_SHOWN 5    /* certificates that expire next */
#define NEXT_PAGE "100" /* and so many are looked at */

/* The first of these that holds any certificate is shown, so that it is the nearest ones that are. */
static const int64_t windows_s[] = {
        INT64_C(7) * 86400,   INT64_C(30) * 86400,  INT64_C(100) * 86400,
        INT64_C(400) * 86400, INT64_C(830) * 86400,
};

static enum result fetch_window(struct client *c, int64_t within_s, json_t **ret) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        char before[MOMENT_TEXT_MAX];

        buffer_text(&path, "/v1/certificates");
        query_add(&path, "status", "valid");
        query_add(&path, "expires_before", moment_format(c->now + within_s, before));
        query_add(&path, "limit", NEXT_PAGE);
        return api_try_get(c, buffer_string(&path), /* status_too= */ 0, ret);
}

/* *ret is NULL where this caller may not list certificates. */
static enum result fetch_next(struct client *c, json_t **ret) {
        for (size_t i = 0; i < ARRAY_SIZE(windows_s); i++) {
                enum result result = fetch_window(c, windows_s[i], ret);

                if (result != DONE || !*ret ||
                    json_array_size(json_object_get(*ret, "certificates")))
                        return result;
                if (i + 1 < ARRAY_SIZE(windows_s))
                        *ret = json_free(*ret);
        }
        return DONE;
}

static enum tone tone_of_check(const char *status) {
        if (text_equal(status, "ok"))
                return TONE_GOOD;
        return text_equal(status, "warning") ? TONE_WARN : TONE_BAD;
}

/* What is in order is named in one line; what is not has a line of its own, with what the daemon says of it. */
static void show_health(const json_t *health) {
        CAD_AUTO(buffer_done) struct buffer good = { 0 };
        const char *status = api_text(health, "status");
        const json_t *check;
        size_t i;

        json_array_foreach(json_object_get(health, "checks"), i,
                           check) if (text_equal(api_text(check, "status"), "ok"))
                buffer_format(&good, "%s%s", good.size ? ", " : "", api_text(check, "name"));
        fact("health", tone_of_check(status), "%s%s%s%s", status, good.size ? " (" : "",
             buffer_string(&good), good.size ? ")" : "");
        json_array_foreach(json_object_get(health, "checks"), i, check) {
                const char *state = api_text(check, "status");

                if (!text_equal(state, "ok"))
                        fact(state, tone_of_check(state), "%s%s%s", api_text(check, "name"),
                             *api_text(check, "detail") ? ": " : "", api_text(check, "detail"));
        }
}

static int by_end(const void *a, const void *b) {
        /* RFC 3339 in UTC sorts as text */
        return strcmp(api_text(*(const json_t *const *) a, "not_after"),
                      api_text(*(const json_t *const *) b, "not_after"));
}

static void show_next_row(const struct client *c, const json_t *row, bool first) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        char words[WORDS_MAX];
        int64_t end;

        if (api_time(row, "not_after", &end) == 0)
                fact(first ? "expires next" : "",
                     end < c->now + windows_s[0] ? TONE_WARN : TONE_PLAIN, "%s: %s, serial %s",
                     time_in_words(end, c->now, words), api_texts(row, "names", &names),
                     api_text(row, "serial"));
}

static void show_next(const struct client *c, const json_t *next) {
        const json_t *array = json_object_get(next, "certificates");
        size_t count = json_array_size(array);
        const json_t **rows = count ? calloc(count, sizeof(const json_t *)) : NULL;

        if (!next)
                fact("expires next", TONE_DIM,
                     "only a reader may see (see [Access] in cad.conf(5))");
        else if (count == 0)
                fact("expires next", TONE_DIM, "nothing: no valid certificate was issued yet");
        for (size_t i = 0; rows && i < count; i++)
                rows[i] = json_array_get(array, i);
        if (rows)
                qsort(rows, count, sizeof(const json_t *), by_end);
        for (size_t i = 0; rows && i < count && i < NEXT_SHOWN; i++)
                show_next_row(c, rows[i], i == 0);
        if (count > NEXT_SHOWN)
                fact("", TONE_DIM,
                     "and %s%zu more: cactl cert list --status valid --expires-before %s",
                     *api_text(next, "next") ? "over " : "", count - NEXT_SHOWN, "30d");
        free(rows);
}

static void show(const struct client *c, const json_t *health, const json_t *ca,
                 const json_t *next) {
        put(TONE_STRONG, "%s", api_text(ca, "name"));
        show_health(health);
        words_root(c, ca);
        words_issuers(c, ca);
        words_constraints(ca);
        show_next(c, next);
        fact("cad", TONE_PLAIN, "%s at %s", api_text(health, "version"), http_place(c));
}

static enum result run(struct client *c) {
        CAD_AUTO(json_free) json_t *health = NULL, *ca = NULL, *next = NULL;
        enum result result = api_try_get(c, "/v1/health", /* status_too= */ 503, &health);

        if (result == DONE && !health)
                return fail(REFUSED, "%s does not tell its health: is it cad's?", http_place(c));
        if (result == DONE)
                result = api_get(c, "/v1/ca", &ca);
        if (result == DONE)
                result = fetch_next(c, &next);
        if (result != DONE)
                return result;
        if (c->json) {
                CAD_AUTO(json_free)
                json_t *all = json_pack("{s:O, s:O, s:o}", "health", health, "ca", ca,
                                        "expires_next",
                                        next ? json_incref(json_object_get(next, "certificates"))
                                             : json_null());

                put_json(all);
        } else if (!c->quiet) {
                show(c, health, ca, next);
        }
        if (text_equal(api_text(health, "status"), "ok"))
                return DONE;
        return fail(REFUSED, "the CA is not well: see above, and cad's log");
}

const struct command cmd_status = {
        .name = "status",
        .args = "",
        .help = "The CA at a glance: health, chain, what expires next",
        .more = "Ends with 1 where the CA is not well, so that a script may ask with --quiet.",
        .run = run,
};
