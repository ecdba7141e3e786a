/*
 * Memory files. A descriptor from outside is looked at before anything is believed of it; no name of a file is ever opened here.
 */
#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

int memfd_new(const char *name, struct error *err) {
        int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

        return fd < 0 ? error_errno(err, errno, "cannot make a file in memory") : fd;
}

int memfd_seal(int fd, struct error *err) {
        if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
                return error_errno(err, errno, "cannot seal a file in memory");
        return 0;
}

int memfd_check(int fd, size_t *ret_size, struct error *err) {
        int seals = fcntl(fd, F_GET_SEALS);
        struct stat st;

        if (seals < 0)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "what was handed over is no file in memory that can be sealed");
        if ((seals & SEALS) != SEALS)
                return error_set(
                        err, ERR_REQUEST_MALFORMED,
                        "the file in memory is not sealed against writing, growing and shrinking");
        if (fstat(fd, &st) < 0 || st.st_size < 0)
                return error_errno(err, errno, "cannot look at a file in memory");
        *ret_size = (size_t) st.st_size;
        return 0;
}

/* Private: a shared mapping of what is sealed against writing is refused by older kernels, even a read-only one. */
int memfd_map(int fd, size_t size, struct bytes *ret, struct error *err) {
        void *at;

        if (size == 0) {
                *ret = BYTES_NONE;
                return 0;
        }
        at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED)
                return error_errno(err, errno, "cannot map %zu octets of a file in memory", size);
        *ret = BYTES(at, size);
        return 0;
}

void memfd_unmap(struct bytes map) {
        if (map.size)
                (void) munmap((void *) (uintptr_t) map.data, map.size);
}
