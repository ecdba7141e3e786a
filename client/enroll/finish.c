/*
 * After the certificate is in place: cactl.conf, the timer, the services, the hooks; and what is said of it all.
 */
#include "client/enroll/steps.h"

#include <fcntl.h>
#include <string.h>

#include "client/deploy.h"
#include "client/enroll/timer.h"
#include "client/files.h"
#include "client/output.h"
#include "lib/base/file.h"

#define CONF_WRITTEN "# Written by 'cactl enroll'"

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
            enroll_read_root(host.root, &there, &err) == 0 &&
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
enum result enroll_finish(struct client *c, struct enroll_run *r) {
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

void enroll_report(const struct client *c, const struct device *d) {
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
