/*
 * The trust page: see web.h. It translates: who the CA is, the authority has said; which system asks, the browser says.
 *
 * It sets no cookie, reads nothing of the caller but User-Agent, Host and validators, and answers to no other origin: the self-test of
 * the page needs no CORS, since it only wants to know whether an image came.
 */
#include "daemon/web/web.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/authority/crl_snapshot.h"
#include "daemon/http/gate.h"
#include "daemon/http/resource.h"
#include "daemon/web/assets.h"
#include "daemon/web/page.h"
#include "daemon/web/qr.h"
#include "lib/base/text.h"

#define ETAG_OCTETS 16
#define ETAG_MAX (2 * ETAG_OCTETS + 3) /* bytes with NUL and quotation marks */
#define HOST_MAX 256                   /* bytes with NUL of a host */

/* No unsafe-*, nothing inline, nothing from elsewhere. What is served over HTTPS, too, promises no HSTS: the port of plain HTTP would be lost with it. */
#define CSP_NOTHING "default-src 'none'; frame-ancestors 'none'"
#define CSP_PAGE \
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " \
        "require-trusted-types-for 'script'; script-src 'self'; style-src 'self'; img-src 'self'"

enum web_item {
        ITEM_STYLE,
        ITEM_TEST_JS,
        ITEM_ICON,
        ITEM_CHECK,
        ITEM_QR,
        ITEM_ROOT_DER,
        ITEM_ROOT_PEM,
        ITEM_PROFILE,
        ITEM_PAGES, /* the first of SYSTEM_COUNT */
        ITEM_COUNT = ITEM_PAGES + SYSTEM_COUNT,
};

/* What is asked again each time costs a 304; the self-test has to ask in earnest. */
static const char revalidated[] = "no-cache", never_kept[] = "no-store";

static const struct {
        const char *file, *type, *cache_control;
} files[] = {
        [ITEM_STYLE] = { "style.css", "text/css; charset=utf-8", revalidated },
        [ITEM_TEST_JS] = { "test.js", "text/javascript; charset=utf-8", revalidated },
        [ITEM_ICON] = { "icon.svg", "image/svg+xml", revalidated },
        [ITEM_CHECK] = { "check.svg", "image/svg+xml", never_kept },
        [ITEM_QR] = { "qr.svg", "image/svg+xml", revalidated },
        [ITEM_ROOT_DER] = { "cad-root.crt", "application/x-x509-ca-cert", revalidated },
        [ITEM_ROOT_PEM] = { "cad-root.pem", "application/x-pem-file", revalidated },
        [ITEM_PROFILE] = { "cad-root.mobileconfig", "application/x-apple-aspen-config",
                           revalidated },
};
_Static_assert(ARRAY_SIZE(files) == ITEM_PAGES, "one row a file");

struct item {
        struct bytes body; /* of a program's constant, of the CA, or of owned */
        struct buffer owned;
        char etag[ETAG_MAX];
};

struct web {
        struct item items[ITEM_COUNT];
        char public_host
                [HOST_MAX]; /* of the public URL; lower case, an IPv6 address without brackets */
        unsigned https_port;
        int64_t made_at;
        char last_modified[CRL_HTTP_DATE_MAX];
};

/* ---- making ---- */

struct web *web_free(struct web *web) {
        if (!web)
                return NULL;
        for (size_t i = 0; i < ITEM_COUNT; i++)
                buffer_done(&web->items[i].owned);
        free(web);
        return NULL;
}

/* The public URL is http://HOST[:PORT], with an IPv6 address in brackets: host_check_public_url(). */
static int read_public_host(struct web *web, const char *public_url, struct error *err) {
        const char *authority = strstr(public_url, "://");

        if (!authority ||
            gate_host_name(authority + 3, web->public_host, sizeof(web->public_host)) < 0)
                return error_set(err, ERR_INTERNAL, "'%.100s' is no public URL", public_url);
        return 0;
}

static int make_pages(struct web *web, const struct page_facts *facts, struct error *err) {
        for (size_t i = 0; i < SYSTEM_COUNT; i++)
                if (page_render(facts, (enum visitor_system) i, &web->items[ITEM_PAGES + i].owned,
                                err) < 0)
                        return -1;
        return page_mobileconfig(facts, &web->items[ITEM_PROFILE].owned, err);
}

static int make_qr(struct web *web, const char *public_url, struct error *err) {
        char url[CERT_URL_MAX + 1];

        (void) snprintf(url, sizeof(url), "%s/", public_url);
        return qr_svg(url, &web->items[ITEM_QR].owned, err);
}

static void lend_rest(struct web *web, const struct ca_info *ca) {
        web->items[ITEM_STYLE].body = bytes_of(web_style_css);
        web->items[ITEM_TEST_JS].body = bytes_of(web_test_js);
        web->items[ITEM_ICON].body = bytes_of(web_icon_svg);
        web->items[ITEM_CHECK].body = bytes_of(web_check_svg);
        web->items[ITEM_ROOT_DER].body = buffer_bytes(&ca->root_der);
        web->items[ITEM_ROOT_PEM].body = buffer_bytes(&ca->root_pem);
        for (size_t i = 0; i < ITEM_COUNT; i++)
                if (web->items[i].owned.size)
                        web->items[i].body = buffer_bytes(&web->items[i].owned);
}

static void set_validators(struct web *web, int64_t now) {
        uint8_t digest[SHA256_SIZE];
        char hex[2 * ETAG_OCTETS + 1];

        for (size_t i = 0; i < ITEM_COUNT; i++) {
                sha256(web->items[i].body, digest);
                (void) snprintf(web->items[i].etag, ETAG_MAX, "\"%s\"",
                                hex_encode(BYTES(digest, ETAG_OCTETS), hex));
        }
        web->made_at = now;
        (void) http_date(now, web->last_modified);
}

int web_new(const struct ca_info *ca, unsigned https_port, int64_t now, struct web **ret,
            struct error *err) {
        CAD_AUTO(web_free) struct web *web = calloc(1, sizeof(*web));
        const struct page_facts facts = { .name = ca->name,
                                          .root = &ca->root,
                                          .public_url = ca->public_url,
                                          .public_host = web ? web->public_host : NULL,
                                          .https_port = https_port };

        if (!web)
                return error_no_memory(err);
        web->https_port = https_port;
        if (read_public_host(web, ca->public_url, err) < 0 || make_pages(web, &facts, err) < 0 ||
            make_qr(web, ca->public_url, err) < 0)
                return -1;
        lend_rest(web, ca);
        set_validators(web, now);
        *ret = CAD_TAKE(web);
        return 0;
}

/* ---- answering ---- */

/* Let images come from cad's HTTPS by the name @host. An IPv6 address cannot be written in a policy (CSP Level 3 §2.3.1): there any HTTPS may. */
static void allow_https_of(const struct web *web, const char *host, struct buffer *csp) {
        if (strchr(host, ':'))
                buffer_text(csp, " https:");
        else if (host[0] && strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(host))
                buffer_format(csp, " https://%s:%u", host, web->https_port);
}

static void put_page_policy(const struct web *web, struct exchange *x) {
        CAD_AUTO(buffer_done) struct buffer csp = { 0 };
        const char *host = exchange_header(x, "Host");
        char name[HOST_MAX];

        buffer_text(&csp, CSP_PAGE);
        if (web->https_port) {
                if (host && gate_host_name(host, name, sizeof(name)) == 0)
                        allow_https_of(web, name, &csp);
                allow_https_of(web, web->public_host, &csp);
        }
        exchange_reply_header(x, "Content-Security-Policy",
                              csp.failed ? CSP_NOTHING : buffer_string(&csp));
        exchange_reply_header(x, "Cross-Origin-Opener-Policy", "same-origin");
        exchange_reply_header(x, "Permissions-Policy",
                              "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
}

static void serve(const struct web *web, struct exchange *x, enum web_item item, const char *type,
                  const char *cache_control) {
        resource_reply(x,
                       &(struct resource){ .type = type,
                                           .etag = web->items[item].etag,
                                           .last_modified = web->last_modified,
                                           .modified_at = web->made_at,
                                           .cache_control = cache_control,
                                           .body = web->items[item].body },
                       /* release= */ NULL, NULL);
        /* The page in the clear shows the image of the self-test from HTTPS: another origin, and the only thing that may be shown so. */
        exchange_reply_header(x, "Cross-Origin-Resource-Policy",
                              item == ITEM_CHECK ? "cross-origin" : "same-origin");
        exchange_reply_header(x, "Referrer-Policy", "no-referrer");
}

static void serve_page(const struct web *web, struct exchange *x, enum visitor_system system) {
        serve(web, x, ITEM_PAGES + (unsigned) system, "text/html; charset=utf-8", revalidated);
        put_page_policy(web, x);
}

static void serve_file(const struct web *web, struct exchange *x, const char *file) {
        enum visitor_system system;
        struct error err = { 0 };

        if (visitor_system_of_slug(file, &system)) {
                serve_page(web, x, system);
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                if (strcmp(files[i].file, file) != 0)
                        continue;
                serve(web, x, (enum web_item) i, files[i].type, files[i].cache_control);
                exchange_reply_header(x, "Content-Security-Policy", CSP_NOTHING);
                return;
        }
        (void) error_set(&err, ERR_NOT_FOUND, "there is nothing at %s; the trust page is at /",
                         exchange_path(x));
        exchange_problem(x, &err);
}

void web_answer(const struct web *web, struct exchange *x) {
        const char *file = exchange_param(x, "file");

        if (file) {
                serve_file(web, x, file);
                return;
        }
        serve_page(web, x, visitor_system(exchange_header(x, "User-Agent")));
        exchange_reply_header(x, "Vary", "User-Agent");
}
