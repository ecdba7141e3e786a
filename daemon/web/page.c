/*
 * The pages: see page.h. What somebody else has written (name, constraints, URL) goes in as text, and is escaped there.
 */
#include "daemon/web/page.h"

#include <stdio.h>

#include "daemon/web/assets.h"
#include "daemon/web/template.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/dn.h"
#include "lib/pki/fingerprint_words.h"

#define NAME_TEXT_MAX 256 /* bytes with NUL of the CA's name, made printable */
#define HOST_TEXT_MAX 260 /* bytes with NUL of a host of a URL */
#define PORT_TEXT_MAX 12  /* bytes with NUL of a number */
#define HEX_GROUP 8       /* digits of a fingerprint that stand together */
#define UUID_SIZE 16      /* octets */
#define UUID_TEXT_MAX 37  /* bytes with NUL */
#define PROFILE_LINE 68   /* characters of base64 a line, as Apple's own tools write it */
#define DAY_SIZE 10       /* characters: "2026-11-30" */
#define PLACES_MAX 20

static const struct {
        const char *title, *steps;
} systems[] = {
        [SYSTEM_IOS] = { "iPhone and iPad", web_ios_html },
        [SYSTEM_MACOS] = { "Mac", web_macos_html },
        [SYSTEM_ANDROID] = { "Android", web_android_html },
        [SYSTEM_WINDOWS] = { "Windows", web_windows_html },
        [SYSTEM_LINUX] = { "Linux and ChromeOS", web_linux_html },
        [SYSTEM_FIREFOX] = { "Firefox on a PC", web_firefox_html },
        [SYSTEM_JAVA] = { "Java", web_java_html },
        [SYSTEM_OTHER] = { "Televisions and others", web_other_html },
};
_Static_assert(ARRAY_SIZE(systems) == SYSTEM_COUNT, "one row a system");

/* The values as text, and the places that they go to. */
struct page {
        char public_host[HOST_TEXT_MAX];
        char name[NAME_TEXT_MAX], subject[DN_TEXT_MAX], https_port[PORT_TEXT_MAX];
        char not_before[DAY_SIZE + 1], not_after[DAY_SIZE + 1];
        char words[FINGERPRINT_WORDS_MAX], hex[2 * SHA256_SIZE + 1];
        uint8_t fingerprint[SHA256_SIZE];
        struct place places[PLACES_MAX];
        size_t place_count;
};

static void put(struct page *page, const char *name, struct bytes value, bool is_markup) {
        page->places[page->place_count++] = (struct place){ name, value, is_markup };
}

static void put_text(struct page *page, const char *name, const char *value) {
        put(page, name, bytes_of(value), false);
}

static void put_markup(struct page *page, const char *name, const struct buffer *value) {
        put(page, name, buffer_bytes(value), true);
}

static void day_of(int64_t t, char day[DAY_SIZE + 1]) {
        char text[MOMENT_TEXT_MAX];

        (void) snprintf(day, DAY_SIZE + 1, "%.*s", DAY_SIZE, moment_format(t, text));
}

static void page_init(struct page *page, const struct page_facts *facts) {
        page->place_count = 0;
        text_make_printable(facts->name, page->name, sizeof(page->name));
        (void) dn_text(facts->root->subject, page->subject, sizeof(page->subject));
        (void) snprintf(page->https_port, sizeof(page->https_port), "%u", facts->https_port);
        (void) snprintf(page->public_host, sizeof(page->public_host),
                        strchr(facts->public_host, ':') ? "[%s]" : "%s", facts->public_host);
        day_of(facts->root->validity.not_before, page->not_before);
        day_of(facts->root->validity.not_after, page->not_after);
        cert_fingerprint(facts->root->der, page->fingerprint);
        (void) fingerprint_words(page->fingerprint, page->words);
        (void) hex_encode(BYTES(page->fingerprint, sizeof(page->fingerprint)), page->hex);
        put_text(page, "name", page->name);
        put_text(page, "subject", page->subject);
        put_text(page, "not_before", page->not_before);
        put_text(page, "not_after", page->not_after);
        put_text(page, "public_url", facts->public_url);
        put_text(page, "public_host", page->public_host);
        put_text(page, "https_port", page->https_port);
}

static int fill(const struct page *page, const char *text, struct buffer *out, struct error *err) {
        return template_fill(text, page->places, page->place_count, out, err);
}

/* ---- the parts of a page ---- */

static void word_items(const char *words, struct buffer *out) {
        while (*words) {
                size_t n = strcspn(words, " ");

                buffer_format(out, "<li>%.*s</li>\n", (int) n, words);
                words += n + (words[n] == ' ');
        }
}

/* Groups to be compared by eye; without blanks in between, so that what is copied is the plain fingerprint. */
static void hex_groups(const char *hex, struct buffer *out) {
        for (; *hex; hex += HEX_GROUP)
                buffer_format(out, "<span>%.*s</span>", HEX_GROUP, hex);
}

/* What the root itself says: it is the root that is trusted, whatever intermediates are confined to. */
static int describe_names(const struct cert *root, struct buffer *out, struct error *err) {
        CAD_AUTO(constraints_free) struct name_constraints *constraints = constraints_new();

        if (!constraints)
                return error_no_memory(err);
        if (root->name_constraints.size) {
                constraints = constraints_free(constraints);
                if (constraints_from_der(root->name_constraints, &constraints, err) < 0)
                        return -1;
        }
        constraints_describe(constraints, out);
        return out->failed ? error_no_memory(err) : 0;
}

static int details(const struct page *page, enum visitor_system without, struct buffer *out,
                   struct error *err) {
        for (size_t i = 0; i < SYSTEM_COUNT; i++) {
                CAD_AUTO(buffer_done) struct buffer steps = { 0 };
                struct place places[] = {
                        { "slug", bytes_of(visitor_system_slug((enum visitor_system) i)), false },
                        { "title", bytes_of(systems[i].title), false },
                        { "steps", BYTES_NONE, true },
                };

                if (i == without)
                        continue;
                if (fill(page, systems[i].steps, &steps, err) < 0)
                        return -1;
                places[2].value = buffer_bytes(&steps);
                if (template_fill(web_detail_html, places, ARRAY_SIZE(places), out, err) < 0)
                        return -1;
        }
        return 0;
}

/* ---- whole ones ---- */

int page_render(const struct page_facts *facts, enum visitor_system system, struct buffer *out,
                struct error *err) {
        CAD_AUTO(buffer_done) struct buffer words = { 0 };
        CAD_AUTO(buffer_done) struct buffer hex = { 0 };
        CAD_AUTO(buffer_done) struct buffer steps = { 0 };
        CAD_AUTO(buffer_done) struct buffer test = { 0 };
        CAD_AUTO(buffer_done) struct buffer confined = { 0 };
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        CAD_AUTO(buffer_done) struct buffer others = { 0 };
        bool is_confined = facts->root->name_constraints.size > 0;
        struct page page;

        page_init(&page, facts);
        word_items(page.words, &words);
        hex_groups(page.hex, &hex);
        if (fill(&page, systems[system].steps, &steps, err) < 0 ||
            fill(&page, facts->https_port ? web_test_html : web_untested_html, &test, err) < 0 ||
            fill(&page, is_confined ? web_confined_html : web_unconfined_html, &confined, err) <
                    0 ||
            describe_names(facts->root, &names, err) < 0 ||
            details(&page, system, &others, err) < 0)
                return -1;
        put_text(&page, "title", systems[system].title);
        put_markup(&page, "words", &words);
        put_markup(&page, "fingerprint", &hex);
        put_markup(&page, "steps", &steps);
        put_markup(&page, "test", &test);
        put_markup(&page, "confined", &confined);
        put(&page, "constraints", buffer_bytes(&names), false);
        put_markup(&page, "details", &others);
        return fill(&page, web_page_html, out, err);
}

/* RFC 9562 §5.8: version 8, all other bits one's own. Upper case, as Apple writes it. */
static void uuid_text(const uint8_t from[UUID_SIZE], char out[UUID_TEXT_MAX]) {
        uint8_t u[UUID_SIZE];

        memcpy(u, from, sizeof(u));
        u[6] = (uint8_t) ((u[6] & 0x0f) | 0x80);
        u[8] = (uint8_t) ((u[8] & 0x3f) | 0x80);
        (void) snprintf(out, UUID_TEXT_MAX,
                        "%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X",
                        u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
                        u[12], u[13], u[14], u[15]);
}

int page_mobileconfig(const struct page_facts *facts, struct buffer *out, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer base64 = { 0 };
        char of_certificate[UUID_TEXT_MAX], of_profile[UUID_TEXT_MAX];
        struct page page;

        page_init(&page, facts);
        base64_append(&base64, facts->root->der, PROFILE_LINE);
        if (base64.size && base64.data[base64.size - 1] != '\n')
                buffer_text(&base64, "\n");
        uuid_text(page.fingerprint, of_certificate);
        uuid_text(page.fingerprint + UUID_SIZE, of_profile);
        put_text(&page, "certificate_uuid", of_certificate);
        put_text(&page, "profile_uuid", of_profile);
        put_text(&page, "fingerprint", page.hex);
        put_text(&page, "words", page.words);
        put_markup(&page, "certificate", &base64);
        return fill(&page, web_root_mobileconfig_xml, out, err);
}
