/*
 * A server's chain judged by its own clock: no lie about the time passes that can be known to be one, and nobody else's chain.
 */
#include "signer-fixture.h"

#include "cad-build.h"
#include "client/trust_clock.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"

static struct scratch folder;
static struct ca *ca, *other;
static struct profile_set *profiles;
static struct buffer spki;
static int64_t now;

static void set_up(void) {
        struct scratch another;
        struct error err = { 0 };

        now = moment_now();
        scratch_open(&folder);
        scratch_ca(&folder, NULL);
        ca = scratch_load(&folder);
        scratch_open(&another);
        scratch_ca(&another, NULL);
        other = scratch_load(&another);
        scratch_close(&another);
        key_spki(KEY_ECDSA_P256, 0, &spki);
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
}

static void tear_down(void) {
        ca = ca_free(ca);
        other = ca_free(other);
        profiles = profiles_free(profiles);
        buffer_done(&spki);
        scratch_close(&folder);
}

/* A leaf of @by for ca.lan, good from an hour ago until in 90 days, and the intermediate of @shown. */
static void make_chain(struct certs *chain, const char *profile, const struct ca *by,
                       const struct ca *shown) {
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        static uint8_t octets[CERT_MAX];
        struct error err = { 0 };
        struct der_writer w;
        struct cert_wish wish = { .profile = profiles_find(profiles, profile, NULL),
                                  .serial = BYTES_LITERAL("\x10\x02\x03\x04"),
                                  .spki = buffer_bytes(&spki),
                                  .key_type = KEY_ECDSA_P256,
                                  .names = &names,
                                  .validity = { now - 3600, now + 90 * DAY } };

        ck_ok(san_list_add_text(&names, "ca.lan", &err), err);
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &by->issuers[0].signs_as, &wish);
        ck_ok(cert_sign(by->issuers[0].key, der_writer_bytes(&w), &chain->der[0], &err), err);
        chain->count = 1;
        if (shown) {
                buffer_append(&chain->der[1], shown->issuers[0].cert.der);
                chain->count = 2;
        }
}

static void chain_done(struct certs *chain) {
        for (size_t i = 0; i < chain->count; i++)
                buffer_done(&chain->der[i]);
}

START_TEST(a_good_chain_gives_the_pin_of_its_key) {
        struct certs chain = { .count = 0 };
        CAD_AUTO(buffer_done) struct buffer wanted = { 0 };
        char pin[TRUST_CLOCK_PIN_MAX] = "";
        uint8_t digest[SHA256_SIZE];
        struct error err = { 0 };

        make_chain(&chain, "server", ca, ca);
        ck_ok(trust_clock_verify(&chain, ca->root.der, now, pin, &err), err);
        sha256(buffer_bytes(&spki), digest);
        buffer_text(&wanted, "sha256//");
        base64_append(&wanted, BYTES(digest, sizeof(digest)), 0);
        ck_assert_str_eq(pin, buffer_string(&wanted));
        chain_done(&chain);
}
END_TEST

static const struct {
        const char *why, *profile;
        bool by_other, shown_other, alone;
        int64_t told; /* relative to now, or as it is where it is negative and small */
        enum error_code code;
} bad[] = {
        { "no time is told", "server", false, false, false, -1, ERR_CLOCK },
        { "1970 is told", "server", false, false, false, -2, ERR_CLOCK },
        { "a time before the program was made", "server", false, false, false, -3, ERR_CLOCK },
        { "a time before the root began", "server", false, false, false, -4, ERR_CLOCK },
        { "a time after the leaf's end", "server", false, false, false, 91 * DAY,
          ERR_SIGNER_WRONG },
        { "a year that no certificate can say", "server", false, false, false,
          INT64_C(300000000000), ERR_CLOCK },
        { "a chain of another CA", "server", true, true, false, 0, ERR_SIGNER_WRONG },
        { "a leaf of another CA behind our intermediate", "server", true, false, false, 0,
          ERR_SIGNER_WRONG },
        { "our leaf behind another's intermediate", "server", false, true, false, 0,
          ERR_SIGNER_WRONG },
        { "no intermediate", "server", false, false, true, 0, ERR_SIGNER_WRONG },
        { "a device's certificate of our own CA is not for servers", "client", false, false, false,
          0, ERR_SIGNER_WRONG },
};

START_TEST(what_may_be_a_lie_gives_no_pin) {
        const int64_t fixed[] = { -1, 0, CAD_BUILD_TIME - 1, ca->root.validity.not_before - 1 };
        int64_t told = bad[_i].told < 0 ? fixed[-bad[_i].told - 1] : now + bad[_i].told;
        struct certs chain = { .count = 0 };
        char pin[TRUST_CLOCK_PIN_MAX] = "untouched";
        struct error err;

        make_chain(&chain, bad[_i].profile, bad[_i].by_other ? other : ca,
                   bad[_i].alone                 ? NULL
                           : bad[_i].shown_other ? other
                                                 : ca);
        ck_refused(trust_clock_verify(&chain, ca->root.der, told, pin, &err), err, bad[_i].code);
        ck_assert_msg(strcmp(pin, "untouched") == 0, "%s", bad[_i].why);
        chain_done(&chain);
}
END_TEST

START_TEST(a_clock_is_wrong_for_certain_before_the_program_or_the_root) {
        ck_assert(trust_clock_needed(0, ca->root.der));
        ck_assert(trust_clock_needed(-5, ca->root.der));
        ck_assert(trust_clock_needed(CAD_BUILD_TIME - 1, ca->root.der));
        ck_assert(trust_clock_needed(ca->root.validity.not_before - 1, ca->root.der));
        ck_assert(!trust_clock_needed(now, ca->root.der));
        ck_assert(!trust_clock_needed(now + 3650 * DAY, ca->root.der));
        ck_assert(trust_clock_needed(0, BYTES_LITERAL("no root")));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("trust-clock");
        TCase *tc = tcase_create("trust-clock");

        tcase_add_unchecked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, a_good_chain_gives_the_pin_of_its_key);
        tcase_add_loop_test(tc, what_may_be_a_lie_gives_no_pin, 0, ARRAY_SIZE(bad));
        tcase_add_test(tc, a_clock_is_wrong_for_certain_before_the_program_or_the_root);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
