/*
 * Profiles: the built-in table, and changes to it from files. Once loaded a set never changes; a reload
 * makes a new one. A profile decides by data alone: nothing that a peer sent is ever part of one.
 */
#include "profile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"
#include "oid.h"
#include "weak_keys.h"

#define DAY_S INT64_C(86400)
#define BACKDATE_S 3600 /* threats.md §5.8: clocks on a LAN are skewed */
#define BACKDATE_MAX_S (2 * DAY_S)
#define RSA_BITS_MAX_DEFAULT \
        4096 /* nobody needs more; a check of 8192 bits takes five times as long (rsa_check.h) */

#define NAMES_OF_HOSTS (SAN_BIT(SAN_DNS) | SAN_BIT(SAN_IP))
#define KEYS_ALL \
        (KEY_BIT(KEY_ECDSA_P256) | KEY_BIT(KEY_ECDSA_P384) | KEY_BIT(KEY_ECDSA_P521) | \
         KEY_BIT(KEY_ED25519) | KEY_BIT(KEY_RSA))
#define KU_TLS (KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT)

/* Kinds of certificates; a row each. keyEncipherment is dropped for keys that are not RSA. */
static const struct {
        const char *name, *description;
        uint32_t name_types, key_usage, extended_key_usage;
        int64_t default_days, max_days, grace_days;
        enum profile_enrolment enrolment;
        bool wildcards, ocsp_nocheck;
} built_in[] = {
        { "admin", "administrators of this CA, by client certificate",
          NAMES_OF_HOSTS | SAN_BIT(SAN_EMAIL), KU_TLS, EKU_CLIENT_AUTH, 90, 397, 0, ENROLMENT_ADMIN,
          false, false },
        { "client", "TLS clients: machines that connect",
          NAMES_OF_HOSTS | SAN_BIT(SAN_EMAIL) | SAN_BIT(SAN_URI), KU_TLS, EKU_CLIENT_AUTH, 90, 397,
          0, ENROLMENT_TOKEN, false, false },
        { "device", "devices that serve and connect and may sleep for long", NAMES_OF_HOSTS, KU_TLS,
          EKU_SERVER_AUTH | EKU_CLIENT_AUTH, 365, 825, 30, ENROLMENT_TOKEN, false, false },
        { "https", "the HTTPS listener of this CA itself", NAMES_OF_HOSTS, KU_TLS, EKU_SERVER_AUTH,
          90, 397, 0, ENROLMENT_INTERNAL, false, false },
        { "ocsp", "OCSP responders of this CA", NAMES_OF_HOSTS, KU_DIGITAL_SIGNATURE,
          EKU_OCSP_SIGNING, 7, 30, 0, ENROLMENT_INTERNAL, false, true },
        { "peer", "machines that are TLS server and client to each other", NAMES_OF_HOSTS, KU_TLS,
          EKU_SERVER_AUTH | EKU_CLIENT_AUTH, 90, 397, 0, ENROLMENT_TOKEN, true, false },
        { "server", "TLS servers: web pages, APIs, mail", NAMES_OF_HOSTS, KU_TLS, EKU_SERVER_AUTH,
          90, 397, 0, ENROLMENT_TOKEN, true, false },
        { "user", "people: TLS client and e-mail", SAN_BIT(SAN_EMAIL), KU_TLS,
          EKU_CLIENT_AUTH | EKU_EMAIL_PROTECTION, 365, 825, 0, ENROLMENT_APPROVAL, false, false },
};

struct profile_set {
        struct profile rows[PROFILE_MAX];
        size_t count;
        struct weak_keys *weak_keys; /* lent to every row */
};

bool profile_is_own(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
                if (built_in[i].enrolment == ENROLMENT_INTERNAL &&
                    strcmp(built_in[i].name, name) == 0)
                        return true;
        return false;
}

struct profile_set *profiles_free(struct profile_set *set) {
        for (size_t i = 0; set && i < set->count; i++)
                free(set->rows[i].description);
        if (set)
                (void) weak_keys_free(set->weak_keys);
        free(set);
        return NULL;
}

/* ---- names of bits ---- */

struct bit_name {
        const char *name;
        uint32_t bit;
};

static const struct bit_name key_usage_names[] = {
        { "digitalSignature", KU_DIGITAL_SIGNATURE },
        { "nonRepudiation", KU_NON_REPUDIATION },
        { "keyEncipherment", KU_KEY_ENCIPHERMENT },
        { "dataEncipherment", KU_DATA_ENCIPHERMENT },
        { "keyAgreement", KU_KEY_AGREEMENT },
        { "keyCertSign", KU_KEY_CERT_SIGN },
        { "cRLSign", KU_CRL_SIGN },
        { "encipherOnly", KU_ENCIPHER_ONLY },
        { "decipherOnly", KU_DECIPHER_ONLY },
        { NULL, 0 },
};

static const struct bit_name eku_names[] = {
        { "serverAuth", EKU_SERVER_AUTH },
        { "clientAuth", EKU_CLIENT_AUTH },
        { "emailProtection", EKU_EMAIL_PROTECTION },
        { "OCSPSigning", EKU_OCSP_SIGNING },
        { "codeSigning", EKU_CODE_SIGNING },
        { "timeStamping", EKU_TIME_STAMPING },
        { NULL, 0 },
};

static const struct bit_name name_type_names[] = {
        { "dns", SAN_BIT(SAN_DNS) },
        { "ip", SAN_BIT(SAN_IP) },
        { "email", SAN_BIT(SAN_EMAIL) },
        { "uri", SAN_BIT(SAN_URI) },
        { NULL, 0 },
};

static const struct bit_name key_type_names[] = {
        { "ecdsa-p256", KEY_BIT(KEY_ECDSA_P256) },
        { "ecdsa-p384", KEY_BIT(KEY_ECDSA_P384) },
        { "ecdsa-p521", KEY_BIT(KEY_ECDSA_P521) },
        { "ed25519", KEY_BIT(KEY_ED25519) },
        { "rsa", KEY_BIT(KEY_RSA) },
        { NULL, 0 },
};

static const char *const enrolment_names[] = {
        [ENROLMENT_TOKEN] = "token",
        [ENROLMENT_APPROVAL] = "approval",
        [ENROLMENT_ADMIN] = "admin",
        [ENROLMENT_INTERNAL] = "internal",
};

static const char *name_of_bit(const struct bit_name *names, uint32_t bit) {
        for (; names->name; names++)
                if (names->bit == bit)
                        return names->name;
        return NULL;
}

const char *eku_name(uint32_t bit) {
        return name_of_bit(eku_names, bit);
}

const char *key_usage_name(uint32_t bit) {
        return name_of_bit(key_usage_names, bit);
}

const char *name_type_name(uint32_t bit) {
        return name_of_bit(name_type_names, bit);
}

const char *key_type_setting(uint32_t bit) {
        return name_of_bit(key_type_names, bit);
}

const char *profile_enrolment_name(enum profile_enrolment enrolment) {
        return enrolment_names[enrolment];
}

struct bytes eku_oid(uint32_t bit) {
        switch (bit) {
        case EKU_SERVER_AUTH:
                return OID_KP_SERVER_AUTH;
        case EKU_CLIENT_AUTH:
                return OID_KP_CLIENT_AUTH;
        case EKU_EMAIL_PROTECTION:
                return OID_KP_EMAIL_PROTECTION;
        case EKU_OCSP_SIGNING:
                return OID_KP_OCSP_SIGNING;
        case EKU_CODE_SIGNING:
                return OID_KP_CODE_SIGNING;
        case EKU_TIME_STAMPING:
                return OID_KP_TIME_STAMPING;
        default:
                return BYTES_NONE;
        }
}

/* ---- settings of a file ---- */

struct bit_words {
        const struct bit_name *names;
        uint32_t bits;
};

static int add_bit_word(const char *word, void *context, struct error *err) {
        struct bit_words *words = context;
        CAD_AUTO(buffer_done) struct buffer known = { 0 };

        for (const struct bit_name *row = words->names; row->name; row++) {
                if (strcmp(row->name, word) == 0) {
                        words->bits |= row->bit;
                        return 0;
                }
                buffer_format(&known, "%s%s", known.size ? ", " : "", row->name);
        }
        return error_set(err, ERR_CONFIG, "'%.40s' is none of %s", word, buffer_string(&known));
}

static int set_bits(void *target, const char *value, size_t offset, const struct bit_name *names,
                    struct error *err) {
        struct bit_words words = { .names = names };

        if (setting_words(value, add_bit_word, &words, err) < 0)
                return -1;
        if (words.bits == 0)
                return error_set(err, ERR_CONFIG, "the list is empty");
        memcpy((char *) target + offset, &words.bits, sizeof(words.bits));
        return 0;
}

static int set_name_types(void *target, const char *value, size_t offset, struct error *err) {
        return set_bits(target, value, offset, name_type_names, err);
}

static int set_key_types(void *target, const char *value, size_t offset, struct error *err) {
        return set_bits(target, value, offset, key_type_names, err);
}

static int set_key_usage(void *target, const char *value, size_t offset, struct error *err) {
        return set_bits(target, value, offset, key_usage_names, err);
}

static int set_eku(void *target, const char *value, size_t offset, struct error *err) {
        return set_bits(target, value, offset, eku_names, err);
}

static int set_enrolment(void *target, const char *value, size_t offset, struct error *err) {
        for (size_t i = ENROLMENT_TOKEN; i <= ENROLMENT_ADMIN; i++) {
                if (strcmp(value, enrolment_names[i]) == 0) {
                        enum profile_enrolment found = (enum profile_enrolment) i;

                        memcpy((char *) target + offset, &found, sizeof(found));
                        return 0;
                }
        }
        return error_set(err, ERR_CONFIG, "'%.40s' is none of token, approval, admin", value);
}

static const struct setting profile_settings[] = {
        { "Profile", "Description", SETTING_TO(setting_set_text, struct profile, description) },
        { "Profile", "NameTypes", SETTING_TO(set_name_types, struct profile, name_types) },
        { "Profile", "KeyTypes", SETTING_TO(set_key_types, struct profile, key_types) },
        { "Profile", "RsaBitsMin", SETTING_TO(setting_set_u32, struct profile, rsa_bits_min) },
        { "Profile", "RsaBitsMax", SETTING_TO(setting_set_u32, struct profile, rsa_bits_max) },
        { "Profile", "KeyUsage", SETTING_TO(set_key_usage, struct profile, key_usage) },
        { "Profile", "ExtendedKeyUsage", SETTING_TO(set_eku, struct profile, extended_key_usage) },
        { "Profile", "Validity",
          SETTING_TO(setting_set_duration, struct profile, validity_default_s) },
        { "Profile", "ValidityMax",
          SETTING_TO(setting_set_duration, struct profile, validity_max_s) },
        { "Profile", "Backdate", SETTING_TO(setting_set_duration, struct profile, backdate_s) },
        { "Profile", "Grace", SETTING_TO(setting_set_duration, struct profile, grace_s) },
        { "Profile", "Enrolment", SETTING_TO(set_enrolment, struct profile, enrolment) },
        { "Profile", "Wildcards", SETTING_TO(setting_set_bool, struct profile, wildcards) },
        { "Profile", "StrictExtensions",
          SETTING_TO(setting_set_bool, struct profile, strict_extensions) },
        { 0 },
};

static bool usages_fit_a_leaf(const struct profile *p) {
        return p->key_usage &&
                !(p->key_usage &
                  (KU_KEY_CERT_SIGN | KU_CRL_SIGN | KU_ENCIPHER_ONLY | KU_DECIPHER_ONLY));
}

static bool rsa_sizes_make_sense(const struct profile *p) {
        return p->rsa_bits_min >= 2048 && p->rsa_bits_max <= 8192 &&
                p->rsa_bits_min <= p->rsa_bits_max;
}

static bool validity_makes_sense(const struct profile *p) {
        return p->validity_default_s >= 60 && p->validity_default_s <= p->validity_max_s;
}

static bool validity_is_bounded(const struct profile *p) {
        return !(p->extended_key_usage & EKU_SERVER_AUTH) ||
                p->validity_max_s <= LEAF_VALIDITY_MAX_S;
}

static bool backdate_is_small(const struct profile *p) {
        return p->backdate_s <= BACKDATE_MAX_S && p->backdate_s < p->validity_default_s;
}

/* A delegate with OCSPSigning speaks for the whole CA: only the built-in profile makes one, for the CA itself. */
static bool ocsp_is_internal(const struct profile *p) {
        return !(p->extended_key_usage & EKU_OCSP_SIGNING) || p->enrolment == ENROLMENT_INTERNAL;
}

static const struct {
        const char *why;
        bool (*holds)(const struct profile *p);
} profile_rules[] = {
        { "KeyUsage= may not hold keyCertSign, cRLSign, encipherOnly or decipherOnly",
          usages_fit_a_leaf },
        { "RsaBitsMin= and RsaBitsMax= (4096 where it is not set) must be from 2048 to 8192, the first no larger",
          rsa_sizes_make_sense },
        { "Validity= must be a minute at least and no longer than ValidityMax=",
          validity_makes_sense },
        { "ValidityMax= of a profile with serverAuth may not be over 825d: Apple's systems refuse longer ones",
          validity_is_bounded },
        { "Backdate= may not be over 2d, and must be shorter than Validity=", backdate_is_small },
        { "ExtendedKeyUsage=OCSPSigning is for the built-in profile ocsp alone", ocsp_is_internal },
};

static int check_profile(const struct profile *profile, const char *file, struct error *err) {
        for (size_t i = 0; i < ARRAY_SIZE(profile_rules); i++)
                if (!profile_rules[i].holds(profile))
                        return error_set(err, ERR_CONFIG, "%s: %s", file, profile_rules[i].why);
        return 0;
}

/* ---- loading ---- */

static bool profile_name_ok(const char *name) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

        return n > 0 && n < PROFILE_NAME_MAX && name[n] == '\0' && name[0] != '-';
}

static struct profile *row_of(struct profile_set *set, const char *name) {
        for (size_t i = 0; i < set->count; i++)
                if (strcmp(set->rows[i].name, name) == 0)
                        return &set->rows[i];
        return NULL;
}

/* What a profile is when its file says nothing. */
static struct profile *new_row(struct profile_set *set, const char *name) {
        struct profile *row;

        if (set->count == PROFILE_MAX)
                return NULL;
        row = &set->rows[set->count++];
        *row = (struct profile){
                .name_types = NAMES_OF_HOSTS,
                .key_types = KEYS_ALL,
                .rsa_bits_min = 2048,
                .rsa_bits_max = RSA_BITS_MAX_DEFAULT,
                .key_usage = KU_TLS,
                .extended_key_usage = EKU_SERVER_AUTH,
                .validity_default_s = 90 * DAY_S,
                .validity_max_s = 397 * DAY_S,
                .backdate_s = BACKDATE_S,
                .enrolment = ENROLMENT_TOKEN,
                .strict_extensions = true,
        };
        (void) snprintf(row->name, sizeof(row->name), "%s", name);
        row->description = strdup("");
        return row->description ? row : NULL;
}

static int load_built_in(struct profile_set *set, struct error *err) {
        for (size_t i = 0; i < ARRAY_SIZE(built_in); i++) {
                struct profile *row = new_row(set, built_in[i].name);

                if (!row ||
                    setting_set_text(&row->description, built_in[i].description, 0, err) < 0)
                        return error_no_memory(err);
                row->name_types = built_in[i].name_types;
                row->key_usage = built_in[i].key_usage;
                row->extended_key_usage = built_in[i].extended_key_usage;
                row->validity_default_s = built_in[i].default_days * DAY_S;
                row->validity_max_s = built_in[i].max_days * DAY_S;
                row->grace_s = built_in[i].grace_days * DAY_S;
                row->enrolment = built_in[i].enrolment;
                row->wildcards = built_in[i].wildcards;
                row->ocsp_nocheck = built_in[i].ocsp_nocheck;
        }
        return 0;
}

static int load_file(struct profile_set *set, int folder_fd, const char *file, struct error *err) {
        char name[PROFILE_NAME_MAX];
        size_t stem = strlen(file) - strlen(".conf");
        struct profile *row;

        if (stem >= sizeof(name))
                return error_set(err, ERR_CONFIG, "%s: a profile's name has at most %d characters",
                                 file, PROFILE_NAME_MAX - 1);
        memcpy(name, file, stem);
        name[stem] = '\0';
        if (!profile_name_ok(name))
                return error_set(err, ERR_CONFIG,
                                 "%s: a profile's name is made of a-z, 0-9 and '-'", file);
        row = row_of(set, name);
        if (!row)
                row = new_row(set, name);
        if (!row)
                return error_set(err, ERR_CONFIG, "%s: there are more than %d profiles", file,
                                 PROFILE_MAX);
        if (row->enrolment == ENROLMENT_INTERNAL)
                return error_set(err, ERR_CONFIG,
                                 "%s: the profile '%s' is the CA's own and cannot be changed", file,
                                 name);
        if (settings_read(folder_fd, file, profile_settings, row, err) < 0)
                return -1;
        return check_profile(row, file, err);
}

static int is_conf(const struct dirent *entry) {
        return entry->d_name[0] != '.' && text_ends_with(entry->d_name, ".conf");
}

static int load_folder(struct profile_set *set, int folder_fd, struct error *err) {
        struct dirent **entries = NULL;
        int count = scandirat(folder_fd, ".", &entries, is_conf, alphasort);
        int rc = 0;

        if (count < 0)
                return error_errno(err, errno, "cannot list the profiles");
        for (int i = 0; i < count; i++) {
                if (rc == 0)
                        rc = load_file(set, folder_fd, entries[i]->d_name, err);
                free(entries[i]);
        }
        free(entries);
        return rc;
}

/* All that a profile means, as text: the digest is the same in both processes if and only if they agree. */
static int make_digest(struct profile *p, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        buffer_format(&text,
                      "profile 1\nname=%s\nnames=%" PRIx32 "\nkeys=%" PRIx32 "\nrsa=%" PRIu32
                      "-%" PRIu32 "\nku=%" PRIx32 "\neku=%" PRIx32 "\ndefault=%" PRId64
                      "\nmax=%" PRId64 "\nbackdate=%" PRId64 "\ngrace=%" PRId64
                      "\nenrolment=%s\nwildcards=%d\nnocheck=%d\nstrict=%d\n",
                      p->name, p->name_types, p->key_types, p->rsa_bits_min, p->rsa_bits_max,
                      p->key_usage, p->extended_key_usage, p->validity_default_s, p->validity_max_s,
                      p->backdate_s, p->grace_s, enrolment_names[p->enrolment], p->wildcards,
                      p->ocsp_nocheck, p->strict_extensions);
        if (text.failed)
                return error_no_memory(err);
        sha256(buffer_bytes(&text), p->digest);
        return 0;
}

static int by_name(const void *a, const void *b) {
        return strcmp(((const struct profile *) a)->name, ((const struct profile *) b)->name);
}

int profiles_load(int dir_fd, const char *folder, struct profile_set **ret, struct error *err) {
        CAD_AUTO(profiles_free) struct profile_set *set = calloc(1, sizeof(*set));
        struct error missing = { 0 };
        CAD_AUTO(fd_close) int folder_fd = -1;

        if (!set)
                return error_no_memory(err);
        if (load_built_in(set, err) < 0)
                return -1;
        if (folder) {
                folder_fd = folder_open(dir_fd, folder, false, &missing);
                if (folder_fd < 0 && missing.code != ERR_NOT_FOUND) {
                        if (err)
                                *err = missing;
                        return -1;
                }
                if ((folder_fd >= 0 && load_folder(set, folder_fd, err) < 0) ||
                    weak_keys_load(dir_fd, &set->weak_keys, err) < 0)
                        return -1;
        }
        qsort(set->rows, set->count, sizeof(set->rows[0]), by_name);
        for (size_t i = 0; i < set->count; i++) {
                set->rows[i].weak_keys = set->weak_keys;
                if (make_digest(&set->rows[i], err) < 0)
                        return -1;
        }
        *ret = CAD_TAKE(set);
        return 0;
}

size_t profiles_count(const struct profile_set *set) {
        return set->count;
}

const struct profile *profiles_at(const struct profile_set *set, size_t i) {
        return i < set->count ? &set->rows[i] : NULL;
}

const struct profile *profiles_find(const struct profile_set *set, const char *name,
                                    struct error *err) {
        CAD_AUTO(buffer_done) struct buffer known = { 0 };

        for (size_t i = 0; i < set->count; i++)
                if (strcmp(set->rows[i].name, name) == 0)
                        return &set->rows[i];
        for (size_t i = 0; i < set->count; i++)
                buffer_format(&known, "%s%s", i ? ", " : "", set->rows[i].name);
        (void) error_set_field(err, ERR_PROFILE_UNKNOWN, "profile",
                               "there is no profile '%.40s': there are %s", name,
                               buffer_string(&known));
        return NULL;
}

/* ---- checks ---- */

uint32_t profile_key_usage(const struct profile *profile, enum key_type type) {
        uint32_t usage = profile->key_usage;

        return type == KEY_RSA ? usage
                               : usage & ~(uint32_t) (KU_KEY_ENCIPHERMENT | KU_DATA_ENCIPHERMENT);
}

static int check_usages(const struct profile *profile, const struct csr *csr, struct error *err) {
        uint32_t surplus = csr->has_key_usage ? csr->key_usage & ~profile->key_usage : 0;
        char oid[OID_MAX_TEXT + 64];

        for (uint32_t bit = 1; surplus && bit <= KU_DECIPHER_ONLY; bit <<= 1)
                if (surplus & bit)
                        return error_set_field(
                                err, ERR_CSR_EXTENSION, "csr.extensions.keyUsage",
                                "the CSR asks for the key usage %s, which the profile '%s' does not give: "
                                "make the CSR without it",
                                key_usage_name(bit), profile->name);
        for (size_t i = 0; i < csr->extended_key_usage_count; i++) {
                bool given = false;

                for (uint32_t bit = 1; bit <= EKU_TIME_STAMPING; bit <<= 1)
                        given |= (profile->extended_key_usage & bit) &&
                                bytes_equal(eku_oid(bit), csr->extended_key_usage[i]);
                if (!given)
                        return error_set_field(
                                err, ERR_CSR_EXTENSION, "csr.extensions.extendedKeyUsage",
                                "the CSR asks for the extended key usage %s, which the profile '%s' does "
                                "not give: take another profile, or make the CSR without it",
                                oid_text(csr->extended_key_usage[i], oid, sizeof(oid)),
                                profile->name);
        }
        return 0;
}

/* "keyUsage" of "keyUsage (2.5.29.15)", or the dotted text. */
static const char *oid_field(struct bytes oid, char *out, size_t size) {
        char *space;

        (void) oid_text(oid, out, size);
        space = strchr(out, ' ');
        if (space)
                *space = '\0';
        return out;
}

int profile_check_csr(const struct profile *profile, const struct csr *csr, struct error *err) {
        char text[OID_MAX_TEXT + 64], name[OID_MAX_TEXT + 64], field[ERROR_FIELD_MAX];

        if (csr->wants_ca)
                return error_set_field(
                        err, ERR_CSR_EXTENSION, "csr.extensions.basicConstraints",
                        "the CSR asks for a CA certificate (CA:TRUE): this call makes none. Make the CSR "
                        "without basicConstraints");
        if (check_usages(profile, csr, err) < 0)
                return -1;
        if (!profile->strict_extensions)
                return 0;
        if (csr->other_extension_count) {
                (void) snprintf(field, sizeof(field), "csr.extensions.%.70s",
                                oid_field(csr->other_extensions[0], name, sizeof(name)));
                return error_set_field(
                        err, ERR_CSR_EXTENSION, field,
                        "the CSR asks for the extension %s: the profile '%s' decides what a certificate "
                        "holds. Make the CSR without it",
                        oid_text(csr->other_extensions[0], text, sizeof(text)), profile->name);
        }
        if (csr->other_attribute_count) {
                (void) snprintf(field, sizeof(field), "csr.attributes.%.70s",
                                oid_field(csr->other_attributes[0], name, sizeof(name)));
                return error_set_field(
                        err, ERR_CSR_ATTRIBUTE, field,
                        "the CSR has the attribute %s, which is not accepted. Make the CSR without it",
                        oid_text(csr->other_attributes[0], text, sizeof(text)));
        }
        return 0;
}

int profile_check_key(const struct profile *profile, const struct public_key *key,
                      struct error *err) {
        enum key_type type = public_key_type(key);
        unsigned bits = public_key_bits(key);

        if (!(profile->key_types & KEY_BIT(type)))
                return error_set_field(err, ERR_KEY_UNSUPPORTED, "csr.key",
                                       "the profile '%s' takes no %s keys", profile->name,
                                       key_type_name(type));
        if (type == KEY_RSA && bits < profile->rsa_bits_min)
                return error_set_field(
                        err, ERR_KEY_WEAK, "csr.key",
                        "the RSA key has %u bits, the profile '%s' wants %u at least: make one of %u bits",
                        bits, profile->name, (unsigned) profile->rsa_bits_min,
                        (unsigned) profile->rsa_bits_min);
        if (type == KEY_RSA && bits > profile->rsa_bits_max)
                return error_set_field(
                        err, ERR_KEY_UNSUPPORTED, "csr.key",
                        "the RSA key has %u bits, the profile '%s' takes %u at most: make one of %u bits, or set "
                        "RsaBitsMax= in profiles.d/%s.conf",
                        bits, profile->name, (unsigned) profile->rsa_bits_max,
                        (unsigned) profile->rsa_bits_max, profile->name);
        return weak_keys_check(profile->weak_keys, key, err);
}

int profile_check_names(const struct profile *profile, const struct san_list *names,
                        const char *field, struct error *err) {
        char text[SAN_TEXT_MAX], where[ERROR_FIELD_MAX];

        if (names->count == 0)
                return error_set_field(
                        err, ERR_NAMES_MISSING, field,
                        "there is no name to issue for: put a subjectAltName into the CSR, or give names");
        for (size_t i = 0; i < names->count; i++) {
                const struct san *name = &names->items[i];
                bool wildcard = name->type == SAN_DNS && name->value.size &&
                        name->value.data[0] == '*';

                (void) snprintf(where, sizeof(where), "%s[%u]", field, name->place);
                if (!(profile->name_types & SAN_BIT(name->type)))
                        return error_set_field(
                                err, ERR_NAME_NOT_ALLOWED, where,
                                "'%s' is a kind of name (%s) that the profile '%s' does not allow: take "
                                "another profile or leave it out",
                                san_text(name, text, sizeof(text)), san_type_name(name->type),
                                profile->name);
                if (wildcard && !profile->wildcards)
                        return error_set_field(
                                err, ERR_NAME_NOT_ALLOWED, where,
                                "'%s' is a wildcard, which the profile '%s' does not allow",
                                san_text(name, text, sizeof(text)), profile->name);
        }
        return 0;
}
