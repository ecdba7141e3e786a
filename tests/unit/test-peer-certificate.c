/*
 * Peer certificates: what a TLS client shows is taken only where an issuer of this CA has signed just that.
 */
#include "issued-fixture.h"

#include <string.h>

#include "daemon/authority/peer_certificate.h"
#include "lib/pki/oid.h"

static struct ca_info *info;
static struct peer_verifier *verifier;
static struct private_key *own_key, *foreign_key;

static void make_info(void) {
        uint8_t *frame = malloc(SIGNER_FRAME_MAX);
        struct sign_hello hello, decoded;
        struct frame_reader fields;
        struct signer_header header;
        struct error err = { 0 };

        ck_assert_ptr_nonnull(frame);
        ca_hello(ca, &hello);
        ck_ok(frame_open(sign_hello_encode(frame, 0, &hello), &header, &fields, &err), err);
        ck_ok(sign_hello_decode(&fields, &decoded, &err), err);
        ck_ok(ca_info_new(&decoded, &info, &err), err);
        free(frame);
}

static void set_up(void) {
        struct error err = { 0 };

        issued_setup();
        make_info();
        ck_ok(peer_verifier_new(info, &verifier, &err), err);
        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &own_key, &err), err);
        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &foreign_key, &err), err);
}

static void tear_down(void) {
        own_key = private_key_free(own_key);
        foreign_key = private_key_free(foreign_key);
        verifier = peer_verifier_free(verifier);
        info = ca_info_free(info);
        issued_teardown();
}

/* ---- certificates as they should not be: a signer that writes what it is told ---- */

enum signed_by {
        BY_ACTIVE,
        BY_STANDBY,
        BY_FOREIGN,  /* another CA, with names of its own */
        BY_IMPOSTOR, /* another key, with the name and key id of ours */
        BY_ITSELF,
};

#define DAY_S INT64_C(86400)
#define EKU_NONE 0u
#define EKU_UNUSUAL (1u << 31) /* a purpose that nobody knows */

struct shape {
        const char *why;
        const char *refused; /* a part of the reason; NULL: it is taken */
        enum signed_by by;
        uint32_t eku;       /* EKU_CLIENT_AUTH where it should be */
        uint32_t key_usage; /* 0: none is written */
        size_t serial_size; /* 0: 8 */
        bool ca, critical, no_key_id, constraints, empty_eku, weak;
};

static void put_extension(struct der_writer *w, struct bytes oid, bool critical,
                          struct bytes value) {
        size_t all = der_mark(w);

        der_put(w, DER_OCTET_STRING, value);
        if (critical)
                der_put_true(w);
        der_put(w, DER_OID, oid);
        der_wrap(w, DER_SEQUENCE, all);
}

/* The value of an extension, written on its own; lives until the next one. */
static struct bytes value_of(uint8_t octets[256],
                             void (*write)(struct der_writer *w, const struct shape *shape),
                             const struct shape *shape) {
        struct der_writer w;

        der_writer_init(&w, octets, 256);
        write(&w, shape);
        ck_assert(!w.failed);
        return der_writer_bytes(&w);
}

static void write_eku(struct der_writer *w, const struct shape *shape) {
        size_t all = der_mark(w);

        if (shape->eku & EKU_UNUSUAL)
                der_put(w, DER_OID, BYTES_LITERAL("\x2a\x03\x04"));
        for (uint32_t bit = 1; bit <= EKU_TIME_STAMPING; bit <<= 1)
                if (shape->eku & bit)
                        der_put(w, DER_OID, eku_oid(bit));
        der_wrap(w, DER_SEQUENCE, all);
}

static void write_key_usage(struct der_writer *w, const struct shape *shape) {
        der_put_bits(w, shape->key_usage);
}

static void write_basic_constraints(struct der_writer *w, const struct shape *shape) {
        size_t all = der_mark(w);

        if (shape->ca)
                der_put_true(w);
        der_wrap(w, DER_SEQUENCE, all);
}

static void write_key_id(struct der_writer *w, const struct shape *shape) {
        const struct ca_issuer *issuer = &ca->issuers[shape->by == BY_STANDBY];
        uint8_t none[KEY_ID_SIZE] = { 9 };
        size_t all = der_mark(w);

        der_put(w, DER_CONTEXT(0),
                shape->by == BY_FOREIGN ? BYTES(none, sizeof(none)) : issuer->cert.subject_key_id);
        der_wrap(w, DER_SEQUENCE, all);
}

static void write_empty(struct der_writer *w, const struct shape *shape) {
        size_t all = der_mark(w);

        (void) shape;
        der_wrap(w, DER_SEQUENCE, all);
}

static void put_extensions(struct der_writer *w, const struct shape *shape) {
        size_t explicit = der_mark(w), list = der_mark(w);
        uint8_t octets[256];

        if (shape->critical)
                put_extension(w, BYTES_LITERAL("\x2a\x03\x05"), true, BYTES_LITERAL("\x05\x00"));
        if (shape->constraints)
                put_extension(w, OID_CE_NAME_CONSTRAINTS, true,
                              value_of(octets, write_empty, shape));
        if (shape->eku || shape->empty_eku)
                put_extension(w, OID_CE_EXTENDED_KEY_USAGE, false,
                              value_of(octets, write_eku, shape));
        if (shape->key_usage)
                put_extension(w, OID_CE_KEY_USAGE, true, value_of(octets, write_key_usage, shape));
        if (!shape->no_key_id)
                put_extension(w, OID_CE_AUTHORITY_KEY_ID, false,
                              value_of(octets, write_key_id, shape));
        put_extension(w, OID_CE_BASIC_CONSTRAINTS, true,
                      value_of(octets, write_basic_constraints, shape));
        der_wrap(w, DER_SEQUENCE, list);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(3), explicit);
}

static void put_name(struct der_writer *w, const char *common_name) {
        size_t name = der_mark(w);

        der_put(w, DER_UTF8_STRING, bytes_of(common_name));
        der_put(w, DER_OID, OID_AT_COMMON_NAME);
        der_wrap(w, DER_SEQUENCE, name);
        der_wrap(w, DER_SET, name);
        der_wrap(w, DER_SEQUENCE, name);
}

static void put_issuer(struct der_writer *w, const struct shape *shape) {
        if (shape->by == BY_ITSELF)
                put_name(w, "device");
        else if (shape->by == BY_FOREIGN)
                put_name(w, "Another CA");
        else
                der_put_raw(w, ca->issuers[shape->by == BY_STANDBY].cert.subject);
}

static struct validity validity = { 0, 0 };

static void put_body(struct der_writer *w, const struct shape *shape, struct bytes spki,
                     struct bytes algorithm) {
        static const uint8_t digits[32] = { 0x11, 2, 3, 4, 5, 6, 7, 8, 9 };
        size_t all = der_mark(w), part;

        put_extensions(w, shape);
        der_put_raw(w, spki);
        put_name(w, "device");
        part = der_mark(w);
        der_put_time(w, validity.not_after);
        der_put_time(w, validity.not_before);
        der_wrap(w, DER_SEQUENCE, part);
        put_issuer(w, shape);
        der_put_raw(w, algorithm);
        der_put_unsigned(w, BYTES(digits, shape->serial_size ? shape->serial_size : 8));
        part = der_mark(w);
        der_put_uint(w, 2);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), part);
        der_wrap(w, DER_SEQUENCE, all);
}

static void make(const struct shape *shape, struct buffer *ret) {
        const struct private_key *signs = shape->by == BY_ITSELF      ? own_key
                : shape->by == BY_FOREIGN || shape->by == BY_IMPOSTOR ? foreign_key
                                                                      : NULL;
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        uint8_t octets[4096];
        struct der_writer w;
        struct error err = { 0 };

        if (!signs)
                signs = ca->issuers[shape->by == BY_STANDBY].key;
        if (validity.not_after == 0)
                validity = (struct validity){ moment_now() - DAY_S, moment_now() + DAY_S };
        ck_ok(private_key_spki(own_key, &spki, &err), err);
        der_writer_init(&w, octets, sizeof(octets));
        put_body(&w, shape, buffer_bytes(&spki), private_key_algorithm(signs));
        ck_assert(!w.failed);
        ck_ok(cert_sign(signs, der_writer_bytes(&w), ret, &err), err);
}

/* ---- what is taken and what is not ---- */

#define KU_LEAF (KU_DIGITAL_SIGNATURE)

static const struct shape shapes[] = {
        { "a client's", NULL, BY_ACTIVE, EKU_CLIENT_AUTH, KU_LEAF },
        { "of the standby issuer", NULL, BY_STANDBY, EKU_CLIENT_AUTH, KU_LEAF },
        { "for servers and clients", NULL, BY_ACTIVE, EKU_SERVER_AUTH | EKU_CLIENT_AUTH, KU_LEAF },
        { "for clients and what is not known", NULL, BY_ACTIVE, EKU_CLIENT_AUTH | EKU_UNUSUAL,
          KU_LEAF },
        { "without key usage", NULL, BY_ACTIVE, EKU_CLIENT_AUTH, 0 },
        { "a serial of 20 octets", NULL, BY_ACTIVE, EKU_CLIENT_AUTH, KU_LEAF, .serial_size = 20 },
        { "for servers alone", NULL, BY_ACTIVE, EKU_SERVER_AUTH, KU_LEAF },
        { "for no purpose", "not for TLS", BY_ACTIVE, EKU_NONE, KU_LEAF },
        { "an empty list of purposes", "not for TLS", BY_ACTIVE, EKU_NONE, KU_LEAF,
          .empty_eku = true },
        { "for e-mail", "not for TLS", BY_ACTIVE, EKU_EMAIL_PROTECTION, KU_LEAF },
        { "a key for encryption alone", "digitalSignature", BY_ACTIVE, EKU_CLIENT_AUTH,
          KU_KEY_ENCIPHERMENT },
        { "CA:TRUE as a leaf", "is a CA's", BY_ACTIVE, EKU_CLIENT_AUTH, KU_LEAF, .ca = true },
        { "that may sign certificates", "is a CA's", BY_ACTIVE, EKU_CLIENT_AUTH,
          KU_LEAF | KU_KEY_CERT_SIGN },
        { "that may sign CRLs", "is a CA's", BY_ACTIVE, EKU_CLIENT_AUTH, KU_LEAF | KU_CRL_SIGN },
        { "an unknown critical extension", "critical extension", BY_ACTIVE, EKU_CLIENT_AUTH,
          KU_LEAF, .critical = true },
        { "name constraints in a leaf", "critical extension", BY_ACTIVE, EKU_CLIENT_AUTH, KU_LEAF,
          .constraints = true },
        { "of another CA", "of another CA", BY_FOREIGN, EKU_CLIENT_AUTH, KU_LEAF },
        { "of another CA with our names", "signature is not this CA's", BY_IMPOSTOR,
          EKU_CLIENT_AUTH, KU_LEAF },
        { "its own issuer", "self-signed", BY_ITSELF, EKU_CLIENT_AUTH, KU_LEAF },
        { "without an issuer's key id", "of another CA", BY_ACTIVE, EKU_CLIENT_AUTH, KU_LEAF,
          .no_key_id = true },
        { "a serial of 21 octets", "20 octets", BY_ACTIVE, EKU_CLIENT_AUTH, KU_LEAF,
          .serial_size = 21 },
};

static void check_refused(const struct bytes *chain, size_t count, const char *why,
                          const char *part) {
        struct peer_certificate ret, untouched;
        struct error err;

        memset(&ret, 0x5a, sizeof(ret));
        memcpy(&untouched, &ret, sizeof(ret));
        ck_refused(peer_certificate_verify(verifier, chain, count, &ret, &err), err,
                   ERR_UNAUTHENTICATED);
        ck_assert_msg(strstr(err.text, part), "%s: '%s' is not in: %s", why, part, err.text);
        ck_assert_mem_eq(&ret, &untouched, sizeof(ret));
}

START_TEST(each_shape_is_taken_or_refused_for_its_reason) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct peer_certificate ret;
        struct bytes chain;
        struct error err = { 0 };

        make(&shapes[_i], &der);
        chain = buffer_bytes(&der);
        if (shapes[_i].refused) {
                check_refused(&chain, 1, shapes[_i].why, shapes[_i].refused);
                return;
        }
        ck_assert_msg(peer_certificate_verify(verifier, &chain, 1, &ret, &err) == 0, "%s: %s",
                      shapes[_i].why, err.text);
}
END_TEST

static void issue(const char *profile, uint64_t n, struct validity valid, struct buffer *ret) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        uint8_t octets[CERT_MAX];
        struct sign_issue wish = { .validity = valid };
        struct error err = { 0 };

        (void) snprintf(wish.profile, sizeof(wish.profile), "%s", profile);
        memcpy(wish.profile_digest, profiles_find(profiles, profile, NULL)->digest,
               sizeof(wish.profile_digest));
        ck_ok(private_key_spki(own_key, &spki, &err), err);
        wish.spki = buffer_bytes(&spki);
        wish.names = names_der(octets, sizeof(octets), (const char *const[]){ "nas.lan", NULL });
        ck_ok(issued_sign(&wish, n, ret, &err), err);
}

static struct validity days(int from, int to) {
        int64_t now = moment_now();

        return (struct validity){ now + from * DAY_S, now + to * DAY_S - 1 };
}

START_TEST(what_it_says_is_kept) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 }, spki = { 0 };
        struct validity valid = days(0, 30);
        struct peer_certificate ret;
        uint8_t expected[SHA256_SIZE];
        struct bytes chain;
        struct cert cert;
        struct error err = { 0 };

        issue("device", 0x4711, valid, &der);
        chain = buffer_bytes(&der);
        ck_ok(peer_certificate_verify(verifier, &chain, 1, &ret, &err), err);
        ck_ok(cert_read(chain, &cert, &err), err);
        ck_assert(bytes_equal(BYTES(ret.serial, ret.serial_size), cert.serial));
        cert_fingerprint(chain, expected);
        ck_assert_mem_eq(ret.fingerprint, expected, sizeof(expected));
        ck_ok(private_key_spki(own_key, &spki, &err), err);
        sha256(buffer_bytes(&spki), expected);
        ck_assert_mem_eq(ret.spki, expected, sizeof(expected));
        sha256(ca_info_active(info)->cert.spki, expected);
        ck_assert_mem_eq(ret.issuer_spki, expected, sizeof(expected));
        ck_assert_int_eq(ret.validity.not_before, valid.not_before);
        ck_assert_int_eq(ret.validity.not_after, valid.not_after);
}
END_TEST

START_TEST(a_server_certificate_of_ours_is_no_client) {
        static const struct {
                const char *profile;
                bool for_clients;
        } all[] = { { "server", false }, { "client", true }, { "device", true } };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };
                struct peer_certificate ret;
                struct error err = { 0 };
                struct bytes chain;

                issue(all[i].profile, 1, days(0, 30), &der);
                chain = buffer_bytes(&der);
                ck_ok(peer_certificate_verify(verifier, &chain, 1, &ret, &err), err);
                ck_assert_msg(ret.for_clients == all[i].for_clients, "%s", all[i].profile);
        }
}
END_TEST

START_TEST(certificates_of_the_ca_itself_are_no_clients) {
        check_refused(&info->root.der, 1, "the root", "is a CA's");
        for (size_t i = 0; i < info->issuer_count; i++)
                check_refused(&info->issuers[i].cert.der, 1, "an intermediate", "is a CA's");
}
END_TEST

START_TEST(only_the_first_counts_and_not_too_many_may_come) {
        CAD_AUTO(buffer_done) struct buffer good = { 0 }, foreign = { 0 };
        struct bytes chain[20];
        struct peer_certificate ret;
        struct error err = { 0 };

        make(&shapes[0], &good);
        make(&(struct shape){ .by = BY_FOREIGN, .eku = EKU_CLIENT_AUTH, .key_usage = KU_LEAF },
             &foreign);
        for (size_t i = 0; i < ARRAY_SIZE(chain); i++)
                chain[i] = buffer_bytes(&foreign);
        chain[0] = buffer_bytes(&good);
        ck_ok(peer_certificate_verify(verifier, chain, PEER_CHAIN_MAX, &ret, &err), err);
        check_refused(chain, PEER_CHAIN_MAX + 1, "one more",
                      "11 of them were sent, 10 are the most");
        check_refused(chain, 20, "chain of 20", "20 of them were sent");
        /* a good one behind a bad one helps nobody */
        chain[0] = buffer_bytes(&foreign);
        chain[1] = buffer_bytes(&good);
        check_refused(chain, 2, "the second is good", "of another CA");
        check_refused(chain, 0, "none", "there is no client certificate");
}
END_TEST

START_TEST(what_follows_the_first_is_not_even_read) {
        CAD_AUTO(buffer_done) struct buffer good = { 0 };
        struct peer_certificate ret;
        struct error err = { 0 };

        make(&shapes[0], &good);
        struct bytes chain[] = { buffer_bytes(&good), BYTES_LITERAL("\x30\x80garbage"), BYTES_NONE,
                                 buffer_bytes(&good) };
        ck_ok(peer_certificate_verify(verifier, chain, ARRAY_SIZE(chain), &ret, &err), err);
}
END_TEST

START_TEST(every_octet_counts) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct peer_certificate ret;
        struct bytes whole;

        make(&shapes[0], &der);
        whole = buffer_bytes(&der);
        for (size_t i = 0; i < whole.size; i++) { /* each prefix, each octet changed */
                struct bytes part = BYTES(whole.data, i);
                uint8_t before = der.data[i];

                ck_assert_int_eq(peer_certificate_verify(verifier, &part, 1, &ret, NULL), -1);
                der.data[i] ^= 0x01;
                ck_assert_msg(peer_certificate_verify(verifier, &whole, 1, &ret, NULL) == -1,
                              "octet %zu of %zu may be changed", i, whole.size);
                der.data[i] = before;
        }
        buffer_append(&der, BYTES_LITERAL("\0"));
        whole = buffer_bytes(&der);
        ck_assert_int_eq(peer_certificate_verify(verifier, &whole, 1, &ret, NULL), -1);
}
END_TEST

static const struct {
        const char *why;
        struct bytes der;
} garbage[] = {
        { "nothing", { NULL, 0 } },
        { "one octet", { (const uint8_t *) "\x30", 1 } },
        { "an empty SEQUENCE", { (const uint8_t *) "\x30\x00", 2 } },
        { "4 GiB", { (const uint8_t *) "\x30\x84\xff\xff\xff\xff", 6 } },
        { "indefinite length", { (const uint8_t *) "\x30\x80\x00\x00", 4 } },
        { "text", { (const uint8_t *) "-----BEGIN CERTIFICATE-----", 27 } },
};

START_TEST(garbage_is_refused) {
        check_refused(&garbage[_i].der, 1, garbage[_i].why, "not taken");
}
END_TEST

START_TEST(more_octets_than_a_certificate_has_are_not_read) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct bytes chain;

        for (size_t i = 0; i <= PEER_CERTIFICATE_MAX; i++)
                buffer_append(&der, BYTES_LITERAL("0"));
        chain = buffer_bytes(&der);
        check_refused(&chain, 1, "32 KiB and one", "are the most");
}
END_TEST

/* ---- its time ---- */

static const struct {
        const char *why;
        int64_t now;
        int64_t expired_s; /* -1: not yet valid */
} times[] = {
        { "a second before", 999, -1 },    { "its first second", 1000, 0 },
        { "in between", 1500, 0 },         { "its last second (RFC 5280: inclusive)", 2000, 0 },
        { "a second after", 2001, 1 },     { "long after", 2000 + 400 * DAY_S, 400 * DAY_S },
        { "the clock is in 1970", 0, -1 },
};

START_TEST(time_makes_it_wait_or_expire) {
        struct peer_certificate certificate = { .serial = { 0x10, 0xab },
                                                .serial_size = 2,
                                                .spki = { 1, 2 },
                                                .validity = { 1000, 2000 } };
        struct principal p = { .text = "before" };
        struct error err = { 0 };
        int rc = peer_certificate_judge(&certificate, times[_i].now, &p, &err);

        ck_assert_msg((rc == 0) == (times[_i].expired_s >= 0), "%s: %s", times[_i].why, err.text);
        if (rc < 0) {
                ck_assert_int_eq(err.code, ERR_UNAUTHENTICATED);
                ck_assert_ptr_nonnull(strstr(err.text, "not valid before 1970-01-01T00:16:40Z"));
                ck_assert_str_eq(p.text, "before");
                return;
        }
        ck_assert_int_eq(p.expired_s, times[_i].expired_s);
        ck_assert_int_eq(p.kind, PRINCIPAL_CERTIFICATE);
        ck_assert_int_eq(p.role, ROLE_PUBLIC);
        ck_assert(p.pending && !p.on_unix_socket);
        ck_assert_str_eq(p.text, "cert:10ab");
        ck_assert_uint_eq(p.serial_size, 2);
        ck_assert_mem_eq(p.spki, certificate.spki, sizeof(p.spki));
}
END_TEST

START_TEST(it_ends_with_its_issuer) {
        int64_t end = ca_info_active(info)->cert.validity.not_after;
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct peer_certificate ret;
        struct principal p;
        struct bytes chain;
        struct error err = { 0 };

        validity = (struct validity){ moment_now(), end + 10 * DAY_S };
        make(&shapes[0], &der);
        validity = (struct validity){ 0, 0 };
        chain = buffer_bytes(&der);
        ck_ok(peer_certificate_verify(verifier, &chain, 1, &ret, &err), err);
        ck_assert_int_eq(ret.validity.not_after, end);
        ck_ok(peer_certificate_judge(&ret, end + 5, &p, &err), err);
        ck_assert_int_eq(p.expired_s, 5);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("peer-certificate");
        TCase *tc = tcase_create("peer-certificate");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, each_shape_is_taken_or_refused_for_its_reason, 0,
                            ARRAY_SIZE(shapes));
        tcase_add_test(tc, what_it_says_is_kept);
        tcase_add_test(tc, a_server_certificate_of_ours_is_no_client);
        tcase_add_test(tc, certificates_of_the_ca_itself_are_no_clients);
        tcase_add_test(tc, only_the_first_counts_and_not_too_many_may_come);
        tcase_add_test(tc, what_follows_the_first_is_not_even_read);
        tcase_add_test(tc, every_octet_counts);
        tcase_add_loop_test(tc, garbage_is_refused, 0, ARRAY_SIZE(garbage));
        tcase_add_test(tc, more_octets_than_a_certificate_has_are_not_read);
        tcase_add_loop_test(tc, time_makes_it_wait_or_expire, 0, ARRAY_SIZE(times));
        tcase_add_test(tc, it_ends_with_its_issuer);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
