/*
 * cactl crl: the revocation lists that this CA publishes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "cactl.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"
#include "output.h"

static const struct option show_options[] = {
        { "pem", NULL, "print the lists themselves, as PEM: what openssl verify -CRLfile takes" },
        { 0 },
};

static enum tone status_tone(const char *status) {
        if (strcmp(status, "current") == 0)
                return TONE_GOOD;
        return strcmp(status, "changing") == 0 ? TONE_WARN : TONE_BAD;
}

static void number_cell(struct table *table, const json_t *crl, const char *key) {
        const json_t *value = json_object_get(crl, key);
        char text[24] = "";

        if (json_is_integer(value))
                (void) snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
                                json_integer_value(value));
        table_cell(table, TONE_PLAIN, text);
}

static void time_cell(struct client *c, struct table *table, const json_t *crl, const char *key) {
        char words[WORDS_MAX] = "";
        int64_t t;

        if (api_time(crl, key, &t) == 0)
                (void) time_both(t, c->now, words);
        table_cell(table, TONE_PLAIN, words);
}

static bool wanted(const struct client *c, const json_t *crl) {
        return c->args_count == 0 || strcmp(c->args[0], api_text(crl, "issuer")) == 0;
}

static enum result print_table(struct client *c, const json_t *all) {
        static const struct column columns[] = {
                { "ISSUER", false },  { "STATUS", false },     { "NUMBER", false },
                { "REVOKED", false }, { "GOOD UNTIL", false }, { "URL", true },
        };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));
        const json_t *crl;
        size_t i;

        if (!table)
                return fail(REFUSED, "out of memory");
        json_array_foreach(json_object_get(all, "crls"), i, crl) {
                const char *status = api_text(crl, "status");

                if (!wanted(c, crl))
                        continue;
                table_cell(table, TONE_STRONG, api_text(crl, "issuer"));
                table_cell(table, status_tone(status), status);
                number_cell(table, crl, "number");
                number_cell(table, crl, "entries");
                time_cell(c, table, crl, "next_update");
                table_cell(table, TONE_DIM, api_text(crl, "url"));
        }
        table_print(table);
        return DONE;
}

/* From where relying parties fetch it. */
static enum result print_pem(struct client *c, const json_t *all) {
        const json_t *crl;
        size_t i;

        json_array_foreach(json_object_get(all, "crls"), i, crl) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 }, pem = { 0 };
                char path[64];
                enum result result;

                if (!wanted(c, crl) || strcmp(api_text(crl, "status"), "missing") == 0)
                        continue;
                (void) snprintf(path, sizeof(path), "/crl/%.32s.crl", api_text(crl, "issuer"));
                result = api_get_text(c, path, /* accept= */ NULL, &der);
                if (result != DONE)
                        return result;
                pem_append(&pem, "X509 CRL", buffer_bytes(&der));
                if (pem.failed)
                        return fail(REFUSED, "out of memory");
                put_raw(buffer_bytes(&pem));
        }
        return DONE;
}

static bool any_wanted(const struct client *c, const json_t *all) {
        const json_t *crl;
        size_t i;

        json_array_foreach(json_object_get(all, "crls"), i, crl) if (wanted(c, crl)) return true;
        return c->args_count == 0;
}

static enum result show_run(struct client *c) {
        CAD_AUTO(json_free) json_t *all = NULL;
        enum result result = api_get(c, "/v1/crls", &all);

        if (result != DONE)
                return result;
        if (!any_wanted(c, all))
                return fail(REFUSED, "there is no issuer '%.40s': 'cactl crl show' lists them",
                            c->args[0]);
        if (option_given(c, "pem"))
                return print_pem(c, all);
        if (!c->json)
                return print_table(c, all);
        put_json(all);
        return DONE;
}

const struct command cmd_crl_show = {
        .group = "crl",
        .name = "show",
        .args = "[ISSUER]",
        .args_max = 1,
        .help = "The revocation lists: one an intermediate, and the root's",
        .more = "They are made by themselves: within seconds of a revocation, and every day. 'changing' is one that is about to be made "
                "anew.",
        .options = show_options,
        .run = show_run,
};

static enum result publish_run(struct client *c) {
        CAD_AUTO(json_free) json_t *nothing = json_object(), *all = NULL;
        enum result result = api_post(c, "/v1/crls", nothing, &all);

        if (result != DONE)
                return result;
        if (!c->json)
                return print_table(c, all);
        put_json(all);
        return DONE;
}

const struct command cmd_crl_publish = {
        .group = "crl",
        .name = "publish",
        .args = "",
        .help = "Make the revocation lists anew, now",
        .more = "Nobody needs this for a revocation to be seen: lists are made anew by themselves. It ends when the new ones are "
                "there.",
        .run = publish_run,
};
