/*
 * cactl enroll: a device's whole first certificate, in one command that may be repeated.
 *
 * The order is what makes it safe. The root is pinned before anything is sent; the key is on disk before its CSR is; what came back is judged
 * before anything is replaced; whoever uses the certificate is told last. Each step looks first whether it was done. The steps are in enroll/.
 */
#include "api.h"
#include "cactl.h"
#include "enroll/steps.h"
#include "enroll/timer.h"
#include "http.h"
#include "lib/base/file.h"
#include "output.h"

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

static void run_done(struct enroll_run *r) {
        enrolment_done(&r->wish.what);
        buffer_wipe(&r->token);
        buffer_done(&r->root);
        place_done(&r->at);
        r->root_fd = fd_close(r->root_fd);
        device_done(&r->device);
}
CAD_CLEANUP_DONE(struct enroll_run, run_done)

static enum result open_for_names(struct client *c, struct enroll_run *r) {
        char name[KEPT_NAME_MAX], text[SAN_TEXT_MAX];
        enum result result = DONE;

        if (!r->named)
                result = enroll_default_names(c, r);
        if (result != DONE || r->opened)
                return result;
        kept_name(san_text(&r->wish.what.names.items[0], text, sizeof(text)), name);
        return enroll_open_device(r, name);
}

static enum result obtain(struct client *c, struct enroll_run *r, bool *ret_waits) {
        CAD_AUTO(asked_done) struct asked asked = { .csr = NULL };
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        CAD_AUTO(enrolment_done) struct enrolment what = { .url = NULL };
        struct error ignored = { 0 };
        enum result result = DONE;
        bool fresh = false;

        if (asked_load(&r->device, &asked, &ignored) == 0 && asked_fits(&asked, &r->wish)) {
                say(c, "going on with what an earlier run asked for");
        } else {
                asked_done(&asked);
                fresh = true;
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
        if (result != DONE && fresh)
                asked_drop_refused(c, &r->device);
        if (result != DONE || *ret_waits)
                return result;
        return obtain_finish(c, &r->device, &asked, &issued, &what);
}

/* What a certificate is made with: one that is there already is not made. */
static void say_unused(const struct client *c) {
        static const char *const names[] = { "key",      "profile", "days",
                                             "validity", "label",   "new-key-at-renewal" };
        CAD_AUTO(buffer_done) struct buffer given = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (option_given(c, names[i]))
                        buffer_format(&given, "%s--%s", given.size ? ", " : "", names[i]);
        if (given.size)
                say(c,
                    "not looked at: %s, which are for a new certificate; --force makes one with them",
                    buffer_string(&given));
}

static enum result enroll(struct client *c, struct enroll_run *r) {
        bool done = false, waits = false;
        enum result result = enroll_take_options(c, r);

        if (result == DONE)
                result = enroll_open_known(c, r);
        if (result == DONE)
                result = enroll_judge_known(c, r, &done);
        if (result == DONE && done) {
                asked_drop_answered(&r->device);
                say_unused(c);
                say(c, "this is enrolled already:");
        } else {
                if (result == DONE)
                        result = enroll_find_ca(c, r);
                if (result == DONE)
                        result = open_for_names(c, r);
                if (result == DONE)
                        result = obtain(c, r, &waits);
        }
        if (result != DONE)
                return result;
        if (waits) /* who takes it later is needed all the more */
                return option_given(c, "no-timer") ? DONE : timer_enable(c, r->device.conf);
        result = enroll_finish(c, r);
        enroll_report(c, &r->device);
        return result;
}

static enum result run(struct client *c) {
        CAD_AUTO(run_done) struct enroll_run r = { .root_fd = -1, .device = DEVICE_EMPTY };
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
