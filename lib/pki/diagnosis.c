/*
 * Diagnosis: the table of what can be wrong, and the list of what is.
 *
 * It judges nothing itself, opens nothing and knows no time but the one that it is told.
 */
#include "diagnosis.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "diagnosis_parts.h"
#include "lib/base/text.h"

#define BROWSERS (DEVICE_BIT(DEVICE_CHROME) | DEVICE_BIT(DEVICE_FIREFOX) | DEVICE_BIT(DEVICE_APPLE))
#define FIREFOX DEVICE_BIT(DEVICE_FIREFOX)
#define APPLE DEVICE_BIT(DEVICE_APPLE)
#define APPS DEVICE_BIT(DEVICE_APPS)
#define JAVA DEVICE_BIT(DEVICE_JAVA)
#define LINUX DEVICE_BIT(DEVICE_LINUX)
#define OLD DEVICE_BIT(DEVICE_OLD)

static const char by_crl[] =
        "whoever looks at the CRL or asks by OCSP: servers that check their clients, VPNs, Firefox by OCSP; other browsers hardly look for a CA of your own";
static const char by_servers[] = "servers that ask their clients for a certificate";
static const char by_strict[] =
        "programs that put nothing in order themselves: small TLS libraries in devices, old Java and Android";

/* clang-format off */
/*
 * Who refuses what, from the makers' own pages and sources: Apple HT210176 (825 days, serverAuth, RSA 2048, SAN), Chromium's
 * net/cert (SHA-1, names, Ed25519 and P-521 are not offered), Mozilla's pkix (CA as end entity, anyExtendedKeyUsage), Java's
 * jdk.certpath.disabledAlgorithms, jdk.tls.maxCertificateChainLength and maxHandshakeMessageSize, OpenSSL's security level 2 in Debian.
 */
static const struct {
        const char *slug, *title;
        enum diagnosis_severity severity;
        unsigned devices;
        const char *who;
} rows[] = {
        [DIAGNOSIS_NOT_TLS] =              { "not-tls", "it does not speak TLS", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_TLS_STALLED] =          { "tls-stalled", "the TLS handshake stalls", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_TLS_OVERSIZED] =        { "tls-oversized", "it sends too much", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_TLS_FAILED] =           { "tls-failed", "the TLS handshake fails", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_NO_CERTIFICATE] =       { "no-certificate", "there is no certificate", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_UNREADABLE] =           { "unreadable", "a certificate cannot be read", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_REVOKED] =              { "revoked", "revoked", DIAGNOSIS_REFUSED, 0, by_crl },
        [DIAGNOSIS_ON_HOLD] =              { "on-hold", "on hold", DIAGNOSIS_REFUSED, 0, by_crl },
        [DIAGNOSIS_CLOCK_HERE] =           { "clock-here", "this machine's clock is wrong", DIAGNOSIS_REFUSED, 0, "every program on this machine" },
        [DIAGNOSIS_CLOCK_SERVER] =         { "clock-server", "the server's clock is wrong", DIAGNOSIS_WARNING, 0, NULL },
        [DIAGNOSIS_CLOCK_UNCLEAR] =        { "clock-unclear", "two clocks differ", DIAGNOSIS_WARNING, 0, NULL },
        [DIAGNOSIS_EXPIRED] =              { "expired", "expired", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_NOT_YET_VALID] =        { "not-yet-valid", "not yet valid", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_ISSUER_EXPIRED] =       { "issuer-expired", "the CA's certificate has expired", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_ISSUER_NOT_YET_VALID] = { "issuer-not-yet-valid", "the CA's certificate is not yet valid", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_KEY_MISMATCH] =         { "key-mismatch", "the key does not fit", DIAGNOSIS_REFUSED, 0, "the server itself: it will not start with them" },
        [DIAGNOSIS_LEAF_NOT_FIRST] =       { "leaf-not-first", "the server's certificate is not first", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_SELF_SIGNED] =          { "self-signed", "self-signed", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_SIGNATURE_WRONG] =      { "signature-wrong", "a wrong signature", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_INTERMEDIATE_MISSING] = { "intermediate-missing", "an intermediate is not sent", DIAGNOSIS_REFUSED, FIREFOX | APPS | JAVA | LINUX | OLD, NULL },
        [DIAGNOSIS_ISSUER_UNKNOWN] =       { "issuer-unknown", "issued by nobody who is known", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_ROOT_UNTRUSTED] =       { "root-untrusted", "the root is not trusted", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_ISSUER_NOT_CA] =        { "issuer-not-ca", "issued by what is no CA", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_ISSUER_KEY_USAGE] =     { "issuer-key-usage", "issued by a key that may not", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_ISSUER_PURPOSE] =       { "issuer-purpose", "issued by a CA for other purposes", DIAGNOSIS_REFUSED, BROWSERS | LINUX, NULL },
        [DIAGNOSIS_PATH_LENGTH] =          { "path-length", "too many CAs in a row", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_NAME_CONSTRAINTS] =     { "name-constraints", "the CA may not issue for this name", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_NO_NAMES] =             { "no-names", "it has no name", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_NAME_ONLY_CN] =         { "name-only-cn", "it has a common name alone", DIAGNOSIS_REFUSED, BROWSERS | APPS, NULL },
        [DIAGNOSIS_IP_AS_DNS] =            { "ip-as-dns", "an address as a DNS name", DIAGNOSIS_REFUSED, BROWSERS | APPS | JAVA | LINUX, NULL },
        [DIAGNOSIS_NAME_MISMATCH] =        { "name-mismatch", "it is for another name", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_SERVER_PURPOSE] =       { "server-purpose", "it is not for servers", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_CLIENT_PURPOSE] =       { "client-purpose", "it is not for clients", DIAGNOSIS_REFUSED, 0, by_servers },
        [DIAGNOSIS_KEY_USAGE] =            { "key-usage", "its key may not sign", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_KEY_WEAK] =             { "key-weak", "a weak key", DIAGNOSIS_REFUSED, APPLE | LINUX, NULL },
        [DIAGNOSIS_KEY_TYPE] =             { "key-type", "a kind of key that browsers do not take", DIAGNOSIS_SOME, BROWSERS | APPS | OLD, NULL },
        [DIAGNOSIS_KEY_OVERSIZED] =        { "key-oversized", "a monstrous key", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_SIGNATURE_MD5] =        { "signature-md5", "signed with MD5", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_SIGNATURE_SHA1] =       { "signature-sha1", "signed with SHA-1", DIAGNOSIS_REFUSED, BROWSERS | APPS | LINUX, NULL },
        [DIAGNOSIS_SIGNATURE_TYPE] =       { "signature-type", "a signature that browsers do not know", DIAGNOSIS_SOME, BROWSERS | APPS | OLD, NULL },
        [DIAGNOSIS_UNKNOWN_CRITICAL] =     { "unknown-critical", "an extension that nobody knows", DIAGNOSIS_REFUSED, DEVICES_ALL, NULL },
        [DIAGNOSIS_CHAIN_REFUSED] =        { "chain-refused", "GnuTLS does not take it", DIAGNOSIS_REFUSED, 0, "GnuTLS, and probably others" },
        [DIAGNOSIS_TLS_OLD] =              { "tls-old", "TLS is too old", DIAGNOSIS_REFUSED, DEVICES_ALL & ~OLD, NULL },
        [DIAGNOSIS_LEAF_IS_CA] =           { "leaf-is-ca", "a CA's certificate as a server's", DIAGNOSIS_SOME, FIREFOX, NULL },
        [DIAGNOSIS_LIFE_TOO_LONG] =        { "life-too-long", "good for too long", DIAGNOSIS_SOME, APPLE, NULL },
        [DIAGNOSIS_PURPOSE_MISSING] =      { "purpose-missing", "it does not say that it is for servers", DIAGNOSIS_SOME, APPLE, NULL },
        [DIAGNOSIS_CHAIN_ORDER] =          { "chain-order", "in the wrong order", DIAGNOSIS_SOME, OLD, by_strict },
        [DIAGNOSIS_CHAIN_LONG] =           { "chain-long", "too many certificates", DIAGNOSIS_SOME, JAVA, NULL },
        [DIAGNOSIS_CHAIN_OVERSIZED] =      { "chain-oversized", "certificates too large", DIAGNOSIS_SOME, JAVA, NULL },
        [DIAGNOSIS_NOT_IN_CA] =            { "not-in-ca", "the CA does not know it", DIAGNOSIS_WARNING, 0, NULL },
        [DIAGNOSIS_KEY_SHARED] =           { "key-shared", "another certificate has its key", DIAGNOSIS_WARNING, 0, NULL },
        [DIAGNOSIS_KEY_UNSAFE] =           { "key-unsafe", "not a good key", DIAGNOSIS_WARNING, 0, NULL },
        [DIAGNOSIS_LOOSE] =                { "loose", "not as RFC 5280 wants it", DIAGNOSIS_WARNING, 0, NULL },
        [DIAGNOSIS_EXPIRES_SOON] =         { "expires-soon", "it expires soon", DIAGNOSIS_WARNING, 0, NULL },
        [DIAGNOSIS_ROOT_NOT_INSTALLED] =   { "root-not-installed", "this machine does not trust the root yet", DIAGNOSIS_NOTE, 0, NULL },
        [DIAGNOSIS_CLIENT_CERTIFICATE] =   { "client-certificate", "it asks for a client certificate", DIAGNOSIS_NOTE, 0, NULL },
        [DIAGNOSIS_ROOT_SENT] =            { "root-sent", "the root is sent along", DIAGNOSIS_NOTE, 0, NULL },
        [DIAGNOSIS_CHAIN_STRAY] =          { "chain-stray", "a certificate too many", DIAGNOSIS_NOTE, 0, NULL },
};
_Static_assert(ARRAY_SIZE(rows) == DIAGNOSIS_COUNT, "one row a code");

static const char *const severity_names[] = {
        [DIAGNOSIS_REFUSED] = "refused",
        [DIAGNOSIS_SOME] = "some-refuse",
        [DIAGNOSIS_WARNING] = "warning",
        [DIAGNOSIS_NOTE] = "note",
};
_Static_assert(ARRAY_SIZE(severity_names) == DIAGNOSIS_SEVERITY_COUNT, "one name a severity");

static const char *const device_names[] = {
        [DEVICE_CHROME] = "Chrome, Edge, browsers on Android",
        [DEVICE_FIREFOX] = "Firefox",
        [DEVICE_APPLE] = "iPhones, iPads, Macs",
        [DEVICE_APPS] = "Android apps",
        [DEVICE_JAVA] = "Java",
        [DEVICE_LINUX] = "curl, OpenSSL, GnuTLS",
        [DEVICE_OLD] = "old devices",
};
_Static_assert(ARRAY_SIZE(device_names) == DEVICE_COUNT, "one name a device");
/* clang-format on */

struct diagnosis {
        struct diagnosis_finding findings[DIAGNOSIS_FINDINGS_MAX];
        size_t count;
        struct bytes leaf, issuer, anchor;
};

const char *diagnosis_slug(enum diagnosis_code code) {
        return rows[code].slug;
}

const char *diagnosis_title(enum diagnosis_code code) {
        return rows[code].title;
}

enum diagnosis_severity diagnosis_code_severity(enum diagnosis_code code) {
        return rows[code].severity;
}

const char *diagnosis_severity_name(enum diagnosis_severity severity) {
        return severity_names[severity];
}

const char *diagnosis_device_name(enum diagnosis_device device) {
        return device_names[device];
}

struct diagnosis *diagnosis_new(void) {
        return calloc(1, sizeof(struct diagnosis));
}

struct diagnosis *diagnosis_free(struct diagnosis *d) {
        free(d);
        return NULL;
}

/* ---- the list ---- */

static bool before(enum diagnosis_code a, enum diagnosis_code b) {
        return rows[a].severity != rows[b].severity ? rows[a].severity < rows[b].severity : a < b;
}

static bool is_there(const struct diagnosis *d, const struct diagnosis_finding *finding) {
        for (size_t i = 0; i < d->count; i++)
                if (d->findings[i].code == finding->code &&
                    text_equal(d->findings[i].text, finding->text))
                        return true;
        return false;
}

static void insert(struct diagnosis *d, const struct diagnosis_finding *finding) {
        size_t at = 0, behind;

        while (at < d->count && !before(finding->code, d->findings[at].code))
                at++;
        if (at == DIAGNOSIS_FINDINGS_MAX || is_there(d, finding))
                return;
        if (d->count < DIAGNOSIS_FINDINGS_MAX)
                d->count++;
        behind = d->count - at - 1;
        memmove(&d->findings[at + 1], &d->findings[at], behind * sizeof(*finding));
        d->findings[at] = *finding;
}

static void CAD_PRINTF(4, 0) add(struct diagnosis *d, enum diagnosis_code code, unsigned devices,
                                 const char *format, va_list args) {
        struct diagnosis_finding finding = { .code = code,
                                             .devices = devices,
                                             .who = rows[code].who };
        char text[ERROR_TEXT_MAX + 8]; /* longer than what is kept, so that a cut is marked */

        (void) vsnprintf(text, sizeof(text), format, args);
        text_make_printable(text, finding.text, sizeof(finding.text));
        insert(d, &finding);
}

void diagnosis_add(struct diagnosis *d, enum diagnosis_code code, const char *format, ...) {
        va_list args;

        va_start(args, format);
        add(d, code, rows[code].devices, format, args);
        va_end(args);
}

void diagnosis_add_for(struct diagnosis *d, enum diagnosis_code code, unsigned devices,
                       const char *format, ...) {
        va_list args;

        va_start(args, format);
        add(d, code, devices, format, args);
        va_end(args);
}

size_t diagnosis_count(const struct diagnosis *d) {
        return d->count;
}

const struct diagnosis_finding *diagnosis_finding(const struct diagnosis *d, size_t i) {
        return &d->findings[i];
}

bool diagnosis_has(const struct diagnosis *d, enum diagnosis_code code) {
        for (size_t i = 0; i < d->count; i++)
                if (d->findings[i].code == code)
                        return true;
        return false;
}

enum diagnosis_severity diagnosis_verdict(const struct diagnosis *d) {
        return d->count ? rows[d->findings[0].code].severity : DIAGNOSIS_SEVERITY_COUNT;
}

void diagnosis_set_places(struct diagnosis *d, struct bytes leaf, struct bytes issuer,
                          struct bytes anchor) {
        d->leaf = leaf;
        d->issuer = issuer;
        d->anchor = anchor;
}

struct bytes diagnosis_leaf(const struct diagnosis *d) {
        return d->leaf;
}

struct bytes diagnosis_issuer(const struct diagnosis *d) {
        return d->issuer;
}

struct bytes diagnosis_anchor(const struct diagnosis *d) {
        return d->anchor;
}

/* ---- one examination ---- */

static struct examination *examination_free(struct examination *x) {
        if (!x)
                return NULL;
        for (size_t i = 0; i < x->shown_count; i++)
                diagnosed_done(&x->shown[i]);
        for (size_t i = 0; i < x->anchor_count; i++)
                diagnosed_done(&x->anchors[i]);
        for (size_t i = 0; i < x->known_count; i++)
                diagnosed_done(&x->known[i]);
        free(x);
        return NULL;
}
CAD_CLEANUP(struct examination, examination_free)

static void read_shown(struct examination *x) {
        size_t count = x->c->chain_count, octets = 0;

        if (count > DIAGNOSIS_PATH_MAX)
                diagnosis_add(
                        x->d, DIAGNOSIS_CHAIN_LONG,
                        "%zu certificates are sent; Java takes %u and others not many more, and two or three are usual%s",
                        count, DIAGNOSIS_PATH_MAX,
                        count > DIAGNOSIS_CHAIN_MAX ? "; only the first 16 were looked at" : "");
        for (size_t i = 0; i < count; i++)
                octets += x->c->chain[i].size;
        if (octets > DIAGNOSIS_CHAIN_OCTETS_MAX)
                diagnosis_add(x->d, DIAGNOSIS_CHAIN_OVERSIZED,
                              "the certificates are %zu KiB together; Java takes 32 KiB at most",
                              (octets + 1023) / 1024);
        for (size_t i = 0; i < count && i < DIAGNOSIS_CHAIN_MAX; i++) {
                if (diagnosed_read(x->c->chain[i], (int) i, &x->shown[x->shown_count]))
                        x->shown_count++;
                else
                        diagnosis_add(
                                x->d, DIAGNOSIS_UNREADABLE,
                                "certificate %zu of %zu cannot be read: its %zu octets are no X.509 certificate%s",
                                i + 1, count, x->c->chain[i].size,
                                x->c->chain[i].size > DIAGNOSIS_CERT_MAX
                                        ? " that anybody would take"
                                        : "");
        }
}

static size_t read_others(const struct bytes *ders, size_t count, struct diagnosed *out) {
        size_t used = 0;

        for (size_t i = 0; i < count && used < DIAGNOSIS_OTHERS_MAX; i++)
                if (diagnosed_read(ders[i], /* place= */ -1, &out[used]))
                        used++;
        return used;
}

/* GnuTLS's word on all of it, as the path is: what it has against it and nobody has said yet. */
static int ask_gnutls(struct examination *x, struct error *err) {
        gnutls_x509_crt_t list[DIAGNOSIS_PATH_MAX + 1], root;
        gnutls_datum_t text = { 0 };
        unsigned count = 0, status = 0;
        int rc;

        if (!x->trusted || diagnosis_verdict(x->d) == DIAGNOSIS_REFUSED)
                return 0;
        for (size_t i = 0; i + 1 < x->path_count || i == 0; i++)
                list[count++] = x->path[i]->crt;
        root = x->path[x->path_count - 1]->crt;
        rc = gnutls_x509_crt_list_verify(list, (int) count, &root, 1, /* CRL_list= */ NULL, 0,
                                         GNUTLS_VERIFY_DISABLE_TIME_CHECKS |
                                                 GNUTLS_VERIFY_ALLOW_BROKEN |
                                                 GNUTLS_VERIFY_ALLOW_SIGN_WITH_SHA1 |
                                                 GNUTLS_VERIFY_DO_NOT_ALLOW_X509_V1_CA_CRT,
                                         &status);
        if (rc < 0)
                return error_set(err, ERR_CRYPTO, "GnuTLS cannot verify the chain: %s",
                                 gnutls_strerror(rc));
        if (status == 0)
                return 0;
        rc = gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
        if (status & GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS)
                diagnosis_add(
                        x->d, DIAGNOSIS_UNKNOWN_CRITICAL,
                        "a certificate of the chain has an extension that must be understood and is not known");
        else
                diagnosis_add(x->d, DIAGNOSIS_CHAIN_REFUSED, "GnuTLS does not take the chain: %.*s",
                              rc == 0 ? (int) text.size : 0,
                              rc == 0 ? (const char *) text.data : "");
        gnutls_free(text.data);
        return 0;
}

static void set_places(struct examination *x) {
        struct bytes none = BYTES_NONE;

        diagnosis_set_places(x->d, x->path[0]->der, x->path_count > 1 ? x->path[1]->der : none,
                             x->trusted ? x->path[x->path_count - 1]->der : none);
}

int diagnose(struct diagnosis *d, const struct diagnosis_case *c, struct error *err) {
        CAD_AUTO(examination_free) struct examination *x = calloc(1, sizeof(*x));

        if (!x)
                return error_no_memory(err);
        x->d = d;
        x->c = c;
        if (c->chain_count == 0)
                diagnosis_add(d, DIAGNOSIS_NO_CERTIFICATE, "there is no certificate");
        read_shown(x);
        if (x->shown_count == 0)
                return 0;
        x->anchor_count = read_others(c->anchors, c->anchor_count, x->anchors);
        x->known_count = read_others(c->known, c->known_count, x->known);
        diagnose_path(x);
        diagnose_issuers(x);
        diagnose_leaf(x);
        diagnose_names(x);
        set_places(x);
        return ask_gnutls(x, err);
}
