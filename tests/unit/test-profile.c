/*
 * Profiles: the built-in ones as they were promised, files that change them, files that are refused with file and line.
 */
#include "signer-fixture.h"

#include "lib/pki/profile.h"

static struct scratch scratch;

static void set_up(void) {
        scratch_open(&scratch);
        ck_assert_int_eq(mkdirat(scratch.fd, "profiles.d", 0755), 0);
}

static void tear_down(void) {
        scratch_close(&scratch);
}

static int load(const char *file, const char *text, struct profile_set **ret, struct error *err) {
        char path[128];

        (void) snprintf(path, sizeof(path), "profiles.d/%s", file);
        scratch_write(&scratch, path, text, 0644);
        return profiles_load(scratch.fd, "profiles.d", ret, err);
}

static struct profile_set *built_in(void) {
        struct profile_set *set = NULL;
        struct error err = { 0 };

        ck_ok(profiles_load(-1, NULL, &set, &err), err);
        return set;
}

/* ---- built in ---- */

static const struct {
        const char *name;
        uint32_t name_types, extended_key_usage;
        int64_t default_days, max_days, grace_days;
        enum profile_enrolment enrolment;
        bool wildcards, nocheck;
} promised[] = {
        { "admin", SAN_BIT(SAN_DNS) | SAN_BIT(SAN_IP) | SAN_BIT(SAN_EMAIL), EKU_CLIENT_AUTH, 90,
          397, 0, ENROLMENT_ADMIN, false, false },
        { "client", SAN_BIT(SAN_DNS) | SAN_BIT(SAN_IP) | SAN_BIT(SAN_EMAIL) | SAN_BIT(SAN_URI),
          EKU_CLIENT_AUTH, 90, 397, 0, ENROLMENT_TOKEN, false, false },
        { "device", SAN_BIT(SAN_DNS) | SAN_BIT(SAN_IP), EKU_SERVER_AUTH | EKU_CLIENT_AUTH, 365, 825,
          30, ENROLMENT_TOKEN, false, false },
        { "https", SAN_BIT(SAN_DNS) | SAN_BIT(SAN_IP), EKU_SERVER_AUTH, 90, 397, 0,
          ENROLMENT_INTERNAL, false, false },
        { "ocsp", SAN_BIT(SAN_DNS) | SAN_BIT(SAN_IP), EKU_OCSP_SIGNING, 7, 30, 0,
          ENROLMENT_INTERNAL, false, true },
        { "peer", SAN_BIT(SAN_DNS) | SAN_BIT(SAN_IP), EKU_SERVER_AUTH | EKU_CLIENT_AUTH, 90, 397, 0,
          ENROLMENT_TOKEN, true, false },
        { "server", SAN_BIT(SAN_DNS) | SAN_BIT(SAN_IP), EKU_SERVER_AUTH, 90, 397, 0,
          ENROLMENT_TOKEN, true, false },
        { "user", SAN_BIT(SAN_EMAIL), EKU_CLIENT_AUTH | EKU_EMAIL_PROTECTION, 365, 825, 0,
          ENROLMENT_APPROVAL, false, false },
};

START_TEST(the_ca_s_own_profiles_are_known_by_name) {
        ck_assert(profile_is_own("https") && profile_is_own("ocsp"));
        ck_assert(!profile_is_own("server") && !profile_is_own("http") && !profile_is_own(""));
}
END_TEST

START_TEST(the_built_in_profiles_are_as_promised) {
        CAD_AUTO(profiles_free) struct profile_set *set = built_in();

        ck_assert_uint_eq(profiles_count(set), ARRAY_SIZE(promised));
        ck_assert_ptr_null(profiles_at(set, ARRAY_SIZE(promised)));
        for (size_t i = 0; i < ARRAY_SIZE(promised); i++) {
                const struct profile *p = profiles_at(set, i);

                ck_assert_str_eq(p->name, promised[i].name);
                ck_assert_ptr_eq(p, profiles_find(set, promised[i].name, NULL));
                ck_assert_uint_eq(p->name_types, promised[i].name_types);
                ck_assert_uint_eq(p->extended_key_usage, promised[i].extended_key_usage);
                ck_assert_int_eq(p->validity_default_s, promised[i].default_days * DAY);
                ck_assert_int_eq(p->validity_max_s, promised[i].max_days * DAY);
                ck_assert_int_eq(p->grace_s, promised[i].grace_days * DAY);
                ck_assert_int_eq(p->enrolment, promised[i].enrolment);
                ck_assert_int_eq(p->wildcards, promised[i].wildcards);
                ck_assert_int_eq(p->ocsp_nocheck, promised[i].nocheck);
                ck_assert(p->strict_extensions && p->description[0]);
                ck_assert_int_eq(p->backdate_s, 3600);
                ck_assert(!(p->key_usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)));
                ck_assert(p->rsa_bits_min == 2048 && p->rsa_bits_max == 4096);
        }
}
END_TEST

START_TEST(a_profile_of_tls_servers_is_never_longer_than_apple_takes) {
        CAD_AUTO(profiles_free) struct profile_set *set = built_in();

        for (size_t i = 0; i < profiles_count(set); i++)
                ck_assert_int_le(profiles_at(set, i)->validity_max_s, LEAF_VALIDITY_MAX_S);
}
END_TEST

START_TEST(an_unknown_profile_names_those_that_there_are) {
        CAD_AUTO(profiles_free) struct profile_set *set = built_in();
        struct error err = { 0 };

        ck_assert_ptr_null(profiles_find(set, "ca", &err));
        ck_assert_int_eq(err.code, ERR_PROFILE_UNKNOWN);
        ck_assert_str_eq(err.field, "profile");
        ck_assert_ptr_nonnull(
                strstr(err.text, "admin, client, device, https, ocsp, peer, server, user"));
}
END_TEST

START_TEST(no_folder_is_the_built_in_ones_alone) {
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        struct error err = { 0 };

        ck_ok(profiles_load(scratch.fd, "elsewhere", &set, &err), err);
        ck_assert_uint_eq(profiles_count(set), ARRAY_SIZE(promised));
}
END_TEST

/* ---- files ---- */

START_TEST(a_file_makes_a_profile_of_its_name) {
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        const struct profile *p;
        struct error err = { 0 };

        ck_ok(load("iot.conf",
                   "# things\n[Profile]\nDescription=Things\nNameTypes=dns uri\nKeyTypes=ecdsa-p256, ed25519\nRsaBitsMin=3072\n"
                   "RsaBitsMax=4096\nKeyUsage=digitalSignature keyAgreement\nExtendedKeyUsage=clientAuth codeSigning\nValidity=30d\nValidityMax=2y\n"
                   "Backdate=10m\nGrace=5d\nEnrolment=approval\nWildcards=yes\nStrictExtensions=no\n",
                   &set, &err),
              err);
        p = profiles_find(set, "iot", &err);
        ck_assert_ptr_nonnull(p);
        ck_assert_str_eq(p->description, "Things");
        ck_assert_uint_eq(p->name_types, SAN_BIT(SAN_DNS) | SAN_BIT(SAN_URI));
        ck_assert_uint_eq(p->key_types, KEY_BIT(KEY_ECDSA_P256) | KEY_BIT(KEY_ED25519));
        ck_assert(p->rsa_bits_min == 3072 && p->rsa_bits_max == 4096);
        ck_assert_uint_eq(p->key_usage, KU_DIGITAL_SIGNATURE | KU_KEY_AGREEMENT);
        ck_assert_uint_eq(p->extended_key_usage, EKU_CLIENT_AUTH | EKU_CODE_SIGNING);
        ck_assert(p->validity_default_s == 30 * DAY && p->validity_max_s == 730 * DAY &&
                  p->backdate_s == 600 && p->grace_s == 5 * DAY);
        ck_assert(p->enrolment == ENROLMENT_APPROVAL && p->wildcards && !p->strict_extensions &&
                  !p->ocsp_nocheck);
        ck_assert_uint_eq(profiles_count(set), ARRAY_SIZE(promised) + 1);
}
END_TEST

START_TEST(a_file_that_says_nothing_makes_a_server) {
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        const struct profile *p, *server;
        struct error err = { 0 };

        ck_ok(load("iot.conf", "", &set, &err), err);
        p = profiles_find(set, "iot", NULL);
        server = profiles_find(set, "server", NULL);
        ck_assert(p->name_types == server->name_types &&
                  p->extended_key_usage == server->extended_key_usage &&
                  p->key_types == server->key_types);
        ck_assert_msg(!p->wildcards, "wildcards are asked for");
        ck_assert_int_ne(memcmp(p->digest, server->digest, PROFILE_DIGEST_SIZE), 0);
}
END_TEST

START_TEST(a_file_named_as_a_built_in_one_changes_that) {
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        struct error err = { 0 };

        ck_ok(load("server.conf", "[Profile]\nValidity=7d\n", &set, &err), err);
        ck_assert_uint_eq(profiles_count(set), ARRAY_SIZE(promised));
        ck_assert_int_eq(profiles_find(set, "server", NULL)->validity_default_s, 7 * DAY);
        ck_assert(profiles_find(set, "server", NULL)->wildcards);
}
END_TEST

START_TEST(files_of_other_kinds_are_left_alone) {
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        struct error err = { 0 };

        scratch_write(&scratch, "profiles.d/.hidden.conf", "garbage", 0644);
        scratch_write(&scratch, "profiles.d/iot.conf~", "garbage", 0644);
        scratch_write(&scratch, "profiles.d/README", "garbage", 0644);
        ck_ok(profiles_load(scratch.fd, "profiles.d", &set, &err), err);
        ck_assert_uint_eq(profiles_count(set), ARRAY_SIZE(promised));
}
END_TEST

static const struct {
        const char *why, *file, *text, *words;
} refused[] = {
        { "an unknown setting", "iot.conf", "[Profile]\nCA=yes\n",
          "iot.conf:2: there is no setting CA=" },
        { "an unknown section", "iot.conf", "\n[Extension]\nOid=2.5.29.19\n",
          "iot.conf:3: there is no section [Extension]" },
        { "a line that is none", "iot.conf", "[Profile]\nValidity=7d\nwhat\n", "iot.conf:3" },
        { "a NUL-less but endless line", "iot.conf", "[Profile]\nDescription=@long@\n",
          "iot.conf:2" },
        { "an unknown kind of name", "iot.conf", "[Profile]\nNameTypes=dns dirname\n",
          "iot.conf:2: NameTypes=: 'dirname' is none of dns, ip" },
        { "no kind of name", "iot.conf", "[Profile]\nNameTypes=\n", "iot.conf:2" },
        { "an unknown key type", "iot.conf", "[Profile]\nKeyTypes=ecdsa-p192\n",
          "iot.conf:2: KeyTypes=: 'ecdsa-p192'" },
        { "an unknown usage", "iot.conf", "[Profile]\n\n\nKeyUsage=certSign\n",
          "iot.conf:4: KeyUsage=: 'certSign'" },
        { "an unknown extended usage", "iot.conf",
          "[Profile]\nExtendedKeyUsage=anyExtendedKeyUsage\n", "iot.conf:2: ExtendedKeyUsage=" },
        { "a bad duration", "iot.conf", "[Profile]\nValidity=90 fortnights\n",
          "iot.conf:2: Validity=" },
        { "a negative duration", "iot.conf", "[Profile]\nValidity=-1d\n", "iot.conf:2: Validity=" },
        { "a bad number", "iot.conf", "[Profile]\nRsaBitsMin=0x800\n", "iot.conf:2: RsaBitsMin=" },
        { "a bad boolean", "iot.conf", "[Profile]\nWildcards=perhaps\n", "iot.conf:2: Wildcards=" },
        { "an unknown enrolment", "iot.conf", "[Profile]\nEnrolment=anybody\n",
          "iot.conf:2: Enrolment=" },
        { "the CA's own enrolment", "iot.conf", "[Profile]\nEnrolment=internal\n",
          "iot.conf:2: Enrolment=" },
        { "keyCertSign", "iot.conf", "[Profile]\nKeyUsage=digitalSignature keyCertSign\n",
          "iot.conf: KeyUsage=" },
        { "cRLSign", "iot.conf", "[Profile]\nKeyUsage=cRLSign\n", "iot.conf: KeyUsage=" },
        { "encipherOnly", "iot.conf", "[Profile]\nKeyUsage=keyAgreement encipherOnly\n",
          "iot.conf: KeyUsage=" },
        { "OCSPSigning", "iot.conf", "[Profile]\nExtendedKeyUsage=OCSPSigning\n",
          "iot.conf: ExtendedKeyUsage=OCSPSigning" },
        { "RSA under 2048", "iot.conf", "[Profile]\nRsaBitsMin=1024\n", "iot.conf: RsaBitsMin=" },
        { "RSA over 8192", "iot.conf", "[Profile]\nRsaBitsMax=16384\n", "iot.conf: RsaBitsMin=" },
        { "RSA over the default maximum, which is not raised", "iot.conf",
          "[Profile]\nRsaBitsMin=4104\n",
          "iot.conf: RsaBitsMin= and RsaBitsMax= (4096 where it is not set) must be from 2048 to 8192" },
        { "RSA the wrong way round", "iot.conf", "[Profile]\nRsaBitsMin=4096\nRsaBitsMax=2048\n",
          "iot.conf: RsaBitsMin=" },
        { "826 days for servers", "iot.conf", "[Profile]\nValidityMax=826d\n",
          "iot.conf: ValidityMax=" },
        { "825 days and a second", "iot.conf", "[Profile]\nValidityMax=71280001s\n",
          "iot.conf: ValidityMax=" },
        { "a default over the maximum", "iot.conf", "[Profile]\nValidity=100d\nValidityMax=50d\n",
          "iot.conf: Validity=" },
        { "a default of 59 seconds", "iot.conf", "[Profile]\nValidity=59s\nBackdate=0\n",
          "iot.conf: Validity=" },
        { "three days back", "iot.conf", "[Profile]\nBackdate=3d\n", "iot.conf: Backdate=" },
        { "set back by all of its life", "iot.conf", "[Profile]\nValidity=1h\nBackdate=1h\n",
          "iot.conf: Backdate=" },
        { "the CA's own profile", "ocsp.conf", "[Profile]\nValidityMax=10y\n",
          "ocsp.conf: the profile 'ocsp' is the CA's own" },
        { "a name in capitals", "IoT.conf", "", "IoT.conf: a profile's name is made of a-z" },
        { "a name with a dot", "i.o.t.conf", "", "i.o.t.conf: a profile's name" },
        { "a name that begins with -", "-iot.conf", "", "-iot.conf: a profile's name" },
        { "a name of 32 characters", "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb.conf", "", "31 characters" },
};

START_TEST(a_bad_file_is_refused_with_its_place) {
        struct profile_set *set = (struct profile_set *) 0x1;
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        const char *long_at = strstr(refused[_i].text, "@long@");
        struct error err;

        buffer_append(&text,
                      BYTES(refused[_i].text,
                            long_at ? (size_t) (long_at - refused[_i].text)
                                    : strlen(refused[_i].text)));
        for (int i = 0; long_at && i < 5000; i++)
                buffer_text(&text, "x");
        ck_refused(load(refused[_i].file, buffer_string(&text), &set, &err), err, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, refused[_i].words), "%s: '%s' is not in '%s'",
                      refused[_i].why, refused[_i].words, err.text);
        ck_assert_ptr_eq(set, (void *) 0x1);
}
END_TEST

START_TEST(a_file_that_others_could_have_written_is_refused) {
        struct profile_set *set = NULL;
        struct error err;

        scratch_write(&scratch, "profiles.d/iot.conf", "", 0666);
        ck_refused(profiles_load(scratch.fd, "profiles.d", &set, &err), err, ERR_FILE_UNSAFE);
        ck_assert_int_eq(unlinkat(scratch.fd, "profiles.d/iot.conf", 0), 0);
        ck_assert_int_eq(symlinkat("/dev/null", scratch.fd, "profiles.d/iot.conf"), 0);
        ck_refused(profiles_load(scratch.fd, "profiles.d", &set, &err), err, ERR_FILE_UNSAFE);
        ck_assert_int_eq(unlinkat(scratch.fd, "profiles.d/iot.conf", 0), 0);
        ck_assert_int_eq(mkfifoat(scratch.fd, "profiles.d/iot.conf", 0600), 0);
        ck_refused(profiles_load(scratch.fd, "profiles.d", &set, &err), err, ERR_FILE_UNSAFE);
        ck_assert_int_eq(unlinkat(scratch.fd, "profiles.d/iot.conf", 0), 0);
        ck_assert_int_eq(fchmodat(scratch.fd, "profiles.d", 0777, 0), 0);
        ck_refused(profiles_load(scratch.fd, "profiles.d", &set, &err), err, ERR_FILE_UNSAFE);
}
END_TEST

START_TEST(there_are_64_profiles_at_most) {
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        struct error err = { 0 };
        char path[64];

        for (size_t i = ARRAY_SIZE(promised); i < PROFILE_MAX; i++) {
                (void) snprintf(path, sizeof(path), "profiles.d/p%zu.conf", i);
                scratch_write(&scratch, path, "", 0644);
        }
        ck_ok(profiles_load(scratch.fd, "profiles.d", &set, &err), err);
        ck_assert_uint_eq(profiles_count(set), PROFILE_MAX);
        set = profiles_free(set);
        ck_refused(load("q.conf", "", &set, &err), err, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "64"));
}
END_TEST

/* ---- digests ---- */

static const char *const meaningful[] = {
        "NameTypes=dns",
        "KeyTypes=rsa",
        "RsaBitsMin=3072",
        "RsaBitsMax=8192",
        "KeyUsage=digitalSignature",
        "ExtendedKeyUsage=clientAuth",
        "Validity=91d",
        "ValidityMax=398d",
        "Backdate=2h",
        "Grace=1d",
        "Enrolment=approval",
        "Wildcards=no",
        "StrictExtensions=no",
};

START_TEST(a_digest_changes_with_all_that_a_profile_means) {
        CAD_AUTO(profiles_free) struct profile_set *plain = built_in();
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        struct error err = { 0 };
        char text[64];

        (void) snprintf(text, sizeof(text), "[Profile]\n%s\n", meaningful[_i]);
        ck_ok(load("server.conf", text, &set, &err), err);
        ck_assert_int_ne(memcmp(profiles_find(plain, "server", NULL)->digest,
                                profiles_find(set, "server", NULL)->digest, PROFILE_DIGEST_SIZE),
                         0);
        ck_assert_int_eq(memcmp(profiles_find(plain, "peer", NULL)->digest,
                                profiles_find(set, "peer", NULL)->digest, PROFILE_DIGEST_SIZE),
                         0);
}
END_TEST

START_TEST(a_digest_does_not_change_with_words_for_people) {
        CAD_AUTO(profiles_free) struct profile_set *plain = built_in();
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        struct error err = { 0 };

        ck_ok(load("server.conf",
                   "# words\n[Profile]\nDescription=Our servers\nNameTypes=ip dns ip\nValidity=2160h\n",
                   &set, &err),
              err);
        ck_assert_int_eq(memcmp(profiles_find(plain, "server", NULL)->digest,
                                profiles_find(set, "server", NULL)->digest, PROFILE_DIGEST_SIZE),
                         0);
}
END_TEST

/* ---- checks ---- */

START_TEST(key_encipherment_is_for_rsa_alone) {
        CAD_AUTO(profiles_free) struct profile_set *set = built_in();
        const struct profile *server = profiles_find(set, "server", NULL);

        for (enum key_type type = 0; type < KEY_TYPE_COUNT; type++)
                ck_assert_uint_eq(profile_key_usage(server, type),
                                  type == KEY_RSA ? KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT
                                                  : KU_DIGITAL_SIGNATURE);
}
END_TEST

START_TEST(a_key_is_held_against_types_and_sizes) {
        CAD_AUTO(profiles_free) struct profile_set *set = NULL;
        struct error err = { 0 };
        static const struct {
                const char *profile;
                enum key_type type;
                unsigned bits;
                enum error_code code;
                const char *text;
        } rows[] = {
                { "server", KEY_RSA, 2048, ERR_NONE, "" },
                { "server", KEY_RSA, 4096, ERR_NONE, "" },
                { "server", KEY_RSA, 4104, ERR_KEY_UNSUPPORTED,
                  "the RSA key has 4104 bits, the profile 'server' takes 4096 at most: make one of 4096 bits, or set "
                  "RsaBitsMax= in profiles.d/server.conf" },
                { "server", KEY_ECDSA_P521, 0, ERR_NONE, "" },
                { "iot", KEY_ECDSA_P256, 0, ERR_NONE, "" },
                { "iot", KEY_ECDSA_P384, 0, ERR_KEY_UNSUPPORTED, "takes no ECDSA P-384 keys" },
                { "iot", KEY_ED25519, 0, ERR_KEY_UNSUPPORTED, "takes no Ed25519 keys" },
                { "iot", KEY_RSA, 2048, ERR_KEY_WEAK,
                  "wants 3072 at least: make one of 3072 bits" },
                { "iot", KEY_RSA, 3072, ERR_NONE, "" },
                { "iot", KEY_RSA, 3080, ERR_KEY_UNSUPPORTED, "takes 3072 at most" },
        };

        ck_ok(load("iot.conf",
                   "[Profile]\nKeyTypes=ecdsa-p256 rsa\nRsaBitsMin=3072\nRsaBitsMax=3072\n", &set,
                   &err),
              err);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CAD_AUTO(public_key_free) struct public_key *key = NULL;
                CAD_AUTO(buffer_done) struct buffer spki = { 0 };

                err = (struct error){ 0 };
                key_spki(rows[i].type, rows[i].bits, &spki);
                ck_ok(public_key_from_spki(buffer_bytes(&spki), RSA_BITS_MAX, &key, &err), err);
                (void) profile_check_key(profiles_find(set, rows[i].profile, NULL), key, &err);
                ck_assert_msg(err.code == rows[i].code, "row %zu: %s", i, err.text);
                ck_assert_msg(strstr(err.text, rows[i].text), "row %zu: %s", i, err.text);
                ck_assert_str_eq(err.field, rows[i].code ? "csr.key" : "");
        }
}
END_TEST

START_TEST(names_are_held_against_kinds_and_wildcards) {
        CAD_AUTO(profiles_free) struct profile_set *set = built_in();
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };

        ck_refused(profile_check_names(profiles_find(set, "server", NULL), &list, "names", &err),
                   err, ERR_NAMES_MISSING);
        ck_assert_str_eq(err.field, "names");
        ck_ok(san_list_add_text(&list, "nas.lan", &err), err);
        ck_ok(san_list_add_text(&list, "*.nas.lan", &err), err);
        ck_ok(profile_check_names(profiles_find(set, "server", NULL), &list, "names", &err), err);
        ck_refused(profile_check_names(profiles_find(set, "device", NULL), &list, "names", &err),
                   err, ERR_NAME_NOT_ALLOWED);
        ck_assert_str_eq(err.field, "names[1]");
        ck_ok(san_list_add_text(&list, "a@nas.lan", &err), err);
        ck_refused(profile_check_names(profiles_find(set, "peer", NULL), &list, "csr.san", &err),
                   err, ERR_NAME_NOT_ALLOWED);
        ck_assert_str_eq(err.field, "csr.san[2]");
}
END_TEST

START_TEST(every_bit_has_a_name) {
        for (uint32_t bit = 1; bit <= EKU_TIME_STAMPING; bit <<= 1)
                ck_assert(eku_name(bit) && eku_oid(bit).size);
        for (uint32_t bit = 1; bit <= KU_DECIPHER_ONLY; bit <<= 1)
                ck_assert_ptr_nonnull(key_usage_name(bit));
        for (enum key_type type = 0; type < KEY_TYPE_COUNT; type++)
                ck_assert_ptr_nonnull(key_type_setting(KEY_BIT(type)));
        ck_assert(name_type_name(SAN_BIT(SAN_DNS)) && name_type_name(SAN_BIT(SAN_IP)) &&
                  name_type_name(SAN_BIT(SAN_EMAIL)) && name_type_name(SAN_BIT(SAN_URI)));
        ck_assert_uint_eq(eku_oid(0).size, 0);
        ck_assert_ptr_null(eku_name(1u << 30));
        ck_assert_str_eq(profile_enrolment_name(ENROLMENT_INTERNAL), "internal");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("profile");
        TCase *tc = tcase_create("profile");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, the_built_in_profiles_are_as_promised);
        tcase_add_test(tc, the_ca_s_own_profiles_are_known_by_name);
        tcase_add_test(tc, a_profile_of_tls_servers_is_never_longer_than_apple_takes);
        tcase_add_test(tc, an_unknown_profile_names_those_that_there_are);
        tcase_add_test(tc, no_folder_is_the_built_in_ones_alone);
        tcase_add_test(tc, a_file_makes_a_profile_of_its_name);
        tcase_add_test(tc, a_file_that_says_nothing_makes_a_server);
        tcase_add_test(tc, a_file_named_as_a_built_in_one_changes_that);
        tcase_add_test(tc, files_of_other_kinds_are_left_alone);
        tcase_add_loop_test(tc, a_bad_file_is_refused_with_its_place, 0, ARRAY_SIZE(refused));
        tcase_add_test(tc, a_file_that_others_could_have_written_is_refused);
        tcase_add_test(tc, there_are_64_profiles_at_most);
        tcase_add_loop_test(tc, a_digest_changes_with_all_that_a_profile_means, 0,
                            ARRAY_SIZE(meaningful));
        tcase_add_test(tc, a_digest_does_not_change_with_words_for_people);
        tcase_add_test(tc, key_encipherment_is_for_rsa_alone);
        tcase_add_test(tc, a_key_is_held_against_types_and_sizes);
        tcase_add_test(tc, names_are_held_against_kinds_and_wildcards);
        tcase_add_test(tc, every_bit_has_a_name);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
