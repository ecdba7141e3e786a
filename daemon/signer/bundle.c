/*
 * See bundle.h. Nothing leaves here as a plain key.
 */
#include "daemon/signer/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/signer/ca_conf.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/pki/key.h"
#include "lib/pki/pem.h"

#define NEW_FOLDER "ca.import" /* a start removes nothing of it and takes it for nothing */

/* ---- out ---- */

static int cannot_write(int errnum, struct error *err) {
        return error_errno(err, errnum, "cannot hand the signer's files over");
}

/* What has the right label, and is no key without a passphrase, is encrypted. It goes on as that block alone. */
static bool is_encrypted(struct bytes pem, struct buffer *ret_block) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
        char label[PEM_LABEL_MAX];

        if (pem_next(&pem, label, &der, NULL) != 1 || strcmp(label, "ENCRYPTED PRIVATE KEY") != 0)
                return false;
        pem_append(ret_block, label, buffer_bytes(&der));
        return !ret_block->failed &&
                private_key_from_pem(buffer_bytes(&der), BYTES_NONE, &key, NULL) < 0;
}

static int encrypt_key(const char *name, struct bytes pem, struct bytes passphrase,
                       struct buffer *ret, struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;

        if (passphrase.size == 0)
                return error_set(
                        err, ERR_KEY_PASSPHRASE,
                        "the key %s is not encrypted, and a backup holds none like that: give --passphrase-file for the backup",
                        name + strlen(BUNDLE_PREFIX));
        return private_key_from_pem(pem, BYTES_NONE, &key, err) < 0
                ? -1
                : private_key_to_pem(key, passphrase, ret, err);
}

static int put_key(const char *name, struct bytes pem, struct bytes passphrase, int out_fd,
                   struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer block = { 0 };
        CAD_AUTO(buffer_wipe) struct buffer encrypted = { 0 };
        char plain_name[BUNDLE_NAME_MAX];

        if (is_encrypted(pem, &block))
                return bundle_put(out_fd, name, buffer_bytes(&block)) < 0 ? cannot_write(errno, err)
                                                                          : 0;
        (void) snprintf(plain_name, sizeof(plain_name), "%.40s" BUNDLE_WAS_PLAIN, name);
        if (encrypt_key(name, pem, passphrase, &encrypted, err) < 0)
                return -1;
        return bundle_put(out_fd, plain_name, buffer_bytes(&encrypted)) < 0
                ? cannot_write(errno, err)
                : 0;
}

static int put_other(const char *name, struct bytes content, int out_fd, struct error *err) {
        if (pem_has_private_key(content))
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "%s holds a private key, and should hold none: move it out of there",
                        name + strlen(BUNDLE_PREFIX));
        return bundle_put(out_fd, name, content) < 0 ? cannot_write(errno, err) : 0;
}

/* What has another name than our own files stays: a passphrase in a file, say. */
static int put_file(int dir_fd, const char *file, const char *prefix, struct bytes passphrase,
                    int out_fd, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer content = { 0 };
        bool was_plain, key;
        char name[BUNDLE_NAME_MAX];

        if (snprintf(name, sizeof(name), "%s%s", prefix, file) >= (int) sizeof(name) ||
            !bundle_name_good(name))
                return 0;
        key = bundle_is_key(name, &was_plain);
        if (was_plain)
                return 0;
        if (file_read(dir_fd, file, key ? FILE_SECRET : FILE_PUBLIC, BUNDLE_FILE_MAX, &content,
                      err) < 0)
                return -1;
        return key ? put_key(name, buffer_bytes(&content), passphrase, out_fd, err)
                   : put_other(name, buffer_bytes(&content), out_fd, err);
}

/* @first: a file that is taken before all others, NULL: any */
static int put_folder(int dir_fd, const char *folder, const char *prefix, const char *first,
                      struct bytes passphrase, int out_fd, struct error *err) {
        int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        if (!dir) {
                (void) fd_close(fd);
                return error_errno(err, errno, "cannot list the signer's folder %s", folder);
        }
        if (first)
                rc = put_file(fd, first, prefix, passphrase, out_fd, err);
        while (rc == 0 && (entry = readdir(dir)))
                if (!first || strcmp(entry->d_name, first) != 0)
                        rc = put_file(fd, entry->d_name, prefix, passphrase, out_fd, err);
        (void) closedir(dir);
        return rc;
}

/* ca.conf first: intermediates may be made meanwhile, and what it names is there by then, and stays. */
int bundle_export(int state_fd, struct bytes passphrase, int out_fd, struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;

        if (ca_load_public(state_fd, &ca, err) < 0 ||
            put_folder(state_fd, CA_FOLDER, BUNDLE_PREFIX CA_FOLDER "/",
                       &CA_CONF_FILE[strlen(CA_FOLDER "/")], passphrase, out_fd, err) < 0 ||
            put_folder(state_fd, ".", BUNDLE_PREFIX, /* first= */ NULL, passphrase, out_fd, err) <
                    0)
                return -1;
        return bundle_put(out_fd, "", BYTES_NONE) < 0 ? cannot_write(errno, err) : 0;
}

/* ---- in ---- */

struct importing {
        int folder_fd; /* NEW_FOLDER */
        struct bytes passphrase;
        bool trial; /* what comes is not to stay */
};

/* In a trial a key stays encrypted: whatever kills it, no plain key is left. */
static int take_key(const struct importing *i, const char *path, bool was_plain, struct bytes pem,
                    struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_wipe) struct buffer plain = { 0 };
        char without[BUNDLE_NAME_MAX];

        if (!was_plain)
                return file_replace(i->folder_fd, path, pem, 0600, err);
        (void) snprintf(without, sizeof(without), "%.*s",
                        (int) (strlen(path) - strlen(BUNDLE_WAS_PLAIN)), path);
        if (i->trial)
                return file_replace(i->folder_fd, without, pem, 0600, err);
        if (private_key_from_pem(pem, i->passphrase, &key, err) < 0 ||
            private_key_to_pem(key, BYTES_NONE, &plain, err) < 0)
                return -1;
        return file_replace(i->folder_fd, without, buffer_bytes(&plain), 0600, err);
}

static int take_all(const struct importing *i, int in_fd, struct error *err) {
        for (;;) {
                CAD_AUTO(buffer_wipe) struct buffer content = { 0 };
                char name[BUNDLE_NAME_MAX];
                bool was_plain;
                const char *path;
                int rc = bundle_get(in_fd, name, &content, err);

                if (rc <= 0)
                        return rc;
                path = name + strlen(BUNDLE_PREFIX);
                rc = bundle_is_key(name, &was_plain)
                        ? take_key(i, path, was_plain, buffer_bytes(&content), err)
                        : file_replace(i->folder_fd, path, buffer_bytes(&content), 0600, err);
                if (rc < 0)
                        return -1;
        }
}

static int remove_folder(int dir_fd, const char *folder) {
        int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        while (dir && (entry = readdir(dir)))
                (void) unlinkat(fd, entry->d_name, 0);
        if (dir)
                (void) closedir(dir);
        else
                (void) fd_close(fd);
        return unlinkat(dir_fd, folder, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

/* It may hold keys that are plain by now. */
static int remove_import(int state_fd) {
        (void) remove_folder(state_fd, NEW_FOLDER "/" CA_FOLDER);
        return remove_folder(state_fd, NEW_FOLDER);
}

static int load(const struct importing *i, struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;

        if (ca_load(i->folder_fd, i->passphrase, &ca, err) < 0)
                return -1;
        if (ca->root_key_fault[0])
                log_warning("the root's key was put back, and cannot be used: %s",
                            ca->root_key_fault);
        return 0;
}

static bool there(int dir_fd, const char *name) {
        struct stat st;

        return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The CA comes last: with it, all is there. */
static int put_in_place(const struct importing *i, int state_fd, struct error *err) {
        static const char *const others[] = { BUNDLE_MARK, ANCHORS_FILE };

        for (size_t n = 0; n < ARRAY_SIZE(others); n++)
                if (there(i->folder_fd, others[n]) && !there(state_fd, others[n]) &&
                    renameat(i->folder_fd, others[n], state_fd, others[n]) < 0)
                        return error_errno(err, errno, "cannot put %s in place", others[n]);
        if (folder_sync(state_fd, "the signer's state", err) < 0)
                return -1;
        if (renameat(i->folder_fd, CA_FOLDER, state_fd, CA_FOLDER) < 0)
                return error_errno(err, errno, "cannot put the CA in place");
        return folder_sync(state_fd, CA_FOLDER, err);
}

/* Return: a descriptor of NEW_FOLDER, or -1 with @err */
static int make_folder(int state_fd, struct error *err) {
        if (there(state_fd, CA_FOLDER))
                return error_set(err, ERR_CA_EXISTS,
                                 "there is a CA in the signer's folder: nothing is put over it");
        if (remove_import(state_fd) < 0 || mkdirat(state_fd, NEW_FOLDER, 0700) < 0 ||
            mkdirat(state_fd, NEW_FOLDER "/" CA_FOLDER, 0700) < 0)
                return error_errno(err, errno, "cannot make %s in the signer's folder", NEW_FOLDER);
        return folder_open(state_fd, NEW_FOLDER, false, err);
}

int bundle_import(int state_fd, struct bytes passphrase, int in_fd, struct error *err) {
        CAD_AUTO(fd_close) int folder_fd = make_folder(state_fd, err);
        const struct importing i = { .folder_fd = folder_fd, .passphrase = passphrase };
        int rc = folder_fd < 0 || take_all(&i, in_fd, err) < 0 || load(&i, err) < 0 ||
                        put_in_place(&i, state_fd, err) < 0
                ? -1
                : 0;

        (void) remove_import(state_fd);
        return rc;
}

/* ---- in, to see whether it would do ---- */

static int load_trial(const struct importing *i, bool *ret_root, struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;

        if (ca_load(i->folder_fd, i->passphrase, &ca, err) < 0)
                return -1;
        *ret_root = ca->root_key_present;
        return ca->root_key_fault[0]
                ? error_set(err, ca->root_key_fault_code, "%s", ca->root_key_fault)
                : 0;
}

static int say_what_to_do(struct error *err) {
        const struct error cause = *err;

        if (cause.code == ERR_KEY_PASSPHRASE)
                return error_set(
                        err, cause.code,
                        "%.400s. Give the passphrase that the CA's keys had when the backup was made; where they had none, the one that was given "
                        "for the backup. If this is the one, the key is damaged: make another backup (cactl backup FILE --with-keys)",
                        cause.text);
        return error_set(
                err, cause.code,
                "%.600s. The keys of this backup cannot be used: make another one (cactl backup FILE --with-keys)",
                cause.text);
}

int bundle_try(int state_fd, struct bytes passphrase, int in_fd, bool *ret_root,
               struct error *err) {
        CAD_AUTO(fd_close) int folder_fd = make_folder(state_fd, err);
        const struct importing i = { .folder_fd = folder_fd,
                                     .passphrase = passphrase,
                                     .trial = true };
        int rc = folder_fd < 0 || take_all(&i, in_fd, err) < 0 ? -1 : 0;

        if (rc == 0 && load_trial(&i, ret_root, err) < 0)
                rc = say_what_to_do(err);
        (void) remove_import(state_fd);
        return rc;
}
