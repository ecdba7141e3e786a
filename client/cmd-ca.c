/*
 * cactl ca: what this CA is, and what it is for.
 */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "cactl.h"
#include "lib/base/text.h"
#include "lib/pki/fingerprint_words.h"
#include "output.h"
#include "show.h"
#include "words.h"

static const struct option show_options[] = {
        { "pem", NULL, "print the root certificate alone, as PEM" },
        { "bundle", NULL, "print the root and all intermediates, as PEM" },
        { 0 },
};

/* Through the decoder and back, so that certificates come out and nothing else. */
static enum result show_pem(struct client *c, const char *path) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        struct error err = { 0 };
        enum result result = api_get_text(c, path, /* accept= */ NULL, &pem);

        if (result != DONE)
                return result;
        if (certs_from_text(&certs, buffer_bytes(&pem), "the CA's answer", &err) < 0)
                return fail_error(&err);
        certs_put_pem(&certs);
        return DONE;
}

static void show_entries(const json_t *ca, const char *which, const char *label) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        const json_t *entry;
        size_t i;

        json_array_foreach(json_object_get(json_object_get(ca, "constraints"), which), i, entry)
                buffer_format(&text, "%s%s %s", i ? ", " : "", api_text(entry, "type"),
                              api_text(entry, "value"));
        if (text.size)
                fact(label, TONE_PLAIN, "%s", buffer_string(&text));
}

static void show_urls(const json_t *ca) {
        const json_t *value;
        const char *key;

        if (*api_text(ca, "public_url"))
                fact("public URL", TONE_PLAIN, "%s", api_text(ca, "public_url"));
        json_object_foreach(json_object_get(ca, "urls"), key, value) if (json_is_string(value))
                fact("URL", TONE_PLAIN, "%s: %s", key, json_string_value(value));
}

static void show_keys(const json_t *ca) {
        const json_t *here = json_object_get(ca, "root_key_present"),
                     *encrypted = json_object_get(ca, "keys_encrypted");

        if (json_is_boolean(here) && json_is_boolean(encrypted))
                fact("keys", TONE_PLAIN, "%s on disk; the root's is %s",
                     json_is_true(encrypted) ? "encrypted" : "not encrypted",
                     json_is_true(here) ? "among them" : "away");
}

static void show_fingerprint(const json_t *ca) {
        char groups[FINGERPRINT_TEXT_MAX];

        fact("fingerprint", TONE_STRONG, "%s", hex_groups(api_text(ca, "fingerprint"), groups));
}

static enum result show_run(struct client *c) {
        CAD_AUTO(json_free) json_t *ca = NULL;
        enum result result;

        if (option_given(c, "bundle"))
                return show_pem(c, "/v1/ca/bundle.pem");
        if (option_given(c, "pem"))
                return show_pem(c, "/v1/ca/root.pem");
        result = api_get(c, "/v1/ca", &ca);
        if (result != DONE)
                return result;
        if (c->json) {
                put_json(ca);
                return DONE;
        }
        put(TONE_STRONG, "%s", api_text(ca, "name"));
        words_root(c, ca);
        show_fingerprint(ca);
        words_issuers(c, ca);
        show_keys(ca);
        words_constraints(ca);
        show_entries(ca, "permitted", "permitted");
        show_entries(ca, "excluded", "excluded");
        show_urls(ca);
        return DONE;
}

const struct command cmd_ca_show = {
        .group = "ca",
        .name = "show",
        .args = "",
        .help = "Root, intermediates, and for which names this CA is",
        .options = show_options,
        .run = show_run,
};

/* ---- the intermediates ---- */

static void tell_issuer(const json_t *issuer, const char *what) {
        fact(what, TONE_STRONG, "%s", api_text(issuer, "id"));
        fact("subject", TONE_PLAIN, "%s", api_text(issuer, "subject"));
        fact("good until", TONE_PLAIN, "%s", api_text(issuer, "not_after"));
        fact("SHA-256", TONE_PLAIN, "%s", api_text(issuer, "fingerprint"));
}

static enum result rotate_run(struct client *c) {
        CAD_AUTO(json_free) json_t *nothing = json_object(), *made = NULL;
        enum result result = api_post(c, "/v1/ca/intermediates", nothing, &made);

        if (result != DONE)
                return result;
        if (c->json) {
                put_json(made);
                return DONE;
        }
        put(TONE_GOOD, "A standby is prepared. Nothing is signed with it yet.");
        tell_issuer(made, "standby");
        say(c,
            "'cactl ca show --bundle' has it already: whoever pins intermediates can be told now. 'cactl ca activate' changes over");
        return DONE;
}

const struct command cmd_ca_rotate = {
        .group = "ca",
        .name = "rotate",
        .args = "",
        .help = "Prepare the standby: another intermediate, for the next change",
        .more = "It needs the root's key, and there is one standby at most: a new CA has one already. Nothing changes for anybody until "
                "'cactl ca activate'.",
        .run = rotate_run,
};

/* The one that waits for its turn; "" where there is none. */
static enum result find_standby(struct client *c, char *ret, size_t size) {
        CAD_AUTO(json_free) json_t *ca = NULL;
        enum result result = api_get(c, "/v1/ca", &ca);
        const json_t *issuer;
        size_t i;

        if (result != DONE)
                return result;
        json_array_foreach(json_object_get(ca, "issuers"), i,
                           issuer) if (strcmp(api_text(issuer, "state"), "standby") == 0)(void)
                snprintf(ret, size, "%s", api_text(issuer, "id"));
        return *ret
                ? DONE
                : fail(REFUSED, "there is no standby to activate: 'cactl ca rotate' prepares one");
}

static bool is_id(const char *text) {
        return *text && strlen(text) < 32 &&
                strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

static enum result activate_run(struct client *c) {
        CAD_AUTO(json_free) json_t *nothing = json_object(), *active = NULL;
        char id[32] = "", path[96];
        enum result result = DONE;

        if (c->args_count && !is_id(c->args[0]))
                return fail(WRONG_USAGE,
                            "'%s' is no intermediate: 'cactl ca show' lists them, as int-2",
                            c->args[0]);
        if (c->args_count)
                (void) snprintf(id, sizeof(id), "%s", c->args[0]);
        else
                result = find_standby(c, id, sizeof(id));
        if (result != DONE)
                return result;
        (void) snprintf(path, sizeof(path), "/v1/ca/intermediates/%s/activate", id);
        result = api_post(c, path, nothing, &active);
        if (result != DONE)
                return result;
        if (c->json) {
                put_json(active);
                return DONE;
        }
        put(TONE_GOOD, "%s signs from now on.", api_text(active, "id"));
        tell_issuer(active, "active");
        say(c,
            "what was issued before stays good, and its CRL goes on. 'cactl ca rotate' prepares the next standby");
        return DONE;
}

const struct command cmd_ca_activate = {
        .group = "ca",
        .name = "activate",
        .args = "[ID]",
        .args_max = 1,
        .help = "Change over to the standby: it signs from now on",
        .more = "The intermediate before it is retired: it signs its CRL and nothing else, and cannot come back. Certificates that it has "
                "issued stay good, and relying parties that trust the root need nothing.",
        .run = activate_run,
};

/* Computed here, from the root itself. */
static enum result fingerprint_run(struct client *c) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        char groups[FINGERPRINT_TEXT_MAX], hex[2 * SHA256_SIZE + 1], words[FINGERPRINT_WORDS_MAX];
        uint8_t digest[SHA256_SIZE];
        struct error err = { 0 };
        enum result result = api_get_text(c, "/v1/ca/root.pem", /* accept= */ NULL, &pem);

        if (result != DONE)
                return result;
        if (certs_from_text(&certs, buffer_bytes(&pem), "the CA's root", &err) < 0)
                return fail_error(&err);
        cert_fingerprint(buffer_bytes(&certs.der[0]), digest);
        if (c->json) {
                CAD_AUTO(json_free)
                json_t *object = json_pack("{s:s, s:s}", "fingerprint",
                                           hex_encode(BYTES(digest, sizeof(digest)), hex), "words",
                                           fingerprint_words(digest, words));

                put_json(object);
        } else {
                put(TONE_PLAIN, "%s", fingerprint_groups(digest, groups));
                put(TONE_PLAIN, "%s", fingerprint_words(digest, words));
        }
        return DONE;
}

const struct command cmd_ca_fingerprint = {
        .group = "ca",
        .name = "fingerprint",
        .args = "",
        .help = "SHA-256 of the root in hex and as twelve words, to read aloud or to compare with another place",
        .run = fingerprint_run,
};
