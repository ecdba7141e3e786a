/*
 * Subject alternative names: four kinds, each checked and brought into one canonical form.
 *
 * Nothing may come out of here that two verifiers could read as two different names: where the standards
 * leave a choice, the form that all agree on is taken and the rest refused, with the reason.
 */
#include "san.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idna.h"
#include "lib/base/text.h"

#define DNS_NAME_MAX 253 /* octets; RFC 1035 §2.3.4 without the root's dot */
#define DNS_LABEL_MAX 63
#define EMAIL_LOCAL_MAX 64 /* octets; RFC 5321 §4.5.3.1.1 */
#define EMAIL_MAX 254      /* octets; a path of 256 without its brackets, RFC 5321 §4.5.3.1.3 */
#define SHOWN_MAX 128      /* bytes with NUL of a value inside an error */

static bool is_digit(uint8_t c) {
        return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex_digit(uint8_t c) {
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Whether @c is one of @set; a NUL never is. */
static bool is_one_of(uint8_t c, const char *set) {
        return c && strchr(set, c);
}

static struct bytes from(struct bytes b, size_t at) {
        return BYTES(b.data + at, b.size - at);
}

/* Index of the first @c, or the size. */
static size_t find(struct bytes b, uint8_t c) {
        const uint8_t *p = b.size ? memchr(b.data, c, b.size) : NULL;

        return p ? (size_t) (p - b.data) : b.size;
}

static int refuse(struct error *err, enum san_type type, struct bytes value, const char *why) {
        char shown[SHOWN_MAX];

        return error_set(err, ERR_NAME_INVALID, "'%s' is not a valid %s: it %s",
                         text_printable(value, shown, sizeof(shown)), san_type_name(type), why);
}

/* ---- DNS names ---- */

static const struct {
        char character;
        const char *why;
} dns_foreign[] = {
        { '\0', "holds a NUL octet" },
        { ' ', "holds a space" },
        { '_', "holds '_', which host names may not (RFC 1123 §2.1); use '-'" },
        { '*', "holds '*' elsewhere than as the whole left-most label, as in *.nas.lan" },
        { '@', "holds '@'; an e-mail address needs a local part and a domain" },
        { ':', "holds ':'; give the host alone, without scheme, port or zone" },
        { '/', "holds '/'; give one host, no URL and no block of addresses" },
        { '%', "holds '%'; give the host alone, without a zone" },
};

static const char *dns_foreign_why(uint8_t c) {
        for (size_t i = 0; i < ARRAY_SIZE(dns_foreign); i++)
                if (c == (uint8_t) dns_foreign[i].character)
                        return dns_foreign[i].why;
        if (c >= 0x80)
                return "holds what is not ASCII; in a certificate an international name stands as its A-label (xn--…)";
        return "holds a character other than letters, digits, '-' and '.'";
}

/* RFC 1123 §2.1, RFC 5890 §2.3.1. @label is in lower case. */
static const char *dns_label_fault(struct bytes label) {
        char text[DNS_LABEL_MAX + 1];

        if (label.size == 0)
                return "has an empty label (a dot at its start, or two in a row)";
        if (label.size > DNS_LABEL_MAX)
                return "has a label of more than 63 characters";
        if (label.data[0] == '-' || label.data[label.size - 1] == '-')
                return "has a label that begins or ends with '-'";
        if (label.size < 4 || memcmp(label.data + 2, "--", 2) != 0)
                return NULL;
        if (memcmp(label.data, "xn", 2) != 0)
                return "has a label with '--' as third and fourth character, which is reserved (RFC 5890 §2.3.1)";
        memcpy(text, label.data, label.size);
        text[label.size] = '\0';
        return idna_label_fault(text);
}

/* A last label that is a number makes the whole an IPv4 address to a browser (WHATWG URL), in octal and hex too. */
static bool is_number_label(struct bytes label) {
        size_t i = label.size >= 2 && label.data[0] == '0' && label.data[1] == 'x' ? 2 : 0;
        bool hex = i > 0;

        for (; i < label.size; i++)
                if (!(hex ? is_hex_digit(label.data[i]) : is_digit(label.data[i])))
                        return false;
        return true;
}

static const char *dns_host_fault(struct bytes host) {
        struct bytes label;

        for (size_t i = 0; i < host.size; i++)
                if (!is_letter(host.data[i]) && !is_digit(host.data[i]) && host.data[i] != '-' &&
                    host.data[i] != '.')
                        return dns_foreign_why(host.data[i]);
        if (host.size && host.data[host.size - 1] == '.')
                return "ends in a dot; leave the dot out";
        for (struct bytes rest = host;; rest = from(rest, label.size + 1)) {
                const char *why;

                label = BYTES(rest.data, find(rest, '.'));
                why = dns_label_fault(label);
                if (why)
                        return why;
                if (label.size == rest.size)
                        break;
        }
        if (is_number_label(label))
                return "ends in a number, so it reads as an IPv4 address; an address needs the form 192.0.2.1 and the "
                       "kind of an address";
        return NULL;
}

static const char *dns_fault(struct bytes name, bool allow_wildcard) {
        bool wildcard = name.size && name.data[0] == '*' && (name.size == 1 || name.data[1] == '.');
        struct bytes host = wildcard ? from(name, name.size > 1 ? 2 : 1) : name;

        if (name.size == 0)
                return "is empty";
        if (name.size > DNS_NAME_MAX)
                return "is longer than 253 characters";
        if (wildcard && !allow_wildcard)
                return "is a wildcard, which is not taken here";
        /* No verifier follows a wildcard over a whole top level, and one over all of `lan` would be every host. */
        if (wildcard && find(host, '.') == host.size)
                return "is a wildcard with fewer than two labels behind it; name a domain below, as in *.nas.lan";
        return dns_host_fault(host);
}

static void copy_lower(struct bytes in, char *out) {
        for (size_t i = 0; i < in.size; i++)
                out[i] = (char) (in.data[i] >= 'A' && in.data[i] <= 'Z' ? in.data[i] + ('a' - 'A')
                                                                        : in.data[i]);
        out[in.size] = '\0';
}

int dns_name_check(struct bytes name, bool allow_wildcard, char *ret, size_t size,
                   struct error *err) {
        char lower[DNS_NAME_MAX + 1];
        const char *why;

        if (name.size > DNS_NAME_MAX)
                return refuse(err, SAN_DNS, name, "is longer than 253 characters");
        copy_lower(name, lower);
        why = dns_fault(BYTES(lower, name.size), allow_wildcard);
        if (why)
                return refuse(err, SAN_DNS, name, why);
        if (name.size >= size)
                return error_set(err, ERR_INTERNAL, "no room for a DNS name of %zu characters",
                                 name.size);
        memcpy(ret, lower, name.size + 1);
        return 0;
}

/* ---- canonical forms, one function a kind: @out has SAN_TEXT_MAX bytes ---- */

static int canonical_dns(struct bytes in, char *out, size_t *ret_size, struct error *err) {
        if (dns_name_check(in, /* allow_wildcard= */ true, out, SAN_TEXT_MAX, err) < 0)
                return -1;
        *ret_size = in.size;
        return 0;
}

/* RFC 5321 §4.1.2 Dot-string; a Quoted-string may hold what another program takes for the end of the address. */
static const char *email_local_fault(struct bytes local) {
        bool after_dot = true;

        if (local.size == 0)
                return "has nothing before '@'";
        if (local.size > EMAIL_LOCAL_MAX)
                return "has more than 64 characters before '@'";
        for (size_t i = 0; i < local.size; i++) {
                uint8_t c = local.data[i];

                if (c == '.' && after_dot)
                        return "has a dot at the start of its local part, or two in a row";
                if (c == '"')
                        return "has a quoted local part, which is not taken";
                if (c != '.' && !is_letter(c) && !is_digit(c) &&
                    !is_one_of(c, "!#$%&'*+-/=?^_`{|}~"))
                        return "has a character before '@' that RFC 5321 does not allow there (ASCII, no space, no "
                               "quotes)";
                after_dot = c == '.';
        }
        return after_dot ? "has a dot just before '@'" : NULL;
}

static int canonical_email(struct bytes in, char *out, size_t *ret_size, struct error *err) {
        size_t at = find(in, '@');
        const char *why = in.size > EMAIL_MAX ? "is longer than 254 characters"
                : at == in.size               ? "has no '@'"
                                              : email_local_fault(BYTES(in.data, at));
        char domain[DNS_NAME_MAX + 1];
        struct error inner = { 0 };

        if (why)
                return refuse(err, SAN_EMAIL, in, why);
        if (dns_name_check(from(in, at + 1), /* allow_wildcard= */ false, domain, sizeof(domain),
                           &inner) < 0) {
                char shown[SHOWN_MAX];

                return error_set(err, ERR_NAME_INVALID, "'%s' is not a valid e-mail address: %s",
                                 text_printable(in, shown, sizeof(shown)), inner.text);
        }
        memcpy(out, in.data, at + 1);
        memcpy(out + at + 1, domain, in.size - at - 1);
        *ret_size = in.size;
        return 0;
}

/* RFC 3986 §2: characters, and escapes of two hex digits. */
static const char *uri_characters_fault(struct bytes uri) {
        bool fragment = false;

        for (size_t i = 0; i < uri.size; i++) {
                uint8_t c = uri.data[i];

                if (c == '%' &&
                    (uri.size - i < 3 || !is_hex_digit(uri.data[i + 1]) ||
                     !is_hex_digit(uri.data[i + 2])))
                        return "has a '%' that two hex digits do not follow";
                if (c == '#' && fragment)
                        return "has more than one '#'";
                fragment |= c == '#';
                if (!is_letter(c) && !is_digit(c) && !is_one_of(c, "-._~:/?#[]@!$&'()*+,;=%"))
                        return c < 0x80
                                ? "holds a space or a character that RFC 3986 does not allow; write it as %XX"
                                : "holds what is not ASCII; write it as %XX, the host as its A-label";
        }
        return NULL;
}

/* Length of the scheme without its ':', 0 where there is none. */
static size_t uri_scheme(struct bytes uri) {
        size_t n = find(uri, ':');

        if (n == uri.size || n == 0 || !is_letter(uri.data[0]))
                return 0;
        for (size_t i = 1; i < n; i++)
                if (!is_letter(uri.data[i]) && !is_digit(uri.data[i]) &&
                    !is_one_of(uri.data[i], "+-."))
                        return 0;
        return n;
}

static const char *uri_port_fault(struct bytes port) {
        uint32_t value = 0;

        for (size_t i = 0; i < port.size; i++) {
                if (!is_digit(port.data[i]))
                        return "has a port that is no number";
                value = value * 10 + (port.data[i] - '0');
                if (value > 65535)
                        return "has a port above 65535";
        }
        return port.size && value ? NULL : "has an empty port, or port 0";
}

/* The host is a DNS name, an IPv4 address, or an IPv6 address in brackets. */
static const char *uri_host_fault(struct bytes host) {
        bool bracketed = host.size > 2 && host.data[0] == '[';
        struct bytes inner = bracketed ? BYTES(host.data + 1, host.size - 2) : host;
        char text[DNS_NAME_MAX + 1];
        struct in6_addr address;

        if (host.size == 0)
                return "has an empty host";
        if (host.size > DNS_NAME_MAX)
                return "has a host of more than 253 characters";
        memcpy(text, inner.data, inner.size);
        text[inner.size] = '\0';
        if (bracketed)
                return host.data[host.size - 1] == ']' && inet_pton(AF_INET6, text, &address) == 1
                        ? NULL
                        : "has a host in brackets that is no IPv6 address";
        if (inet_pton(AF_INET, text, &address) == 1)
                return NULL;
        copy_lower(inner, text);
        return dns_fault(BYTES(text, inner.size), /* allow_wildcard= */ false)
                ? "has a host that is no DNS name"
                : NULL;
}

/* Where a URI's authority lies, without "//"; empty where it has none. */
static struct bytes uri_authority(struct bytes uri) {
        size_t scheme = uri_scheme(uri), end = 0;
        struct bytes rest = scheme ? from(uri, scheme + 1) : BYTES_NONE;

        if (rest.size < 2 || memcmp(rest.data, "//", 2) != 0)
                return BYTES_NONE;
        rest = from(rest, 2);
        while (end < rest.size && !is_one_of(rest.data[end], "/?#"))
                end++;
        return BYTES(rest.data, end);
}

struct bytes san_uri_host(struct bytes uri) {
        struct bytes authority = uri_authority(uri);
        bool bracketed = authority.size && authority.data[0] == '[';
        size_t end = bracketed ? find(authority, ']') + 1 : find(authority, ':');

        return end <= authority.size ? BYTES(authority.data, end) : authority;
}

/*
 * Verifiers cut the host out of a URI in different ways: OpenSSL's name constraints end it at ':' or '/' alone. So what
 * makes them differ is refused: user information, and a '?' or '#' straight behind the authority.
 */
static const char *uri_authority_fault(struct bytes uri, struct bytes authority) {
        size_t behind = (size_t) (authority.data - uri.data) + authority.size;
        struct bytes host = san_uri_host(uri);

        if (find(authority, '@') < authority.size)
                return "has user information before its host";
        if (behind < uri.size && uri.data[behind] != '/')
                return "needs a '/' between its host and '?' or '#'";
        if (host.size < authority.size && authority.data[host.size] != ':')
                return "has something other than a port behind its host";
        if (host.size < authority.size) {
                const char *why = uri_port_fault(from(authority, host.size + 1));

                if (why)
                        return why;
        }
        return uri_host_fault(host);
}

/* RFC 5280 §4.2.1.6: absolute, with a scheme and something behind it. */
static const char *uri_fault(struct bytes uri) {
        const char *why = uri.size >= SAN_TEXT_MAX ? "is longer than 511 characters"
                                                   : uri_characters_fault(uri);
        size_t scheme = uri_scheme(uri);
        struct bytes authority, rest;

        if (why)
                return why;
        if (scheme == 0)
                return "has no scheme, such as https: or urn:";
        if (scheme + 1 == uri.size)
                return "has nothing behind its scheme";
        authority = uri_authority(uri);
        rest = from(uri,
                    authority.data ? (size_t) (authority.data - uri.data) + authority.size
                                   : scheme + 1);
        if (find(rest, '[') < rest.size || find(rest, ']') < rest.size)
                return "has brackets outside its host";
        return authority.data ? uri_authority_fault(uri, authority) : NULL;
}

/* Scheme and host have no case (RFC 3986 §6.2.2.1). */
static int canonical_uri(struct bytes in, char *out, size_t *ret_size, struct error *err) {
        const char *why = uri_fault(in);
        struct bytes host;

        if (why)
                return refuse(err, SAN_URI, in, why);
        copy_lower(in, out);
        host = san_uri_host(in);
        for (size_t i = uri_scheme(in); i < in.size; i++)
                if (!host.size || in.data + i < host.data || in.data + i >= host.data + host.size)
                        out[i] = (char) in.data[i];
        *ret_size = in.size;
        return 0;
}

/* clang-format off */
/* Addresses that are no host's. */
static const struct {
        size_t size;         /* octets of the address */
        uint8_t octets[12];  /* its first ones */
        unsigned bits;       /* how many of them count */
        const char *why;
} ip_refused[] = {
        { 4, { 0 }, 8, "is in 0.0.0.0/8, which is no host's (RFC 1122 §3.2.1.3)" },
        { 4, { 224 }, 4, "is a multicast address" },
        { 4, { 255, 255, 255, 255 }, 32, "is the broadcast address" },
        { 16, { 0xff }, 8, "is a multicast address" },
        { 16, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 96, "is an IPv4-mapped address; give the IPv4 address" },
        { 16, { 0 }, 96, "is unspecified or an IPv4-compatible address, which is no host's (RFC 4291 §2.5)" },
};
/* clang-format on */

static bool has_prefix(const uint8_t *address, const uint8_t *prefix, unsigned bits) {
        unsigned whole = bits / 8, rest = bits % 8;

        return memcmp(address, prefix, whole) == 0 &&
                (rest == 0 || (address[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}

static int canonical_ip(struct bytes in, char *out, size_t *ret_size, struct error *err) {
        char text[INET6_ADDRSTRLEN];

        if (in.size != 4 && in.size != 16)
                return error_set(
                        err, ERR_NAME_INVALID,
                        "an IP address of %zu octets: IPv4 has 4 and IPv6 has 16 (RFC 5280 §4.2.1.6)",
                        in.size);
        if (in.size == 4 || memcmp(in.data, &in6addr_loopback, 16) != 0) {
                for (size_t i = 0; i < ARRAY_SIZE(ip_refused); i++)
                        if (in.size == ip_refused[i].size &&
                            has_prefix(in.data, ip_refused[i].octets, ip_refused[i].bits))
                                return refuse(err, SAN_IP,
                                              bytes_of(inet_ntop(in.size == 4 ? AF_INET : AF_INET6,
                                                                 in.data, text, sizeof(text))),
                                              ip_refused[i].why);
        }
        memcpy(out, in.data, in.size);
        *ret_size = in.size;
        return 0;
}

static const struct {
        const char *name;
        int (*canonical)(struct bytes in, char *out, size_t *ret_size, struct error *err);
} kinds[] = {
        [SAN_EMAIL] = { "e-mail address", canonical_email },
        [SAN_DNS] = { "DNS name", canonical_dns },
        [SAN_URI] = { "URI", canonical_uri },
        [SAN_IP] = { "IP address", canonical_ip },
};

static bool is_kind(enum san_type type) {
        return (size_t) type < ARRAY_SIZE(kinds) && kinds[type].canonical;
}

const char *san_type_name(enum san_type type) {
        return is_kind(type) ? kinds[type].name : "name of an unknown kind";
}

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

        if (!is_kind(type))
                return error_set(err, ERR_NAME_NOT_ALLOWED, "names of kind %d are not issued",
                                 (int) type);
        if (kinds[type].canonical(value, canonical, &name.value.size, err) < 0)
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
        size_t scheme = uri_scheme(b);

        /* `host:443` has the form of a URI too, so that the schemes without "//" are named */
        return scheme &&
                (strncmp(text + scheme, "://", 3) == 0 || strncasecmp(text, "urn:", 4) == 0);
}

/* Put the A-label form of the domain that begins at @at into @out, what is before as it is. */
static int domain_to_ascii(const char *text, size_t at, char *out, enum san_type type,
                           struct error *err) {
        memcpy(out, text, at);
        if (idna_to_ascii(bytes_of(text + at), out + at, SAN_TEXT_MAX - at) < 0)
                return refuse(
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
                return refuse(err, type, bytes_of(text), "is longer than 511 characters");
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
        if ((tag & 0xe0) != 0x80 || !is_kind((enum san_type)(tag & 0x1f)))
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
