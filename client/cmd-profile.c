/*
 * cactl profile: the kinds of certificates that this CA makes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "cactl.h"
#include "lib/base/text.h"
#include "output.h"

static enum result list_run(struct client *c) {
        static const struct column columns[] = {
                { "PROFILE", false }, { "NAMES", true },    { "USES", false },
                { "VALID", false },   { "AT MOST", false }, { "ENROLMENT", false },
        };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));
        CAD_AUTO(json_free) json_t *all = NULL;
        enum result result = api_get(c, "/v1/profiles", &all);
        const json_t *profile;
        size_t i;

        if (result != DONE || !table)
                return result;
        if (c->json) {
                put_json(all);
                return DONE;
        }
        json_array_foreach(json_object_get(all, "profiles"), i, profile) {
                CAD_AUTO(buffer_done) struct buffer names = { 0 }, uses = { 0 };

                table_cell(table, TONE_STRONG, api_text(profile, "name"));
                table_cell(table, TONE_PLAIN, api_texts(profile, "name_types", &names));
                table_cell(table, TONE_PLAIN, api_texts(profile, "extended_key_usage", &uses));
                table_cell(table, TONE_PLAIN, api_text(profile, "validity_default"));
                table_cell(table, TONE_PLAIN, api_text(profile, "validity_max"));
                table_cell(table, TONE_PLAIN, api_text(profile, "enrolment"));
        }
        table_print(table);
        return DONE;
}

const struct command cmd_profile_list = {
        .group = "profile",
        .name = "list",
        .args = "",
        .help = "The kinds of certificates that there are",
        .run = list_run,
};

static void show_list(const json_t *profile, const char *key, const char *label) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        if (*api_texts(profile, key, &text))
                fact(label, TONE_PLAIN, "%s", buffer_string(&text));
}

static void show(const json_t *profile) {
        const json_t *wildcards = json_object_get(profile, "wildcards");

        put(TONE_STRONG, "%s", api_text(profile, "name"));
        fact("for", TONE_PLAIN, "%s", api_text(profile, "description"));
        show_list(profile, "name_types", "names");
        fact("wildcards", TONE_PLAIN, "%s", json_is_true(wildcards) ? "allowed" : "not allowed");
        show_list(profile, "key_types", "keys");
        if (json_is_integer(json_object_get(profile, "rsa_bits_min")))
                fact("RSA", TONE_PLAIN,
                     "%" JSON_INTEGER_FORMAT " bits at least, %" JSON_INTEGER_FORMAT " at most",
                     json_integer_value(json_object_get(profile, "rsa_bits_min")),
                     json_integer_value(json_object_get(profile, "rsa_bits_max")));
        show_list(profile, "key_usage", "key usage");
        show_list(profile, "extended_key_usage", "uses");
        fact("valid for", TONE_PLAIN, "%s, at most %s", api_text(profile, "validity_default"),
             api_text(profile, "validity_max"));
        if (*api_text(profile, "grace") && !text_equal(api_text(profile, "grace"), "0s"))
                fact("grace", TONE_PLAIN, "it may renew itself for %s after its end",
                     api_text(profile, "grace"));
        fact("enrolment", TONE_PLAIN, "%s", api_text(profile, "enrolment"));
}

static enum result show_run(struct client *c) {
        CAD_AUTO(json_free) json_t *all = NULL;
        CAD_AUTO(buffer_done) struct buffer known = { 0 };
        enum result result = api_get(c, "/v1/profiles", &all);
        const json_t *profile;
        size_t i;

        if (result != DONE)
                return result;
        json_array_foreach(json_object_get(all, "profiles"), i, profile) {
                buffer_format(&known, "%s%s", i ? ", " : "", api_text(profile, "name"));
                if (!text_equal(api_text(profile, "name"), c->args[0]))
                        continue;
                if (c->json)
                        put_json(profile);
                else
                        show(profile);
                return DONE;
        }
        return fail(REFUSED, "there is no profile '%s': there are %s", c->args[0],
                    buffer_string(&known));
}

const struct command cmd_profile_show = {
        .group = "profile",
        .name = "show",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .help = "What certificates of this kind may hold",
        .run = show_run,
};
