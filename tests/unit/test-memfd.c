/*
 * Files in memory: what is sealed stays as it is, and nothing else is believed to be.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/memfd.h"

START_TEST(what_is_sealed_can_be_read_and_not_changed) {
        CAD_AUTO(fd_close) int fd = -1;
        struct bytes map = BYTES_NONE;
        struct error err = { 0 };
        size_t size = 77;

        fd = memfd_new("test", &err);
        ck_assert_msg(fd >= 0, "%s", err.text);
        ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        ck_assert_int_eq(fd_write_all(fd, BYTES_LITERAL("hello")), 0);
        ck_refused(memfd_check(fd, &size, &err), err, ERR_REQUEST_MALFORMED);
        ck_assert_uint_eq(size, 77);
        ck_ok(memfd_seal(fd, &err), err);
        ck_ok(memfd_check(fd, &size, &err), err);
        ck_assert_uint_eq(size, 5);
        ck_assert(pwrite(fd, "x", 1, 0) < 0 && ftruncate(fd, 4) < 0 && ftruncate(fd, 6) < 0);
        ck_assert(mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
        ck_assert(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0);
        ck_ok(memfd_map(fd, size, &map, &err), err);
        ck_assert(bytes_equal(map, BYTES_LITERAL("hello")));
        memfd_unmap(map);
}
END_TEST

START_TEST(an_empty_one_maps_to_nothing) {
        CAD_AUTO(fd_close) int fd = -1;
        struct bytes map = BYTES_LITERAL("x");
        struct error err = { 0 };
        size_t size = 77;

        fd = memfd_new("test", &err);
        ck_ok(memfd_seal(fd, &err), err);
        ck_ok(memfd_check(fd, &size, &err), err);
        ck_ok(memfd_map(fd, size, &map, &err), err);
        ck_assert(size == 0 && map.size == 0);
        memfd_unmap(map);
}
END_TEST

/* Somebody can still write through what he has mapped: then it cannot be sealed, and says so. */
START_TEST(what_somebody_has_mapped_cannot_be_sealed) {
        CAD_AUTO(fd_close) int fd = -1;
        struct error err = { 0 };
        void *map;

        fd = memfd_new("test", &err);
        ck_assert_int_eq(ftruncate(fd, 4096), 0);
        map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_assert(map != MAP_FAILED);
        ck_refused(memfd_seal(fd, &err), err, ERR_IO);
        (void) munmap(map, 4096);
        ck_ok(memfd_seal(fd, &err), err);
}
END_TEST

static int open_null(void) {
        return open("/dev/null", O_RDWR | O_CLOEXEC);
}
static int open_file(void) {
        return open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}
static int open_pipe(void) {
        int ends[2];

        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        (void) close(ends[1]);
        return ends[0];
}
static int open_nothing(void) {
        return -1;
}
static int open_unsealable(void) {
        return memfd_create("test", MFD_CLOEXEC);
}
static int sealed_with(int seals) {
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}
static int open_growing(void) {
        return sealed_with(F_SEAL_WRITE | F_SEAL_SHRINK);
}
static int open_shrinking(void) {
        return sealed_with(F_SEAL_WRITE | F_SEAL_GROW);
}
static int open_writable(void) {
        return sealed_with(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
static int open_mapped_writable(void) {
        return sealed_with(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
}

static const struct {
        const char *why;
        int (*open)(void);
} others[] = {
        { "a device", open_null },
        { "a file on a disk", open_file },
        { "a pipe", open_pipe },
        { "none", open_nothing },
        { "one that cannot be sealed", open_unsealable },
        { "one that can grow", open_growing },
        { "one that can shrink", open_shrinking },
        { "one that can be written", open_writable },
        { "one that can be written through what was mapped before", open_mapped_writable },
};

START_TEST(nothing_else_passes) {
        CAD_AUTO(fd_close) int fd = others[_i].open();
        size_t size = 77;
        struct error err;

        ck_assert_msg(memfd_check(fd, &size, &err) == -1, "%s", others[_i].why);
        ck_refused(memfd_check(fd, &size, &err), err, ERR_REQUEST_MALFORMED);
        ck_assert_uint_eq(size, 77);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("memfd");
        TCase *tc = tcase_create("memfd");

        tcase_add_test(tc, what_is_sealed_can_be_read_and_not_changed);
        tcase_add_test(tc, an_empty_one_maps_to_nothing);
        tcase_add_test(tc, what_somebody_has_mapped_cannot_be_sealed);
        tcase_add_loop_test(tc, nothing_else_passes, 0, ARRAY_SIZE(others));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
