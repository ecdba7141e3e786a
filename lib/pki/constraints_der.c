/*
 * Name constraints as DER: RFC 5280 §4.2.1.10. What is read is taken in the form alone that is written here.
 */
#include <string.h>

#include "constraints_parts.h"

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
        if ((tag & 0xe0) != 0x80 || (!subtree_is_of_domains(type) && type != SAN_IP))
                return unreadable(err, "they name a kind other than DNS, e-mail, URI and IP");
        if (!der_done(&subtree))
                return unreadable(err, "a subtree has a minimum or a maximum");
        if (nc->lists[0].count + nc->lists[1].count == CONSTRAINTS_MAX)
                return unreadable(err, "there are too many");
        if (type == SAN_IP) {
                why = ip_base_fault(base);
                return why ? unreadable(err, why) : constraints_add(nc, which, type, base, err);
        }
        if (domain_base(type, base, canonical, &base.size, err) < 0)
                return -1;
        base.data = (const uint8_t *) canonical;
        return constraints_add(nc, which, type, base, err);
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
