/*
 * Subject alternative names: what is taken, in which form, and what is refused (threats.md §4 rows 15–20, 23, 24).
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "lib/pki/san.h"

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME253 L63 "." L63 "." L63 "." L61

/* clang-format off */
static const struct {
        const char *why, *text;
        enum san_type type;
        const char *canonical; /* as san_text() shows it */
} good[] = {
        { "an ordinary name", "nas.lan", SAN_DNS, "nas.lan" },
        { "upper case is lowered (row 16)", "NAS.Lan", SAN_DNS, "nas.lan" },
        { "a single label is a form; constraints decide", "localhost", SAN_DNS, "localhost" },
        { "digits may begin a label (RFC 1123)", "3com.lan", SAN_DNS, "3com.lan" },
        { "a label of digits that is not the last", "1.2.lan", SAN_DNS, "1.2.lan" },
        { "the longest label", L63 ".lan", SAN_DNS, L63 ".lan" },
        { "the longest name", NAME253, SAN_DNS, NAME253 },
        { "a hyphen inside", "a-b.lan", SAN_DNS, "a-b.lan" },
        { "two hyphens elsewhere than at 3 and 4", "abc--d.lan", SAN_DNS, "abc--d.lan" },
        { "a wildcard below two labels", "*.nas.lan", SAN_DNS, "*.nas.lan" },
        { "a good A-label (row 19)", "xn--bcher-kva.lan", SAN_DNS, "xn--bcher-kva.lan" },
        { "an A-label in upper case", "XN--BCHER-KVA.lan", SAN_DNS, "xn--bcher-kva.lan" },
        { "a U-label is turned into its A-label", "bücher.lan", SAN_DNS, "xn--bcher-kva.lan" },
        { "a U-label in upper case", "BÜCHER.LAN", SAN_DNS, "xn--bcher-kva.lan" },
        { "IDNA 2008, not 2003: ß stays", "straße.lan", SAN_DNS, "xn--strae-oqa.lan" },
        { "a U-label behind a wildcard", "*.bücher.lan", SAN_DNS, "*.xn--bcher-kva.lan" },
        { "Japanese with its own dot", "日本。lan", SAN_DNS, "xn--wgv71a.lan" },
        { "Cyrillic alone is no mixture", "дом.lan", SAN_DNS, "xn--d1aqf.lan" },
        { "a decomposed umlaut, as some file systems write it", "bu\xcc\x88" "cher.lan", SAN_DNS, "xn--bcher-kva.lan" },
        { "Hebrew", "בית.lan", SAN_DNS, "xn--5dbq5c.lan" },
        { "Kana beside Latin is honest", "cadか.lan", SAN_DNS, "xn--cad-n73b.lan" },
        { "IPv4", "192.168.1.10", SAN_IP, "192.168.1.10" },
        { "loopback", "127.0.0.1", SAN_IP, "127.0.0.1" },
        { "IPv6", "fe80::1", SAN_IP, "fe80::1" },
        { "IPv6 in brackets", "[fe80::1]", SAN_IP, "fe80::1" },
        { "IPv6 loopback", "::1", SAN_IP, "::1" },
        { "IPv6 as RFC 5952 writes it: lower case, longest run of zeros, no leading zeros", "FD00:0:0:1:0:0:0:0A", SAN_IP,
          "fd00:0:0:1::a" },
        { "RFC 5952 §4.2.2: one group of zeros is not shortened", "fd00:1:2:3:4:0:5:6", SAN_IP, "fd00:1:2:3:4:0:5:6" },
        { "an e-mail address", "a@home.lan", SAN_EMAIL, "a@home.lan" },
        { "the local part has case, the domain has not", "Ann.B+x@Home.LAN", SAN_EMAIL, "Ann.B+x@home.lan" },
        { "an international e-mail domain", "a@bücher.lan", SAN_EMAIL, "a@xn--bcher-kva.lan" },
        { "a URI", "https://nas.lan/path?q=1#f", SAN_URI, "https://nas.lan/path?q=1#f" },
        { "scheme and host have no case, the path has", "HTTPS://NAS.lan:8443/Path", SAN_URI, "https://nas.lan:8443/Path" },
        { "SPIFFE", "spiffe://home.lan/db", SAN_URI, "spiffe://home.lan/db" },
        { "a URN has no host", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", SAN_URI,
          "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6" },
        { "a URI of an address", "https://[FD00::1]:443/", SAN_URI, "https://[fd00::1]:443/" },
        { "an escape", "https://nas.lan/a%20b", SAN_URI, "https://nas.lan/a%20b" },
        { "'@' in a path is no user", "https://nas.lan/~a@b", SAN_URI, "https://nas.lan/~a@b" },
};
/* clang-format on */

START_TEST(a_name_is_taken_in_canonical_form) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };
        char text[SAN_TEXT_MAX];

        ck_ok(san_list_add_text(&list, good[_i].text, &err), err);
        ck_assert_uint_eq(list.count, 1);
        ck_assert_msg(list.items[0].type == good[_i].type, "%s: %s", good[_i].why,
                      san_type_name(list.items[0].type));
        ck_assert_str_eq(san_text(&list.items[0], text, sizeof(text)), good[_i].canonical);
        /* the canonical form is a fixed point */
        ck_ok(san_list_add(&list, list.items[0].type, list.items[0].value, &err), err);
        ck_assert_uint_eq(list.count, 1);
        ck_ok(san_list_add_text(&list, text, &err), err);
        ck_assert_uint_eq(list.count, 1);
}
END_TEST

/* clang-format off */
static const struct {
        const char *why, *text, *says;
} bad_text[] = {
        { "empty", "", "empty" },
        { "a space", "a b.lan", "space" },
        { "an underscore", "na_s.lan", "'_'" },
        { "a leading hyphen", "-nas.lan", "'-'" },
        { "a trailing hyphen", "nas-.lan", "'-'" },
        { "two dots", "nas..lan", "empty label" },
        { "a leading dot", ".lan", "empty label" },
        { "a trailing dot", "nas.lan.", "ends in a dot" },
        { "a dot alone", ".", "dot" },
        { "a label of 64", L63 "a.lan", "63" },
        { "a name of 254", NAME253 "a", "253" },
        { "all digits", "12345", "number" },
        { "an IPv4 address cut short", "192.168.1", "number" },
        { "an IPv4 address with a number too large", "192.168.1.256", "number" },
        { "a hexadecimal IPv4 address of browsers", "nas.0x7f", "number" },
        { "a wildcard alone", "*", "wildcard" },
        { "a wildcard and a dot", "*.", "wildcard" },
        { "a wildcard at the top", "*.lan", "wildcard" },
        { "a wildcard inside", "a.*.lan", "'*'" },
        { "a wildcard in a label", "*a.nas.lan", "'*'" },
        { "a wildcard behind a letter", "a*.nas.lan", "'*'" },
        { "two wildcards", "*.*.nas.lan", "'*'" },
        { "a port", "nas.lan:443", "':'" },
        { "a zone", "fe80::1%eth0", "':'" },
        { "a block", "192.168.0.0/16", "'/'" },
        { "a path", "nas.lan/x", "'/'" },
        { "an A-label that does not decode", "xn--.lan", "'-'" },
        { "an A-label of plain ASCII", "xn--abc-.lan", "'-'" },
        { "an A-label with an unassigned or odd code point", "xn--a.lan", "A-label" },
        { "an A-label that maps to another name", "xn--bcher-kvb.lan", "A-label" },
        { "an A-label of an emoji", "xn--ls8h.lan", "A-label" },
        { "an A-label in an A-label", "xn--xn--a--gua.lan", "A-label" },
        { "a label that begins with a combining mark", "xn--kva.lan", "A-label" },
        { "Cyrillic а before Latin (аpple)", "xn--pple-43d.lan", "scripts" },
        { "the same as a U-label", "аpple.lan", "scripts" },
        { "Greek omicron among Latin", "gοοgle.lan", "scripts" },
        { "an underscore in a U-label must not be dropped", "a_ü.lan", "IDNA" },
        { "a line break in a U-label must not be dropped", "ü\nb.lan", "IDNA" },
        { "a character that becomes 'a/c' must not vanish", "evil.c℀b.lan", "IDNA" },
        { "a fullwidth slash must not vanish", "a／b.lan", "IDNA" },
        { "a zero-width space must not vanish", "a\xe2\x80\x8b" "b.lan", "IDNA" },
        { "a soft hyphen must not vanish", "a\xc2\xad" "b.lan", "IDNA" },
        { "U+202E", "a\xe2\x80\xae" "b.lan", "IDNA" },
        { "invalid UTF-8", "b\xfc" "cher.lan", "UTF-8" },
        { "overlong UTF-8", "b\xc1\x81.lan", "UTF-8" },
        { "reserved hyphens", "ab--cd.lan", "reserved" },
        { "0.0.0.0 (row 23)", "0.0.0.0", "0.0.0.0/8" },
        { "0.1.2.3", "0.1.2.3", "0.0.0.0/8" },
        { "::", "::", "unspecified" },
        { "multicast", "224.0.0.1", "multicast" },
        { "the last multicast address", "239.255.255.255", "multicast" },
        { "broadcast", "255.255.255.255", "broadcast" },
        { "IPv6 multicast", "ff02::1", "multicast" },
        { "IPv4-mapped", "::ffff:192.168.1.1", "IPv4-mapped" },
        { "IPv4-compatible", "::192.168.1.1", "IPv4-compatible" },
        { "no local part", "@home.lan", "nothing before" },
        { "no domain", "a@", "empty" },
        { "two '@'", "a@b@home.lan", "'@'" },
        { "a quoted local part", "\"a b\"@home.lan", "quoted" },
        { "a dot at the end of the local part", "a.@home.lan", "dot" },
        { "a dot at its start", ".a@home.lan", "dot" },
        { "an address literal", "a@[192.168.1.1]", "" },
        { "a domain that is an address", "a@192.168.1.1", "number" },
        { "a wildcard domain", "a@*.nas.lan", "wildcard" },
        { "a local part of 65", L63 "aa@home.lan", "64" },
        { "not ASCII before '@'", "ü@home.lan", "RFC 5321" },
        { "a scheme alone", "urn:", "behind its scheme" },
        { "a user in a URI", "https://lan@evil.example/", "user" },
        { "'?' behind the host: OpenSSL reads on", "https://evil.example?.lan", "'/'" },
        { "'#' behind the host", "https://evil.example#.lan", "'/'" },
        { "an empty host", "https:///x", "empty host" },
        { "port 0", "https://nas.lan:0/", "port" },
        { "an empty port", "https://nas.lan:/", "port" },
        { "a port too large", "https://nas.lan:65536/", "port" },
        { "a port of letters", "https://nas.lan:x/", "port" },
        { "something behind a bracket", "https://[::1]x/", "port" },
        { "no end of bracket", "https://[::1/", "" },
        { "a space in a URI", "https://nas.lan/a b", "space" },
        { "a bad escape", "https://nas.lan/%2", "'%'" },
        { "an escape in the host", "https://na%73.lan/", "host" },
        { "two fragments", "https://nas.lan/#a#b", "'#'" },
        { "brackets in a path", "https://nas.lan/[a]", "brackets" },
        { "not ASCII in a URI", "https://bücher.lan/", "ASCII" },
};
/* clang-format on */

START_TEST(a_bad_name_is_refused_with_its_reason) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err;

        ck_refused(san_list_add_text(&list, bad_text[_i].text, &err), err, ERR_NAME_INVALID);
        ck_assert_msg(strstr(err.text, bad_text[_i].says) != NULL, "%s: '%s' says nothing of %s",
                      bad_text[_i].why, err.text, bad_text[_i].says);
        ck_assert_uint_eq(list.count, 0);
        ck_assert_str_eq(err.field, "");
}
END_TEST

/* clang-format off */
static const struct {
        const char *why;
        enum san_type type;
        struct bytes value;
} bad_octets[] = {
        { "NUL in a DNS name (row 17)", SAN_DNS, { (const uint8_t *) "good.lan\0.evil", 14 } },
        { "NUL at its end", SAN_DNS, { (const uint8_t *) "good.lan\0", 9 } },
        { "a U-label in IA5String (row 19)", SAN_DNS, { (const uint8_t *) "b\xc3\xbc.lan", 7 } },
        { "Latin-1", SAN_DNS, { (const uint8_t *) "b\xfc.lan", 6 } },
        { "a URL as DNS name", SAN_DNS, { (const uint8_t *) "https://nas.lan", 15 } },
        { "an e-mail address as DNS name", SAN_DNS, { (const uint8_t *) "a@nas.lan", 9 } },
        { "an IPv4 address as DNS name", SAN_DNS, { (const uint8_t *) "192.168.1.1", 11 } },
        { "an IPv6 address as DNS name", SAN_DNS, { (const uint8_t *) "fe80::1", 7 } },
        { "a tab", SAN_DNS, { (const uint8_t *) "a\tb", 3 } },
        { "an empty DNS name", SAN_DNS, { NULL, 0 } },
        { "NUL in an e-mail address", SAN_EMAIL, { (const uint8_t *) "a@good.lan\0.evil", 16 } },
        { "NUL before '@'", SAN_EMAIL, { (const uint8_t *) "a\0@good.lan", 11 } },
        { "an empty e-mail address", SAN_EMAIL, { NULL, 0 } },
        { "a domain alone as e-mail address", SAN_EMAIL, { (const uint8_t *) "nas.lan", 7 } },
        { "NUL in a URI", SAN_URI, { (const uint8_t *) "urn:a\0b", 7 } },
        { "NUL in a URI's host", SAN_URI, { (const uint8_t *) "https://a.lan\0.evil/", 20 } },
        { "an empty URI", SAN_URI, { NULL, 0 } },
        { "a URI without a scheme", SAN_URI, { (const uint8_t *) "//nas.lan/", 10 } },
        { "a scheme that begins with a digit", SAN_URI, { (const uint8_t *) "1a:b", 4 } },
        { "no octet of an address", SAN_IP, { NULL, 0 } },
        { "3 octets", SAN_IP, { (const uint8_t *) "\x0a\x00\x00", 3 } },
        { "5 octets", SAN_IP, { (const uint8_t *) "\x0a\x00\x00\x01\x00", 5 } },
        { "8 octets: an address and a mask", SAN_IP, { (const uint8_t *) "\x0a\x00\x00\x00\xff\x00\x00\x00", 8 } },
        { "17 octets", SAN_IP, { (const uint8_t *) "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1\2", 17 } },
};
/* clang-format on */

START_TEST(bad_octets_are_refused) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err;

        ck_refused(san_list_add(&list, bad_octets[_i].type, bad_octets[_i].value, &err), err,
                   ERR_NAME_INVALID);
        ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(kinds_that_are_not_issued_are_refused) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err;

        for (int type = -1; type < 40; type++)
                if (type != SAN_DNS && type != SAN_EMAIL && type != SAN_URI && type != SAN_IP)
                        ck_refused(san_list_add(&list, (enum san_type) type,
                                                BYTES_LITERAL("nas.lan"), &err),
                                   err, ERR_NAME_NOT_ALLOWED);
}
END_TEST

/* ---- lists ---- */

START_TEST(equal_names_are_kept_once) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };

        ck_ok(san_list_add_text(&list, "nas.lan", &err), err);
        ck_ok(san_list_add_text(&list, "NAS.LAN", &err), err);
        ck_ok(san_list_add_text(&list, "bücher.lan", &err), err);
        ck_ok(san_list_add_text(&list, "xn--bcher-kva.lan", &err), err);
        ck_ok(san_list_add_text(&list, "fe80::0:1", &err), err);
        ck_ok(san_list_add_text(&list, "[fe80::1]", &err), err);
        ck_assert_uint_eq(list.count, 3);
}
END_TEST

START_TEST(the_hundred_and_first_name_is_refused) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };
        char name[32];

        for (unsigned i = 0; i < SAN_COUNT_MAX; i++) {
                (void) snprintf(name, sizeof(name), "host%u.lan", i);
                ck_ok(san_list_add_text(&list, name, &err), err);
        }
        ck_ok(san_list_add_text(&list, "host7.lan", &err), err);
        ck_refused(san_list_add_text(&list, "one-more.lan", &err), err, ERR_NAMES_TOO_MANY);
        ck_assert_uint_eq(list.count, SAN_COUNT_MAX);
}
END_TEST

START_TEST(lists_compare_by_order_and_content) {
        CAD_AUTO(san_list_done) struct san_list a = { .count = 0 };
        CAD_AUTO(san_list_done) struct san_list b = { .count = 0 };
        CAD_AUTO(san_list_done) struct san_list c = { .count = 0 };
        struct error err = { 0 };

        ck_ok(san_list_add_text(&a, "a.lan", &err), err);
        ck_ok(san_list_add_text(&a, "b.lan", &err), err);
        ck_ok(san_list_add_text(&b, "a.lan", &err), err);
        ck_assert(!san_list_equal(&a, &b));
        ck_ok(san_list_add_text(&b, "b.lan", &err), err);
        ck_assert(san_list_equal(&a, &b));
        ck_ok(san_list_add_text(&c, "b.lan", &err), err);
        ck_ok(san_list_add_text(&c, "a.lan", &err), err);
        ck_assert(!san_list_equal(&a, &c));
        ck_assert(san_list_contains(&a, &c.items[0]));
        ck_assert(!san_equal(&a.items[0], &a.items[1]));
        ck_assert(!san_equal(&a.items[0], &(struct san){ SAN_URI, a.items[0].value }));
}
END_TEST

START_TEST(a_name_is_shown_both_ways) {
        static const struct {
                const char *text, *unicode;
        } rows[] = {
                { "xn--bcher-kva.lan", "bücher.lan" },
                { "*.xn--bcher-kva.lan", "*.bücher.lan" },
                { "a@xn--bcher-kva.lan", "a@bücher.lan" },
                { "nas.lan", "nas.lan" },
                { "10.0.0.1", "10.0.0.1" },
                { "https://xn--bcher-kva.lan/", "https://xn--bcher-kva.lan/" },
        };
        struct error err = { 0 };
        char text[SAN_TEXT_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };

                ck_ok(san_list_add_text(&list, rows[i].text, &err), err);
                ck_assert_str_eq(san_text(&list.items[0], text, sizeof(text)), rows[i].text);
                ck_assert_str_eq(san_text_unicode(&list.items[0], text, sizeof(text)),
                                 rows[i].unicode);
        }
}
END_TEST

START_TEST(a_name_that_does_not_fit_is_cut_not_overrun) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };
        char text[32];

        ck_ok(san_list_add_text(&list, "a@xn--bcher-kva.lan", &err), err);
        for (size_t size = 8; size < sizeof(text); size++) {
                memset(text, 'x', sizeof(text));
                (void) san_text(&list.items[0], text, size);
                ck_assert_uint_lt(strlen(text), size);
                memset(text, 'x', sizeof(text));
                (void) san_text_unicode(&list.items[0], text, size);
                ck_assert_uint_lt(strlen(text), size);
        }
}
END_TEST

START_TEST(a_host_is_taken_from_a_uri) {
        static const struct {
                const char *uri, *host;
        } rows[] = {
                { "https://nas.lan/", "nas.lan" },
                { "https://nas.lan:8443/x", "nas.lan" },
                { "https://nas.lan", "nas.lan" },
                { "https://[::1]:1/", "[::1]" },
                { "urn:a:b", "" },
                { "nonsense", "" },
                { "https://", "" },
                { "", "" },
                { "https://[::1", "[::1" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                ck_assert_msg(bytes_equal(san_uri_host(bytes_of(rows[i].uri)),
                                          bytes_of(rows[i].host)),
                              "%s", rows[i].uri);
}
END_TEST

START_TEST(a_dns_name_is_checked_alone) {
        struct error err = { 0 };
        char name[256], small[4] = "zz";

        ck_ok(dns_name_check(BYTES_LITERAL("NAS.lan"), false, name, sizeof(name), &err), err);
        ck_assert_str_eq(name, "nas.lan");
        ck_ok(dns_name_check(BYTES_LITERAL("*.nas.lan"), true, name, sizeof(name), &err), err);
        ck_refused(dns_name_check(BYTES_LITERAL("*.nas.lan"), false, name, sizeof(name), &err), err,
                   ERR_NAME_INVALID);
        ck_assert_str_eq(name, "*.nas.lan");
        ck_refused(dns_name_check(BYTES_LITERAL("nas.lan"), false, small, sizeof(small), &err), err,
                   ERR_INTERNAL);
        ck_assert_str_eq(small, "zz");
}
END_TEST

/* ---- DER ---- */

/* a.lan, a@b.lan, 10.0.0.1, urn:a */
#define GOOD_DER \
        "\x30\x1d" \
        "\x82\x05" \
        "a.lan" \
        "\x81\x07" \
        "a@b.lan" \
        "\x87\x04\x0a\x00\x00\x01" \
        "\x86\x05" \
        "urn:a"

START_TEST(general_names_are_read_and_written_alike) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };
        uint8_t buffer[64];
        struct der_writer w;

        ck_ok(san_list_from_der(&list, BYTES_LITERAL(GOOD_DER), "csr.san", &err), err);
        ck_assert_uint_eq(list.count, 4);
        ck_assert_int_eq(list.items[1].type, SAN_EMAIL);
        der_writer_init(&w, buffer, sizeof(buffer));
        san_list_put_der(&list, &w);
        ck_assert(bytes_equal(der_writer_bytes(&w), BYTES_LITERAL(GOOD_DER)));
}
END_TEST

START_TEST(a_prefix_or_one_byte_more_is_refused_and_leaves_the_list) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        static const char more[] = GOOD_DER "\0";
        struct error err = { 0 };

        ck_ok(san_list_add_text(&list, "before.lan", &err), err);
        for (size_t n = 0; n < sizeof(GOOD_DER) - 1; n++)
                ck_refused(san_list_from_der(&list, BYTES(GOOD_DER, n), "csr.san", &err), err,
                           ERR_CSR_MALFORMED);
        ck_refused(san_list_from_der(&list, BYTES(more, sizeof(more) - 1), "csr.san", &err), err,
                   ERR_CSR_MALFORMED);
        ck_assert_uint_eq(list.count, 1);
        ck_assert(bytes_equal(list.items[0].value, BYTES_LITERAL("before.lan")));
}
END_TEST

/* clang-format off */
static const struct {
        const char *why;
        struct bytes der;
        enum error_code code;
        const char *field, *says;
} bad_der[] = {
        { "an empty SEQUENCE (row 25)", { (const uint8_t *) "\x30\x00", 2 }, ERR_CSR_MALFORMED, "csr.san", "" },
        { "a SET", { (const uint8_t *) "\x31\x07\x82\x05" "a.lan", 9 }, ERR_CSR_MALFORMED, "csr.san", "" },
        { "an indefinite length (row 26)", { (const uint8_t *) "\x30\x80\x82\x05" "a.lan\0\0", 11 }, ERR_CSR_MALFORMED, "csr.san", "" },
        { "a length that is not minimal", { (const uint8_t *) "\x30\x81\x07\x82\x05" "a.lan", 10 }, ERR_CSR_MALFORMED, "csr.san", "" },
        { "a length of 4 GiB (row 27)", { (const uint8_t *) "\x30\x84\xff\xff\xff\xff\x82\x05" "a.lan", 13 }, ERR_CSR_MALFORMED, "csr.san", "" },
        { "an inner length too long", { (const uint8_t *) "\x30\x07\x82\x06" "a.lan", 9 }, ERR_CSR_MALFORMED, "csr.san[0]", "" },
        { "the second name is bad DER", { (const uint8_t *) "\x30\x08\x82\x05" "a.lan\x82", 10 }, ERR_CSR_MALFORMED, "csr.san[1]", "" },
        { "otherName (row 24)", { (const uint8_t *) "\x30\x02\xa0\x00", 4 }, ERR_NAME_NOT_ALLOWED, "csr.san[0]", "otherName" },
        { "x400Address", { (const uint8_t *) "\x30\x02\xa3\x00", 4 }, ERR_NAME_NOT_ALLOWED, "csr.san[0]", "x400Address" },
        { "directoryName behind a good one", { (const uint8_t *) "\x30\x0b\x82\x05" "a.lan\xa4\x02\x30\x00", 13 }, ERR_NAME_NOT_ALLOWED, "csr.san[1]", "directoryName" },
        { "ediPartyName", { (const uint8_t *) "\x30\x02\xa5\x00", 4 }, ERR_NAME_NOT_ALLOWED, "csr.san[0]", "ediPartyName" },
        { "registeredID", { (const uint8_t *) "\x30\x03\x88\x01\x2a", 5 }, ERR_NAME_NOT_ALLOWED, "csr.san[0]", "registeredID" },
        { "a constructed dNSName", { (const uint8_t *) "\x30\x07\xa2\x05" "a.lan", 9 }, ERR_CSR_MALFORMED, "csr.san[0]", "0xa2" },
        { "a universal tag", { (const uint8_t *) "\x30\x07\x16\x05" "a.lan", 9 }, ERR_CSR_MALFORMED, "csr.san[0]", "0x16" },
        { "[9]", { (const uint8_t *) "\x30\x02\x89\x00", 4 }, ERR_CSR_MALFORMED, "csr.san[0]", "0x89" },
        { "NUL in a name", { (const uint8_t *) "\x30\x07\x82\x05" "a.\0an", 9 }, ERR_NAME_INVALID, "csr.san[0]", "NUL" },
        { "an address of 3 octets", { (const uint8_t *) "\x30\x05\x87\x03\x0a\x00\x00", 7 }, ERR_NAME_INVALID, "csr.san[0]", "3 octets" },
};
/* clang-format on */

START_TEST(bad_general_names_are_refused_by_field) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err;

        ck_refused(san_list_from_der(&list, bad_der[_i].der, "csr.san", &err), err,
                   bad_der[_i].code);
        ck_assert_str_eq(err.field, bad_der[_i].field);
        ck_assert_msg(strstr(err.text, bad_der[_i].says) != NULL, "%s: %s", bad_der[_i].why,
                      err.text);
        ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(a_long_list_of_one_name_is_refused_too) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        uint8_t buffer[1024];
        struct error err;
        struct der_writer w;

        der_writer_init(&w, buffer, sizeof(buffer));
        for (int i = 0; i <= SAN_COUNT_MAX; i++)
                der_put(&w, DER_CONTEXT(SAN_DNS), BYTES_LITERAL("a.lan"));
        der_wrap(&w, DER_SEQUENCE, 0);
        ck_refused(san_list_from_der(&list, der_writer_bytes(&w), "csr.san", &err), err,
                   ERR_NAMES_TOO_MANY);
        ck_assert_str_eq(err.field, "csr.san[100]");
        ck_assert_uint_eq(list.count, 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("san");
        TCase *tc = tcase_create("san");

        tcase_add_loop_test(tc, a_name_is_taken_in_canonical_form, 0, (int) ARRAY_SIZE(good));
        tcase_add_loop_test(tc, a_bad_name_is_refused_with_its_reason, 0,
                            (int) ARRAY_SIZE(bad_text));
        tcase_add_loop_test(tc, bad_octets_are_refused, 0, (int) ARRAY_SIZE(bad_octets));
        tcase_add_test(tc, kinds_that_are_not_issued_are_refused);
        tcase_add_test(tc, equal_names_are_kept_once);
        tcase_add_test(tc, the_hundred_and_first_name_is_refused);
        tcase_add_test(tc, lists_compare_by_order_and_content);
        tcase_add_test(tc, a_name_is_shown_both_ways);
        tcase_add_test(tc, a_name_that_does_not_fit_is_cut_not_overrun);
        tcase_add_test(tc, a_host_is_taken_from_a_uri);
        tcase_add_test(tc, a_dns_name_is_checked_alone);
        tcase_add_test(tc, general_names_are_read_and_written_alike);
        tcase_add_test(tc, a_prefix_or_one_byte_more_is_refused_and_leaves_the_list);
        tcase_add_loop_test(tc, bad_general_names_are_refused_by_field, 0,
                            (int) ARRAY_SIZE(bad_der));
        tcase_add_test(tc, a_long_list_of_one_name_is_refused_too);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
