/*
 * Grant: see grant.h. Each name of a certificate is held against the grant by itself, as octets of its kind: nothing of a
 * caller's is ever a pattern.
 */
#include "daemon/authority/grant.h"

#include <string.h>

#define SUFFIX_MARK "*."

void grant_names_done(struct grant_names *names) {
        san_list_done(&names->exact);
        san_list_done(&names->suffixes);
}

static bool is_suffix(const char *text) {
        return strncmp(text, SUFFIX_MARK, strlen(SUFFIX_MARK)) == 0;
}

static int refuse_suffix(const char *text, struct error *err) {
        return error_set(
                err, ERR_NAME_INVALID,
                "'%.200s' is no name of a token: write *.suffix with a DNS name behind the first dot",
                text);
}

/* "*.sensors.lan": the suffix has to be a DNS name, and no wildcard once more. */
static int add_suffix(struct grant_names *names, const char *text, struct error *err) {
        CAD_AUTO(san_list_done) struct san_list one = { 0 };

        if (san_list_add_text(&one, text + strlen(SUFFIX_MARK), err) < 0)
                return -1;
        if (one.items[0].type != SAN_DNS || one.items[0].value.data[0] == '*')
                return refuse_suffix(text, err);
        return san_list_add(&names->suffixes, SAN_DNS, one.items[0].value, err);
}

int grant_names_add(struct grant_names *names, const char *text, struct error *err) {
        if (names->exact.count + names->suffixes.count == GRANT_NAMES_MAX)
                return error_set(err, ERR_NAMES_TOO_MANY, "a token has %d names at most",
                                 GRANT_NAMES_MAX);
        return is_suffix(text) ? add_suffix(names, text, err)
                               : san_list_add_text(&names->exact, text, err);
}

static void append_lines(const struct san_list *list, const char *mark, const char *gap,
                         struct buffer *out) {
        char text[SAN_TEXT_MAX];

        for (size_t i = 0; i < list->count; i++)
                buffer_format(out, "%s%s%s", out->size ? gap : "", mark,
                              san_text(&list->items[i], text, sizeof(text)));
}

void grant_names_lines(const struct grant_names *names, struct buffer *out) {
        append_lines(&names->exact, "", "\n", out);
        append_lines(&names->suffixes, SUFFIX_MARK, "\n", out);
}

/* ---- could it ever work? ---- */

static int check_one(const char *text, const struct profile *profile,
                     const struct name_constraints *constraints, struct error *err) {
        CAD_AUTO(grant_names_done) struct grant_names one = { 0 };
        const struct san_list *list;

        if (grant_names_add(&one, text, err) < 0)
                return -1;
        list = is_suffix(text) ? &one.suffixes : &one.exact;
        if (profile_check_names(profile, list, "names", err) < 0)
                return -1;
        return constraints_check(constraints, &list->items[0], err);
}

int grant_names_check(const char *const *given, size_t count, const struct profile *profile,
                      const struct name_constraints *constraints, struct error *err) {
        if (count == 0)
                return error_set_field(err, ERR_NAMES_MISSING, "names",
                                       "a token is for names: say which, or *.suffix");
        for (size_t i = 0; i < count; i++)
                if (check_one(given[i], profile, constraints, err) < 0) {
                        err->field[0] = '\0'; /* of a list of one */
                        return error_name_field(err, "names[%zu]", i);
                }
        return 0;
}

/* ---- is it inside? ---- */

/* A whole name in front of ".suffix". The "*" of a wildcard certificate is none. */
static bool below(const struct bytes name, struct bytes suffix) {
        size_t front = name.size - suffix.size;

        return name.size > suffix.size + 1 && name.data[0] != '*' && name.data[front - 1] == '.' &&
                memcmp(name.data + front, suffix.data, suffix.size) == 0;
}

bool grant_covers(const struct grant_names *names, const struct san *name) {
        if (san_list_contains(&names->exact, name))
                return true;
        if (name->type != SAN_DNS)
                return false;
        for (size_t i = 0; i < names->suffixes.count; i++)
                if (below(name->value, names->suffixes.items[i].value))
                        return true;
        return false;
}

static int refuse(const struct grant_names *names, const struct san *name, const char *field,
                  struct error *err) {
        CAD_AUTO(buffer_done) struct buffer all = { 0 };
        char text[SAN_TEXT_MAX];
        bool wildcard = name->type == SAN_DNS && name->value.data[0] == '*';

        append_lines(&names->exact, "", ", ", &all);
        append_lines(&names->suffixes, SUFFIX_MARK, ", ", &all);
        (void) san_text(name, text, sizeof(text));
        (void) error_set(err, ERR_FORBIDDEN, "the token is not for '%.200s'%s. It is for %s", text,
                         wildcard ? ", since no token is for a wildcard" : "", buffer_string(&all));
        return error_name_field(err, "%s[%u]", field, name->place);
}

int grant_covers_all(const struct grant_names *names, const struct san_list *wanted,
                     const char *field, struct error *err) {
        for (size_t i = 0; i < wanted->count; i++)
                if (!grant_covers(names, &wanted->items[i]))
                        return refuse(names, &wanted->items[i], field, err);
        return 0;
}
