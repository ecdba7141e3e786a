/*
 * What this device has already, and whether that is what the command line wants. No CA is asked.
 */
#include "client/enroll/steps.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/output.h"
#include "lib/base/file.h"
#include "lib/base/host_names.h"
#include "lib/pki/fingerprint_words.h"

enum result enroll_open_device(struct enroll_run *r, const char *name) {
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

enum result enroll_open_known(const struct client *c, struct enroll_run *r) {
        const char *base = option_value(c, "name");
        char name[KEPT_NAME_MAX] = "", text[SAN_TEXT_MAX];

        if (base)
                (void) snprintf(name, sizeof(name), "%s", base);
        else if (r->named)
                kept_name(san_text(&r->wish.what.names.items[0], text, sizeof(text)), name);
        else
                look_for_own(name);
        return name[0] ? enroll_open_device(r, name) : DONE;
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
enum result enroll_judge_known(const struct client *c, struct enroll_run *r, bool *ret) {
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
