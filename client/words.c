/*
 * The CA in words.
 */
#include "words.h"

#include <stdio.h>

#include "api.h"
#include "lib/base/text.h"
#include "output.h"

#define SOON_S (INT64_C(90) * 86400) /* a CA certificate that ends sooner is marked */

/* "expires 2046-11-16 18:00 UTC (in 20 years)" */
static enum tone end_in_words(const struct client *c, const json_t *certificate, char *out,
                              size_t size) {
        char words[WORDS_MAX];
        int64_t end;

        if (api_time(certificate, "not_after", &end) < 0) {
                (void) snprintf(out, size, "end unknown");
                return TONE_WARN;
        }
        (void) snprintf(out, size, "%s %s", end < c->now ? "expired" : "expires",
                        time_both(end, c->now, words));
        return end < c->now ? TONE_BAD : end < c->now + SOON_S ? TONE_WARN : TONE_PLAIN;
}

void words_root(const struct client *c, const json_t *ca) {
        const json_t *root = json_object_get(ca, "root");
        char text[WORDS_MAX + 16];
        enum tone tone = end_in_words(c, root, text, sizeof(text));

        fact("root", tone, "%s, %s", api_text(root, "subject"), text);
}

void words_issuers(const struct client *c, const json_t *ca) {
        const json_t *issuer;
        size_t i;

        json_array_foreach(json_object_get(ca, "issuers"), i, issuer) {
                char text[WORDS_MAX + 16];
                enum tone tone = end_in_words(c, issuer, text, sizeof(text));

                fact(i ? "" : "issuers", tone, "%s, %s, %s", api_text(issuer, "id"),
                     api_text(issuer, "state"), text);
        }
}

void words_constraints(const json_t *ca) {
        const char *text = api_text(json_object_get(ca, "constraints"), "text");

        if (*text)
                fact("for names", TONE_PLAIN, "%s", text);
        else
                fact("for names", TONE_WARN,
                     "any at all: whoever trusts this root trusts it for the whole web");
}
