/*
 * Names from outside: the input is read as GeneralNames, as NameConstraints, as a Name, and as text. Whatever is
 * taken must come out of the writer and in again as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/pki/constraints.h"
#include "lib/pki/dn.h"
#include "lib/pki/san.h"

#define INPUT_MAX 65536 /* bytes; the cap of a CSR */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): a build without asserts must still find it. */
static void must(bool holds) {
        if (!holds)
                abort();
}

static uint8_t scratch[2 * INPUT_MAX];

/* A name that was taken is its own canonical form, in octets and in text. */
static void check_name(const struct san *name) {
        CAD_AUTO(san_list_done) struct san_list again = { .count = 0 };
        char text[SAN_TEXT_MAX];

        must(name->value.size > 0 && name->value.size < SAN_TEXT_MAX);
        must(!memchr(name->value.data, '\0', name->value.size) || name->type == SAN_IP);
        must(san_list_add(&again, name->type, name->value, NULL) == 0);
        (void) san_text_unicode(name, text, sizeof(text));
        (void) san_text(name, text, sizeof(text));
        /* of URIs, text takes those alone whose form says that they are one */
        must(name->type == SAN_URI || san_list_add_text(&again, text, NULL) == 0);
        must(again.count == 1 && san_equal(&again.items[0], name));
}

static void check_list(const struct san_list *list) {
        CAD_AUTO(san_list_done) struct san_list again = { .count = 0 };
        CAD_AUTO(constraints_free) struct name_constraints *nc = constraints_new();
        struct der_writer w;

        for (size_t i = 0; i < list->count; i++)
                check_name(&list->items[i]);
        der_writer_init(&w, scratch, sizeof(scratch));
        san_list_put_der(list, &w);
        must(san_list_from_der(&again, der_writer_bytes(&w), "names", NULL) == 0);
        must(san_list_equal(list, &again));
        must(nc && constraints_add_defaults(nc, NULL) == 0);
        (void) constraints_check_list(nc, list, "names", NULL);
}

static void fuzz_general_names(struct bytes input) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };

        if (san_list_from_der(&list, input, "names", &err) == 0) {
                must(list.count > 0);
                check_list(&list);
        } else {
                must(list.count == 0 && err.code != ERR_NONE && err.text[0] && err.field[0]);
        }
}

static void fuzz_text(struct bytes input) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        char text[1024];

        if (input.size >= sizeof(text) || (input.size && memchr(input.data, '\0', input.size)))
                return;
        if (input.size)
                memcpy(text, input.data, input.size);
        text[input.size] = '\0';
        if (san_list_add_text(&list, text, NULL) == 0)
                check_list(&list);
}

static void fuzz_dn(struct bytes input) {
        struct bytes cn = BYTES_NONE;
        char text[DN_TEXT_MAX], small[8];

        (void) dn_text(input, text, sizeof(text));
        must(strlen(text) < sizeof(text));
        must(strlen(dn_text(input, small, sizeof(small))) < sizeof(small));
        (void) dn_common_name(input, text, sizeof(text));
        if (dn_check(input, "subject", &cn, NULL) < 0)
                return;
        must(!cn.data || (cn.data >= input.data && cn.data + cn.size <= input.data + input.size));
        must(bytes_equal(bytes_of(text), cn));
}

static void fuzz_constraints(struct bytes input) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = NULL;
        CAD_AUTO(constraints_free) struct name_constraints *again = NULL;
        CAD_AUTO(constraints_free) struct name_constraints *copy = NULL;
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        CAD_AUTO(buffer_done) struct buffer words = { 0 };
        struct der_writer w;

        if (constraints_from_der(input, &nc, NULL) < 0) {
                must(!nc);
                return;
        }
        must(!constraints_empty(nc));
        der_writer_init(&w, scratch, sizeof(scratch));
        constraints_put_der(nc, &w);
        must(constraints_from_der(der_writer_bytes(&w), &again, NULL) == 0 &&
             constraints_equal(nc, again));
        copy = constraints_copy(nc);
        must(copy && constraints_equal(nc, copy));
        constraints_describe(nc, &words);
        must(!words.failed && words.size > 0);
        must(san_list_add_text(&names, "*.a.lan", NULL) == 0 &&
             san_list_add_text(&names, "10.0.0.1", NULL) == 0 &&
             san_list_add_text(&names, "fd00::1", NULL) == 0 &&
             san_list_add_text(&names, "a@a.lan", NULL) == 0 &&
             san_list_add_text(&names, "https://a.lan/", NULL) == 0);
        for (size_t i = 0; i < names.count; i++)
                must(constraints_check(nc, &names.items[i], NULL) ==
                     constraints_check(copy, &names.items[i], NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct bytes input = BYTES(data, size);

        if (size > INPUT_MAX)
                return 0;
        fuzz_general_names(input);
        fuzz_text(input);
        fuzz_dn(input);
        fuzz_constraints(input);
        return 0;
}
