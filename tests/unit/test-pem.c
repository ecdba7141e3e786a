/*
 * PEM: what is harmless is read, what is not is refused, and a private key is seen in whatever form it comes.
 */
#include "unit.h"

#include "lib/base/macros.h"
#include "lib/pki/pem.h"

#define BEGIN_X "-----BEGIN X-----"
#define END_X "-----END X-----"

static const struct {
        const char *why;
        const char *text;
        const char *label; /* NULL: there is no block */
        const char *content;
} readable[] = {
        { "the plain form", BEGIN_X "\nYWJj\n" END_X "\n", "X", "abc" },
        { "CRLF is the end of a line on Windows", BEGIN_X "\r\nYWJj\r\n" END_X "\r\n", "X", "abc" },
        { "a lone CR was the end of a line once", BEGIN_X "\rYWJj\r" END_X "\r", "X", "abc" },
        { "a BOM is what Notepad puts in front", "\xef\xbb\xbf" BEGIN_X "\nYWJj\n" END_X "\n", "X",
          "abc" },
        { "the last line may be without its end", BEGIN_X "\nYWJj\n" END_X, "X", "abc" },
        { "white space at the end of lines is pasted along", BEGIN_X " \t\nYWJj  \n" END_X "  \n",
          "X", "abc" },
        { "lines may be of any length", BEGIN_X "\nYW\nJj\n" END_X "\n", "X", "abc" },
        { "padding", BEGIN_X "\nYWI=\n" END_X "\n", "X", "ab" },
        { "text in front is what 'openssl req -text' prints",
          "Data:\n  Version: 1\n" BEGIN_X "\nYWJj\n" END_X "\n", "X", "abc" },
        { "an END line without its BEGIN is text",
          "-----END Y-----\n" BEGIN_X "\nYWJj\n" END_X "\n", "X", "abc" },
        { "a label of several words",
          "-----BEGIN NEW CERTIFICATE REQUEST-----\nYWJj\n-----END NEW CERTIFICATE REQUEST-----\n",
          "NEW CERTIFICATE REQUEST", "abc" },
        { "nothing at all", "", NULL, NULL },
        { "text alone", "hello\nworld\n", NULL, NULL },
        { "BEGIN in the middle of a line is text", "see " BEGIN_X "\nYWJj\n" END_X "\n", NULL,
          NULL },
};

START_TEST(harmless_text_is_read) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct bytes text = bytes_of(readable[_i].text);
        char label[PEM_LABEL_MAX] = "untouched";
        struct error err = { 0 };
        int r = pem_next(&text, label, &der, &err);

        ck_assert_msg(r == (readable[_i].label != NULL), "%s: %d %s", readable[_i].why, r,
                      err.text);
        if (r == 0) {
                ck_assert_str_eq(label, "untouched");
                ck_assert_uint_eq(der.size, 0);
                return;
        }
        ck_assert_str_eq(label, readable[_i].label);
        ck_assert_msg(bytes_equal(buffer_bytes(&der), bytes_of(readable[_i].content)), "%s",
                      readable[_i].why);
        ck_assert_int_eq(pem_next(&text, label, &der, &err), 0);
}
END_TEST

static const struct {
        const char *why;
        const char *text;
        const char *words;
} unreadable[] = {
        { "a file that was cut", BEGIN_X "\nYWJj\n", "was cut" },
        { "a file that was cut after its first line", BEGIN_X, "was cut" },
        { "the next block begins before the end", BEGIN_X "\nYWJj\n" BEGIN_X "\nYWJj\n" END_X "\n",
          "was cut" },
        { "another label at the end", BEGIN_X "\nYWJj\n-----END Y-----\n", "ends as 'Y'" },
        { "four dashes", "-----BEGIN X----\nYWJj\n" END_X "\n", "five dashes" },
        { "no label", "-----BEGIN -----\nYWJj\n-----END -----\n", "five dashes" },
        { "a label that is too long",
          "-----BEGIN AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-----\nYWJj\n",
          "five dashes" },
        { "a control character in the label",
          "-----BEGIN A\033B-----\nYWJj\n-----END A\033B-----\n", "five dashes" },
        { "a foreign character", BEGIN_X "\nYW!j\n" END_X "\n", "base64" },
        { "no padding", BEGIN_X "\nYWI\n" END_X "\n", "base64" },
        { "octets after the padding", BEGIN_X "\nYWI=\nYWJj\n" END_X "\n", "base64" },
        { "bits behind the last octet", BEGIN_X "\nYWJ=\n" END_X "\n", "base64" },
        { "the URL alphabet", BEGIN_X "\n-_-_\n" END_X "\n", "base64" },
        { "nothing inside", BEGIN_X "\n" END_X "\n", "empty" },
        { "headers mean an old encryption", BEGIN_X "\nProc-Type: 4,ENCRYPTED\n\nYWJj\n" END_X "\n",
          "RFC 1421" },
};

START_TEST(broken_armour_is_refused_and_nothing_is_touched) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct bytes text = bytes_of(unreadable[_i].text), before = text;
        char label[PEM_LABEL_MAX] = "untouched";
        struct error err;

        ck_refused(pem_next(&text, label, &der, &err), err, ERR_BODY_MALFORMED);
        ck_assert_msg(strstr(err.text, unreadable[_i].words), "%s: %s", unreadable[_i].why,
                      err.text);
        ck_assert_str_eq(label, "untouched");
        ck_assert_uint_eq(der.size, 0);
        ck_assert_ptr_eq(text.data, before.data);
        ck_assert_uint_eq(text.size, before.size);
}
END_TEST

START_TEST(what_is_written_is_read_back_whatever_its_size) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 }, back = { 0 };
        uint8_t octets[200];
        char label[PEM_LABEL_MAX];
        struct error err = { 0 };
        struct bytes text;

        for (size_t i = 0; i < sizeof(octets); i++)
                octets[i] = (uint8_t) (i * 37);
        for (size_t size = 1; size <= sizeof(octets); size++) {
                out.size = back.size = 0;
                pem_append(&out, "SOME THING", BYTES(octets, size));
                text = buffer_bytes(&out);
                ck_assert_msg(pem_next(&text, label, &back, &err) == 1, "%zu: %s", size, err.text);
                ck_assert_str_eq(label, "SOME THING");
                ck_assert(bytes_equal(buffer_bytes(&back), BYTES(octets, size)));
                ck_assert_uint_eq(text.size, 0);
        }
}
END_TEST

START_TEST(lines_are_64_characters_long) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        uint8_t octets[49] = { 0 };

        pem_append(&out, "X", BYTES(octets, 48));
        ck_assert_str_eq(
                buffer_string(&out),
                BEGIN_X "\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" END_X
                        "\n");
        out.size = 0;
        pem_append(&out, "X", BYTES(octets, 49));
        ck_assert_str_eq(
                buffer_string(&out),
                BEGIN_X
                "\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAA==\n" END_X
                "\n");
}
END_TEST

START_TEST(blocks_come_one_after_the_other) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct bytes text = BYTES_LITERAL(
                "-----BEGIN A-----\nYQ==\n-----END A-----\nbetween\n-----BEGIN B-----\nYg==\n-----END B-----\n");
        char label[PEM_LABEL_MAX];
        struct error err = { 0 };

        ck_assert_int_eq(pem_next(&text, label, &der, &err), 1);
        ck_assert_str_eq(label, "A");
        ck_assert_int_eq(pem_next(&text, label, &der, &err), 1);
        ck_assert_str_eq(label, "B");
        ck_assert(bytes_equal(buffer_bytes(&der), BYTES_LITERAL("ab")));
        ck_assert_int_eq(pem_next(&text, label, &der, &err), 0);
}
END_TEST

static const struct {
        const char *why;
        const char *text;
        bool has;
} with_keys[] = {
        { "PKCS#8", "-----BEGIN PRIVATE KEY-----\n", true },
        { "encrypted PKCS#8 is one all the same", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", true },
        { "SEC 1", "-----BEGIN EC PRIVATE KEY-----\n", true },
        { "PKCS#1", "text\n-----BEGIN RSA PRIVATE KEY-----\n", true },
        { "OpenSSH", "-----BEGIN OPENSSH PRIVATE KEY-----\n", true },
        { "OpenPGP", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n", true },
        { "in the middle of a line, where it would not be decoded",
          "key: -----BEGIN PRIVATE KEY-----", true },
        { "after another block", BEGIN_X "\nYWJj\n" END_X "\n-----BEGIN PRIVATE KEY-----", true },
        { "a block that was cut", "-----BEGIN PRIVATE KEY", true },
        { "a request", "-----BEGIN CERTIFICATE REQUEST-----\n", false },
        { "a public key", "-----BEGIN PUBLIC KEY-----\n", false },
        { "text about one", "send no PRIVATE KEY\n" BEGIN_X "\n", false },
        { "text about one on the line after BEGIN", BEGIN_X "\nPRIVATE KEY\n", false },
        { "nothing", "", false },
};

START_TEST(a_private_key_is_seen) {
        ck_assert_msg(pem_has_private_key(bytes_of(with_keys[_i].text)) == with_keys[_i].has, "%s",
                      with_keys[_i].why);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("pem");
        TCase *tc = tcase_create("pem");

        tcase_add_loop_test(tc, harmless_text_is_read, 0, ARRAY_SIZE(readable));
        tcase_add_loop_test(tc, broken_armour_is_refused_and_nothing_is_touched, 0,
                            ARRAY_SIZE(unreadable));
        tcase_add_test(tc, what_is_written_is_read_back_whatever_its_size);
        tcase_add_test(tc, lines_are_64_characters_long);
        tcase_add_test(tc, blocks_come_one_after_the_other);
        tcase_add_loop_test(tc, a_private_key_is_seen, 0, ARRAY_SIZE(with_keys));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
