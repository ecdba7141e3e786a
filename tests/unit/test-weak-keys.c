/*
 * Lists of weak keys: what stands on one is refused, whatever else is on it; a list that cannot be read is never an empty one.
 */
#include "signer-fixture.h"

#include "lib/pki/profile.h"
#include "lib/pki/weak_keys.h"

static struct scratch scratch;

static void set_up(void) {
        scratch_open(&scratch);
        ck_assert_int_eq(mkdirat(scratch.fd, "weak-keys.d", 0755), 0);
}

static void tear_down(void) {
        scratch_close(&scratch);
}

static int load(const char *text, struct weak_keys **ret, struct error *err) {
        scratch_write(&scratch, "weak-keys.d/blacklist.RSA-2048", text, 0644);
        return weak_keys_load(scratch.fd, ret, err);
}

/*
 * openssl genrsa -out k.pem 2048; openssl rsa -in k.pem -pubout -outform DER | base64;
 * openssl rsa -in k.pem -noout -modulus | sha1sum | cut -c 21-40
 */
#define LISTED "28a59362c0b594b07a5e"
static const uint8_t spki[] = {
        0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
        0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82,
        0x01, 0x01, 0x00, 0xa2, 0x97, 0x57, 0x50, 0xc5, 0xbe, 0xc8, 0x18, 0x8f, 0xfa, 0x69, 0x18,
        0xdc, 0x33, 0xc7, 0x5d, 0x5f, 0xf9, 0xb5, 0xe8, 0x2d, 0x3f, 0xa0, 0xf2, 0x57, 0x01, 0xe6,
        0xf8, 0xfb, 0x41, 0x24, 0x23, 0xa1, 0x87, 0xd2, 0x89, 0xab, 0xcd, 0x78, 0xfb, 0xd2, 0x30,
        0x39, 0x6e, 0xda, 0xc9, 0x44, 0xd3, 0x6b, 0xbb, 0xaa, 0x8f, 0x2c, 0xf1, 0x42, 0x65, 0x03,
        0xb5, 0x7f, 0xd6, 0xe4, 0x12, 0x1e, 0x7d, 0xf7, 0xac, 0x37, 0x07, 0xb4, 0x43, 0x31, 0xd6,
        0x1a, 0xdd, 0xc7, 0xc1, 0x78, 0x98, 0x95, 0xbd, 0x9b, 0x85, 0x58, 0x57, 0xd2, 0x59, 0xf3,
        0x91, 0x82, 0x64, 0xf3, 0x53, 0x98, 0xc1, 0xaf, 0x5f, 0xa8, 0x8b, 0xc9, 0x02, 0x7f, 0x77,
        0xb5, 0xf5, 0x2e, 0x42, 0xbf, 0x4e, 0x8d, 0x89, 0xd1, 0xa7, 0x3d, 0x41, 0x5a, 0x82, 0xb2,
        0x1c, 0xb2, 0x5d, 0x72, 0x02, 0xc3, 0xdd, 0xd7, 0x8c, 0xd1, 0x95, 0xe3, 0xb9, 0xbd, 0xa6,
        0xb1, 0x31, 0xb3, 0x8e, 0xa7, 0x1a, 0x9d, 0xf8, 0x75, 0xe5, 0xf1, 0x79, 0x51, 0x0d, 0x58,
        0x49, 0x90, 0xbf, 0xbf, 0xeb, 0x71, 0xac, 0x5e, 0xcd, 0x42, 0x49, 0xdf, 0x92, 0x18, 0x9b,
        0x2b, 0x76, 0xe1, 0x57, 0x5c, 0xb2, 0x00, 0x67, 0xa2, 0xc1, 0x66, 0x69, 0x2c, 0x1b, 0x72,
        0x32, 0x1b, 0xfe, 0x13, 0xb5, 0x83, 0xaa, 0xa3, 0xa7, 0x35, 0x4f, 0x73, 0xe1, 0xea, 0x79,
        0xa2, 0xd0, 0x6b, 0x8e, 0xb0, 0x70, 0xdb, 0x35, 0x0f, 0x07, 0xbc, 0x38, 0xf0, 0xf4, 0x76,
        0x62, 0x4d, 0x45, 0xca, 0xa5, 0xa8, 0x6c, 0x8f, 0x2c, 0x0a, 0xe8, 0xe8, 0x5f, 0x1f, 0x14,
        0xf8, 0x32, 0x62, 0xda, 0xf8, 0xf8, 0x4c, 0x11, 0xe3, 0xaf, 0x81, 0x82, 0xad, 0xa1, 0x3c,
        0xdc, 0xc0, 0x00, 0xe2, 0xee, 0xcc, 0xcb, 0x6d, 0x93, 0x72, 0xdc, 0x62, 0x32, 0xd5, 0x5c,
        0x4a, 0xb1, 0xc1, 0xa1, 0x02, 0x03, 0x01, 0x00, 0x01
};

static struct public_key *listed_key(void) {
        struct public_key *key = NULL;
        struct error err = { 0 };

        ck_ok(public_key_from_spki(BYTES(spki, sizeof(spki)), RSA_BITS_MAX, &key, &err), err);
        return key;
}

START_TEST(without_a_folder_nothing_is_listed) {
        CAD_AUTO(public_key_free) struct public_key *key = listed_key();
        struct weak_keys *list = (void *) 0x1;
        struct error err = { 0 };

        ck_assert_int_eq(unlinkat(scratch.fd, "weak-keys.d", AT_REMOVEDIR), 0);
        ck_ok(weak_keys_load(scratch.fd, &list, &err), err);
        ck_assert_ptr_null(list);
        ck_ok(weak_keys_check(list, key, &err), err);
}
END_TEST

/* ---- looking up ---- */

static const struct {
        const char *text;
        size_t count;
        bool refused;
} lists[] = {
        { "", 0, false },
        { "# nothing\n\n", 0, false },
        { LISTED "\n", 1, true },
        { LISTED, 1, true },
        { "# CRLF\r\n\r\n" LISTED "\r\n", 1, true },
        { "00000000000000000000\n" LISTED "\nffffffffffffffffffff\n", 3, true },
        { "ffffffffffffffffffff\nFFFFFFFFFFFFFFFFFFFE\n" LISTED "\n00000000000000000000\n", 4,
          true },
        { "00000000000000000000\nffffffffffffffffffff\n", 2, false },
};

START_TEST(what_is_listed_is_refused_and_nothing_else) {
        CAD_AUTO(public_key_free) struct public_key *key = listed_key();
        CAD_AUTO(weak_keys_free) struct weak_keys *list = NULL;
        struct error err = { 0 };

        ck_ok(load(lists[_i].text, &list, &err), err);
        ck_assert_uint_eq(weak_keys_count(list), lists[_i].count);
        if (!lists[_i].refused) {
                ck_ok(weak_keys_check(list, key, &err), err);
                return;
        }
        ck_refused(weak_keys_check(list, key, &err), err, ERR_KEY_WEAK);
        ck_assert_str_eq(err.field, "csr.key");
        ck_assert_ptr_nonnull(strstr(err.text, "make a new key"));
}
END_TEST

START_TEST(every_file_of_the_folder_counts) {
        CAD_AUTO(public_key_free) struct public_key *key = listed_key();
        CAD_AUTO(weak_keys_free) struct weak_keys *list = NULL;
        struct error err = { 0 };

        scratch_write(&scratch, "weak-keys.d/zz", LISTED "\n", 0644);
        scratch_write(&scratch, "weak-keys.d/.hidden", "no list\n", 0644);
        ck_ok(load("00005890bc78bcbee3ca\n", &list, &err), err);
        ck_assert_uint_eq(weak_keys_count(list), 2);
        ck_refused(weak_keys_check(list, key, &err), err, ERR_KEY_WEAK);
}
END_TEST

START_TEST(other_keys_than_rsa_are_on_no_list) {
        CAD_AUTO(weak_keys_free) struct weak_keys *list = NULL;
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };

        ck_ok(load(LISTED "\n", &list, &err), err);
        key_spki(KEY_ECDSA_P256, 0, &text);
        ck_ok(public_key_from_spki(buffer_bytes(&text), RSA_BITS_MAX, &key, &err), err);
        ck_ok(weak_keys_check(list, key, &err), err);
}
END_TEST

START_TEST(profiles_of_the_same_folder_refuse_it) {
        CAD_AUTO(public_key_free) struct public_key *key = listed_key();
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        struct error err = { 0 };

        scratch_write(&scratch, "weak-keys.d/list", LISTED "\n", 0644);
        ck_ok(profiles_load(scratch.fd, "profiles.d", &set, &err), err);
        for (size_t i = 0; i < profiles_count(set); i++)
                ck_refused(profile_check_key(profiles_at(set, i), key, &err), err, ERR_KEY_WEAK);
}
END_TEST

/* ---- what is no list ---- */

static const struct {
        const char *text, *words;
} no_lists[] = {
        { "00005890bc78bcbee3c\n", "blacklist.RSA-2048:1:" },
        { "00005890bc78bcbee3caa\n", ":1:" },
        { "# fine\n00005890bc78bcbee3ca\n\n00005890bc78bcbee3cg\n", ":4:" },
        { "00005890bc78bcbee3ca \n", ":1:" },
        { "e25c0ff63e4d5b3d2a4b00005890bc78bcbee3ca\n", "20 hexadecimal digits" },
        { "Debian's list\n", ":1:" },
};

START_TEST(what_is_no_list_is_refused_with_its_place) {
        struct weak_keys *list = (void *) 0x1;
        struct error err;

        ck_refused(load(no_lists[_i].text, &list, &err), err, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, no_lists[_i].words), "'%s' is not in '%s'",
                      no_lists[_i].words, err.text);
        ck_assert_ptr_eq(list, (void *) 0x1);
}
END_TEST

START_TEST(a_list_that_others_could_have_written_is_refused) {
        struct weak_keys *list = NULL;
        struct error err;

        scratch_write(&scratch, "weak-keys.d/list", "", 0666);
        ck_refused(weak_keys_load(scratch.fd, &list, &err), err, ERR_FILE_UNSAFE);
        ck_assert_int_eq(unlinkat(scratch.fd, "weak-keys.d/list", 0), 0);
        ck_assert_int_eq(symlinkat("/dev/null", scratch.fd, "weak-keys.d/list"), 0);
        ck_refused(weak_keys_load(scratch.fd, &list, &err), err, ERR_FILE_UNSAFE);
        ck_assert_int_eq(unlinkat(scratch.fd, "weak-keys.d/list", 0), 0);
        ck_assert_int_eq(fchmodat(scratch.fd, "weak-keys.d", 0777, 0), 0);
        ck_refused(weak_keys_load(scratch.fd, &list, &err), err, ERR_FILE_UNSAFE);
}
END_TEST

START_TEST(there_are_32_files_at_most) {
        struct weak_keys *list = NULL;
        struct error err;
        char path[64];

        for (size_t i = 0; i <= WEAK_KEYS_FILES_MAX; i++) {
                (void) snprintf(path, sizeof(path), "weak-keys.d/%zu", i);
                scratch_write(&scratch, path, "", 0644);
        }
        ck_refused(weak_keys_load(scratch.fd, &list, &err), err, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "32"));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("weak-keys");
        TCase *tc = tcase_create("weak-keys");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, without_a_folder_nothing_is_listed);
        tcase_add_loop_test(tc, what_is_listed_is_refused_and_nothing_else, 0, ARRAY_SIZE(lists));
        tcase_add_test(tc, every_file_of_the_folder_counts);
        tcase_add_test(tc, other_keys_than_rsa_are_on_no_list);
        tcase_add_test(tc, profiles_of_the_same_folder_refuse_it);
        tcase_add_loop_test(tc, what_is_no_list_is_refused_with_its_place, 0, ARRAY_SIZE(no_lists));
        tcase_add_test(tc, a_list_that_others_could_have_written_is_refused);
        tcase_add_test(tc, there_are_32_files_at_most);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
