/*
 * Settings: what each setter takes, and that every complaint says file, line and what is wrong.
 */
#include "folder-fixture.h"

#include <inttypes.h>

#include "lib/base/settings.h"
#include "lib/base/text.h"

struct target {
        char *text, *other;
        bool flag;
        uint32_t number;
        int64_t duration_s;
        struct buffer words;
};

static void target_done(struct target *t) {
        free(t->text);
        free(t->other);
        buffer_done(&t->words);
}
CAD_CLEANUP_DONE(struct target, target_done)

static int append_word(const char *word, void *context, struct error *err) {
        struct target *t = context;

        if (strcmp(word, "bad") == 0)
                return error_set(err, ERR_CONFIG, "'%s' is no word for this", word);
        buffer_format(&t->words, "%s|", word);
        return 0;
}

static int set_words(void *target, const char *value, size_t offset, struct error *err) {
        struct target *t = target;

        (void) offset;
        if (!*value)
                t->words.size = 0;
        return setting_words(value, append_word, t, err);
}

static const struct setting known[] = {
        { "One", "Text", SETTING_TO(setting_set_text, struct target, text) },
        { "One", "Other", SETTING_TO(setting_set_text, struct target, other) },
        { "One", "Words", .set = set_words },
        { "Two", "Flag", SETTING_TO(setting_set_bool, struct target, flag) },
        { "Two", "Number", SETTING_TO(setting_set_u32, struct target, number) },
        { "Two", "Duration", SETTING_TO(setting_set_duration, struct target, duration_s) },
        { 0 },
};

static int parse(const char *text, struct target *t, struct error *err) {
        return settings_parse(bytes_of(text), "x.conf", known, t, err);
}

/* ---- setters ---- */

static const struct {
        const char *word;
        int value; /* -1: none */
} bools[] = {
        { "yes", 1 },    { "true", 1 },    { "on", 1 },    { "1", 1 },   { "y", 1 },
        { "t", 1 },      { "Yes", 1 },     { "TRUE", 1 },  { "no", 0 },  { "false", 0 },
        { "off", 0 },    { "0", 0 },       { "n", 0 },     { "f", 0 },   { "No", 0 },
        { "", -1 },      { "2", -1 },      { "yess", -1 }, { "ye", -1 }, { "-1", -1 },
        { "maybe", -1 }, { "yes no", -1 },
};

START_TEST(a_bool_is_one_of_systemds_words) {
        struct target t = { .flag = bools[_i].value != 1 };
        struct error err = { 0 };
        int rc = setting_set_bool(&t, bools[_i].word, offsetof(struct target, flag), &err);

        ck_assert_msg((rc == 0) == (bools[_i].value >= 0), "'%s'", bools[_i].word);
        ck_assert_msg(t.flag == (bools[_i].value < 0 ? true : bools[_i].value == 1), "'%s'",
                      bools[_i].word);
}
END_TEST

static const struct {
        const char *text;
        int rc;
        uint32_t value;
} numbers[] = {
        { "0", 0, 0 },
        { "16", 0, 16 },
        { "4294967295", 0, UINT32_MAX },
        { "4294967296", -1, 7 },
        { "", -1, 7 },
        { "-1", -1, 7 },
        { "1.5", -1, 7 },
        { "0x10", -1, 7 },
        { "10k", -1, 7 },
        { "99999999999999999999999", -1, 7 },
};

START_TEST(a_number_is_whole_and_of_32_bits) {
        struct target t = { .number = 7 };
        struct error err = { 0 };

        ck_assert_msg(setting_set_u32(&t, numbers[_i].text, offsetof(struct target, number),
                                      &err) == numbers[_i].rc,
                      "'%s'", numbers[_i].text);
        ck_assert_msg(t.number == numbers[_i].value, "'%s': %u", numbers[_i].text, t.number);
        ck_assert_int_eq(err.code, numbers[_i].rc ? ERR_CONFIG : ERR_NONE);
}
END_TEST

START_TEST(a_duration_and_a_text_are_set_and_a_bad_one_changes_nothing) {
        CAD_AUTO(target_done) struct target t = { .duration_s = 7 };
        struct error err = { 0 };

        ck_ok(parse("[Two]\nDuration=90d\n[One]\nText=a text\n", &t, &err), err);
        ck_assert_int_eq(t.duration_s, 90 * 86400);
        ck_assert_str_eq(t.text, "a text");
        ck_refused(parse("[Two]\nDuration=soon\n", &t, &err), err, ERR_CONFIG);
        ck_assert_int_eq(t.duration_s, 90 * 86400);
}
END_TEST

static const struct {
        const char *why, *value, *words;
} lists[] = {
        { "one word", "a", "a|" },       { "white space", " a  b\tc ", "a|b|c|" },
        { "commas", "a,b,c", "a|b|c|" }, { "both, and too many of them", ", a ,, b,", "a|b|" },
        { "nothing", "", "" },           { "separators alone", " , ,", "" },
};

START_TEST(words_are_separated_by_white_space_or_commas) {
        CAD_AUTO(target_done) struct target t = { 0 };
        struct error err = { 0 };

        ck_ok(setting_words(lists[_i].value, append_word, &t, &err), err);
        ck_assert_msg(strcmp(buffer_string(&t.words), lists[_i].words) == 0, "%s: %s",
                      lists[_i].why, buffer_string(&t.words));
}
END_TEST

START_TEST(the_first_word_that_is_refused_ends_the_list) {
        CAD_AUTO(target_done) struct target t = { 0 };
        struct error err;

        ck_refused(setting_words("a bad b", append_word, &t, &err), err, ERR_CONFIG);
        ck_assert_str_eq(buffer_string(&t.words), "a|");
}
END_TEST

/* ---- the form of a file ---- */

static const struct {
        const char *why, *content, *text, *other, *words;
} forms[] = {
        { "nothing at all", "", NULL, NULL, "" },
        { "comments alone", "# a\n; b\n\n   \n", NULL, NULL, "" },
        { "white space around key and value", "[One]\n Text \t=\t a b \n", "a b", NULL, "" },
        { "no line break at the end", "[One]\nText=a", "a", NULL, "" },
        { "line breaks of Windows", "[One]\r\nText=a\r\nOther=b\r\n", "a", "b", "" },
        { "Windows' byte order mark", "\xef\xbb\xbf[One]\nText=a\n", "a", NULL, "" },
        { "the mark and nothing", "\xef\xbb\xbf", NULL, NULL, "" },
        { "the last of two wins", "[One]\nText=a\nText=b\n", "b", NULL, "" },
        { "a section may come twice", "[One]\nText=a\n[Two]\nFlag=no\n[One]\nOther=b\n", "a", "b",
          "" },
        { "a list grows", "[One]\nWords=a b\nWords=c\n", NULL, NULL, "a|b|c|" },
        { "an empty value empties it", "[One]\nWords=a b\nWords=\nWords=c\n", NULL, NULL, "c|" },
        { "an empty text is a text", "[One]\nText=\n", "", NULL, "" },
        { "an equals sign in the value", "[One]\nText=a=b\n", "a=b", NULL, "" },
        { "quotes are text", "[One]\nText=\"a\"\n", "\"a\"", NULL, "" },
        { "UTF-8", "[One]\nText=Küche\n", "Küche", NULL, "" },
        { "a number sign inside a value is text", "[One]\nText=a#b # c\n", "a#b # c", NULL, "" },
        { "a semicolon inside a value is text", "[One]\nText=Home ; lab\nOther=a;b\t;c ;\n",
          "Home ; lab", "a;b\t;c ;", "" },
        { "a value may begin with one", "[One]\nText= ; a\nOther=;b\n", "; a", ";b", "" },
        { "what follows a section is not looked at", "[One] ; a=b ; c\nText=a\n", "a", NULL, "" },
        { "a comment may hold all of it",
          "\xef\xbb\xbf ; a=b ; c\n# [d] ; e=f ; g\n[One]\nText=a\n", "a", NULL, "" },
        { "an indented line is a setting, not more of the one before", "[One]\nText=a\n  Other=b\n",
          "a", "b", "" },
        { "an indented section", "  [One]\n\tText=a\n", "a", NULL, "" },
        { "an indented comment", "[One]\nText=a\n  # b\n  ; c\n", "a", NULL, "" },
};

START_TEST(a_file_has_the_form_of_systemds) {
        CAD_AUTO(target_done) struct target t = { 0 };
        struct error err = { 0 };

        ck_assert_msg(parse(forms[_i].content, &t, &err) == 0, "%s: %s", forms[_i].why, err.text);
        ck_assert_msg(text_equal(t.text, forms[_i].text), "%s: Text=%s", forms[_i].why, t.text);
        ck_assert_msg(text_equal(t.other, forms[_i].other), "%s: Other=%s", forms[_i].why, t.other);
        ck_assert_msg(text_equal(buffer_string(&t.words), forms[_i].words), "%s: Words=%s",
                      forms[_i].why, buffer_string(&t.words));
}
END_TEST

#define LONG_16 "0123456789abcdef"
#define LONG_128 LONG_16 LONG_16 LONG_16 LONG_16 LONG_16 LONG_16 LONG_16 LONG_16

static const struct {
        const char *why, *content, *complaint;
} complaints[] = {
        { "an unknown section", "[One]\nText=a\n[Three]\nText=a\n",
          "x.conf:4: there is no section [Three]" },
        { "an unknown setting", "# a comment\n[One]\n\nTxet=a\n",
          "x.conf:4: there is no setting Txet= in [One]" },
        { "a setting of another section", "[One]\nFlag=yes\n",
          "x.conf:2: there is no setting Flag= in [One]" },
        { "another case", "[One]\ntext=a\n", "x.conf:2: there is no setting text= in [One]" },
        { "a section in another case", "[one]\nText=a\n", "x.conf:2: there is no section [one]" },
        { "a setting before any section", "Text=a\n",
          "x.conf:1: Text= is in no section: a line [Section] comes before it" },
        { "a bad bool", "[Two]\nFlag=perhaps\n",
          "x.conf:2: Flag=: 'perhaps' is neither yes nor no" },
        { "a bad number", "[Two]\r\n\r\nNumber=many\r\n",
          "x.conf:3: Number=: 'many' is not a whole number from 0 to 4294967295" },
        { "a bad duration", "[Two]\nDuration=3M\n",
          "x.conf:2: Duration=: '3M' is not a duration: write it as 90d, 12h, 30m, 2w or 2y" },
        { "a bad word of a list", "[One]\nWords=a bad\n",
          "x.conf:2: Words=: 'bad' is no word for this" },
        { "a line that is nothing", "[One]\nnothing\n",
          "x.conf:2: this line is neither [Section] nor Key=Value" },
        { "a section that does not end", "[One\nText=a\n",
          "x.conf:1: this line is neither [Section] nor Key=Value" },
        { "continued with a backslash", "[One]\nWords=a \\\n  b\n",
          "x.conf:3: this line is neither [Section] nor Key=Value" },
        { "the first of two is told", "[Two]\nNumber=a\nNumber=b\n",
          "x.conf:2: Number=: 'a' is not a whole number from 0 to 4294967295" },
        { "escape sequences in a value", "[Two]\nFlag=\x1b[2J\n",
          "x.conf:2: Flag=: '?[2J' is neither yes nor no" },
        { "a line over what a line may have", "[One]\nText=" LONG_128 LONG_128 "\nOther=b\n",
          "x.conf:2: this line is too long" },
        { "such a comment", "# " LONG_128 LONG_128 "\n", "x.conf:1: this line is too long" },
        { "a comment behind a number", "[Two]\nNumber=5 ; five\n",
          "x.conf:2: Number=: '5 ; five' is not a whole number from 0 to 4294967295" },
        { "a comment behind words", "[One]\nWords=a ; bad\n",
          "x.conf:2: Words=: 'bad' is no word for this" },
        { "the octet that is used in place of a semicolon", "[One]\nText=a\nOther=b\001c\n",
          "x.conf:3: this line has the control character 0x01" },
        { "behind a byte order mark", "\xef\xbb\xbf[One]\nTxet=a\n",
          "x.conf:2: there is no setting Txet= in [One]" },
};

START_TEST(a_complaint_says_file_line_and_what_is_wrong) {
        CAD_AUTO(target_done) struct target t = { 0 };
        struct error err;

        ck_refused(parse(complaints[_i].content, &t, &err), err, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, complaints[_i].complaint) == err.text, "%s:\n%s\n%s",
                      complaints[_i].why, err.text, complaints[_i].complaint);
}
END_TEST

START_TEST(a_line_of_the_largest_size_is_read_whole_and_one_more_is_refused) {
        bool refused = false;

        for (int length = 180; length < 220; length++) {
                CAD_AUTO(target_done) struct target t = { 0 };
                char text[300];
                struct error err = { 0 };

                (void) snprintf(text, sizeof(text), "[One]\nText=%0*d\nOther=b\n", length, 0);
                if (parse(text, &t, &err) < 0) {
                        refused = true;
                        ck_assert_ptr_nonnull(strstr(err.text, "x.conf:2: this line is too long"));
                        continue;
                }
                ck_assert(!refused);
                ck_assert_int_eq((int) strlen(t.text), length);
                ck_assert_str_eq(t.other, "b");
        }
        ck_assert(refused);
}
END_TEST

START_TEST(a_nul_makes_it_no_text_file) {
        CAD_AUTO(target_done) struct target t = { 0 };
        struct error err;

        ck_refused(settings_parse(BYTES_LITERAL("[One]\nText=a\0b\n"), "x.conf", known, &t, &err),
                   err, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "x.conf"));
        ck_assert_ptr_null(t.text);
        ck_assert_int_eq(settings_parse(BYTES_LITERAL("\0"), "x.conf", known, &t, NULL), -1);
}
END_TEST

/* No prefix of a good file, and no octet changed in it, is more than a complaint. */
START_TEST(whatever_is_in_it_nothing_worse_happens_than_a_complaint) {
        static const char good[] =
                "\xef\xbb\xbf# c\n[One]\nText=a ; c\nWords=a,b\n[Two]\nFlag=yes\nNumber=1\nDuration=1h30m\n";

        for (size_t at = 0; at < sizeof(good); at++) {
                for (unsigned octet = 0; octet < 256; octet++) {
                        CAD_AUTO(target_done) struct target t = { 0 };
                        char *text = malloc(at + 1);
                        struct error err = { 0 };

                        ck_assert_ptr_nonnull(text);
                        memcpy(text, good, at);
                        text[at] = (char) octet;
                        if (settings_parse(BYTES(text, at + 1), "x.conf", known, &t, &err) < 0)
                                ck_assert(err.code == ERR_CONFIG &&
                                          strstr(err.text, "x.conf:") == err.text);
                        free(text);
                }
        }
}
END_TEST

/* ---- files ---- */

START_TEST(a_file_is_read_and_named_in_complaints) {
        CAD_AUTO(target_done) struct target t = { 0 };
        struct error err = { 0 };

        folder_write("y.conf", BYTES_LITERAL("[One]\nText=a\n"), 0644);
        ck_ok(settings_read(folder_fd, "y.conf", known, &t, &err), err);
        ck_assert_str_eq(t.text, "a");
        folder_write("y.conf", BYTES_LITERAL("[One]\nTxet=a\n"), 0644);
        ck_refused(settings_read(folder_fd, "y.conf", known, &t, &err), err, ERR_CONFIG);
        ck_assert_ptr_eq(strstr(err.text, "y.conf:2: "), err.text);
        ck_refused(settings_read(folder_fd, "z.conf", known, &t, &err), err, ERR_NOT_FOUND);
        folder_write("y.conf", BYTES_LITERAL("[One]\nText=b\n"), 0666);
        ck_refused(settings_read(folder_fd, "y.conf", known, &t, &err), err, ERR_FILE_UNSAFE);
        ck_assert_str_eq(t.text, "a");
}
END_TEST

START_TEST(more_than_a_mebibyte_is_no_configuration) {
        CAD_AUTO(target_done) struct target t = { 0 };
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err = { 0 };

        while (content.size < 1024 * 1024)
                buffer_text(&content, "# 456789abcdef0\n");
        folder_write("y.conf", buffer_bytes(&content), 0644);
        ck_ok(settings_read(folder_fd, "y.conf", known, &t, &err), err);
        buffer_text(&content, "\n");
        folder_write("y.conf", buffer_bytes(&content), 0644);
        ck_refused(settings_read(folder_fd, "y.conf", known, &t, &err), err, ERR_FILE_UNSAFE);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("settings");
        TCase *tc = tcase_create("settings"), *files = tcase_create("files");

        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, a_bool_is_one_of_systemds_words, 0, ARRAY_SIZE(bools));
        tcase_add_loop_test(tc, a_number_is_whole_and_of_32_bits, 0, ARRAY_SIZE(numbers));
        tcase_add_test(tc, a_duration_and_a_text_are_set_and_a_bad_one_changes_nothing);
        tcase_add_loop_test(tc, words_are_separated_by_white_space_or_commas, 0, ARRAY_SIZE(lists));
        tcase_add_test(tc, the_first_word_that_is_refused_ends_the_list);
        tcase_add_loop_test(tc, a_file_has_the_form_of_systemds, 0, ARRAY_SIZE(forms));
        tcase_add_loop_test(tc, a_complaint_says_file_line_and_what_is_wrong, 0,
                            ARRAY_SIZE(complaints));
        tcase_add_test(tc, a_line_of_the_largest_size_is_read_whole_and_one_more_is_refused);
        tcase_add_test(tc, a_nul_makes_it_no_text_file);
        tcase_add_test(tc, whatever_is_in_it_nothing_worse_happens_than_a_complaint);
        suite_add_tcase(suite, tc);
        tcase_add_checked_fixture(files, folder_setup, folder_teardown);
        tcase_add_test(files, a_file_is_read_and_named_in_complaints);
        tcase_add_test(files, more_than_a_mebibyte_is_no_configuration);
        suite_add_tcase(suite, files);
        return unit_main(suite);
}
