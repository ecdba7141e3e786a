/*
 * DNS names: which are taken, in lower case, and why the others are not.
 */
#include "idna.h"
#include "san_parts.h"

#define DNS_LABEL_MAX 63

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

const char *dns_name_fault(struct bytes name, bool allow_wildcard) {
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

void san_copy_lower(struct bytes in, char *out) {
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
                return san_refuse(err, SAN_DNS, name, "is longer than 253 characters");
        san_copy_lower(name, lower);
        why = dns_name_fault(BYTES(lower, name.size), allow_wildcard);
        if (why)
                return san_refuse(err, SAN_DNS, name, why);
        if (name.size >= size)
                return error_set(err, ERR_INTERNAL, "no room for a DNS name of %zu characters",
                                 name.size);
        memcpy(ret, lower, name.size + 1);
        return 0;
}
