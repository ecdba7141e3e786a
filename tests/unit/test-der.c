/*
 * DER: the writer's octets, the reader's strictness, and that one reads what the other wrote.
 */
#include "unit.h"

#include <string.h>

#include "lib/base/moment.h"
#include "lib/pki/der.h"

#define TEXT(s) \
        { (const uint8_t *) (s), sizeof(s) - 1 }

static struct der_writer writer(uint8_t *buffer, size_t size) {
        struct der_writer w;

        der_writer_init(&w, buffer, size);
        return w;
}

/* ---- writing and reading back ---- */

/* clang-format off */
static const struct {
        const char *why;
        uint64_t value;
        struct bytes der;
} numbers[] = {
        { "zero has one octet", 0, TEXT("\x02\x01\x00") },
        { "the largest in one octet", 0x7f, TEXT("\x02\x01\x7f") },
        { "a top bit needs a zero before it", 0x80, TEXT("\x02\x02\x00\x80") },
        { "255", 0xff, TEXT("\x02\x02\x00\xff") },
        { "256", 0x100, TEXT("\x02\x02\x01\x00") },
        { "2^63 - 1", INT64_MAX, TEXT("\x02\x08\x7f\xff\xff\xff\xff\xff\xff\xff") },
};
/* clang-format on */

START_TEST(a_number_is_minimal) {
        uint8_t buffer[16];
        struct der_writer w = writer(buffer, sizeof(buffer));
        struct der_reader r;

        der_put_uint(&w, numbers[_i].value);
        ck_assert_msg(bytes_equal(der_writer_bytes(&w), numbers[_i].der), "%s", numbers[_i].why);
        r = der_reader(der_writer_bytes(&w));
        ck_assert_uint_eq(der_get_uint(&r), numbers[_i].value);
        ck_assert(der_done(&r));
}
END_TEST

/* clang-format off */
static const struct {
        const char *why;
        struct bytes magnitude, der;
} magnitudes[] = {
        { "leading zeros go", TEXT("\x00\x00\x01"), TEXT("\x02\x01\x01") },
        { "one comes before a top bit", TEXT("\x80\x01"), TEXT("\x02\x03\x00\x80\x01") },
        { "one stays before a top bit", TEXT("\x00\x80"), TEXT("\x02\x02\x00\x80") },
        { "nothing is zero", { NULL, 0 }, TEXT("\x02\x01\x00") },
        { "zeros are zero", TEXT("\x00\x00"), TEXT("\x02\x01\x00") },
};
/* clang-format on */

START_TEST(a_magnitude_becomes_a_positive_integer) {
        uint8_t buffer[16];
        struct der_writer w = writer(buffer, sizeof(buffer));

        der_put_unsigned(&w, magnitudes[_i].magnitude);
        ck_assert_msg(bytes_equal(der_writer_bytes(&w), magnitudes[_i].der), "%s",
                      magnitudes[_i].why);
}
END_TEST

/* clang-format off */
static const struct {
        const char *why;
        uint32_t bits;
        struct bytes der;
} named_bits[] = {
        { "none", 0, TEXT("\x03\x01\x00") },
        { "bit 0: digitalSignature", 1, TEXT("\x03\x02\x07\x80") },
        { "bits 0 and 2", 5, TEXT("\x03\x02\x05\xa0") },
        { "bits 5 and 6: keyCertSign, cRLSign", 0x60, TEXT("\x03\x02\x01\x06") },
        { "bit 7", 0x80, TEXT("\x03\x02\x00\x01") },
        { "bit 8: decipherOnly", 0x100, TEXT("\x03\x03\x07\x00\x80") },
        { "bit 31", UINT32_C(1) << 31, TEXT("\x03\x05\x00\x00\x00\x00\x01") },
        { "all", UINT32_MAX, TEXT("\x03\x05\x00\xff\xff\xff\xff") },
};
/* clang-format on */

START_TEST(named_bits_lose_trailing_zeros) {
        uint8_t buffer[16];
        struct der_writer w = writer(buffer, sizeof(buffer));
        struct der_reader r;

        der_put_bits(&w, named_bits[_i].bits);
        ck_assert_msg(bytes_equal(der_writer_bytes(&w), named_bits[_i].der), "%s",
                      named_bits[_i].why);
        r = der_reader(named_bits[_i].der);
        ck_assert_uint_eq(der_get_bits(&r), named_bits[_i].bits);
        ck_assert(der_done(&r));
}
END_TEST

/* clang-format off */
static const struct {
        const char *why, *moment;
        struct bytes der;
} times[] = {
        { "the epoch", "1970-01-01T00:00:00Z", TEXT("\x17\x0d" "700101000000Z") },
        { "a leap day", "2024-02-29T12:34:56Z", TEXT("\x17\x0d" "240229123456Z") },
        { "the last UTCTime (RFC 5280 §4.1.2.5)", "2049-12-31T23:59:59Z", TEXT("\x17\x0d" "491231235959Z") },
        { "the first GeneralizedTime", "2050-01-01T00:00:00Z", TEXT("\x18\x0f" "20500101000000Z") },
        { "the last of all", "9999-12-31T23:59:59Z", TEXT("\x18\x0f" "99991231235959Z") },
};
/* clang-format on */

START_TEST(a_time_takes_its_form_by_year) {
        uint8_t buffer[32];
        struct der_writer w = writer(buffer, sizeof(buffer));
        struct error err = { 0 };
        struct der_reader r;
        int64_t t;

        ck_ok(moment_parse(times[_i].moment, &t, &err), err);
        der_put_time(&w, t);
        ck_assert_msg(bytes_equal(der_writer_bytes(&w), times[_i].der), "%s", times[_i].why);
        r = der_reader(times[_i].der);
        ck_assert_int_eq(der_get_time(&r), t);
        ck_assert(der_done(&r));
}
END_TEST

START_TEST(a_time_that_x509_cannot_say_is_not_written) {
        static const int64_t bad[] = { -1, MOMENT_LAST + 1, INT64_MIN, INT64_MAX };
        uint8_t buffer[32];

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct der_writer w = writer(buffer, sizeof(buffer));

                der_put_time(&w, bad[i]);
                ck_assert(w.failed);
                ck_assert_uint_eq(der_writer_bytes(&w).size, 0);
        }
}
END_TEST

/* clang-format off */
static const struct {
        size_t size;
        struct bytes header;
} lengths[] = {
        { 0, TEXT("\x04\x00") },
        { 127, TEXT("\x04\x7f") },
        { 128, TEXT("\x04\x81\x80") },
        { 255, TEXT("\x04\x81\xff") },
        { 256, TEXT("\x04\x82\x01\x00") },
        { 65535, TEXT("\x04\x82\xff\xff") },
        { 65536, TEXT("\x04\x83\x01\x00\x00") },
};
/* clang-format on */

START_TEST(a_length_is_as_short_as_can_be) {
        static uint8_t content[65536], buffer[65536 + 8];
        struct der_writer w = writer(buffer, sizeof(buffer));
        size_t size = lengths[_i].size;
        struct der_reader r;
        struct bytes der;

        der_put(&w, DER_OCTET_STRING, BYTES(content, size));
        der = der_writer_bytes(&w);
        ck_assert_uint_eq(der.size, lengths[_i].header.size + size);
        ck_assert_mem_eq(der.data, lengths[_i].header.data, lengths[_i].header.size);
        r = der_reader(der);
        ck_assert_uint_eq(der_get(&r, DER_OCTET_STRING).size, size);
        ck_assert(der_done(&r));
}
END_TEST

START_TEST(nested_elements_read_back) {
        uint8_t buffer[64];
        struct der_writer w = writer(buffer, sizeof(buffer));
        struct der_reader outer, r;
        size_t sequence = der_mark(&w);

        der_put(&w, DER_CONTEXT(2), BYTES_LITERAL("a.lan"));
        der_put_bit_string(&w, BYTES_LITERAL("\x01\x02"));
        der_put_true(&w);
        der_put_raw(&w, BYTES_LITERAL("\x05\x00"));
        der_wrap(&w, DER_SEQUENCE, sequence);

        outer = der_reader(der_writer_bytes(&w));
        r = der_enter(&outer, DER_SEQUENCE);
        ck_assert(der_next_is(&r, DER_NULL));
        ck_assert(bytes_equal(der_get_element(&r, DER_NULL), BYTES_LITERAL("\x05\x00")));
        ck_assert(der_get_bool(&r));
        ck_assert(bytes_equal(der_get_bit_string(&r), BYTES_LITERAL("\x01\x02")));
        ck_assert(!der_next_is(&r, DER_CONTEXT(1)));
        ck_assert(bytes_equal(der_get(&r, DER_CONTEXT(2)), BYTES_LITERAL("a.lan")));
        ck_assert(!der_more(&r));
        ck_assert(der_done(&r));
        ck_assert(der_done(&outer));
}
END_TEST

/* Everything that a writer can do, into @size octets. */
static struct der_writer write_sample(uint8_t *buffer, size_t size) {
        struct der_writer w = writer(buffer, size);

        der_put_time(&w, 0);
        der_put_bits(&w, 5);
        der_put_uint(&w, 300);
        der_put_true(&w);
        der_put_bit_string(&w, BYTES_LITERAL("\x01"));
        der_put(&w, DER_OCTET_STRING, BYTES_LITERAL("abc"));
        der_wrap(&w, DER_SEQUENCE, 0);
        return w;
}

START_TEST(a_writer_that_runs_out_of_room_says_so_and_stays_inside) {
        uint8_t buffer[64];
        struct der_writer whole = write_sample(buffer, sizeof(buffer));
        size_t need = der_writer_bytes(&whole).size;

        ck_assert(!whole.failed);
        ck_assert(!write_sample(buffer, need).failed);
        for (size_t size = 0; size < need; size++) {
                struct der_writer w;

                memset(buffer, 0xee, sizeof(buffer));
                w = write_sample(buffer + 8, size);
                ck_assert(w.failed);
                ck_assert_uint_eq(der_writer_bytes(&w).size, 0);
                for (size_t i = 0; i < 8; i++)
                        ck_assert_uint_eq(buffer[i], 0xee);
        }
}
END_TEST

/* ---- what the reader refuses ---- */

enum getter {
        BOOL,
        UINT,
        INTEGER,
        BITS,
        BIT_STRING,
        TIME,
        ANY,
        SEQUENCE
};

static bool get(enum getter getter, struct der_reader *r) {
        uint8_t tag;

        switch (getter) {
        case BOOL:
                (void) der_get_bool(r);
                break;
        case UINT:
                (void) der_get_uint(r);
                break;
        case INTEGER:
                (void) der_get_integer(r);
                break;
        case BITS:
                (void) der_get_bits(r);
                break;
        case BIT_STRING:
                (void) der_get_bit_string(r);
                break;
        case TIME:
                (void) der_get_time(r);
                break;
        case ANY:
                (void) der_get_any(r, &tag);
                break;
        case SEQUENCE:
                (void) der_enter(r, DER_SEQUENCE);
                break;
        }
        return der_done(r);
}

/* clang-format off */
static const struct {
        const char *why;
        enum getter getter;
        struct bytes der;
        bool good;
} encodings[] = {
        { "FALSE", BOOL, TEXT("\x01\x01\x00"), true },
        { "TRUE", BOOL, TEXT("\x01\x01\xff"), true },
        { "a BER boolean (threats.md §4 row 26)", BOOL, TEXT("\x01\x01\x01"), false },
        { "an empty boolean", BOOL, TEXT("\x01\x00"), false },
        { "a boolean of two octets", BOOL, TEXT("\x01\x02\xff\xff"), false },
        { "another tag", BOOL, TEXT("\x02\x01\xff"), false },
        { "an empty integer", INTEGER, TEXT("\x02\x00"), false },
        { "a zero too many", INTEGER, TEXT("\x02\x02\x00\x7f"), false },
        { "an 0xff too many", INTEGER, TEXT("\x02\x02\xff\x80"), false },
        { "a negative integer", INTEGER, TEXT("\x02\x01\xff"), true },
        { "-129", INTEGER, TEXT("\x02\x02\xff\x7f"), true },
        { "a negative number as uint", UINT, TEXT("\x02\x01\xff"), false },
        { "nine octets", UINT, TEXT("\x02\x09\x00\xff\xff\xff\xff\xff\xff\xff\xff"), false },
        { "a zero too many in a uint", UINT, TEXT("\x02\x02\x00\x01"), false },
        { "no bits, no count of unused ones", BITS, TEXT("\x03\x00"), false },
        { "unused bits of nothing", BITS, TEXT("\x03\x01\x01"), false },
        { "8 unused bits", BITS, TEXT("\x03\x02\x08\x80"), false },
        { "unused bits that are set", BITS, TEXT("\x03\x02\x07\xc0"), false },
        { "a trailing zero bit", BITS, TEXT("\x03\x02\x06\x80"), false },
        { "a trailing zero octet", BITS, TEXT("\x03\x03\x00\x80\x00"), false },
        { "more than 32 bits", BITS, TEXT("\x03\x06\x00\x80\x00\x00\x00\x01"), false },
        { "a bit string with unused bits", BIT_STRING, TEXT("\x03\x02\x01\x80"), false },
        { "an empty bit string", BIT_STRING, TEXT("\x03\x01\x00"), true },
        { "not even a count", BIT_STRING, TEXT("\x03\x00"), false },
        { "UTCTime", TIME, TEXT("\x17\x0d" "240229123456Z"), true },
        { "UTCTime of 1950", TIME, TEXT("\x17\x0d" "500101000000Z"), true },
        { "UTCTime without seconds", TIME, TEXT("\x17\x0b" "2402291234Z"), false },
        { "UTCTime with an offset", TIME, TEXT("\x17\x11" "240229123456+0000"), false },
        { "UTCTime without a zone", TIME, TEXT("\x17\x0c" "240229123456"), false },
        { "no leap year", TIME, TEXT("\x17\x0d" "230229123456Z"), false },
        { "month 13", TIME, TEXT("\x17\x0d" "241301000000Z"), false },
        { "day 0", TIME, TEXT("\x17\x0d" "240100000000Z"), false },
        { "hour 24", TIME, TEXT("\x17\x0d" "240101240000Z"), false },
        { "a leap second", TIME, TEXT("\x17\x0d" "161231235960Z"), false },
        { "a letter", TIME, TEXT("\x17\x0d" "24o101000000Z"), false },
        { "a lower-case z", TIME, TEXT("\x17\x0d" "240101000000z"), false },
        { "GeneralizedTime before 2050", TIME, TEXT("\x18\x0f" "20491231235959Z"), false },
        { "a fraction", TIME, TEXT("\x18\x11" "20500101000000.5Z"), false },
        { "another tag for a time", TIME, TEXT("\x16\x0d" "240229123456Z"), false },
        { "an indefinite length", ANY, TEXT("\x30\x80\x00\x00"), false },
        { "a long form of a short length", ANY, TEXT("\x04\x81\x01\x00"), false },
        { "a leading zero in a length", ANY, TEXT("\x04\x82\x00\x80"), false },
        { "five octets of length", ANY, TEXT("\x04\x85\x01\x00\x00\x00\x00"), false },
        { "4 GiB (row 27)", ANY, TEXT("\x04\x84\xff\xff\xff\xff"), false },
        { "a reserved length", ANY, TEXT("\x04\xff"), false },
        { "a tag of several octets", ANY, TEXT("\x1f\x01\x00"), false },
        { "a tag alone", ANY, TEXT("\x04"), false },
        { "nothing", ANY, { NULL, 0 }, false },
        { "one octet more", ANY, TEXT("\x04\x00\x00"), false },
        { "a SET where a SEQUENCE is wanted", SEQUENCE, TEXT("\x31\x00"), false },
        { "an empty SEQUENCE", SEQUENCE, TEXT("\x30\x00"), true },
};
/* clang-format on */

START_TEST(the_reader_takes_der_alone) {
        struct der_reader r = der_reader(encodings[_i].der);

        ck_assert_msg(get(encodings[_i].getter, &r) == encodings[_i].good, "%s", encodings[_i].why);
}
END_TEST

START_TEST(every_prefix_of_a_good_encoding_fails) {
        uint8_t buffer[64];
        struct der_writer w = write_sample(buffer, sizeof(buffer));
        struct bytes der = der_writer_bytes(&w);

        for (size_t n = 0; n <= der.size; n++) {
                struct der_reader outer = der_reader(BYTES(der.data, n));
                struct der_reader r = der_enter(&outer, DER_SEQUENCE);

                (void) der_get(&r, DER_OCTET_STRING);
                (void) der_get_bit_string(&r);
                (void) der_get_bool(&r);
                (void) der_get_uint(&r);
                (void) der_get_bits(&r);
                (void) der_get_time(&r);
                ck_assert(der_done(&r) == (n == der.size));
                ck_assert(der_done(&outer) == (n == der.size));
        }
}
END_TEST

START_TEST(a_failed_reader_stays_failed) {
        struct der_reader r = der_reader(BYTES_LITERAL("\x05\x00\x02\x01\x07"));

        (void) der_get(&r, DER_INTEGER);
        ck_assert(!der_more(&r));
        ck_assert(!der_next_is(&r, DER_NULL));
        ck_assert_uint_eq(der_get_uint(&r), 0);
        ck_assert_uint_eq(der_get_element(&r, 0).size, 0);
        ck_assert(der_enter(&r, DER_SEQUENCE).failed);
        ck_assert(!der_done(&r));
}
END_TEST

START_TEST(a_reader_can_be_failed_by_its_owner) {
        struct der_reader r = der_reader(BYTES_LITERAL("\x05\x00"));

        (void) der_get(&r, DER_NULL);
        ck_assert(der_done(&r));
        der_fail(&r);
        ck_assert(!der_done(&r));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("der");
        TCase *tc = tcase_create("der");

        tcase_add_loop_test(tc, a_number_is_minimal, 0, (int) ARRAY_SIZE(numbers));
        tcase_add_loop_test(tc, a_magnitude_becomes_a_positive_integer, 0,
                            (int) ARRAY_SIZE(magnitudes));
        tcase_add_loop_test(tc, named_bits_lose_trailing_zeros, 0, (int) ARRAY_SIZE(named_bits));
        tcase_add_loop_test(tc, a_time_takes_its_form_by_year, 0, (int) ARRAY_SIZE(times));
        tcase_add_test(tc, a_time_that_x509_cannot_say_is_not_written);
        tcase_add_loop_test(tc, a_length_is_as_short_as_can_be, 0, (int) ARRAY_SIZE(lengths));
        tcase_add_test(tc, nested_elements_read_back);
        tcase_add_test(tc, a_writer_that_runs_out_of_room_says_so_and_stays_inside);
        tcase_add_loop_test(tc, the_reader_takes_der_alone, 0, (int) ARRAY_SIZE(encodings));
        tcase_add_test(tc, every_prefix_of_a_good_encoding_fails);
        tcase_add_test(tc, a_failed_reader_stays_failed);
        tcase_add_test(tc, a_reader_can_be_failed_by_its_owner);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
