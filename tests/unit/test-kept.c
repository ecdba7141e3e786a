/*
 * What a device keeps: sets that change as a whole, whatever stands half done beside them.
 */
#include "folder-fixture.h"

#include <errno.h>
#include <sys/stat.h>

#include "client/enroll/kept.h"
#include "lib/base/macros.h"
#include "lib/base/text.h"

static const struct kept_set one = { BYTES_LITERAL("key1"),  BYTES_LITERAL("cert1"),
                                     BYTES_LITERAL("int1"),  BYTES_LITERAL("cert1int1"),
                                     BYTES_LITERAL("root1"), BYTES_LITERAL("conf1") };
static const struct kept_set two = { BYTES_LITERAL("key2"),  BYTES_LITERAL("cert2"),
                                     BYTES_LITERAL("int2"),  BYTES_LITERAL("cert2int2"),
                                     BYTES_LITERAL("root2"), BYTES_LITERAL("conf2") };

static const char *text_of(const char *path, struct buffer *out) {
        struct error err = { 0 };

        out->size = 0;
        return file_read(folder_fd, path, FILE_PUBLIC, 1000, out, &err) < 0 ? "(none)"
                                                                            : buffer_string(out);
}

static void check_is(const char *digit) {
        static const char *const files[][2] = { { "a.lan/key.pem", "key" },
                                                { "a.lan/cert.pem", "cert" },
                                                { "a.lan/chain.pem", "int" },
                                                { "a.lan/root.pem", "root" },
                                                { "a.lan/enrolled.conf", "conf" } };
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                char wanted[16];

                (void) snprintf(wanted, sizeof(wanted), "%s%s", files[i][1], digit);
                ck_assert_str_eq(text_of(files[i][0], &text), wanted);
        }
}

static void put(const struct kept_set *set) {
        struct error err = { 0 };

        ck_ok(kept_replace(folder_fd, "a.lan", set, &err), err);
}

START_TEST(a_set_takes_the_place_of_another) {
        struct stat st;

        put(&one);
        check_is("1");
        put(&two);
        check_is("2");
        ck_assert_int_eq(fstatat(folder_fd, "a.lan/key.pem", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);
        ck_assert(!folder_has(".a.lan.new") && !folder_has(".a.lan.old"));
}
END_TEST

START_TEST(modes_stay_but_a_key_is_never_for_others) {
        struct stat st;

        put(&one);
        ck_assert_int_eq(fchmodat(folder_fd, "a.lan/key.pem", 0666, 0), 0);
        ck_assert_int_eq(fchmodat(folder_fd, "a.lan/cert.pem", 0640, 0), 0);
        ck_assert_int_eq(fchmodat(folder_fd, "a.lan", 0750, 0), 0);
        put(&two);
        ck_assert_int_eq(fstatat(folder_fd, "a.lan/key.pem", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0640);
        ck_assert_int_eq(fstatat(folder_fd, "a.lan/cert.pem", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0640);
        ck_assert_int_eq(fstatat(folder_fd, "a.lan", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0750);
}
END_TEST

/* What may be there when somebody was killed. */
static const struct {
        const char *why;
        const char *folders[2];
        const char *files[3];
        const char *is; /* which set is there after it */
} leftovers[] = {
        { "a new set that was begun",
          { ".a.lan.new" },
          { ".a.lan.new/key.pem", ".a.lan.new/cert.pem.tmp" },
          "1" },
        { "the old one after the change",
          { ".a.lan.new" },
          { ".a.lan.new/key.pem", ".a.lan.new/enrolled.conf" },
          "1" },
        { "the old one of a file system without exchange",
          { ".a.lan.old" },
          { ".a.lan.old/key.pem" },
          "1" },
        { "both",
          { ".a.lan.new", ".a.lan.old" },
          { ".a.lan.new/key.pem", ".a.lan.old/key.pem" },
          "1" },
        { "an enrolment that never got its pending.conf",
          { ".a.lan.pending" },
          { ".a.lan.pending/key.pem", ".a.lan.pending/csr.pem" },
          "1" },
        { "a mark that was half written", { NULL }, { ".a.lan.changed.tmp" }, "1" },
};

START_TEST(what_is_half_done_is_cleared_up) {
        struct error err = { 0 };

        put(&one);
        for (size_t i = 0; i < 2 && leftovers[_i].folders[i]; i++)
                ck_assert_int_eq(mkdirat(folder_fd, leftovers[_i].folders[i], 0700), 0);
        for (size_t i = 0; i < 3 && leftovers[_i].files[i]; i++)
                folder_write(leftovers[_i].files[i], BYTES_LITERAL("x"), 0600);
        ck_ok(kept_recover(folder_fd, "a.lan", &err), err);
        check_is(leftovers[_i].is);
        for (size_t i = 0; i < 2 && leftovers[_i].folders[i]; i++)
                ck_assert_msg(!folder_has(leftovers[_i].folders[i]), "%s", leftovers[_i].why);
        ck_assert(!folder_has(".a.lan.changed.tmp"));
}
END_TEST

START_TEST(between_the_two_steps_the_old_set_comes_back) {
        struct error err = { 0 };

        put(&one);
        ck_assert_int_eq(renameat(folder_fd, "a.lan", folder_fd, ".a.lan.old"), 0);
        ck_assert_int_eq(mkdirat(folder_fd, ".a.lan.new", 0700), 0);
        folder_write(".a.lan.new/key.pem", BYTES_LITERAL("key2"), 0600);
        ck_ok(kept_recover(folder_fd, "a.lan", &err), err);
        check_is("1");
        ck_assert(!folder_has(".a.lan.new") && !folder_has(".a.lan.old"));
}
END_TEST

START_TEST(what_is_not_ours_is_never_removed) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        put(&one);
        folder_write("a.lan/dhparams.pem", BYTES_LITERAL("mine"), 0600);
        put(&two);
        put(&one);
        ck_assert_str_eq(text_of("a.lan/dhparams.pem", &text), "mine");
        check_is("1");
}
END_TEST

START_TEST(one_that_is_no_folder_is_not_replaced) {
        struct error err = { 0 };

        folder_write("a.lan", BYTES_LITERAL("a file"), 0600);
        ck_assert_int_eq(kept_folder(folder_fd, "a.lan", &err), -1);
        ck_assert_int_eq(unlinkat(folder_fd, "a.lan", 0), 0);
        ck_assert_int_eq(symlinkat("/tmp", folder_fd, "a.lan"), 0);
        ck_assert_int_eq(kept_folder(folder_fd, "a.lan", &err), -1);
}
END_TEST

/* ---- what was asked for ---- */

static void fill(struct kept_pending *p) {
        struct error err = { 0 };

        p->what.url = strdup("https://ca.lan:8443");
        p->what.profile = strdup("device");
        p->what.label = strdup("cellar; #1 = attic");
        p->what.rekey_at_renewal = true;
        ck_ok(san_list_add_text(&p->what.names, "nas.lan", &err), err);
        ck_ok(san_list_add_text(&p->what.names, "fd00::5", &err), err);
        buffer_text(&p->key, "key");
        buffer_text(&p->csr, "csr");
        buffer_text(&p->root, "root");
}

START_TEST(what_was_asked_for_comes_back_as_it_was) {
        CAD_AUTO(kept_pending_done) struct kept_pending p = { .key = { 0 } };
        CAD_AUTO(kept_pending_done) struct kept_pending back = { .key = { 0 } };
        struct error err = { 0 };

        fill(&p);
        ck_ok(kept_pending_write(folder_fd, "nas.lan", &p, &err), err);
        p.what.request = strdup("00112233445566778899aabbccddeeff");
        ck_ok(kept_pending_set(folder_fd, "nas.lan", &p.what, &err), err);
        ck_ok(kept_pending_read(folder_fd, "nas.lan", &back, &err), err);
        ck_assert_str_eq(back.what.url, p.what.url);
        ck_assert_str_eq(back.what.label, p.what.label);
        ck_assert_str_eq(back.what.request, p.what.request);
        ck_assert_ptr_null(back.what.validity);
        ck_assert(back.what.rekey_at_renewal);
        ck_assert(san_list_equal(&back.what.names, &p.what.names));
        ck_assert_str_eq(buffer_string(&back.key), "key");
        ck_ok(kept_pending_drop(folder_fd, "nas.lan", &err), err);
        ck_ok(kept_pending_drop(folder_fd, "nas.lan", &err), err);
        ck_refused(kept_pending_read(folder_fd, "nas.lan", &back, &err), err, ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_name_that_no_line_holds_is_left_to_the_certificate) {
        CAD_AUTO(enrolment_done) struct enrolment e = { .url = NULL }, back = { .url = NULL };
        CAD_AUTO(buffer_done) struct buffer name = { 0 };
        struct error err = { 0 };

        for (int i = 0; i < 4; i++)
                buffer_text(&name, "a23456789012345678901234567890123456789012345678901234567890.");
        buffer_text(&name, "lan");
        e.url = strdup("https://ca.lan");
        ck_ok(san_list_add_text(&e.names, buffer_string(&name), &err), err);
        ck_ok(san_list_add_text(&e.names, "nas.lan", &err), err);
        ck_ok(enrolment_copy(&e, &back, &err), err);
        ck_assert_uint_eq(back.names.count, 1);
}
END_TEST

static const struct {
        const char *name, *folder;
} names[] = {
        { "nas.lan", "nas.lan" },
        { "*.nas.lan", "_wildcard.nas.lan" },
        { "a@home.lan", "a_at_home.lan" },
        { "fd00::5", "fd00__5" },
        { "../../etc/passwd", "_.______etc_passwd" },
        { ".hidden", "_hidden" },
        { "-rf", "_rf" },
        { "https://nas.lan/x", "https___nas.lan_x" },
};

START_TEST(no_name_leaves_the_folder) {
        char folder[KEPT_NAME_MAX];

        kept_name(names[_i].name, folder);
        ck_assert(!strchr(folder, '/') && folder[0] != '.' && folder[0] != '-');
        ck_assert_int_eq(kept_name_check(folder), 0);
        if (names[_i].name[0] != '.' || names[_i].name[1] != '.')
                ck_assert_str_eq(folder, names[_i].folder);
}
END_TEST

static void note(const char *name, void *context) {
        buffer_format(context, "%s ", name);
}

START_TEST(each_is_found_once_and_in_order) {
        CAD_AUTO(buffer_done) struct buffer seen = { 0 };
        static const char *const folders[] = { "b.lan",          "a.lan",      ".a.lan.pending",
                                               ".c.lan.pending", ".d.lan.old", ".e.lan.new" };
        struct error err = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
                ck_assert_int_eq(mkdirat(folder_fd, folders[i], 0700), 0);
        folder_write("file", BYTES_LITERAL(""), 0600);
        folder_write(".x.lan.lock", BYTES_LITERAL(""), 0600);
        ck_ok(kept_each(folder_fd, note, &seen, &err), err);
        ck_assert_str_eq(buffer_string(&seen), "a.lan b.lan c.lan d.lan ");
}
END_TEST

START_TEST(one_works_on_it_at_a_time) {
        struct error err = { 0 };
        int first = kept_lock(folder_fd, "a.lan", &err);

        ck_assert_int_ge(first, 0);
        ck_refused(kept_lock(folder_fd, "a.lan", &err), err, ERR_BUSY);
        (void) fd_close(kept_lock(folder_fd, "b.lan", &err));
        (void) fd_close(first);
        first = kept_lock(folder_fd, "a.lan", &err);
        ck_assert_int_ge(first, 0);
        (void) fd_close(first);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("kept");
        TCase *tc = tcase_create("kept");

        tcase_add_checked_fixture(tc, folder_setup, folder_teardown);
        tcase_add_test(tc, a_set_takes_the_place_of_another);
        tcase_add_test(tc, modes_stay_but_a_key_is_never_for_others);
        tcase_add_loop_test(tc, what_is_half_done_is_cleared_up, 0, ARRAY_SIZE(leftovers));
        tcase_add_test(tc, between_the_two_steps_the_old_set_comes_back);
        tcase_add_test(tc, what_is_not_ours_is_never_removed);
        tcase_add_test(tc, one_that_is_no_folder_is_not_replaced);
        tcase_add_test(tc, what_was_asked_for_comes_back_as_it_was);
        tcase_add_test(tc, a_name_that_no_line_holds_is_left_to_the_certificate);
        tcase_add_loop_test(tc, no_name_leaves_the_folder, 0, ARRAY_SIZE(names));
        tcase_add_test(tc, each_is_found_once_and_in_order);
        tcase_add_test(tc, one_works_on_it_at_a_time);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
