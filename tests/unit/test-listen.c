/*
 * Listening on a path: in place of a socket that nobody listens on any more, and of nothing else. And on TCP, where one is told to.
 */
#include "folder-fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

/* ---- TCP ---- */

static bool without_ipv6;

/* In front of the C library's own: a kernel without IPv6 refuses the family. */
int socket(int domain, int type, int protocol) {
        if (domain == AF_INET6 && without_ipv6) {
                errno = EAFNOSUPPORT;
                return -1;
        }
        return (int) syscall(SYS_socket, domain, type, protocol);
}

/* clang-format off */
static const struct {
        const char *why, *text;
        int port; /* -1: refused */
} addresses[] = {
        { "IPv4",                                   "192.168.1.5:8443",     8443 },
        { "IPv6 in brackets",                       "[fd00::5]:8443",       8443 },
        { "every address of both",                  "[::]:8443",            8443 },
        { "every address of IPv4",                  "0.0.0.0:80",           80 },
        { "a star is every address",                "*:8443",               8443 },
        { "so is a port alone",                     "8443",                 8443 },
        { "and one behind a colon",                 ":8443",                8443 },
        { "a free port",                            "127.0.0.1:0",          0 },
        { "the last port",                          "127.0.0.1:65535",      65535 },
        { "an interface",                           "[fe80::1%lo]:8443",    8443 },
        { "none",                                   "no",                   0 },
        { "nothing",                                "",                     -1 },
        { "an address without a port",              "192.168.1.5",          -1 },
        { "no port behind the colon",               "192.168.1.5:",         -1 },
        { "a port over 65535",                      "192.168.1.5:65536",    -1 },
        { "a port with a sign",                     "192.168.1.5:+1",       -1 },
        { "a port by name",                         "192.168.1.5:https",    -1 },
        { "a name: it would have to be looked up",  "localhost:8443",       -1 },
        { "an address with three numbers",          "1.2.3:8443",           -1 },
        { "an address with a number over 255",      "1.2.3.256:8443",       -1 },
        { "IPv6 without brackets",                  "fd00::5:8443",         -1 },
        { "a bracket that does not close",          "[fd00::5:8443",        -1 },
        { "nothing in brackets",                    "[]:8443",              -1 },
        { "IPv4 in brackets and letters",           "[x]:8443",             -1 },
        { "white space",                            " 127.0.0.1:8443",      -1 },
        { "white space behind",                     "127.0.0.1:8443 ",      -1 },
        { "a URL",                                  "https://127.0.0.1:84", -1 },
        { "No",                                     "No",                   -1 },
};
/* clang-format on */

START_TEST(an_address_to_listen_on_is_in_digits) {
        struct error err = { 0 };
        uint16_t port = 1;
        int rc = listen_address_check(addresses[_i].text, &port, &err);

        ck_assert_msg((rc == 0) == (addresses[_i].port >= 0), "%s: %s", addresses[_i].why,
                      err.text);
        ck_assert_int_eq(port, rc == 0 ? addresses[_i].port : 1);
        if (rc < 0)
                ck_assert_int_eq(err.code, ERR_CONFIG);
}
END_TEST

START_TEST(a_free_port_is_found_and_told) {
        struct error err = { 0 };
        CAD_AUTO(fd_close) int fd = listen_tcp(HTTP_TLS, "127.0.0.1:0", &err);
        char text[LISTEN_TEXT_MAX];
        uint16_t port = 0;

        ck_assert_msg(fd >= 0, "%s", err.text);
        ck_ok(listen_address_check(listen_text(fd, text, sizeof(text)), &port, &err), err);
        ck_assert_uint_ne(port, 0);
        ck_assert_int_eq(strncmp(text, "127.0.0.1:", 10), 0);
        ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
        ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

START_TEST(every_address_is_ipv4s_alone_without_ipv6) {
        static const char *const every[] = { "[::]:0", "*:0", "0", ":0" };
        struct error err = { 0 };
        CAD_AUTO(fd_close) int fd = -1;
        char text[LISTEN_TEXT_MAX];

        without_ipv6 = true;
        fd = listen_tcp(HTTP_TCP, every[_i], &err);
        ck_assert_msg(fd >= 0, "%s", err.text);
        ck_assert_int_eq(strncmp(listen_text(fd, text, sizeof(text)), "0.0.0.0:", 8), 0);
}
END_TEST

START_TEST(an_ipv6_address_is_none_without_ipv6) {
        struct error err;

        without_ipv6 = true;
        ck_refused(listen_tcp(HTTP_TCP, "[::1]:0", &err), err, ERR_IO);
        ck_assert_ptr_nonnull(strstr(err.text, "--http"));
}
END_TEST

START_TEST(a_port_that_is_taken_is_said_with_what_changes_it) {
        struct error err = { 0 };
        CAD_AUTO(fd_close) int fd = listen_tcp(HTTP_TLS, "127.0.0.1:0", &err);
        char text[LISTEN_TEXT_MAX];

        ck_assert_int_eq(listen(fd, 1), 0);
        (void) listen_text(fd, text, sizeof(text));
        ck_refused(listen_tcp(HTTP_TLS, text, &err), err, ERR_BUSY);
        ck_assert_ptr_nonnull(strstr(err.text, text));
        ck_assert_ptr_nonnull(strstr(err.text, "--https"));
        ck_assert_ptr_nonnull(strstr(err.text, "Https="));
}
END_TEST

START_TEST(who_listens_between_bind_and_listen_is_said_too) {
        struct error err = { 0 };
        int first = listen_tcp(HTTP_TLS, "127.0.0.1:0", &err), second;
        struct listeners one = { .count = 0 }, other = { .count = 0 };
        char text[LISTEN_TEXT_MAX];

        second = listen_tcp(HTTP_TCP, listen_text(first, text, sizeof(text)), &err);
        ck_assert_msg(second >= 0, "%s", err.text);
        ck_ok(listeners_add(&one, HTTP_TLS, first, &err), err);
        ck_ok(listeners_add(&other, HTTP_TCP, second, &err), err);
        ck_ok(listeners_begin(&one, &err), err);
        ck_refused(listeners_begin(&other, &err), err, ERR_BUSY);
        ck_assert_ptr_nonnull(strstr(err.text, "--http"));
        listeners_done(&one);
        listeners_done(&other);
}
END_TEST

START_TEST(there_is_a_most_of_listeners) {
        struct listeners all = { .count = 0 };
        struct error err = { 0 };

        for (int i = 0; i < LISTENERS_MAX; i++)
                ck_ok(listeners_add(&all, HTTP_TLS, listen_tcp(HTTP_TLS, "127.0.0.1:0", &err),
                                    &err),
                      err);
        ck_refused(listeners_add(&all, HTTP_TCP, listen_tcp(HTTP_TCP, "127.0.0.1:0", &err), &err),
                   err, ERR_CONFIG);
        ck_assert_ptr_eq(listeners_has(&all, HTTP_TLS), &all.items[0]);
        ck_assert_ptr_null(listeners_has(&all, HTTP_TCP));
        listeners_done(&all);
        ck_assert_uint_eq(all.count, 0);
}
END_TEST

/* ---- passed by a service manager ---- */

/* clang-format off */
static const struct {
        const char *why, *name;
        int family, type;
        bool listens;
        const char *words; /* of the refusal; NULL: taken */
} passed[] = {
        { "the Unix socket",                "rest",       AF_UNIX, SOCK_STREAM, true,  NULL },
        { "the same by its other name",     "unix",       AF_UNIX, SOCK_STREAM, true,  NULL },
        { "HTTPS",                          "https",      AF_INET, SOCK_STREAM, true,  NULL },
        { "plain HTTP",                     "http",       AF_INET, SOCK_STREAM, true,  NULL },
        { "the name that systemd gives by default", "cad.socket", AF_UNIX, SOCK_STREAM, true, "FileDescriptorName=" },
        { "no name",                        "",           AF_INET, SOCK_STREAM, true,  "FileDescriptorName=" },
        { "case counts",                    "HTTPS",      AF_INET, SOCK_STREAM, true,  "HTTPS" },
        { "TCP under the name of the Unix socket", "rest", AF_INET, SOCK_STREAM, true, "Unix" },
        { "a Unix socket under the name of TCP", "https", AF_UNIX, SOCK_STREAM, true,  "TCP" },
        { "datagrams",                      "http",       AF_INET, SOCK_DGRAM,  false, "TCP" },
        { "one that does not listen",       "https",      AF_INET, SOCK_STREAM, false, "listening" },
};
/* clang-format on */

/* At the descriptor where sd_listen_fds(3) looks for it. */
static void pass(int family, int type, bool listens, const char *name) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        char pid[16], path[128];
        int fd = family == AF_UNIX ? other_socket(folder_join("s", path), type, listens)
                                   : socket(family, type, 0);

        if (family == AF_INET) {
                ck_assert_int_eq(bind(fd, (struct sockaddr *) &in, sizeof(in)), 0);
                if (listens)
                        ck_assert_int_eq(listen(fd, 1), 0);
        }
        if (fd != 3) {
                (void) dup2(fd, 3); /* no more checks: they would be written there */
                (void) fd_close(fd);
        }
        (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
        (void) setenv("LISTEN_PID", pid, 1);
        (void) setenv("LISTEN_FDS", "1", 1);
        (void) setenv("LISTEN_FDNAMES", name, 1);
}

START_TEST(sockets_are_taken_by_name_and_kind) {
        int kept = fcntl(3, F_DUPFD_CLOEXEC, 10); /* Check talks over it */
        struct listeners found = { .count = 0 };
        struct error err = { 0 };
        int rc, status, descriptor;
        bool unix_passed;
        size_t count;

        pass(passed[_i].family, passed[_i].type, passed[_i].listens, passed[_i].name);
        rc = listeners_passed(&found, &err);
        status = fcntl(3, F_GETFL);
        descriptor = fcntl(3, F_GETFD);
        count = found.count;
        unix_passed = found.unix_passed;
        listeners_done(&found);
        if (kept >= 0)
                ck_assert_int_eq(dup2(kept, 3), 3);

        ck_assert_msg((rc == 0) == !passed[_i].words, "%s: %s", passed[_i].why, err.text);
        ck_assert_ptr_null(getenv("LISTEN_FDS"));
        ck_assert_int_eq(descriptor, FD_CLOEXEC);
        if (passed[_i].words) {
                ck_assert_int_eq(err.code, ERR_CONFIG);
                ck_assert_msg(strstr(err.text, passed[_i].words) != NULL, "%s: %s", passed[_i].why,
                              err.text);
                return;
        }
        ck_assert_uint_eq(count, 1);
        ck_assert(unix_passed == (passed[_i].family == AF_UNIX));
        ck_assert_int_ne(status & O_NONBLOCK, 0);
}
END_TEST

START_TEST(nothing_that_is_passed_is_no_error) {
        struct listeners found = { .count = 0 };
        struct error err = { 0 };

        ck_ok(listeners_passed(&found, &err), err);
        ck_assert_uint_eq(found.count, 0);
}
END_TEST

static TCase *tcp_tests(void) {
        TCase *tc = tcase_create("tcp");

        tcase_add_checked_fixture(tc, folder_setup, folder_teardown);
        tcase_add_loop_test(tc, an_address_to_listen_on_is_in_digits, 0, ARRAY_SIZE(addresses));
        tcase_add_test(tc, a_free_port_is_found_and_told);
        tcase_add_loop_test(tc, every_address_is_ipv4s_alone_without_ipv6, 0, 4);
        tcase_add_test(tc, an_ipv6_address_is_none_without_ipv6);
        tcase_add_test(tc, a_port_that_is_taken_is_said_with_what_changes_it);
        tcase_add_test(tc, who_listens_between_bind_and_listen_is_said_too);
        tcase_add_test(tc, there_is_a_most_of_listeners);
        tcase_add_loop_test(tc, sockets_are_taken_by_name_and_kind, 0, ARRAY_SIZE(passed));
        tcase_add_test(tc, nothing_that_is_passed_is_no_error);
        return tc;
}

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
        suite_add_tcase(suite, tcp_tests());
        return unit_main(suite);
}
