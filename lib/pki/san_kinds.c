/*
 * The four kinds of alternative names, each checked and brought into one canonical form.
 */
#include <arpa/inet.h>

#include "lib/base/text.h"
#include "san_parts.h"

#define EMAIL_LOCAL_MAX 64 /* octets; RFC 5321 §4.5.3.1.1 */
#define EMAIL_MAX 254      /* octets; a path of 256 without its brackets, RFC 5321 §4.5.3.1.3 */

int san_refuse(struct error *err, enum san_type type, struct bytes value, const char *why) {
        char shown[SAN_SHOWN_MAX];

        return error_set(err, ERR_NAME_INVALID, "'%s' is not a valid %s: it %s",
                         text_printable(value, shown, sizeof(shown)), san_type_name(type), why);
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
                return san_refuse(err, SAN_EMAIL, in, why);
        if (dns_name_check(from(in, at + 1), /* allow_wildcard= */ false, domain, sizeof(domain),
                           &inner) < 0) {
                char shown[SAN_SHOWN_MAX];

                return error_set(err, ERR_NAME_INVALID, "'%s' is not a valid e-mail address: %s",
                                 text_printable(in, shown, sizeof(shown)), inner.text);
        }
        memcpy(out, in.data, at + 1);
        memcpy(out + at + 1, domain, in.size - at - 1);
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
                                return san_refuse(err, SAN_IP,
                                                  bytes_of(inet_ntop(in.size == 4 ? AF_INET
                                                                                  : AF_INET6,
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
        [SAN_URI] = { "URI", san_canonical_uri },
        [SAN_IP] = { "IP address", canonical_ip },
};

bool san_is_kind(enum san_type type) {
        return (size_t) type < ARRAY_SIZE(kinds) && kinds[type].canonical;
}

const char *san_type_name(enum san_type type) {
        return san_is_kind(type) ? kinds[type].name : "name of an unknown kind";
}

int san_canonical(enum san_type type, struct bytes in, char *out, size_t *ret_size,
                  struct error *err) {
        return kinds[type].canonical(in, out, ret_size, err);
}
