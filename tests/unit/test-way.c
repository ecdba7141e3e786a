/*
 * Ways: where a path leads, and who may have a say in it.
 */
#include "folder-fixture.h"

#include "client/deploy/way.h"
#include "lib/base/macros.h"

#define ANNA 1234
#define BERTA 4321

static void link_of(uid_t owner, const char *target, const char *name) {
        ck_assert_int_eq(symlinkat(target, folder_fd, name), 0);
        if (geteuid() == 0)
                ck_assert_int_eq(fchownat(folder_fd, name, owner, owner, AT_SYMLINK_NOFOLLOW), 0);
}

static void folder_of(uid_t owner, const char *name) {
        ck_assert_int_eq(mkdirat(folder_fd, name, 0755), 0);
        if (geteuid() == 0)
                ck_assert_int_eq(fchownat(folder_fd, name, owner, owner, 0), 0);
}

static void set_up(void) {
        folder_setup();
        folder_of(geteuid(), "root");
        folder_of(geteuid(), "root/in");
        folder_of(ANNA, "anna");
        folder_of(BERTA, "berta");
        folder_of(geteuid(), "open");
        ck_assert_int_eq(fchmodat(folder_fd, "open", 0777, 0), 0);
        folder_write("file", BYTES_LITERAL("x"), 0644);
        link_of(geteuid(), "root", "to-root");
        link_of(geteuid(), "loop", "loop");
        link_of(geteuid(), "file", "to-file");
        link_of(geteuid(), "nowhere", "to-nowhere");
        link_of(ANNA, "anna", "annas-to-anna");
        link_of(ANNA, "root/in", "annas-to-root");
        link_of(ANNA, "/", "annas-to-the-top");
        link_of(ANNA, "to-root", "annas-by-ours");
        link_of(ANNA, "bertas-to-berta", "annas-by-bertas");
        link_of(BERTA, "berta", "bertas-to-berta");
}

static const struct {
        const char *why, *path;
        enum error_code code; /* ERR_NONE: it leads to @same */
        const char *same;
        bool make, owners; /* @owners: only root can set the scene */
} rows[] = {
        { "a folder", "root/in", ERR_NONE, "root/in", false, false },
        { "with more slashes and dots", "root//./in/", ERR_NONE, "root/in", false, false },
        { "upwards", "root/in/../../root", ERR_NONE, "root", false, false },
        { "by a link of ours", "to-root/in", ERR_NONE, "root/in", false, false },
        { "upwards behind a link, as the kernel has it", "to-root/in/..", ERR_NONE, "root", false,
          false },
        { "what is not there", "root/none", ERR_NOT_FOUND, NULL, false, false },
        { "what is not there is made", "root/a/b", ERR_NONE, "root/a/b", true, false },
        { "behind a link that leads nowhere it is made there", "to-nowhere/a", ERR_NONE,
          "nowhere/a", true, false },
        { "a file", "file", ERR_FILE_UNSAFE, NULL, true, false },
        { "a link to a file", "to-file/x", ERR_FILE_UNSAFE, NULL, true, false },
        { "a ring of links", "loop/x", ERR_FILE_UNSAFE, NULL, true, false },
        { "a folder that everybody writes to", "open", ERR_FILE_UNSAFE, NULL, false, false },
        { "by somebody's link to what is his", "annas-to-anna", ERR_NONE, "anna", false, true },
        { "by somebody's link to what is ours", "annas-to-root", ERR_FILE_UNSAFE, NULL, false,
          true },
        { "there nothing is made", "annas-to-root/x/y", ERR_FILE_UNSAFE, NULL, true, true },
        { "by somebody's link to the top", "annas-to-the-top", ERR_FILE_UNSAFE, NULL, false, true },
        { "by somebody's link to a link of ours", "annas-by-ours/in", ERR_FILE_UNSAFE, NULL, false,
          true },
        { "by somebody's link to somebody else's", "annas-by-bertas", ERR_FILE_UNSAFE, NULL, false,
          true },
};

START_TEST(a_path_leads_there_or_is_refused) {
        char path[128], same[128];
        struct stat found, wanted;
        struct error err = { 0 };
        int fd;

        if (rows[_i].owners && geteuid() != 0)
                return;
        fd = way_open(folder_join(rows[_i].path, path), rows[_i].make, &err);
        if (rows[_i].code) {
                ck_assert_msg(fd == -1 && err.code == rows[_i].code, "%s: %d %s", rows[_i].why, fd,
                              err.text);
                ck_assert(!folder_has("root/in/x"));
                return;
        }
        ck_assert_msg(fd >= 0, "%s: %s", rows[_i].why, err.text);
        ck_assert_int_eq(fstat(fd, &found), 0);
        ck_assert_int_eq(stat(folder_join(rows[_i].same, same), &wanted), 0);
        ck_assert_msg(found.st_ino == wanted.st_ino && found.st_dev == wanted.st_dev, "%s",
                      rows[_i].why);
        (void) close(fd);
}
END_TEST

START_TEST(what_is_longer_than_any_path_is_refused) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        struct error err;

        while (path.size < 5000)
                buffer_text(&path, "/a");
        ck_refused(way_open(buffer_string(&path), true, &err), err, ERR_FILE_UNSAFE);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("way");
        TCase *tc = tcase_create("way");

        tcase_add_checked_fixture(tc, set_up, folder_teardown);
        tcase_add_loop_test(tc, a_path_leads_there_or_is_refused, 0, ARRAY_SIZE(rows));
        tcase_add_test(tc, what_is_longer_than_any_path_is_refused);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
