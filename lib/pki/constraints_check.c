/*
 * Name constraints decide whether a name may be issued: where verifiers differ, the narrowest reading is taken.
 */
#include <arpa/inet.h>
#include <string.h>

#include "constraints_parts.h"
#include "lib/base/text.h"

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

        if (!constraints_any(nc, name->type))
                return 0;
        if (constraints_excludes_all(nc, name->type))
                return constraints_refuse(nc, name, err);
        if (name->type == SAN_URI && check_has_host(name, err) < 0)
                return -1;
        for (size_t i = 0; i < exclusions->count; i++)
                if (matches(name, &exclusions->items[i]) || covers(name, &exclusions->items[i]))
                        return constraints_refuse_excluded(name, &exclusions->items[i], err);
        for (size_t i = 0; i < permitted->count; i++) {
                if (matches(name, &permitted->items[i]))
                        return 0;
                free_kind &= permitted->items[i].type != name->type;
        }
        return free_kind ? 0 : constraints_refuse(nc, name, err);
}

int constraints_check_list(const struct name_constraints *nc, const struct san_list *names,
                           const char *field, struct error *err) {
        for (size_t i = 0; i < names->count; i++)
                if (constraints_check(nc, &names->items[i], err) < 0)
                        return error_name_field(err, "%s[%u]", field, names->items[i].place);
        return 0;
}
