/*
 * What the command line of `cactl enroll` wishes: the token, which others should not see, names, key, texts. Nothing is sent or written.
 */
#include "client/enroll/steps.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/deploy.h"
#include "client/files.h"
#include "client/output.h"
#include "lib/base/text.h"

#define TOKEN_MAX 512
#define LABEL_MAX 128

enum result enroll_copy(const char *text, char **ret) {
        if (!text)
                return DONE;
        free(*ret);
        *ret = strdup(text);
        return *ret ? DONE : fail(REFUSED, "out of memory");
}

static enum result take_token_text(struct enroll_run *r, struct bytes text, const char *from) {
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

static enum result take_token_file(struct enroll_run *r, const char *path) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        return take_token_text(r, buffer_bytes(&text), path);
}

/* What stands in the arguments, everybody sees in the list of processes: gone from there as early as it can be. */
static enum result take_token_option(const struct client *c, struct enroll_run *r,
                                     const char *value) {
        enum result result = take_token_text(r, bytes_of(value), "--token");

        memset((char *) (uintptr_t) value, 'x', strlen(value));
        if (result == DONE)
                say(c,
                    "warning: others on this machine may have seen the token in the list of processes, and the shell may keep it: --token-file FILE or $CACTL_TOKEN is safer");
        return result;
}

static enum result take_token(const struct client *c, struct enroll_run *r) {
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

static enum result take_names(const struct client *c, struct enroll_run *r) {
        struct error err = { 0 };

        for (size_t i = 0; i < c->args_count; i++)
                if (san_list_add_text(&r->wish.what.names, c->args[i], &err) < 0)
                        return fail(WRONG_USAGE, "%s", err.text);
        r->named = c->args_count > 0;
        return DONE;
}

static enum result take_key(const struct client *c, struct enroll_run *r) {
        const char *text = option_value(c, "key");
        struct error err = { 0 };
        enum key_type type;
        unsigned bits;

        if (text && key_spec_parse(text, /* leaf= */ true, &type, &bits, &err) < 0)
                return fail(WRONG_USAGE, "--key: %s", err.text);
        return enroll_copy(text, &r->wish.what.key);
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
        return enroll_copy(text, ret);
}

static enum result take_texts(const struct client *c, struct enroll_run *r) {
        enum result result = take_text(c, "label", &r->wish.what.label);

        return result == DONE ? take_text(c, "profile", &r->wish.what.profile) : result;
}

/* Before a token is used up. */
static enum result check_deploys(const struct client *c, struct enroll_run *r) {
        enum result result = DONE;
        const char *service;
        size_t at = 0;

        (void) r;
        while (result == DONE && (service = option_next(c, "deploy", &at)))
                result = deploy_known(service);
        return result;
}

enum result enroll_take_options(const struct client *c, struct enroll_run *r) {
        static enum result (*const steps[])(const struct client *, struct enroll_run *) = {
                take_token, take_names, take_key, take_texts, check_deploys,
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
        return result == DONE ? enroll_copy(validity, &r->wish.what.validity) : result;
}
