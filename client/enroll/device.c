/*
 * One certificate of this device: see device.h. It must never leave a key without its certificate.
 */
#include "client/enroll/device.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/deploy.h"
#include "client/enroll/hooks.h"
#include "client/output.h"
#include "client/trust_clock.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

static void forget(struct device *d) {
        enrolment_done(&d->what);
        buffer_wipe(&d->key_pem);
        d->key = private_key_free(d->key);
        certs_done(&d->chain);
        certs_done(&d->root);
        d->cert = (struct cert){ 0 };
        d->serial[0] = '\0';
}

void device_done(struct device *d) {
        forget(d);
        d->certs_fd = fd_close(d->certs_fd);
        d->lock_fd = fd_close(d->lock_fd);
}

/* The way out for whoever is not root and meets what is root's. */
static const char *who_may(const struct error *err) {
        return err->code == ERR_IO && geteuid() != 0
                ? ": run this as root, or with a folder of your own in $CACTL_CONFIG_DIR"
                : "";
}

enum result device_open(const char *name, bool make, struct device *ret) {
        struct error err = { 0 };

        ret->conf = place_config_dir();
        (void) snprintf(ret->name, sizeof(ret->name), "%s", name);
        if (snprintf(ret->folder, sizeof(ret->folder), "%s/certs/%s", ret->conf, name) >=
            (int) sizeof(ret->folder))
                return fail(REFUSED, "%s: its path is too long", name);
        ret->certs_fd = kept_open(ret->conf, make, &err);
        if (ret->certs_fd < 0)
                return fail(REFUSED, "%s%s", err.text, who_may(&err));
        ret->lock_fd = kept_lock(ret->certs_fd, name, &err);
        if (ret->lock_fd < 0 && err.code == ERR_BUSY)
                return fail(REFUSED, "%s is being worked on: %s; try again when it is done", name,
                            err.text);
        if (ret->lock_fd < 0 || kept_recover(ret->certs_fd, name, &err) < 0)
                return fail(REFUSED, "%s/certs: %s%s", ret->conf, err.text, who_may(&err));
        return DONE;
}

/* ---- what is there ---- */

static int load_texts(struct device *d, struct error *err) {
        CAD_AUTO(fd_close) int fd = kept_folder(d->certs_fd, d->name, err);
        CAD_AUTO(buffer_done) struct buffer chain = { 0 }, root = { 0 };

        if (fd < 0 || enrolment_read(fd, "enrolled.conf", &d->what, err) < 0 ||
            /* of any owner and mode: the admin may have given it to the service */
            file_read(fd, "key.pem", FILE_ANY_OWNER, KEPT_FILE_MAX, &d->key_pem, err) < 0 ||
            file_read(fd, "fullchain.pem", FILE_ANY_OWNER, KEPT_FILE_MAX, &chain, err) < 0 ||
            file_read(fd, "root.pem", FILE_ANY_OWNER, KEPT_FILE_MAX, &root, err) < 0 ||
            private_key_from_pem(buffer_bytes(&d->key_pem), BYTES_NONE, &d->key, err) < 0 ||
            certs_from_text(&d->chain, buffer_bytes(&chain), "fullchain.pem", err) < 0 ||
            certs_from_text(&d->root, buffer_bytes(&root), "root.pem", err) < 0) {
                if (fd >= 0 && err->code == ERR_NOT_FOUND)
                        err->code = ERR_CONFIG; /* a part of it, not all */
                return -1;
        }
        return 0;
}

static int check_loaded(struct device *d, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };

        if (d->chain.count != 2 || d->root.count != 1)
                return error_set(
                        err, ERR_CONFIG,
                        "fullchain.pem has %zu certificates and root.pem %zu: two and one are wanted",
                        d->chain.count, d->root.count);
        if (cert_read(buffer_bytes(&d->chain.der[0]), &d->cert, err) < 0 ||
            private_key_spki(d->key, &spki, err) < 0)
                return -1;
        if (!bytes_equal(buffer_bytes(&spki), d->cert.spki))
                return error_set(err, ERR_CONFIG, "key.pem is not the key of the certificate");
        if (d->cert.serial.size > SERIAL_MAX)
                return error_set(err, ERR_CONFIG, "its serial is longer than any of a cad");
        san_list_done(&d->what.names); /* what the certificate says counts */
        if (d->cert.san.size && san_list_from_der(&d->what.names, d->cert.san, "names", err) < 0)
                return -1;
        (void) hex_encode(d->cert.serial, d->serial);
        return chain_verify(d->cert.der, buffer_bytes(&d->chain.der[1]),
                            buffer_bytes(&d->root.der[0]), d->cert.validity.not_before, err);
}

int device_load(struct device *d, struct error *err) {
        forget(d);
        if (load_texts(d, err) == 0 && check_loaded(d, err) == 0)
                return 0;
        forget(d);
        return -1;
}

bool device_expired(const struct device *d, int64_t now) {
        return now > d->cert.validity.not_after;
}

static int path_in(const struct device *d, const char *file, char **ret) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };

        buffer_format(&path, "%s/%s", d->folder, file);
        *ret = path.failed ? NULL : strdup(buffer_string(&path));
        return *ret ? 0 : -1;
}

enum result device_place(const struct device *d, bool identity, struct place *ret) {
        ret->url = strdup(d->what.url);
        if (!ret->url || path_in(d, "root.pem", &ret->root) < 0 ||
            (identity &&
             (path_in(d, "fullchain.pem", &ret->certificate) < 0 ||
              path_in(d, "key.pem", &ret->key) < 0)))
                return fail(REFUSED, "out of memory");
        return DONE;
}

/* ---- a new one ---- */

enum result device_check_issued(const struct client *c, const struct issued *issued,
                                struct bytes root) {
        const struct validity *v = &issued->cert.validity;
        char from[WORDS_MAX], to[WORDS_MAX], now[MOMENT_TEXT_MAX];
        struct error err = { 0 };

        if (issued_check_chain(issued, root, c->now, &err) < 0)
                return fail(REFUSED, "%s; nothing was changed", err.text);
        if (c->now >= v->not_before && c->now <= v->not_after)
                return DONE;
        (void) moment_format(c->now < 0 ? 0 : c->now, now);
        (void) time_both(v->not_before, c->now, from);
        (void) time_both(v->not_after, c->now, to);
        if (trust_clock_needed(moment_now(), root))
                return fail(
                        REFUSED,
                        "the certificate that came back is good from %s until %s, and the server said that it is %s: one of them is "
                        "not the CA; nothing was changed",
                        from, to, now);
        say(c,
            "by this machine's clock (%s) the certificate is not valid: it is good from %s until %s; set the clock",
            now, from, to);
        return DONE;
}

static void append_chain(const struct issued *issued, struct kept_set *set, struct buffer *cert,
                         struct buffer *chain, struct buffer *full) {
        for (size_t i = 0; i < issued->chain.count; i++) {
                struct bytes der = buffer_bytes(&issued->chain.der[i]);

                pem_append(i ? chain : cert, "CERTIFICATE", der);
                pem_append(full, "CERTIFICATE", der);
        }
        set->cert = buffer_bytes(cert);
        set->chain = buffer_bytes(chain);
        set->fullchain = buffer_bytes(full);
}

enum result device_store(struct device *d, const struct enrolment *what, struct bytes key_pem,
                         const struct issued *issued, struct bytes root) {
        CAD_AUTO(buffer_done) struct buffer cert = { 0 }, chain = { 0 }, full = { 0 };
        CAD_AUTO(buffer_done) struct buffer root_pem = { 0 }, conf = { 0 };
        struct kept_set set = { .key = key_pem };
        struct error err = { 0 };

        append_chain(issued, &set, &cert, &chain, &full);
        pem_append(&root_pem, "CERTIFICATE", root);
        enrolment_write(what, &conf);
        set.root = buffer_bytes(&root_pem);
        set.conf = buffer_bytes(&conf);
        if (cert.failed || chain.failed || full.failed || root_pem.failed || conf.failed)
                return fail(REFUSED, "out of memory");
        /* first: whoever dies after the change must not leave others with the old one for ever */
        if (kept_mark_changed(d->certs_fd, d->name, &err) < 0 ||
            kept_replace(d->certs_fd, d->name, &set, &err) < 0)
                return fail(
                        REFUSED,
                        "%s/certs: %s; what was there is as it was. The certificate was issued: cactl cert show %s --pem prints it",
                        d->conf, err.text, issued->serial);
        if (device_load(d, &err) < 0)
                return fail(REFUSED, "%s, as it was written: %s", d->folder, err.text);
        return DONE;
}

enum result device_tell(struct client *c, struct device *d, const char *reason) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        char text[SAN_TEXT_MAX];
        const struct hook_event event = { .reason = reason,
                                          .folder = d->folder,
                                          .serial = d->serial };
        struct hook_event whole = event;
        enum result deployed, hooked;

        for (size_t i = 0; i < d->what.names.count; i++)
                buffer_format(&names, "%s%s", i ? " " : "",
                              san_text(&d->what.names.items[i], text, sizeof(text)));
        whole.names = buffer_string(&names);
        deployed = deploy_folder(c, d->folder);
        hooked = hooks_run(c, d->conf, &whole);
        if (deployed == DONE && hooked == DONE)
                kept_unmark_changed(d->certs_fd, d->name);
        return deployed != DONE ? deployed : hooked;
}
