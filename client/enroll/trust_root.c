/*
 * Pinning the root: see trust_root.h.
 */
#include "client/enroll/trust_root.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/root_fetch.h"
#include "client/output.h"
#include "client/show.h"
#include "lib/base/text.h"
#include "lib/pki/dn.h"
#include "lib/pki/fingerprint_words.h"

#define ANSWER_LINE_MAX 512

/* A root: signed by itself, and a CA. Whatever else comes is no cad. */
static enum result check_form(const char *url, struct bytes der, struct cert *ret) {
        struct error err = { 0 };

        if (cert_read(der, ret, &err) < 0 || root_verify(der, &err) < 0)
                return fail(REFUSED, "%s hands out a root that is none: %s", url, err.text);
        if (!ret->is_ca || !cert_is_self_signed(ret))
                return fail(REFUSED,
                            "%s hands out a certificate as its root that is no root: is it a cad?",
                            url);
        return DONE;
}

static enum result wrong_root(const char *url, const uint8_t digest[SHA256_SIZE],
                              const char *than) {
        char groups[FINGERPRINT_TEXT_MAX];

        return fail(
                REFUSED,
                "the root of %s is not the one that %s: its SHA-256 is %s; this is another CA, or somebody who answers in its place; "
                "nothing was sent to it and nothing was changed",
                url, than, fingerprint_groups(digest, groups));
}

static void show_root(const char *url, const struct cert *root, const uint8_t digest[SHA256_SIZE]) {
        char groups[FINGERPRINT_TEXT_MAX], words[FINGERPRINT_WORDS_MAX], subject[DN_TEXT_MAX];
        static const struct client loud = { 0 };

        say(&loud, "The CA at %s says that its root is", url);
        say(&loud, "  %s", dn_text(root->subject, subject, sizeof(subject)));
        say(&loud, "  %s", fingerprint_groups(digest, groups));
        say(&loud, "  %s", fingerprint_words(digest, words));
        say(&loud,
            "Compare the digits or the words with what 'cactl ca fingerprint' shows on the CA's own machine.");
}

/* "yes", or the fingerprint itself. A mere "y" slips out too easily for what it decides. */
static bool is_yes(char *line, const uint8_t digest[SHA256_SIZE]) {
        struct fingerprint typed;
        struct error ignored = { 0 };

        line[strcspn(line, "\r\n")] = '\0';
        return strcasecmp(line, "yes") == 0 ||
                (fingerprint_parse(line, &typed, &ignored) == 0 &&
                 fingerprint_fits(&typed, digest));
}

static enum result ask(const char *url, const struct cert *root,
                       const uint8_t digest[SHA256_SIZE]) {
        char groups[FINGERPRINT_TEXT_MAX], line[ANSWER_LINE_MAX] = "";

        if (!terminal_on(STDIN_FILENO) || !terminal_on(STDERR_FILENO))
                return fail(
                        REFUSED,
                        "there is no terminal to ask on whether the root of %s is the right one (SHA-256 %s): compare it with 'cactl ca "
                        "fingerprint' on the CA's machine and give it with --fingerprint",
                        url, fingerprint_groups(digest, groups));
        show_root(url, root, digest);
        (void) fprintf(stderr, "Are they the same? Type yes, or what is shown there: ");
        if (fgets(line, sizeof(line), stdin) && is_yes(line, digest))
                return DONE;
        return fail(REFUSED, "the root was not confirmed: nothing was done");
}

enum result trust_root(const char *url, const struct root_pin *pin, struct buffer *ret_der) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        uint8_t digest[SHA256_SIZE];
        struct fingerprint given;
        struct error err = { 0 };
        struct cert root;
        enum result result;

        if (pin->fingerprint && fingerprint_parse(pin->fingerprint, &given, &err) < 0)
                return fail(WRONG_USAGE, "--fingerprint: %s", err.text);
        if (strncasecmp(url, "https://", 8) != 0)
                return fail(WRONG_USAGE, "%s: a CA is enrolled with over https://", url);
        result = root_fetch(url, &der);
        if (result != DONE)
                return result;
        cert_fingerprint(buffer_bytes(&der), digest);
        if (pin->root.size && !bytes_equal(pin->root, buffer_bytes(&der)))
                return wrong_root(url, digest, "is known here (cactl.conf, --root)");
        if (pin->fingerprint && !fingerprint_fits(&given, digest))
                return wrong_root(url, digest, "--fingerprint says");
        result = check_form(url, buffer_bytes(&der), &root);
        if (result == DONE && !pin->root.size && !pin->fingerprint)
                result = ask(url, &root, digest);
        if (result != DONE)
                return result;
        buffer_append(ret_der, buffer_bytes(&der));
        return ret_der->failed ? fail(REFUSED, "out of memory") : DONE;
}
