/*
 * Diagnosis of names: whether the leaf is for the one that was asked for, and whether its CAs may issue for those that it has.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "diagnosis_parts.h"
#include "dn.h"
#include "lib/base/text.h"

#define NAMES_MAX 1000u      /* of one certificate that are looked at */
#define NAMES_SHOWN_MAX 12u  /* of them, in a sentence */
#define NAME_OCTETS_MAX 300u /* a DNS name has 253 */

/* What the leaf says, collected in one walk. */
struct names {
        bool has_dns, has_ip, has_any;
        bool as_dns;                    /* the wanted address stands among the DNS names, as text */
        char wildcard[NAME_OCTETS_MAX]; /* one of a single label, *.lan; "" */
        size_t count;
        struct buffer text;
};

static void names_done(struct names *names) {
        buffer_done(&names->text);
}
CAD_CLEANUP_DONE(struct names, names_done)

static void show(struct names *names, const char *value) {
        names->count++;
        if (names->count <= NAMES_SHOWN_MAX)
                buffer_format(&names->text, "%s%s", names->count > 1 ? ", " : "", value);
}

/* A NUL ends a name for some readers and not for others: it is shown as what it is. */
static void show_nul(char *value, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!value[i])
                        value[i] = '\x7f';
}

static void take_dns(struct names *names, char *value, const char *wanted) {
        text_lower(value);
        names->has_dns = true;
        names->as_dns |= wanted && text_equal(value, wanted);
        if (strncmp(value, "*.", 2) == 0 && !strchr(value + 2, '.'))
                (void) snprintf(names->wildcard, sizeof(names->wildcard), "%s", value);
        show(names, value);
}

static void take_ip(struct names *names, const char *value, size_t size) {
        char text[INET6_ADDRSTRLEN] = "(an address of a wrong length)";

        names->has_ip = true;
        if (size == 4 || size == 16)
                (void) inet_ntop(size == 4 ? AF_INET : AF_INET6, value, text, sizeof(text));
        show(names, text);
}

static void collect(const struct diagnosed *leaf, const char *wanted, struct names *ret) {
        for (unsigned i = 0; i < NAMES_MAX; i++) {
                char value[NAME_OCTETS_MAX] = "";
                size_t size = sizeof(value) - 1;
                unsigned type = 0;
                int rc = gnutls_x509_crt_get_subject_alt_name2(leaf->crt, i, value, &size, &type,
                                                               /* critical= */ NULL);

                if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        break;
                ret->has_any = true;
                if (rc < 0)
                        continue;
                size = size < sizeof(value) ? size : sizeof(value) - 1;
                value[size] = '\0';
                if (type != GNUTLS_SAN_IPADDRESS)
                        show_nul(value, size);
                if (type == GNUTLS_SAN_DNSNAME)
                        take_dns(ret, value, wanted);
                else if (type == GNUTLS_SAN_IPADDRESS)
                        take_ip(ret, value, size);
                else if (type == GNUTLS_SAN_RFC822NAME || type == GNUTLS_SAN_URI)
                        show(ret, value);
        }
        if (ret->count > NAMES_SHOWN_MAX)
                buffer_format(&ret->text, " and %s%zu more",
                              ret->count == NAMES_MAX ? "at least " : "",
                              ret->count - NAMES_SHOWN_MAX);
}

static size_t address_of(const char *name, uint8_t out[16]) {
        if (inet_pton(AF_INET, name, out) == 1)
                return 4;
        return inet_pton(AF_INET6, name, out) == 1 ? 16 : 0;
}

/* GnuTLS falls back to the common name where there is no DNS name: nobody else does today. */
static bool covers(const struct diagnosed *leaf, const struct names *names, const char *wanted) {
        uint8_t address[16];
        size_t size = address_of(wanted, address);

        if (size)
                return names->has_ip &&
                        gnutls_x509_crt_check_ip(leaf->crt, address, (unsigned) size,
                                                 /* flags= */ 0);
        return names->has_dns && gnutls_x509_crt_check_hostname2(leaf->crt, wanted, /* flags= */ 0);
}

static void without_names(struct examination *x, const struct diagnosed *leaf, const char *cn) {
        if (*cn)
                diagnosis_add(
                        x->d, DIAGNOSIS_NAME_ONLY_CN,
                        "the only name is the common name '%s': there are no subject alternative names, and browsers read nothing else since 2017",
                        cn);
        else
                diagnosis_add(x->d, DIAGNOSIS_NO_NAMES, "'%s' has no name at all", leaf->label);
}

static void judge_wanted(struct examination *x, const struct diagnosed *leaf, struct names *names,
                         const char *cn) {
        const char *wanted = x->c->name, *hint = "";
        uint8_t address[16];

        if (covers(leaf, names, wanted))
                return;
        if (names->as_dns && address_of(wanted, address)) {
                diagnosis_add(
                        x->d, DIAGNOSIS_IP_AS_DNS,
                        "the address %s stands in the certificate as a DNS name: it has to be an IP address there",
                        wanted);
                return;
        }
        if (names->wildcard[0] && text_ends_with(wanted, names->wildcard + 1))
                hint = "; a wildcard directly below a top-level name covers nothing";
        else if (strcasecmp(cn, wanted) == 0)
                hint = "; it is the common name alone, which nobody reads beside other names";
        diagnosis_add(x->d, DIAGNOSIS_NAME_MISMATCH,
                      "the certificate is not for '%s': it is for %s%s", wanted,
                      names->count ? buffer_string(&names->text) : "no name of a server", hint);
}

/* ---- constraints ---- */

static void judge_constraint(struct examination *x, const struct diagnosed *ca,
                             const struct san_list *names) {
        CAD_AUTO(constraints_free) struct name_constraints *constraints = NULL;
        CAD_AUTO(buffer_done) struct buffer allowed = { 0 };
        char text[SAN_TEXT_MAX];

        if (!ca->strict || !ca->cert.name_constraints.size ||
            constraints_from_der(ca->cert.name_constraints, &constraints, /* err= */ NULL) < 0)
                return; /* none, or of kinds that GnuTLS is left to judge */
        constraints_describe(constraints, &allowed);
        for (size_t i = 0; i < names->count; i++)
                if (constraints_check(constraints, &names->items[i], /* err= */ NULL) < 0)
                        diagnosis_add(x->d, DIAGNOSIS_NAME_CONSTRAINTS,
                                      "'%s' is outside of the names that the CA '%s' is for: %s",
                                      san_text(&names->items[i], text, sizeof(text)), ca->label,
                                      buffer_string(&allowed));
}

static void judge_constraints(struct examination *x, const struct diagnosed *leaf) {
        CAD_AUTO(san_list_done) struct san_list names = { 0 };

        if (!leaf->strict || !leaf->cert.san.size ||
            san_list_from_der(&names, leaf->cert.san, "names", /* err= */ NULL) < 0)
                return;
        for (size_t i = 1; i < x->path_count; i++)
                judge_constraint(x, x->path[i], &names);
}

void diagnose_names(struct examination *x) {
        CAD_AUTO(names_done) struct names names = { 0 };
        const struct diagnosed *leaf = x->path[0];
        char cn[DIAGNOSIS_LABEL_MAX];

        judge_constraints(x, leaf);
        if (!(x->c->purpose & PURPOSE_SERVER))
                return;
        (void) dn_common_name(BYTES(leaf->subject.data, leaf->subject.size), cn, sizeof(cn));
        collect(leaf, x->c->name, &names);
        if (!names.has_any)
                without_names(x, leaf, cn);
        else if (x->c->name)
                judge_wanted(x, leaf, &names, cn);
        else if (!names.has_dns && !names.has_ip)
                diagnosis_add(x->d, DIAGNOSIS_NAME_MISMATCH,
                              "'%s' is for no server: its names are %s", leaf->label,
                              names.count ? buffer_string(&names.text) : "of other kinds");
}
