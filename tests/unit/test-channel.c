/*
 * Frames with descriptors beside them: one arrives, several arrive as none, and none of them stays open.
 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/signer/channel.h"
#include "lib/base/file.h"

static int ends[2] = { -1, -1 };

static void set_up(void) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void tear_down(void) {
        ends[0] = fd_close(ends[0]);
        ends[1] = fd_close(ends[1]);
}

static size_t open_descriptors(void) {
        DIR *dir = opendir("/proc/self/fd");
        size_t count = 0;

        ck_assert_ptr_nonnull(dir);
        while (readdir(dir))
                count++;
        (void) closedir(dir);
        return count;
}

/* As a hostile peer does: @count of them, in one frame. */
static void send_many(size_t count) {
        union {
                struct cmsghdr header;
                uint8_t octets[CMSG_SPACE(253 * sizeof(int))];
        } control = { .octets = { 0 } };
        struct iovec iov = { .iov_base = (char[]){ "frame" }, .iov_len = 5 };
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = control.octets,
                                  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);

        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof(int));
        for (size_t i = 0; i < count; i++)
                memcpy(CMSG_DATA(part) + i * sizeof(int), &ends[0], sizeof(int));
        ck_assert_int_eq(sendmsg(ends[0], &message, 0), 5);
}

START_TEST(a_frame_comes_with_its_descriptor) {
        CAD_AUTO(fd_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fd = -1;
        struct stat sent, received;
        uint8_t octets[16];

        ck_assert_int_eq(channel_send(ends[0], BYTES_LITERAL("frame"), null, 0), 5);
        ck_assert_int_eq(channel_receive(ends[1], octets, sizeof(octets), 0, &fd), 5);
        ck_assert_int_eq(memcmp(octets, "frame", 5), 0);
        ck_assert(fd >= 0 && fd != null);
        ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        ck_assert(fstat(null, &sent) == 0 && fstat(fd, &received) == 0);
        ck_assert_int_eq(sent.st_rdev, received.st_rdev);
}
END_TEST

START_TEST(a_frame_without_one_has_none) {
        uint8_t octets[16];
        int fd = 77;

        ck_assert_int_eq(channel_send(ends[0], BYTES_LITERAL("frame"), -1, 0), 5);
        ck_assert_int_eq(channel_receive(ends[1], octets, sizeof(octets), 0, &fd), 5);
        ck_assert_int_eq(fd, -1);
        fd = 77;
        ck_assert_int_lt(channel_receive(ends[1], octets, sizeof(octets), MSG_DONTWAIT, &fd), 0);
        ck_assert_int_eq(fd, -1);
        ends[0] = fd_close(ends[0]);
        fd = 77;
        ck_assert_int_eq(channel_receive(ends[1], octets, sizeof(octets), 0, &fd), 0);
        ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(several_are_none_and_all_closed) {
        static const size_t counts[] = { 2, 3, 10, 253 };
        size_t before = open_descriptors();

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
                uint8_t octets[16];
                int fd = 77;

                send_many(counts[i]);
                ck_assert_int_eq(channel_receive(ends[1], octets, sizeof(octets), 0, &fd), 5);
                ck_assert_int_eq(fd, -1);
                ck_assert_uint_eq(open_descriptors(), before);
        }
}
END_TEST

/* SCM_CREDENTIALS and whatever else a kernel may hand over. */
START_TEST(what_is_no_descriptor_is_none) {
        CAD_AUTO(fd_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        size_t before = open_descriptors();
        uint8_t octets[16];
        int fd = 77, on = 1;

        ck_assert_int_eq(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        ck_assert_int_eq(channel_send(ends[0], BYTES_LITERAL("frame"), null, 0), 5);
        ck_assert_int_eq(channel_receive(ends[1], octets, sizeof(octets), 0, &fd), 5);
        ck_assert_int_eq(fd, -1);
        ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("channel");
        TCase *tc = tcase_create("channel");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, a_frame_comes_with_its_descriptor);
        tcase_add_test(tc, a_frame_without_one_has_none);
        tcase_add_test(tc, several_are_none_and_all_closed);
        tcase_add_test(tc, what_is_no_descriptor_is_none);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
