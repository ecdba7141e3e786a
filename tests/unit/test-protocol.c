/*
 * Frames: the good message, each prefix of it, one octet more, each maximum and one past it, and no result on failure.
 */
#include "unit.h"

#include "daemon/signer/protocol.h"

#define MARK 0xa5 /* what results are filled with before a call that must fail */

static uint8_t frame[SIGNER_FRAME_MAX], copy[SIGNER_FRAME_MAX + 1], large[SIGNER_FRAME_MAX + 1];

/* ---- one row a message: encode a good one, decode it ---- */

union results {
        struct sign_issue issue;
        struct {
                char issuer[SIGNER_ISSUER_MAX];
                struct bytes der;
        } certificate;
        struct error error;
        struct sign_hello hello;
        struct sign_status status;
        struct sign_crl crl;
        struct {
                char issuer[SIGNER_ISSUER_MAX];
                int64_t number, size;
        } crl_ok;
        struct audit_anchor anchor;
        struct sign_anchors anchors;
        char issuer[SIGNER_ISSUER_MAX];
};

static struct bytes put_issue(uint32_t id) {
        struct sign_issue issue = { .issuer = "int-1",
                                    .profile = "server",
                                    .profile_digest = { 1, 2, 3 },
                                    .spki = BYTES_LITERAL("spki"),
                                    .common_name = "nas.lan",
                                    .names = BYTES_LITERAL("names"),
                                    .validity = { -1, INT64_MAX } };

        return sign_issue_encode(frame, id, &issue);
}

static int get_issue(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_issue_decode(fields, &ret->issue, err);
}

static struct bytes put_certificate(uint32_t id) {
        return sign_certificate_encode(frame, id, "int-1", BYTES_LITERAL("certificate"));
}

static int get_certificate(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_certificate_decode(fields, ret->certificate.issuer, &ret->certificate.der, err);
}

static struct bytes put_error(uint32_t id) {
        struct error error = { 0 };

        (void) error_set_field(&error, ERR_NAME_NOT_PERMITTED, "names[3]", "'x' is not for us");
        return sign_error_encode(frame, id, &error);
}

static int get_error(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_error_decode(fields, &ret->error, err);
}

static struct bytes put_hello(uint32_t id) {
        struct sign_hello hello = {
                .ca_id = "ab",
                .replaces = "cd",
                .name = "Home CA",
                .public_url = "http://ca.lan",
                .issued = 7,
                .root_key_present = true,
                .uid = 1000,
                .root = BYTES_LITERAL("root"),
                .issuer_count = 2,
                .issuers = { { "int-1", SIGNER_ISSUER_ACTIVE, BYTES_LITERAL("one") },
                             { "int-2", SIGNER_ISSUER_STANDBY, BYTES_LITERAL("two") } }
        };

        return sign_hello_encode(frame, id, &hello);
}

static struct bytes put_ca(uint32_t id) {
        struct sign_hello hello = {
                .ca_id = "ab",
                .name = "Home CA",
                .root = BYTES_LITERAL("root"),
                .issuer_count = 2,
                .issuers = { { "int-1", SIGNER_ISSUER_RETIRED, BYTES_LITERAL("one") },
                             { "int-2", SIGNER_ISSUER_ACTIVE, BYTES_LITERAL("two") } }
        };

        return sign_ca_encode(frame, id, &hello);
}

static struct bytes put_change(uint32_t id) {
        return sign_change_encode(frame, SIGNER_ACTIVATE, id, "int-2");
}

static int get_change(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_change_decode(fields, ret->issuer, err);
}

static int get_hello(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_hello_decode(fields, &ret->hello, err);
}

static struct bytes put_status(uint32_t id) {
        struct sign_status status = {
                .issued = 5, .last_hour = 4, .per_hour = 10000, .clock = "", .log = "full"
        };

        return sign_status_encode(frame, id, &status);
}

static int get_status(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_status_decode(fields, &ret->status, err);
}

static struct bytes put_crl(uint32_t id) {
        struct sign_crl wish = { .issuer = "root",
                                 .number = 5,
                                 .this_update = -1,
                                 .next_update = INT64_MAX,
                                 .entry_count = 1000000,
                                 .entries_fd = 3 };

        return sign_crl_encode(frame, id, &wish);
}

static int get_crl(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_crl_decode(fields, &ret->crl, err);
}

static struct bytes put_crl_ok(uint32_t id) {
        return sign_crl_ok_encode(frame, id, "int-2", 6, INT64_C(5000000000));
}

static int get_crl_ok(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_crl_ok_decode(fields, ret->crl_ok.issuer, &ret->crl_ok.number,
                                  &ret->crl_ok.size, err);
}

static struct bytes put_anchor(uint32_t id) {
        return sign_anchor_encode(frame, id,
                                  &(struct audit_anchor){ .at = 5, .number = 7, .hash = { 1, 2 } });
}

static int get_anchor(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_anchor_decode(fields, &ret->anchor, err);
}

static struct bytes put_anchors(uint32_t id) {
        static const struct sign_anchors anchors = {
                .list = { { .at = 5, .number = 7, .hash = { 1, 2 } },
                          { .at = 253402300799, .number = INT64_MAX, .hash = { 3 } } },
                .count = 2,
        };

        return sign_anchors_encode(frame, id, &anchors);
}

static int get_anchors(struct frame_reader *fields, union results *ret, struct error *err) {
        return sign_anchors_decode(fields, &ret->anchors, err);
}

static const struct {
        const char *what;
        enum signer_message type;
        struct bytes (*put)(uint32_t id);
        int (*get)(struct frame_reader *fields, union results *ret, struct error *err);
} messages[] = {
        { "ISSUE", SIGNER_ISSUE, put_issue, get_issue },
        { "CERTIFICATE", SIGNER_CERTIFICATE, put_certificate, get_certificate },
        { "ERROR", SIGNER_ERROR, put_error, get_error },
        { "HELLO_OK", SIGNER_HELLO_OK, put_hello, get_hello },
        { "STATUS_OK", SIGNER_STATUS_OK, put_status, get_status },
        { "CRL", SIGNER_CRL, put_crl, get_crl },
        { "CRL_OK", SIGNER_CRL_OK, put_crl_ok, get_crl_ok },
        { "ANCHOR", SIGNER_ANCHOR, put_anchor, get_anchor },
        { "ANCHORS_OK", SIGNER_ANCHORS_OK, put_anchors, get_anchors },
        { "ACTIVATE", SIGNER_ACTIVATE, put_change, get_change },
        { "CA_OK", SIGNER_CA_OK, put_ca, get_hello },
};

static void set_length(uint8_t *at, size_t size) {
        for (int i = 0; i < 4; i++)
                at[i] = (uint8_t) (size >> (24 - 8 * i));
}

/* Open and decode @octets as message @i. */
static int decode(size_t i, struct bytes octets, union results *ret, struct error *err) {
        struct signer_header header;
        struct frame_reader fields;

        if (frame_open(octets, &header, &fields, err) < 0)
                return -1;
        return messages[i].get(&fields, ret, err);
}

static void check_refused(size_t i, struct bytes octets, const char *why, size_t at) {
        union results ret, untouched;
        struct error err = { 0 };

        memset(&ret, MARK, sizeof(ret));
        memset(&untouched, MARK, sizeof(untouched));
        ck_assert_msg(decode(i, octets, &ret, &err) == -1, "%s: taken: %s %zu", messages[i].what,
                      why, at);
        ck_assert_msg(err.code == ERR_MESSAGE_MALFORMED, "%s: %s %zu: %s", messages[i].what, why,
                      at, error_slug(err.code));
        ck_assert_msg(memcmp(&ret, &untouched, sizeof(ret)) == 0, "%s: %s %zu: a result on failure",
                      messages[i].what, why, at);
}

START_TEST(a_good_message_is_read_as_it_was_written) {
        union results ret = { 0 };
        struct signer_header header;
        struct frame_reader fields;
        struct error err = { 0 };
        struct bytes octets = messages[_i].put(0xfedcba98);

        ck_ok(frame_open(octets, &header, &fields, &err), err);
        ck_assert_uint_eq(header.version, SIGNER_PROTOCOL_VERSION);
        ck_assert_uint_eq(header.type, messages[_i].type);
        ck_assert_uint_eq(header.id, 0xfedcba98);
        ck_ok(messages[_i].get(&fields, &ret, &err), err);
        switch (messages[_i].type) {
        case SIGNER_ISSUE:
                ck_assert_str_eq(ret.issue.issuer, "int-1");
                ck_assert_str_eq(ret.issue.profile, "server");
                ck_assert_uint_eq(ret.issue.profile_digest[2], 3);
                ck_assert(bytes_equal(ret.issue.spki, BYTES_LITERAL("spki")));
                ck_assert_str_eq(ret.issue.common_name, "nas.lan");
                ck_assert(bytes_equal(ret.issue.names, BYTES_LITERAL("names")));
                ck_assert_int_eq(ret.issue.validity.not_before, -1);
                ck_assert_int_eq(ret.issue.validity.not_after, INT64_MAX);
                break;
        case SIGNER_CERTIFICATE:
                ck_assert_str_eq(ret.certificate.issuer, "int-1");
                ck_assert(bytes_equal(ret.certificate.der, BYTES_LITERAL("certificate")));
                break;
        case SIGNER_ERROR:
                ck_assert_int_eq(ret.error.code, ERR_NAME_NOT_PERMITTED);
                ck_assert_str_eq(ret.error.field, "names[3]");
                ck_assert_str_eq(ret.error.text, "'x' is not for us");
                break;
        case SIGNER_HELLO_OK:
                ck_assert_str_eq(ret.hello.ca_id, "ab");
                ck_assert_str_eq(ret.hello.replaces, "cd");
                ck_assert_str_eq(ret.hello.name, "Home CA");
                ck_assert_str_eq(ret.hello.public_url, "http://ca.lan");
                ck_assert_int_eq(ret.hello.issued, 7);
                ck_assert(ret.hello.root_key_present && !ret.hello.keys_encrypted);
                ck_assert_int_eq(ret.hello.uid, 1000);
                ck_assert_uint_eq(ret.hello.issuer_count, 2);
                ck_assert_str_eq(ret.hello.issuers[1].id, "int-2");
                ck_assert_int_eq(ret.hello.issuers[1].state, SIGNER_ISSUER_STANDBY);
                ck_assert(bytes_equal(ret.hello.issuers[1].der, BYTES_LITERAL("two")));
                break;
        case SIGNER_STATUS_OK:
                ck_assert_int_eq(ret.status.issued, 5);
                ck_assert_int_eq(ret.status.last_hour, 4);
                ck_assert_int_eq(ret.status.per_hour, 10000);
                ck_assert_str_eq(ret.status.clock, "");
                ck_assert_str_eq(ret.status.log, "full");
                break;
        case SIGNER_CRL:
                ck_assert_str_eq(ret.crl.issuer, "root");
                ck_assert_int_eq(ret.crl.number, 5);
                ck_assert_int_eq(ret.crl.this_update, -1);
                ck_assert_int_eq(ret.crl.next_update, INT64_MAX);
                ck_assert_int_eq(ret.crl.entry_count, 1000000);
                ck_assert_msg(ret.crl.entries_fd == -1, "a descriptor is not in the octets");
                break;
        case SIGNER_CRL_OK:
                ck_assert_str_eq(ret.crl_ok.issuer, "int-2");
                ck_assert_int_eq(ret.crl_ok.number, 6);
                ck_assert_int_eq(ret.crl_ok.size, INT64_C(5000000000));
                break;
        case SIGNER_ANCHOR:
                ck_assert_int_eq(ret.anchor.at, 0);
                ck_assert_int_eq(ret.anchor.number, 7);
                ck_assert_uint_eq(ret.anchor.hash[1], 2);
                break;
        case SIGNER_ANCHORS_OK:
                ck_assert_uint_eq(ret.anchors.count, 2);
                ck_assert_int_eq(ret.anchors.list[0].at, 5);
                ck_assert_int_eq(ret.anchors.list[1].number, INT64_MAX);
                ck_assert_uint_eq(ret.anchors.list[1].hash[0], 3);
                break;
        case SIGNER_ACTIVATE:
                ck_assert_str_eq(ret.issuer, "int-2");
                break;
        case SIGNER_CA_OK:
                ck_assert_int_eq(ret.hello.issuers[0].state, SIGNER_ISSUER_RETIRED);
                ck_assert_int_eq(ret.hello.issuers[1].state, SIGNER_ISSUER_ACTIVE);
                break;
        case SIGNER_PREPARE:
                ck_abort_msg("this is an ACTIVATE with no issuer");
        case SIGNER_HELLO:
        case SIGNER_STATUS:
        case SIGNER_ANCHORS:
                ck_abort_msg("these have no fields");
        }
}
END_TEST

START_TEST(every_prefix_is_refused) {
        size_t size = messages[_i].put(1).size;

        memcpy(copy, frame, size);
        for (size_t cut = 0; cut < size; cut++) {
                set_length(copy, size);
                check_refused(_i, BYTES(copy, cut), "cut to", cut);
                set_length(copy, cut); /* and one whose header owns up to it */
                check_refused(_i, BYTES(copy, cut), "cut and owned up to", cut);
        }
}
END_TEST

START_TEST(octets_left_over_are_refused) {
        size_t size = messages[_i].put(1).size;

        for (size_t more = 1; more < 10; more++) {
                memcpy(copy, frame, size);
                memset(copy + size, 0, more);
                check_refused(_i, BYTES(copy, size + more), "longer than it says by", more);
                set_length(copy, size + more);
                check_refused(_i, BYTES(copy, size + more), "longer by", more);
        }
}
END_TEST

START_TEST(a_field_length_that_lies_is_refused) {
        size_t size = messages[_i].put(1).size;

        for (size_t at = 12; at < size;) {
                size_t field = (size_t) frame[at] << 24 | (size_t) frame[at + 1] << 16 |
                        (size_t) frame[at + 2] << 8 | frame[at + 3];
                const size_t lies[] = { field + 1,  field + 4,  size,       SIGNER_FRAME_MAX,
                                        0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff };

                for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
                        memcpy(copy, frame, size);
                        set_length(copy + at, lies[i]);
                        check_refused(_i, BYTES(copy, size), "field length", lies[i]);
                }
                at += 4 + field;
        }
}
END_TEST

START_TEST(the_header_is_held_to_its_word) {
        struct bytes octets = put_status(3);
        static const struct {
                const char *why;
                size_t at;
                uint8_t value;
                const char *text;
        } wrong[] = {
                { "another length", 3, 0, "says that it has" },
                { "4 GiB", 0, 0xff, "says that it has" },
                { "version 0", 4, 0, "version 0, this is 1: cad and cad-signer" },
                { "version 2", 4, 2, "version 2, this is 1: cad and cad-signer" },
                { "version 255", 4, 0xff, "version 255, this is 1: cad and cad-signer" },
                { "a reserved octet", 6, 1, "reserved octets 01 00, which are zero" },
                { "the other one", 7, 0x80, "reserved octets 00 80, which are zero" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                struct signer_header header;
                struct frame_reader fields = { .at = copy };
                struct error err;

                memcpy(copy, octets.data, octets.size);
                copy[wrong[i].at] = wrong[i].value;
                ck_refused(frame_open(BYTES(copy, octets.size), &header, &fields, &err), err,
                           ERR_MESSAGE_MALFORMED);
                ck_assert_msg(strstr(err.text, wrong[i].text), "%s: %s", wrong[i].why, err.text);
                ck_assert_msg(header.id == 3,
                              "%s: the id is readable, so that the answer finds its call",
                              wrong[i].why);
                ck_assert_ptr_eq(fields.at, copy);
        }
}
END_TEST

START_TEST(a_frame_over_the_maximum_is_refused) {
        struct signer_header header;
        struct frame_reader fields;
        struct error err = { 0 };

        memset(large, 0, sizeof(large));
        large[4] = SIGNER_PROTOCOL_VERSION;
        set_length(large, SIGNER_FRAME_MAX);
        ck_ok(frame_open(BYTES(large, SIGNER_FRAME_MAX), &header, &fields, &err), err);
        set_length(large, SIGNER_FRAME_MAX + 1);
        ck_refused(frame_open(BYTES(large, SIGNER_FRAME_MAX + 1), &header, &fields, &err), err,
                   ERR_MESSAGE_MALFORMED);
}
END_TEST

/* ---- maxima of fields ---- */

static const size_t issue_maxima[] = { SIGNER_ISSUER_MAX - 1,
                                       PROFILE_NAME_MAX - 1,
                                       PROFILE_DIGEST_SIZE,
                                       SPKI_MAX,
                                       64,
                                       CERT_MAX,
                                       8,
                                       8 };

/* An ISSUE in which field @which has @size octets of 'x' and all others are as long as they may be. */
static struct bytes issue_with(size_t which, size_t size) {
        struct frame_writer w;

        memset(large, 'x', sizeof(large));
        frame_begin(&w, frame, SIGNER_ISSUE, 1);
        for (size_t i = 0; i < ARRAY_SIZE(issue_maxima); i++)
                frame_put(&w, BYTES(large, i == which ? size : issue_maxima[i]));
        return frame_end(&w);
}

START_TEST(each_field_of_an_issue_has_a_maximum) {
        size_t max = issue_maxima[_i];
        union results ret;
        struct error err = { 0 };
        bool fixed = max == 8 || (size_t) _i == 2;

        ck_ok(decode(0, issue_with((size_t) _i, max), &ret, &err), err);
        check_refused(0, issue_with((size_t) _i, max + 1), "one past the maximum of field",
                      (size_t) _i);
        if (fixed)
                check_refused(0, issue_with((size_t) _i, max - 1), "one short in fixed field",
                              (size_t) _i);
        else
                ck_ok(decode(0, issue_with((size_t) _i, 0), &ret, &err), err);
}
END_TEST

START_TEST(a_nul_in_a_text_is_refused) {
        struct bytes octets = issue_with(ARRAY_SIZE(issue_maxima), 0);

        ck_assert_uint_gt(octets.size, 0);
        memcpy(copy, octets.data, octets.size);
        copy[12 + 4 + 3] = '\0';
        check_refused(0, BYTES(copy, octets.size), "a NUL at", 3);
}
END_TEST

START_TEST(a_hello_holds_to_its_numbers) {
        static const struct {
                const char *why;
                int64_t flag, count, state;
        } wrong[] = {
                { "a flag of 2", 2, 1, 0 },
                { "a negative flag", -1, 1, 0 },
                { "no issuer", 0, 0, 0 },
                { "-1 issuers", 0, -1, 0 },
                { "one issuer too many", 0, SIGNER_ISSUERS_MAX + 1, 0 },
                { "2^32 + 1 issuers", 0, INT64_C(4294967297), 0 },
                { "an unknown state", 0, 1, SIGNER_ISSUER_STATE_COUNT },
                { "a negative state", 0, 1, -1 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                struct frame_writer w;

                frame_begin(&w, frame, SIGNER_HELLO_OK, 1);
                for (int text = 0; text < 4; text++)
                        frame_put(&w, BYTES_LITERAL("x"));
                frame_put_number(&w, 0);
                frame_put_number(&w, wrong[i].flag);
                frame_put_number(&w, 0);
                frame_put_number(&w, 0);
                frame_put(&w, BYTES_LITERAL("root"));
                frame_put_number(&w, wrong[i].count);
                for (int64_t n = 0;
                     n < (wrong[i].count < 1 || wrong[i].count > 20 ? 1 : wrong[i].count); n++) {
                        frame_put(&w, BYTES_LITERAL("int-1"));
                        frame_put_number(&w, wrong[i].state);
                        frame_put(&w, BYTES_LITERAL("der"));
                }
                check_refused(3, frame_end(&w), wrong[i].why, i);
        }
}
END_TEST

START_TEST(an_error_with_an_unknown_slug_is_an_internal_one) {
        struct frame_writer w;
        union results ret = { 0 };
        struct error err = { 0 };

        frame_begin(&w, frame, SIGNER_ERROR, 1);
        frame_put(&w, BYTES_LITERAL("no-such-thing"));
        frame_put(&w, BYTES_NONE);
        frame_put(&w, BYTES_LITERAL("a\x1b[31m sentence"));
        ck_ok(decode(2, frame_end(&w), &ret, &err), err);
        ck_assert_int_eq(ret.error.code, ERR_INTERNAL);
        ck_assert_msg(!strchr(ret.error.text, '\x1b'), "a control character came through: %s",
                      ret.error.text);
}
END_TEST

/* ---- the writer ---- */

START_TEST(what_does_not_fit_is_no_frame) {
        struct frame_writer w;

        frame_begin(&w, frame, SIGNER_ISSUE, 1);
        frame_put(&w, BYTES(large, SIGNER_FRAME_MAX - 12 - 4));
        ck_assert_uint_eq(frame_end(&w).size, SIGNER_FRAME_MAX);
        frame_begin(&w, frame, SIGNER_ISSUE, 1);
        frame_put(&w, BYTES(large, SIGNER_FRAME_MAX - 12 - 3));
        ck_assert_uint_eq(frame_end(&w).size, 0);
        frame_put(&w, BYTES_NONE);
        ck_assert_msg(frame_end(&w).size == 0, "failure is remembered");
        frame_begin(&w, frame, SIGNER_ISSUE, 1);
        frame_put(&w, BYTES(large, SIZE_MAX));
        ck_assert_uint_eq(frame_end(&w).size, 0);
}
END_TEST

START_TEST(numbers_come_back_as_they_went) {
        static const int64_t numbers[] = { 0,   1,         -1,        255,
                                           256, INT64_MAX, INT64_MIN, INT64_C(0x0123456789abcdef) };
        struct signer_header header;
        struct frame_reader fields;
        struct error err = { 0 };
        struct frame_writer w;

        frame_begin(&w, frame, SIGNER_STATUS_OK, 1);
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                frame_put_number(&w, numbers[i]);
        ck_ok(frame_open(frame_end(&w), &header, &fields, &err), err);
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                ck_assert_int_eq(frame_get_number(&fields), numbers[i]);
        ck_assert(frame_done(&fields));
        ck_assert_int_eq(frame_get_number(&fields), 0);
        ck_assert_msg(!frame_done(&fields), "reading on is remembered as a failure");
}
END_TEST

START_TEST(the_largest_certificate_fits_into_a_frame) {
        memset(large, 'x', sizeof(large));
        ck_assert_uint_gt(
                sign_certificate_encode(frame, 1, "123456789012345", BYTES(large, CERT_MAX)).size,
                CERT_MAX);
}
END_TEST

START_TEST(urls_of_an_issuer_always_fit) {
        char url[CERT_URL_MAX * 2], crl[CERT_URL_MAX], issuer[CERT_URL_MAX];

        memset(url, 'u', sizeof(url));
        url[sizeof(url) - 1] = '\0';
        signer_issuer_urls(url, "int-1", crl, issuer);
        ck_assert_str_eq(strrchr(crl, '/'), "/int-1.crl");
        ck_assert_str_eq(strrchr(issuer, '/'), "/int-1.crt");
        for (int i = 0; i < SIGNER_ISSUER_STATE_COUNT; i++)
                ck_assert_str_ne(signer_issuer_state_name((enum signer_issuer_state) i), "?");
}
END_TEST

static struct bytes anchors_with(int64_t count, int64_t number, size_t hash_size) {
        struct frame_writer w;

        frame_begin(&w, frame, SIGNER_ANCHORS_OK, 1);
        frame_put_number(&w, count);
        for (int64_t i = 0; i < count; i++) {
                frame_put_number(&w, 5);
                frame_put_number(&w, number);
                frame_put(&w, BYTES(large, hash_size));
        }
        return frame_end(&w);
}

START_TEST(anchors_are_of_rows_and_not_too_many) {
        const struct {
                int64_t count, number;
                size_t hash_size;
                bool good;
        } rows[] = {
                { 0, 1, 32, true },
                { SIGNER_ANCHORS_MAX, 1, 32, true },
                { SIGNER_ANCHORS_MAX + 1, 1, 32, false },
                { -1, 1, 32, false },
                { 1, 0, 32, false },
                { 1, -1, 32, false },
                { 1, 1, 31, false },
                { 1, 1, 33, false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct signer_header header;
                struct frame_reader fields;
                struct sign_anchors anchors;
                struct error err = { 0 };
                struct bytes octets = anchors_with(rows[i].count, rows[i].number,
                                                   rows[i].hash_size);

                ck_ok(frame_open(octets, &header, &fields, &err), err);
                ck_assert_msg((sign_anchors_decode(&fields, &anchors, &err) == 0) == rows[i].good,
                              "row %zu", i);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("protocol");
        TCase *tc = tcase_create("protocol");

        tcase_add_loop_test(tc, a_good_message_is_read_as_it_was_written, 0, ARRAY_SIZE(messages));
        tcase_add_loop_test(tc, every_prefix_is_refused, 0, ARRAY_SIZE(messages));
        tcase_add_loop_test(tc, octets_left_over_are_refused, 0, ARRAY_SIZE(messages));
        tcase_add_loop_test(tc, a_field_length_that_lies_is_refused, 0, ARRAY_SIZE(messages));
        tcase_add_test(tc, the_header_is_held_to_its_word);
        tcase_add_test(tc, a_frame_over_the_maximum_is_refused);
        tcase_add_loop_test(tc, each_field_of_an_issue_has_a_maximum, 0, ARRAY_SIZE(issue_maxima));
        tcase_add_test(tc, a_nul_in_a_text_is_refused);
        tcase_add_test(tc, a_hello_holds_to_its_numbers);
        tcase_add_test(tc, an_error_with_an_unknown_slug_is_an_internal_one);
        tcase_add_test(tc, what_does_not_fit_is_no_frame);
        tcase_add_test(tc, numbers_come_back_as_they_went);
        tcase_add_test(tc, the_largest_certificate_fits_into_a_frame);
        tcase_add_test(tc, urls_of_an_issuer_always_fit);
        tcase_add_test(tc, anchors_are_of_rows_and_not_too_many);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
