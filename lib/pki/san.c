/*
 * Subject alternative names: lists of them, from what a person writes and from DER, and as text again.
 *
 * Nothing may come out of here that two verifiers could read as two different names: where the standards
 * leave a choice, the form that all agree on is taken and the rest refused, with the reason (san_kinds.c).
 */
#include "san.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idna.h"
#include "lib/base/text.h"
#include "san_parts.h"

/* ---- lists ---- */

static void truncate_list(struct san_list *list, size_t count) {
        while (list->count > count) {
                struct san *last = &list->items[--list->count];

                free((void *) (uintptr_t) last->value.data);
                *last = (struct san){ 0 };
        }
}

void san_list_done(struct san_list *list) {
        truncate_list(list, 0);
}

bool san_equal(const struct san *a, const struct san *b) {
        return a->type == b->type && bytes_equal(a->value, b->value);
}

bool san_list_equal(const struct san_list *a, const struct san_list *b) {
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (!san_equal(&a->items[i], &b->items[i]))
                        return false;
        return true;
}

bool san_list_contains(const struct san_list *list, const struct san *name) {
        for (size_t i = 0; i < list->count; i++)
                if (san_equal(&list->items[i], name))
                        return true;
        return false;
}

static int too_many(struct error *err) {
        return error_set(err, ERR_NAMES_TOO_MANY,
                         "more than %d names; ask for several certificates instead", SAN_COUNT_MAX);
}

int san_list_add(struct san_list *list, enum san_type type, struct bytes value, struct error *err) {
        char canonical[SAN_TEXT_MAX];
        struct san name = { .type = type, .value = BYTES(canonical, 0), .place = list->given++ };
        uint8_t *copy;

        if (!san_is_kind(type))
                return error_set(err, ERR_NAME_NOT_ALLOWED, "names of kind %d are not issued",
                                 (int) type);
        if (san_canonical(type, value, canonical, &name.value.size, err) < 0)
                return -1;
        if (san_list_contains(list, &name))
                return 0;
        if (list->count == SAN_COUNT_MAX)
                return too_many(err);
        copy = malloc(name.value.size);
        if (!copy)
                return error_no_memory(err);
        memcpy(copy, canonical, name.value.size);
        name.value.data = copy;
        list->items[list->count++] = name;
        return 0;
}

/* ---- what a person writes ---- */

static bool add_if_address(struct san_list *list, const char *text, int *ret, struct error *err) {
        char inner[INET6_ADDRSTRLEN];
        size_t length = strlen(text);
        uint8_t octets[16];

        if (length > 2 && length - 2 < sizeof(inner) && text[0] == '[' && text[length - 1] == ']') {
                memcpy(inner, text + 1, length - 2);
                inner[length - 2] = '\0';
                if (inet_pton(AF_INET6, inner, octets) != 1)
                        return false;
                *ret = san_list_add(list, SAN_IP, BYTES(octets, 16), err);
                return true;
        }
        if (inet_pton(AF_INET, text, octets) == 1)
                *ret = san_list_add(list, SAN_IP, BYTES(octets, 4), err);
        else if (inet_pton(AF_INET6, text, octets) == 1)
                *ret = san_list_add(list, SAN_IP, BYTES(octets, 16), err);
        else
                return false;
        return true;
}

static bool is_uri(const char *text) {
        struct bytes b = bytes_of(text);
        size_t scheme = san_uri_scheme(b);

        /* `host:443` has the form of a URI too, so that the schemes without "//" are named */
        return scheme &&
                (strncmp(text + scheme, "://", 3) == 0 || strncasecmp(text, "urn:", 4) == 0);
}

/* Put the A-label form of the domain that begins at @at into @out, what is before as it is. */
static int domain_to_ascii(const char *text, size_t at, char *out, enum san_type type,
                           struct error *err) {
        memcpy(out, text, at);
        if (idna_to_ascii(bytes_of(text + at), out + at, SAN_TEXT_MAX - at) < 0)
                return san_refuse(
                        err, type, bytes_of(text),
                        "is no international domain name that IDNA 2008 allows (letters, digits and '-', valid "
                        "UTF-8)");
        return 0;
}

static bool is_ascii(const char *text) {
        for (; *text; text++)
                if ((uint8_t) *text >= 0x80)
                        return false;
        return true;
}

int san_list_add_text(struct san_list *list, const char *text, struct error *err) {
        char ascii[SAN_TEXT_MAX];
        const char *sign = strchr(text, '@');
        enum san_type type = is_uri(text) ? SAN_URI : sign ? SAN_EMAIL : SAN_DNS;
        size_t domain = type == SAN_EMAIL     ? (size_t) (sign - text) + 1
                : strncmp(text, "*.", 2) == 0 ? 2
                                              : 0;
        int rc;

        if (strlen(text) >= SAN_TEXT_MAX)
                return san_refuse(err, type, bytes_of(text), "is longer than 511 characters");
        if (add_if_address(list, text, &rc, err))
                return rc;
        if (type != SAN_URI && !is_ascii(text + domain)) {
                if (domain_to_ascii(text, domain, ascii, type, err) < 0)
                        return -1;
                text = ascii;
        }
        return san_list_add(list, type, bytes_of(text), err);
}

/* ---- DER ---- */

/* RFC 5280 §4.2.1.6 GeneralName: what is never issued, by its tag. */
static const struct {
        uint8_t tag;
        const char *name;
} other_kinds[] = {
        { DER_CONTEXT_CONSTRUCTED(0), "otherName" },
        { DER_CONTEXT_CONSTRUCTED(3), "x400Address" },
        { DER_CONTEXT_CONSTRUCTED(4), "directoryName" },
        { DER_CONTEXT_CONSTRUCTED(5), "ediPartyName" },
        { DER_CONTEXT(8), "registeredID" },
};

static int add_general_name(struct san_list *list, uint8_t tag, struct bytes value,
                            struct error *err) {
        for (size_t i = 0; i < ARRAY_SIZE(other_kinds); i++)
                if (tag == other_kinds[i].tag)
                        return error_set(
                                err, ERR_NAME_NOT_ALLOWED,
                                "a name of kind %s: only DNS names, IP addresses, e-mail addresses and URIs "
                                "are issued",
                                other_kinds[i].name);
        if ((tag & 0xe0) != 0x80 || !san_is_kind((enum san_type)(tag & 0x1f)))
                return error_set(err, ERR_CSR_MALFORMED,
                                 "a GeneralName with tag 0x%02x, which there is not", tag);
        return san_list_add(list, (enum san_type)(tag & 0x1f), value, err);
}

int san_list_from_der(struct san_list *list, struct bytes der, const char *field,
                      struct error *err) {
        struct der_reader outer = der_reader(der);
        struct der_reader names = der_enter(&outer, DER_SEQUENCE);
        size_t before = list->count;

        if (!der_done(&outer) || !der_more(&names))
                return error_set_field(
                        err, ERR_CSR_MALFORMED, field,
                        "the alternative names are not one non-empty GeneralNames SEQUENCE in DER");
        for (size_t i = 0; der_more(&names); i++) {
                uint8_t tag = 0;
                struct bytes value = der_get_any(&names, &tag);
                int rc;

                if (names.failed)
                        rc = error_set(err, ERR_CSR_MALFORMED, "a GeneralName that is not DER");
                else if (i == SAN_COUNT_MAX)
                        rc = too_many(
                                err); /* counted with duplicates, so that the work is bounded */
                else
                        rc = add_general_name(list, tag, value, err);
                if (rc < 0) {
                        truncate_list(list, before);
                        return error_name_field(err, "%s[%zu]", field, i);
                }
        }
        return 0;
}

void san_list_put_der(const struct san_list *list, struct der_writer *w) {
        size_t mark = der_mark(w);

        for (size_t i = list->count; i > 0; i--)
                der_put(w, (uint8_t) DER_CONTEXT(list->items[i - 1].type),
                        list->items[i - 1].value);
        der_wrap(w, DER_SEQUENCE, mark);
}

/* ---- text ---- */

const char *san_text(const struct san *name, char *out, size_t size) {
        if (name->type != SAN_IP)
                return text_printable(name->value, out, size);
        /* glibc's inet_ntop() writes what RFC 5952 asks for */
        if ((name->value.size != 4 && name->value.size != 16) ||
            !inet_ntop(name->value.size == 4 ? AF_INET : AF_INET6, name->value.data, out,
                       (socklen_t) size))
                (void) snprintf(out, size, "?");
        return out;
}

const char *san_text_unicode(const struct san *name, char *out, size_t size) {
        size_t at = name->type == SAN_EMAIL ? find(name->value, '@') + 1 : 0;
        size_t used;

        if ((name->type != SAN_DNS && name->type != SAN_EMAIL) || at > name->value.size)
                return san_text(name, out, size);
        (void) text_printable(BYTES(name->value.data, at), out, size);
        used = strlen(out);
        (void) idna_to_unicode(from(name->value, at), out + used, size - used);
        return out;
}
