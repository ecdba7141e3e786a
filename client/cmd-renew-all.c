/*
 * cactl renew: what is enrolled here and due, again; a timer calls it.
 *
 * When, says the CA; at which moment of that window, chance does. A certificate that the CA does not renew any more because it
 * has expired is asked for as if it were the first. Nothing that is there is touched before all of the new set is on disk.
 */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "cactl.h"
#include "enroll/device.h"
#include "enroll/obtain.h"
#include "http.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"
#include "output.h"
#include "renewal.h"

static const struct option options[] = {
        { "force", NULL, "now, due or not" },
        { "dry-run", NULL, "only say what would be done" },
        { "new-key", NULL, "with a new key (always: RekeyAtRenewal=yes in enrolled.conf)" },
        { 0 },
};

/* One certificate of one run. */
struct renewal {
        struct device device;
        int64_t start, end; /* the window that the CA advises */
        int64_t moment;     /* in it */
        const char *action; /* for --json; static */
};

static void renewal_done(struct renewal *r) {
        device_done(&r->device);
}
CAD_CLEANUP_DONE(struct renewal, renewal_done)

/* The CA is where this certificate came from. */
static void go_to(struct client *c, const struct place *place) {
        c->http = http_free(c->http);
        c->at = place;
}

static void leave(struct client *c) {
        c->http = http_free(c->http);
        c->at = NULL;
}

/* ---- when ---- */

/*
 * A moment of the window, evenly spread and nobody's to foresee, yet the same each time: of the private key, which nobody
 * else has, and of what the window is for. So there is nothing to be kept.
 */
static int64_t choose_moment(const struct renewal *r) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        uint8_t digest[SHA256_SIZE];
        uint64_t number = 0;
        int64_t length = r->end - r->start;

        buffer_append(&text, buffer_bytes(&r->device.key_pem));
        buffer_format(&text, "%s %lld %lld", r->device.serial, (long long) r->start,
                      (long long) r->end);
        if (text.failed || length <= 0)
                return r->start;
        sha256(buffer_bytes(&text), digest);
        for (size_t i = 0; i < sizeof(number); i++)
                number = number << 8 | digest[i];
        return r->start + (int64_t) (number % (uint64_t) length);
}

static enum result ask_when(struct client *c, struct renewal *r) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *answer = NULL;
        const json_t *window;
        enum result result;

        buffer_format(&path, "/v1/certificates/%s/renewal", r->device.serial);
        result = api_get(c, buffer_string(&path), &answer);
        if (result != DONE)
                return result;
        window = json_object_get(answer, "window");
        if (api_time(window, "start", &r->start) < 0 || api_time(window, "end", &r->end) < 0)
                return fail(REFUSED, "%s does not say when %s should be renewed: is it a cad?",
                            http_place(c), r->device.name);
        r->moment = choose_moment(r);
        return DONE;
}

/* ---- doing it ---- */

struct fresh {
        struct private_key *key; /* NULL: that of the old one */
        struct buffer key_pem, csr, spki;
};

static void fresh_done(struct fresh *f) {
        f->key = private_key_free(f->key);
        buffer_wipe(&f->key_pem);
        buffer_done(&f->csr);
        buffer_done(&f->spki);
}
CAD_CLEANUP_DONE(struct fresh, fresh_done)

static int make_fresh(const struct client *c, const struct renewal *r, struct fresh *f,
                      struct error *err) {
        const struct device *d = &r->device;

        if (!option_given(c, "new-key") && !d->what.rekey_at_renewal) {
                buffer_append(&f->key_pem, buffer_bytes(&d->key_pem));
                return private_key_spki(d->key, &f->spki, err);
        }
        if (renewal_key(d->cert.spki, &f->key, err) < 0 ||
            private_key_to_pem(f->key, BYTES_NONE, &f->key_pem, err) < 0 ||
            renewal_csr(f->key, &f->csr, err) < 0)
                return -1;
        return private_key_spki(f->key, &f->spki, err);
}

static enum result store(const struct client *c, struct renewal *r, const struct fresh *f,
                         const json_t *answer) {
        CAD_AUTO(enrolment_done) struct enrolment what = { .url = NULL };
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        CAD_AUTO(buffer_done) struct buffer root = { 0 };
        struct device *d = &r->device;
        struct error err = { 0 };
        enum result result;

        if (renewal_read(answer, buffer_bytes(&f->spki), &d->what.names, &issued, &err) < 0 ||
            enrolment_copy(&d->what, &what, &err) < 0)
                return fail(REFUSED, "%s: %s; nothing was changed", d->name, err.text);
        if (text_equal(issued.serial, d->serial) || issued.cert.validity.not_after <= c->now)
                return fail(
                        REFUSED,
                        "%s: what the CA sent is not a new certificate that is good; nothing was changed",
                        d->name);
        buffer_append(&root, buffer_bytes(&d->root.der[0])); /* device_store() reads @d anew */
        result = device_check_issued(c, &issued, buffer_bytes(&root));
        if (result != DONE)
                return result;
        (void) free_text(what.serial);
        what.serial = strdup(issued.serial);
        return what.serial && !root.failed
                ? device_store(d, &what, buffer_bytes(&f->key_pem), &issued, buffer_bytes(&root))
                : fail(REFUSED, "out of memory");
}

/* ---- one that has expired ---- */

/* As if it were the first: with a new key, and somebody who approves. */
static enum result ask_anew(struct client *c, struct renewal *r) {
        CAD_AUTO(asked_done) struct asked asked = { .csr = NULL };
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        CAD_AUTO(enrolment_done) struct enrolment what = { .url = NULL };
        CAD_AUTO(buffer_done) struct buffer root = { 0 };
        struct device *d = &r->device;
        struct wish wish = { .what = { .url = NULL } };
        struct error err = { 0 };
        bool waits = false;
        enum result result;

        buffer_append(&root, buffer_bytes(&d->root.der[0]));
        wish.root = buffer_bytes(&root);
        if (root.failed || enrolment_copy(&d->what, &wish.what, &err) < 0)
                return fail(REFUSED, "out of memory");
        result = asked_make(c, d, &wish, &asked);
        enrolment_done(&wish.what);
        if (result == DONE)
                result = obtain_by_request(c, d, &asked, OBTAIN_TIMER, &issued, &what, &waits);
        if (result == DONE && waits)
                r->action = "waits";
        if (result != DONE || waits)
                return result;
        return obtain_finish(c, d, &asked, &issued, &what);
}

/* Within its grace the CA renews it all the same; what it says otherwise is told, and is no failure yet. */
static enum result post_expired(struct client *c, const struct renewal *r, const struct fresh *f,
                                json_t **ret) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *body = renewal_body(buffer_bytes(&f->csr)), *answer = NULL;
        CAD_AUTO(free_text) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
        CAD_AUTO(http_answer_done) struct http_answer came = { 0 };
        struct http_request request = { .method = "POST",
                                        .accept = "application/json",
                                        .content_type = "application/json",
                                        .body = bytes_of(text) };
        enum result result;

        if (!text)
                return fail(REFUSED, "out of memory");
        buffer_format(&path, "/v1/certificates/%s/renew", r->device.serial);
        request.path = buffer_string(&path);
        result = http_call(c, &request, &came);
        if (result != DONE)
                return result;
        answer = json_loadb((const char *) came.body.data, came.body.size, JSON_REJECT_DUPLICATES,
                            /* error= */ NULL);
        if (came.status == 201) {
                *ret = CAD_TAKE(answer);
                return DONE;
        }
        if (came.status == 429 || came.status >= 500)
                return fail(REFUSED, "%s: the CA cannot renew it now (%ld%s%s): try again",
                            r->device.name, came.status, answer ? ": " : "",
                            api_text(answer, "detail"));
        say(c, "%s has expired and is not renewed any more (%s)", r->device.name,
            *api_text(answer, "detail") ? api_text(answer, "detail") : "no reason was given");
        return DONE;
}

static enum result renew(struct client *c, struct renewal *r, const struct place *open,
                         const struct place *own) {
        CAD_AUTO(fresh_done) struct fresh f = { .key = NULL };
        CAD_AUTO(json_free) json_t *answer = NULL;
        struct device *d = &r->device;
        char words[WORDS_MAX];
        struct error err = { 0 };
        bool expired = device_expired(d, c->now);
        enum result result;

        if (make_fresh(c, r, &f, &err) < 0)
                return fail_error(&err);
        go_to(c, own);
        result = expired ? post_expired(c, r, &f, &answer)
                         : renewal_post(c, d->serial, buffer_bytes(&f.csr), &answer);
        if (result != DONE)
                return result;
        if (answer) {
                result = store(c, r, &f, answer);
        } else {
                go_to(c, open);
                result = ask_anew(c, r);
                if (result != DONE || text_equal(r->action, "waits"))
                        return result;
        }
        if (result != DONE)
                return result;
        r->action = "renewed";
        say(c, "%s is renewed: serial %s, good until %s", d->name, d->serial,
            time_both(d->cert.validity.not_after, c->now, words));
        return device_tell(c, d, "renewed");
}

/* On standard output: a timer throws it away, and keeps what was done. */
static void tell_when(const struct client *c, const struct renewal *r, bool due) {
        char until[WORDS_MAX], when[WORDS_MAX];

        if (c->json || c->quiet)
                return;
        if (!due)
                put(TONE_PLAIN, "%s is good until %s; to be renewed %s", r->device.name,
                    time_both(r->device.cert.validity.not_after, c->now, until),
                    time_both(r->moment, c->now, when));
        else if (option_given(c, "dry-run"))
                put(TONE_PLAIN, "%s would be renewed now", r->device.name);
}

static enum result renew_if_due(struct client *c, struct renewal *r) {
        CAD_AUTO(place_done) struct place open = { 0 }, own = { 0 };
        enum result result = device_place(&r->device, /* identity= */ false, &open);

        if (result == DONE)
                result = device_place(&r->device, /* identity= */ true, &own);
        if (result != DONE)
                return result;
        go_to(c, &open);
        result = ask_when(c, r);
        if (result == DONE) {
                bool due = option_given(c, "force") || c->now >= r->moment ||
                        device_expired(&r->device, c->now);

                r->action = due ? "due" : "none";
                tell_when(c, r, due);
                if (due && !option_given(c, "dry-run"))
                        result = renew(c, r, &open, &own);
        }
        leave(c);
        return result;
}

/* ---- one that waits ---- */

static enum result take_waiting(struct client *c, struct renewal *r, struct asked *asked) {
        CAD_AUTO(place_done) struct place at = { 0 };
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        CAD_AUTO(enrolment_done) struct enrolment what = { .url = NULL };
        struct device *d = &r->device;
        bool waits = false;
        enum result result = asked_place(d, asked, &at);

        r->action = "waits";
        if (result != DONE || option_given(c, "dry-run"))
                return result;
        go_to(c, &at);
        result = obtain_by_request(c, d, asked, OBTAIN_TIMER, &issued, &what, &waits);
        leave(c);
        if (result == DONE && !waits)
                result = obtain_finish(c, d, asked, &issued, &what);
        if (result != DONE || waits)
                return result;
        r->action = "renewed";
        say(c, "%s was approved: serial %s", d->name, d->serial);
        return device_tell(c, d, "enrolled");
}

static enum result nothing_whole(const struct renewal *r, bool asked, const struct error *err) {
        if (asked)
                return fail(
                        REFUSED,
                        "%s: an enrolment was begun and the CA has not answered: run 'cactl enroll' again, or remove %s/certs/.%s.pending",
                        r->device.name, r->device.conf, r->device.name);
        if (err->code == ERR_NOT_FOUND)
                return fail(REFUSED, "%s is not there: 'cactl enroll' makes it", r->device.folder);
        return fail(REFUSED, "%s cannot be renewed: %s; 'cactl enroll' makes it anew",
                    r->device.folder, err->text);
}

static enum result treat(struct client *c, const char *name, struct renewal *r) {
        CAD_AUTO(asked_done) struct asked asked = { .csr = NULL };
        struct error err = { 0 }, ignored = { 0 };
        enum result result = device_open(name, /* make= */ false, &r->device), told = DONE;
        bool there, waiting;

        r->action = "failed";
        if (result != DONE)
                return result;
        there = device_load(&r->device, &err) == 0;
        if (there)
                asked_drop_answered(&r->device);
        waiting = asked_load(&r->device, &asked, &ignored) == 0;
        /* whoever uses it was not told of the last change: somebody was killed, or a hook failed */
        if (there && !option_given(c, "dry-run") &&
            kept_is_changed(r->device.certs_fd, r->device.name))
                told = device_tell(c, &r->device, "renewed");
        if (waiting && asked.pending.what.request)
                result = take_waiting(c, r, &asked);
        else if (!there && !waiting && err.code == ERR_NOT_FOUND && c->args_count == 0)
                r->action = "none"; /* the rest of a first enrolment that was killed is gone now */
        else if (!there)
                result = nothing_whole(r, waiting, &err);
        else
                result = renew_if_due(c, r);
        if (result != DONE)
                r->action = "failed";
        return result != DONE ? result : told;
}

/* ---- all of them ---- */

struct all {
        struct client *c;
        json_t *rows;
        size_t count;
        enum result result; /* of the first that failed */
};

static void add_row(struct all *all, const struct renewal *r) {
        const struct device *d = &r->device;
        char end[MOMENT_TEXT_MAX], when[MOMENT_TEXT_MAX];
        bool there = d->serial[0] != '\0';

        (void) json_array_append_new(
                all->rows,
                json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "name", d->name, "action", r->action,
                          "serial", there ? d->serial : NULL, "not_after",
                          there ? moment_format(d->cert.validity.not_after, end) : NULL, "renew_at",
                          r->moment > 0 && text_equal(r->action, "none")
                                  ? moment_format(r->moment, when)
                                  : NULL));
}

static void treat_each(const char *name, void *context) {
        CAD_AUTO(renewal_done) struct renewal r = { .device = DEVICE_EMPTY };
        struct all *all = context;
        enum result result = treat(all->c, name, &r);

        all->count++;
        if (result != DONE && all->result == DONE)
                all->result = result;
        if (!r.device.name[0])
                (void) snprintf(r.device.name, sizeof(r.device.name), "%s", name);
        add_row(all, &r);
}

/* A name of the certificate does for that of its folder. */
static enum result treat_named(struct all *all) {
        for (size_t i = 0; i < all->c->args_count; i++) {
                char name[KEPT_NAME_MAX];

                kept_name(all->c->args[i], name);
                if (kept_name_check(name) < 0)
                        return fail(WRONG_USAGE, "'%s' is no name", all->c->args[i]);
                treat_each(name, all);
        }
        return all->result;
}

static enum result run_all(struct all *all) {
        struct error err = { 0 };
        CAD_AUTO(fd_close) int fd = kept_open(place_config_dir(), /* make= */ false, &err);

        if (fd < 0 && err.code != ERR_NOT_FOUND)
                return fail_error(&err);
        if (fd < 0 && all->c->args_count == 0) {
                say(all->c, "nothing is enrolled here (%s/certs is not there)", place_config_dir());
                return DONE;
        }
        if (all->c->args_count)
                return treat_named(all);
        if (kept_each(fd, treat_each, all, &err) < 0)
                return fail_error(&err);
        if (!all->count)
                say(all->c, "nothing is enrolled here (%s/certs)", place_config_dir());
        return all->result;
}

static enum result run(struct client *c) {
        CAD_AUTO(json_free) json_t *object = NULL;
        struct all all = { .c = c, .rows = json_array() };
        enum result result;

        if (option_given(c, "socket") || option_given(c, "url") || global_option_value(c, "cert"))
                return fail(
                        WRONG_USAGE,
                        "each certificate knows its CA (enrolled.conf): --socket, --url and --cert are not for 'cactl renew'; "
                        "'cactl cert renew' takes them");
        result = run_all(&all);
        object = json_pack("{s:o}", "certificates", all.rows);
        if (c->json && object)
                put_json(object);
        return result;
}

const struct command cmd_renew = {
        .name = "renew",
        .args = "[NAME...]",
        .args_max = ARGS_ANY,
        .help = "Renew what is enrolled here and due, then have it deployed; a timer calls it",
        .more = "Each certificate under /etc/cad/certs is renewed with its own key, at a moment of the window that its CA advises. One that has expired for "
                "longer than the CA's grace is asked for anew and waits for approval. Deploy targets and the hooks in /etc/cad/hooks.d are run "
                "when something has changed.",
        .options = options,
        .run = run,
};
