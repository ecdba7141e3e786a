/*
 * Making a CA and reading it back: every kind that can be made, every way in which what lies there can be wrong.
 */
#include "signer-fixture.h"

#include "daemon/signer/clock.h"
#include "lib/pki/pem.h"

#define UNTOUCHED ((void *) 0x1)

static struct scratch scratch, other;

static void set_up(void) {
        scratch_open(&scratch);
        scratch_open(&other);
}

static void tear_down(void) {
        scratch_close(&scratch);
        scratch_close(&other);
}

static int create(const struct ca_place *place, void (*change)(struct ca_plan *plan),
                  struct error *err) {
        struct ca_plan plan;
        int rc;

        ck_ok(ca_plan_defaults(&plan, err), *err);
        plan.name = "Unit CA";
        plan.public_url = "http://ca.lan:8080";
        if (change)
                change(&plan);
        ck_ok(constraints_close(plan.constraints, err), *err);
        rc = ca_create(place, &plan, moment_now(), err);
        plan.constraints = constraints_free(plan.constraints);
        return rc;
}

static int create_here(void (*change)(struct ca_plan *plan), struct error *err) {
        return create(&(struct ca_place){ .state_fd = scratch.fd, .config_fd = -1 }, change, err);
}

/* The chain that a CA gives, by GnuTLS's word: a probe leaf of each intermediate. */
static void check_works(const struct ca *ca) {
        CAD_AUTO(profiles_free) struct profile_set *profiles = NULL;
        struct error err = { 0 };

        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
        ck_ok(ca_probe(ca, profiles, moment_now(), &err), err);
}

/* ---- what can be made ---- */

static void with_p256(struct ca_plan *plan) {
        plan->key_type = KEY_ECDSA_P256;
}
static void with_p384(struct ca_plan *plan) {
        plan->key_type = KEY_ECDSA_P384;
}
static void with_ed25519(struct ca_plan *plan) {
        plan->key_type = KEY_ED25519;
}
static void with_rsa(struct ca_plan *plan) {
        plan->key_type = KEY_RSA;
        plan->key_bits = 3072;
}
static void with_passphrase(struct ca_plan *plan) {
        plan->passphrase = BYTES_LITERAL("correct horse");
}
static void with_no_constraints(struct ca_plan *plan) {
        plan->unconstrained = true;
}
static void with_again(struct ca_plan *plan) {
        plan->again = true;
}
static void with_own_domain(struct ca_plan *plan) {
        ck_assert_int_eq(constraints_permit_dns(plan->constraints, "example.com", NULL), 0);
}
static void with_short_lives(struct ca_plan *plan) {
        plan->root_validity_s = plan->intermediate_validity_s = 30 * DAY;
}
static void with_defaults(struct ca_plan *plan) {
        plan->name = NULL;
        plan->public_url = NULL;
}

static const struct {
        const char *why;
        void (*change)(struct ca_plan *plan);
        enum key_type type;
        unsigned bits;
} kinds[] = {
        { "P-256", with_p256, KEY_ECDSA_P256, 256 },
        { "P-384", with_p384, KEY_ECDSA_P384, 384 },
        { "Ed25519", with_ed25519, KEY_ED25519, 256 },
        { "RSA-3072", with_rsa, KEY_RSA, 3072 },
        { "unconstrained", with_no_constraints, KEY_ECDSA_P256, 256 },
        { "a domain of one's own", with_own_domain, KEY_ECDSA_P256, 256 },
        { "as short as may be", with_short_lives, KEY_ECDSA_P256, 256 },
        { "name and URL of the host", with_defaults, KEY_ECDSA_P256, 256 },
};

START_TEST(a_ca_of_each_kind_is_made_and_loads) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct error err = { 0 };

        ck_ok(create_here(kinds[_i].change, &err), err);
        ca = scratch_load(&scratch);
        ck_assert_uint_eq(ca->issuer_count, 2);
        ck_assert_int_eq(ca->issuers[0].state, SIGNER_ISSUER_ACTIVE);
        ck_assert_int_eq(ca->issuers[1].state, SIGNER_ISSUER_STANDBY);
        ck_assert(ca->root_key_present && !ca->keys_encrypted);
        for (size_t i = 0; i < ca->issuer_count; i++) {
                const struct cert *cert = &ca->issuers[i].cert;

                ck_assert_int_eq(private_key_type(ca->issuers[i].key), kinds[_i].type);
                ck_assert_uint_eq(private_key_bits(ca->issuers[i].key), kinds[_i].bits);
                ck_assert(cert->is_ca && cert->path_length == 0 &&
                          cert->key_usage == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
                ck_assert_int_ge(cert->validity.not_before, ca->root.validity.not_before);
                ck_assert_int_le(cert->validity.not_after, ca->root.validity.not_after);
                ck_assert(bytes_equal(cert->authority_key_id, ca->root.subject_key_id));
                ck_assert_int_eq(cert->name_constraints.size != 0,
                                 kinds[_i].change != with_no_constraints);
                ck_assert_ptr_null(ca->issuers[i].root_constraints);
        }
        ck_assert(cert_is_self_signed(&ca->root) && ca->root.path_length == -1 &&
                  ca->root.authority_key_id.size == 0);
        ck_assert(ca->root.crl_distribution_points.size == 0 &&
                  ca->root.authority_info_access.size == 0);
        ck_assert(!bytes_equal(ca->issuers[0].cert.spki, ca->issuers[1].cert.spki));
        ck_assert(!bytes_equal(ca->root.name_constraints, BYTES_NONE) ||
                  kinds[_i].change == with_no_constraints);
        check_works(ca);
}
END_TEST

START_TEST(the_files_are_its_owners_alone) {
        static const char *const files[] = { "ca/root.key", "ca/int-1.key", "ca/int-2.key",
                                             "ca/ca.conf" };
        struct error err = { 0 };
        struct stat st;

        (void) umask(0);
        ck_ok(create_here(NULL, &err), err);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                ck_assert_int_eq(fstatat(scratch.fd, files[i], &st, AT_SYMLINK_NOFOLLOW), 0);
                ck_assert_msg((st.st_mode & 07777) == 0600, "%s has mode %o", files[i],
                              (unsigned) st.st_mode);
        }
        ck_assert_int_eq(fstatat(scratch.fd, "ca", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0700);
        ck_assert(!scratch_has(&scratch, "ca.new"));
}
END_TEST

START_TEST(encrypted_keys_want_their_passphrase) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct ca *none = UNTOUCHED;
        struct error err = { 0 };

        ck_ok(create_here(with_passphrase, &err), err);
        ck_refused(ca_load(scratch.fd, BYTES_NONE, &none, &err), err, ERR_KEY_PASSPHRASE);
        ck_refused(ca_load(scratch.fd, BYTES_LITERAL("incorrect horse"), &none, &err), err,
                   ERR_KEY_PASSPHRASE);
        ck_assert_ptr_nonnull(strstr(err.text, "int-1.key"));
        ck_assert_ptr_eq(none, UNTOUCHED);
        ck_ok(ca_load(scratch.fd, BYTES_LITERAL("correct horse"), &ca, &err), err);
        ck_assert(ca->keys_encrypted);
        check_works(ca);
        ca = ca_free(ca);
        ck_ok(ca_load_public(scratch.fd, &ca, &err), err);
        ck_assert_uint_eq(ca->issuer_count, 0);
        ck_assert_uint_eq(strlen(ca->id), 64);
}
END_TEST

/* ---- plans that are refused ---- */

static void bad_name_empty(struct ca_plan *plan) {
        plan->name = "";
}
static void bad_name_long(struct ca_plan *plan) {
        plan->name = "12345678901234567890123456789012345678901";
}
static void bad_name_ini(struct ca_plan *plan) {
        plan->name = "Home]CA";
}
static void bad_name_line(struct ca_plan *plan) {
        plan->name = "Home\nActive=int-2";
}
static void bad_name_utf8(struct ca_plan *plan) {
        plan->name = "Home\xff";
}
static void bad_url_https(struct ca_plan *plan) {
        plan->public_url = "https://ca.lan";
}
static void bad_url_path(struct ca_plan *plan) {
        plan->public_url = "http://ca.lan/pki";
}
static void bad_url_user(struct ca_plan *plan) {
        plan->public_url = "http://user@ca.lan";
}
static void bad_url_port(struct ca_plan *plan) {
        plan->public_url = "http://ca.lan:70000";
}
static void bad_url_line(struct ca_plan *plan) {
        plan->public_url = "http://ca.lan\nActive=x";
}
static void bad_root_short(struct ca_plan *plan) {
        plan->root_validity_s = 30 * DAY - 1;
}
static void bad_int_longer(struct ca_plan *plan) {
        plan->intermediate_validity_s = plan->root_validity_s + 1;
}
static void bad_year(struct ca_plan *plan) {
        plan->root_validity_s = MOMENT_LAST;
}
static void bad_half_root(struct ca_plan *plan) {
        plan->root_cert_path = "/nonexistent/root.crt";
}

static void (*const bad_plans[])(struct ca_plan *plan) = {
        bad_name_empty, bad_name_long,  bad_name_ini, bad_name_line, bad_name_utf8,
        bad_url_https,  bad_url_path,   bad_url_user, bad_url_port,  bad_url_line,
        bad_root_short, bad_int_longer, bad_year,     bad_half_root,
};

START_TEST(a_plan_that_makes_no_sense_leaves_nothing_behind) {
        struct error err;

        ck_refused(create_here(bad_plans[_i], &err), err, ERR_USAGE);
        ck_assert(!scratch_has(&scratch, "ca") && !scratch_has(&scratch, "ca.new") &&
                  !scratch_has(&scratch, "log"));
}
END_TEST

START_TEST(a_name_of_forty_octets_is_made) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct error err = { 0 };
        struct ca_plan plan;
        struct ca_place place = { .state_fd = scratch.fd, .config_fd = -1 };

        ck_ok(ca_plan_defaults(&plan, &err), err);
        plan.name = "H\xc3\xa4user 78901234567890123456789012345678";
        ck_assert_uint_eq(strlen(plan.name), CA_NAME_MAX);
        plan.public_url = "http://ca.lan/";
        ck_ok(constraints_close(plan.constraints, &err), err);
        ck_ok(ca_create(&place, &plan, moment_now(), &err), err);
        plan.constraints = constraints_free(plan.constraints);
        ca = scratch_load(&scratch);
        ck_assert_str_eq(ca->name, plan.name);
        ck_assert_str_eq(ca->public_url, "http://ca.lan");
        check_works(ca);
}
END_TEST

START_TEST(a_clock_that_cannot_be_right_makes_no_ca) {
        struct ca_place place = { .state_fd = scratch.fd, .config_fd = -1 };
        struct ca_plan plan;
        struct error err = { 0 };

        ck_ok(ca_plan_defaults(&plan, &err), err);
        ck_refused(ca_create(&place, &plan, 86400, &err), err, ERR_CLOCK);
        ck_assert(!scratch_has(&scratch, "ca"));
        plan.constraints = constraints_free(plan.constraints);
}
END_TEST

/* ---- a root that is there already ---- */

static char root_cert[128], root_key[128];

static void with_other_root(struct ca_plan *plan) {
        plan->root_cert_path = root_cert;
        plan->root_key_path = root_key;
}

static void make_other(void (*change)(struct ca_plan *plan), const char *cert, const char *key) {
        scratch_ca(&other, change);
        (void) snprintf(root_cert, sizeof(root_cert), "%s/ca/%s", other.path, cert);
        (void) snprintf(root_key, sizeof(root_key), "%s/ca/%s", other.path, key);
}

START_TEST(a_root_that_exists_is_taken) {
        CAD_AUTO(ca_free) struct ca *ours = NULL;
        CAD_AUTO(ca_free) struct ca *theirs = NULL;
        struct error err = { 0 };

        make_other(with_rsa, "root.crt", "root.key");
        ck_ok(create_here(with_other_root, &err), err);
        ours = scratch_load(&scratch);
        theirs = scratch_load(&other);
        ck_assert_str_eq(ours->id, theirs->id);
        ck_assert_int_eq(private_key_type(ours->issuers[0].key), KEY_ECDSA_P256);
        check_works(ours);
}
END_TEST

static void only_home(struct ca_plan *plan) {
        plan->constraints = constraints_free(plan->constraints);
        plan->constraints = constraints_new();
        ck_assert_int_eq(constraints_permit_dns(plan->constraints, "home.lan", NULL), 0);
}

START_TEST(a_root_with_narrower_constraints_binds_too) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct error err = { 0 };

        make_other(only_home, "root.crt", "root.key");
        ck_ok(create_here(with_other_root, &err), err);
        ca = scratch_load(&scratch);
        ck_assert_ptr_nonnull(ca->issuers[0].root_constraints);
        check_works(ca);
}
END_TEST

START_TEST(a_root_that_is_none_is_refused) {
        static const struct {
                const char *why, *cert, *key, *words;
                enum error_code code;
        } rows[] = {
                { "an intermediate has path length 0", "int-1.crt", "int-1.key", "intermediates",
                  ERR_USAGE },
                { "another's key", "root.crt", "int-1.key", "does not fit", ERR_USAGE },
                { "a key as certificate", "root.key", "root.key", "PEM certificate", ERR_USAGE },
                { "a certificate as key", "root.crt", "root.crt", "", ERR_FILE_UNSAFE },
                { "no such certificate", "none.crt", "root.key", "none.crt", ERR_NOT_FOUND },
                { "no such key", "root.crt", "none.key", "none.key", ERR_NOT_FOUND },
        };
        struct error err;

        make_other(NULL, "root.crt", "root.key");
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                (void) snprintf(root_cert, sizeof(root_cert), "%s/ca/%s", other.path, rows[i].cert);
                (void) snprintf(root_key, sizeof(root_key), "%s/ca/%s", other.path, rows[i].key);
                ck_refused(create_here(with_other_root, &err), err, rows[i].code);
                ck_assert_msg(strstr(err.text, rows[i].words), "%s: '%s'", rows[i].why, err.text);
                ck_assert(!scratch_has(&scratch, "ca") && !scratch_has(&scratch, "ca.new"));
        }
}
END_TEST

/* ---- once more ---- */

START_TEST(a_second_ca_is_never_made_over_a_first) {
        CAD_AUTO(ca_free) struct ca *before = NULL;
        CAD_AUTO(ca_free) struct ca *after = NULL;
        struct error err = { 0 };

        ck_ok(create_here(NULL, &err), err);
        before = scratch_load(&scratch);
        ck_refused(create_here(NULL, &err), err, ERR_CA_EXISTS);
        ck_assert_ptr_nonnull(strstr(err.text, "--again"));
        after = scratch_load(&scratch);
        ck_assert_str_eq(before->id, after->id);
}
END_TEST

START_TEST(again_puts_an_unused_ca_aside_whole) {
        CAD_AUTO(ca_free) struct ca *before = NULL;
        CAD_AUTO(ca_free) struct ca *after = NULL;
        struct error err = { 0 };
        char aside[96];

        ck_ok(create_here(NULL, &err), err);
        before = scratch_load(&scratch);
        ck_ok(create_here(with_again, &err), err);
        after = scratch_load(&scratch);
        ck_assert_str_ne(before->id, after->id);
        ck_assert_str_eq(after->replaces, before->id);
        (void) snprintf(aside, sizeof(aside), "ca.replaced-%.16s/root.key", before->id);
        ck_assert(scratch_has(&scratch, aside) && !scratch_has(&scratch, "ca.new"));
        check_works(after);
}
END_TEST

START_TEST(again_is_refused_where_something_was_issued) {
        struct clock_mark mark = { moment_now_ms(), 1 };
        struct error err = { 0 };

        ck_ok(create_here(NULL, &err), err);
        ck_ok(clock_mark_write(scratch.fd, &mark, &err), err);
        ck_refused(create_here(with_again, &err), err, ERR_STATE_CONFLICT);
        mark.issued = 0;
        ck_ok(clock_mark_write(scratch.fd, &mark, &err), err);
        scratch_write(&scratch, "log", "2026-11-21T19:40:00Z issue serial=10\n", 0600);
        ck_refused(create_here(with_again, &err), err, ERR_STATE_CONFLICT);
        scratch_write(&scratch, "log", "", 0600);
        scratch_write(&scratch, "log.1", "x", 0600);
        ck_refused(create_here(with_again, &err), err, ERR_STATE_CONFLICT);
        ck_assert_int_eq(unlinkat(scratch.fd, "log.1", 0), 0);
        ck_ok(create_here(with_again, &err), err);
}
END_TEST

START_TEST(again_finishes_an_again_that_was_cut_off) {
        struct ca_place place = { .state_fd = scratch.fd, .config_fd = other.fd };
        CAD_AUTO(ca_free) struct ca *first = NULL;
        CAD_AUTO(ca_free) struct ca *second = NULL;
        CAD_AUTO(ca_free) struct ca *third = NULL;
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };
        char aside[96];

        ck_ok(create(&place, NULL, &err), err);
        first = scratch_load(&scratch);
        ck_ok(create(&place, with_again, &err), err);
        second = scratch_load(&scratch);
        /* as it was just after the exchange: the old CA in ca.new, its id in ca-id */
        (void) snprintf(aside, sizeof(aside), "ca.replaced-%.16s", first->id);
        ck_assert_int_eq(renameat(scratch.fd, aside, scratch.fd, "ca.new"), 0);
        scratch_write(&other, CA_ID_FILE, first->id, 0644);
        ck_ok(create(&place, with_again, &err), err);
        third = scratch_load(&scratch);
        ck_assert_str_eq(third->replaces, second->id);
        ck_assert_msg(scratch_has(&scratch, aside), "the first CA's keys are lost");
        ck_ok(file_read(other.fd, CA_ID_FILE, FILE_PUBLIC, 256, &text, &err), err);
        ck_assert_int_eq(strncmp(buffer_string(&text), third->id, 64), 0);
        ck_ok(ca_settle(&place, third, &err), err);
}
END_TEST

START_TEST(what_an_init_left_half_is_cleared_away) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct error err = { 0 };

        ck_assert_int_eq(mkdirat(scratch.fd, "ca.new", 0700), 0);
        scratch_write(&scratch, "ca.new/root.key", "half", 0600);
        scratch_write(&scratch, "ca.new/int-1.crt.tmp", "half", 0600);
        ck_assert_int_eq(ca_absent(&(struct ca_place){ .state_fd = scratch.fd, .config_fd = -1 },
                                   &err),
                         1);
        ck_ok(create_here(NULL, &err), err);
        ca = scratch_load(&scratch);
        ck_assert(!scratch_has(&scratch, "ca.new"));
}
END_TEST

/* ---- witnesses ---- */

START_TEST(each_witness_of_a_first_ca_stops_a_second) {
        char store[96];
        struct ca_place place = { .state_fd = scratch.fd,
                                  .config_fd = other.fd,
                                  .store_path = store };
        struct error err = { 0 };

        (void) snprintf(store, sizeof(store), "%s/cad.db", other.path);
        ck_assert_int_eq(ca_absent(&place, &err), 1);
        scratch_write(&other, "cad.db", "", 0600);
        ck_refused(create(&place, NULL, &err), err, ERR_CA_INCOMPLETE);
        ck_assert_ptr_nonnull(strstr(err.text, store));
        ck_assert_int_eq(unlinkat(other.fd, "cad.db", 0), 0);
        scratch_write(&other, CA_ID_FILE, "00\n", 0644);
        ck_refused(create(&place, NULL, &err), err, ERR_CA_INCOMPLETE);
        ck_assert_ptr_nonnull(strstr(err.text, CA_ID_FILE));
        ck_assert_int_eq(unlinkat(other.fd, CA_ID_FILE, 0), 0);
        scratch_write(&scratch, "log", "", 0600);
        ck_refused(create(&place, NULL, &err), err, ERR_CA_INCOMPLETE);
        ck_assert_int_eq(unlinkat(scratch.fd, "log", 0), 0);
        ck_ok(create(&place, NULL, &err), err);
        ck_assert(scratch_has(&other, CA_ID_FILE));
        ck_assert_int_eq(ca_absent(&place, &err), 0);
}
END_TEST

START_TEST(a_state_folder_that_is_not_this_configurations_is_refused) {
        struct ca_place place = { .state_fd = scratch.fd, .config_fd = other.fd };
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct error err = { 0 };

        ck_ok(create(&place, NULL, &err), err);
        ca = scratch_load(&scratch);
        ck_ok(ca_settle(&place, ca, &err), err);
        scratch_write(&other, CA_ID_FILE,
                      "0000000000000000000000000000000000000000000000000000000000000000\n", 0644);
        ck_refused(ca_settle(&place, ca, &err), err, ERR_CA_INCOMPLETE);
        ck_refused(create(&place, with_again, &err), err, ERR_CA_INCOMPLETE);
        ck_assert_int_eq(unlinkat(other.fd, CA_ID_FILE, 0), 0);
        ck_ok(ca_settle(&place, ca, &err), err);
        ck_assert(scratch_has(&other, CA_ID_FILE));
}
END_TEST

/* ---- what lies there is wrong ---- */

static void missing(const char *path) {
        ck_assert_int_eq(unlinkat(scratch.fd, path, 0), 0);
}
static void empty(const char *path) {
        scratch_write(&scratch, path, "", 0600);
}
static void garbage(const char *path) {
        scratch_write(&scratch, path,
                      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0600);
}
static void group_readable(const char *path) {
        ck_assert_int_eq(fchmodat(scratch.fd, path, 0640, 0), 0);
}
static void writable(const char *path) {
        ck_assert_int_eq(fchmodat(scratch.fd, path, 0666, 0), 0);
}

static void link_to_itself(const char *path) {
        ck_assert_int_eq(renameat(scratch.fd, path, scratch.fd, "moved"), 0);
        ck_assert_int_eq(symlinkat("../moved", scratch.fd, path), 0);
}

static void fifo(const char *path) {
        missing(path);
        ck_assert_int_eq(mkfifoat(scratch.fd, path, 0600), 0);
}

static void folder(const char *path) {
        missing(path);
        ck_assert_int_eq(mkdirat(scratch.fd, path, 0700), 0);
}

static void hard_link(const char *path) {
        ck_assert_int_eq(linkat(scratch.fd, path, scratch.fd, "second", 0), 0);
}

static void large(const char *path) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        for (int i = 0; i < 70000; i++)
                buffer_text(&text, "x");
        scratch_write(&scratch, path, buffer_string(&text), 0600);
}

static void swapped(const char *path) {
        char twin[64];

        (void) snprintf(twin, sizeof(twin), "%s", path);
        *strchr(twin, '1') = '2';
        ck_assert_int_eq(renameat2(scratch.fd, path, scratch.fd, twin, 1 << 1),
                         0); /* RENAME_EXCHANGE */
}

static void root_of_another(const char *path) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };

        scratch_ca(&other, NULL);
        ck_ok(file_read(other.fd, "ca/root.crt", FILE_PUBLIC, 65536, &text, &err), err);
        scratch_write(&scratch, path, buffer_string(&text), 0644);
}

static void no_active(const char *path) {
        scratch_write(
                &scratch, path,
                "[CA]\nName=x\nPublicUrl=http://x.lan\nIntermediates=int-1 int-2\nActive=int-3\n",
                0600);
}

static void no_name(const char *path) {
        scratch_write(&scratch, path,
                      "[CA]\nPublicUrl=http://x.lan\nIntermediates=int-1\nActive=int-1\n", 0600);
}

static void path_as_id(const char *path) {
        scratch_write(
                &scratch, path,
                "[CA]\nName=x\nPublicUrl=http://x.lan\nIntermediates=../int-1\nActive=../int-1\n",
                0600);
}

static void unknown_key(const char *path) {
        scratch_write(
                &scratch, path,
                "[CA]\nName=x\nPublicUrl=http://x.lan\nIntermediates=int-1\nActive=int-1\nSeven=7\n",
                0600);
}

static void nine(const char *path) {
        scratch_write(&scratch, path,
                      "[CA]\nName=x\nPublicUrl=http://x.lan\nActive=int-1\n"
                      "Intermediates=int-1 int-1 int-1 int-1 int-1 int-1 int-1 int-1 int-1\n",
                      0600);
}

static const struct {
        const char *why, *path;
        void (*harm)(const char *path);
        enum error_code code;
        const char *words;
} harms[] = {
        { "no ca.conf", "ca/ca.conf", missing, ERR_CA_INCOMPLETE, "ca.conf" },
        { "no root certificate", "ca/root.crt", missing, ERR_CA_INCOMPLETE, "root.crt" },
        { "no active certificate", "ca/int-1.crt", missing, ERR_CA_INCOMPLETE, "int-1.crt" },
        { "no active key", "ca/int-1.key", missing, ERR_CA_INCOMPLETE, "int-1.key" },
        { "no standby certificate", "ca/int-2.crt", missing, ERR_CA_INCOMPLETE, "int-2.crt" },
        { "no standby key", "ca/int-2.key", missing, ERR_CA_INCOMPLETE, "int-2.key" },
        { "an empty ca.conf", "ca/ca.conf", empty, ERR_CA_INCOMPLETE, "ca.conf" },
        { "an empty certificate", "ca/int-1.crt", empty, ERR_CA_INCOMPLETE, "int-1.crt" },
        { "an empty key", "ca/int-1.key", empty, ERR_KEY_INVALID, "int-1.key" },
        { "garbage for a certificate", "ca/root.crt", garbage, ERR_CA_INCOMPLETE, "root.crt" },
        { "a certificate for a key", "ca/int-1.key", garbage, ERR_KEY_INVALID, "int-1.key" },
        { "keys swapped", "ca/int-1.key", swapped, ERR_CA_INCOMPLETE, "does not fit" },
        { "certificates swapped", "ca/int-1.crt", swapped, ERR_CA_INCOMPLETE, "does not fit" },
        { "another CA's root", "ca/root.crt", root_of_another, ERR_CA_INCOMPLETE, "not signed by" },
        { "a key for the group", "ca/int-1.key", group_readable, ERR_FILE_UNSAFE, "int-1.key" },
        { "a certificate that all may write", "ca/int-1.crt", writable, ERR_FILE_UNSAFE,
          "int-1.crt" },
        { "a key that is a symlink", "ca/int-1.key", link_to_itself, ERR_FILE_UNSAFE, "int-1.key" },
        { "a root that is a symlink", "ca/root.crt", link_to_itself, ERR_FILE_UNSAFE, "root.crt" },
        { "a key that is a FIFO", "ca/int-1.key", fifo, ERR_FILE_UNSAFE, "int-1.key" },
        { "a certificate that is a FIFO", "ca/int-2.crt", fifo, ERR_FILE_UNSAFE, "int-2.crt" },
        { "a ca.conf that is a folder", "ca/ca.conf", folder, ERR_FILE_UNSAFE, "ca.conf" },
        { "a key with a second link", "ca/int-1.key", hard_link, ERR_FILE_UNSAFE, "int-1.key" },
        { "a certificate of 70 000 octets", "ca/int-1.crt", large, ERR_FILE_UNSAFE, "int-1.crt" },
        { "no active issuer", "ca/ca.conf", no_active, ERR_CA_INCOMPLETE, "int-3" },
        { "no name", "ca/ca.conf", no_name, ERR_CA_INCOMPLETE, "Name=" },
        { "a path for an id", "ca/ca.conf", path_as_id, ERR_CA_INCOMPLETE, "../int-1" },
        { "an unknown setting", "ca/ca.conf", unknown_key, ERR_CONFIG, "ca.conf:6" },
        { "nine intermediates", "ca/ca.conf", nine, ERR_CA_INCOMPLETE, "int-1" },
};

START_TEST(what_is_wrong_with_a_ca_is_said_by_name) {
        struct ca *ca = UNTOUCHED;
        struct error err;

        scratch_ca(&scratch, NULL);
        harms[_i].harm(harms[_i].path);
        ck_refused(ca_load(scratch.fd, BYTES_NONE, &ca, &err), err, harms[_i].code);
        ck_assert_msg(strstr(err.text, harms[_i].words), "%s: '%s' is not in '%s'", harms[_i].why,
                      harms[_i].words, err.text);
        ck_assert_ptr_eq(ca, UNTOUCHED);
        ck_assert_int_eq(ca_absent(&(struct ca_place){ .state_fd = scratch.fd, .config_fd = -1 },
                                   &err),
                         0);
}
END_TEST

START_TEST(no_ca_is_missing_and_not_incomplete) {
        struct ca *ca = UNTOUCHED;
        struct error err;

        ck_refused(ca_load(scratch.fd, BYTES_NONE, &ca, &err), err, ERR_CA_MISSING);
        ck_refused(ca_load_public(scratch.fd, &ca, &err), err, ERR_CA_MISSING);
        ck_assert_ptr_nonnull(strstr(err.text, "cad init"));
}
END_TEST

START_TEST(without_the_roots_key_it_serves) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;

        scratch_ca(&scratch, NULL);
        missing("ca/root.key");
        ca = scratch_load(&scratch);
        ck_assert(!ca->root_key_present);
        check_works(ca);
}
END_TEST

START_TEST(the_hello_says_what_there_is) {
        static uint8_t frame[SIGNER_FRAME_MAX];
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct sign_hello hello, read;
        struct signer_header header;
        struct frame_reader fields;
        struct error err = { 0 };

        scratch_ca(&scratch, NULL);
        ca = scratch_load(&scratch);
        ca_hello(ca, &hello);
        ck_ok(frame_open(sign_hello_encode(frame, 1, &hello), &header, &fields, &err), err);
        ck_ok(sign_hello_decode(&fields, &read, &err), err);
        ck_assert_str_eq(read.ca_id, ca->id);
        ck_assert_str_eq(read.name, "Unit CA");
        ck_assert_uint_eq(read.issuer_count, 2);
        ck_assert(bytes_equal(read.issuers[1].der, ca->issuers[1].cert.der) &&
                  bytes_equal(read.root, ca->root.der));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("create");
        TCase *tc = tcase_create("create");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, a_ca_of_each_kind_is_made_and_loads, 0, ARRAY_SIZE(kinds));
        tcase_add_test(tc, the_files_are_its_owners_alone);
        tcase_add_test(tc, encrypted_keys_want_their_passphrase);
        tcase_add_loop_test(tc, a_plan_that_makes_no_sense_leaves_nothing_behind, 0,
                            ARRAY_SIZE(bad_plans));
        tcase_add_test(tc, a_name_of_forty_octets_is_made);
        tcase_add_test(tc, a_clock_that_cannot_be_right_makes_no_ca);
        tcase_add_test(tc, a_root_that_exists_is_taken);
        tcase_add_test(tc, a_root_with_narrower_constraints_binds_too);
        tcase_add_test(tc, a_root_that_is_none_is_refused);
        tcase_add_test(tc, a_second_ca_is_never_made_over_a_first);
        tcase_add_test(tc, again_puts_an_unused_ca_aside_whole);
        tcase_add_test(tc, again_is_refused_where_something_was_issued);
        tcase_add_test(tc, again_finishes_an_again_that_was_cut_off);
        tcase_add_test(tc, what_an_init_left_half_is_cleared_away);
        tcase_add_test(tc, each_witness_of_a_first_ca_stops_a_second);
        tcase_add_test(tc, a_state_folder_that_is_not_this_configurations_is_refused);
        tcase_add_loop_test(tc, what_is_wrong_with_a_ca_is_said_by_name, 0, ARRAY_SIZE(harms));
        tcase_add_test(tc, no_ca_is_missing_and_not_incomplete);
        tcase_add_test(tc, without_the_roots_key_it_serves);
        tcase_add_test(tc, the_hello_says_what_there_is);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
