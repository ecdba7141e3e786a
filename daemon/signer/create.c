/*
 * Making a CA. Everything is written beside its place and renamed at the end; nothing that was there is ever
 * written over.
 */
#include "daemon/signer/create.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/signer/anchors.h"
#include "daemon/signer/clock.h"
#include "daemon/signer/host.h"
#include "daemon/signer/signlog.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

#define NEW_FOLDER "ca.new"
#define YEAR_S (365 * INT64_C(86400))
#define BACKDATE_S \
        (24 * \
         INT64_C(3600)) /* of CA certificates: older than any leaf's backdate, for skewed clocks */
#define ROOT_FILE_MAX (64u * 1024)
#define TAG_SIZE 3 /* random octets in the names of a CA, so that two CAs of one name differ */
#define INTERMEDIATES 2

/* ---- plan ---- */

int ca_plan_defaults(struct ca_plan *plan, struct error *err) {
        *plan = (struct ca_plan){
                .key_type = KEY_ECDSA_P256,
                .root_validity_s = 20 * YEAR_S,
                .intermediate_validity_s = 5 * YEAR_S,
                .constraints = constraints_new(),
                .http_port = 8080,
        };
        if (!plan->constraints)
                return error_no_memory(err);
        if (constraints_add_defaults(plan->constraints, err) < 0)
                return -1;
        return host_permit_own_domain(plan->constraints, err);
}

/* ---- what is there ---- */

static bool there(int dir_fd, const char *path) {
        struct stat st;

        return (dir_fd >= 0 || dir_fd == AT_FDCWD) &&
                fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int ca_absent(const struct ca_place *place, struct error *err) {
        if (there(place->state_fd, CA_FOLDER))
                return 0;
        if (there(place->state_fd, SIGNLOG_FILE) || there(place->state_fd, SIGNLOG_FILE ".1"))
                return error_set(
                        err, ERR_CA_INCOMPLETE,
                        "the signer's log is in the state folder, but the CA's keys and certificates are not: put the folder "
                        "%s back from a backup, or begin anew in a new state folder",
                        CA_FOLDER);
        if (place->store_path && there(AT_FDCWD, place->store_path))
                return error_set(
                        err, ERR_CA_INCOMPLETE,
                        "the database %s is there, but the CA's keys and certificates are not: put the signer's "
                        "folder back from a backup (no second CA is made over a first)",
                        place->store_path);
        if (there(place->config_fd, CA_ID_FILE))
                return error_set(
                        err, ERR_CA_INCOMPLETE,
                        "%s in the configuration folder says that a CA was made here, but its keys and certificates "
                        "are not in the state folder: is the disk mounted? Put them back from a backup, or remove %s "
                        "to begin anew",
                        CA_ID_FILE, CA_ID_FILE);
        return 1;
}

/* It may be half written. */
static void remove_file(int dir_fd, const char *name) {
        char temporary[40];

        (void) snprintf(temporary, sizeof(temporary), "%s.tmp", name);
        (void) unlinkat(dir_fd, temporary, 0);
        (void) unlinkat(dir_fd, name, 0);
}

static int remove_folder(int dir_fd, const char *folder) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        static const char *const files[] = { "ca.conf", "root.crt", "root.key" };
        char name[32];

        if (fd < 0)
                return errno == ENOENT ? 0 : -1;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                remove_file(fd, files[i]);
        for (int i = 1; i <= SIGNER_ISSUERS_MAX; i++) {
                (void) snprintf(name, sizeof(name), "int-%d.crt", i);
                remove_file(fd, name);
                (void) snprintf(name, sizeof(name), "int-%d.key", i);
                remove_file(fd, name);
        }
        return unlinkat(dir_fd, folder, AT_REMOVEDIR);
}

/* ---- making ---- */

struct making {
        const struct ca_plan *plan;
        int folder_fd; /* ca.new */
        int64_t now;
        char name[65], public_url[CERT_URL_MAX];
        char tag[2 * TAG_SIZE + 1];
        struct private_key *root_key;
        struct buffer root_der;
        struct cert root;
        char replaces[2 * SHA256_SIZE + 1];
        bool root_key_lent;
};

static void making_done(struct making *m) {
        if (!m->root_key_lent)
                m->root_key = private_key_free(m->root_key);
        buffer_done(&m->root_der);
        m->folder_fd = fd_close(m->folder_fd);
}
CAD_CLEANUP_DONE(struct making, making_done)

static int write_key(struct making *m, const char *id, const struct private_key *key,
                     struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        char file[32];

        (void) snprintf(file, sizeof(file), "%s.key", id);
        if (private_key_to_pem(key, m->plan->passphrase, &pem, err) < 0)
                return -1;
        return file_replace(m->folder_fd, file, buffer_bytes(&pem), 0600, err);
}

static int write_certificate(struct making *m, const char *id, struct bytes der,
                             struct error *err) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        char file[32];

        (void) snprintf(file, sizeof(file), "%s.crt", id);
        pem_append(&pem, "CERTIFICATE", der);
        return pem.failed ? error_no_memory(err)
                          : file_replace(m->folder_fd, file, buffer_bytes(&pem), 0644, err);
}

static int random_serial(uint8_t serial[16], struct error *err) {
        if (gnutls_rnd(GNUTLS_RND_KEY, serial, 16) < 0)
                return error_set(err, ERR_CRYPTO, "no random numbers are to be had");
        serial[0] = (serial[0] & 0x3f) | 0x40; /* positive, and 16 octets always */
        return 0;
}

static int sign_ca(const struct private_key *key, const struct cert_issuer *issuer,
                   struct ca_wish *wish, struct buffer *ret, struct error *err) {
        uint8_t octets[CERT_MAX], serial[16];
        struct der_writer w;

        if (random_serial(serial, err) < 0)
                return -1;
        wish->serial = BYTES(serial, sizeof(serial));
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_ca(&w, issuer, wish);
        wish->serial = BYTES_NONE;
        return cert_sign(key, der_writer_bytes(&w), ret, err);
}

static int make_root(struct making *m, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        char common_name[65];
        struct ca_wish wish = {
                .organization = m->name,
                .common_name = common_name,
                .constraints = m->plan->unconstrained ? NULL : m->plan->constraints,
                .path_length = -1,
                .self_signed = true,
                .validity = { m->now - BACKDATE_S,
                              m->now - BACKDATE_S + m->plan->root_validity_s - 1 },
        };
        struct cert_issuer issuer = { 0 };

        if (private_key_generate(m->plan->key_type, m->plan->key_bits, &m->root_key, err) < 0 ||
            private_key_spki(m->root_key, &spki, err) < 0)
                return -1;
        (void) snprintf(common_name, sizeof(common_name), "%.40s Root %s", m->name, m->tag);
        wish.spki = buffer_bytes(&spki);
        issuer.algorithm = private_key_algorithm(m->root_key);
        return sign_ca(m->root_key, &issuer, &wish, &m->root_der, err);
}

/* A root that exists: it must be able to do what is asked of it, or people find out when it is too late. */
static int check_foreign_root(const struct making *m, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        struct error why = { 0 };
        char until[MOMENT_TEXT_MAX];

        if (!m->root.is_ca || !m->root.has_basic_constraints || m->root.path_length == 0 ||
            (m->root.has_key_usage && !(m->root.key_usage & KU_KEY_CERT_SIGN)))
                return error_set(
                        err, ERR_USAGE,
                        "%s may not make intermediates: it needs CA:TRUE, a path length of at least 1 or none, "
                        "and the key usage keyCertSign",
                        m->plan->root_cert_path);
        if (!cert_is_self_signed(&m->root) || m->root.subject_key_id.size != KEY_ID_SIZE)
                return error_set(
                        err, ERR_USAGE,
                        "%s is not a root: it must be self-signed and have a subject key identifier of 20 octets",
                        m->plan->root_cert_path);
        if (m->root.validity.not_after < m->now + 30 * INT64_C(86400) ||
            m->root.validity.not_before > m->now)
                return error_set(
                        err, ERR_USAGE,
                        "%s is valid until %s only, or not yet: that is no root to begin with",
                        m->plan->root_cert_path, moment_format(m->root.validity.not_after, until));
        if (private_key_spki(m->root_key, &spki, err) < 0)
                return -1;
        if (!bytes_equal(buffer_bytes(&spki), m->root.spki))
                return error_set(err, ERR_USAGE, "the key %s does not fit the certificate %s",
                                 m->plan->root_key_path, m->plan->root_cert_path);
        if (root_verify(m->root.der, &why) < 0)
                return error_set(err, ERR_USAGE, "%s cannot be a root: %s", m->plan->root_cert_path,
                                 why.text);
        return 0;
}

static int read_root(struct making *m, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        CAD_AUTO(buffer_wipe) struct buffer key = { 0 };
        char label[PEM_LABEL_MAX];
        struct bytes rest;

        if (file_read(AT_FDCWD, m->plan->root_cert_path, FILE_PUBLIC, ROOT_FILE_MAX, &text, err) <
                    0 ||
            file_read(AT_FDCWD, m->plan->root_key_path, FILE_SECRET, ROOT_FILE_MAX, &key, err) < 0)
                return -1;
        rest = buffer_bytes(&text);
        if (pem_next(&rest, label, &m->root_der, NULL) != 1 || strcmp(label, "CERTIFICATE") != 0)
                return error_set(err, ERR_USAGE, "%s holds no PEM certificate",
                                 m->plan->root_cert_path);
        if (private_key_from_pem(buffer_bytes(&key), m->plan->passphrase, &m->root_key, err) < 0 &&
            (m->plan->passphrase.size == 0 ||
             private_key_from_pem(buffer_bytes(&key), BYTES_NONE, &m->root_key, err) < 0))
                return -1;
        if (cert_read(buffer_bytes(&m->root_der), &m->root, err) < 0)
                return -1;
        return check_foreign_root(m, err);
}

static int provide_root(struct making *m, struct error *err) {
        if (m->plan->root_cert_path) {
                if (read_root(m, err) < 0)
                        return -1;
        } else if (make_root(m, err) < 0 ||
                   cert_read(buffer_bytes(&m->root_der), &m->root, err) < 0) {
                return -1;
        }
        if (write_key(m, "root", m->root_key, err) < 0)
                return -1;
        return write_certificate(m, "root", m->root.der, err);
}

static int make_intermediate(struct making *m, int number, struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        char id[SIGNER_ISSUER_MAX], common_name[80], crl_url[CERT_URL_MAX],
                issuer_url[CERT_URL_MAX];
        struct cert_issuer issuer = { .subject = m->root.subject,
                                      .algorithm = private_key_algorithm(m->root_key),
                                      .crl_url = crl_url,
                                      .issuer_url = issuer_url };
        struct ca_wish wish = {
                .organization = m->name,
                .common_name = common_name,
                .constraints = m->plan->unconstrained ? NULL : m->plan->constraints,
                .path_length = 0,
                .validity = { m->now - BACKDATE_S,
                              m->now - BACKDATE_S + m->plan->intermediate_validity_s - 1 },
        };

        if (wish.validity.not_before < m->root.validity.not_before)
                wish.validity.not_before = m->root.validity.not_before;
        if (wish.validity.not_after > m->root.validity.not_after)
                wish.validity.not_after = m->root.validity.not_after;
        if (private_key_generate(m->plan->key_type, m->plan->key_bits, &key, err) < 0 ||
            private_key_spki(key, &spki, err) < 0)
                return -1;
        (void) snprintf(id, sizeof(id), "int-%d", number);
        (void) snprintf(common_name, sizeof(common_name), "%.40s Intermediate %d %s", m->name,
                        number, m->tag);
        signer_issuer_urls(m->public_url, "root", crl_url, issuer_url);
        memcpy(issuer.key_id, m->root.subject_key_id.data, KEY_ID_SIZE);
        wish.spki = buffer_bytes(&spki);
        if (sign_ca(m->root_key, &issuer, &wish, &der, err) < 0 || write_key(m, id, key, err) < 0)
                return -1;
        return write_certificate(m, id, buffer_bytes(&der), err);
}

static int write_conf(struct making *m, struct error *err) {
        char intermediates[] = "int-1 int-2", active[] = "int-1";
        const struct ca_conf conf = { .name = m->name,
                                      .public_url = m->public_url,
                                      .intermediates = intermediates,
                                      .active = active,
                                      .replaces = m->replaces[0] ? m->replaces : NULL };

        return ca_conf_write(m->folder_fd, "ca.conf", &conf, err);
}

static bool name_ok(const char *name) {
        struct bytes text = bytes_of(name);
        char shown[CA_NAME_MAX * 4 + 1];

        /* no INI syntax, nothing that cannot be shown */
        return text.size > 0 && text.size <= CA_NAME_MAX && utf8_valid(text) &&
                !strpbrk(name, "=;#[]\"\\\n\r") &&
                strcmp(text_printable(text, shown, sizeof(shown)), name) == 0;
}

static int choose_tag(struct making *m, struct error *err) {
        uint8_t tag[TAG_SIZE];

        if (gnutls_rnd(GNUTLS_RND_NONCE, tag, sizeof(tag)) < 0)
                return error_set(err, ERR_CRYPTO, "no random numbers are to be had");
        (void) hex_encode(BYTES(tag, sizeof(tag)), m->tag);
        return 0;
}

static int choose_names(struct making *m, struct error *err) {
        if (choose_tag(m, err) < 0)
                return -1;
        if (m->plan->name)
                (void) snprintf(m->name, sizeof(m->name), "%s", m->plan->name);
        else
                host_ca_name(m->name, CA_NAME_MAX + 1);
        if (!name_ok(m->name))
                return error_set(
                        err, ERR_USAGE,
                        "'%s' cannot be the name of a CA: 1 to %d characters, none of = ; # [ ] \" \\ or control characters",
                        m->plan->name ? m->plan->name : m->name, CA_NAME_MAX);
        if (!m->plan->public_url)
                return host_public_url(m->plan->unconstrained ? NULL : m->plan->constraints,
                                       m->plan->http_port, m->public_url, sizeof(m->public_url),
                                       err);
        return host_check_public_url(m->plan->public_url, m->public_url, sizeof(m->public_url),
                                     err);
}

static int check_plan(const struct ca_plan *plan, int64_t now, struct error *err) {
        if (!plan->root_cert_path != !plan->root_key_path)
                return error_set(err, ERR_USAGE, "--root-cert and --root-key go together");
        if (plan->root_validity_s < 30 * INT64_C(86400) ||
            plan->intermediate_validity_s < 30 * INT64_C(86400))
                return error_set(
                        err, ERR_USAGE,
                        "a root and an intermediate are valid for 30 days at least: give a longer --root-validity or "
                        "--intermediate-validity");
        if (!plan->root_cert_path && plan->intermediate_validity_s > plan->root_validity_s)
                return error_set(err, ERR_USAGE,
                                 "--intermediate-validity may not be longer than --root-validity");
        if (now + plan->root_validity_s > MOMENT_LAST)
                return error_set(err, ERR_USAGE, "--root-validity ends after the year 9999");
        return clock_check(now * 1000, now * 1000, true, err);
}

/* --again is for a CA that nobody can have a certificate of yet. An --again before this one that was cut off is finished first. */
static int may_replace(const struct ca_place *place, char replaces[2 * SHA256_SIZE + 1],
                       struct error *err) {
        CAD_AUTO(ca_free) struct ca *old = NULL;
        struct clock_mark mark = { 0 };
        bool issued = there(place->state_fd, SIGNLOG_FILE ".1");

        if (clock_mark_read(place->state_fd, &mark, NULL) == 0 && mark.issued > 0)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "this CA has issued %lld certificates already: --again is for one that has issued none. Use a "
                        "new state folder for a new CA",
                        (long long) mark.issued);
        if (!issued && signlog_tells_of_issue(place->state_fd, &issued, err) < 0)
                return -1;
        if (issued)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "the signer's log says that this CA has issued certificates already: --again is for one that has issued none");
        if (ca_load_public(place->state_fd, &old, err) < 0 || ca_settle(place, old, err) < 0)
                return -1;
        memcpy(replaces, old->id, sizeof(old->id));
        return 0;
}

/* The rename is the moment at which the CA comes into being. Over a first one it is an exchange, so that there is no moment without. */
static int put_in_place(const struct ca_place *place, const struct making *m, struct error *err) {
        char aside[64];

        if (!m->replaces[0]) {
                if (renameat2(place->state_fd, NEW_FOLDER, place->state_fd, CA_FOLDER,
                              RENAME_NOREPLACE) < 0)
                        return error_errno(err, errno, "cannot put the new CA in place");
                return folder_sync(place->state_fd, "the CA", err);
        }
        /* the anchors are of the old one's audit */
        if (signlog_ca_replaced(place->state_fd, m->now, err) < 0)
                return -1;
        (void) unlinkat(place->state_fd, ANCHORS_FILE, 0);
        if (renameat2(place->state_fd, NEW_FOLDER, place->state_fd, CA_FOLDER, RENAME_EXCHANGE) < 0)
                return error_errno(err, errno, "cannot put the new CA in place of the old one");
        (void) snprintf(aside, sizeof(aside), "ca.replaced-%.16s", m->replaces);
        if (renameat(place->state_fd, NEW_FOLDER, place->state_fd, aside) < 0)
                return error_errno(err, errno, "cannot put the old CA aside as %s", aside);
        return folder_sync(place->state_fd, "the CA", err);
}

static int build(const struct ca_place *place, struct making *m, struct error *err) {
        struct clock_mark mark = { .latest_ms = m->now * 1000 };

        if (remove_folder(place->state_fd, NEW_FOLDER) < 0)
                return error_errno(err, errno,
                                   "cannot clear away %s, left by an init that was cut off",
                                   NEW_FOLDER);
        m->folder_fd = folder_open(place->state_fd, NEW_FOLDER, true, err);
        if (m->folder_fd < 0 || choose_names(m, err) < 0 || provide_root(m, err) < 0)
                return -1;
        for (int i = 1; i <= INTERMEDIATES; i++)
                if (make_intermediate(m, i, err) < 0)
                        return -1;
        if (write_conf(m, err) < 0 || folder_sync(m->folder_fd, NEW_FOLDER, err) < 0)
                return -1;
        return clock_mark_write(place->state_fd, &mark, err);
}

int ca_create(const struct ca_place *place, const struct ca_plan *plan, int64_t now,
              struct error *err) {
        CAD_AUTO(making_done) struct making m = { .plan = plan, .folder_fd = -1, .now = now };
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        int absent = ca_absent(place, err);

        if (absent < 0 || check_plan(plan, now, err) < 0)
                return -1;
        if (!absent && !plan->again)
                return error_set(
                        err, ERR_CA_EXISTS,
                        "there is a CA here already. `cad init --again` starts over as long as it has issued nothing; `cactl ca "
                        "show` shows it");
        if (!absent && may_replace(place, m.replaces, err) < 0)
                return -1;
        if (build(place, &m, err) < 0) {
                (void) remove_folder(place->state_fd, NEW_FOLDER);
                return -1;
        }
        if (put_in_place(place, &m, err) < 0 ||
            ca_load(place->state_fd, plan->passphrase, &ca, err) < 0)
                return -1;
        return ca_settle(place, ca, err);
}

/* ---- another intermediate ---- */

/* As the active one is: kind of key, constraints, length of life. */
static void plan_as(const struct ca_issuer *active, struct bytes passphrase, struct ca_plan *ret) {
        *ret = (struct ca_plan){
                .key_type = private_key_type(active->key),
                .key_bits = private_key_type(active->key) == KEY_RSA ? private_key_bits(active->key)
                                                                     : 0,
                .intermediate_validity_s = active->cert.validity.not_after -
                        active->cert.validity.not_before + 1,
                .constraints = active->constraints,
                .unconstrained = constraints_empty(active->constraints),
                .passphrase = passphrase,
        };
}

int ca_add_intermediate(int state_fd, const struct ca *ca, int number, struct bytes passphrase,
                        int64_t now, struct error *err) {
        struct ca_plan plan;
        CAD_AUTO(making_done)
        struct making m = {
                .plan = &plan,
                .now = now,
                .root_key = ca->root_key,
                .root_key_lent = true,
                .root = ca->root,
        };

        plan_as(ca_issuer_find(ca, ""), passphrase, &plan);
        (void) snprintf(m.name, sizeof(m.name), "%s", ca->name);
        (void) snprintf(m.public_url, sizeof(m.public_url), "%s", ca->public_url);
        m.folder_fd = folder_open(state_fd, CA_FOLDER, false, err);
        if (m.folder_fd < 0 || choose_tag(&m, err) < 0)
                return -1;
        return make_intermediate(&m, number, err);
}

/* ---- witnesses ---- */

static int write_ca_id(const struct ca_place *place, const struct ca *ca, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        buffer_format(&text, "%s\n", ca->id);
        if (file_replace(place->config_fd, CA_ID_FILE, buffer_bytes(&text), 0644, err) == 0)
                return 0;
        /* a configuration folder that the signer may not write is the usual, safer set-up: then root wrote ca-id at init, or nobody */
        return faccessat(place->config_fd, ".", W_OK, AT_EACCESS) < 0 ? 0 : -1;
}

int ca_settle(const struct ca_place *place, const struct ca *ca, struct error *err) {
        if (there(place->state_fd, NEW_FOLDER)) {
                char aside[64];

                (void) snprintf(aside, sizeof(aside), "ca.replaced-%.16s", ca->replaces);
                if (!ca->replaces[0] || there(place->state_fd, aside))
                        (void) remove_folder(place->state_fd, NEW_FOLDER);
                else
                        (void) renameat(place->state_fd, NEW_FOLDER, place->state_fd, aside);
        }
        return place->config_fd < 0 ? 0 : ca_remember(place, ca, err);
}

int ca_remember(const struct ca_place *place, const struct ca *ca, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error missing = { 0 };
        char *id;

        if (file_read(place->config_fd, CA_ID_FILE, FILE_PUBLIC, 256, &text, &missing) < 0) {
                if (missing.code == ERR_NOT_FOUND)
                        return write_ca_id(place, ca, err);
                *err = missing;
                return -1;
        }
        id = (char *) (uintptr_t) buffer_string(&text);
        id[strcspn(id, "\r\n")] = '\0';
        if (strcmp(id, ca->id) == 0)
                return 0;
        if (ca->replaces[0] && strcmp(id, ca->replaces) == 0)
                return write_ca_id(place, ca, err);
        return error_set(
                err, ERR_CA_INCOMPLETE,
                "the CA in the state folder (%.16s…) is not the one of %s in the configuration folder (%.16s…): is this the "
                "right state folder, the right --config?",
                ca->id, CA_ID_FILE, id);
}
