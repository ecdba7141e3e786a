/*
 * Credentials: the same key, leaf, chain and root come out of every form and order that people have them in, and what does not fit is said.
 */
#include "issued-fixture.h"

#include "lib/pki/credential.h"
#include "lib/pki/pem.h"
#include "lib/pki/pkcs7.h"

static struct private_key *key;
static struct buffer leaf, leaf_pem, key_pem, int_pem, root_pem;

/* @n: the later, the newer */
static void sign_leaf(const struct private_key *of, const char *const *names, uint64_t n,
                      struct buffer *ret) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        int64_t begin = moment_now() - 600 + (int64_t) n;
        struct sign_issue wish = { .profile = "server",
                                   .validity = { begin, begin + 90 * DAY - 1 } };
        uint8_t octets[CERT_MAX];
        struct error err = { 0 };

        ck_ok(private_key_spki(of, &spki, &err), err);
        memcpy(wish.profile_digest, profiles_find(profiles, "server", NULL)->digest,
               sizeof(wish.profile_digest));
        wish.spki = buffer_bytes(&spki);
        wish.names = names_der(octets, sizeof(octets), names);
        ck_ok(issued_sign(&wish, n, ret, &err), err);
}

static void set_up(void) {
        struct error err = { 0 };

        issued_setup();
        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        sign_leaf(key, (const char *const[]){ "nas.lan", "*.home.lan", "10.0.0.1", NULL }, 1,
                  &leaf);
        ck_ok(private_key_to_pem(key, BYTES_NONE, &key_pem, &err), err);
        pem_append(&leaf_pem, "CERTIFICATE", buffer_bytes(&leaf));
        pem_append(&int_pem, "CERTIFICATE", ca->issuers[0].cert.der);
        pem_append(&root_pem, "CERTIFICATE", ca->root.der);
}

static void tear_down(void) {
        struct buffer *const all[] = { &leaf, &leaf_pem, &key_pem, &int_pem, &root_pem };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                buffer_wipe(all[i]);
        key = private_key_free(key);
        issued_teardown();
}

/* ---- forms ---- */

static void in_order(struct buffer *out) {
        buffer_append(out, buffer_bytes(&key_pem));
        buffer_append(out, buffer_bytes(&leaf_pem));
        buffer_append(out, buffer_bytes(&int_pem));
        buffer_append(out, buffer_bytes(&root_pem));
}

static void upside_down(struct buffer *out) {
        buffer_append(out, buffer_bytes(&root_pem));
        buffer_append(out, buffer_bytes(&int_pem));
        buffer_append(out, buffer_bytes(&leaf_pem));
        buffer_append(out, buffer_bytes(&leaf_pem));
        buffer_append(out, buffer_bytes(&key_pem));
}

static void from_windows(struct buffer *out) {
        CAD_AUTO(buffer_wipe) struct buffer plain = { 0 };

        upside_down(&plain);
        buffer_text(out,
                    "\xef\xbb\xbf"
                    "Subject: nas.lan\r\n");
        for (size_t i = 0; i < plain.size; i++) {
                if (plain.data[i] == '\n')
                        buffer_text(out, "\r");
                buffer_append(out, BYTES(&plain.data[i], 1));
        }
}

static void utf16(struct buffer *out, bool big) {
        CAD_AUTO(buffer_wipe) struct buffer plain = { 0 };

        from_windows(&plain);
        buffer_append(out, BYTES(big ? "\xfe\xff" : "\xff\xfe", 2));
        for (size_t i = 3; i < plain.size; i++) {
                uint8_t pair[2] = { big ? 0 : plain.data[i], big ? plain.data[i] : 0 };

                buffer_append(out, BYTES(pair, sizeof(pair)));
        }
}

static void utf16_little(struct buffer *out) {
        utf16(out, false);
}

static void utf16_big(struct buffer *out) {
        utf16(out, true);
}

static void as_pkcs7(struct buffer *out) {
        CAD_AUTO(buffer_done) struct buffer bag = { 0 };
        const struct bytes all[] = { ca->root.der, buffer_bytes(&leaf), ca->issuers[0].cert.der };

        pkcs7_append_certificates(&bag, all, ARRAY_SIZE(all));
        pem_append(out, "PKCS7", buffer_bytes(&bag));
        buffer_append(out, buffer_bytes(&key_pem));
}

static const struct {
        const char *why;
        void (*make)(struct buffer *out);
} forms[] = {
        { "PEM, in order", in_order },
        { "PEM, upside down, the leaf twice", upside_down },
        { "PEM with BOM, CRLF and text, as from Windows", from_windows },
        { "UTF-16, as PowerShell writes it", utf16_little },
        { "UTF-16, the other way round", utf16_big },
        { "PKCS#7 in any order, and the key", as_pkcs7 },
};

static struct credential *read_and_arrange(struct bytes input) {
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        struct credential *c = NULL;
        struct error err = { 0 };

        ck_ok(credential_parts_add(parts, input, BYTES_NONE, &err), err);
        ck_ok(credential_arrange(parts, &c, &err), err);
        return c;
}

START_TEST(every_form_gives_the_same) {
        CAD_AUTO(buffer_wipe) struct buffer input = { 0 }, combined = { 0 }, expected = { 0 };
        CAD_AUTO(credential_free) struct credential *c = NULL;
        struct error err = { 0 };

        forms[_i].make(&input);
        c = read_and_arrange(buffer_bytes(&input));
        ck_assert_msg(bytes_equal(credential_leaf(c), buffer_bytes(&leaf)), "%s", forms[_i].why);
        ck_assert_uint_eq(credential_chain_count(c), 1);
        ck_assert(bytes_equal(credential_root(c), ca->root.der));
        ck_assert_uint_eq(credential_left_over(c), 0);
        ck_ok(credential_verify(c, moment_now(), &err), err);
        ck_ok(credential_pem(c, CREDENTIAL_COMBINED, &combined, &err), err);
        buffer_append(&expected, buffer_bytes(&leaf_pem));
        buffer_append(&expected, buffer_bytes(&int_pem));
        buffer_append(&expected, buffer_bytes(&key_pem));
        ck_assert_msg(bytes_equal(buffer_bytes(&combined), buffer_bytes(&expected)), "%s",
                      forms[_i].why);
}
END_TEST

START_TEST(der_files_are_put_together) {
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        CAD_AUTO(credential_free) struct credential *c = NULL;
        CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
        struct bytes text = buffer_bytes(&key_pem);
        char label[PEM_LABEL_MAX];
        struct error err = { 0 };

        ck_assert_int_eq(pem_next(&text, label, &der, &err), 1);
        ck_ok(credential_parts_add(parts, ca->root.der, BYTES_NONE, &err), err);
        ck_ok(credential_parts_add(parts, buffer_bytes(&leaf), BYTES_NONE, &err), err);
        ck_ok(credential_parts_add(parts, buffer_bytes(&der), BYTES_NONE, &err), err);
        ck_ok(credential_parts_add(parts, ca->issuers[0].cert.der, BYTES_NONE, &err), err);
        ck_ok(credential_arrange(parts, &c, &err), err);
        ck_ok(credential_verify(c, moment_now(), &err), err);
        ck_assert(credential_key(c) != NULL);
}
END_TEST

START_TEST(no_prefix_of_a_file_is_taken_for_all_of_it) {
        CAD_AUTO(buffer_wipe) struct buffer input = { 0 };
        size_t whole = leaf_pem.size + int_pem.size + root_pem.size;

        buffer_append(&input, buffer_bytes(&leaf_pem));
        buffer_append(&input, buffer_bytes(&int_pem));
        buffer_append(&input, buffer_bytes(&root_pem));
        for (size_t size = 0; size < whole - 1; size++) {
                CAD_AUTO(credential_parts_free)
                struct credential_parts *parts = credential_parts_new();
                struct credential *c = NULL;
                struct error err = { 0 };

                if (credential_parts_add(parts, BYTES(input.data, size), BYTES_NONE, &err) < 0 ||
                    credential_arrange(parts, &c, &err) < 0) {
                        ck_assert(c == NULL && err.text[0]);
                        continue;
                }
                ck_refused(credential_verify(c, moment_now(), &err), err, ERR_BODY_MALFORMED);
                credential_free(c);
        }
}
END_TEST

/* ---- what does not fit ---- */

START_TEST(a_key_of_another_certificate_is_refused) {
        CAD_AUTO(private_key_free) struct private_key *other = NULL;
        CAD_AUTO(buffer_wipe) struct buffer input = { 0 };
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        struct credential *c = NULL;
        struct error err = { 0 };

        ck_ok(private_key_generate(KEY_ED25519, 0, &other, &err), err);
        ck_ok(private_key_to_pem(other, BYTES_NONE, &input, &err), err);
        buffer_append(&input, buffer_bytes(&leaf_pem));
        buffer_append(&input, buffer_bytes(&int_pem));
        ck_ok(credential_parts_add(parts, buffer_bytes(&input), BYTES_NONE, &err), err);
        ck_refused(credential_arrange(parts, &c, &err), err, ERR_KEY_INVALID);
        ck_assert_ptr_null(c);
        ck_refused(credential_parts_add(parts, buffer_bytes(&key_pem), BYTES_NONE, &err), err,
                   ERR_KEY_INVALID);
}
END_TEST

START_TEST(of_two_certificates_of_a_key_the_newer_is_taken) {
        CAD_AUTO(buffer_done) struct buffer second = { 0 }, input = { 0 };
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        CAD_AUTO(credential_free) struct credential *c = NULL;
        struct error err = { 0 };

        sign_leaf(key, (const char *const[]){ "nas.lan", NULL }, 2, &second);
        pem_append(&input, "CERTIFICATE", buffer_bytes(&second));
        buffer_append(&input, buffer_bytes(&leaf_pem));
        buffer_append(&input, buffer_bytes(&key_pem));
        ck_ok(credential_parts_add(parts, buffer_bytes(&input), BYTES_NONE, &err), err);
        ck_ok(credential_arrange(parts, &c, &err), err);
        ck_assert(bytes_equal(credential_leaf(c), buffer_bytes(&second)));
        ck_assert_uint_eq(credential_left_over(c), 1);
}
END_TEST

START_TEST(without_a_key_two_leaves_are_one_too_many) {
        CAD_AUTO(private_key_free) struct private_key *other = NULL;
        CAD_AUTO(buffer_done) struct buffer second = { 0 };
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        struct credential *c = NULL;
        struct error err = { 0 };

        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &other, &err), err);
        sign_leaf(other, (const char *const[]){ "b.lan", NULL }, 3, &second);
        ck_ok(credential_parts_add(parts, buffer_bytes(&leaf), BYTES_NONE, &err), err);
        ck_ok(credential_parts_add(parts, buffer_bytes(&second), BYTES_NONE, &err), err);
        ck_refused(credential_arrange(parts, &c, &err), err, ERR_BODY_MALFORMED);
}
END_TEST

START_TEST(a_chain_without_its_root_is_told_which_is_missing) {
        CAD_AUTO(credential_free) struct credential *c = NULL;
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        struct error err = { 0 };

        c = read_and_arrange(buffer_bytes(&leaf));
        ck_refused(credential_verify(c, moment_now(), &err), err, ERR_BODY_MALFORMED);
        ck_refused(credential_pem(c, CREDENTIAL_KEY, &pem, &err), err, ERR_BODY_MALFORMED);
        ck_refused(credential_pem(c, CREDENTIAL_CHAIN, &pem, &err), err, ERR_BODY_MALFORMED);
        ck_refused(credential_pem(c, CREDENTIAL_ROOT, &pem, &err), err, ERR_BODY_MALFORMED);
        c = credential_free(c);

        /* a bundle gives what was asked for by name, one step at a time */
        ck_ok(credential_parts_add(parts, buffer_bytes(&leaf), BYTES_NONE, &err), err);
        ck_ok(credential_parts_add(parts, buffer_bytes(&int_pem), BYTES_NONE, &err), err);
        ck_ok(credential_parts_seek(parts, buffer_bytes(&root_pem), &err), err);
        ck_ok(credential_arrange(parts, &c, &err), err);
        ck_ok(credential_verify(c, moment_now(), &err), err);
}
END_TEST

START_TEST(time_is_held_against_all_of_the_chain) {
        CAD_AUTO(buffer_wipe) struct buffer input = { 0 };
        CAD_AUTO(credential_free) struct credential *c = NULL;
        struct error err = { 0 };
        struct cert cert;

        in_order(&input);
        c = read_and_arrange(buffer_bytes(&input));
        ck_ok(cert_read(credential_leaf(c), &cert, &err), err);
        ck_ok(credential_verify(c, cert.validity.not_after, &err), err);
        ck_refused(credential_verify(c, cert.validity.not_after + 1, &err), err,
                   ERR_STATE_CONFLICT);
        ck_ok(credential_verify(c, cert.validity.not_before, &err), err);
        ck_refused(credential_verify(c, 0, &err), err, ERR_STATE_CONFLICT);
}
END_TEST

START_TEST(a_changed_signature_is_no_chain) {
        CAD_AUTO(buffer_done) struct buffer forged = { 0 };
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        CAD_AUTO(credential_free) struct credential *c = NULL;
        struct error err = { 0 };

        buffer_append(&forged, buffer_bytes(&leaf));
        forged.data[forged.size - 1] ^= 1;
        ck_ok(credential_parts_add(parts, buffer_bytes(&forged), BYTES_NONE, &err), err);
        ck_ok(credential_parts_add(parts, ca->issuers[0].cert.der, BYTES_NONE, &err), err);
        ck_ok(credential_parts_add(parts, ca->root.der, BYTES_NONE, &err), err);
        ck_ok(credential_arrange(parts, &c, &err), err);
        ck_refused(credential_verify(c, moment_now(), &err), err, ERR_BODY_MALFORMED);
}
END_TEST

static const struct {
        const char *why, *name;
        bool covered;
} names[] = {
        { "as it stands", "nas.lan", true },
        { "in other case", "NAS.lan", true },
        { "by the wildcard", "a.home.lan", true },
        { "the wildcard itself", "*.home.lan", true },
        { "an address", "10.0.0.1", true },
        { "a wildcard stands for one label", "a.b.home.lan", false },
        { "a wildcard does not stand for none", "home.lan", false },
        { "below a name that is no wildcard", "a.nas.lan", false },
        { "another address", "10.0.0.2", false },
        { "another name", "nas.lan.evil.lan", false },
        { "what is no name", "a b", false },
};

START_TEST(names_are_covered_as_clients_see_it) {
        CAD_AUTO(credential_free) struct credential *c = read_and_arrange(buffer_bytes(&leaf));
        struct error err = { 0 };

        ck_assert_msg((credential_covers(c, names[_i].name, &err) == 0) == names[_i].covered,
                      "%s: %s", names[_i].why, err.text);
}
END_TEST

/* ---- passwords and other limits ---- */

START_TEST(an_encrypted_key_wants_its_password) {
        CAD_AUTO(buffer_wipe) struct buffer encrypted = { 0 };
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        CAD_AUTO(credential_free) struct credential *c = NULL;
        struct error err = { 0 };

        ck_ok(private_key_to_pem(key, BYTES_LITERAL("geheim"), &encrypted, &err), err);
        buffer_append(&encrypted, buffer_bytes(&leaf_pem));
        ck_refused(credential_parts_add(parts, buffer_bytes(&encrypted), BYTES_NONE, &err), err,
                   ERR_KEY_PASSPHRASE);
        ck_refused(credential_parts_add(parts, buffer_bytes(&encrypted), BYTES_LITERAL("falsch"),
                                        &err),
                   err, ERR_KEY_PASSPHRASE);
        ck_refused(credential_parts_add(parts, buffer_bytes(&encrypted), BYTES_LITERAL("a\0b"),
                                        &err),
                   err, ERR_KEY_PASSPHRASE);
        ck_ok(credential_parts_add(parts, buffer_bytes(&encrypted), BYTES_LITERAL("geheim"), &err),
              err);
        ck_ok(credential_arrange(parts, &c, &err), err);
        ck_assert(credential_key(c) != NULL);
}
END_TEST

START_TEST(limits_are_said) {
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        CAD_AUTO(buffer_done) struct buffer long_one = { 0 };
        struct error err = { 0 };

        ck_refused(credential_parts_add(parts, BYTES_NONE, BYTES_NONE, &err), err,
                   ERR_BODY_MALFORMED);
        ck_refused(credential_parts_add(parts, bytes_of("hello"), BYTES_NONE, &err), err,
                   ERR_BODY_MALFORMED);
        ck_assert_ptr_nonnull(buffer_reserve(&long_one, CREDENTIAL_INPUT_MAX + 1));
        memset(long_one.data, ' ', CREDENTIAL_INPUT_MAX + 1);
        ck_refused(credential_parts_add(parts, BYTES(long_one.data, CREDENTIAL_INPUT_MAX + 1),
                                        BYTES_NONE, &err),
                   err, ERR_BODY_TOO_LARGE);
        ck_refused(credential_parts_add(parts, BYTES(long_one.data, CREDENTIAL_INPUT_MAX),
                                        BYTES_NONE, &err),
                   err, ERR_BODY_MALFORMED);
        for (uint64_t n = 0; n <= CREDENTIAL_CERTS_MAX; n++) {
                CAD_AUTO(buffer_done) struct buffer one = { 0 };

                sign_leaf(key, (const char *const[]){ "nas.lan", NULL }, 100 + n, &one);
                if (n < CREDENTIAL_CERTS_MAX)
                        ck_ok(credential_parts_add(parts, buffer_bytes(&one), BYTES_NONE, &err),
                              err);
                else
                        ck_refused(credential_parts_add(parts, buffer_bytes(&one), BYTES_NONE,
                                                        &err),
                                   err, ERR_BODY_TOO_LARGE);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("credential");
        TCase *tc = tcase_create("credential"), *thorough = tcase_create("thorough");

        tcase_add_unchecked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, every_form_gives_the_same, 0, ARRAY_SIZE(forms));
        tcase_add_test(tc, der_files_are_put_together);
        tcase_add_test(tc, no_prefix_of_a_file_is_taken_for_all_of_it);
        tcase_add_test(tc, a_key_of_another_certificate_is_refused);
        tcase_add_test(tc, of_two_certificates_of_a_key_the_newer_is_taken);
        tcase_add_test(tc, without_a_key_two_leaves_are_one_too_many);
        tcase_add_test(tc, a_chain_without_its_root_is_told_which_is_missing);
        tcase_add_test(tc, time_is_held_against_all_of_the_chain);
        tcase_add_test(tc, a_changed_signature_is_no_chain);
        tcase_add_loop_test(tc, names_are_covered_as_clients_see_it, 0, ARRAY_SIZE(names));
        tcase_add_test(tc, limits_are_said);
        suite_add_tcase(suite, tc);
        unit_thorough(suite, thorough);
        tcase_add_unchecked_fixture(thorough, set_up, tear_down);
        tcase_add_test(thorough, an_encrypted_key_wants_its_password);
        return unit_main(suite);
}
