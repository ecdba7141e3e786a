/*
 * Templates: what is text stays text, what is missing is an error, and no value is looked at for places.
 */
#include "unit.h"

#include "daemon/web/template.h"
#include "lib/base/macros.h"

/* clang-format off */
static const struct { const char *why, *text, *escaped; } texts[] = {
        { "nothing",                      "",                     "" },
        { "plain text",                   "K\xc3\xbc""che",       "K\xc3\xbc""che" },
        { "an element",                   "<script>x</script>",   "&lt;script&gt;x&lt;/script&gt;" },
        { "the end of an attribute",      "\" onload='x'",        "&quot; onload=&#39;x&#39;" },
        { "a character reference",        "&lt;&amp;",            "&amp;lt;&amp;amp;" },
        { "what no XML may have",         "a\x01\x1b[2J\x7f",     "a??[2J?" },
        { "white space",                  "a\tb\nc",              "a\tb\nc" },
        { "the end of a CDATA section",   "]]>",                  "]]&gt;" },
        { "a place of its own",           "{{name}}",             "{{name}}" },
};
/* clang-format on */

START_TEST(text_is_only_text_in_markup) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        struct place place = { "name", bytes_of(texts[_i].text), false };
        struct error err = { 0 };

        ck_assert_int_eq(template_fill("{{name}}", &place, 1, &out, &err), 0);
        ck_assert_msg(strcmp(buffer_string(&out), texts[_i].escaped) == 0, "%s: %s", texts[_i].why,
                      buffer_string(&out));
}
END_TEST

START_TEST(a_nul_in_a_text_ends_nothing) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };

        template_escape(&out, BYTES_LITERAL("a\0<"));
        ck_assert_str_eq(buffer_string(&out), "a?&lt;");
}
END_TEST

START_TEST(markup_of_ours_is_put_in_as_it_is) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        const struct place places[] = { { "a", BYTES_LITERAL("<b>{{b}}</b>"), true },
                                        { "b", BYTES_LITERAL("x"), false } };

        ck_assert_int_eq(template_fill("1{{a}}2{{b}}{{b}}3", places, 2, &out, NULL), 0);
        ck_assert_str_eq(buffer_string(&out), "1<b>{{b}}</b>2xx3");
}
END_TEST

static const char *const broken[] = { "{{c}}", "{{",      "{{a",   "{{a}",
                                      "{{}}",  "{{ a }}", "{{A}}", "x{{a}}{{aa}}" };

START_TEST(a_place_that_is_none_is_an_error) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        const struct place place = { "a", BYTES_LITERAL("x"), false };
        struct error err = { 0 };

        ck_assert_msg(template_fill(broken[_i], &place, 1, &out, &err) == -1, "%s", broken[_i]);
        ck_assert_int_eq(err.code, ERR_INTERNAL);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("template");
        TCase *tc = tcase_create("template");

        tcase_add_loop_test(tc, text_is_only_text_in_markup, 0, ARRAY_SIZE(texts));
        tcase_add_test(tc, a_nul_in_a_text_ends_nothing);
        tcase_add_test(tc, markup_of_ours_is_put_in_as_it_is);
        tcase_add_loop_test(tc, a_place_that_is_none_is_an_error, 0, ARRAY_SIZE(broken));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
