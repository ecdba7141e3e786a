/*
 * Name constraints: built, written, read, asked; and asked of GnuTLS too, which reads what we wrote.
 */
#include "unit.h"

#include <gnutls/x509-ext.h>
#include <stdio.h>
#include <string.h>

#include "lib/pki/constraints.h"

#define DER_MAX 16384

static struct name_constraints *new_set(void) {
        struct name_constraints *nc = constraints_new();

        ck_assert_ptr_nonnull(nc);
        return nc;
}

static struct name_constraints *new_defaults(void) {
        struct name_constraints *nc = new_set();
        struct error err = { 0 };

        ck_ok(constraints_add_defaults(nc, &err), err);
        ck_ok(constraints_close(nc, &err), err);
        return nc;
}

static struct bytes write_der(const struct name_constraints *nc, uint8_t *buffer, size_t size) {
        struct der_writer w;

        der_writer_init(&w, buffer, size);
        constraints_put_der(nc, &w);
        ck_assert(!w.failed);
        return der_writer_bytes(&w);
}

/* The set that is in an extension's content. */
static struct name_constraints *read_der(struct bytes der) {
        struct name_constraints *nc = NULL;
        struct error err = { 0 };

        ck_ok(constraints_from_der(der, &nc, &err), err);
        return nc;
}

/* 1 permitted, 0 refused; a name that is no name at all ends the test */
static int check_text(const struct name_constraints *nc, const char *text, struct error *err) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };

        ck_ok(san_list_add_text(&list, text, err), *err);
        return constraints_check(nc, &list.items[0], err) == 0;
}

/* ---- the defaults, held against GnuTLS ---- */

/* clang-format off */
static const struct {
        const char *why, *name;
        bool permitted;
} defaults[] = {
        { "a top name itself", "lan", true },
        { "below it", "nas.lan", true },
        { "far below it", "a.b.c.nas.lan", true },
        { "the end alone is not enough", "evil-lan", false },
        { "the end without a dot", "xlan", false },
        { "a permitted label elsewhere", "lan.example.com", false },
        { "a public name (row 30)", "google.com", false },
        { "home.arpa", "nas.home.arpa", true },
        { "arpa is not permitted", "arpa", false },
        { "beside home.arpa", "in-addr.arpa", false },
        { "internal", "db.internal", true },
        { "local", "printer.local", true },
        { "localdomain", "nas.localdomain", true },
        { "localhost", "localhost", true },
        { "test", "a.test", true },
        { "another single label", "nas", false },
        { "a wildcard inside", "*.nas.lan", true },
        { "a wildcard outside", "*.example.com", false },
        { "a wildcard below home.arpa", "*.home.arpa", true },
        { "an international name", "bücher.lan", true },
        { "10/8, first", "10.0.0.0", true },
        { "10/8, last", "10.255.255.255", true },
        { "below 10/8", "9.255.255.255", false },
        { "above 10/8", "11.0.0.0", false },
        { "172.16/12, first", "172.16.0.0", true },
        { "172.16/12, last", "172.31.255.255", true },
        { "above 172.16/12", "172.32.0.0", false },
        { "below 172.16/12", "172.15.255.255", false },
        { "192.168/16", "192.168.1.5", true },
        { "above 192.168/16", "192.169.0.0", false },
        { "link-local", "169.254.1.1", true },
        { "loopback", "127.0.0.1", true },
        { "100.64/10, last", "100.127.255.255", true },
        { "above 100.64/10", "100.128.0.0", false },
        { "a public address", "8.8.8.8", false },
        { "::1", "::1", true },
        { "unique local", "fd12::1", true },
        { "fc00::/7, last", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true },
        { "above fc00::/7", "fe00::1", false },
        { "link-local", "fe80::1", true },
        { "fe80::/10, last", "febf::1", true },
        { "site-local is no more", "fec0::1", false },
        { "a public address", "2001:db8::1", false },
        { "e-mail at a top name", "a@lan", true },
        { "e-mail below it", "a@mail.lan", true },
        { "e-mail elsewhere", "a@example.com", false },
        { "e-mail whose domain only ends so", "a@evillan", false },
        { "e-mail whose local part looks so", "lan@example.com", false },
        { "e-mail at home.arpa", "a@home.arpa", true },
};
/* clang-format on */

START_TEST(the_defaults_are_private_names) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_defaults();
        struct error err = { 0 };

        ck_assert_msg(check_text(nc, defaults[_i].name, &err) == defaults[_i].permitted,
                      "%s: %s: %s", defaults[_i].why, defaults[_i].name, err.text);
        if (!defaults[_i].permitted)
                ck_assert_int_eq(err.code, ERR_NAME_NOT_PERMITTED);
}
END_TEST

/* clang-format off */
static const struct {
        const char *why, *uri;
        bool permitted;
} uris[] = {
        { "a host of ours", "https://nas.lan/", true },
        { "with a port", "https://nas.lan:8443/", true },
        { "the top name itself", "spiffe://lan/x", true },
        { "a host elsewhere", "https://example.com/", false },
        { "our name in the path", "https://example.com/.lan", false },
        { "our name in the query", "https://example.com/?https://nas.lan/", false },
        { "an address is not a name, though it is permitted as one", "https://10.0.0.1/", false },
        { "an IPv6 address", "https://[fd00::1]/", false },
        { "a URN has no host", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", false },
};
/* clang-format on */

/* GnuTLS 3.7 does not judge URIs, so they have no second opinion here. */
START_TEST(a_uri_is_judged_by_its_host) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_defaults();
        struct error err = { 0 };

        ck_assert_msg(check_text(nc, uris[_i].uri, &err) == uris[_i].permitted, "%s: %s: %s",
                      uris[_i].why, uris[_i].uri, err.text);
}
END_TEST

/* ---- other sets ---- */

/* A set as `cad init` makes it: entries by kind ('d' DNS, 'i' IP, 'e' e-mail), closed. */
static struct name_constraints *new_from(const char *const *entries) {
        struct name_constraints *nc = new_set();
        struct error err = { 0 };

        for (; *entries; entries++) {
                const char *text = *entries + 1;

                if (**entries == 'd')
                        ck_ok(constraints_permit_dns(nc, text, &err), err);
                else if (**entries == 'i')
                        ck_ok(constraints_permit_ip(nc, text, &err), err);
                else
                        ck_ok(constraints_permit_email(nc, text, &err), err);
        }
        ck_ok(constraints_close(nc, &err), err);
        return nc;
}

/* clang-format off */
static const struct {
        const char *why;
        const char *entries[4];
        const char *name;
        bool permitted;
} sets[] = {
        { "nothing: no DNS name", { NULL }, "nas.lan", false },
        { "nothing: no IPv4", { NULL }, "10.0.0.1", false },
        { "nothing: no IPv6", { NULL }, "fd00::1", false },
        { "nothing: no e-mail", { NULL }, "a@lan", false },
        { "nothing: not even at invalid", { NULL }, "a@invalid", false },
        { "a domain", { "dexample.org" }, "www.example.org", true },
        { "a domain in upper case", { "dExample.ORG" }, "www.example.org", true },
        { "an international domain", { "dbücher.example" }, "www.xn--bcher-kva.example", true },
        { "a domain: no other", { "dexample.org" }, "example.com", false },
        { "a domain: its e-mail", { "dexample.org" }, "a@example.org", true },
        { "a domain: e-mail below", { "dexample.org" }, "a@x.example.org", true },
        { "a domain: no address", { "dexample.org" }, "10.0.0.1", false },
        { "a wildcard at the domain", { "dnas.lan" }, "*.nas.lan", true },
        { "a wildcard above the domain", { "da.nas.lan" }, "*.nas.lan", false },
        { "an address block: no name", { "i10.0.0.0/8" }, "nas.lan", false },
        { "an address block", { "i10.0.0.0/8" }, "10.1.2.3", true },
        { "an IPv4 block: no IPv6", { "i10.0.0.0/8" }, "fd00::1", false },
        { "an IPv6 block: no IPv4", { "ifd00::/8" }, "10.0.0.1", false },
        { "one address", { "i192.0.2.7" }, "192.0.2.7", true },
        { "one address: not the next", { "i192.0.2.7" }, "192.0.2.8", false },
        { "a block of /31", { "i192.0.2.6/31" }, "192.0.2.7", true },
        { "a block that ends inside an octet", { "i192.0.2.0/28" }, "192.0.2.16", false },
        { "every IPv4 address", { "i0.0.0.0/0" }, "8.8.8.8", true },
        { "an e-mail domain", { "ehome.lan" }, "a@home.lan", true },
        { "an e-mail domain, below", { "ehome.lan" }, "a@x.home.lan", true },
        { "an e-mail domain: no DNS name", { "ehome.lan" }, "home.lan", false },
        { "two domains: the second", { "da.lan", "db.lan" }, "x.b.lan", true },
};
/* clang-format on */

START_TEST(a_closed_set_permits_what_was_permitted_alone) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_from(sets[_i].entries);
        struct error err = { 0 };

        ck_assert_msg(check_text(nc, sets[_i].name, &err) == sets[_i].permitted, "%s: %s",
                      sets[_i].why, err.text);
}
END_TEST

/* What GnuTLS says of a name when it reads our DER. */
static int gnutls_opinion(const struct name_constraints *nc, const struct san *name) {
        static const gnutls_x509_subject_alt_name_t types[] = {
                [SAN_DNS] = GNUTLS_SAN_DNSNAME,
                [SAN_EMAIL] = GNUTLS_SAN_RFC822NAME,
                [SAN_IP] = GNUTLS_SAN_IPADDRESS,
        };
        gnutls_x509_name_constraints_t theirs;
        uint8_t buffer[DER_MAX];
        struct bytes der = write_der(nc, buffer, sizeof(buffer));
        gnutls_datum_t ext = { (unsigned char *) (uintptr_t) der.data, (unsigned) der.size };
        gnutls_datum_t value = { (unsigned char *) (uintptr_t) name->value.data,
                                 (unsigned) name->value.size };
        unsigned answer;

        ck_assert_int_eq(gnutls_x509_name_constraints_init(&theirs), 0);
        ck_assert_int_eq(gnutls_x509_ext_import_name_constraints(&ext, theirs, 0), 0);
        answer = gnutls_x509_name_constraints_check(theirs, types[name->type], &value);
        gnutls_x509_name_constraints_deinit(theirs);
        return answer != 0;
}

static void compare(const struct name_constraints *nc, const char *text, const char *why) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };
        int ours, theirs;

        ck_ok(san_list_add_text(&list, text, &err), err);
        ours = constraints_check(nc, &list.items[0], &err) == 0;
        theirs = gnutls_opinion(nc, &list.items[0]);
        ck_assert_msg(ours == theirs, "%s: %s: we say %d, GnuTLS %d: %s", why, text, ours, theirs,
                      err.text);
}

START_TEST(gnutls_agrees_on_the_defaults) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_defaults();

        compare(nc, defaults[_i].name, defaults[_i].why);
}
END_TEST

START_TEST(gnutls_agrees_on_other_sets) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_from(sets[_i].entries);

        compare(nc, sets[_i].name, sets[_i].why);
}
END_TEST

START_TEST(an_empty_set_permits_everything_and_has_no_der) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_set();
        uint8_t buffer[16];
        struct error err = { 0 };

        ck_assert(constraints_empty(nc));
        ck_assert(check_text(nc, "google.com", &err));
        ck_assert(check_text(nc, "8.8.8.8", &err));
        ck_assert(check_text(nc, "urn:a", &err));
        ck_assert_uint_eq(write_der(nc, buffer, sizeof(buffer)).size, 0);
}
END_TEST

START_TEST(closing_twice_adds_nothing) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_set();
        CAD_AUTO(constraints_free) struct name_constraints *again = NULL;
        struct error err = { 0 };

        ck_ok(constraints_close(nc, &err), err);
        again = constraints_copy(nc);
        ck_ok(constraints_close(again, &err), err);
        ck_assert(constraints_equal(nc, again));
}
END_TEST

/* ---- what is refused on the way in ---- */

/* clang-format off */
static const struct {
        const char *why, *entry, *says;
} bad_entries[] = {
        { "an address as domain", "d192.168.1.1", "no domain" },
        { "an e-mail address as domain", "da@lan", "no domain" },
        { "a URI as domain", "dhttps://lan/", "no domain" },
        { "a wildcard", "d*.nas.lan", "no domain" },
        { "a leading dot", "d.lan", "empty label" },
        { "an empty domain", "d", "empty" },
        { "an e-mail address where a domain is wanted", "ea@lan", "no domain" },
        { "host bits", "i10.0.0.1/8", "10.0.0.0/8" },
        { "host bits of IPv6", "ifd00::1/64", "fd00::/64" },
        { "a prefix too long", "i10.0.0.0/33", "no block" },
        { "a prefix of IPv6 too long", "ifd00::/129", "no block" },
        { "no prefix", "i10.0.0.0/", "no block" },
        { "a mask", "i10.0.0.0/255.0.0.0", "no block" },
        { "a negative prefix", "i10.0.0.0/-1", "no block" },
        { "a short address", "i10.0/8", "no block" },
        { "a name", "ilan", "no block" },
        { "empty", "i", "no block" },
        { "a very long text", "i1111111111111111111111111111111111111111111111111111111111111/8", "no block" },
};
/* clang-format on */

START_TEST(a_bad_entry_is_refused_and_leaves_the_set) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_set();
        const char *text = bad_entries[_i].entry + 1;
        struct error err;

        if (bad_entries[_i].entry[0] == 'd')
                ck_refused(constraints_permit_dns(nc, text, &err), err, ERR_NAME_INVALID);
        else if (bad_entries[_i].entry[0] == 'i')
                ck_refused(constraints_permit_ip(nc, text, &err), err, ERR_NAME_INVALID);
        else
                ck_refused(constraints_permit_email(nc, text, &err), err, ERR_NAME_INVALID);
        ck_assert_msg(strstr(err.text, bad_entries[_i].says) != NULL, "%s: %s", bad_entries[_i].why,
                      err.text);
        ck_assert(constraints_empty(nc));
}
END_TEST

START_TEST(the_entries_are_bounded) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_set();
        CAD_AUTO(constraints_free) struct name_constraints *again = NULL;
        uint8_t buffer[DER_MAX];
        struct error err = { 0 };
        char block[32];

        for (unsigned i = 0; i < CONSTRAINTS_MAX; i++) {
                (void) snprintf(block, sizeof(block), "10.%u.0.0/16", i);
                ck_ok(constraints_permit_ip(nc, block, &err), err);
        }
        ck_ok(constraints_permit_ip(nc, "10.0.0.0/16", &err), err);
        again = read_der(write_der(nc, buffer, sizeof(buffer)));
        ck_assert(constraints_equal(nc, again));
        ck_refused(constraints_permit_ip(nc, "11.0.0.0/16", &err), err, ERR_NAME_INVALID);
}
END_TEST

/* ---- DER ---- */

START_TEST(what_was_written_reads_back_the_same) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_defaults();
        CAD_AUTO(constraints_free) struct name_constraints *again = NULL, *copy = NULL;
        uint8_t buffer[DER_MAX];
        struct error err = { 0 };

        again = read_der(write_der(nc, buffer, sizeof(buffer)));
        copy = constraints_copy(nc);
        ck_assert(constraints_equal(nc, again));
        ck_assert(constraints_equal(nc, copy));
        ck_ok(constraints_permit_dns(copy, "example.org", &err), err);
        ck_assert(!constraints_equal(nc, copy));
}
END_TEST

/* permitted lan (DNS), 10/8; excluded a.lan (DNS) */
#define GOOD_DER \
        "\x30\x20" \
        "\xa0\x13\x30\x05\x82\x03" \
        "lan" \
        "\x30\x0a\x87\x08\x0a\x00\x00\x00\xff\x00\x00\x00" \
        "\xa1\x09\x30\x07\x82\x05" \
        "a.lan"

START_TEST(a_prefix_or_one_byte_more_is_refused) {
        static const char more[] = GOOD_DER "\0";
        struct name_constraints *untouched = (struct name_constraints *) (uintptr_t) 1,
                                *nc = untouched;
        struct error err;

        for (size_t n = 0; n < sizeof(GOOD_DER) - 1; n++)
                ck_refused(constraints_from_der(BYTES(GOOD_DER, n), &nc, &err), err,
                           ERR_CSR_MALFORMED);
        ck_refused(constraints_from_der(BYTES(more, sizeof(more) - 1), &nc, &err), err,
                   ERR_CSR_MALFORMED);
        ck_assert_ptr_eq(nc, untouched);
}
END_TEST

START_TEST(an_exclusion_wins_over_a_permission) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = read_der(BYTES_LITERAL(GOOD_DER));
        struct error err = { 0 };

        ck_assert(check_text(nc, "b.lan", &err));
        ck_assert(!check_text(nc, "a.lan", &err));
        ck_assert(strstr(err.text, "excludes 'a.lan'") != NULL);
        ck_assert(!check_text(nc, "x.a.lan", &err));
        ck_assert(check_text(nc, "b.a.b.lan", &err));
        ck_assert(check_text(nc, "10.0.0.1", &err));
        ck_assert_msg(!check_text(nc, "fd00::1", &err),
                      "an address of the other family is not permitted (RFC 5280)");
        ck_assert_msg(check_text(nc, "a@example.com", &err), "a kind that is not listed is free");
}
END_TEST

START_TEST(a_wildcard_falls_with_an_exclusion_below_it) {
        /* excluded x.nas.lan alone */
        static const char der[] = "\x30\x0f\xa1\x0d\x30\x0b\x82\x09"
                                  "x.nas.lan";
        CAD_AUTO(constraints_free)
        struct name_constraints *nc = read_der(BYTES(der, sizeof(der) - 1));
        struct error err = { 0 };

        ck_assert(!check_text(nc, "*.nas.lan", &err));
        ck_assert(!check_text(nc, "*.x.nas.lan", &err));
        ck_assert(check_text(nc, "*.y.nas.lan", &err));
        ck_assert(check_text(nc, "nas.lan", &err));
}
END_TEST

/* Entries as other CAs write them: a leading dot for DNS, a whole e-mail address, a single URI host. */
START_TEST(forms_of_other_cas_are_understood) {
        static const char der[] = "\x30\x2b\xa0\x29"
                                  "\x30\x06\x82\x04"
                                  ".LAN"
                                  "\x30\x07\x81\x05"
                                  "a@lan"
                                  "\x30\x09\x86\x07"
                                  "nas.lan"
                                  "\x30\x0b\x81\x09"
                                  "mail.test";
        CAD_AUTO(constraints_free)
        struct name_constraints *nc = read_der(BYTES(der, sizeof(der) - 1));
        static const struct {
                const char *name;
                int permitted;
        } rows[] = {
                { "nas.lan", 1 },
                { "lan", 0 },
                { "*.nas.lan", 1 },
                { "a@lan", 1 },
                { "b@lan", 0 },
                { "A@lan", 0 },
                { "a@mail.test", 1 },
                { "a@x.mail.test", 0 },
                { "https://nas.lan/", 1 },
                { "https://a.nas.lan/", 0 },
        };
        struct error err = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                ck_assert_msg(check_text(nc, rows[i].name, &err) == rows[i].permitted, "%s",
                              rows[i].name);
}
END_TEST

/* clang-format off */
static const struct {
        const char *why;
        struct bytes der;
} bad_der[] = {
        { "an empty SEQUENCE", { (const uint8_t *) "\x30\x00", 2 } },
        { "an empty list", { (const uint8_t *) "\x30\x02\xa0\x00", 4 } },
        { "a minimum, even the default", { (const uint8_t *) "\x30\x0c\xa0\x0a\x30\x08\x82\x03" "lan\x80\x01\x00", 14 } },
        { "a minimum of 1", { (const uint8_t *) "\x30\x0c\xa0\x0a\x30\x08\x82\x03" "lan\x80\x01\x01", 14 } },
        { "a maximum", { (const uint8_t *) "\x30\x0c\xa0\x0a\x30\x08\x82\x03" "lan\x81\x01\x01", 14 } },
        { "excluded before permitted", { (const uint8_t *) "\x30\x12\xa1\x07\x30\x05\x82\x03" "lan\xa0\x07\x30\x05\x82\x03" "lan", 20 } },
        { "permitted twice", { (const uint8_t *) "\x30\x12\xa0\x07\x30\x05\x82\x03" "lan\xa0\x07\x30\x05\x82\x03" "lan", 20 } },
        { "[2]", { (const uint8_t *) "\x30\x09\xa2\x07\x30\x05\x82\x03" "lan", 11 } },
        { "a directoryName", { (const uint8_t *) "\x30\x08\xa0\x06\x30\x04\xa4\x02\x30\x00", 10 } },
        { "an otherName", { (const uint8_t *) "\x30\x06\xa0\x04\x30\x02\xa0\x00", 8 } },
        { "a universal tag", { (const uint8_t *) "\x30\x09\xa0\x07\x30\x05\x16\x03" "lan", 11 } },
        { "an empty subtree", { (const uint8_t *) "\x30\x04\xa0\x02\x30\x00", 6 } },
        { "an address without a mask", { (const uint8_t *) "\x30\x0a\xa0\x08\x30\x06\x87\x04\x0a\x00\x00\x00", 12 } },
        { "a mask with holes", { (const uint8_t *) "\x30\x0e\xa0\x0c\x30\x0a\x87\x08\x0a\x00\x00\x00\xff\x00\xff\x00", 16 } },
        { "a mask with a hole inside an octet", { (const uint8_t *) "\x30\x0e\xa0\x0c\x30\x0a\x87\x08\x0a\x00\x00\x00\xfd\x00\x00\x00", 16 } },
        { "bits behind the mask", { (const uint8_t *) "\x30\x0e\xa0\x0c\x30\x0a\x87\x08\x0a\x00\x00\x01\xff\x00\x00\x00", 16 } },
        { "a wildcard", { (const uint8_t *) "\x30\x0d\xa0\x0b\x30\x09\x82\x07*.a.lan", 15 } },
        { "a URI that is no host", { (const uint8_t *) "\x30\x0f\xa0\x0d\x30\x0b\x86\x09http://a/", 17 } },
        { "two leading dots", { (const uint8_t *) "\x30\x0b\xa0\x09\x30\x07\x82\x05..lan", 13 } },
        { "a dot alone", { (const uint8_t *) "\x30\x07\xa0\x05\x30\x03\x82\x01.", 9 } },
        { "NUL", { (const uint8_t *) "\x30\x09\xa0\x07\x30\x05\x82\x03l\0n", 11 } },
        { "two '@'", { (const uint8_t *) "\x30\x0b\xa0\x09\x30\x07\x81\x05" "a@b@c", 13 } },
};
/* clang-format on */

START_TEST(bad_constraints_are_refused) {
        struct name_constraints *nc = NULL;
        struct error err;

        ck_refused(constraints_from_der(bad_der[_i].der, &nc, &err), err, ERR_CSR_MALFORMED);
        ck_assert_ptr_null(nc);
}
END_TEST

/* ---- words ---- */

START_TEST(a_refusal_names_the_name_the_set_and_the_way_out) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_defaults();
        CAD_AUTO(constraints_free)
        struct name_constraints *none = new_from((const char *const[]){ "dlan", NULL });
        static const struct {
                const char *name, *way_out;
        } rows[] = {
                { "google.com", "--permit-dns" },
                { "8.8.8.8", "--permit-ip" },
                { "a@example.com", "--permit-email" },
                { "https://a.com/", "--permit-dns" },
        };
        struct error err;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                err = (struct error){ 0 };
                ck_assert(!check_text(nc, rows[i].name, &err));
                ck_assert_ptr_nonnull(strstr(err.text, rows[i].name));
                ck_assert_ptr_nonnull(strstr(err.text, rows[i].way_out));
                ck_assert_uint_lt(strlen(err.text), ERROR_TEXT_MAX - 1);
        }
        ck_assert(!check_text(none, "10.0.0.1", &err));
        ck_assert_ptr_nonnull(strstr(err.text, "issues for no IP address"));
}
END_TEST

START_TEST(a_list_is_checked_by_field) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_defaults();
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };

        ck_ok(san_list_add_text(&list, "nas.lan", &err), err);
        ck_ok(constraints_check_list(nc, &list, "names", &err), err);
        ck_ok(san_list_add_text(&list, "google.com", &err), err);
        ck_refused(constraints_check_list(nc, &list, "names", &err), err, ERR_NAME_NOT_PERMITTED);
        ck_assert_str_eq(err.field, "names[1]");
}
END_TEST

/* clang-format off */
static const struct {
        const char *entries[4];
        const char *says;
} descriptions[] = {
        { { NULL }, "no names; no addresses; no e-mail addresses; no URIs" },
        { { "dhome.lan" },
          "the names home.lan and what is below them; no addresses; e-mail addresses at the same names; URIs at the "
          "same names" },
        { { "i10.0.0.0/8" }, "no names; the addresses 10.0.0.0/8; no e-mail addresses; no URIs" },
        { { "da.lan", "eb.lan" },
          "the names a.lan and what is below them; no addresses; the e-mail addresses at a.lan, b.lan and what is "
          "below them; URIs at the same names" },
        { { "i0.0.0.0/0" }, "no names; the addresses 0.0.0.0/0; no e-mail addresses; no URIs" },
};
/* clang-format on */

START_TEST(a_set_is_described_in_plain_words) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = new_from(descriptions[_i].entries);
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        constraints_describe(nc, &text);
        ck_assert_str_eq(buffer_string(&text), descriptions[_i].says);
}
END_TEST

START_TEST(a_foreign_or_empty_set_is_described_too) {
        CAD_AUTO(constraints_free)
        struct name_constraints *foreign = read_der(BYTES_LITERAL(GOOD_DER));
        CAD_AUTO(constraints_free) struct name_constraints *empty = new_set();
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        constraints_describe(foreign, &text);
        buffer_text(&text, " / ");
        constraints_describe(empty, &text);
        ck_assert_str_eq(
                buffer_string(&text),
                "the names lan and what is below them, but not a.lan; the addresses 10.0.0.0/8; any e-mail "
                "addresses; any URIs / any name at all: this CA is not constrained");
}
END_TEST

START_TEST(entries_are_shown_one_by_one) {
        CAD_AUTO(constraints_free)
        struct name_constraints *nc = new_from(
                (const char *const[]){ "i10.0.0.0/8", "ifd00::/8", NULL });
        char text[SAN_TEXT_MAX];
        enum san_type type;

        ck_assert_str_eq(constraints_text(nc, CONSTRAINTS_PERMITTED, 0, &type, text, sizeof(text)),
                         "10.0.0.0/8");
        ck_assert_int_eq(type, SAN_IP);
        ck_assert_str_eq(constraints_text(nc, CONSTRAINTS_PERMITTED, 1, &type, text, sizeof(text)),
                         "fd00::/8");
        ck_assert_str_eq(constraints_text(nc, CONSTRAINTS_EXCLUDED, 0, &type, text, sizeof(text)),
                         "*");
        ck_assert_int_eq(type, SAN_DNS);
        ck_assert_uint_eq(constraints_count(nc, CONSTRAINTS_PERMITTED), 4);
        ck_assert_uint_eq(constraints_count(nc, CONSTRAINTS_EXCLUDED), 5);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("constraints");
        TCase *tc = tcase_create("constraints");

        tcase_add_loop_test(tc, the_defaults_are_private_names, 0, (int) ARRAY_SIZE(defaults));
        tcase_add_loop_test(tc, a_uri_is_judged_by_its_host, 0, (int) ARRAY_SIZE(uris));
        tcase_add_loop_test(tc, a_closed_set_permits_what_was_permitted_alone, 0,
                            (int) ARRAY_SIZE(sets));
        tcase_add_loop_test(tc, gnutls_agrees_on_the_defaults, 0, (int) ARRAY_SIZE(defaults));
        tcase_add_loop_test(tc, gnutls_agrees_on_other_sets, 0, (int) ARRAY_SIZE(sets));
        tcase_add_test(tc, an_empty_set_permits_everything_and_has_no_der);
        tcase_add_test(tc, closing_twice_adds_nothing);
        tcase_add_loop_test(tc, a_bad_entry_is_refused_and_leaves_the_set, 0,
                            (int) ARRAY_SIZE(bad_entries));
        tcase_add_test(tc, the_entries_are_bounded);
        tcase_add_test(tc, what_was_written_reads_back_the_same);
        tcase_add_test(tc, a_prefix_or_one_byte_more_is_refused);
        tcase_add_test(tc, an_exclusion_wins_over_a_permission);
        tcase_add_test(tc, a_wildcard_falls_with_an_exclusion_below_it);
        tcase_add_test(tc, forms_of_other_cas_are_understood);
        tcase_add_loop_test(tc, bad_constraints_are_refused, 0, (int) ARRAY_SIZE(bad_der));
        tcase_add_test(tc, a_refusal_names_the_name_the_set_and_the_way_out);
        tcase_add_test(tc, a_list_is_checked_by_field);
        tcase_add_loop_test(tc, a_set_is_described_in_plain_words, 0,
                            (int) ARRAY_SIZE(descriptions));
        tcase_add_test(tc, a_foreign_or_empty_set_is_described_too);
        tcase_add_test(tc, entries_are_shown_one_by_one);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
