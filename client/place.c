/*
 * Place: see place.h. It reads files of the user and the admin, and connects to nothing.
 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ask.h"
#include "cad-build.h"
#include "files.h"
#include "lib/base/file.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"
#include "lib/pki/key.h"
#include "lib/pki/pem.h"
#include "output.h"

#define CONF_FILE "cactl.conf"
#define PASSPHRASE_MAX 256

void place_done(struct place *place) {
        free(place->url);
        free(place->root);
        free(place->fingerprint);
        free(place->certificate);
        free(place->key);
        *place = (struct place){ 0 };
}

static int copy_text(const char *from, char **ret) {
        *ret = from ? strdup(from) : NULL;
        return !from || *ret ? 0 : -1;
}

enum result place_copy(const struct place *from, struct place *ret) {
        if (copy_text(from->url, &ret->url) < 0 || copy_text(from->root, &ret->root) < 0 ||
            copy_text(from->fingerprint, &ret->fingerprint) < 0 ||
            copy_text(from->certificate, &ret->certificate) < 0 ||
            copy_text(from->key, &ret->key) < 0)
                return fail(REFUSED, "out of memory");
        return DONE;
}

/* ---- cactl.conf ---- */

/* A path in the file is one beside it, unless it is absolute. */
static int set_path(void *target, const char *value, size_t offset, struct error *err) {
        const struct place *place = target;
        CAD_AUTO(buffer_done) struct buffer path = { 0 };

        if (*value && *value != '/') {
                const char *slash = strrchr(place->file, '/');

                buffer_append(&path, BYTES(place->file, (size_t) (slash - place->file) + 1));
        }
        buffer_text(&path, value);
        return path.failed ? error_no_memory(err)
                           : setting_set_text(target, buffer_string(&path), offset, err);
}

static const struct setting conf_settings[] = {
        { "Ca", "Url", SETTING_TO(setting_set_text, struct place, url) },
        { "Ca", "Root", SETTING_TO(set_path, struct place, root) },
        { "Ca", "Fingerprint", SETTING_TO(setting_set_text, struct place, fingerprint) },
        { "Ca", "Certificate", SETTING_TO(set_path, struct place, certificate) },
        { "Ca", "Key", SETTING_TO(set_path, struct place, key) },
        { 0 },
};

static bool is_there(struct place *place, const char *folder, const char *rest) {
        struct stat st;
        int n = snprintf(place->file, sizeof(place->file), "%s%s/" CONF_FILE, folder, rest);

        return n > 0 && (size_t) n < sizeof(place->file) && stat(place->file, &st) == 0;
}

const char *place_config_dir(void) {
        const char *chosen = getenv("CACTL_CONFIG_DIR");

        return chosen && *chosen == '/' ? chosen : CAD_CONFIG_DIR;
}

static bool find_conf(struct place *place) {
        const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

        if (getenv("CACTL_CONFIG_DIR"))
                return is_there(place, place_config_dir(), "");
        if (config && *config == '/'
                    ? is_there(place, config, "/cad")
                    : home && *home == '/' && is_there(place, home, "/.config/cad"))
                return true;
        return is_there(place, CAD_CONFIG_DIR, "");
}

static enum result read_found(struct place *place) {
        struct error err = { 0 };

        if (settings_read(AT_FDCWD, place->file, conf_settings, place, &err) < 0)
                return fail_error(&err);
        if (!place->url)
                return fail(REFUSED, "%s: there is no Url= under [Ca]: it says where the CA is",
                            place->file);
        return DONE;
}

static enum result read_conf(struct place *place) {
        if (find_conf(place))
                return read_found(place);
        place->file[0] = '\0';
        return DONE;
}

enum result place_read_host(struct place *ret) {
        CAD_AUTO(place_done) struct place place = { 0 };
        enum result result = DONE;

        if (is_there(&place, place_config_dir(), ""))
                result = read_found(&place);
        else
                place.file[0] = '\0';
        if (result != DONE)
                return result;
        *ret = place;
        place = (struct place){ 0 };
        return DONE;
}

/* ---- and the command line ---- */

bool place_same_url(const char *a, const char *b) {
        size_t an = strlen(a), bn = strlen(b);

        while (an && a[an - 1] == '/')
                an--;
        while (bn && b[bn - 1] == '/')
                bn--;
        return an == bn && strncasecmp(a, b, an) == 0;
}

static enum result take(const struct client *c, const char *option, char **ret) {
        const char *value = global_option_value(c, option);

        if (!value)
                return DONE;
        free(*ret);
        *ret = strdup(value);
        return *ret ? DONE : fail(REFUSED, "out of memory");
}

/* Whose certificate it is may renew it, whatever cactl.conf says who one is else. */
static enum result take_own(const struct client *c, struct place *place) {
        if (!c->own_certificate || global_option_value(c, "cert"))
                return DONE;
        free(place->certificate);
        free(place->key);
        place->certificate = strdup(c->own_certificate);
        place->key = strdup(c->own_key);
        return place->certificate && place->key ? DONE : fail(REFUSED, "out of memory");
}

enum result place_read(const struct client *c, struct place *ret) {
        CAD_AUTO(place_done) struct place place = { 0 };
        const char *url = global_option_value(c, "url");
        enum result result = read_conf(&place);

        if (result != DONE)
                return result;
        if (url && place.url && !place_same_url(url, place.url))
                place_done(&place);
        if (global_option_value(c, "root") || global_option_value(c, "fingerprint")) {
                /* each replaces both: they say the same thing */
                free(place.root);
                free(place.fingerprint);
                place.root = place.fingerprint = NULL;
        }
        if (global_option_value(c, "cert")) {
                free(place.key);
                place.key = NULL;
        }
        if ((result = take(c, "url", &place.url)) != DONE ||
            (result = take(c, "root", &place.root)) != DONE ||
            (result = take(c, "fingerprint", &place.fingerprint)) != DONE ||
            (result = take(c, "cert", &place.certificate)) != DONE ||
            (result = take(c, "key", &place.key)) != DONE || (result = take_own(c, &place)) != DONE)
                return result;
        *ret = place;
        place = (struct place){ 0 };
        return DONE;
}

/* ---- the key ---- */

/* What anybody could read is no secret any more; better said before it is used than never. */
static enum result check_mode(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return fail(WRONG_USAGE, "%s: %s", path, strerror(errno));
        if (st.st_mode & (S_IRWXO | S_IWGRP))
                return fail(
                        REFUSED,
                        "%s holds a private key and others may use it (mode %04o): chmod 600 %s",
                        path, (unsigned) st.st_mode & 07777u, path);
        return DONE;
}

static enum result ask_passphrase(const char *path, struct bytes text, struct buffer *ret,
                                  struct private_key **ret_key) {
        CAD_AUTO(buffer_done) struct buffer question = { 0 };
        char typed[PASSPHRASE_MAX] = "";
        struct error err = { 0 };
        enum result result = DONE;

        if (!terminal_on(STDIN_FILENO))
                return fail(REFUSED,
                            "%s is encrypted, and there is no terminal to ask for its passphrase",
                            path);
        buffer_format(&question, "Passphrase of %s", path);
        if (ask_hidden(buffer_string(&question), typed, sizeof(typed)) < 0)
                return fail(REFUSED, "no passphrase was given");
        typed[strcspn(typed, "\r\n")] = '\0';
        if (private_key_from_pem(text, bytes_of(typed), ret_key, &err) < 0)
                result = fail(REFUSED, "%s: %s", path, err.text);
        else
                buffer_text(ret, typed);
        explicit_bzero(typed, sizeof(typed));
        return result;
}

static enum result read_key(const char *path, bool own_file, struct buffer *ret_passphrase,
                            struct private_key **ret) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        struct error err = { 0 };
        enum result result = check_mode(path);

        if (result != DONE)
                return result;
        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        if (private_key_from_pem(buffer_bytes(&text), BYTES_NONE, ret, &err) == 0)
                return DONE;
        if (err.code == ERR_KEY_PASSPHRASE)
                return ask_passphrase(path, buffer_bytes(&text), ret_passphrase, ret);
        return fail(REFUSED, "%s: %s%s", path, err.text,
                    own_file ? "" : ": say with --key where the certificate's key is");
}

/* The first certificate of the file is the one that is shown. */
static enum result check_fit(const char *path, const struct private_key *key) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 }, der = { 0 };
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        char label[PEM_LABEL_MAX] = "";
        struct error err = { 0 };
        struct bytes rest;
        struct cert cert;

        if (input_read(path, &text, &err) < 0 || private_key_spki(key, &spki, &err) < 0)
                return fail_error(&err);
        rest = buffer_bytes(&text);
        while (!text_equal(label, "CERTIFICATE")) {
                buffer_wipe(&der);
                if (pem_next(&rest, label, &der, &err) != 1)
                        return fail(REFUSED, "%s: there is no certificate in PEM in it", path);
        }
        if (cert_read(buffer_bytes(&der), &cert, &err) < 0)
                return fail(REFUSED, "%s: %s", path, err.text);
        if (!bytes_equal(cert.spki, buffer_bytes(&spki)))
                return fail(
                        REFUSED,
                        "%s and its key do not belong together: name the key that it was made for",
                        path);
        return DONE;
}

enum result place_check_key(const struct place *place, struct buffer *ret_passphrase) {
        const char *path = place->key ? place->key : place->certificate;
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        enum result result;

        /* in a token, which guards it itself */
        if (strncmp(path, "pkcs11:", 7) == 0 || strncmp(place->certificate, "pkcs11:", 7) == 0)
                return DONE;
        result = read_key(path, place->key != NULL, ret_passphrase, &key);
        return result == DONE ? check_fit(place->certificate, key) : result;
}
