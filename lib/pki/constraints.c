/*
 * Name constraints: a set of subtrees, what is put into it, and how it is closed.
 *
 * What this permits must be no more than what every verifier permits: where they differ, the narrowest
 * reading is taken, and the encoding is the one that all of them read alike.
 */
#include "constraints.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "constraints_parts.h"
#include "lib/base/text.h"

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

int constraints_add(struct name_constraints *nc, enum constraints_list which, enum san_type type,
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
                        if (constraints_add(copy, l, nc->lists[l].items[i].type,
                                            nc->lists[l].items[i].base,
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
        if (constraints_add(nc, CONSTRAINTS_PERMITTED, type, bytes_of(domain), err) < 0)
                return -1;
        return constraints_add(nc, CONSTRAINTS_PERMITTED, type, bytes_of(below), err);
}

/* DNS entries have no leading dot: RFC 5280 knows none there, and `lan` already has what is below it. */
int constraints_permit_dns(struct name_constraints *nc, const char *domain, struct error *err) {
        char canonical[SAN_TEXT_MAX];

        if (domain_of_text(domain, canonical, err) < 0 ||
            constraints_add(nc, CONSTRAINTS_PERMITTED, SAN_DNS, bytes_of(canonical), err) < 0 ||
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
        return constraints_add(nc, CONSTRAINTS_PERMITTED, SAN_IP, BYTES(base, 2 * size), err);
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

/* ---- what is in it, by kind ---- */

/* @ip_size: 8 or 32 for one family, 0 for any entry of @type */
bool constraints_has_permitted(const struct name_constraints *nc, enum san_type type,
                               size_t ip_size) {
        const struct subtrees *list = &nc->lists[CONSTRAINTS_PERMITTED];

        for (size_t i = 0; i < list->count; i++)
                if (list->items[i].type == type &&
                    (!ip_size || list->items[i].base.size == ip_size))
                        return true;
        return false;
}

static bool has_excluded(const struct name_constraints *nc, enum san_type type) {
        const struct subtrees *list = &nc->lists[CONSTRAINTS_EXCLUDED];

        for (size_t i = 0; i < list->count; i++)
                if (list->items[i].type == type)
                        return true;
        return false;
}

bool constraints_any(const struct name_constraints *nc, enum san_type type) {
        return constraints_has_permitted(nc, type, 0) || has_excluded(nc, type);
}

bool constraints_excludes_all(const struct name_constraints *nc, enum san_type type) {
        const struct subtrees *list = &nc->lists[CONSTRAINTS_EXCLUDED];
        size_t families = 0;

        for (size_t i = 0; i < list->count; i++) {
                const struct subtree *s = &list->items[i];
                bool all = s->type == type && subtree_is_of_domains(type) && s->base.size == 0;

                if (all)
                        return true;
                if (s->type == SAN_IP && type == SAN_IP && s->base.data[s->base.size / 2] == 0)
                        families++;
        }
        return families == 2;
}

/* ---- closing ---- */

/* IPv4 and IPv6 each: GnuTLS takes a family without a permitted block for unconstrained, OpenSSL does not. */
static int close_ip(struct name_constraints *nc, struct error *err) {
        static const uint8_t zeros[32];
        bool v4 = constraints_has_permitted(nc, SAN_IP, 8),
             v6 = constraints_has_permitted(nc, SAN_IP, 32);

        if (!v4 && constraints_add(nc, CONSTRAINTS_EXCLUDED, SAN_IP, BYTES(zeros, 8), err) < 0)
                return -1;
        return v6 ? 0 : constraints_add(nc, CONSTRAINTS_EXCLUDED, SAN_IP, BYTES(zeros, 32), err);
}

/*
 * Excluding "" is everything to GnuTLS, NSS and Go, and for DNS to OpenSSL. For e-mail and URI OpenSSL
 * compares it with the host, and so excludes nothing (tried with 3.0); there, permitting alone a domain that
 * never is (`invalid`, RFC 6761 §6.4) and excluding that again leaves nothing.
 */
static int close_hosts(struct name_constraints *nc, enum san_type type, struct error *err) {
        static const struct bytes never = { (const uint8_t *) "invalid", 7 };

        if (constraints_has_permitted(nc, type, 0))
                return 0;
        if (constraints_add(nc, CONSTRAINTS_EXCLUDED, type, BYTES_NONE, err) < 0 ||
            constraints_add(nc, CONSTRAINTS_EXCLUDED, type, never, err) < 0)
                return -1;
        return constraints_add(nc, CONSTRAINTS_PERMITTED, type, never, err);
}

int constraints_close(struct name_constraints *nc, struct error *err) {
        if (!constraints_has_permitted(nc, SAN_DNS, 0) &&
            constraints_add(nc, CONSTRAINTS_EXCLUDED, SAN_DNS, BYTES_NONE, err) < 0)
                return -1;
        if (close_hosts(nc, SAN_EMAIL, err) < 0 || close_hosts(nc, SAN_URI, err) < 0)
                return -1;
        return close_ip(nc, err);
}
