/*
 * Lists of keys that everybody can compute: read once, sorted, looked up by halves.
 *
 * A list that cannot be read is an error and never an empty list: whoever installed one relies on it.
 */
#include "lib/pki/weak_keys.h"

#include <dirent.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>

#include "lib/base/file.h"
#include "lib/base/text.h"

#define ENTRY_SIZE 10 /* octets: half a SHA-1 */
#define SHA1_SIZE 20

struct weak_keys {
        struct buffer entries; /* ENTRY_SIZE octets each, in order */
};

struct weak_keys *weak_keys_free(struct weak_keys *list) {
        if (list) {
                buffer_done(&list->entries);
                free(list);
        }
        return NULL;
}

size_t weak_keys_count(const struct weak_keys *list) {
        return list ? buffer_bytes(&list->entries).size / ENTRY_SIZE : 0;
}

static int by_octets(const void *a, const void *b) {
        return memcmp(a, b, ENTRY_SIZE);
}

/* ---- reading ---- */

static int add_line(struct weak_keys *list, struct bytes line, const char *file, size_t number,
                    struct error *err) {
        char text[2 * ENTRY_SIZE + 1] = "";
        uint8_t entry[ENTRY_SIZE];
        size_t size = 0;

        if (line.size && line.data[line.size - 1] == '\r')
                line.size--;
        if (line.size == 0 || line.data[0] == '#')
                return 0;
        if (line.size == sizeof(text) - 1)
                memcpy(text, line.data, line.size);
        if (hex_decode(text, entry, sizeof(entry), &size) < 0 || size != sizeof(entry))
                return error_set(err, ERR_CONFIG,
                                 WEAK_KEYS_FOLDER
                                 "/%s:%zu: a line has 20 hexadecimal digits, as in the files of "
                                 "Debian's openssl-blacklist, and nothing else",
                                 file, number);
        buffer_append(&list->entries, BYTES(entry, sizeof(entry)));
        return list->entries.failed ? error_no_memory(err) : 0;
}

static int add_file(struct weak_keys *list, int folder_fd, const char *file, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct bytes rest;

        if (file_read(folder_fd, file, FILE_PUBLIC, WEAK_KEYS_FILE_MAX, &text, err) < 0)
                return -1;
        rest = buffer_bytes(&text);
        for (size_t number = 1; rest.size; number++) {
                const uint8_t *end = memchr(rest.data, '\n', rest.size);
                size_t size = end ? (size_t) (end - rest.data) : rest.size;

                if (add_line(list, BYTES(rest.data, size), file, number, err) < 0)
                        return -1;
                size += end ? 1 : 0;
                rest = BYTES(rest.data + size, rest.size - size);
        }
        return 0;
}

static int is_list(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

static int add_folder(struct weak_keys *list, int folder_fd, struct error *err) {
        struct dirent **entries = NULL;
        int count = scandirat(folder_fd, ".", &entries, is_list, alphasort);
        int rc = 0;

        if (count < 0)
                return error_errno(err, errno, "cannot list " WEAK_KEYS_FOLDER);
        if (count > WEAK_KEYS_FILES_MAX)
                rc = error_set(err, ERR_CONFIG, WEAK_KEYS_FOLDER " holds more than %d files",
                               WEAK_KEYS_FILES_MAX);
        for (int i = 0; i < count; i++) {
                if (rc == 0)
                        rc = add_file(list, folder_fd, entries[i]->d_name, err);
                free(entries[i]);
        }
        free(entries);
        return rc;
}

int weak_keys_load(int dir_fd, struct weak_keys **ret, struct error *err) {
        CAD_AUTO(weak_keys_free) struct weak_keys *list = NULL;
        CAD_AUTO(fd_close) int folder_fd = -1;
        struct error missing = { 0 };

        folder_fd = folder_open(dir_fd, WEAK_KEYS_FOLDER, false, &missing);
        if (folder_fd < 0 && missing.code == ERR_NOT_FOUND) {
                *ret = NULL;
                return 0;
        }
        if (folder_fd < 0) {
                if (err)
                        *err = missing;
                return -1;
        }
        list = calloc(1, sizeof(*list));
        if (!list)
                return error_no_memory(err);
        if (add_folder(list, folder_fd, err) < 0)
                return -1;
        if (weak_keys_count(list))
                qsort(list->entries.data, weak_keys_count(list), ENTRY_SIZE, by_octets);
        *ret = CAD_TAKE(list);
        return 0;
}

/* ---- looking up ---- */

/* What openssl-vulnkey(1) looked up: the second half of SHA-1 over what `openssl rsa -modulus` prints. */
static int fingerprint(const struct public_key *key, uint8_t ret[SHA1_SIZE], struct error *err) {
        static const char digits[] = "0123456789ABCDEF";
        CAD_AUTO(buffer_done) struct buffer modulus = { 0 }, text = { 0 };

        if (public_key_modulus(key, &modulus, err) < 0)
                return -1;
        buffer_format(&text, "Modulus=");
        for (size_t i = 0; i < modulus.size; i++)
                buffer_format(&text, "%c%c", digits[modulus.data[i] >> 4],
                              digits[modulus.data[i] & 15]);
        buffer_format(&text, "\n");
        if (text.failed)
                return error_no_memory(err);
        if (gnutls_hash_fast(GNUTLS_DIG_SHA1, text.data, text.size, ret) < 0)
                return error_set(
                        err, ERR_CRYPTO,
                        "SHA-1, which the list of weak keys is made with, cannot be computed");
        return 0;
}

int weak_keys_check(const struct weak_keys *list, const struct public_key *key, struct error *err) {
        uint8_t sum[SHA1_SIZE];

        if (weak_keys_count(list) == 0 || public_key_type(key) != KEY_RSA)
                return 0;
        if (fingerprint(key, sum, err) < 0)
                return -1;
        if (!bsearch(sum + SHA1_SIZE - ENTRY_SIZE, list->entries.data, weak_keys_count(list),
                     ENTRY_SIZE, by_octets))
                return 0;
        return error_set_field(
                err, ERR_KEY_WEAK, "csr.key",
                "the RSA key is on a list of keys that everybody can compute, as Debian's OpenSSL made them from 2006 "
                "to 2008 (CVE-2008-0166): make a new key, and do not use this one anywhere");
}
