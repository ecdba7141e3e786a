/*
 * Listening on a path: in place of a socket that nobody listens on any more, and of nothing else.
 */
#include "folder-fixture.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/listen.h"

static struct sockaddr_un address_of(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path) + 1);
        return address;
}

/* A listener of @type on the path, or only its file where @listening is not. Return: the descriptor */
static int other_socket(const char *path, int type, bool listening) {
        struct sockaddr_un address = address_of(path);
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        if (listening)
                ck_assert_int_eq(listen(fd, 0), 0);
        return fd;
}

static int dial(const char *path) {
        struct sockaddr_un address = address_of(path);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
                return fd;
        return fd_close(fd);
}

static void check_listens(int fd, const char *path) {
        CAD_AUTO(fd_close) int client = dial(path);
        CAD_AUTO(fd_close) int server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

        ck_assert_int_ge(client, 0);
        ck_assert_int_ge(server, 0);
}

START_TEST(a_socket_is_made_for_owner_and_group_whatever_the_umask) {
        static const mode_t masks[] = { 0, 022, 077, 0777 };
        CAD_AUTO(fd_close) int fd = -1;
        char path[128];
        struct error err = { 0 };
        struct stat st;

        (void) umask(masks[_i]);
        fd = listen_unix(folder_join("s", path), &err);
        ck_assert_msg(fd >= 0, "%s", err.text);
        ck_assert_uint_eq(umask(022), masks[_i]); /* as it was */
        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert(S_ISSOCK(st.st_mode));
        ck_assert_uint_eq(st.st_mode & 07777, 0660);
        ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        check_listens(fd, path);
        ck_assert_int_eq(accept(fd, NULL, NULL), -1);
        ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(a_socket_that_was_left_behind_is_replaced) {
        CAD_AUTO(fd_close) int fd = -1;
        char path[128];
        struct error err = { 0 };

        (void) fd_close(
                other_socket(folder_join("s", path), _i ? SOCK_SEQPACKET : SOCK_STREAM, true));
        ck_assert(folder_has("s"));
        fd = listen_unix(path, &err);
        ck_assert_msg(fd >= 0, "%s", err.text);
        check_listens(fd, path);
}
END_TEST

static const struct {
        const char *why;
        int type;
} listeners[] = {
        { "another cad", SOCK_STREAM },
        { "somebody who speaks in packets", SOCK_SEQPACKET },
        { "somebody who takes datagrams, and never listens", SOCK_DGRAM },
};

START_TEST(the_socket_of_somebody_who_is_there_stays) {
        CAD_AUTO(fd_close) int other = -1;
        char path[128];
        struct error err;
        struct stat before, after;

        other = other_socket(folder_join("s", path), listeners[_i].type,
                             listeners[_i].type != SOCK_DGRAM);
        ck_assert_int_eq(lstat(path, &before), 0);
        ck_refused(listen_unix(path, &err), err, ERR_BUSY);
        ck_assert_msg(strstr(err.text, path) != NULL, "%s: %s", listeners[_i].why, err.text);
        ck_assert_int_eq(lstat(path, &after), 0);
        ck_assert_uint_eq(before.st_ino, after.st_ino);
}
END_TEST

START_TEST(somebody_whose_queue_is_full_is_there_too) {
        CAD_AUTO(fd_close) int other = -1;
        int clients[8];
        char path[128];
        struct error err;

        other = other_socket(folder_join("s", path), SOCK_STREAM, true);
        for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
                clients[i] = dial(path);
        ck_assert_int_eq(clients[7], -1);
        ck_refused(listen_unix(path, &err), err, ERR_BUSY);
        ck_assert(folder_has("s"));
        for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
                (void) fd_close(clients[i]);
}
END_TEST

static void a_file(const char *name) {
        folder_write(name, BYTES_LITERAL("precious"), 0600);
}
static void a_folder(const char *name) {
        ck_assert_int_eq(mkdirat(folder_fd, name, 0700), 0);
}
static void a_fifo(const char *name) {
        ck_assert_int_eq(mkfifoat(folder_fd, name, 0600), 0);
}
static void a_link(const char *name) {
        ck_assert_int_eq(symlinkat("nowhere", folder_fd, name), 0);
}

static void a_link_to_a_stale_socket(const char *name) {
        char path[128];

        (void) fd_close(other_socket(folder_join("real", path), SOCK_STREAM, true));
        ck_assert_int_eq(symlinkat("real", folder_fd, name), 0);
}

static const struct {
        const char *why;
        void (*make)(const char *name);
} others[] = {
        { "a file", a_file },
        { "a folder", a_folder },
        { "a FIFO", a_fifo },
        { "a dangling link", a_link },
        { "a link, even to a stale socket", a_link_to_a_stale_socket },
};

START_TEST(what_is_no_socket_is_not_removed) {
        char path[128];
        struct error err;

        others[_i].make("s");
        ck_refused(listen_unix(folder_join("s", path), &err), err, ERR_FILE_UNSAFE);
        ck_assert_msg(folder_has("s"), "%s", others[_i].why);
}
END_TEST

START_TEST(a_path_has_its_length) {
        char path[128];
        struct error err = { 0 };

        for (size_t length = 104; length < 112; length++) {
                size_t used = (size_t) snprintf(path, sizeof(path), "%s/", folder_path);
                int fd;

                memset(path + used, 'x', length - used);
                path[length] = '\0';
                fd = listen_unix(path, &err);
                ck_assert_msg((fd >= 0) == (length <= 107), "%zu: %s", length, err.text);
                if (length > 107)
                        ck_assert_int_eq(err.code, ERR_CONFIG);
                else
                        check_listens(fd, path);
                (void) fd_close(fd);
        }
}
END_TEST

START_TEST(no_path_is_no_abstract_socket) {
        struct error err;

        ck_refused(listen_unix("", &err), err, ERR_CONFIG);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_said) {
        char path[128];
        struct error err;

        ck_refused(listen_unix(folder_join("no/s", path), &err), err, ERR_IO);
        ck_assert_ptr_nonnull(strstr(err.text, path));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("listen");
        TCase *tc = tcase_create("listen");

        tcase_add_checked_fixture(tc, folder_setup, folder_teardown);
        tcase_add_loop_test(tc, a_socket_is_made_for_owner_and_group_whatever_the_umask, 0, 4);
        tcase_add_loop_test(tc, a_socket_that_was_left_behind_is_replaced, 0, 2);
        tcase_add_loop_test(tc, the_socket_of_somebody_who_is_there_stays, 0,
                            ARRAY_SIZE(listeners));
        tcase_add_test(tc, somebody_whose_queue_is_full_is_there_too);
        tcase_add_loop_test(tc, what_is_no_socket_is_not_removed, 0, ARRAY_SIZE(others));
        tcase_add_test(tc, a_path_has_its_length);
        tcase_add_test(tc, no_path_is_no_abstract_socket);
        tcase_add_test(tc, a_folder_that_is_not_there_is_said);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
