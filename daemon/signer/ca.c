/*
 * The CA folder, read. It never writes: making a CA is create.c, changing one rotation.c.
 */
#include "daemon/signer/ca.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "daemon/signer/host.h"
#include "lib/base/file.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

#define CA_FILE_MAX (64u * 1024) /* bytes of a file in the folder */

struct ca *ca_free(struct ca *ca) {
        if (!ca)
                return NULL;
        (void) ca_free(ca->before);
        buffer_done(&ca->root_der);
        ca->root_key = private_key_free(ca->root_key);
        for (size_t i = 0; i < ca->issuer_count; i++) {
                buffer_done(&ca->issuers[i].der);
                ca->issuers[i].key = private_key_free(ca->issuers[i].key);
                ca->issuers[i].constraints = constraints_free(ca->issuers[i].constraints);
                ca->issuers[i].root_constraints = constraints_free(ca->issuers[i].root_constraints);
        }
        free(ca);
        return NULL;
}

const char *ca_path(const char *id, const char *suffix, char *out, size_t size) {
        (void) snprintf(out, size, CA_FOLDER "/%s%s", id, suffix);
        return out;
}

/* A file that belongs to the CA and is not there makes the CA incomplete, not absent. */
static int incomplete(struct error *err) {
        struct error cause;

        if (!err || err->code != ERR_NOT_FOUND)
                return -1;
        cause = *err;
        return error_set(err, ERR_CA_INCOMPLETE,
                         "the CA is not complete: %.300s. Put it back from a backup", cause.text);
}

static int read_certificate(int dir_fd, const char *path, struct buffer *ret_der, struct cert *ret,
                            struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        char label[PEM_LABEL_MAX];
        struct bytes rest;

        if (file_read(dir_fd, path, FILE_PUBLIC, CA_FILE_MAX, &text, err) < 0)
                return incomplete(err);
        rest = buffer_bytes(&text);
        if (pem_next(&rest, label, ret_der, err) != 1 || strcmp(label, "CERTIFICATE") != 0)
                return error_set(err, ERR_CA_INCOMPLETE,
                                 "%s holds no PEM certificate: put it back from a backup", path);
        if (cert_read(buffer_bytes(ret_der), ret, err) < 0)
                return error_set(err, ERR_CA_INCOMPLETE,
                                 "%s cannot be read as a certificate: put it back from a backup",
                                 path);
        if (!ret->is_ca)
                return error_set(err, ERR_CA_INCOMPLETE, "%s is not a CA's certificate", path);
        return 0;
}

static int read_key(int dir_fd, const char *path, struct bytes passphrase, struct private_key **ret,
                    bool *ret_encrypted, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        struct error cause = { 0 };

        if (file_read(dir_fd, path, FILE_SECRET, CA_FILE_MAX, &text, err) < 0)
                return incomplete(err);
        *ret_encrypted = strstr(buffer_string(&text), "ENCRYPTED PRIVATE KEY") != NULL;
        if (private_key_from_pem(buffer_bytes(&text), passphrase, ret, &cause) < 0)
                return error_set(err, cause.code, "%s: %.400s", path, cause.text);
        return 0;
}

static int check_key_fits(const struct private_key *key, const struct cert *cert, const char *id,
                          struct error *err) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };

        if (private_key_spki(key, &spki, err) < 0)
                return -1;
        if (!bytes_equal(buffer_bytes(&spki), cert->spki))
                return error_set(
                        err, ERR_CA_INCOMPLETE,
                        "the key %s/%s.key does not fit the certificate %s/%s.crt: put both back from one backup",
                        CA_FOLDER, id, CA_FOLDER, id);
        return 0;
}

static int check_issued_by_root(const struct ca *ca, const struct cert *cert, const char *id,
                                struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *root_key = NULL;

        if (public_key_from_spki(ca->root.spki, RSA_BITS_MAX, &root_key, err) < 0)
                return -1;
        if (!bytes_equal(cert->issuer, ca->root.subject) ||
            public_key_verify(root_key, cert->algorithm, cert->tbs, cert->signature, NULL) < 0)
                return error_set(err, ERR_CA_INCOMPLETE, "%s/%s.crt is not signed by %s/root.crt",
                                 CA_FOLDER, id, CA_FOLDER);
        return 0;
}

static void set_signs_as(struct ca_issuer *issuer, const char *public_url) {
        signer_issuer_urls(public_url, issuer->id, issuer->crl_url, issuer->issuer_url);
        issuer->signs_as.subject = issuer->cert.subject;
        issuer->signs_as.algorithm = private_key_algorithm(issuer->key);
        issuer->signs_as.crl_url = issuer->crl_url;
        issuer->signs_as.issuer_url = issuer->issuer_url;
}

int ca_use_public_url(struct ca *ca, const char *url, struct error *err) {
        char checked[CERT_URL_MAX];

        if (host_check_public_url(url, checked, sizeof(checked), err) < 0)
                return -1;
        (void) snprintf(ca->public_url, sizeof(ca->public_url), "%s", checked);
        for (size_t i = 0; i < ca->issuer_count; i++)
                set_signs_as(&ca->issuers[i], ca->public_url);
        return 0;
}

/* Verifiers hold a name against the constraints of every certificate above it: a root that was there before may have narrower ones. */
static int load_constraints(const struct ca *ca, struct ca_issuer *issuer, struct error *err) {
        if (ca->root.name_constraints.size &&
            !bytes_equal(ca->root.name_constraints, issuer->cert.name_constraints) &&
            constraints_from_der(ca->root.name_constraints, &issuer->root_constraints, err) < 0)
                return -1;
        if (issuer->cert.name_constraints.size)
                return constraints_from_der(issuer->cert.name_constraints, &issuer->constraints,
                                            err);
        issuer->constraints = constraints_new();
        return issuer->constraints ? 0 : error_no_memory(err);
}

struct load_state {
        struct ca *ca;
        int dir_fd;
        struct bytes passphrase;
        const struct ca_conf *conf;
};

static enum signer_issuer_state state_of(const struct ca_conf *conf, const char *id) {
        if (text_equal(id, conf->active))
                return SIGNER_ISSUER_ACTIVE;
        return ca_conf_lists(conf->retired, id) ? SIGNER_ISSUER_RETIRED : SIGNER_ISSUER_STANDBY;
}

static int load_issuer(const char *id, void *context, struct error *err) {
        struct load_state *state = context;
        struct ca_issuer *issuer;
        char path[64];
        bool encrypted = false;

        if (state->ca->issuer_count == SIGNER_ISSUERS_MAX || strlen(id) >= SIGNER_ISSUER_MAX ||
            strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(id))
                return error_set(err, ERR_CA_INCOMPLETE,
                                 "%s/ca.conf: '%.40s' cannot be an intermediate's id", CA_FOLDER,
                                 id);
        issuer = &state->ca->issuers[state->ca->issuer_count++];
        (void) snprintf(issuer->id, sizeof(issuer->id), "%s", id);
        issuer->state = state_of(state->conf, id);
        if (read_certificate(state->dir_fd, ca_path(id, ".crt", path, sizeof(path)), &issuer->der,
                             &issuer->cert, err) < 0 ||
            check_issued_by_root(state->ca, &issuer->cert, id, err) < 0 ||
            read_key(state->dir_fd, ca_path(id, ".key", path, sizeof(path)), state->passphrase,
                     &issuer->key, &encrypted, err) < 0 ||
            check_key_fits(issuer->key, &issuer->cert, id, err) < 0 ||
            load_constraints(state->ca, issuer, err) < 0)
                return -1;
        if (issuer->cert.subject_key_id.size != KEY_ID_SIZE)
                return error_set(err, ERR_CA_INCOMPLETE,
                                 "%s/%s.crt has no subject key identifier of 20 octets", CA_FOLDER,
                                 id);
        memcpy(issuer->signs_as.key_id, issuer->cert.subject_key_id.data, KEY_ID_SIZE);
        state->ca->keys_encrypted |= encrypted;
        set_signs_as(issuer, state->ca->public_url);
        return 0;
}

static bool file_there(int dir_fd, const char *path) {
        struct stat st;

        return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int load_root(struct ca *ca, int dir_fd, struct error *err) {
        uint8_t fingerprint[SHA256_SIZE];
        char path[64];

        if (read_certificate(dir_fd, ca_path("root", ".crt", path, sizeof(path)), &ca->root_der,
                             &ca->root, err) < 0)
                return -1;
        cert_fingerprint(ca->root.der, fingerprint);
        (void) hex_encode(BYTES(fingerprint, sizeof(fingerprint)), ca->id);
        ca->root_key_present = file_there(dir_fd, ca_path("root", ".key", path, sizeof(path)));
        return 0;
}

static int read_conf(int dir_fd, struct ca_conf *ret, struct error *err) {
        if (!file_there(dir_fd, CA_FOLDER))
                return error_set(err, ERR_CA_MISSING, "there is no CA here: `cad init` makes one");
        return ca_conf_read(dir_fd, ret, err) < 0 ? incomplete(err) : 0;
}

static int load_public(struct ca *ca, int dir_fd, const struct ca_conf *conf, struct error *err) {
        if (!ca)
                return error_no_memory(err);
        (void) snprintf(ca->name, sizeof(ca->name), "%s", conf->name);
        (void) snprintf(ca->public_url, sizeof(ca->public_url), "%s", conf->public_url);
        (void) snprintf(ca->replaces, sizeof(ca->replaces), "%s",
                        conf->replaces ? conf->replaces : "");
        return load_root(ca, dir_fd, err);
}

/* Signing certificates needs no root key: whatever is wrong with it is said when the root's CRL is wanted, and nothing else waits for it. */
static void load_root_key(struct ca *ca, int dir_fd, struct bytes passphrase) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        struct error err = { 0 };
        char path[64];
        bool encrypted;

        if (!ca->root_key_present)
                return;
        if (read_key(dir_fd, ca_path("root", ".key", path, sizeof(path)), passphrase, &key,
                     &encrypted, &err) == 0 &&
            check_key_fits(key, &ca->root, "root", &err) == 0)
                ca->root_key = CAD_TAKE(key);
        else {
                ca->root_key_fault_code = err.code;
                (void) snprintf(ca->root_key_fault, sizeof(ca->root_key_fault), "%s", err.text);
        }
}

int ca_load_public(int dir_fd, struct ca **ret, struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = calloc(1, sizeof(*ca));
        CAD_AUTO(ca_conf_done) struct ca_conf conf = { 0 };

        if (read_conf(dir_fd, &conf, err) < 0 || load_public(ca, dir_fd, &conf, err) < 0)
                return -1;
        *ret = CAD_TAKE(ca);
        return 0;
}

int ca_load(int dir_fd, struct bytes passphrase, struct ca **ret, struct error *err) {
        CAD_AUTO(ca_conf_done) struct ca_conf conf = { 0 };

        return read_conf(dir_fd, &conf, err) < 0 ? -1
                                                 : ca_load_as(dir_fd, passphrase, &conf, ret, err);
}

int ca_load_as(int dir_fd, struct bytes passphrase, const struct ca_conf *conf, struct ca **ret,
               struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = calloc(1, sizeof(*ca));
        struct load_state state = {
                .ca = ca, .dir_fd = dir_fd, .passphrase = passphrase, .conf = conf
        };

        if (load_public(ca, dir_fd, conf, err) < 0 ||
            setting_words(conf->intermediates, load_issuer, &state, err) < 0)
                return -1;
        if (!ca_issuer_find(ca, ""))
                return error_set(err, ERR_CA_INCOMPLETE,
                                 "%s/ca.conf: Active=%.40s is none of its Intermediates=",
                                 CA_FOLDER, conf->active);
        load_root_key(ca, dir_fd, passphrase);
        *ret = CAD_TAKE(ca);
        return 0;
}

const struct ca_issuer *ca_issuer_find(const struct ca *ca, const char *id) {
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (id[0] ? strcmp(ca->issuers[i].id, id) == 0
                          : ca->issuers[i].state == SIGNER_ISSUER_ACTIVE)
                        return &ca->issuers[i];
        return NULL;
}

const struct ca_issuer *ca_standby(const struct ca *ca) {
        for (size_t i = ca->issuer_count; i-- > 0;)
                if (ca->issuers[i].state == SIGNER_ISSUER_STANDBY)
                        return &ca->issuers[i];
        return NULL;
}

void ca_hello(const struct ca *ca, struct sign_hello *ret) {
        *ret = (struct sign_hello){
                .root = ca->root.der,
                .root_key_present = ca->root_key_present,
                .keys_encrypted = ca->keys_encrypted,
                .issuer_count = ca->issuer_count,
        };
        memcpy(ret->ca_id, ca->id, sizeof(ret->ca_id));
        memcpy(ret->replaces, ca->replaces, sizeof(ret->replaces));
        memcpy(ret->name, ca->name, sizeof(ret->name));
        memcpy(ret->public_url, ca->public_url, sizeof(ret->public_url));
        for (size_t i = 0; i < ca->issuer_count; i++) {
                memcpy(ret->issuers[i].id, ca->issuers[i].id, sizeof(ret->issuers[i].id));
                ret->issuers[i].state = ca->issuers[i].state;
                ret->issuers[i].der = ca->issuers[i].cert.der;
        }
}

bool ca_owns_key(const struct ca *ca, struct bytes spki) {
        bool owned = bytes_equal(spki, ca->root.spki);

        for (size_t i = 0; i < ca->issuer_count; i++)
                owned |= bytes_equal(spki, ca->issuers[i].cert.spki);
        return owned;
}

/* ---- the probe ---- */

/* An entry of @from as a name that all of @issuer's constraints permit. */
static bool probe_name_of(const struct name_constraints *from, const struct ca_issuer *issuer,
                          struct san_list *ret) {
        for (size_t i = 0; i < constraints_count(from, CONSTRAINTS_PERMITTED); i++) {
                char text[SAN_TEXT_MAX];
                enum san_type type;

                (void) constraints_text(from, CONSTRAINTS_PERMITTED, i, &type, text, sizeof(text));
                text[strcspn(text, "/")] = '\0';
                if ((type != SAN_DNS && type != SAN_IP) || san_list_add_text(ret, text, NULL) < 0)
                        continue;
                if (constraints_check_list(issuer->constraints, ret, "names", NULL) == 0 &&
                    (!issuer->root_constraints ||
                     constraints_check_list(issuer->root_constraints, ret, "names", NULL) == 0))
                        return true;
                san_list_done(ret);
        }
        return false;
}

/* Some name that the constraints permit, so that a verifier has something to hold against them. */
static int probe_name(const struct ca_issuer *issuer, struct san_list *ret, struct error *err) {
        if (probe_name_of(issuer->constraints, issuer, ret) ||
            (issuer->root_constraints && probe_name_of(issuer->root_constraints, issuer, ret)))
                return 0;
        return san_list_add_text(ret, "localhost", err);
}

static int probe_issuer(const struct ca *ca, const struct ca_issuer *issuer,
                        const struct profile *profile, int64_t now, struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        CAD_AUTO(buffer_done) struct buffer leaf = { 0 };
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        uint8_t octets[CERT_MAX];
        struct der_writer w;
        struct cert_wish wish = { .profile = profile,
                                  .serial = BYTES_LITERAL("\x01\x02\x03\x04\x05\x06\x07\x08"),
                                  .key_type = KEY_ECDSA_P256,
                                  .names = &names };
        bool cut;
        int64_t at = now;

        if (at < issuer->cert.validity.not_before || at > issuer->cert.validity.not_after)
                at = issuer->cert.validity
                             .not_before; /* the chain is looked at, not the clock: that is clock.c's */
        if (private_key_generate(KEY_ECDSA_P256, 0, &key, err) < 0 ||
            private_key_spki(key, &spki, err) < 0 || probe_name(issuer, &names, err) < 0 ||
            cert_validity(profile, at, 0, 0, &issuer->cert.validity, &wish.validity, &cut, err) < 0)
                return -1;
        wish.spki = buffer_bytes(&spki);
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &issuer->signs_as, &wish);
        if (cert_sign(issuer->key, der_writer_bytes(&w), &leaf, err) < 0)
                return -1;
        return chain_verify(buffer_bytes(&leaf), issuer->cert.der, ca->root.der, at, err);
}

int ca_probe(const struct ca *ca, const struct profile_set *profiles, int64_t now,
             struct error *err) {
        const struct profile *profile = profiles_find(profiles, "server", err);

        for (size_t i = 0; profile && i < ca->issuer_count; i++) {
                struct error cause = { 0 };

                if (probe_issuer(ca, &ca->issuers[i], profile, now, &cause) < 0)
                        return error_set(err, ERR_SIGNER_WRONG,
                                         "a leaf of %s does not verify through the chain: %.400s",
                                         ca->issuers[i].id, cause.text);
        }
        return profile ? 0 : -1;
}
