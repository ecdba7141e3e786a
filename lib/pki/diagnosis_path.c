/*
 * Diagnosis of the way up: which certificate issued which, what is missing, out of order or not trusted, and what each CA on the
 * way may.
 *
 * What is shown is hostile: it may claim any issuer, and each signature costs. Their number is bounded, and no key is computed
 * with that would take long.
 */
#include <gnutls/abstract.h>
#include <stdio.h>

#include "diagnosis_parts.h"
#include "dn.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define CHECKS_MAX 64u      /* signatures of one diagnosis; a chain of ten wants ten */
#define RSA_EXPONENT_MAX 8u /* octets; 65537 has 3, and none that is in use more than 4 */
#define DSA_ORDER_MAX 33u   /* octets, a zero in front included; FIPS 186-4 has 256 bits at most */
#define SIGNATURE_OCTETS_MAX 2048u
#define PURPOSES_MAX 32u     /* of an extended key usage */
#define PURPOSE_TEXT_MAX 128 /* bytes with NUL of one in dots */

/* ---- reading ---- */

static bool heavy_rsa(gnutls_x509_crt_t crt) {
        gnutls_datum_t modulus = { 0 }, exponent = { 0 };
        bool heavy;

        if (gnutls_x509_crt_get_pk_rsa_raw(crt, &modulus, &exponent) < 0)
                return true;
        heavy = exponent.size > RSA_EXPONENT_MAX;
        gnutls_free(modulus.data);
        gnutls_free(exponent.data);
        return heavy;
}

/* Its exponents are as long as the group's order, which may be as long as anybody likes. */
static bool heavy_dsa(gnutls_x509_crt_t crt) {
        gnutls_datum_t p = { 0 }, q = { 0 }, g = { 0 }, y = { 0 };
        bool heavy;

        if (gnutls_x509_crt_get_pk_dsa_raw(crt, &p, &q, &g, &y) < 0)
                return true;
        heavy = q.size > DSA_ORDER_MAX;
        gnutls_free(p.data);
        gnutls_free(q.data);
        gnutls_free(g.data);
        gnutls_free(y.data);
        return heavy;
}

static bool heavy_key(gnutls_x509_crt_t crt) {
        unsigned bits = 0;
        int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);

        if (bits > RSA_BITS_MAX)
                return true;
        if (algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS)
                return heavy_rsa(crt);
        return algorithm == GNUTLS_PK_DSA && heavy_dsa(crt);
}

bool diagnosed_read(struct bytes der, int place, struct diagnosed *ret) {
        gnutls_datum_t datum = { (unsigned char *) (uintptr_t) der.data, (unsigned) der.size };
        struct diagnosed one = { .der = der, .place = place };

        if (der.size > DIAGNOSIS_CERT_MAX || gnutls_x509_crt_init(&one.crt) < 0)
                return false;
        if (gnutls_x509_crt_import(one.crt, &datum, GNUTLS_X509_FMT_DER) < 0 ||
            gnutls_x509_crt_get_raw_dn(one.crt, &one.subject) < 0 ||
            gnutls_x509_crt_get_raw_issuer_dn(one.crt, &one.issuer) < 0) {
                diagnosed_done(&one);
                return false;
        }
        one.strict = cert_read(der, &one.cert, /* err= */ NULL) == 0;
        one.heavy = heavy_key(one.crt);
        (void) diagnosis_label(der, one.label);
        *ret = one;
        return true;
}

bool diagnosis_is_heavy(struct bytes der) {
        struct diagnosed one;
        bool heavy = true;

        if (diagnosed_read(der, /* place= */ -1, &one)) {
                heavy = one.heavy;
                diagnosed_done(&one);
        }
        return heavy;
}

void diagnosed_done(struct diagnosed *one) {
        if (one->crt)
                gnutls_x509_crt_deinit(one->crt);
        gnutls_free(one->subject.data);
        gnutls_free(one->issuer.data);
        *one = (struct diagnosed){ 0 };
}

static struct bytes view(const gnutls_datum_t *datum) {
        return BYTES(datum->data, datum->size);
}

bool diagnosed_is_ca(const struct diagnosed *one) {
        return gnutls_x509_crt_get_ca_status(one->crt, /* critical= */ NULL) > 0;
}

bool diagnosed_same_name(const struct diagnosed *one, const struct diagnosed *issuer) {
        return bytes_equal(view(&one->issuer), view(&issuer->subject));
}

bool diagnosed_self_issued(const struct diagnosed *one) {
        return diagnosed_same_name(one, one);
}

/* ---- signatures ---- */

static gnutls_pubkey_t pubkey_free(gnutls_pubkey_t key) {
        if (key)
                gnutls_pubkey_deinit(key);
        return NULL;
}
static void pubkey_free_at_exit(gnutls_pubkey_t *key) {
        *key = pubkey_free(*key);
}

static bool signed_by(struct examination *x, const struct diagnosed *one,
                      const struct diagnosed *issuer) {
        struct der_reader outer = der_reader(one->der), body = der_enter(&outer, DER_SEQUENCE);
        struct bytes tbs = der_get_element(&body, DER_SEQUENCE);
        CAD_AUTO(pubkey_free) gnutls_pubkey_t key = NULL;
        uint8_t octets[SIGNATURE_OCTETS_MAX];
        gnutls_datum_t data = { (unsigned char *) (uintptr_t) tbs.data, (unsigned) tbs.size },
                       signature = { octets, sizeof(octets) };
        size_t size = sizeof(octets);
        int algorithm = gnutls_x509_crt_get_signature_algorithm(one->crt);

        if (body.failed || algorithm <= 0 || issuer->heavy || x->checks++ >= CHECKS_MAX ||
            gnutls_x509_crt_get_signature(one->crt, (char *) octets, &size) < 0 ||
            gnutls_pubkey_init(&key) < 0 ||
            gnutls_pubkey_import_x509(key, issuer->crt, /* flags= */ 0) < 0)
                return false;
        signature.size = (unsigned) size;
        /* how good the algorithm is, is another finding */
        return gnutls_pubkey_verify_data2(key, (gnutls_sign_algorithm_t) algorithm,
                                          GNUTLS_VERIFY_ALLOW_BROKEN |
                                                  GNUTLS_VERIFY_ALLOW_SIGN_WITH_SHA1,
                                          &data, &signature) >= 0;
}

/* ---- the path ---- */

static bool in_path(const struct examination *x, const struct diagnosed *one) {
        for (size_t i = 0; i < x->path_count; i++)
                if (x->path[i] == one || bytes_equal(x->path[i]->der, one->der))
                        return true;
        return false;
}

/* Who signed @one, out of @all; *named: somebody has the name, and perhaps not the key. */
static const struct diagnosed *find_issuer(struct examination *x, const struct diagnosed *one,
                                           const struct diagnosed *all, size_t count,
                                           const struct diagnosed **named) {
        for (size_t i = 0; i < count; i++) {
                if (!diagnosed_same_name(one, &all[i]) || in_path(x, &all[i]))
                        continue;
                if (signed_by(x, one, &all[i]))
                        return &all[i];
                *named = &all[i];
        }
        return NULL;
}

static const struct diagnosed *as_anchor(const struct examination *x, const struct diagnosed *one) {
        for (size_t i = 0; i < x->anchor_count; i++)
                if (bytes_equal(x->anchors[i].der, one->der))
                        return &x->anchors[i];
        return NULL;
}

static void push(struct examination *x, const struct diagnosed *one) {
        x->path[x->path_count++] = one;
}

/* The end of the way where nobody is trusted. */
static void no_issuer(struct examination *x, const struct diagnosed *top,
                      const struct diagnosed *named) {
        char issuer[DIAGNOSIS_LABEL_MAX];

        (void) dn_common_name(view(&top->issuer), issuer, sizeof(issuer));
        if (!*issuer)
                (void) dn_text(view(&top->issuer), issuer, sizeof(issuer));
        if (named && named->heavy)
                diagnosis_add(
                        x->d, DIAGNOSIS_KEY_OVERSIZED,
                        "the key of '%s', which is to have issued '%s', is so large that nobody computes with it: the signature was not checked",
                        named->label, top->label);
        else if (named)
                diagnosis_add(
                        x->d, DIAGNOSIS_SIGNATURE_WRONG,
                        "'%s' says that '%s' issued it, and its signature was not made with the key of the '%s' that is known here: another CA with this name, one that was made anew, or a forgery",
                        top->label, issuer, named->label);
        else if (x->path_count > 1)
                diagnosis_add(
                        x->d, DIAGNOSIS_ROOT_UNTRUSTED,
                        "the chain ends with '%s', issued by '%s', which is no root that is trusted here",
                        top->label, issuer);
        else
                diagnosis_add(
                        x->d, DIAGNOSIS_ISSUER_UNKNOWN,
                        "'%s' was issued by '%s', which is neither sent along nor trusted here: either it is an intermediate that has to be sent, or a root that has to be trusted",
                        top->label, issuer);
}

static void self_issued_end(struct examination *x, const struct diagnosed *top,
                            const struct diagnosed *namesake) {
        if (namesake && !bytes_equal(namesake->der, top->der))
                diagnosis_add(
                        x->d, DIAGNOSIS_SIGNATURE_WRONG,
                        "the chain ends with a root '%s', and the trusted root of this name is another one: was the CA made anew, or is this somebody else's?",
                        top->label);
        else if (x->path_count == 1)
                diagnosis_add(
                        x->d, DIAGNOSIS_SELF_SIGNED,
                        "'%s' is self-signed: it vouches for itself, and no root that is trusted here does",
                        top->label);
        else
                diagnosis_add(x->d, DIAGNOSIS_ROOT_UNTRUSTED,
                              "the chain leads to the root '%s', which is not trusted here",
                              top->label);
}

/* One step up from @top. Return: whether there is another one to make. */
static bool step(struct examination *x, const struct diagnosed *top) {
        const struct diagnosed *named = NULL,
                               *issuer = find_issuer(x, top, x->anchors, x->anchor_count, &named),
                               *trusted_namesake = named;

        if (issuer) {
                x->trusted = true;
                push(x, issuer);
                return false;
        }
        if (diagnosed_self_issued(top) && (top->heavy || signed_by(x, top, top))) {
                self_issued_end(x, top, trusted_namesake);
                return false;
        }
        issuer = find_issuer(x, top, x->shown, x->shown_count, &named);
        if (!issuer) {
                issuer = find_issuer(x, top, x->known, x->known_count, &named);
                if (issuer)
                        diagnosis_add(
                                x->d, DIAGNOSIS_INTERMEDIATE_MISSING,
                                "the intermediate '%s', which issued '%s', is not sent along: who does not have it finds no way to the root",
                                issuer->label, top->label);
        }
        if (!issuer) {
                no_issuer(x, top, named);
                return false;
        }
        push(x, issuer);
        return true;
}

/* ---- what was shown, against the path ---- */

static void judge_order(struct examination *x) {
        int last = -1;

        for (size_t i = 0; i < x->path_count; i++) {
                int place = x->path[i]->place;

                if (place < 0)
                        continue;
                if (place < last) {
                        diagnosis_add(
                                x->d, DIAGNOSIS_CHAIN_ORDER,
                                "the certificates are in the wrong order: '%s' is number %d and has to stand behind what it issued, '%s', number %d",
                                x->path[i]->label, place + 1, x->path[i - 1]->label, last + 1);
                        return;
                }
                last = place;
        }
}

static void judge_rest(struct examination *x) {
        if (!x->trusted) /* there are graver things to say */
                return;
        for (size_t i = 0; i < x->shown_count; i++) {
                const struct diagnosed *one = &x->shown[i];
                bool on_path = in_path(x, one);

                if (on_path && i > 0 && one != x->path[0] && as_anchor(x, one))
                        diagnosis_add(
                                x->d, DIAGNOSIS_ROOT_SENT,
                                "the root '%s' is sent along: harmless, and of no use, for who trusts it has it",
                                one->label);
                else if (!on_path)
                        diagnosis_add(
                                x->d, DIAGNOSIS_CHAIN_STRAY,
                                "certificate %d, '%s', is not part of the chain: harmless, and of no use",
                                one->place + 1, one->label);
        }
}

/* Of a file that begins with a CA's certificate: the first that is none. */
static const struct diagnosed *find_leaf(struct examination *x) {
        const struct diagnosed *first = &x->shown[0];

        if (!diagnosed_is_ca(first))
                return first;
        for (size_t i = 1; i < x->shown_count; i++) {
                if (diagnosed_is_ca(&x->shown[i]))
                        continue;
                diagnosis_add(
                        x->d, DIAGNOSIS_LEAF_NOT_FIRST,
                        "the first certificate is that of the CA '%s'; the one of the server, '%s', has to be first and is number %zu",
                        first->label, x->shown[i].label, i + 1);
                return &x->shown[i];
        }
        return first;
}

void diagnose_path(struct examination *x) {
        const struct diagnosed *leaf = find_leaf(x);
        bool more = !as_anchor(x, leaf);

        push(x, leaf);
        x->trusted = !more;
        while (more && x->path_count < DIAGNOSIS_PATH_MAX)
                more = step(x, x->path[x->path_count - 1]);
        if (more)
                diagnosis_add(x->d, DIAGNOSIS_ROOT_UNTRUSTED,
                              "%zu certificates lead from '%s' upwards, and still to no root",
                              x->path_count, leaf->label);
        judge_order(x);
        judge_rest(x);
}

/* ---- what the CAs on the way may ---- */

bool diagnosed_has_purpose(const struct diagnosed *one, const char *oid, bool *ret_any) {
        char found[PURPOSE_TEXT_MAX];
        bool has = false;

        *ret_any = false;
        for (unsigned i = 0; i < PURPOSES_MAX; i++) {
                size_t size = sizeof(found);
                int rc = gnutls_x509_crt_get_key_purpose_oid(one->crt, i, found, &size,
                                                             /* critical= */ NULL);

                if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        break;
                *ret_any = true;
                if (rc == 0)
                        has |= text_equal(found, oid);
        }
        return has;
}

unsigned diagnosis_purposes(struct bytes der) {
        struct diagnosed one;
        unsigned purposes = 0;
        bool any;

        if (!diagnosed_read(der, /* place= */ -1, &one))
                return 0;
        if (diagnosed_has_purpose(&one, GNUTLS_KP_TLS_WWW_SERVER, &any))
                purposes |= PURPOSE_SERVER;
        if (diagnosed_has_purpose(&one, GNUTLS_KP_TLS_WWW_CLIENT, &any))
                purposes |= PURPOSE_CLIENT;
        diagnosed_done(&one);
        return purposes;
}

static void judge_ca_bits(struct examination *x, const struct diagnosed *ca,
                          const struct diagnosed *below) {
        unsigned usage = 0;
        int rc = gnutls_x509_crt_get_key_usage(ca->crt, &usage, /* critical= */ NULL);

        if (!diagnosed_is_ca(ca))
                diagnosis_add(
                        x->d, DIAGNOSIS_ISSUER_NOT_CA,
                        "'%s', which issued '%s', is no CA: its basic constraints do not say CA:TRUE",
                        ca->label, below->label);
        else if (rc >= 0 && !(usage & GNUTLS_KEY_KEY_CERT_SIGN))
                diagnosis_add(
                        x->d, DIAGNOSIS_ISSUER_KEY_USAGE,
                        "'%s', which issued '%s', may not sign certificates: its key usage lacks keyCertSign",
                        ca->label, below->label);
}

static void judge_path_length(struct examination *x, const struct diagnosed *ca, size_t cas_below) {
        unsigned is_ca = 0;
        int length = -1;

        if (gnutls_x509_crt_get_basic_constraints(ca->crt, /* critical= */ NULL, &is_ca, &length) <
                    0 ||
            length < 0 || cas_below <= (size_t) length)
                return;
        diagnosis_add(x->d, DIAGNOSIS_PATH_LENGTH,
                      "'%s' permits %d CAs below it (path length), and there are %zu", ca->label,
                      length, cas_below);
}

static void judge_ca_purpose(struct examination *x, const struct diagnosed *ca) {
        static const struct {
                unsigned purpose;
                const char *oid, *name;
        } purposes[] = {
                { PURPOSE_SERVER, GNUTLS_KP_TLS_WWW_SERVER, "servers (serverAuth)" },
                { PURPOSE_CLIENT, GNUTLS_KP_TLS_WWW_CLIENT, "clients (clientAuth)" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(purposes); i++) {
                bool any, ignored;

                if (!(x->c->purpose & purposes[i].purpose) ||
                    diagnosed_has_purpose(ca, purposes[i].oid, &any) || !any ||
                    diagnosed_has_purpose(ca, GNUTLS_KP_ANY, &ignored))
                        continue;
                diagnosis_add(x->d, DIAGNOSIS_ISSUER_PURPOSE,
                              "'%s' is a CA whose extended key usage has no certificates for %s",
                              ca->label, purposes[i].name);
        }
}

static void judge_ca_time(struct examination *x, const struct diagnosed *ca) {
        int64_t start = gnutls_x509_crt_get_activation_time(ca->crt),
                end = gnutls_x509_crt_get_expiration_time(ca->crt);
        char text[MOMENT_TEXT_MAX];

        if (end >= 0 && end < x->c->now)
                diagnosis_add(x->d, DIAGNOSIS_ISSUER_EXPIRED,
                              "the CA certificate '%s' expired on %s", ca->label,
                              moment_format(end, text));
        if (start > x->c->now && start <= MOMENT_LAST)
                diagnosis_add(x->d, DIAGNOSIS_ISSUER_NOT_YET_VALID,
                              "the CA certificate '%s' is not valid before %s", ca->label,
                              moment_format(start, text));
}

void diagnose_issuers(struct examination *x) {
        for (size_t i = 1; i < x->path_count; i++) {
                const struct diagnosed *ca = x->path[i];
                size_t cas_below = 0;

                for (size_t below = 1; below < i; below++)
                        cas_below += !diagnosed_self_issued(x->path[below]);
                judge_ca_bits(x, ca, x->path[i - 1]);
                judge_path_length(x, ca, cas_below);
                judge_ca_purpose(x, ca);
                judge_ca_time(x, ca);
        }
}

/* ---- what a certificate is called ---- */

/* The first name of one that has no subject, as our own have none. */
static void first_name(struct bytes der, char *out) {
        CAD_AUTO(san_list_done) struct san_list names = { 0 };
        struct cert cert;
        char text[SAN_TEXT_MAX] = "(no name)";

        if (cert_read(der, &cert, /* err= */ NULL) == 0 && cert.san.size)
                (void) san_list_from_der(&names, cert.san, "names", /* err= */ NULL);
        if (names.count)
                (void) san_text(&names.items[0], text, sizeof(text));
        text_make_printable(text, out, DIAGNOSIS_LABEL_MAX);
}

const char *diagnosis_label(struct bytes der, char *out) {
        struct der_reader outer = der_reader(der), inner = der_enter(&outer, DER_SEQUENCE),
                          tbs = der_enter(&inner, DER_SEQUENCE);
        struct bytes subject;

        if (der_next_is(&tbs, DER_CONTEXT_CONSTRUCTED(0)))
                (void) der_get_element(&tbs, DER_CONTEXT_CONSTRUCTED(0));
        (void) der_get(&tbs, DER_INTEGER);          /* serial */
        (void) der_get_element(&tbs, DER_SEQUENCE); /* algorithm */
        (void) der_get_element(&tbs, DER_SEQUENCE); /* issuer */
        (void) der_get_element(&tbs, DER_SEQUENCE); /* validity */
        subject = der_get_element(&tbs, DER_SEQUENCE);
        (void) dn_common_name(subject, out, DIAGNOSIS_LABEL_MAX);
        if (!*out && subject.size > 2)
                (void) dn_text(subject, out, DIAGNOSIS_LABEL_MAX);
        if (!*out)
                first_name(der, out);
        return out;
}
