/*
 * CRLs: what is written is what GnuTLS and our own strict reader read back, for every kind of CA key; entries that cannot stand in one are
 * refused, and what comes back is held against what was asked.
 */
#include "signer-fixture.h"

#include <gnutls/x509.h>
#include <sys/mman.h>

#include "lib/base/memfd.h"
#include "lib/pki/crl.h"

#define NOW INT64_C(1795290000) /* 2026-11-21T19:40:00Z */
#define YEAR_2050 INT64_C(2524608000)

/* GnuTLS's idea of the time: gnutls_x509_crl_verify() looks whether a CRL is over, whatever its flags say. */
static time_t the_time(time_t *ret) {
        if (ret)
                *ret = NOW;
        return NOW;
}

/* ---- a CA of each kind of key ---- */

static const struct {
        const char *name;
        enum key_type type;
        unsigned bits;
        gnutls_sign_algorithm_t algorithm;
} kinds[] = {
        { "ecdsa-p256", KEY_ECDSA_P256, 256, GNUTLS_SIGN_ECDSA_SHA256 },
        { "ecdsa-p384", KEY_ECDSA_P384, 384, GNUTLS_SIGN_ECDSA_SHA384 },
        { "ed25519", KEY_ED25519, 256, GNUTLS_SIGN_EDDSA_ED25519 },
        { "rsa-3072", KEY_RSA, 3072, GNUTLS_SIGN_RSA_SHA256 },
};
static size_t kind;

static void set_kind(struct ca_plan *plan) {
        plan->key_type = kinds[kind].type;
        plan->key_bits = kinds[kind].bits;
}

static struct ca *make_ca(size_t k) {
        struct scratch s;
        struct ca *ca;

        kind = k;
        scratch_open(&s);
        scratch_ca(&s, set_kind);
        ca = scratch_load(&s);
        scratch_close(&s);
        return ca;
}

/* ---- making one ---- */

static struct crl_entry entry_of(const char *serial, size_t size, unsigned reason, int64_t at) {
        struct crl_entry entry;

        ck_assert(crl_entry_set(&entry, BYTES(serial, size), reason, at));
        return entry;
}

/* Entries of all shapes: sizes of serials, reasons, times on both sides of 2050. */
static struct crl_entry shaped(size_t i) {
        static const unsigned reasons[] = { 0, 1, 2, 3, 4, 5, 6, 9, 10 };
        struct crl_entry entry;
        uint8_t serial[CRL_SERIAL_MAX];
        size_t size = 4 + i % 17;

        memset(serial, 0xff, sizeof(serial));
        serial[0] = (uint8_t) (i % 2 && size < CRL_SERIAL_MAX ? 0x80 : 0x7f);
        for (size_t k = 0; k < 3; k++)
                serial[1 + k] = (uint8_t) (i >> (16 - 8 * k));
        ck_assert(crl_entry_set(&entry, BYTES(serial, size), reasons[i % ARRAY_SIZE(reasons)],
                                i % 10 == 9 ? YEAR_2050 + (int64_t) i : NOW - (int64_t) i));
        return entry;
}

static int entries_of(struct crl_entry (*make)(size_t i), size_t count) {
        CAD_AUTO(crl_entries_free) struct crl_entries *entries = NULL;
        struct error err = { 0 };
        size_t counted = 0;
        int fd;

        ck_ok(crl_entries_new(&entries, &err), err);
        for (size_t i = 0; i < count; i++) {
                struct crl_entry entry = make(i);

                ck_ok(crl_entries_add(entries, &entry, &err), err);
        }
        fd = crl_entries_seal(entries, &counted, &err);
        ck_assert_msg(fd >= 0, "%s", err.text);
        ck_assert_uint_eq(counted, count);
        return fd;
}

static struct crl_wish wish_of(const struct cert *issuer, int entries_fd, size_t count) {
        return (struct crl_wish){ .issuer = issuer->subject,
                                  .key_id = issuer->subject_key_id,
                                  .number = NOW,
                                  .this_update = NOW - 300,
                                  .next_update = NOW + 7 * DAY,
                                  .entries_fd = entries_fd,
                                  .entry_count = count };
}

/* A CRL in a mapped memfd. Return: its octets, for memfd_unmap() */
static struct bytes make(const struct crl_wish *wish, const struct private_key *key) {
        CAD_AUTO(fd_close) int fd = -1;
        struct error err = { 0 };
        struct bytes der;
        size_t octets, size, on_disk;

        fd = memfd_new("test", &err);
        ck_ok(crl_measure(wish, &octets, &err), err);
        ck_ok(crl_write(wish, octets, key, fd, &size, &err), err);
        ck_ok(memfd_seal(fd, &err), err);
        ck_ok(memfd_check(fd, &on_disk, &err), err);
        ck_assert_uint_eq(size, on_disk);
        ck_ok(memfd_map(fd, size, &der, &err), err);
        return der;
}

/* ---- what others read ---- */

static void check_entries(gnutls_x509_crl_t crl, struct crl_entry (*made)(size_t i), size_t count) {
        gnutls_x509_crl_iter_t iter = NULL;
        size_t i = 0;

        for (;; i++) {
                unsigned char serial[32];
                struct crl_entry wanted;
                size_t size = sizeof(serial), skip;
                time_t at;

                if (gnutls_x509_crl_iter_crt_serial(crl, &iter, serial, &size, &at) < 0)
                        break;
                wanted = made(i);
                skip = serial[0] == 0;
                ck_assert_uint_eq(size - skip, wanted.serial_size);
                ck_assert_int_eq(memcmp(serial + skip, wanted.serial, wanted.serial_size), 0);
                ck_assert_int_eq(at, wanted.revoked_at);
        }
        gnutls_x509_crl_iter_deinit(iter);
        ck_assert_uint_eq(i, count);
}

static void check_by_gnutls(struct bytes der, const struct cert *issuer, size_t count) {
        gnutls_datum_t datum = { (unsigned char *) der.data, (unsigned) der.size };
        gnutls_datum_t ca_datum = { (unsigned char *) issuer->der.data,
                                    (unsigned) issuer->der.size };
        unsigned char octets[32];
        size_t size = sizeof(octets);
        gnutls_x509_crl_t crl;
        gnutls_x509_crt_t ca;
        unsigned verify = 1, critical = 1;

        ck_assert_int_eq(gnutls_x509_crl_init(&crl), 0);
        ck_assert_int_eq(gnutls_x509_crt_init(&ca), 0);
        ck_assert_int_eq(gnutls_x509_crl_import(crl, &datum, GNUTLS_X509_FMT_DER), 0);
        ck_assert_int_eq(gnutls_x509_crt_import(ca, &ca_datum, GNUTLS_X509_FMT_DER), 0);
        ck_assert_int_eq(gnutls_x509_crl_get_version(crl), 2);
        ck_assert_int_eq(gnutls_x509_crl_get_signature_algorithm(crl), kinds[kind].algorithm);
        ck_assert_int_eq(gnutls_x509_crl_check_issuer(crl, ca), 1);
        ck_assert_int_eq(gnutls_x509_crl_get_this_update(crl), NOW - 300);
        ck_assert_int_eq(gnutls_x509_crl_get_next_update(crl), NOW + 7 * DAY);
        ck_assert_int_eq(gnutls_x509_crl_get_crt_count(crl), count);
        ck_assert_int_eq(gnutls_x509_crl_get_number(crl, octets, &size, &critical), 0);
        ck_assert_uint_eq(critical, 0);
        ck_assert_uint_eq(size, 4);
        ck_assert_uint_eq((unsigned) octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3],
                          NOW);
        size = sizeof(octets);
        ck_assert_int_eq(gnutls_x509_crl_get_authority_key_id(crl, octets, &size, &critical), 0);
        ck_assert(bytes_equal(BYTES(octets, size), issuer->subject_key_id) && critical == 0);
        size = sizeof(octets);
        ck_assert_int_eq(gnutls_x509_crl_get_extension_oid(crl, 2, octets, &size),
                         GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE);
        ck_assert_int_eq(gnutls_x509_crl_verify(crl, &ca, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS,
                                                &verify),
                         0);
        ck_assert_msg(verify == 0, "%s: GnuTLS: %x", kinds[kind].name, verify);
        check_entries(crl, shaped, count);
        gnutls_x509_crl_deinit(crl);
        gnutls_x509_crt_deinit(ca);
}

static void check_by_us(struct bytes der, const struct cert *issuer, const struct crl_wish *wish) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct error err = { 0 };
        struct crl crl;

        ck_ok(crl_read(der, &crl, &err), err);
        ck_ok(crl_compare(&crl, wish, &err), err);
        ck_assert_uint_eq(crl.entry_count, wish->entry_count);
        ck_assert_int_eq(crl_number(&crl), wish->number);
        ck_ok(public_key_from_spki(issuer->spki, RSA_BITS_MAX, &key, &err), err);
        ck_ok(public_key_verify(key, crl.algorithm, crl.tbs, crl.signature, &err), err);
}

START_TEST(gnutls_and_we_read_what_was_written) {
        static const size_t counts[] = { 0, 1, 3, 1000, 2048, 2049, 5000 };
        CAD_AUTO(ca_free) struct ca *ca = make_ca((size_t) _i);
        const struct ca_issuer *issuer = &ca->issuers[0];

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
                CAD_AUTO(fd_close) int fd = entries_of(shaped, counts[i]);
                struct crl_wish wish = wish_of(&issuer->cert, fd, counts[i]);
                struct bytes der = make(&wish, issuer->key);

                check_by_gnutls(der, &issuer->cert, counts[i]);
                check_by_us(der, &issuer->cert, &wish);
                memfd_unmap(der);
        }
}
END_TEST

START_TEST(the_roots_own_is_like_any_other) {
        CAD_AUTO(ca_free) struct ca *ca = make_ca((size_t) _i);
        struct crl_wish wish = wish_of(&ca->root, -1, 0);
        struct bytes der;

        ck_assert_ptr_nonnull(ca->root_key);
        der = make(&wish, ca->root_key);
        check_by_gnutls(der, &ca->root, 0);
        check_by_us(der, &ca->root, &wish);
        memfd_unmap(der);
}
END_TEST

static struct crl_entry twenty_octets(size_t i) {
        (void) i;
        return entry_of("\x01", 1, 0, NOW);
}

static const struct {
        size_t entries;
        uint8_t below, above; /* the octet that says of how many octets the length is */
} steps[] = {
        { 0, 0x81, 0x82 },    /* at 255 */
        { 3264, 0x82, 0x83 }, /* at 65535 */
};

/*
 * The header of the whole grows by an octet at each step, and its length depends on that of the signature, which is made last: with a name of
 * any length, the sizes go over the step one by one.
 */
START_TEST(a_step_of_the_headers_length_is_taken_rightly) {
        CAD_AUTO(ca_free) struct ca *ca = make_ca(0);
        const struct ca_issuer *issuer = &ca->issuers[0];
        CAD_AUTO(fd_close) int fd = entries_of(twenty_octets, steps[_i].entries);
        bool below = false, above = false;

        for (size_t n = 0; n < 120; n++) {
                uint8_t name[2 + 120] = { 0x30 };
                struct crl_wish wish = wish_of(&issuer->cert, fd, steps[_i].entries);
                struct bytes der;

                name[1] = (uint8_t) n;
                wish.issuer = BYTES(name, 2 + n);
                der = make(&wish, issuer->key);
                check_by_us(der, &issuer->cert, &wish);
                below |= der.data[1] == steps[_i].below;
                above |= der.data[1] == steps[_i].above;
                memfd_unmap(der);
        }
        ck_assert(below && above);
}
END_TEST

START_TEST(the_same_wish_gives_the_same_octets) {
        CAD_AUTO(ca_free) struct ca *ca = make_ca((size_t) _i);
        CAD_AUTO(fd_close) int fd = entries_of(shaped, 100);
        struct crl_wish wish = wish_of(&ca->issuers[0].cert, fd, 100);
        struct bytes one = make(&wish, ca->issuers[0].key), two = make(&wish, ca->issuers[0].key);

        ck_assert(bytes_equal(one, two));
        memfd_unmap(one);
        memfd_unmap(two);
}
END_TEST

/* threats.md §5.2: revokedCertificates absent when empty, reasonCode absent for unspecified, times by year, nothing critical. */
START_TEST(an_entry_is_written_octet_for_octet) {
        static const struct {
                const char *why;
                const char *serial;
                size_t serial_size;
                unsigned reason;
                int64_t at;
                struct bytes der;
        } rows[] = {
                { "unspecified is left out", "\x01", 1, 0, 0,
                  BYTES_LITERAL("\x30\x12\x02\x01\x01\x17\x0d"
                                "700101000000Z") },
                { "a top bit gets a zero in front; a reason is an ENUMERATED, not critical",
                  "\x80\x01", 2, 1, YEAR_2050 - 1,
                  BYTES_LITERAL(
                          "\x30\x22\x02\x03\x00\x80\x01\x17\x0d"
                          "491231235959Z\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x01") },
                { "GeneralizedTime from 2050", "\x7f", 1, 10, YEAR_2050,
                  BYTES_LITERAL(
                          "\x30\x22\x02\x01\x7f\x18\x0f"
                          "20500101000000Z\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x0a") },
        };
        CAD_AUTO(ca_free) struct ca *ca = make_ca(0);

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CAD_AUTO(crl_entries_free) struct crl_entries *entries = NULL;
                struct crl_entry entry = entry_of(rows[i].serial, rows[i].serial_size,
                                                  rows[i].reason, rows[i].at);
                CAD_AUTO(fd_close) int fd = -1;
                struct error err = { 0 };
                struct crl_wish wish;
                struct bytes der;
                struct crl crl;
                size_t count;

                ck_ok(crl_entries_new(&entries, &err), err);
                ck_ok(crl_entries_add(entries, &entry, &err), err);
                fd = crl_entries_seal(entries, &count, &err);
                wish = wish_of(&ca->issuers[0].cert, fd, count);
                der = make(&wish, ca->issuers[0].key);
                ck_ok(crl_read(der, &crl, &err), err);
                ck_assert_msg(bytes_equal(crl.entries, rows[i].der), "%s", rows[i].why);
                memfd_unmap(der);
        }
}
END_TEST

START_TEST(times_of_the_list_follow_the_year_too) {
        CAD_AUTO(ca_free) struct ca *ca = make_ca(0);
        struct crl_wish wish = wish_of(&ca->issuers[0].cert, -1, 0);
        struct bytes der;
        struct crl crl;
        struct error err = { 0 };

        wish.this_update = YEAR_2050 - 1;
        wish.next_update = YEAR_2050;
        der = make(&wish, ca->issuers[0].key);
        ck_ok(crl_read(der, &crl, &err), err);
        ck_assert(memmem(crl.tbs.data, crl.tbs.size,
                         "\x17\x0d"
                         "491231235959Z"
                         "\x18\x0f"
                         "20500101000000Z",
                         32));
        ck_assert_ptr_null(crl.entries.data);
        memfd_unmap(der);
}
END_TEST

/* ---- entries that cannot stand in one ---- */

static const struct {
        const char *why;
        struct crl_entry entry;
        bool good;
} entries_tried[] = {
        { "one octet", { 1, { 1 }, 0, { 0 }, 0 }, true },
        { "20 octets, the largest serial",
          { 20, { 0x7f, 0xff, [19] = 0xff }, 0, { 0 }, NOW },
          true },
        { "19 octets with the top bit, 20 in DER", { 19, { 0xff }, 0, { 0 }, NOW }, true },
        { "the last time", { 1, { 1 }, 0, { 0 }, MOMENT_LAST }, true },
        { "no serial", { 0, { 0 }, 0, { 0 }, NOW }, false },
        { "a serial of 21 octets", { 21, { 1 }, 0, { 0 }, NOW }, false },
        { "a serial of 255 octets", { 255, { 1 }, 0, { 0 }, NOW }, false },
        { "zero", { 1, { 0 }, 0, { 0 }, NOW }, false },
        { "a zero in front", { 2, { 0, 1 }, 0, { 0 }, NOW }, false },
        { "21 octets in DER", { 20, { 0x80 }, 0, { 0 }, NOW }, false },
        { "an octet behind the serial", { 1, { 1, 1 }, 0, { 0 }, NOW }, false },
        { "an octet far behind it", { 1, { 1, [19] = 1 }, 0, { 0 }, NOW }, false },
        { "reason 7, which is none", { 1, { 1 }, 7, { 0 }, NOW }, false },
        { "removeFromCRL", { 1, { 1 }, 8, { 0 }, NOW }, false },
        { "reason 11", { 1, { 1 }, 11, { 0 }, NOW }, false },
        { "reason 255", { 1, { 1 }, 255, { 0 }, NOW }, false },
        { "a reserved octet", { 1, { 1 }, 0, { 0, 1 }, NOW }, false },
        { "before 1970", { 1, { 1 }, 0, { 0 }, -1 }, false },
        { "after 9999", { 1, { 1 }, 0, { 0 }, MOMENT_LAST + 1 }, false },
        { "the smallest number", { 1, { 1 }, 0, { 0 }, INT64_MIN }, false },
};

/* Past crl_entries_add(), which would refuse it: as a hostile cad does. */
static int raw_entries(const void *octets, size_t size) {
        struct error err = { 0 };
        int fd = memfd_new("raw", &err);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fd_write_all(fd, BYTES(octets, size)), 0);
        ck_ok(memfd_seal(fd, &err), err);
        return fd;
}

START_TEST(an_entry_is_looked_at_wherever_it_stands) {
        struct crl_entry all[5000];
        const size_t places[] = { 0, 1, 2047, 2048, 4999 };
        struct error err = { 0 };

        ck_assert_msg((crl_entry_check(&entries_tried[_i].entry, &err) == 0) ==
                              entries_tried[_i].good,
                      "%s", entries_tried[_i].why);
        for (size_t p = 0; p < ARRAY_SIZE(places); p++) {
                CAD_AUTO(fd_close) int fd = -1;
                struct crl_wish wish = { .entry_count = ARRAY_SIZE(all) };
                size_t octets = 77;
                char where[32];

                for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                        all[i] = shaped(i);
                all[places[p]] = entries_tried[_i].entry;
                fd = raw_entries(all, sizeof(all));
                wish.entries_fd = fd;
                if (entries_tried[_i].good) {
                        ck_ok(crl_measure(&wish, &octets, &err), err);
                        continue;
                }
                ck_refused(crl_measure(&wish, &octets, &err), err, ERR_REQUEST_MALFORMED);
                (void) snprintf(where, sizeof(where), "entry %zu ", places[p]);
                ck_assert_msg(strstr(err.text, where), "%s: %s", entries_tried[_i].why, err.text);
                ck_assert_uint_eq(octets, 77);
        }
}
END_TEST

START_TEST(who_makes_entries_is_told_at_once) {
        CAD_AUTO(crl_entries_free) struct crl_entries *entries = NULL;
        struct error err = { 0 };
        struct crl_entry entry;

        ck_ok(crl_entries_new(&entries, &err), err);
        for (size_t i = 0; i < ARRAY_SIZE(entries_tried); i++)
                ck_assert_msg((crl_entries_add(entries, &entries_tried[i].entry, &err) == 0) ==
                                      entries_tried[i].good,
                              "%s", entries_tried[i].why);
        ck_assert(!crl_entry_set(&entry, BYTES_NONE, 0, 0));
        ck_assert(!crl_entry_set(&entry, BYTES_LITERAL("\0\1"), 0, 0));
        ck_assert(!crl_entry_set(&entry, BYTES_LITERAL("\1"), 256, 0));
        ck_assert(!crl_entry_set(&entry, BYTES_LITERAL("\1aaaaaaaaaaaaaaaaaaaa"), 0, 0));
}
END_TEST

START_TEST(a_count_that_lies_is_refused) {
        CAD_AUTO(fd_close) int fd = entries_of(shaped, 3);
        const size_t lies[] = { 0,
                                1,
                                2,
                                4,
                                3000,
                                CRL_ENTRIES_MAX,
                                CRL_ENTRIES_MAX + 1,
                                SIZE_MAX,
                                SIZE_MAX / 32 + 4 /* times 32 it is 96 again */ };
        struct error err;
        size_t octets;

        for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
                struct crl_wish wish = { .entries_fd = fd, .entry_count = lies[i] };

                ck_refused(crl_measure(&wish, &octets, &err), err, ERR_REQUEST_MALFORMED);
                wish.entries_fd = -1;
                if (lies[i])
                        ck_refused(crl_measure(&wish, &octets, &err), err, ERR_REQUEST_MALFORMED);
        }
}
END_TEST

static void *swap_window; /* the entries' memory, in a file that was never sealed */

static void swap_entries(void *context) {
        struct crl_entry *all = swap_window;

        (void) context;
        all[2050] = entry_of("\x7f\x01\x02\x03\x04\x05\x06\x07\x08\x09", 10, 0, NOW);
}

/* The seals forbid it; but even so nothing is written past what was measured. */
START_TEST(entries_that_change_between_the_two_walks_are_refused) {
        CAD_AUTO(ca_free) struct ca *ca = make_ca(0);
        CAD_AUTO(fd_close) int fd = memfd_create("unsealed", MFD_CLOEXEC), out = -1;
        struct crl_entry all[4096];
        struct crl_wish wish = wish_of(&ca->issuers[0].cert, fd, ARRAY_SIZE(all));
        struct error err = { 0 };
        size_t octets, size = 77;

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                all[i] = entry_of("\x01", 1, 0, NOW);
        ck_assert_int_eq(fd_write_all(fd, BYTES(all, sizeof(all))), 0);
        swap_window = mmap(NULL, sizeof(all), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_ok(crl_measure(&wish, &octets, &err), err);
        out = memfd_new("out", &err);
        wish.between = swap_entries;
        ck_refused(crl_write(&wish, octets, ca->issuers[0].key, out, &size, &err), err,
                   ERR_REQUEST_MALFORMED);
        ck_assert_uint_eq(size, 77);
        (void) munmap(swap_window, sizeof(all));
}
END_TEST

/* ---- reading what is not quite one ---- */

static struct bytes copy_of(struct bytes der, struct buffer *ret) {
        buffer_done(ret);
        buffer_append(ret, der);
        return buffer_bytes(ret);
}

START_TEST(no_prefix_and_nothing_longer_is_read) {
        CAD_AUTO(ca_free) struct ca *ca = make_ca(0);
        CAD_AUTO(buffer_done) struct buffer copy = { 0 };
        CAD_AUTO(fd_close) int fd = entries_of(shaped, 12);
        struct crl_wish wish = wish_of(&ca->issuers[0].cert, fd, 12);
        struct bytes der = make(&wish, ca->issuers[0].key);
        struct crl crl = { .entry_count = 77 };
        struct error err;

        for (size_t cut = 0; cut < der.size; cut++)
                ck_refused(crl_read(copy_of(BYTES(der.data, cut), &copy), &crl, &err), err,
                           ERR_SIGNER_WRONG);
        (void) copy_of(der, &copy);
        buffer_append(&copy, BYTES_LITERAL("\0"));
        ck_refused(crl_read(buffer_bytes(&copy), &crl, &err), err, ERR_SIGNER_WRONG);
        ck_assert_uint_eq(crl.entry_count, 77);
        memfd_unmap(der);
}
END_TEST

/* Each octet of the TBSCertList changed: unreadable, or found to differ, or another signature's. */
START_TEST(no_octet_can_be_changed_unseen) {
        CAD_AUTO(ca_free) struct ca *ca = make_ca(0);
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer copy = { 0 };
        CAD_AUTO(fd_close) int fd = entries_of(shaped, 3);
        struct crl_wish wish = wish_of(&ca->issuers[0].cert, fd, 3);
        struct bytes der = make(&wish, ca->issuers[0].key);
        struct error err = { 0 };
        size_t compared = 0;

        ck_ok(public_key_from_spki(ca->issuers[0].cert.spki, RSA_BITS_MAX, &key, &err), err);
        (void) copy_of(der, &copy);
        for (size_t i = 0; i < der.size; i++) {
                struct crl crl;

                copy.data[i] ^= 0x01;
                if (crl_read(buffer_bytes(&copy), &crl, NULL) == 0 && ++compared &&
                    crl_compare(&crl, &wish, NULL) == 0)
                        ck_assert_msg(public_key_verify(key, crl.algorithm, crl.tbs, crl.signature,
                                                        NULL) < 0,
                                      "octet %zu can be changed", i);
                copy.data[i] ^= 0x01;
        }
        ck_assert_uint_gt(compared, 20);
        memfd_unmap(der);
}
END_TEST

static void change_nothing(struct crl_wish *wish) {
        (void) wish;
}
static void change_issuer(struct crl_wish *wish) {
        wish->issuer = BYTES_LITERAL("\x30\x00");
}
static void change_number(struct crl_wish *wish) {
        wish->number++;
}
static void change_this(struct crl_wish *wish) {
        wish->this_update++;
}
static void change_next(struct crl_wish *wish) {
        wish->next_update++;
}
static void change_key_id(struct crl_wish *wish) {
        wish->key_id.size--;
}
static void change_count(struct crl_wish *wish) {
        wish->entry_count--;
}
static struct crl_entry shaped_otherwise(size_t i) {
        struct crl_entry entry = shaped(i);

        if (i == 2999)
                entry.reason = entry.reason ? 0 : 1;
        return entry;
}
static void change_an_entry(struct crl_wish *wish) {
        wish->entries_fd = entries_of(shaped_otherwise, wish->entry_count);
}

static const struct {
        void (*change)(struct crl_wish *wish);
        const char *said; /* NULL: it is the same */
} changes[] = {
        { change_nothing, NULL },
        { change_issuer, "issuer" },
        { change_number, "number" },
        { change_this, "time" },
        { change_next, "time" },
        { change_key_id, "key identifier" },
        { change_count, "number of entries" },
        { change_an_entry, "entry 2999" },
};

START_TEST(every_difference_is_found_and_named) {
        CAD_AUTO(ca_free) struct ca *ca = make_ca(0);
        CAD_AUTO(fd_close) int fd = entries_of(shaped, 3000);
        struct crl_wish wish = wish_of(&ca->issuers[0].cert, fd, 3000);
        struct bytes der = make(&wish, ca->issuers[0].key);
        struct error err = { 0 };
        struct crl crl;

        ck_ok(crl_read(der, &crl, &err), err);
        changes[_i].change(&wish);
        if (!changes[_i].said) {
                ck_ok(crl_compare(&crl, &wish, &err), err);
        } else {
                ck_refused(crl_compare(&crl, &wish, &err), err, ERR_SIGNER_WRONG);
                ck_assert_msg(strstr(err.text, changes[_i].said), "%s", err.text);
        }
        if (wish.entries_fd != fd)
                (void) close(wish.entries_fd);
        memfd_unmap(der);
}
END_TEST

/* ---- signing in parts ---- */

START_TEST(a_signature_in_parts_is_that_of_the_whole) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(key_stream_free) struct key_stream *stream = NULL;
        uint8_t whole[SIGNATURE_MAX], parts[SIGNATURE_MAX], data[10000];
        size_t whole_size, parts_size;
        struct error err = { 0 };

        memset(data, 0x5a, sizeof(data));
        ck_ok(private_key_generate(kinds[_i].type, kinds[_i].bits, &key, &err), err);
        ck_assert(private_key_signs_digest(key) == (kinds[_i].type != KEY_ED25519));
        if (!private_key_signs_digest(key))
                return;
        ck_ok(key_stream_new(key, &stream, &err), err);
        for (size_t at = 0; at < sizeof(data); at += 1250)
                ck_ok(key_stream_add(stream, BYTES(data + at, 1250), &err), err);
        ck_ok(key_stream_add(stream, BYTES_NONE, &err), err);
        ck_ok(key_stream_sign(stream, parts, &parts_size, &err), err);
        ck_ok(private_key_sign(key, BYTES(data, sizeof(data)), whole, &whole_size, &err), err);
        ck_assert(bytes_equal(BYTES(whole, whole_size), BYTES(parts, parts_size)));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("crl");
        TCase *tc = tcase_create("crl");

        gnutls_global_set_time_function(the_time);
        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, gnutls_and_we_read_what_was_written, 0, ARRAY_SIZE(kinds));
        tcase_add_loop_test(tc, the_roots_own_is_like_any_other, 0, ARRAY_SIZE(kinds));
        tcase_add_loop_test(tc, a_step_of_the_headers_length_is_taken_rightly, 0,
                            ARRAY_SIZE(steps));
        tcase_add_loop_test(tc, the_same_wish_gives_the_same_octets, 0, ARRAY_SIZE(kinds));
        tcase_add_test(tc, an_entry_is_written_octet_for_octet);
        tcase_add_test(tc, times_of_the_list_follow_the_year_too);
        tcase_add_loop_test(tc, an_entry_is_looked_at_wherever_it_stands, 0,
                            ARRAY_SIZE(entries_tried));
        tcase_add_test(tc, who_makes_entries_is_told_at_once);
        tcase_add_test(tc, a_count_that_lies_is_refused);
        tcase_add_test(tc, entries_that_change_between_the_two_walks_are_refused);
        tcase_add_test(tc, no_prefix_and_nothing_longer_is_read);
        tcase_add_test(tc, no_octet_can_be_changed_unseen);
        tcase_add_loop_test(tc, every_difference_is_found_and_named, 0, ARRAY_SIZE(changes));
        tcase_add_loop_test(tc, a_signature_in_parts_is_that_of_the_whole, 0, ARRAY_SIZE(kinds));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
