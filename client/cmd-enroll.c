/*
 * cactl enroll: a device's whole first certificate, in one command that may be repeated.
 *
 * The order is what makes it safe. The root is pinned before anything is sent; the key is on disk before its CSR is; what came back is judged
 * before anything is replaced; whoever uses the certificate is told last. Each step looks first whether it was done.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "deploy.h"
#include "discover.h"
#include "enroll/device.h"
#include "enroll/obtain.h"
#include "enroll/timer.h"
#include "enroll/trust_root.h"
#include "files.h"
#include "http.h"
#include "lib/base/file.h"
#include "lib/base/host_names.h"
#include "lib/base/text.h"
#include "lib/pki/constraints.h"
#include "lib/pki/fingerprint_words.h"
#include "lib/pki/pem.h"
#include "output.h"

#define TOKEN_MAX 512
#define LABEL_MAX 128
#define DESCRIPTOR_PATH_MAX 32
#define CONF_WRITTEN "# Written by 'cactl enroll'"

static const struct option options[] = {
        { "token", "TOKEN",
          "the right to a certificate; better by --token-file or $CACTL_TOKEN, which others do not see" },
        { "token-file", "FILE", "the token is in it; '-' reads standard input" },
        { "profile", "PROFILE",
          "what kind of certificate (default: that of the token, or server)" },
        { "key", "TYPE",
          "ecdsa-p256 (default), ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072, rsa-4096" },
        { "days", "N", "how long it is to be good for, in days" },
        { "validity", "TIME", "the same as 90d, 12h, 2y" },
        { "label", "TEXT", "a note that the CA keeps with it" },
        { "name", "BASE", "the folder is called so (default: the first name)" },
        { "new-key-at-renewal", NULL, "each renewal brings a new key" },
        { "deploy", "SERVICE", "put it where this service wants it; may be given again", true, 0 },
        { "no-wait", NULL,
          "without a token: hand the request in and end; 'cactl renew' takes the certificate" },
        { "no-timer", NULL, "somebody else calls 'cactl renew'" },
        { "force", NULL, "also where there is a good certificate already, or another CA's" },
        { 0 },
};

/* One run. */
struct run {
        struct wish wish;
        struct buffer token;
        struct buffer root; /* DER */
        struct place at;
        char root_path[DESCRIPTOR_PATH_MAX];
        int root_fd;
        char validity[DURATION_TEXT_MAX];
        bool named; /* names were given */
        bool opened;
        struct device device;
        bool there; /* the device has a certificate that can be read */
};

static void run_done(struct run *r) {
        enrolment_done(&r->wish.what);
        buffer_wipe(&r->token);
        buffer_done(&r->root);
        place_done(&r->at);
        r->root_fd = fd_close(r->root_fd);
        device_done(&r->device);
}
CAD_CLEANUP_DONE(struct run, run_done)

/* ---- the command line ---- */

static enum result copy(const char *text, char **ret) {
        if (!text)
                return DONE;
        free(*ret);
        *ret = strdup(text);
        return *ret ? DONE : fail(REFUSED, "out of memory");
}

static enum result take_token_text(struct run *r, struct bytes text, const char *from) {
        while (text.size && strchr(" \t\r\n", text.data[text.size - 1]))
                text.size--;
        if (!text.size || text.size > TOKEN_MAX)
                return fail(WRONG_USAGE, "%s: there is no token in it", from);
        for (size_t i = 0; i < text.size; i++)
                if (text.data[i] <= ' ' || text.data[i] > '~')
                        return fail(WRONG_USAGE, "%s: a token has no blanks and no such characters",
                                    from);
        buffer_append(&r->token, text);
        return r->token.failed ? fail(REFUSED, "out of memory") : DONE;
}

static enum result take_token_file(struct run *r, const char *path) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        return take_token_text(r, buffer_bytes(&text), path);
}

/* What stands in the arguments, everybody sees in the list of processes: gone from there as early as it can be. */
static enum result take_token_option(const struct client *c, struct run *r, const char *value) {
        enum result result = take_token_text(r, bytes_of(value), "--token");

        memset((char *) (uintptr_t) value, 'x', strlen(value));
        if (result == DONE)
                say(c,
                    "warning: others on this machine may have seen the token in the list of processes, and the shell may keep it: --token-file FILE or $CACTL_TOKEN is safer");
        return result;
}

static enum result take_token(const struct client *c, struct run *r) {
        const char *token = option_value(c, "token"), *file = option_value(c, "token-file"),
                   *environment = getenv("CACTL_TOKEN");
        enum result result = DONE;

        if (token && file)
                result = fail(WRONG_USAGE, "--token and --token-file: give one of them");
        else if (token)
                result = take_token_option(c, r, token);
        else if (file)
                result = take_token_file(r, file);
        else if (environment && *environment)
                result = take_token_text(r, bytes_of(environment), "$CACTL_TOKEN");
        (void) unsetenv("CACTL_TOKEN"); /* neither hooks nor systemctl have to know */
        return result;
}

static enum result take_names(const struct client *c, struct run *r) {
        struct error err = { 0 };

        for (size_t i = 0; i < c->args_count; i++)
                if (san_list_add_text(&r->wish.what.names, c->args[i], &err) < 0)
                        return fail(WRONG_USAGE, "%s", err.text);
        r->named = c->args_count > 0;
        return DONE;
}

static enum result take_key(const struct client *c, struct run *r) {
        const char *text = option_value(c, "key");
        struct error err = { 0 };
        enum key_type type;
        unsigned bits;

        if (text && key_spec_parse(text, /* leaf= */ true, &type, &bits, &err) < 0)
                return fail(WRONG_USAGE, "--key: %s", err.text);
        return copy(text, &r->wish.what.key);
}

/* It becomes a line of a file. */
static enum result take_text(const struct client *c, const char *option, char **ret) {
        const char *text = option_value(c, option);
        char printable[LABEL_MAX + 1] = "";

        if (!text)
                return DONE;
        text_make_printable(text, printable, sizeof(printable));
        if (!*text || !text_equal(text, printable))
                return fail(
                        WRONG_USAGE,
                        "--%s: a line of at most %d bytes of UTF-8 without control characters is wanted",
                        option, LABEL_MAX);
        return copy(text, ret);
}

static enum result take_texts(const struct client *c, struct run *r) {
        enum result result = take_text(c, "label", &r->wish.what.label);

        return result == DONE ? take_text(c, "profile", &r->wish.what.profile) : result;
}

static enum result take_options(const struct client *c, struct run *r) {
        static enum result (*const steps[])(const struct client *, struct run *) = {
                take_token,
                take_names,
                take_key,
                take_texts,
        };
        const char *base = option_value(c, "name"), *validity = NULL;
        enum result result;

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                if ((result = steps[i](c, r)) != DONE)
                        return result;
        if (base && kept_name_check(base) < 0)
                return fail(
                        WRONG_USAGE,
                        "--name %s: it is the name of a folder, without '/' and not beginning with '.' or '-'",
                        base);
        r->wish.what.rekey_at_renewal = option_given(c, "new-key-at-renewal");
        result = issued_validity(c, r->validity, &validity);
        return result == DONE ? copy(validity, &r->wish.what.validity) : result;
}

/* ---- what is here already ---- */

static enum result open_device(struct run *r, const char *name) {
        struct error err = { 0 };
        enum result result = device_open(name, /* make= */ true, &r->device);

        if (result != DONE)
                return result;
        r->opened = true;
        r->there = device_load(&r->device, &err) == 0;
        if (!r->there && err.code != ERR_NOT_FOUND)
                (void) fail(REFUSED, "%s is of no use and will be replaced: %s", r->device.folder,
                            err.text);
        return DONE;
}

struct looking {
        int certs_fd;
        char found[KEPT_NAME_MAX];
};

static void look_for(const char *name, void *context) {
        struct looking *l = context;
        CAD_AUTO(san_list_done) struct san_list one = { .count = 0 };
        CAD_AUTO(kept_pending_done) struct kept_pending pending = { .key = { 0 } };
        CAD_AUTO(fd_close) int fd = -1;
        char folder[KEPT_NAME_MAX], text[SAN_TEXT_MAX];
        struct error ignored = { 0 };

        if (l->found[0] || san_list_add_text(&one, name, NULL) < 0)
                return;
        kept_name(san_text(&one.items[0], text, sizeof(text)), folder);
        fd = kept_folder(l->certs_fd, folder, &ignored);
        if (fd >= 0 || kept_pending_read(l->certs_fd, folder, &pending, &ignored) == 0)
                (void) snprintf(l->found, sizeof(l->found), "%s", folder);
}

/* Without a name on the command line: what an earlier run made for a name of this host. No CA is asked. */
static void look_for_own(char out[KEPT_NAME_MAX]) {
        struct looking l = { .certs_fd = -1 };
        struct error ignored = { 0 };
        CAD_AUTO(fd_close) int fd = kept_open(place_config_dir(), /* make= */ false, &ignored);

        l.certs_fd = fd;
        if (fd >= 0)
                host_names_each(look_for, &l);
        memcpy(out, l.found, sizeof(l.found));
}

static enum result open_known(const struct client *c, struct run *r) {
        const char *base = option_value(c, "name");
        char name[KEPT_NAME_MAX] = "", text[SAN_TEXT_MAX];

        if (base)
                (void) snprintf(name, sizeof(name), "%s", base);
        else if (r->named)
                kept_name(san_text(&r->wish.what.names.items[0], text, sizeof(text)), name);
        else
                look_for_own(name);
        return name[0] ? open_device(r, name) : DONE;
}

static bool same_names(const struct san_list *a, const struct san_list *b) {
        for (size_t i = 0; i < a->count; i++)
                if (!san_list_contains(b, &a->items[i]))
                        return false;
        return a->count == b->count;
}

static bool same_root(const struct client *c, const struct device *d) {
        const char *text = global_option_value(c, "fingerprint");
        struct fingerprint given;
        struct error ignored = { 0 };
        uint8_t digest[SHA256_SIZE];

        if (!text)
                return true;
        cert_fingerprint(buffer_bytes(&d->root.der[0]), digest);
        return fingerprint_parse(text, &given, &ignored) == 0 && fingerprint_fits(&given, digest);
}

/* Whether there is nothing to be obtained. @ret: whether it is so */
static enum result judge_known(const struct client *c, struct run *r, bool *ret) {
        const struct device *d = &r->device;
        const char *url = global_option_value(c, "url");
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        char when[WORDS_MAX];

        *ret = false;
        if (!r->there || option_given(c, "force"))
                return DONE;
        if (device_expired(d, c->now)) {
                say(c, "the certificate in %s expired %s: a new one is asked for", d->folder,
                    time_both(d->cert.validity.not_after, c->now, when));
                return DONE;
        }
        if (!same_root(c, d) || (url && !place_same_url(url, d->what.url)))
                return fail(
                        REFUSED,
                        "%s is there and is of the CA at %s: --force replaces it by one of the CA that you name, --name puts that elsewhere",
                        d->folder, d->what.url);
        names_text(&d->what.names, &names);
        if (r->named && !same_names(&r->wish.what.names, &d->what.names))
                return fail(
                        REFUSED,
                        "%s is there for other names (%s): --force replaces it, --name puts the new one elsewhere",
                        d->folder, buffer_string(&names));
        *ret = true;
        return DONE;
}

/* ---- finding the CA ---- */

static void list_found(const struct found_ca *all, size_t count) {
        static const struct client loud = { 0 };

        for (size_t i = 0; i < count; i++)
                say(&loud, "  --url %s   (%s, %s)", all[i].url, all[i].name, all[i].address);
}

/* With a fingerprint, whoever does not have that root is left out, however early he answers. */
static size_t keep_fitting(const char *fingerprint, struct found_ca *all, size_t count) {
        const struct root_pin pin = { .fingerprint = fingerprint };
        size_t kept = 0;

        for (size_t i = 0; i < count; i++) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };

                if (trust_root(all[i].url, &pin, &der) == DONE)
                        all[kept++] = all[i];
        }
        return kept;
}

static enum result discover_url(const struct client *c, struct run *r) {
        const char *fingerprint = global_option_value(c, "fingerprint");
        struct found_ca all[DISCOVER_MAX];
        size_t count = 0;
        enum result result = discover(c, all, &count);

        if (result != DONE)
                return result;
        if (count == 0)
                return fail(
                        UNREACHABLE,
                        "no CA says on this network that it is here (%s, multicast DNS): say where it is with --url https://NAME:8443",
                        DISCOVER_TYPE);
        if (count > 1 && fingerprint)
                count = keep_fitting(fingerprint, all, count);
        if (count == 0)
                return fail(
                        REFUSED,
                        "none of those who answer on this network has the root that --fingerprint says: nothing was sent to them");
        if (count > 1) {
                list_found(all, count);
                return fail(WRONG_USAGE,
                            "%zu CAs answer on this network: choose one with --url (above)", count);
        }
        say(c, "found %s at %s (%s)", all[0].name, all[0].url, all[0].address);
        return copy(all[0].url, &r->wish.what.url);
}

static int read_root(const char *path, struct buffer *ret_der, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        CAD_AUTO(certs_done) struct certs root = { 0 };

        if (input_read(path, &text, err) < 0 ||
            certs_from_text(&root, buffer_bytes(&text), path, err) < 0)
                return -1;
        if (root.count != 1)
                return error_set(err, ERR_USAGE,
                                 "%s has %zu certificates: the root alone is wanted", path,
                                 root.count);
        buffer_append(ret_der, buffer_bytes(&root.der[0]));
        return ret_der->failed ? error_no_memory(err) : 0;
}

/* What an earlier run pinned for this URL: that was compared, so nobody is asked again. @ret_root: empty where there is none */
static enum result known_root(const struct run *r, const struct place *host,
                              struct buffer *ret_root) {
        const char *url = r->wish.what.url;
        CAD_AUTO(asked_done) struct asked asked = { .csr = NULL };
        struct error err = { 0 };

        if (r->there && place_same_url(url, r->device.what.url))
                buffer_append(ret_root, buffer_bytes(&r->device.root.der[0]));
        else if (r->opened && asked_load(&r->device, &asked, &err) == 0 &&
                 place_same_url(url, asked.pending.what.url))
                buffer_append(ret_root, buffer_bytes(&asked.root.der[0]));
        else if (host->url && host->root && place_same_url(url, host->url) &&
                 read_root(host->root, ret_root, &err) < 0)
                return fail_error(&err);
        return DONE;
}

static enum result choose_url(const struct client *c, struct run *r, const struct place *host) {
        CAD_AUTO(asked_done) struct asked asked = { .csr = NULL };
        const char *given = global_option_value(c, "url");
        struct error ignored = { 0 };

        if (given)
                return copy(given, &r->wish.what.url);
        if (r->there)
                return copy(r->device.what.url, &r->wish.what.url);
        if (r->opened && asked_load(&r->device, &asked, &ignored) == 0)
                return copy(asked.pending.what.url, &r->wish.what.url);
        if (host->url)
                return copy(host->url, &r->wish.what.url);
        return discover_url(c, r);
}

/* From here on the CA is there, with this root, and nowhere else. */
static enum result hold_root(struct client *c, struct run *r) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        pem_append(&pem, "CERTIFICATE", buffer_bytes(&r->root));
        r->wish.root = buffer_bytes(&r->root);
        r->root_fd = memfd_create("cactl-root", MFD_CLOEXEC);
        if (pem.failed || r->root_fd < 0 || fd_write_all(r->root_fd, buffer_bytes(&pem)) < 0)
                return fail(REFUSED, "cannot keep the root: %s", strerror(errno));
        (void) snprintf(r->root_path, sizeof(r->root_path), "/proc/self/fd/%d", r->root_fd);
        if (copy(r->wish.what.url, &r->at.url) != DONE || copy(r->root_path, &r->at.root) != DONE)
                return REFUSED;
        c->at = &r->at;
        return DONE;
}

static enum result find_ca(struct client *c, struct run *r) {
        const char *fingerprint = global_option_value(c, "fingerprint"),
                   *file = global_option_value(c, "root");
        CAD_AUTO(place_done) struct place host = { 0 };
        CAD_AUTO(buffer_done) struct buffer known = { 0 };
        CAD_AUTO(json_free) json_t *ca = NULL; /* that it answers, with this root's TLS, is all */
        struct root_pin pin = { .fingerprint = fingerprint };
        struct error err = { 0 };
        enum result result = DONE;

        if (file && fingerprint)
                return fail(WRONG_USAGE,
                            "--root and --fingerprint say the same thing twice: give one");
        result = place_read_host(&host);
        if (result == DONE)
                result = choose_url(c, r, &host);
        if (result == DONE && file && read_root(file, &known, &err) < 0)
                result = fail_error(&err);
        if (result == DONE && !file && !fingerprint)
                result = known_root(r, &host, &known);
        if (result != DONE)
                return result;
        pin.root = buffer_bytes(&known);
        result = trust_root(r->wish.what.url, &pin, &r->root);
        if (result == DONE)
                result = hold_root(c, r);
        return result == DONE ? api_get(c, "/v1/ca", &ca) : result;
}

/* ---- which names ---- */

struct own_names {
        struct certs cas; /* root and intermediates: each says for which names it is */
        struct san_list permitted;
        struct buffer refused;
};

static void own_names_done(struct own_names *own) {
        certs_done(&own->cas);
        san_list_done(&own->permitted);
        buffer_done(&own->refused);
}
CAD_CLEANUP_DONE(struct own_names, own_names_done)

static bool permits(struct bytes der, const struct san *name) {
        CAD_AUTO(constraints_free) struct name_constraints *constraints = NULL;
        struct error ignored = { 0 };
        struct cert cert;

        if (cert_read(der, &cert, &ignored) < 0)
                return false;
        if (!cert.name_constraints.size)
                return true;
        return constraints_from_der(cert.name_constraints, &constraints, &ignored) == 0 &&
                constraints_check(constraints, name, &ignored) == 0;
}

static void add_own(const char *name, void *context) {
        struct own_names *own = context;
        CAD_AUTO(san_list_done) struct san_list one = { .count = 0 };

        if (san_list_add_text(&one, name, NULL) < 0 ||
            (one.items[0].type != SAN_DNS && one.items[0].type != SAN_IP))
                return;
        for (size_t i = 0; i < own->cas.count; i++)
                if (!permits(buffer_bytes(&own->cas.der[i]), &one.items[0])) {
                        buffer_format(&own->refused, "%s%s", own->refused.size ? ", " : "", name);
                        return;
                }
        (void) san_list_add_text(&own->permitted, name, NULL);
}

/* As cad does it for its own: those names and addresses of the host that the CA is for. */
static enum result default_names(struct client *c, struct run *r) {
        CAD_AUTO(own_names_done) struct own_names own = { .permitted = { .count = 0 } };
        CAD_AUTO(buffer_done) struct buffer bundle = { 0 }, text = { 0 };
        struct error err = { 0 };
        enum result result = api_get_text(c, "/v1/ca/bundle.pem", /* accept= */ NULL, &bundle);

        if (result != DONE)
                return result;
        if (certs_from_text(&own.cas, buffer_bytes(&bundle), "the CA's bundle", &err) < 0)
                return fail_error(&err);
        host_names_each(add_own, &own);
        if (!own.permitted.count)
                return fail(
                        REFUSED,
                        "this CA is for none of this host's names (%s): 'cactl ca show' says for which it is; name one",
                        buffer_string(&own.refused));
        names_text(&own.permitted, &text);
        say(c, "names of this host: %s", buffer_string(&text));
        if (own.refused.size)
                say(c, "left out, because the CA is not for them: %s", buffer_string(&own.refused));
        r->wish.what.names = own.permitted;
        own.permitted = (struct san_list){ .count = 0 };
        return DONE;
}

static enum result open_for_names(struct client *c, struct run *r) {
        char name[KEPT_NAME_MAX], text[SAN_TEXT_MAX];
        enum result result = DONE;

        if (!r->named)
                result = default_names(c, r);
        if (result != DONE || r->opened)
                return result;
        kept_name(san_text(&r->wish.what.names.items[0], text, sizeof(text)), name);
        return open_device(r, name);
}

/* ---- obtaining it ---- */

static enum result obtain(struct client *c, struct run *r, bool *ret_waits) {
        CAD_AUTO(asked_done) struct asked asked = { .csr = NULL };
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        CAD_AUTO(enrolment_done) struct enrolment what = { .url = NULL };
        struct error ignored = { 0 };
        enum result result = DONE;

        if (asked_load(&r->device, &asked, &ignored) == 0 && asked_fits(&asked, &r->wish)) {
                say(c, "going on with what an earlier run asked for");
        } else {
                asked_done(&asked);
                result = asked_make(c, &r->device, &r->wish, &asked);
        }
        if (result != DONE)
                return result;
        *ret_waits = false;
        if (r->token.size)
                result = obtain_by_token(c, &asked, buffer_string(&r->token), &issued, &what);
        else
                result = obtain_by_request(c, &r->device, &asked,
                                           option_given(c, "no-wait") ? OBTAIN_LEAVE : OBTAIN_WAIT,
                                           &issued, &what, ret_waits);
        if (result != DONE || *ret_waits)
                return result;
        return obtain_finish(c, &r->device, &asked, &issued, &what);
}

/* ---- and after ---- */

/* One that somebody wrote for another CA is his. */
static bool conf_may_go(const char *path, const struct place *host, const char *url, bool force) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error ignored = { 0 };

        if (!host->url || place_same_url(host->url, url) || force)
                return true;
        return input_read(path, &text, &ignored) == 0 &&
                strncmp(buffer_string(&text), CONF_WRITTEN, strlen(CONF_WRITTEN)) == 0;
}

static enum result write_conf(const struct client *c, const struct device *d) {
        CAD_AUTO(place_done) struct place host = { 0 };
        CAD_AUTO(buffer_done) struct buffer path = { 0 }, text = { 0 }, there = { 0 };
        struct error err = { 0 };
        enum result result = place_read_host(&host);

        if (result != DONE)
                return result;
        buffer_format(&path, "%s/cactl.conf", d->conf);
        buffer_format(&text, "%s\n[Ca]\nUrl=%s\nRoot=certs/%s/root.pem\n", CONF_WRITTEN,
                      d->what.url, d->name);
        if (path.failed || text.failed)
                return fail(REFUSED, "out of memory");
        /* of the same CA: of another certificate's folder it does as well, and an admin may have put more into it */
        if (host.url && place_same_url(host.url, d->what.url) && host.root &&
            read_root(host.root, &there, &err) == 0 &&
            bytes_equal(buffer_bytes(&there), buffer_bytes(&d->root.der[0])))
                return DONE;
        if (!conf_may_go(buffer_string(&path), &host, d->what.url, option_given(c, "force"))) {
                say(c, "%s names another CA (%s) and is left as it is; --force replaces it",
                    buffer_string(&path), host.url);
                return DONE;
        }
        if (file_replace(AT_FDCWD, buffer_string(&path), buffer_bytes(&text), 0644, &err) < 0)
                return fail_error(&err);
        say(c, "wrote %s", buffer_string(&path));
        return DONE;
}

static enum result deploy_all(struct client *c, const struct device *d) {
        const char *service;
        size_t at = 0;

        while ((service = option_next(c, "deploy", &at))) {
                enum result result = deploy_add(c, service, d->folder);

                if (result != DONE)
                        return result;
        }
        return DONE;
}

/* One that fails does not keep the next from being done; the first failure is the answer. */
static enum result finish(struct client *c, struct run *r) {
        struct device *d = &r->device;
        enum result results[4] = { write_conf(c, d) };

        results[1] = option_given(c, "no-timer") ? DONE : timer_enable(c, d->conf);
        results[2] = deploy_all(c, d);
        results[3] = kept_is_changed(d->certs_fd, d->name) ? device_tell(c, d, "enrolled") : DONE;
        for (size_t i = 0; i < ARRAY_SIZE(results); i++)
                if (results[i] != DONE)
                        return results[i];
        return DONE;
}

static void report_json(const struct device *d) {
        CAD_AUTO(json_free) json_t *names = json_array();
        CAD_AUTO(json_free) json_t *object = NULL;
        char text[SAN_TEXT_MAX], end[MOMENT_TEXT_MAX];

        for (size_t i = 0; i < d->what.names.count; i++)
                (void) json_array_append_new(names,
                                             json_string(san_text(&d->what.names.items[i], text,
                                                                  sizeof(text))));
        object = json_pack("{s:s, s:s, s:s, s:s*, s:O, s:s}", "folder", d->folder, "url",
                           d->what.url, "serial", d->serial, "profile", d->what.profile, "names",
                           names, "not_after", moment_format(d->cert.validity.not_after, end));
        put_json(object);
}

static void report(const struct client *c, const struct device *d) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        char words[WORDS_MAX];

        if (c->json) {
                report_json(d);
                return;
        }
        if (c->quiet)
                return;
        names_text(&d->what.names, &names);
        fact("certificate", TONE_STRONG, "%s/fullchain.pem", d->folder);
        fact("key", TONE_STRONG, "%s/key.pem", d->folder);
        fact("root", TONE_STRONG, "%s/root.pem", d->folder);
        fact("names", TONE_PLAIN, "%s", buffer_string(&names));
        fact("expires", TONE_PLAIN, "%s", time_both(d->cert.validity.not_after, c->now, words));
        fact("serial", TONE_PLAIN, "%s", d->serial);
        fact("CA", TONE_PLAIN, "%s", d->what.url);
}

static enum result enroll(struct client *c, struct run *r) {
        bool done = false, waits = false;
        enum result result = take_options(c, r);

        if (result == DONE)
                result = open_known(c, r);
        if (result == DONE)
                result = judge_known(c, r, &done);
        if (result == DONE && done) {
                asked_drop_answered(&r->device);
                say(c, "this is enrolled already:");
        } else {
                if (result == DONE)
                        result = find_ca(c, r);
                if (result == DONE)
                        result = open_for_names(c, r);
                if (result == DONE)
                        result = obtain(c, r, &waits);
        }
        if (result != DONE)
                return result;
        if (waits) /* who takes it later is needed all the more */
                return option_given(c, "no-timer") ? DONE : timer_enable(c, r->device.conf);
        result = finish(c, r);
        report(c, &r->device);
        return result;
}

static enum result run(struct client *c) {
        CAD_AUTO(run_done) struct run r = { .root_fd = -1, .device = DEVICE_EMPTY };
        enum result result;

        if (option_given(c, "socket"))
                return fail(
                        WRONG_USAGE,
                        "a device enrols over the network: give --url, or nothing to search for the CA");
        if (global_option_value(c, "cert"))
                return fail(WRONG_USAGE,
                            "a device that enrols has no certificate yet: --cert is not for it");
        result = enroll(c, &r);
        c->http = http_free(c->http); /* it knows the way by what ends here */
        c->at = NULL;
        return result;
}

const struct command cmd_enroll = {
        .name = "enroll",
        .args = "[NAME...]",
        .args_max = ARGS_ANY,
        .names_root = true,
        .help = "This device's certificate: finds the CA, makes the key here, asks, installs, has it renewed",
        .more = "Without --url the CA is looked for on the LAN. Its root is pinned by --fingerprint (hex, or twelve words), or shown and asked for. With a "
                "token the certificate comes at once; without one the request waits, and whoever approves compares its code. Without names it is for "
                "those of this host. Everything goes into /etc/cad/certs/NAME ($CACTL_CONFIG_DIR moves it). Run it again at any time: it goes on where it was, "
                "or says that all is done.",
        .options = options,
        .run = run,
};
