/*
 * The stream of bundle.h: what cad-signer writes and cad keeps in a backup, and the other way round.
 */
#include "daemon/signer/bundle.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"

int bundle_put(int fd, const char *name, struct bytes content) {
        uint8_t head[1 + BUNDLE_NAME_MAX + 4];
        size_t n = strlen(name);

        if (n >= BUNDLE_NAME_MAX || content.size > BUNDLE_FILE_MAX) {
                errno = EFBIG;
                return -1;
        }
        head[0] = (uint8_t) n;
        memcpy(head + 1, name, n);
        for (int i = 0; i < 4; i++)
                head[1 + n + (size_t) i] = (uint8_t) (content.size >> (24 - 8 * i));
        return fd_write_all(fd, BYTES(head, n ? n + 5 : 1)) < 0 || fd_write_all(fd, content) < 0
                ? -1
                : 0;
}

static int read_exactly(int fd, uint8_t *to, size_t size, struct error *err) {
        while (size > 0) {
                ssize_t n = read(fd, to, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_set(err, ERR_MESSAGE_MALFORMED,
                                         "the signer's files are cut off");
                to += n;
                size -= (size_t) n;
        }
        return 0;
}

/* An issuer's id and one of the endings. Return: the ending's number, or -1 */
static int ending_of(const char *name) {
        static const char ca[] = BUNDLE_PREFIX CA_FOLDER "/";
        static const char *const endings[] = { ".crt", ".key", (".key" BUNDLE_WAS_PLAIN) };
        size_t n;

        if (strncmp(name, ca, sizeof(ca) - 1) != 0)
                return -1;
        name += sizeof(ca) - 1;
        n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
        if (n == 0 || n >= SIGNER_ISSUER_MAX)
                return -1;
        for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
                if (strcmp(name + n, endings[i]) == 0)
                        return (int) i;
        return -1;
}

bool bundle_name_good(const char *name) {
        static const char *const others[] = { BUNDLE_PREFIX BUNDLE_MARK, BUNDLE_PREFIX ANCHORS_FILE,
                                              BUNDLE_PREFIX CA_FOLDER "/ca.conf" };

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (strcmp(name, others[i]) == 0)
                        return true;
        return ending_of(name) >= 0;
}

bool bundle_is_key(const char *name, bool *ret_was_plain) {
        int ending = ending_of(name);

        if (ret_was_plain)
                *ret_was_plain = ending == 2;
        return ending >= 1;
}

int bundle_get(int fd, char *name, struct buffer *ret, struct error *err) {
        uint8_t length, octets[4];
        uint32_t size;
        uint8_t *at;

        if (read_exactly(fd, &length, 1, err) < 0)
                return -1;
        if (length == 0)
                return 0;
        if (length >= BUNDLE_NAME_MAX || read_exactly(fd, (uint8_t *) name, length, err) < 0 ||
            read_exactly(fd, octets, sizeof(octets), err) < 0)
                return err->code ? -1
                                 : error_set(err, ERR_MESSAGE_MALFORMED,
                                             "a name of %u octets is too long", length);
        name[length] = '\0';
        size = (uint32_t) octets[0] << 24 | (uint32_t) octets[1] << 16 | (uint32_t) octets[2] << 8 |
                octets[3];
        if (strlen(name) != length || !bundle_name_good(name) || size > BUNDLE_FILE_MAX)
                return error_set(err, ERR_MESSAGE_MALFORMED,
                                 "these are not the files of a signer's folder");
        at = buffer_reserve(ret, size);
        if (!at)
                return error_no_memory(err);
        if (read_exactly(fd, at, size, err) < 0)
                return -1;
        ret->size += size;
        return 1;
}
