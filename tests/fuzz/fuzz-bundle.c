/*
 * What root pours into the signer: a stream of files out of a backup that may have come from anywhere. Whatever is taken has one of our own names,
 * and comes out of the writer as it went in.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/signer/bundle.h"
#include "lib/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): a build without asserts must still find it. */
static void must(bool holds) {
        if (!holds)
                abort();
}

static int stream_of(struct bytes input) {
        int fd = memfd_create("bundle", MFD_CLOEXEC);

        must(fd >= 0 && fd_write_all(fd, input) == 0 && lseek(fd, 0, SEEK_SET) == 0);
        return fd;
}

static void check_name(const char *name) {
        must(bundle_name_good(name) && strlen(name) < BUNDLE_NAME_MAX && !strstr(name, "..") &&
             !strstr(name, "//") && strncmp(name, BUNDLE_PREFIX, strlen(BUNDLE_PREFIX)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        CAD_AUTO(fd_close) int in = stream_of(BYTES(data, size));
        CAD_AUTO(fd_close) int out = memfd_create("again", MFD_CLOEXEC);
        off_t used = 0;

        must(out >= 0);
        for (;;) {
                CAD_AUTO(buffer_done) struct buffer content = { 0 };
                char name[BUNDLE_NAME_MAX], again[256];
                struct error err = { 0 };
                int rc = bundle_get(in, name, &content, &err);

                must(rc >= 0 || err.code == ERR_MESSAGE_MALFORMED);
                if (rc <= 0)
                        break;
                check_name(name);
                must(content.size <= BUNDLE_FILE_MAX && content.size <= size);
                must(bundle_put(out, name, buffer_bytes(&content)) == 0);
                used = lseek(in, 0, SEEK_CUR);
                must(lseek(out, 0, SEEK_CUR) == used);
                for (off_t at = 0; at < used; at += (off_t) sizeof(again)) {
                        ssize_t n = pread(out, again, sizeof(again), at);

                        must(n > 0 && memcmp(again, data + at, (size_t) n) == 0);
                }
        }
        return 0;
}
