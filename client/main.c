/*
 * cactl: the command line of cad. This file holds the table of commands and reads the command line against it.
 */
#include <assert.h>
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cactl.h"
#include "http.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "output.h"

static const struct option global_options[] = {
        { "socket", "PATH",
          "cad's Unix socket (default: $CAD_SOCKET, /run/cad/cad.sock, your own state directory)" },
        { "url", "URL", "a cad on the network, https://NAME[:PORT]" },
        { "root", "FILE", "with --url: its root certificate" },
        { "fingerprint", "HEX|WORDS", "with --url: SHA-256 of its root certificate" },
        { "cert", "FILE", "with --url: the client certificate that says who you are" },
        { "key", "FILE",
          "its private key (default: in the same file); before 'issue', which has a --key of its own" },
        { "json", NULL, "print the objects of the API" },
        { "quiet", NULL, "no messages but errors", false, 'q' },
        { "help", NULL, "this help, or that of a command", false, 'h' },
        { "version", NULL, "the version", false, 'V' },
        { 0 },
};

static const struct command *const commands[] = {
        &cmd_status,         &cmd_issue,        &cmd_cert_list,       &cmd_cert_show,
        &cmd_cert_sign,      &cmd_cert_revoke,  &cmd_cert_renew,      &cmd_ca_show,
        &cmd_ca_fingerprint, &cmd_crl_show,     &cmd_crl_publish,     &cmd_request_submit,
        &cmd_request_list,   &cmd_request_show, &cmd_request_approve, &cmd_request_deny,
        &cmd_profile_list,   &cmd_profile_show, &cmd_audit_list,      &cmd_audit_verify,
        &cmd_backup,         &cmd_restore,      &cmd_token_create,    &cmd_token_list,
        &cmd_token_revoke,   &cmd_ca_rotate,    &cmd_ca_activate,     &cmd_cert_export,
        &cmd_deploy_install, &cmd_deploy_list,  &cmd_deploy_backups,  &cmd_deploy_restore,
        &cmd_enroll,         &cmd_renew,        &cmd_doctor,          &cmd_trust_install,
        &cmd_trust_remove,   &cmd_trust_status,
};

/* Words that belong to cactl and do nothing yet: they are said not to be here rather than unknown. */
static const struct {
        const char *group, *name; /* name NULL: the whole group */
} later[] = {
        { "acme", NULL },
};

/* ---- options, for commands ---- */

static const struct option *find_option(const struct option *options, const char *name,
                                        size_t length);

static bool is_global(const struct option *option) {
        return find_option(global_options, option->name, strlen(option->name)) == option;
}

/* A command's own option hides one of cactl that has the same name: `issue --key TYPE`, `cactl --key FILE`. */
const char *option_next(const struct client *c, const char *name, size_t *at) {
        bool own = c->command && find_option(c->command->options, name, strlen(name));

        while (*at < c->given_count) {
                const struct given_option *given = &c->given[(*at)++];

                assert(given->option);
                if (text_equal(given->option->name, name) && is_global(given->option) != own)
                        return given->value;
        }
        return NULL;
}

const char *global_option_value(const struct client *c, const char *name) {
        for (size_t i = 0; i < c->given_count; i++)
                if (is_global(c->given[i].option) && text_equal(c->given[i].option->name, name))
                        return c->given[i].value;
        return NULL;
}

const char *option_value(const struct client *c, const char *name) {
        size_t at = 0;

        return option_next(c, name, &at);
}

bool option_given(const struct client *c, const char *name) {
        return option_value(c, name) != NULL;
}

/* ---- help ---- */

static void help_options(const char *title, const struct option *options) {
        put(TONE_PLAIN, "%s", "");
        put(TONE_STRONG, "%s", title);
        for (const struct option *o = options; o->name; o++) {
                char left[64];

                (void) snprintf(left, sizeof(left), "%s%c%s --%s%s%s", o->letter ? "-" : " ",
                                o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                                o->arg ? " " : "", o->arg ? o->arg : "");
                put(TONE_PLAIN, "  %-28s %s", left, o->help);
        }
}

static void help_line(const struct command *command) {
        char left[64];

        (void) snprintf(left, sizeof(left), "%s%s%s %s", command->group ? command->group : "",
                        command->group ? " " : "", command->name, command->args);
        put(TONE_PLAIN, "  %-32s %s", left, command->help);
}

/* All commands, or those of one group. */
static void help_commands(const char *group) {
        put(TONE_STRONG, "cactl [OPTION]... %s%sCOMMAND", group ? group : "", group ? " " : "");
        put(TONE_PLAIN, "%s", "");
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (!group || text_equal(commands[i]->group, group))
                        help_line(commands[i]);
        help_options("Options:", global_options);
        put(TONE_PLAIN, "%s", "");
        put(TONE_PLAIN, "'cactl COMMAND --help' says more of a command, cactl(1) all of it.");
}

static void help_command(const struct command *command) {
        put(TONE_STRONG, "cactl %s%s%s %s", command->group ? command->group : "",
            command->group ? " " : "", command->name, command->args);
        put(TONE_PLAIN, "%s", "");
        put_paragraph(command->help);
        if (command->more) {
                put(TONE_PLAIN, "%s", "");
                put_paragraph(command->more);
        }
        if (command->options)
                help_options("Options:", command->options);
        help_options("Options of every command:", global_options);
}

static void help(const struct client *c) {
        if (c->command)
                help_command(c->command);
        else
                help_commands(c->group);
}

/* ---- the command line ---- */

static bool same_command(const char *group, const char *name, const char *given_group,
                         const char *word) {
        return given_group ? text_equal(group, given_group) && text_equal(name, word)
                           : !group && text_equal(name, word);
}

static bool is_group(const char *word) {
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (commands[i]->group && text_equal(commands[i]->group, word))
                        return true;
        return false;
}

static bool comes_later(const char *group, const char *word) {
        for (size_t i = 0; i < ARRAY_SIZE(later); i++)
                if (later[i].name ? same_command(later[i].group, later[i].name, group, word)
                                  : !group && text_equal(later[i].group, word))
                        return true;
        return false;
}

static const struct option *find_option(const struct option *options, const char *name,
                                        size_t length) {
        for (const struct option *o = options; o && o->name; o++)
                if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
                        return o;
        return NULL;
}

static const struct option *find_letter(const struct option *options, char letter) {
        for (const struct option *o = options; o && o->name; o++)
                if (o->letter && o->letter == letter)
                        return o;
        return NULL;
}

static enum result unknown_option(const struct client *c, const char *text) {
        const struct command *command = c->command;

        if (!command)
                return fail(
                        WRONG_USAGE,
                        "there is no option %s here: options of a command stand behind it; see cactl --help",
                        text);
        return fail(WRONG_USAGE, "there is no option %s: see cactl %s%s%s --help", text,
                    command->group ? command->group : "", command->group ? " " : "", command->name);
}

static enum result add_option(struct client *c, const struct option *option, const char *value) {
        for (size_t i = 0; i < c->given_count && !option->repeats; i++)
                if (c->given[i].option == option)
                        return fail(WRONG_USAGE, "--%s is given twice: give it once", option->name);
        c->given[c->given_count++] = (struct given_option){ option, value };
        return DONE;
}

/* A word before the command is known: a command, a group, or neither. */
static enum result take_word(struct client *c, const char *word) {
        const char *group = c->group ? c->group : "", *gap = c->group ? " " : "";

        if (!c->group && text_equal(word, "help"))
                return add_option(c, find_option(global_options, "help", strlen("help")), "");
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (same_command(commands[i]->group, commands[i]->name, c->group, word)) {
                        c->command = commands[i];
                        return DONE;
                }
        if (!c->group && is_group(word)) {
                c->group = word;
                return DONE;
        }
        if (comes_later(c->group, word))
                return fail(
                        WRONG_USAGE,
                        "'cactl %s%s%s' is not in this version (%s): 'cactl --help' lists what is",
                        group, gap, word, CAD_VERSION);
        return fail(WRONG_USAGE,
                    "there is no 'cactl %s%s%s': 'cactl %s%s--help' lists what there is", group,
                    gap, word, group, gap);
}

/* "--name", "--name=value" or "-q" at argv[*at]; a value may be the next word. */
static enum result take_option(struct client *c, int argc, char **argv, int *at) {
        const char *text = argv[*at], *equals = strchr(text, '=');
        size_t length = equals ? (size_t) (equals - text) : strlen(text);
        const struct option *option = NULL;

        if (text[1] != '-') {
                if (length == 2 && !equals && c->command)
                        option = find_letter(c->command->options, text[1]);
                if (length == 2 && !equals && !option)
                        option = find_letter(global_options, text[1]);
        } else {
                if (c->command)
                        option = find_option(c->command->options, text + 2, length - 2);
                if (!option)
                        option = find_option(global_options, text + 2, length - 2);
        }
        if (!option)
                return unknown_option(c, text);
        if (!option->arg)
                return equals ? fail(WRONG_USAGE, "--%s takes no value", option->name)
                              : add_option(c, option, "");
        if (equals)
                return add_option(c, option, equals + 1);
        if (*at + 1 >= argc)
                return fail(WRONG_USAGE, "--%s wants %s behind it", option->name, option->arg);
        return add_option(c, option, argv[++*at]);
}

static enum result read_arguments(struct client *c, int argc, char **argv) {
        bool options_over = false;

        for (int at = 1; at < argc; at++) {
                enum result result = DONE;

                if (!options_over && text_equal(argv[at], "--"))
                        options_over = true;
                else if (!options_over && argv[at][0] == '-' && argv[at][1])
                        result = take_option(c, argc, argv, &at);
                else if (!c->command)
                        result = take_word(c, argv[at]);
                else
                        c->args[c->args_count++] = argv[at];
                if (result != DONE)
                        return result;
        }
        c->json = option_given(c, "json");
        c->quiet = option_given(c, "quiet");
        return DONE;
}

static enum result check_arguments(const struct client *c) {
        const struct command *command = c->command;
        const char *gap = command->group ? " " : "", *group = command->group ? command->group : "";

        if (c->args_count < command->args_min || c->args_count > command->args_max)
                return fail(WRONG_USAGE, "%s: write cactl %s%s%s%s%s",
                            c->args_count < command->args_min ? "something is missing"
                                                              : "that is one word too many",
                            group, gap, command->name, *command->args ? " " : "", command->args);
        if (option_given(c, "socket") && option_given(c, "url"))
                return fail(WRONG_USAGE, "--socket and --url are two ways to one CA: give one");
        if (global_option_value(c, "root") && global_option_value(c, "fingerprint") &&
            !command->names_root)
                return fail(WRONG_USAGE,
                            "--root and --fingerprint say the same thing twice: give one");
        if ((global_option_value(c, "root") || global_option_value(c, "fingerprint")) &&
            !option_given(c, "url") && !command->names_root)
                return fail(WRONG_USAGE, "--root and --fingerprint go with --url");
        if (option_given(c, "socket") &&
            (global_option_value(c, "cert") || global_option_value(c, "key")))
                return fail(
                        WRONG_USAGE,
                        "--cert and --key go with --url: on the socket the kernel says who you are");
        /* a certificate that renews itself is named already */
        if (global_option_value(c, "key") && !global_option_value(c, "cert") &&
            command != &cmd_cert_renew)
                return fail(WRONG_USAGE, "--key goes with --cert: name the certificate, too");
        return DONE;
}

static enum result run_command(struct client *c) {
        enum result result = check_arguments(c);

        if (result != DONE)
                return result;
        c->now = moment_now();
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return fail(REFUSED, "libcurl cannot be used");
        result = c->command->run(c);
        c->http = http_free(c->http);
        curl_global_cleanup();
        return result;
}

static enum result run(struct client *c, int argc, char **argv) {
        enum result result = read_arguments(c, argc, argv);

        if (result != DONE)
                return result;
        if (option_given(c, "help")) {
                help(c);
                return DONE;
        }
        if (option_given(c, "version")) {
                put(TONE_PLAIN, "cactl %s", CAD_VERSION);
                return DONE;
        }
        if (!c->command)
                return fail(WRONG_USAGE, "what to do? 'cactl %s%s--help' lists the commands",
                            c->group ? c->group : "", c->group ? " " : "");
        return run_command(c);
}

int main(int argc, char **argv) {
        struct client c = { 0 };
        enum result result, closed;

        /* a reader that went away is an error to be told, not a silent death */
        (void) signal(SIGPIPE, SIG_IGN);
        output_init();
        c.given = calloc((size_t) argc + 1, sizeof(*c.given));
        c.args = calloc((size_t) argc + 1, sizeof(*c.args));
        result = c.given && c.args ? run(&c, argc, argv) : fail(REFUSED, "out of memory");
        closed = output_close();
        free(c.given);
        free(c.args);
        return (int) (result != DONE ? result : closed);
}
