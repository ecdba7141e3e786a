/*
 * See password.h. It never stands on a command line or in an environment.
 */
#include "password.h"

#include <gnutls/crypto.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "files.h"
#include "lib/base/text.h"
#include "output.h"

void password_done(struct password *p) {
        explicit_bzero(p->text, sizeof(p->text));
}

/* Five groups of four of 32 characters that are not mistaken for each other: 100 bits. */
static enum result password_make(struct password *p) {
        static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
        uint8_t random[20];
        size_t used = 0;

        if (gnutls_rnd(GNUTLS_RND_KEY, random, sizeof(random)) < 0)
                return fail(REFUSED, "no random numbers for a password");
        for (size_t i = 0; i < sizeof(random); i++) {
                if (i && i % 4 == 0)
                        p->text[used++] = '-';
                p->text[used++] = letters[random[i] % 32];
        }
        p->text[used] = '\0';
        p->made = true;
        explicit_bzero(random, sizeof(random));
        return DONE;
}

static enum result password_take(struct password *p, struct bytes text) {
        while (text.size && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
                text.size--;
        if (text.size == 0 || text.size >= sizeof(p->text) || memchr(text.data, '\0', text.size) ||
            !utf8_valid(text))
                return fail(REFUSED, "the password has to be 1 to %d bytes of UTF-8",
                            PASSWORD_MAX - 1);
        memcpy(p->text, text.data, text.size);
        p->text[text.size] = '\0';
        return DONE;
}

static enum result password_read(struct password *p, const char *path) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        return password_take(p, buffer_bytes(&text));
}

static enum result password_ask(struct password *p) {
        char once[PASSWORD_MAX], again[PASSWORD_MAX];
        enum result result;

        if (!terminal_on(STDIN_FILENO))
                return fail(WRONG_USAGE,
                            "--p12-ask wants a terminal: --p12-password-file FILE goes without");
        if (ask_hidden("Password for the PKCS#12 file", once, sizeof(once)) < 0 ||
            ask_hidden("The same again", again, sizeof(again)) < 0)
                result = fail(REFUSED, "no password was given");
        else if (!text_equal(once, again))
                result = fail(REFUSED, "the two are not the same: nothing was done, start again");
        else
                result = password_take(p, bytes_of(once));
        explicit_bzero(once, sizeof(once));
        explicit_bzero(again, sizeof(again));
        return result;
}

enum result password_plan(const struct client *c, bool wanted, struct password *p) {
        const char *file = option_value(c, "p12-password-file");

        p->wanted = wanted || file || option_given(c, "p12-ask") || option_given(c, "p12-legacy");
        if (!p->wanted)
                return DONE;
        if (file && option_given(c, "p12-ask"))
                return fail(WRONG_USAGE, "--p12-password-file and --p12-ask: give one of them");
        if (file)
                return password_read(p, file);
        return option_given(c, "p12-ask") ? password_ask(p) : password_make(p);
}
