/*
 * The signer's folder as a stream: no plain key leaves, nothing that is there is written over, and what comes in is a whole CA or nothing.
 */
#include "signer-fixture.h"

#include "daemon/signer/bundle.h"
#include "lib/pki/pem.h"

#define PASS BYTES_LITERAL("of the backup")
#define OWN_PASS BYTES_LITERAL("of the keys")

static struct scratch from, to;
static int stream = -1;

static void set_up(void) {
        scratch_open(&from);
        scratch_open(&to);
        stream = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        ck_assert_int_ge(stream, 0);
}

static void tear_down(void) {
        stream = fd_close(stream);
        scratch_close(&from);
        scratch_close(&to);
}

static void with_own_pass(struct ca_plan *plan) {
        plan->passphrase = OWN_PASS;
}

static void rewind_stream(void) {
        ck_assert_int_eq(lseek(stream, 0, SEEK_SET), 0);
}

static void export_all(struct bytes passphrase) {
        struct error err = { 0 };

        ck_ok(bundle_export(from.fd, passphrase, stream, &err), err);
        rewind_stream();
}

static void read_stream(struct buffer *ret) {
        uint8_t octets[4096];
        ssize_t n;

        rewind_stream();
        while ((n = read(stream, octets, sizeof(octets))) > 0)
                buffer_append(ret, BYTES(octets, (size_t) n));
        rewind_stream();
}

static void copy_file(const struct scratch *s, const char *path, struct buffer *ret) {
        struct error err = { 0 };

        ck_ok(file_read(s->fd, path, FILE_PUBLIC, 65536, ret, &err), err);
}

static bool same_file(const char *path) {
        CAD_AUTO(buffer_done) struct buffer a = { 0 };
        CAD_AUTO(buffer_done) struct buffer b = { 0 };

        copy_file(&from, path, &a);
        copy_file(&to, path, &b);
        return bytes_equal(buffer_bytes(&a), buffer_bytes(&b));
}

static bool key_is_plain(const struct scratch *s, const char *path) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        copy_file(s, path, &pem);
        return !strstr(buffer_string(&pem), "ENCRYPTED");
}

/* ---- out ---- */

START_TEST(no_plain_key_leaves) {
        CAD_AUTO(buffer_done) struct buffer all = { 0 };
        const char *at;
        int keys = 0;

        scratch_ca(&from, _i ? with_own_pass : NULL);
        export_all(PASS);
        read_stream(&all);
        for (size_t i = 0; i < all.size; i++) /* as text: names and lengths have NULs */
                all.data[i] = all.data[i] ? all.data[i] : ' ';
        for (at = buffer_string(&all); (at = strstr(at, "BEGIN ")); at += 6) {
                ck_assert(strncmp(at, "BEGIN CERTIFICATE", 17) == 0 ||
                          strncmp(at, "BEGIN ENCRYPTED PRIVATE KEY", 27) == 0);
                keys += strncmp(at, "BEGIN ENCRYPTED", 15) == 0;
        }
        ck_assert_int_eq(keys, 3);
}
END_TEST

START_TEST(a_plain_key_without_a_passphrase_is_refused) {
        CAD_AUTO(buffer_done) struct buffer all = { 0 };
        struct error err = { 0 };

        scratch_ca(&from, NULL);
        ck_refused(bundle_export(from.fd, BYTES_NONE, stream, &err), err, ERR_KEY_PASSPHRASE);
        read_stream(&all);
        ck_assert_ptr_null(all.size ? memmem(all.data, all.size, "KEY", 3) : NULL);
}
END_TEST

START_TEST(a_key_that_only_says_that_it_is_encrypted_is_encrypted) {
        static const char *const before[] = {
                "ENCRYPTED\n",
                "# -----BEGIN ENCRYPTED PRIVATE KEY\n",
        };
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(buffer_done) struct buffer all = { 0 };
        struct error err = { 0 };

        scratch_ca(&from, NULL);
        buffer_text(&pem, before[_i]);
        copy_file(&from, "ca/int-1.key", &pem);
        scratch_write(&from, "ca/int-1.key", buffer_string(&pem), 0600);
        if (bundle_export(from.fd, PASS, stream, &err) < 0)
                ck_assert_int_eq(err.code,
                                 ERR_KEY_INVALID); /* it is no key to GnuTLS: nothing left */
        read_stream(&all);
        ck_assert_ptr_null(memmem(all.data, all.size, "BEGIN PRIVATE KEY", 17));
}
END_TEST

START_TEST(a_plain_key_under_the_label_of_an_encrypted_one_does_not_leave) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
        CAD_AUTO(buffer_wipe) struct buffer wrong = { 0 };
        CAD_AUTO(buffer_done) struct buffer all = { 0 };
        struct error err = { 0 };
        char label[PEM_LABEL_MAX], line[33];
        struct bytes text;

        scratch_ca(&from, NULL);
        copy_file(&from, "ca/int-1.key", &pem);
        text = buffer_bytes(&pem);
        ck_assert_int_eq(pem_next(&text, label, &der, &err), 1);
        pem_append(&wrong, "ENCRYPTED PRIVATE KEY", buffer_bytes(&der));
        scratch_write(&from, "ca/int-1.key", buffer_string(&wrong), 0600);
        (void) bundle_export(from.fd, PASS, stream, &err);
        read_stream(&all);
        (void) snprintf(line, sizeof(line), "%.32s", strchr(buffer_string(&wrong), '\n') + 1);
        /* where it was refused at once, there is nothing; else it is what GnuTLS itself takes for encrypted */
        if (all.size && memmem(all.data, all.size, line, 32))
                ck_abort_msg("a plain key left");
}
END_TEST

START_TEST(what_stands_behind_an_encrypted_key_stays) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(buffer_done) struct buffer all = { 0 };

        scratch_ca(&to, NULL);
        scratch_ca(&from, with_own_pass);
        copy_file(&from, "ca/int-1.key", &pem);
        copy_file(&to, "ca/int-1.key", &pem);
        scratch_write(&from, "ca/int-1.key", buffer_string(&pem), 0600);
        export_all(BYTES_NONE);
        read_stream(&all);
        ck_assert_ptr_null(memmem(all.data, all.size, "BEGIN PRIVATE KEY", 17));
}
END_TEST

START_TEST(a_key_in_a_file_that_is_none_of_a_key_is_refused) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        struct error err = { 0 };

        scratch_ca(&from, NULL);
        copy_file(&from, "ca/int-1.crt", &pem);
        copy_file(&from, "ca/int-1.key", &pem);
        scratch_write(&from, "ca/int-1.crt", buffer_string(&pem), 0600);
        ck_refused(bundle_export(from.fd, PASS, stream, &err), err, ERR_FILE_UNSAFE);
}
END_TEST

/* An intermediate may be made meanwhile: what ca.conf names has to be there, and nothing that it names changes or goes away. */
START_TEST(what_is_in_the_ca_is_written_down_before_its_files) {
        CAD_AUTO(buffer_done) struct buffer all = { 0 };
        const char *conf, *first;

        scratch_ca(&from, NULL);
        /* what is newest is listed first on a tmpfs, and anywhere elsewhere */
        ck_assert_int_eq(renameat(from.fd, "ca/int-1.crt", from.fd, "ca/moved"), 0);
        ck_assert_int_eq(renameat(from.fd, "ca/moved", from.fd, "ca/int-1.crt"), 0);
        export_all(PASS);
        read_stream(&all);
        conf = memmem(all.data, all.size, "ca/ca.conf", 10);
        first = memmem(all.data, all.size, "signer/", 7);
        ck_assert(conf && conf == first + 7);
        ck_assert_ptr_null(memmem(conf + 10, all.size - (size_t) (conf + 10 - (char *) all.data),
                                  "ca/ca.conf", 10));
}
END_TEST

START_TEST(what_is_not_the_signers_stays) {
        CAD_AUTO(buffer_done) struct buffer all = { 0 };

        scratch_ca(&from, NULL);
        scratch_write(&from, "passphrase", "hunter2", 0600);
        scratch_write(&from, "ca/old-key.pem", "hunter2", 0600);
        scratch_write(&from, "ca/root.key.bak", "hunter2", 0600);
        scratch_write(&from, "log", "hunter2", 0600);
        ck_assert_int_eq(symlinkat("/etc/passwd", from.fd, "notes"), 0);
        export_all(PASS);
        read_stream(&all);
        ck_assert_ptr_null(memmem(all.data, all.size, "hunter2", 7));
        ck_assert_ptr_null(memmem(all.data, all.size, "root:", 5));
}
END_TEST

START_TEST(a_link_in_the_place_of_a_file_is_refused) {
        struct error err = { 0 };

        scratch_ca(&from, NULL);
        ck_assert_int_eq(unlinkat(from.fd, "ca/int-2.crt", 0), 0);
        ck_assert_int_eq(symlinkat("/etc/passwd", from.fd, "ca/int-2.crt"), 0);
        ck_refused(bundle_export(from.fd, PASS, stream, &err), err, ERR_FILE_UNSAFE);
}
END_TEST

START_TEST(where_there_is_no_ca_there_is_nothing_to_export) {
        struct error err = { 0 };

        ck_refused(bundle_export(from.fd, PASS, stream, &err), err, ERR_CA_MISSING);
}
END_TEST

/* ---- and in again ---- */

START_TEST(keys_are_plain_again_where_they_were_plain) {
        struct error err = { 0 };

        scratch_ca(&from, NULL);
        scratch_write(&from, "mark", "made-up mark\n", 0600);
        export_all(PASS);
        ck_ok(bundle_import(to.fd, PASS, stream, &err), err);
        ck_assert(key_is_plain(&to, "ca/root.key") && key_is_plain(&to, "ca/int-1.key"));
        ck_assert(same_file("ca/root.crt") && same_file("ca/ca.conf") && same_file("mark"));
        ck_assert(!scratch_has(&to, "ca.import"));
        ca_free(scratch_load(&to));
}
END_TEST

START_TEST(keys_are_encrypted_as_they_were_where_they_were_encrypted) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct error err = { 0 };

        scratch_ca(&from, with_own_pass);
        export_all(_i ? PASS : BYTES_NONE); /* a passphrase that is not needed changes nothing */
        ck_ok(bundle_import(to.fd, OWN_PASS, stream, &err), err);
        ck_assert(same_file("ca/root.key") && same_file("ca/int-1.key") &&
                  same_file("ca/int-2.key"));
        ck_ok(ca_load(to.fd, OWN_PASS, &ca, &err), err);
}
END_TEST

START_TEST(of_two_kinds_of_keys_each_comes_back_as_it_was) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(buffer_wipe) struct buffer encrypted = { 0 };
        struct error err = { 0 };

        scratch_ca(&from, NULL);
        copy_file(&from, "ca/root.key", &pem);
        ck_ok(private_key_from_pem(buffer_bytes(&pem), BYTES_NONE, &key, &err), err);
        ck_ok(private_key_to_pem(key, OWN_PASS, &encrypted, &err), err);
        scratch_write(&from, "ca/root.key", buffer_string(&encrypted), 0600);
        export_all(PASS);
        ck_ok(bundle_import(to.fd, PASS, stream, &err), err);
        ck_assert(!key_is_plain(&to, "ca/root.key") && same_file("ca/root.key"));
        ck_assert(key_is_plain(&to, "ca/int-1.key"));
}
END_TEST

START_TEST(a_wrong_passphrase_puts_nothing_in_place) {
        struct error err = { 0 };

        scratch_ca(&from, _i % 2 ? with_own_pass : NULL);
        export_all(PASS);
        ck_refused(bundle_import(to.fd, _i / 2 ? BYTES_NONE : BYTES_LITERAL("wrong"), stream, &err),
                   err, ERR_KEY_PASSPHRASE);
        ck_assert(!scratch_has(&to, "ca") && !scratch_has(&to, "ca.import"));
        rewind_stream();
        ck_ok(bundle_import(to.fd, _i % 2 ? OWN_PASS : PASS, stream, &err), err);
}
END_TEST

START_TEST(nothing_is_put_over_a_ca) {
        struct error err = { 0 };

        scratch_ca(&from, NULL);
        scratch_ca(&to, NULL);
        export_all(PASS);
        ck_refused(bundle_import(to.fd, PASS, stream, &err), err, ERR_CA_EXISTS);
        ck_assert(!same_file("ca/root.crt"));
}
END_TEST

START_TEST(a_mark_that_is_there_is_later_than_the_one_that_comes) {
        CAD_AUTO(buffer_done) struct buffer mark = { 0 };
        struct error err = { 0 };

        scratch_ca(&from, NULL);
        scratch_write(&from, "mark", "older\n", 0600);
        scratch_write(&to, "mark", "later\n", 0600);
        export_all(PASS);
        ck_ok(bundle_import(to.fd, PASS, stream, &err), err);
        copy_file(&to, "mark", &mark);
        ck_assert_str_eq(buffer_string(&mark), "later\n");
}
END_TEST

START_TEST(what_a_killed_import_left_is_removed) {
        struct error err = { 0 };

        ck_assert_int_eq(mkdirat(to.fd, "ca.import", 0700), 0);
        ck_assert_int_eq(mkdirat(to.fd, "ca.import/ca", 0700), 0);
        scratch_write(&to, "ca.import/ca/root.key", "half", 0600);
        scratch_write(&to, "ca.import/mark.tmp", "half", 0600);
        scratch_ca(&from, NULL);
        export_all(PASS);
        ck_ok(bundle_import(to.fd, PASS, stream, &err), err);
        ck_assert(!scratch_has(&to, "ca.import"));
        ca_free(scratch_load(&to));
}
END_TEST

/* As a hostile backup would: each file that is written is one of ours, below the import's own folder. */
static const char *const bad_names[] = {
        "signer/log",
        "signer/lock",
        "signer/../cad.db",
        "signer/ca/../../x.key",
        "signer/ca/.key",
        "signer/ca/root.KEY",
        "signer/ca/root.key.tmp",
        "signer/ca/ca.conf/x",
        "signer//ca/root.key",
        "signer/",
        "signer/ca/",
        "signer/signer.conf",
        "signer/profiles.d/server.conf",
        "/etc/passwd",
        "ca/root.crt",
        "signer/ca/an-id-that-is-too-long-for-an-issuer.key",
        "signer/ca/root.key-was-plain-was-plain",
        "signer/mark\n",
};

static void put_raw(const char *name, const char *content) {

        ck_assert_int_eq(bundle_put(stream, name, bytes_of(content)), 0);
}

START_TEST(names_that_are_none_of_ours_are_refused) {
        struct error err = { 0 };

        ck_assert(!bundle_name_good(bad_names[_i]));
        put_raw(bad_names[_i], "x");
        put_raw("", "");
        rewind_stream();
        ck_refused(bundle_import(to.fd, PASS, stream, &err), err, ERR_MESSAGE_MALFORMED);
        ck_assert(!scratch_has(&to, "ca") && !scratch_has(&to, "ca.import") &&
                  !scratch_has(&to, "log"));
}
END_TEST

START_TEST(half_a_ca_is_none) {
        struct error err = { 0 };

        put_raw("signer/ca/ca.conf",
                "[CA]\nName=x\nPublicUrl=http://x.lan\nIntermediates=int-1\nActive=int-1\n");
        put_raw("", "");
        rewind_stream();
        ck_refused(bundle_import(to.fd, PASS, stream, &err), err, ERR_CA_INCOMPLETE);
        ck_assert(!scratch_has(&to, "ca") && !scratch_has(&to, "ca.import"));
}
END_TEST

START_TEST(every_beginning_of_a_stream_is_refused) {
        CAD_AUTO(buffer_done) struct buffer all = { 0 };

        scratch_ca(&from, with_own_pass); /* nothing is decrypted but at the end: fast */
        export_all(BYTES_NONE);
        read_stream(&all);
        for (size_t size = 0; size < all.size; size += size < 100 || size + 3 > all.size ? 1 : 97) {
                CAD_AUTO(fd_close) int cut = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
                struct error err = { 0 };

                ck_assert_int_eq(fd_write_all(cut, BYTES(all.data, size)), 0);
                ck_assert_int_eq(lseek(cut, 0, SEEK_SET), 0);
                ck_refused(bundle_import(to.fd, OWN_PASS, cut, &err), err, ERR_MESSAGE_MALFORMED);
                ck_assert(!scratch_has(&to, "ca") && !scratch_has(&to, "ca.import"));
        }
}
END_TEST

START_TEST(a_file_that_says_it_is_too_large_is_refused_before_room_is_made) {
        static const char head[] = "\x0bsigner/mark\xff\xff\xff\xff";
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        char name[BUNDLE_NAME_MAX];
        struct error err = { 0 };

        ck_assert_int_eq(fd_write_all(stream, BYTES(head, sizeof(head) - 1)), 0);
        rewind_stream();
        ck_refused(bundle_get(stream, name, &content, &err), err, ERR_MESSAGE_MALFORMED);
        ck_assert_uint_eq(content.size, 0);
}
END_TEST

START_TEST(what_is_put_is_what_is_got) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        char name[BUNDLE_NAME_MAX];
        struct error err = { 0 };

        put_raw("signer/mark", "a mark");
        put_raw("signer/anchors", "");
        put_raw("", "");
        rewind_stream();
        ck_assert_int_eq(bundle_get(stream, name, &content, &err), 1);
        ck_assert_str_eq(name, "signer/mark");
        ck_assert_str_eq(buffer_string(&content), "a mark");
        ck_assert_int_eq(bundle_get(stream, name, &content, &err), 1);
        ck_assert_str_eq(name, "signer/anchors");
        ck_assert_int_eq(bundle_get(stream, name, &content, &err), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("bundle");
        TCase *tc = tcase_create("bundle");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 120); /* 600 000 rounds a key */
        tcase_add_loop_test(tc, no_plain_key_leaves, 0, 2);
        tcase_add_test(tc, a_plain_key_without_a_passphrase_is_refused);
        tcase_add_loop_test(tc, a_key_that_only_says_that_it_is_encrypted_is_encrypted, 0, 2);
        tcase_add_test(tc, a_plain_key_under_the_label_of_an_encrypted_one_does_not_leave);
        tcase_add_test(tc, what_stands_behind_an_encrypted_key_stays);
        tcase_add_test(tc, a_key_in_a_file_that_is_none_of_a_key_is_refused);
        tcase_add_test(tc, what_is_in_the_ca_is_written_down_before_its_files);
        tcase_add_test(tc, what_is_not_the_signers_stays);
        tcase_add_test(tc, a_link_in_the_place_of_a_file_is_refused);
        tcase_add_test(tc, where_there_is_no_ca_there_is_nothing_to_export);
        tcase_add_test(tc, keys_are_plain_again_where_they_were_plain);
        tcase_add_loop_test(tc, keys_are_encrypted_as_they_were_where_they_were_encrypted, 0, 2);
        tcase_add_test(tc, of_two_kinds_of_keys_each_comes_back_as_it_was);
        tcase_add_loop_test(tc, a_wrong_passphrase_puts_nothing_in_place, 0, 4);
        tcase_add_test(tc, nothing_is_put_over_a_ca);
        tcase_add_test(tc, a_mark_that_is_there_is_later_than_the_one_that_comes);
        tcase_add_test(tc, what_a_killed_import_left_is_removed);
        tcase_add_loop_test(tc, names_that_are_none_of_ours_are_refused, 0, ARRAY_SIZE(bad_names));
        tcase_add_test(tc, half_a_ca_is_none);
        tcase_add_test(tc, every_beginning_of_a_stream_is_refused);
        tcase_add_test(tc, a_file_that_says_it_is_too_large_is_refused_before_room_is_made);
        tcase_add_test(tc, what_is_put_is_what_is_got);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
