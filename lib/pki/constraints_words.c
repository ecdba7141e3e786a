/*
 * Name constraints in words, for people: what a CA is for, and why a name is refused. Nothing is decided here.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "constraints_parts.h"
#include "lib/base/text.h"

#define DESCRIBED_MAX \
        160 /* bytes with NUL of the permitted names in an error: there is a sentence around them */

static const char *subtree_text(const struct subtree *s, char *out, size_t size) {
        char address[INET6_ADDRSTRLEN];
        size_t half = s->base.size / 2;
        unsigned bits = 0;

        if (s->type != SAN_IP)
                return s->base.size ? text_printable(s->base, out, size)
                                    : text_printable(BYTES_LITERAL("*"), out, size);
        for (size_t i = 0; i < 8 * half; i++)
                bits += s->base.data[half + i / 8] >> (7 - i % 8) & 1;
        (void) snprintf(out, size, "%s/%u",
                        inet_ntop(half == 4 ? AF_INET : AF_INET6, s->base.data, address,
                                  sizeof(address)),
                        bits);
        return out;
}

size_t constraints_count(const struct name_constraints *nc, enum constraints_list which) {
        return nc->lists[which].count;
}

const char *constraints_text(const struct name_constraints *nc, enum constraints_list which,
                             size_t i, enum san_type *ret_type, char *out, size_t size) {
        *ret_type = nc->lists[which].items[i].type;
        return subtree_text(&nc->lists[which].items[i], out, size);
}

/* Whether an entry says nothing new to a person: `.lan` behind `lan`, an excluded address family. */
static bool is_silent(const struct name_constraints *nc, enum constraints_list which, size_t i) {
        const struct subtrees *list = &nc->lists[which];
        struct bytes base = list->items[i].base;

        if (list->items[i].type == SAN_IP)
                return which == CONSTRAINTS_EXCLUDED && base.data[base.size / 2] == 0;
        if (!subtree_is_of_domains(list->items[i].type) || base.size < 2 || base.data[0] != '.')
                return false;
        for (size_t k = 0; k < i; k++)
                if (list->items[k].type == list->items[i].type &&
                    bytes_equal(list->items[k].base, BYTES(base.data + 1, base.size - 1)))
                        return true;
        return false;
}

/* "home.arpa, internal, lan": the entries of one kind, each domain once. */
static void list_entries(const struct name_constraints *nc, enum constraints_list which,
                         enum san_type type, struct buffer *out) {
        const struct subtrees *list = &nc->lists[which];
        char text[SAN_TEXT_MAX];
        bool first = true;

        for (size_t i = 0; i < list->count; i++) {
                if (list->items[i].type != type || is_silent(nc, which, i))
                        continue;
                buffer_text(out, first ? "" : ", ");
                buffer_text(out, subtree_text(&list->items[i], text, sizeof(text)));
                first = false;
        }
}

/* How each kind is talked about; the order of constraints_describe(). */
static const struct words {
        enum san_type type;
        const char *noun, *at, *below, *way_out;
} words[] = {
        { SAN_DNS, "names", "", " and what is below them", "--permit-dns DOMAIN" },
        { SAN_IP, "addresses", "", "", "--permit-ip BLOCK" },
        { SAN_EMAIL, "e-mail addresses", " at", " and what is below them",
          "--permit-email DOMAIN" },
        { SAN_URI, "URIs", " at", " and what is below them", "--permit-dns DOMAIN" },
};

static const struct words *words_of(enum san_type type) {
        for (size_t i = 1; i < ARRAY_SIZE(words); i++)
                if (words[i].type == type)
                        return &words[i];
        return &words[0];
}

static bool like_dns(const struct name_constraints *nc, enum san_type type) {
        CAD_AUTO(buffer_done) struct buffer dns = { 0 };
        CAD_AUTO(buffer_done) struct buffer other = { 0 };

        if (type == SAN_DNS || !constraints_has_permitted(nc, SAN_DNS, 0) ||
            constraints_excludes_all(nc, SAN_DNS))
                return false;
        list_entries(nc, CONSTRAINTS_PERMITTED, SAN_DNS, &dns);
        list_entries(nc, CONSTRAINTS_PERMITTED, type, &other);
        return bytes_equal(buffer_bytes(&dns), buffer_bytes(&other));
}

/* One clause about one kind: what it is for, or that there is none, or that it is free. */
static void describe_kind(const struct name_constraints *nc, const struct words *w,
                          struct buffer *out) {
        CAD_AUTO(buffer_done) struct buffer excluded = { 0 };
        bool any = !constraints_any(nc, w->type), none = constraints_excludes_all(nc, w->type);

        if (any || none) {
                buffer_format(out, "%s %s", any ? "any" : "no", w->noun);
                return;
        }
        if (like_dns(nc, w->type)) {
                buffer_format(out, "%s%s the same names", w->noun, w->at);
        } else if (constraints_has_permitted(nc, w->type, 0)) {
                buffer_format(out, "the %s%s ", w->noun, w->at);
                list_entries(nc, CONSTRAINTS_PERMITTED, w->type, out);
                buffer_text(out, w->below);
        } else {
                buffer_format(out, "any %s", w->noun);
        }
        list_entries(nc, CONSTRAINTS_EXCLUDED, w->type, &excluded);
        if (excluded.size)
                buffer_format(out, ", but not %s", buffer_string(&excluded));
}

void constraints_describe(const struct name_constraints *nc, struct buffer *out) {
        if (constraints_empty(nc)) {
                buffer_text(out, "any name at all: this CA is not constrained");
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                buffer_text(out, i ? "; " : "");
                describe_kind(nc, &words[i], out);
        }
}

int constraints_refuse(const struct name_constraints *nc, const struct san *name,
                       struct error *err) {
        CAD_AUTO(buffer_done) struct buffer entries = { 0 };
        char text[SAN_TEXT_MAX], shown[128], list[DESCRIBED_MAX];

        (void) text_printable(bytes_of(san_text(name, text, sizeof(text))), shown, sizeof(shown));
        if (constraints_excludes_all(nc, name->type) ||
            !constraints_has_permitted(nc, name->type, 0))
                return error_set(
                        err, ERR_NAME_NOT_PERMITTED,
                        "'%s' is outside the names of this CA, which issues for no %s; a CA for such names is "
                        "made by cad init %s",
                        shown, san_type_name(name->type), words_of(name->type)->way_out);
        list_entries(nc, CONSTRAINTS_PERMITTED, name->type, &entries);
        return error_set(
                err, ERR_NAME_NOT_PERMITTED,
                "'%s' is outside the names of this CA: it issues for %s%s; names of your own are added by cad "
                "init %s, which chooses them for the CA's whole life",
                shown, text_printable(buffer_bytes(&entries), list, sizeof(list)),
                name->type == SAN_IP ? "" : " and what is below them",
                words_of(name->type)->way_out);
}

int constraints_refuse_excluded(const struct san *name, const struct subtree *by,
                                struct error *err) {
        char text[SAN_TEXT_MAX], shown[128], base[SAN_TEXT_MAX], by_shown[128];

        (void) text_printable(bytes_of(san_text(name, text, sizeof(text))), shown, sizeof(shown));
        (void) text_printable(bytes_of(subtree_text(by, base, sizeof(base))), by_shown,
                              sizeof(by_shown));
        return error_set(
                err, ERR_NAME_NOT_PERMITTED,
                "'%s' is outside the names of this CA, which excludes '%s'; leave the name out",
                shown, by_shown);
}
