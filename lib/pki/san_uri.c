/*
 * URIs as alternative names: those alone out of which every verifier reads the same host.
 */
#include <arpa/inet.h>

#include "san_parts.h"

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
size_t san_uri_scheme(struct bytes uri) {
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
        san_copy_lower(inner, text);
        return dns_name_fault(BYTES(text, inner.size), /* allow_wildcard= */ false)
                ? "has a host that is no DNS name"
                : NULL;
}

/* Where a URI's authority lies, without "//"; empty where it has none. */
static struct bytes uri_authority(struct bytes uri) {
        size_t scheme = san_uri_scheme(uri), end = 0;
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
        size_t scheme = san_uri_scheme(uri);
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
int san_canonical_uri(struct bytes in, char *out, size_t *ret_size, struct error *err) {
        const char *why = uri_fault(in);
        struct bytes host;

        if (why)
                return san_refuse(err, SAN_URI, in, why);
        san_copy_lower(in, out);
        host = san_uri_host(in);
        for (size_t i = san_uri_scheme(in); i < in.size; i++)
                if (!host.size || in.data + i < host.data || in.data + i >= host.data + host.size)
                        out[i] = (char) in.data[i];
        *ret_size = in.size;
        return 0;
}
