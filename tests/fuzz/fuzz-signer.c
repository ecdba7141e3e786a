/*
 * What a captured cad may say: the input is one frame. Whatever passes decoding and policy is made into a certificate, and
 * that must be a leaf of the signer's own making, inside profile, constraints and issuer.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/signer/create.h"
#include "daemon/signer/crl.h"
#include "daemon/signer/policy.h"
#include "lib/base/file.h"
#include "lib/base/memfd.h"

#define NOW \
        INT64_C(4102444800) /* 2100-01-01T00:00:00Z: always after the build, and the corpus is made for it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): a build without asserts must still find it. */
static void must(bool holds) {
        if (!holds)
                abort();
}

static struct ca *ca;
static struct profile_set *profiles;
static char folder[] = "/tmp/cad-fuzz-XXXXXX";

static void remove_folder(void) {
        static const char *const files[] = {
                "ca/ca.conf",   "ca/root.crt",  "ca/root.key", "ca/int-1.crt", "ca/int-1.key",
                "ca/int-2.crt", "ca/int-2.key", "ca",          "mark",         ""
        };
        char path[64];

        ca = ca_free(ca);
        profiles = profiles_free(profiles);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
                (void) remove(path);
        }
}

/* Once: a CA in a folder of its own. */
static void make_ca(void) {
        struct ca_place place = { .config_fd = -1 };
        struct ca_plan plan;
        struct error err = { 0 };

        must(mkdtemp(folder) != NULL);
        (void) atexit(remove_folder);
        place.state_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        must(place.state_fd >= 0 && ca_plan_defaults(&plan, &err) == 0);
        plan.name = "Fuzz CA";
        plan.public_url = "http://ca.lan";
        must(constraints_close(plan.constraints, &err) == 0 &&
             ca_create(&place, &plan, NOW, &err) == 0);
        must(ca_load(place.state_fd, BYTES_NONE, &ca, &err) == 0 &&
             profiles_load(-1, NULL, &profiles, &err) == 0);
        plan.constraints = constraints_free(plan.constraints);
        (void) close(place.state_fd);
}

/* What a leaf may never be, whoever asked. */
static void check_leaf(const struct policy_grant *grant) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        struct cert_wish wish = grant->wish;
        static uint8_t octets[CERT_MAX];
        struct error err = { 0 };
        struct der_writer w;
        struct cert cert;

        wish.serial = BYTES_LITERAL("\x10\1\2\3\4\5\6\7\10");
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &grant->issuer->signs_as, &wish);
        must(!w.failed && cert_sign(grant->issuer->key, der_writer_bytes(&w), &der, &err) == 0);
        must(cert_read(buffer_bytes(&der), &cert, &err) == 0 &&
             cert_compare(&cert, &grant->issuer->signs_as, &wish, &err) == 0);
        must(!cert.is_ca && !(cert.key_usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) &&
             !cert.unknown_critical);
        must(!cert.name_constraints.size && cert.extension_count <= 9);
        must(cert.validity.not_before >= grant->issuer->cert.validity.not_before &&
             cert.validity.not_after <= grant->issuer->cert.validity.not_after);
        must(cert.validity.not_after - cert.validity.not_before < grant->profile->validity_max_s);
        must(!ca_owns_key(ca, cert.spki));
        must(san_list_from_der(&names, cert.san, "names", NULL) == 0 && names.count > 0);
        must(constraints_check_list(grant->issuer->constraints, &names, "names", NULL) == 0);
}

static void try_policy(const struct sign_issue *issue) {
        CAD_AUTO(policy_grant_done) struct policy_grant grant = { 0 };
        struct error err = { 0 };

        if (policy_check(ca, profiles, issue, NOW, &grant, &err) == 0)
                check_leaf(&grant);
        else
                must(err.code != ERR_NONE && err.text[0] && !grant.issuer &&
                     grant.names.count == 0);
}

/* As it is; and with what a fuzzer cannot guess: the profile's digest, and a validity that passes. */
static void on_issue(struct frame_reader *fields) {
        struct sign_issue issue;
        struct error err = { 0 };
        const struct profile *profile;
        static uint8_t again[SIGNER_FRAME_MAX];
        struct sign_issue copy;
        struct signer_header header;
        struct frame_reader reader;

        if (sign_issue_decode(fields, &issue, &err) < 0) {
                must(err.code == ERR_MESSAGE_MALFORMED);
                return;
        }
        must(frame_open(sign_issue_encode(again, 1, &issue), &header, &reader, NULL) == 0 &&
             sign_issue_decode(&reader, &copy, NULL) == 0);
        must(bytes_equal(issue.names, copy.names) && bytes_equal(issue.spki, copy.spki) &&
             strcmp(issue.profile, copy.profile) == 0 &&
             strcmp(issue.common_name, copy.common_name) == 0 &&
             issue.validity.not_after == copy.validity.not_after);
        try_policy(&issue);
        profile = profiles_find(profiles, issue.profile, NULL);
        if (!profile)
                profile = profiles_find(profiles, "client", NULL);
        (void) snprintf(issue.profile, sizeof(issue.profile), "%s", profile->name);
        memcpy(issue.profile_digest, profile->digest, sizeof(profile->digest));
        try_policy(&issue);
        issue.issuer[0] = '\0';
        issue.validity = (struct validity){ NOW, NOW + profile->validity_default_s - 1 };
        try_policy(&issue);
}

static void on_anchor(struct frame_reader *fields) {
        struct audit_anchor anchor, again;
        char line[AUDIT_ANCHOR_TEXT_MAX];
        struct error err = { 0 };

        if (sign_anchor_decode(fields, &anchor, &err) < 0) {
                must(err.code == ERR_MESSAGE_MALFORMED);
                return;
        }
        must(anchor.number > 0 &&
             audit_anchor_parse(audit_anchor_format(&anchor, line), &again) == 0 &&
             memcmp(&anchor, &again, sizeof(again)) == 0);
}

/* What a CRL may never be, whoever asked. */
static void check_crl(struct crl_grant *grant, size_t octets) {
        CAD_AUTO(fd_close) int fd = -1;
        struct error err = { 0 };
        struct der_reader tbs;
        struct bytes der = BYTES_NONE;
        struct crl crl;
        size_t size;

        fd = crl_make(grant, octets, &size, &err);
        must(fd >= 0 && memfd_map(fd, size, &der, &err) == 0);
        must(crl_read(der, &crl, &err) == 0 && crl_compare(&crl, &grant->wish, &err) == 0);
        must(crl.entry_count == grant->wish.entry_count && crl.extension_count == 2 &&
             !crl.unknown_critical);
        must(crl.next_update <= NOW + 401 * INT64_C(86400));
        tbs = der_reader(crl.tbs);
        tbs = der_enter(&tbs, DER_SEQUENCE);
        (void) der_get_uint(&tbs);
        (void) der_get_element(&tbs, DER_SEQUENCE);
        (void) der_get_element(&tbs, DER_SEQUENCE);
        must(!der_next_is(&tbs, DER_SEQUENCE)); /* where a certificate's validity stands */
        memfd_unmap(der);
}

static void try_crl(struct sign_crl *wish) {
        struct crl_grant grant;
        struct error err = { 0 };
        size_t octets;

        if (crl_policy_check(ca, true, wish, NOW, &grant, &err) < 0 ||
            crl_measure(&grant.wish, &octets, &err) < 0) {
                must(err.code != ERR_NONE && err.text[0]);
                return;
        }
        if (grant.wish.number <= 0)
                grant.wish.number = 1; /* admitted is only what is above the last one */
        check_crl(&grant, octets);
}

/* As it is; and with what a fuzzer seldom finds: an issuer, times and a count that pass. @entries: what lies behind the frame */
static void on_crl(struct frame_reader *fields, struct bytes entries) {
        CAD_AUTO(fd_close) int fd = -1;
        struct error err = { 0 };
        struct sign_crl wish;

        if (sign_crl_decode(fields, &wish, &err) < 0) {
                must(err.code == ERR_MESSAGE_MALFORMED);
                return;
        }
        fd = memfd_new("fuzz", NULL);
        must(fd >= 0 && fd_write_all(fd, entries) == 0 && memfd_seal(fd, NULL) == 0);
        wish.entries_fd = fd;
        try_crl(&wish);
        (void) snprintf(wish.issuer, sizeof(wish.issuer), "int-1");
        wish.this_update = NOW - 300;
        wish.next_update = NOW + 86400;
        try_crl(&wish);
        wish.entry_count = (int64_t) (entries.size / sizeof(struct crl_entry));
        try_crl(&wish);
}

/* A frame of a CRL says how long it is; what is behind it are the entries, in a file of their own. */
static struct bytes split_entries(struct bytes *frame) {
        const uint8_t *at = frame->data;
        struct bytes entries;
        size_t said;

        if (frame->size < 12 || at[5] != SIGNER_CRL)
                return BYTES_NONE;
        said = (size_t) at[0] << 24 | (size_t) at[1] << 16 | (size_t) at[2] << 8 | at[3];
        if (said >= frame->size || said < 12)
                return BYTES_NONE;
        entries = BYTES(at + said, frame->size - said);
        frame->size = said;
        return entries;
}

/* An id is a word without an end inside; which one it may be, is the rotation's to say. */
static void on_change(struct frame_reader *fields) {
        static uint8_t again[64];
        char issuer[SIGNER_ISSUER_MAX], copy[SIGNER_ISSUER_MAX];
        struct error err = { 0 };
        struct signer_header header;
        struct frame_reader reader;

        if (sign_change_decode(fields, issuer, &err) < 0) {
                must(err.code == ERR_MESSAGE_MALFORMED);
                return;
        }
        must(memchr(issuer, '\0', sizeof(issuer)) != NULL);
        must(frame_open(sign_change_encode(again, SIGNER_ACTIVATE, 1, issuer), &header, &reader,
                        NULL) == 0 &&
             sign_change_decode(&reader, copy, NULL) == 0 && strcmp(issuer, copy) == 0);
        (void) ca_issuer_find(ca, issuer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct bytes frame = BYTES(data, size), entries;
        struct signer_header header;
        struct frame_reader fields;
        struct error err = { 0 };

        if (!ca)
                make_ca();
        entries = split_entries(&frame);
        if (frame_open(frame, &header, &fields, &err) < 0) {
                must(err.code == ERR_MESSAGE_MALFORMED);
                return 0;
        }
        must(frame.size <= SIGNER_FRAME_MAX);
        if (header.type == SIGNER_ISSUE)
                on_issue(&fields);
        else if (header.type == SIGNER_CRL)
                on_crl(&fields, entries);
        else if (header.type == SIGNER_ANCHOR)
                on_anchor(&fields);
        else if (header.type == SIGNER_PREPARE || header.type == SIGNER_ACTIVATE)
                on_change(&fields);
        else
                (void) frame_done(&fields);
        return 0;
}
