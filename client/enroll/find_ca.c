/*
 * Where the CA is: named, known from an earlier run, or found on the LAN; and its root, pinned before anything else is sent.
 */
#include "client/enroll/steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "client/api.h"
#include "client/discover.h"
#include "client/enroll/trust_root.h"
#include "client/files.h"
#include "client/output.h"
#include "lib/base/file.h"
#include "lib/pki/pem.h"

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

static enum result discover_url(const struct client *c, struct enroll_run *r) {
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
                        "none of those who answer on this network has the root that --fingerprint says: nothing was sent to them; --url says where the CA is");
        if (count > 1) {
                list_found(all, count);
                return fail(WRONG_USAGE,
                            "%zu CAs answer on this network: choose one with --url (above)", count);
        }
        say(c, "found %s at %s (%s)", all[0].name, all[0].url, all[0].address);
        return enroll_copy(all[0].url, &r->wish.what.url);
}

int enroll_read_root(const char *path, struct buffer *ret_der, struct error *err) {
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
static enum result known_root(const struct enroll_run *r, const struct place *host,
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
                 enroll_read_root(host->root, ret_root, &err) < 0)
                return fail_error(&err);
        return DONE;
}

static enum result choose_url(const struct client *c, struct enroll_run *r,
                              const struct place *host) {
        CAD_AUTO(asked_done) struct asked asked = { .csr = NULL };
        const char *given = global_option_value(c, "url");
        struct error ignored = { 0 };

        if (given)
                return enroll_copy(given, &r->wish.what.url);
        if (r->there)
                return enroll_copy(r->device.what.url, &r->wish.what.url);
        if (r->opened && asked_load(&r->device, &asked, &ignored) == 0)
                return enroll_copy(asked.pending.what.url, &r->wish.what.url);
        if (host->url)
                return enroll_copy(host->url, &r->wish.what.url);
        return discover_url(c, r);
}

/* From here on the CA is there, with this root, and nowhere else. */
static enum result hold_root(struct client *c, struct enroll_run *r) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        pem_append(&pem, "CERTIFICATE", buffer_bytes(&r->root));
        r->wish.root = buffer_bytes(&r->root);
        r->root_fd = memfd_create("cactl-root", MFD_CLOEXEC);
        if (pem.failed || r->root_fd < 0 || fd_write_all(r->root_fd, buffer_bytes(&pem)) < 0)
                return fail(REFUSED, "cannot keep the root: %s", strerror(errno));
        (void) snprintf(r->root_path, sizeof(r->root_path), "/proc/self/fd/%d", r->root_fd);
        if (enroll_copy(r->wish.what.url, &r->at.url) != DONE ||
            enroll_copy(r->root_path, &r->at.root) != DONE)
                return REFUSED;
        c->at = &r->at;
        return DONE;
}

enum result enroll_find_ca(struct client *c, struct enroll_run *r) {
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
        if (result == DONE && file && enroll_read_root(file, &known, &err) < 0)
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
