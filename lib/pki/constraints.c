/*
 * Name constraints: a set of subtrees, written, read, and asked.
 *
 * What this permits must be no more than what every verifier permits: where they differ, the narrowest
 * reading is taken, and the encoding is the one that all of them read alike.
 */
#include "constraints.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"

#define DESCRIBED_MAX \
        160 /* bytes with NUL of the permitted names in an error: there is a sentence around them */
#define CIDR_TEXT_MAX (INET6_ADDRSTRLEN + 4)

/*
 * A subtree. The base is as in the DER, in lower case: DNS `lan` (and below), `.lan` (below alone); e-mail and URI
 * `lan` (that host), `.lan` (below it); e-mail also a whole address; "" is everything. IP: address and mask.
 */
struct subtree {
        enum san_type type;
        struct bytes base;
};

struct subtrees {
        struct subtree *items;
        size_t count;
};

struct name_constraints {
        struct subtrees lists[2]; /* by enum constraints_list */
};

static bool is_domain_kind(enum san_type type) {
        return type == SAN_DNS || type == SAN_EMAIL || type == SAN_URI;
}

struct name_constraints *constraints_new(void) {
        return calloc(1, sizeof(struct name_constraints));
}

struct name_constraints *constraints_free(struct name_constraints *nc) {
        if (!nc)
                return NULL;
        for (size_t l = 0; l < ARRAY_SIZE(nc->lists); l++) {
                for (size_t i = 0; i < nc->lists[l].count; i++)
                        free((void *) (uintptr_t) nc->lists[l].items[i].base.data);
                free(nc->lists[l].items);
        }
        free(nc);
        return NULL;
}

bool constraints_empty(const struct name_constraints *nc) {
        return nc->lists[CONSTRAINTS_PERMITTED].count + nc->lists[CONSTRAINTS_EXCLUDED].count == 0;
}

static bool subtree_equal(const struct subtree *a, const struct subtree *b) {
        return a->type == b->type && bytes_equal(a->base, b->base);
}

static int add(struct name_constraints *nc, enum constraints_list which, enum san_type type,
               struct bytes base, struct error *err) {
        struct subtrees *list = &nc->lists[which];
        struct subtree new = { .type = type, .base = base }, *items;
        uint8_t *copy;

        for (size_t i = 0; i < list->count; i++)
                if (subtree_equal(&list->items[i], &new))
                        return 0;
        if (nc->lists[0].count + nc->lists[1].count == CONSTRAINTS_MAX)
                return error_set(
                        err, ERR_NAME_INVALID,
                        "more than %d name constraints; permit a domain above instead of many below it",
                        CONSTRAINTS_MAX);
        items = realloc(list->items, (list->count + 1) * sizeof(*items));
        if (!items)
                return error_no_memory(err);
        list->items = items;
        copy = malloc(base.size + 1);
        if (!copy)
                return error_no_memory(err);
        if (base.size)
                memcpy(copy, base.data, base.size);
        copy[base.size] = '\0';
        new.base.data = copy;
        items[list->count++] = new;
        return 0;
}

struct name_constraints *constraints_copy(const struct name_constraints *nc) {
        CAD_AUTO(constraints_free) struct name_constraints *copy = constraints_new();

        if (!copy)
                return NULL;
        for (unsigned l = 0; l < ARRAY_SIZE(nc->lists); l++)
                for (size_t i = 0; i < nc->lists[l].count; i++)
                        if (add(copy, l, nc->lists[l].items[i].type, nc->lists[l].items[i].base,
                                /* err= */ NULL) < 0)
                                return NULL;
        return CAD_TAKE(copy);
}

bool constraints_equal(const struct name_constraints *a, const struct name_constraints *b) {
        for (size_t l = 0; l < ARRAY_SIZE(a->lists); l++) {
                if (a->lists[l].count != b->lists[l].count)
                        return false;
                for (size_t i = 0; i < a->lists[l].count; i++)
                        if (!subtree_equal(&a->lists[l].items[i], &b->lists[l].items[i]))
                                return false;
        }
        return true;
}

/* ---- adding ---- */

/* A domain as a person writes it, in canonical form; @ret has SAN_TEXT_MAX bytes. */
static int domain_of_text(const char *domain, char *ret, struct error *err) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };

        if (san_list_add_text(&list, domain, err) < 0)
                return -1;
        if (list.items[0].type != SAN_DNS || list.items[0].value.data[0] == '*')
                return error_set(
                        err, ERR_NAME_INVALID,
                        "'%s' is no domain: give a name such as home.lan; what is below it is permitted too",
                        domain);
        memcpy(ret, list.items[0].value.data, list.items[0].value.size);
        ret[list.items[0].value.size] = '\0';
        return 0;
}

/* A host and what is below it: two entries, since RFC 5280 gives e-mail and URI one form for each. */
static int permit_hosts(struct name_constraints *nc, enum san_type type, const char *domain,
                        struct error *err) {
        char below[SAN_TEXT_MAX + 1];

        (void) snprintf(below, sizeof(below), ".%s", domain);
        if (add(nc, CONSTRAINTS_PERMITTED, type, bytes_of(domain), err) < 0)
                return -1;
        return add(nc, CONSTRAINTS_PERMITTED, type, bytes_of(below), err);
}

/* DNS entries have no leading dot: RFC 5280 knows none there, and `lan` already has what is below it. */
int constraints_permit_dns(struct name_constraints *nc, const char *domain, struct error *err) {
        char canonical[SAN_TEXT_MAX];

        if (domain_of_text(domain, canonical, err) < 0 ||
            add(nc, CONSTRAINTS_PERMITTED, SAN_DNS, bytes_of(canonical), err) < 0 ||
            permit_hosts(nc, SAN_EMAIL, canonical, err) < 0)
                return -1;
        return permit_hosts(nc, SAN_URI, canonical, err);
}

int constraints_permit_email(struct name_constraints *nc, const char *domain, struct error *err) {
        char canonical[SAN_TEXT_MAX];

        if (domain_of_text(domain, canonical, err) < 0)
                return -1;
        return permit_hosts(nc, SAN_EMAIL, canonical, err);
}

static void mask_of(unsigned bits, uint8_t *mask, size_t size) {
        for (size_t i = 0; i<size; i++, bits = bits> 8 ? bits - 8 : 0)
                mask[i] = bits >= 8 ? 0xff : (uint8_t) (0xff00u >> bits);
}

static int bad_cidr(struct error *err, const char *cidr) {
        return error_set(
                err, ERR_NAME_INVALID,
                "'%s' is no block of addresses: write it as 192.168.0.0/16, fd00::/8, or one address",
                cidr);
}

int constraints_permit_ip(struct name_constraints *nc, const char *cidr, struct error *err) {
        const char *slash = strchr(cidr, '/');
        size_t length = slash ? (size_t) (slash - cidr) : strlen(cidr);
        char address[INET6_ADDRSTRLEN], network[INET6_ADDRSTRLEN];
        uint8_t base[32];
        uint64_t bits;
        size_t size;
        int family;

        if (length >= sizeof(address))
                return bad_cidr(err, cidr);
        memcpy(address, cidr, length);
        address[length] = '\0';
        family = strchr(address, ':') ? AF_INET6 : AF_INET;
        size = family == AF_INET6 ? 16 : 4;
        bits = 8 * size;
        if (inet_pton(family, address, base) != 1 ||
            (slash && text_to_u64(slash + 1, 8 * size, &bits) < 0))
                return bad_cidr(err, cidr);
        mask_of((unsigned) bits, base + size, size);
        for (size_t i = 0; i < size; i++) {
                if (!(base[i] & ~base[size + i]))
                        continue;
                for (; i < size; i++)
                        base[i] &= base[size + i];
                return error_set(err, ERR_NAME_INVALID,
                                 "'%s' has bits set behind its first %u; did you mean %s/%u?", cidr,
                                 (unsigned) bits, inet_ntop(family, base, network, sizeof(network)),
                                 (unsigned) bits);
        }
        return add(nc, CONSTRAINTS_PERMITTED, SAN_IP, BYTES(base, 2 * size), err);
}

int constraints_add_defaults(struct name_constraints *nc, struct error *err) {
        static const char *const domains[] = {
                "home.arpa", /* RFC 8375 */
                "internal",  /* ICANN, 2024 */
                "lan",       "local", "localdomain", "localhost", "test",
        };
        static const char *const blocks[] = {
                "10.0.0.0/8",     "172.16.0.0/12", "192.168.0.0/16", /* RFC 1918 */
                "169.254.0.0/16",                                    /* RFC 3927 */
                "127.0.0.0/8",    "100.64.0.0/10", /* RFC 6598, where VPNs live too */
                "fc00::/7",                        /* RFC 4193 */
                "fe80::/10",      "::1/128",
        };

        for (size_t i = 0; i < ARRAY_SIZE(domains); i++)
                if (constraints_permit_dns(nc, domains[i], err) < 0)
                        return -1;
        for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
                if (constraints_permit_ip(nc, blocks[i], err) < 0)
                        return -1;
        return 0;
}

/* @ip_size: 8 or 32 for one family, 0 for any entry of @type */
static bool has_permitted(const struct name_constraints *nc, enum san_type type, size_t ip_size) {
        const struct subtrees *list = &nc->lists[CONSTRAINTS_PERMITTED];

        for (size_t i = 0; i < list->count; i++)
                if (list->items[i].type == type &&
                    (!ip_size || list->items[i].base.size == ip_size))
                        return true;
        return false;
}

/* IPv4 and IPv6 each: GnuTLS takes a family without a permitted block for unconstrained, OpenSSL does not. */
static int close_ip(struct name_constraints *nc, struct error *err) {
        static const uint8_t zeros[32];
        bool v4 = has_permitted(nc, SAN_IP, 8), v6 = has_permitted(nc, SAN_IP, 32);

        if (!v4 && add(nc, CONSTRAINTS_EXCLUDED, SAN_IP, BYTES(zeros, 8), err) < 0)
                return -1;
        return v6 ? 0 : add(nc, CONSTRAINTS_EXCLUDED, SAN_IP, BYTES(zeros, 32), err);
}

/*
 * Excluding "" is everything to GnuTLS, NSS and Go, and for DNS to OpenSSL. For e-mail and URI OpenSSL
 * compares it with the host, and so excludes nothing (tried with 3.0); there, permitting alone a domain that
 * never is (`invalid`, RFC 6761 §6.4) and excluding that again leaves nothing.
 */
static int close_hosts(struct name_constraints *nc, enum san_type type, struct error *err) {
        static const struct bytes never = { (const uint8_t *) "invalid", 7 };

        if (has_permitted(nc, type, 0))
                return 0;
        if (add(nc, CONSTRAINTS_EXCLUDED, type, BYTES_NONE, err) < 0 ||
            add(nc, CONSTRAINTS_EXCLUDED, type, never, err) < 0)
                return -1;
        return add(nc, CONSTRAINTS_PERMITTED, type, never, err);
}

int constraints_close(struct name_constraints *nc, struct error *err) {
        if (!has_permitted(nc, SAN_DNS, 0) &&
            add(nc, CONSTRAINTS_EXCLUDED, SAN_DNS, BYTES_NONE, err) < 0)
                return -1;
        if (close_hosts(nc, SAN_EMAIL, err) < 0 || close_hosts(nc, SAN_URI, err) < 0)
                return -1;
        return close_ip(nc, err);
}

/* ---- DER: RFC 5280 §4.2.1.10 ---- */

static void put_subtrees(const struct subtrees *list, uint8_t tag, struct der_writer *w) {
        size_t mark = der_mark(w);

        if (list->count == 0)
                return;
        for (size_t i = list->count; i > 0; i--) {
                size_t subtree = der_mark(w);

                der_put(w, (uint8_t) DER_CONTEXT(list->items[i - 1].type), list->items[i - 1].base);
                der_wrap(w, DER_SEQUENCE,
                         subtree); /* minimum 0 is the default, so DER leaves it out */
        }
        der_wrap(w, tag, mark);
}

void constraints_put_der(const struct name_constraints *nc, struct der_writer *w) {
        size_t mark = der_mark(w);

        if (constraints_empty(nc))
                return;
        put_subtrees(&nc->lists[CONSTRAINTS_EXCLUDED], DER_CONTEXT_CONSTRUCTED(1), w);
        put_subtrees(&nc->lists[CONSTRAINTS_PERMITTED], DER_CONTEXT_CONSTRUCTED(0), w);
        der_wrap(w, DER_SEQUENCE, mark);
}

static int unreadable(struct error *err, const char *what) {
        return error_set(err, ERR_CSR_MALFORMED, "the name constraints cannot be read: %s", what);
}

/* An address and a mask, as cad and every verifier take them: no holes in the mask, no bits of the address behind it. */
static const char *ip_base_fault(struct bytes base) {
        size_t size = base.size / 2;
        bool ended = false;

        if (base.size != 8 && base.size != 32)
                return "an address block has neither 8 nor 32 octets";
        for (size_t i = 0; i < 8 * size; i++) {
                bool bit = base.data[size + i / 8] >> (7 - i % 8) & 1;

                if (bit && ended)
                        return "an address block has a mask with holes";
                ended |= !bit;
        }
        for (size_t i = 0; i < size; i++)
                if (base.data[i] & ~base.data[size + i])
                        return "an address block has bits set behind its mask";
        return NULL;
}

/* A base other than an address block in canonical form: "", a domain with or without a leading dot, an e-mail address. */
static int domain_base(enum san_type type, struct bytes base, char *ret, size_t *ret_size,
                       struct error *err) {
        size_t dot = base.size && base.data[0] == '.';
        struct error inner = { 0 };

        *ret_size = base.size;
        if (base.size == 0)
                return 0;
        if (type == SAN_EMAIL && memchr(base.data, '@', base.size)) {
                CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };

                if (san_list_add(&list, SAN_EMAIL, base, &inner) < 0)
                        return inner.code == ERR_NO_MEMORY ? error_no_memory(err)
                                                           : unreadable(err, inner.text);
                memcpy(ret, list.items[0].value.data, base.size);
                return 0;
        }
        ret[0] = '.';
        if (dns_name_check(BYTES(base.data + dot, base.size - dot), /* allow_wildcard= */ false,
                           ret + dot, SAN_TEXT_MAX - dot, &inner) < 0)
                return unreadable(err, inner.text);
        return 0;
}

static int read_subtree(struct name_constraints *nc, enum constraints_list which,
                        struct der_reader subtree, struct error *err) {
        uint8_t tag = 0;
        struct bytes base = der_get_any(&subtree, &tag);
        enum san_type type = (enum san_type)(tag & 0x1f);
        char canonical[SAN_TEXT_MAX];
        const char *why;

        if (subtree.failed)
                return unreadable(err, "bad DER");
        if ((tag & 0xe0) != 0x80 || (!is_domain_kind(type) && type != SAN_IP))
                return unreadable(err, "they name a kind other than DNS, e-mail, URI and IP");
        if (!der_done(&subtree))
                return unreadable(err, "a subtree has a minimum or a maximum");
        if (nc->lists[0].count + nc->lists[1].count == CONSTRAINTS_MAX)
                return unreadable(err, "there are too many");
        if (type == SAN_IP) {
                why = ip_base_fault(base);
                return why ? unreadable(err, why) : add(nc, which, type, base, err);
        }
        if (domain_base(type, base, canonical, &base.size, err) < 0)
                return -1;
        base.data = (const uint8_t *) canonical;
        return add(nc, which, type, base, err);
}

static int read_subtrees(struct name_constraints *nc, enum constraints_list which,
                         struct der_reader *r, uint8_t tag, struct error *err) {
        struct der_reader list;

        if (!der_next_is(r, tag))
                return 0;
        list = der_enter(r, tag);
        if (!der_more(&list))
                return unreadable(err, "bad DER, or an empty list");
        while (der_more(&list)) {
                struct der_reader subtree = der_enter(&list, DER_SEQUENCE);

                if (read_subtree(nc, which, subtree, err) < 0)
                        return -1;
        }
        return 0;
}

int constraints_from_der(struct bytes der, struct name_constraints **ret, struct error *err) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = constraints_new();
        struct der_reader outer = der_reader(der);
        struct der_reader inner = der_enter(&outer, DER_SEQUENCE);

        if (!nc)
                return error_no_memory(err);
        if (read_subtrees(nc, CONSTRAINTS_PERMITTED, &inner, DER_CONTEXT_CONSTRUCTED(0), err) < 0 ||
            read_subtrees(nc, CONSTRAINTS_EXCLUDED, &inner, DER_CONTEXT_CONSTRUCTED(1), err) < 0)
                return -1;
        if (!der_done(&outer) || !der_done(&inner))
                return unreadable(err, "bad DER, or octets too many");
        if (constraints_empty(nc))
                return unreadable(err, "the SEQUENCE is empty, which RFC 5280 §4.2.1.10 forbids");
        *ret = CAD_TAKE(nc);
        return 0;
}

/* ---- deciding ---- */

static bool ends_with(struct bytes name, struct bytes tail) {
        return name.size >= tail.size &&
                bytes_equal(BYTES(name.data + name.size - tail.size, tail.size), tail);
}

/* Whether @name is below @domain, which may have its leading dot. */
static bool is_below(struct bytes name, struct bytes domain) {
        if (name.size <= domain.size || !ends_with(name, domain))
                return false;
        return domain.data[0] == '.' || name.data[name.size - domain.size - 1] == '.';
}

static bool matches_host(struct bytes host, struct bytes base) {
        return base.data[0] == '.' ? is_below(host, base) : bytes_equal(host, base);
}

static struct bytes email_domain(struct bytes email) {
        const uint8_t *at = memchr(email.data, '@', email.size);

        return at ? BYTES(at + 1, (size_t) (email.data + email.size - at) - 1) : BYTES_NONE;
}

static bool matches_email(struct bytes email, struct bytes base) {
        return memchr(base.data, '@', base.size) ? bytes_equal(email, base)
                                                 : matches_host(email_domain(email), base);
}

static bool matches_ip(struct bytes address, struct bytes base) {
        if (base.size != 2 * address.size)
                return false;
        for (size_t i = 0; i < address.size; i++)
                if ((address.data[i] ^ base.data[i]) & base.data[address.size + i])
                        return false;
        return true;
}

/* A wildcard `*.nas.lan` is below what nas.lan is, or is below. */
static bool matches(const struct san *name, const struct subtree *subtree) {
        if (name->type != subtree->type)
                return false;
        if (name->type == SAN_IP)
                return matches_ip(name->value, subtree->base);
        if (subtree->base.size == 0)
                return true;
        if (name->type == SAN_EMAIL)
                return matches_email(name->value, subtree->base);
        if (name->type == SAN_URI)
                return matches_host(san_uri_host(name->value), subtree->base);
        return bytes_equal(name->value, subtree->base) || is_below(name->value, subtree->base);
}

/* A wildcard covers an excluded name directly or further below its domain too, so it falls with it. */
static bool covers(const struct san *name, const struct subtree *excluded) {
        struct bytes parent;

        if (name->type != SAN_DNS || excluded->type != SAN_DNS || name->value.size < 3 ||
            name->value.data[0] != '*')
                return false;
        parent = BYTES(name->value.data + 1, name->value.size - 1); /* ".nas.lan" */
        return ends_with(excluded->base, parent);
}

static bool has_excluded(const struct name_constraints *nc, enum san_type type) {
        const struct subtrees *list = &nc->lists[CONSTRAINTS_EXCLUDED];

        for (size_t i = 0; i < list->count; i++)
                if (list->items[i].type == type)
                        return true;
        return false;
}

static bool is_constrained(const struct name_constraints *nc, enum san_type type) {
        return has_permitted(nc, type, 0) || has_excluded(nc, type);
}

/* ---- words ---- */

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

static bool excludes_all(const struct name_constraints *nc, enum san_type type) {
        const struct subtrees *list = &nc->lists[CONSTRAINTS_EXCLUDED];
        size_t families = 0;

        for (size_t i = 0; i < list->count; i++) {
                const struct subtree *s = &list->items[i];
                bool all = s->type == type && is_domain_kind(type) && s->base.size == 0;

                if (all)
                        return true;
                if (s->type == SAN_IP && type == SAN_IP && s->base.data[s->base.size / 2] == 0)
                        families++;
        }
        return families == 2;
}

/* Whether an entry says nothing new to a person: `.lan` behind `lan`, an excluded address family. */
static bool is_silent(const struct name_constraints *nc, enum constraints_list which, size_t i) {
        const struct subtrees *list = &nc->lists[which];
        struct bytes base = list->items[i].base;

        if (list->items[i].type == SAN_IP)
                return which == CONSTRAINTS_EXCLUDED && base.data[base.size / 2] == 0;
        if (!is_domain_kind(list->items[i].type) || base.size < 2 || base.data[0] != '.')
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

        if (type == SAN_DNS || !has_permitted(nc, SAN_DNS, 0) || excludes_all(nc, SAN_DNS))
                return false;
        list_entries(nc, CONSTRAINTS_PERMITTED, SAN_DNS, &dns);
        list_entries(nc, CONSTRAINTS_PERMITTED, type, &other);
        return bytes_equal(buffer_bytes(&dns), buffer_bytes(&other));
}

/* One clause about one kind: what it is for, or that there is none, or that it is free. */
static void describe_kind(const struct name_constraints *nc, const struct words *w,
                          struct buffer *out) {
        CAD_AUTO(buffer_done) struct buffer excluded = { 0 };
        bool any = !is_constrained(nc, w->type), none = excludes_all(nc, w->type);

        if (any || none) {
                buffer_format(out, "%s %s", any ? "any" : "no", w->noun);
                return;
        }
        if (like_dns(nc, w->type)) {
                buffer_format(out, "%s%s the same names", w->noun, w->at);
        } else if (has_permitted(nc, w->type, 0)) {
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

static int not_permitted(const struct name_constraints *nc, const struct san *name,
                         struct error *err) {
        CAD_AUTO(buffer_done) struct buffer entries = { 0 };
        char text[SAN_TEXT_MAX], shown[128], list[DESCRIBED_MAX];

        (void) text_printable(bytes_of(san_text(name, text, sizeof(text))), shown, sizeof(shown));
        if (excludes_all(nc, name->type) || !has_permitted(nc, name->type, 0))
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

static int refuse_excluded(const struct san *name, const struct subtree *by, struct error *err) {
        char text[SAN_TEXT_MAX], shown[128], base[SAN_TEXT_MAX], by_shown[128];

        (void) text_printable(bytes_of(san_text(name, text, sizeof(text))), shown, sizeof(shown));
        (void) text_printable(bytes_of(subtree_text(by, base, sizeof(base))), by_shown,
                              sizeof(by_shown));
        return error_set(
                err, ERR_NAME_NOT_PERMITTED,
                "'%s' is outside the names of this CA, which excludes '%s'; leave the name out",
                shown, by_shown);
}

/* RFC 5280 §4.2.1.10 leaves a URI without a host name, or with an address, unjudgeable: refused, as verifiers do. */
static int check_has_host(const struct san *name, struct error *err) {
        struct bytes host = san_uri_host(name->value);
        char shown[128], address[INET6_ADDRSTRLEN];
        struct in_addr v4;

        if (host.size && host.data[0] != '[' &&
            (host.size >= sizeof(address) ||
             inet_pton(AF_INET, text_printable(host, address, sizeof(address)), &v4) != 1))
                return 0;
        return error_set(
                err, ERR_NAME_NOT_PERMITTED,
                "'%s' is outside the names of this CA: a URI needs a host name, since it is judged by that",
                text_printable(name->value, shown, sizeof(shown)));
}

int constraints_check(const struct name_constraints *nc, const struct san *name,
                      struct error *err) {
        const struct subtrees *permitted = &nc->lists[CONSTRAINTS_PERMITTED];
        const struct subtrees *exclusions = &nc->lists[CONSTRAINTS_EXCLUDED];
        bool free_kind = true;

        if (!is_constrained(nc, name->type))
                return 0;
        if (excludes_all(nc, name->type))
                return not_permitted(nc, name, err);
        if (name->type == SAN_URI && check_has_host(name, err) < 0)
                return -1;
        for (size_t i = 0; i < exclusions->count; i++)
                if (matches(name, &exclusions->items[i]) || covers(name, &exclusions->items[i]))
                        return refuse_excluded(name, &exclusions->items[i], err);
        for (size_t i = 0; i < permitted->count; i++) {
                if (matches(name, &permitted->items[i]))
                        return 0;
                free_kind &= permitted->items[i].type != name->type;
        }
        return free_kind ? 0 : not_permitted(nc, name, err);
}

int constraints_check_list(const struct name_constraints *nc, const struct san_list *names,
                           const char *field, struct error *err) {
        for (size_t i = 0; i < names->count; i++)
                if (constraints_check(nc, &names->items[i], err) < 0)
                        return error_name_field(err, "%s[%u]", field, names->items[i].place);
        return 0;
}
