/*
 * cad's end of the signer's socket, against a signer that answers late, in any order, twice, rubbish, or not at all:
 * every call that was taken is answered exactly once, and no send waits.
 */
#include "fake-signer.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "daemon/signer/channel.h"
#include "daemon/signer/client.h"
#include "lib/base/log.h"
#include "lib/base/memfd.h"

#define SOON_MS \
        2500 /* that what must not wait for a deadline is done in, however loaded the machine */

static struct signer_client *client;
static int peer = -1; /* the signer's end */
static uint8_t hello_frame[SIGNER_FRAME_MAX];
static atomic_uint drained_calls, drained_sleeps;

static unsigned drained(void *context) {
        (void) context;
        atomic_fetch_add(&drained_calls, 1);
        return atomic_load(&drained_sleeps) > 0 && atomic_fetch_sub(&drained_sleeps, 1) > 0 ? 100
                                                                                            : 0;
}

/* A new connection, said hello on. @room: bytes that cad may send ahead, 0: what the kernel gives */
static void attach_with(int room) {
        struct sign_hello hello;
        struct error err = { 0 };
        int ends[2];

        fake_pair(ends);
        fake_hello(ends[1]);
        if (room)
                ck_assert_int_eq(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)),
                                 0);
        ck_ok(signer_client_attach(client, ends[0], SOON_MS, hello_frame, &hello, &err), err);
        peer = fd_close(peer);
        peer = ends[1];
}

static void attach(void) {
        attach_with(0);
}

static struct signer_header receive(struct frame_reader *fields) {
        static uint8_t frame[SIGNER_FRAME_MAX];
        struct frame_reader ignored;
        struct signer_header header;

        ck_assert(fake_receive(peer, SOON_MS, frame, &header, fields ? fields : &ignored));
        return header;
}

/* What the client says of rubbish is not looked at here. */
static void no_log(enum log_level level, const char *text, const struct log_field *fields,
                   size_t count) {
        (void) level, (void) text, (void) fields, (void) count;
}

static void set_up_alone(void) {
        struct error err = { 0 };

        log_set_sink(no_log);
        ck_ok(signer_client_new(drained, NULL, &client, &err), err);
}

static void set_up(void) {
        set_up_alone();
        attach();
        ck_assert_uint_eq(receive(NULL).type, SIGNER_HELLO);
}

static void tear_down(void) {
        client = signer_client_free(client);
        peer = fd_close(peer);
}

/* ---- calls ---- */

/* A call and all that came of it. */
struct asked {
        struct signer_call call; /* first, so that done() finds the rest */
        atomic_uint answers;
        enum error_code code;
        char text[ERROR_TEXT_MAX], field[ERROR_FIELD_MAX], issuer[SIGNER_ISSUER_MAX];
        uint8_t der[64];
        size_t der_size;
};

static void on_answer(struct signer_call *call, const char *issuer, struct bytes der,
                      const struct error *err) {
        struct asked *asked = (struct asked *) call;

        asked->code = err ? err->code : ERR_NONE;
        (void) snprintf(asked->text, sizeof(asked->text), "%s", err ? err->text : "");
        (void) snprintf(asked->field, sizeof(asked->field), "%s", err ? err->field : "");
        (void) snprintf(asked->issuer, sizeof(asked->issuer), "%s", issuer);
        asked->der_size = der.size < sizeof(asked->der) ? der.size : sizeof(asked->der);
        if (asked->der_size)
                memcpy(asked->der, der.data, asked->der_size);
        atomic_fetch_add(&asked->answers, 1);
}

static int ask(struct asked *asked, struct error *err) {
        static const uint8_t octets[120] = { 0x30 };
        struct sign_issue issue = { .issuer = "int-1",
                                    .profile = "server",
                                    .spki = BYTES(octets, 91),
                                    .names = BYTES(octets, 120) };

        asked->call.done = on_answer;
        return signer_client_issue(client, &issue, &asked->call, err);
}

static void ask_well(struct asked *asked) {
        struct error err = { 0 };

        ck_ok(ask(asked, &err), err);
}

static void wait_for(struct asked *asked, int64_t timeout_ms) {
        int64_t until = moment_monotonic_ms() + timeout_ms;

        while (atomic_load(&asked->answers) == 0) {
                ck_assert_msg(moment_monotonic_ms() < until, "no answer");
                (void) usleep(500);
        }
}

/* An answer comes, and it is this one. */
static void check_answer(struct asked *asked, enum error_code code) {
        wait_for(asked, SOON_MS);
        ck_assert_msg(asked->code == code, "expected %s, got %s: %s", error_slug(code),
                      error_slug(asked->code), asked->text);
        ck_assert_int_eq(asked->der_size == 0, code != ERR_NONE);
}

/* Everything that came before has been read when this call is answered. */
static void check_still_works(void) {
        struct asked asked = { 0 };

        ask_well(&asked);
        fake_certificate(peer, receive(NULL).id, BYTES_LITERAL("fine"));
        check_answer(&asked, ERR_NONE);
        ck_assert_uint_eq(atomic_load(&asked.answers), 1);
}

/* ---- hello ---- */

START_TEST(a_hello_is_told_to_whoever_attaches) {
        struct sign_hello hello;
        struct error err = { 0 };
        int ends[2];

        fake_pair(ends);
        fake_hello(ends[1]);
        ck_ok(signer_client_attach(client, ends[0], SOON_MS, hello_frame, &hello, &err), err);
        ck_assert_str_eq(hello.name, "Fake CA");
        ck_assert_uint_eq(hello.issuer_count, 1);
        ck_assert(bytes_equal(hello.issuers[0].der, BYTES_LITERAL("der")));
        (void) close(ends[1]);
}
END_TEST

static void say_nothing(int fd) {
        (void) fd;
}
static void say_error(int fd) {
        fake_error(fd, 0, ERR_CA_INCOMPLETE, NULL, "int-1.key is not there");
}
static void say_rubbish(int fd) {
        fake_send(fd, BYTES_LITERAL("rubbish"));
}
static void say_status(int fd) {
        fake_status(fd, 0, 1);
}
static void end_at_once(int fd) {
        (void) shutdown(fd, SHUT_RDWR);
}

static void say_error_and_end(int fd) {
        say_error(fd);
        end_at_once(fd);
}

static void say_half(int fd) {
        uint8_t octets[SIGNER_FRAME_MAX];
        struct frame_writer w;

        frame_begin(&w, octets, SIGNER_HELLO_OK, 0);
        frame_put(&w, BYTES_LITERAL("00"));
        fake_send(fd, frame_end(&w));
}

static const struct {
        const char *why;
        void (*say)(int fd);
        enum error_code code;
        const char *text;
} bad_hellos[] = {
        { "a signer that is stopped", say_nothing, ERR_SIGNER_UNAVAILABLE, "in time" },
        { "a signer that says why it cannot", say_error, ERR_CA_INCOMPLETE,
          "int-1.key is not there" },
        { "a signer that says why and ends", say_error_and_end, ERR_CA_INCOMPLETE,
          "int-1.key is not there" },
        { "no frame", say_rubbish, ERR_MESSAGE_MALFORMED, "" },
        { "half a hello", say_half, ERR_MESSAGE_MALFORMED, "" },
        { "another answer", say_status, ERR_SIGNER_UNAVAILABLE, "" },
        { "a signer that ends", end_at_once, ERR_SIGNER_UNAVAILABLE, "ended" },
};

START_TEST(a_hello_that_is_none_is_refused_and_its_connection_closed) {
        struct sign_hello hello;
        struct asked asked = { 0 };
        uint8_t octet;
        struct error err;
        int ends[2];

        fake_pair(ends);
        bad_hellos[_i].say(ends[1]);
        ck_refused(signer_client_attach(client, ends[0], 200, hello_frame, &hello, &err), err,
                   bad_hellos[_i].code);
        ck_assert_msg(strstr(err.text, bad_hellos[_i].text) != NULL, "%s: %s", bad_hellos[_i].why,
                      err.text);
        ck_refused(ask(&asked, &err), err, ERR_SIGNER_UNAVAILABLE);
        while (recv(ends[1], &octet, 1, MSG_DONTWAIT) > 0)
                ;
        ck_assert(recv(ends[1], &octet, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN);
        (void) close(ends[1]);
}
END_TEST

START_TEST(a_bad_hello_leaves_the_connection_that_there_was) {
        struct sign_hello hello;
        struct error err;
        int ends[2];

        fake_pair(ends);
        say_rubbish(ends[1]);
        ck_refused(signer_client_attach(client, ends[0], 200, hello_frame, &hello, &err), err,
                   ERR_MESSAGE_MALFORMED);
        (void) close(ends[1]);
        check_still_works();
}
END_TEST

/* ---- answers ---- */

START_TEST(answers_in_any_order_find_their_callers) {
        static struct asked asked[SIGNER_IN_FLIGHT_MAX];
        uint32_t ids[SIGNER_IN_FLIGHT_MAX];

        for (size_t i = 0; i < SIGNER_IN_FLIGHT_MAX; i++) {
                ask_well(&asked[i]);
                ids[i] = receive(NULL).id;
        }
        for (size_t i = 0; i < SIGNER_IN_FLIGHT_MAX; i++) {
                size_t k = (i * 37 + 11) % SIGNER_IN_FLIGHT_MAX; /* each once: 37 is prime to it */

                fake_certificate(peer, ids[k], BYTES(&ids[k], sizeof(ids[k])));
        }
        for (size_t i = 0; i < SIGNER_IN_FLIGHT_MAX; i++) {
                check_answer(&asked[i], ERR_NONE);
                ck_assert_uint_eq(asked[i].der_size, sizeof(ids[i]));
                ck_assert_int_eq(memcmp(asked[i].der, &ids[i], sizeof(ids[i])), 0);
                ck_assert_str_eq(asked[i].issuer, "int-1");
        }
        check_still_works();
        for (size_t i = 0; i < SIGNER_IN_FLIGHT_MAX; i++)
                ck_assert_uint_eq(atomic_load(&asked[i].answers), 1);
}
END_TEST

START_TEST(a_refusal_comes_with_its_code_field_and_sentence) {
        struct asked asked = { 0 };

        ask_well(&asked);
        fake_error(peer, receive(NULL).id, ERR_NAME_NOT_PERMITTED, "csr.san[1]", "not for us");
        check_answer(&asked, ERR_NAME_NOT_PERMITTED);
        ck_assert_str_eq(asked.field, "csr.san[1]");
        ck_assert_str_eq(asked.text, "not for us");
}
END_TEST

/* Rubbish that names the call: the call is answered, with an error. */
static void answer_short(uint32_t id) {
        uint8_t octets[SIGNER_FRAME_MAX];
        struct frame_writer w;

        frame_begin(&w, octets, SIGNER_CERTIFICATE, id);
        frame_put(&w, BYTES_LITERAL("int-1"));
        fake_send(peer, frame_end(&w));
}

static void answer_long(uint32_t id) {
        uint8_t octets[SIGNER_FRAME_MAX];
        struct frame_writer w;

        frame_begin(&w, octets, SIGNER_CERTIFICATE, id);
        for (int i = 0; i < 3; i++)
                frame_put(&w, BYTES_LITERAL("int-1"));
        fake_send(peer, frame_end(&w));
}

static void answer_half_error(uint32_t id) {
        uint8_t octets[SIGNER_FRAME_MAX];
        struct frame_writer w;

        frame_begin(&w, octets, SIGNER_ERROR, id);
        frame_put(&w, BYTES_LITERAL("csr-malformed"));
        fake_send(peer, frame_end(&w));
}

static void answer_unknown_slug(uint32_t id) {
        uint8_t octets[SIGNER_FRAME_MAX];
        struct frame_writer w;

        frame_begin(&w, octets, SIGNER_ERROR, id);
        frame_put(&w, BYTES_LITERAL("of-a-newer-signer"));
        frame_put(&w, BYTES_NONE);
        frame_put(&w, BYTES_LITERAL("something new"));
        fake_send(peer, frame_end(&w));
}

static void answer_no_error(uint32_t id) {
        fake_error(peer, id, ERR_NONE, NULL, "no error at all");
}

static void answer_type(uint32_t id) {
        uint8_t octets[SIGNER_FRAME_MAX];

        fake_send(peer, sign_empty_encode(octets, (enum signer_message) 99, id));
}

static void answer_request(uint32_t id) {
        uint8_t octets[SIGNER_FRAME_MAX];

        fake_send(peer, sign_empty_encode(octets, SIGNER_ISSUE, id));
}

static const struct {
        const char *why;
        void (*answer)(uint32_t id);
        enum error_code code;
} bad_answers[] = {
        { "a field is missing", answer_short, ERR_MESSAGE_MALFORMED },
        { "a field too many", answer_long, ERR_MESSAGE_MALFORMED },
        { "an error without its sentence", answer_half_error, ERR_MESSAGE_MALFORMED },
        { "an error that this build does not know", answer_unknown_slug, ERR_INTERNAL },
        { "an error that says none", answer_no_error, ERR_INTERNAL },
        { "a type that there is not", answer_type, ERR_SIGNER_WRONG },
        { "a request for an answer", answer_request, ERR_SIGNER_WRONG },
};

START_TEST(an_answer_that_cannot_be_read_is_an_error_of_that_call) {
        struct asked asked = { 0 };

        ask_well(&asked);
        bad_answers[_i].answer(receive(NULL).id);
        check_answer(&asked, bad_answers[_i].code);
        check_still_works();
        ck_assert_msg(atomic_load(&asked.answers) == 1, "%s", bad_answers[_i].why);
}
END_TEST

static const struct {
        const char *why;
        struct bytes frame;
} rubbish[] = {
        { "one octet", BYTES_LITERAL("x") },
        { "a header cut off", BYTES_LITERAL("\0\0\0\x0c\x01\x42\0\0\0\0\0") },
        { "another length", BYTES_LITERAL("\0\0\0\x0d\x01\x42\0\0\0\0\0\x02") },
        { "another version", BYTES_LITERAL("\0\0\0\x0c\x02\x42\0\0\0\0\0\x02") },
        { "the reserved octets", BYTES_LITERAL("\0\0\0\x0c\x01\x42\0\x01\0\0\0\x02") },
        { "a certificate for nobody", BYTES_LITERAL("\0\0\0\x0c\x01\x42\0\0\xff\xff\xff\xff") },
        { "a status that nobody asked for", BYTES_LITERAL("\0\0\0\x0c\x01\x43\0\0\0\0\0\x02") },
        { "a second hello", BYTES_LITERAL("\0\0\0\x0c\x01\x41\0\0\0\0\0\0") },
};

START_TEST(rubbish_is_no_answer_and_nobody_is_the_worse_for_it) {
        struct asked asked = { 0 };
        uint32_t id;

        ask_well(&asked);
        id = receive(NULL).id;
        for (int i = 0; i < 100; i++)
                fake_send(peer, rubbish[_i].frame);
        check_still_works();
        ck_assert_msg(atomic_load(&asked.answers) == 0, "%s", rubbish[_i].why);
        fake_certificate(peer, id, BYTES_LITERAL("der"));
        check_answer(&asked, ERR_NONE);
}
END_TEST

START_TEST(a_frame_over_the_maximum_is_rubbish_too) {
        static uint8_t large[SIGNER_FRAME_MAX + 1] = { 0, 1, 0, 1, 1, SIGNER_CERTIFICATE };
        struct asked asked = { 0 };
        uint32_t id;

        ask_well(&asked);
        id = receive(NULL).id;
        large[11] = (uint8_t) id;
        fake_send(peer, BYTES(large, sizeof(large)));
        check_still_works();
        ck_assert_uint_eq(atomic_load(&asked.answers), 0);
        fake_certificate(peer, id, BYTES_LITERAL("der"));
        check_answer(&asked, ERR_NONE);
}
END_TEST

START_TEST(a_second_answer_finds_nobody) {
        struct asked asked = { 0 };
        uint32_t id;

        ask_well(&asked);
        id = receive(NULL).id;
        for (int i = 0; i < 5; i++)
                fake_certificate(peer, id, BYTES_LITERAL("der"));
        fake_error(peer, id, ERR_CLOCK, NULL, "changed my mind");
        check_answer(&asked, ERR_NONE);
        check_still_works();
        ck_assert_uint_eq(atomic_load(&asked.answers), 1);
        ck_assert_int_eq(asked.code, ERR_NONE);
}
END_TEST

START_TEST(what_is_not_answered_in_time_fails_and_its_late_answer_finds_nobody) {
        struct asked asked = { 0 };
        int64_t begun = moment_monotonic_ms(), took;
        uint32_t id;

        ask_well(&asked);
        id = receive(NULL).id;
        wait_for(&asked, SIGNER_DEADLINE_MS + SOON_MS);
        took = moment_monotonic_ms() - begun;
        ck_assert_int_eq(asked.code, ERR_SIGNER_UNAVAILABLE);
        ck_assert_int_ge(took, SIGNER_DEADLINE_MS);
        fake_certificate(peer, id, BYTES_LITERAL("too late"));
        check_still_works();
        ck_assert_uint_eq(atomic_load(&asked.answers), 1);
        ck_assert_uint_eq(asked.der_size, 0);
}
END_TEST

START_TEST(deadlines_are_kept_while_other_answers_keep_coming) {
        struct asked lost = { 0 };
        int64_t begun = moment_monotonic_ms();

        ask_well(&lost);
        (void) receive(NULL);
        while (atomic_load(&lost.answers) == 0 &&
               moment_monotonic_ms() - begun < SIGNER_DEADLINE_MS + SOON_MS)
                check_still_works();
        ck_assert_uint_eq(atomic_load(&lost.answers), 1);
        ck_assert_int_eq(lost.code, ERR_SIGNER_UNAVAILABLE);
}
END_TEST

/* ---- a signer that does not take ---- */

/* Ask until somebody says no. Return: how many were taken */
static size_t ask_until_refused(struct asked *asked, size_t max, struct error *err) {
        for (size_t i = 0; i < max; i++) {
                int64_t begun = moment_monotonic_ms();
                int rc = ask(&asked[i], err);

                ck_assert_int_lt(moment_monotonic_ms() - begun, 1000);
                if (rc < 0)
                        return i;
        }
        ck_abort_msg("nobody said no");
}

static void answer_all(size_t count) {
        for (size_t i = 0; i < count; i++)
                fake_certificate(peer, receive(NULL).id, BYTES_LITERAL("der"));
}

START_TEST(a_full_socket_refuses_and_never_blocks) {
        static struct asked asked[SIGNER_IN_FLIGHT_MAX + 1];
        struct error err = { 0 };
        size_t taken;

        attach_with(1); /* the kernel makes it as small as it may be */
        ck_assert_uint_eq(receive(NULL).type, SIGNER_HELLO);
        taken = ask_until_refused(asked, SIGNER_IN_FLIGHT_MAX, &err);
        ck_assert_int_eq(err.code, ERR_OVERLOADED);
        ck_assert_uint_gt(taken, 0);
        answer_all(taken);
        for (size_t i = 0; i < taken; i++)
                check_answer(&asked[i], ERR_NONE);
        check_still_works();
        ck_assert_uint_eq(atomic_load(&asked[taken].answers),
                          0); /* what was refused is not answered as well */
}
END_TEST

START_TEST(no_more_is_in_flight_than_may_be) {
        static struct asked asked[SIGNER_IN_FLIGHT_MAX + 2];
        struct error err = { 0 };

        ck_assert_uint_eq(ask_until_refused(asked, SIGNER_IN_FLIGHT_MAX + 1, &err),
                          SIGNER_IN_FLIGHT_MAX);
        ck_assert_int_eq(err.code, ERR_OVERLOADED);
        fake_certificate(peer, receive(NULL).id, BYTES_LITERAL("der"));
        wait_for(&asked[0], SOON_MS);
        ask_well(&asked[SIGNER_IN_FLIGHT_MAX +
                        1]); /* there is room for one again, and for one alone */
        ck_refused(ask(&asked[SIGNER_IN_FLIGHT_MAX], &err), err, ERR_OVERLOADED);
        answer_all(SIGNER_IN_FLIGHT_MAX);
        for (size_t i = 0; i < SIGNER_IN_FLIGHT_MAX; i++)
                check_answer(&asked[i], ERR_NONE);
        check_answer(&asked[SIGNER_IN_FLIGHT_MAX + 1], ERR_NONE);
        ck_assert_uint_eq(atomic_load(&asked[SIGNER_IN_FLIGHT_MAX].answers), 0);
}
END_TEST

/* ---- connections that end ---- */

static void by_closing(void) {
        peer = fd_close(peer);
}
static void by_detaching(void) {
        signer_client_detach(client);
}
static void by_another(void) {
        attach();
}
static void by_an_empty_frame(void) {
        fake_send(peer, BYTES("", 0));
}

static const struct {
        const char *why;
        void (*end)(void);
} ends_of[] = {
        { "the signer ended", by_closing },
        { "cad let go", by_detaching },
        { "cad took another", by_another },
        { "an empty packet, which the kernel shows as the end", by_an_empty_frame },
};

START_TEST(what_is_in_flight_fails_when_the_connection_ends) {
        struct asked asked[20] = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
                ask_well(&asked[i]);
        ends_of[_i].end();
        for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
                check_answer(&asked[i], ERR_SIGNER_UNAVAILABLE);
        signer_client_detach(client);
        attach();
        ck_assert_uint_eq(receive(NULL).type, SIGNER_HELLO);
        check_still_works();
        for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
                ck_assert_msg(atomic_load(&asked[i].answers) == 1, "%s", ends_of[_i].why);
}
END_TEST

START_TEST(answers_that_are_there_when_the_connection_ends_are_answers) {
        struct asked answered = { 0 }, lost = { 0 };
        uint32_t id;

        ask_well(&answered);
        id = receive(NULL).id;
        ask_well(&lost);
        fake_certificate(peer, id, BYTES_LITERAL("der"));
        by_closing();
        check_answer(&answered, ERR_NONE);
        check_answer(&lost, ERR_SIGNER_UNAVAILABLE);
}
END_TEST

START_TEST(the_end_of_one_connection_fails_nothing_on_the_next) {
        for (int i = 0; i < 300; i++) {
                by_closing();
                attach();
                ck_assert_uint_eq(receive(NULL).type, SIGNER_HELLO);
                check_still_works();
        }
}
END_TEST

START_TEST(without_a_connection_nothing_is_taken) {
        struct asked asked = { 0 };
        struct sign_status status;
        struct error err;

        signer_client_detach(client);
        signer_client_detach(client);
        ck_refused(ask(&asked, &err), err, ERR_SIGNER_UNAVAILABLE);
        err = (struct error){ 0 };
        ck_refused(signer_client_status(client, 100, &status, &err), err, ERR_SIGNER_UNAVAILABLE);
        ck_assert_uint_eq(atomic_load(&asked.answers), 0);
}
END_TEST

START_TEST(what_is_in_flight_at_the_end_fails_as_stopping) {
        struct asked asked[20] = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
                ask_well(&asked[i]);
        client = signer_client_free(client);
        ck_assert_ptr_null(client);
        for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
                ck_assert_uint_eq(atomic_load(&asked[i].answers), 1);
                ck_assert_int_eq(asked[i].code, ERR_STOPPING);
        }
        ck_assert_ptr_null(signer_client_free(NULL));
}
END_TEST

/* ---- drained ---- */

START_TEST(drained_is_said_after_each_batch_and_again_while_it_asks_for_more) {
        struct asked asked = { 0 };

        check_still_works();
        atomic_store(&drained_sleeps, 3);
        atomic_store(&drained_calls, 0);
        ask_well(&asked);
        fake_certificate(peer, receive(NULL).id, BYTES_LITERAL("der"));
        check_answer(&asked, ERR_NONE);
        for (int64_t until = moment_monotonic_ms() + SOON_MS; atomic_load(&drained_calls) < 4;) {
                ck_assert_int_lt(moment_monotonic_ms(), until);
                (void) usleep(500);
        }
        ck_assert_uint_eq(atomic_load(&drained_sleeps), 0);
}
END_TEST

/* ---- status ---- */

struct asker {
        pthread_t thread;
        int64_t timeout_ms, took_ms;
        int rc;
        struct sign_status status;
        struct error err;
};

static void *ask_status(void *argument) {
        struct asker *a = argument;
        int64_t begun = moment_monotonic_ms();

        a->rc = signer_client_status(client, a->timeout_ms, &a->status, &a->err);
        a->took_ms = moment_monotonic_ms() - begun;
        return NULL;
}

static void begin_status(struct asker *a, int64_t timeout_ms) {
        *a = (struct asker){ .timeout_ms = timeout_ms };
        ck_assert_int_eq(pthread_create(&a->thread, NULL, ask_status, a), 0);
}

START_TEST(a_status_comes_back_between_other_answers) {
        struct asked asked = { 0 };
        struct signer_header header;
        struct asker a;

        ask_well(&asked);
        begin_status(&a, SOON_MS);
        do {
                header = receive(NULL);
        } while (header.type != SIGNER_STATUS);
        fake_status(peer, header.id, 4711);
        ck_assert_int_eq(pthread_join(a.thread, NULL), 0);
        ck_assert_msg(a.rc == 0, "%s", a.err.text);
        ck_assert_int_eq(a.status.issued, 4711);
        ck_assert_uint_eq(atomic_load(&asked.answers), 0);
        by_closing();
        check_answer(&asked, ERR_SIGNER_UNAVAILABLE);
}
END_TEST

START_TEST(many_who_ask_for_the_status_are_answered_one_after_the_other) {
        struct asker askers[6];

        for (size_t i = 0; i < ARRAY_SIZE(askers); i++)
                begin_status(&askers[i], 3 * SOON_MS);
        for (size_t i = 0; i < ARRAY_SIZE(askers); i++)
                fake_status(peer, receive(NULL).id, 1);
        for (size_t i = 0; i < ARRAY_SIZE(askers); i++) {
                ck_assert_int_eq(pthread_join(askers[i].thread, NULL), 0);
                ck_assert_msg(askers[i].rc == 0, "%s", askers[i].err.text);
        }
}
END_TEST

START_TEST(a_status_that_does_not_come_in_time_is_given_up_and_its_late_answer_ignored) {
        struct signer_header header;
        struct asker a;

        begin_status(&a, 100);
        header = receive(NULL);
        ck_assert_int_eq(pthread_join(a.thread, NULL), 0);
        ck_assert_int_eq(a.rc, -1);
        ck_assert_int_eq(a.err.code, ERR_SIGNER_UNAVAILABLE);
        ck_assert_int_lt(a.took_ms, SOON_MS);
        fake_status(peer, header.id, 1); /* where it was written to is gone: ASan would tell */
        check_still_works();
        begin_status(&a, SOON_MS);
        fake_status(peer, receive(NULL).id, 2);
        ck_assert_int_eq(pthread_join(a.thread, NULL), 0);
        ck_assert(a.rc == 0 && a.status.issued == 2);
}
END_TEST

START_TEST(a_status_that_cannot_be_read_is_none) {
        uint8_t octets[SIGNER_FRAME_MAX];
        struct asker a;

        begin_status(&a, SOON_MS);
        fake_send(peer, sign_empty_encode(octets, SIGNER_STATUS_OK, receive(NULL).id));
        ck_assert_int_eq(pthread_join(a.thread, NULL), 0);
        ck_assert_int_eq(a.rc, -1);
        ck_assert_int_lt(a.took_ms, SOON_MS);
        check_still_works();
}
END_TEST

START_TEST(a_status_ends_with_the_connection) {
        struct asker a;

        begin_status(&a, 8000);
        (void) receive(NULL);
        by_closing();
        ck_assert_int_eq(pthread_join(a.thread, NULL), 0);
        ck_assert_int_eq(a.rc, -1);
        ck_assert_int_lt(a.took_ms, SOON_MS);
}
END_TEST

/* ---- under load ---- */

#define CALLERS 4
#define CALLS 3000
#define WINDOW 16 /* that the fake holds back, to answer in another order */

static atomic_bool load_over;
static atomic_uint load_taken;

static void *fake_thread(void *argument) {
        int fd = *(int *) argument;
        uint8_t frame[SIGNER_FRAME_MAX];
        struct frame_reader fields;
        struct signer_header header;
        uint32_t held[WINDOW];
        size_t count = 0, turn = 0;

        for (;;) {
                bool more = fake_receive(fd, 1, frame, &header, &fields);
                struct pollfd p = { .fd = fd };

                if (!more && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))
                        break;
                if (more && header.type == SIGNER_ISSUE)
                        held[count++] = header.id;
                if (count == WINDOW || (!more && count)) {
                        size_t at = turn++ * 7 % count;

                        if (turn % 3)
                                fake_certificate(fd, held[at], BYTES_LITERAL("der"));
                        else
                                fake_error(fd, held[at], ERR_RATE_LIMITED, NULL, "slowly");
                        held[at] = held[--count];
                }
        }
        (void) close(fd);
        return NULL;
}

/* New signers come and go while others ask. */
static void *reconnect_thread(void *unused) {
        pthread_t fakes[2];
        int ends[2][2];

        (void) unused;
        for (unsigned n = 0;; n++) {
                struct sign_hello hello;
                unsigned now = n % 2;

                if (n >= 2)
                        (void) pthread_join(fakes[now],
                                            NULL); /* its connection went with the one after it */
                if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends[now]) < 0)
                        return NULL;
                fake_hello(ends[now][1]);
                if (pthread_create(&fakes[now], NULL, fake_thread, &ends[now][1]) != 0)
                        return NULL;
                (void) signer_client_attach(client, ends[now][0], SOON_MS, hello_frame, &hello,
                                            NULL);
                (void) usleep(3000);
                if (n % 3 == 2)
                        signer_client_detach(client);
                if (atomic_load(&load_over) && n >= 1) {
                        signer_client_detach(client);
                        (void) pthread_join(fakes[0], NULL);
                        (void) pthread_join(fakes[1], NULL);
                        return NULL;
                }
        }
}

static void *caller_thread(void *argument) {
        struct asked *asked = argument;

        for (size_t i = 0; i < CALLS; i++) {
                while (ask(&asked[i], NULL) < 0)
                        (void) sched_yield();
                atomic_fetch_add(&load_taken, 1);
        }
        return NULL;
}

START_TEST(each_call_is_answered_once_while_signers_come_and_go) {
        static struct asked asked[CALLERS][CALLS];
        pthread_t callers[CALLERS], reconnector;

        peer = fd_close(peer);
        ck_assert_int_eq(pthread_create(&reconnector, NULL, reconnect_thread, NULL), 0);
        for (size_t i = 0; i < CALLERS; i++)
                ck_assert_int_eq(pthread_create(&callers[i], NULL, caller_thread, asked[i]), 0);
        for (size_t i = 0; i < CALLERS; i++)
                ck_assert_int_eq(pthread_join(callers[i], NULL), 0);
        atomic_store(&load_over, true);
        ck_assert_int_eq(pthread_join(reconnector, NULL), 0);
        client = signer_client_free(client);
        ck_assert_uint_eq(atomic_load(&load_taken), CALLERS * CALLS);
        for (size_t i = 0; i < CALLERS; i++)
                for (size_t k = 0; k < CALLS; k++)
                        ck_assert_uint_eq(atomic_load(&asked[i][k].answers), 1);
}
END_TEST

/* ---- a change of intermediates ---- */

struct asked_change {
        pthread_t thread;
        uint8_t frame[SIGNER_FRAME_MAX];
        struct sign_hello told;
        struct error err;
        int rc;
};

static void *change_thread(void *argument) {
        struct asked_change *a = argument;

        a->rc = signer_client_change(client, SIGNER_ACTIVATE, "int-2", a->frame, &a->told, &a->err);
        return NULL;
}

/* Return: the id of the call, after a look at it */
static uint32_t ask_change(struct asked_change *a) {
        struct frame_reader fields;
        struct signer_header header;
        char issuer[SIGNER_ISSUER_MAX];

        *a = (struct asked_change){ .rc = 1 };
        ck_assert_int_eq(pthread_create(&a->thread, NULL, change_thread, a), 0);
        header = receive(&fields);
        ck_assert_uint_eq(header.type, SIGNER_ACTIVATE);
        ck_ok(sign_change_decode(&fields, issuer, &a->err), a->err);
        ck_assert_str_eq(issuer, "int-2");
        return header.id;
}

static void end_change(struct asked_change *a, enum error_code code) {
        ck_assert_int_eq(pthread_join(a->thread, NULL), 0);
        ck_assert_msg(a->err.code == code, "%s: %s", error_slug(a->err.code), a->err.text);
        ck_assert_int_eq(a->rc, code == ERR_NONE ? 0 : -1);
}

START_TEST(a_change_comes_back_as_the_ca_is_then) {
        static struct asked_change a;
        static uint8_t frame[SIGNER_FRAME_MAX];
        struct sign_hello hello = { .ca_id = "00",
                                    .name = "Fake CA",
                                    .root = BYTES_LITERAL("root"),
                                    .issuers = { { "int-2", SIGNER_ISSUER_ACTIVE,
                                                   BYTES_LITERAL("der") } },
                                    .issuer_count = 1 };
        struct asked other = { 0 };

        fake_send(peer, sign_ca_encode(frame, ask_change(&a), &hello));
        /* what comes after it does not write over what the caller looks at */
        ask_well(&other);
        fake_error(peer, receive(NULL).id, ERR_RATE_LIMITED, "", "enough");
        wait_for(&other, SOON_MS);
        end_change(&a, ERR_NONE);
        ck_assert_str_eq(a.told.issuers[0].id, "int-2");
        ck_assert(bytes_equal(a.told.issuers[0].der, BYTES_LITERAL("der")));
}
END_TEST

START_TEST(a_change_is_refused_with_the_signers_words_and_by_anything_else) {
        static struct asked_change a;
        static uint8_t frame[SIGNER_FRAME_MAX];
        uint32_t id = ask_change(&a);

        fake_error(peer, id, ERR_STATE_CONFLICT, "", "there is none");
        end_change(&a, ERR_STATE_CONFLICT);
        fake_certificate(peer, ask_change(&a), BYTES_LITERAL("certificate"));
        end_change(&a, ERR_MESSAGE_MALFORMED);
        fake_send(peer, sign_crl_ok_encode(frame, ask_change(&a), "int-1", 5, 7));
        end_change(&a, ERR_SIGNER_WRONG);
        (void) ask_change(&a);
        peer = fd_close(peer);
        end_change(&a, ERR_SIGNER_UNAVAILABLE);
        ck_assert_int_eq(signer_client_change(client, SIGNER_PREPARE, "", a.frame, &a.told, &a.err),
                         -1);
        ck_assert_int_eq(a.err.code, ERR_SIGNER_UNAVAILABLE);
}
END_TEST

/* ---- CRLs: a wish with a descriptor, an answer with another ---- */

/* Whoever waits for one, on a thread of its own. */
struct asked_crl {
        pthread_t thread;
        struct sign_crl wish;
        struct signed_crl made;
        struct error err;
        int rc;
};

static void *crl_thread(void *argument) {
        struct asked_crl *a = argument;

        a->rc = signer_client_crl(client, &a->wish, &a->made, &a->err);
        return NULL;
}

static void ask_crl(struct asked_crl *a) {
        *a = (struct asked_crl){ .wish = { .issuer = "int-1",
                                           .number = 5,
                                           .entry_count = 2,
                                           .entries_fd = memfd_create("entries", MFD_CLOEXEC) },
                                 .made.fd = -1 };
        ck_assert_int_ge(a->wish.entries_fd, 0);
        ck_assert_int_eq(pthread_create(&a->thread, NULL, crl_thread, a), 0);
}

static void end_crl(struct asked_crl *a, enum error_code code) {
        ck_assert_int_eq(pthread_join(a->thread, NULL), 0);
        ck_assert_msg(a->err.code == code, "expected %s, got %s: %s", error_slug(code),
                      error_slug(a->err.code), a->err.text);
        ck_assert_int_eq(a->rc, code == ERR_NONE ? 0 : -1);
        ck_assert_int_eq(a->made.der.size == 0, code != ERR_NONE);
        signed_crl_done(&a->made);
        (void) close(a->wish.entries_fd);
}

/* The next frame, which is a CRL wish with its descriptor. Return: its id */
static uint32_t receive_crl(struct sign_crl *ret) {
        CAD_AUTO(fd_close) int fd = -1;
        static uint8_t frame[SIGNER_FRAME_MAX];
        struct pollfd p = { .fd = peer, .events = POLLIN };
        struct signer_header header;
        struct frame_reader fields;
        struct error err = { 0 };
        ssize_t n;

        ck_assert_int_eq(poll(&p, 1, SOON_MS), 1);
        n = channel_receive(peer, frame, sizeof(frame), MSG_DONTWAIT, &fd);
        ck_assert_int_gt(n, 0);
        ck_assert_msg(fd >= 0, "the entries are missing");
        ck_ok(frame_open(BYTES(frame, (size_t) n), &header, &fields, &err), err);
        ck_assert_uint_eq(header.type, SIGNER_CRL);
        ck_ok(sign_crl_decode(&fields, ret, &err), err);
        return header.id;
}

/* A file of @content, or none where that is NULL. */
static int crl_file(const char *content, bool seal) {
        struct error err = { 0 };
        int fd = content ? memfd_new("crl", &err) : -1;

        if (content)
                ck_assert_int_eq(fd_write_all(fd, bytes_of(content)), 0);
        if (seal)
                ck_ok(memfd_seal(fd, &err), err);
        return fd;
}

static void answer_crl(uint32_t id, const char *issuer, int64_t number, int64_t size, int fd) {
        uint8_t frame[256];

        (void) channel_send(peer, sign_crl_ok_encode(frame, id, issuer, number, size), fd,
                            MSG_NOSIGNAL);
        (void) fd_close(fd);
}

START_TEST(a_crl_comes_back_mapped) {
        struct asked_crl a;
        struct sign_crl wish;
        uint32_t id;

        ask_crl(&a);
        id = receive_crl(&wish);
        ck_assert_str_eq(wish.issuer, "int-1");
        ck_assert_int_eq(wish.number, 5);
        check_still_works(); /* others are answered while it is made */
        answer_crl(id, "int-1", 5, 3, crl_file("der", true));
        ck_assert_int_eq(pthread_join(a.thread, NULL), 0);
        ck_assert_msg(a.rc == 0, "%s", a.err.text);
        ck_assert(bytes_equal(a.made.der, BYTES_LITERAL("der")) && a.made.fd >= 0);
        signed_crl_done(&a.made);
        ck_assert(a.made.der.size == 0 && a.made.fd == -1);
        signed_crl_done(&a.made);
        (void) close(a.wish.entries_fd);
}
END_TEST

static const struct {
        const char *why;
        const char *issuer;
        int64_t number, size;
        const char *content;
        bool seal;
} bad_crls[] = {
        { "no file", "int-1", 5, 3, NULL, false },
        { "not sealed", "int-1", 5, 3, "der", false },
        { "empty", "int-1", 5, 0, "", true },
        { "smaller than it says", "int-1", 5, 4, "der", true },
        { "larger than it says", "int-1", 5, 2, "der", true },
        { "a negative size", "int-1", 5, -3, "der", true },
        { "another issuer's", "int-2", 5, 3, "der", true },
        { "another number", "int-1", 6, 3, "der", true },
};

START_TEST(a_crl_that_is_not_what_was_asked_for_is_refused) {
        struct asked_crl a;
        struct sign_crl wish;

        ask_crl(&a);
        answer_crl(receive_crl(&wish), bad_crls[_i].issuer, bad_crls[_i].number, bad_crls[_i].size,
                   crl_file(bad_crls[_i].content, bad_crls[_i].seal));
        end_crl(&a, ERR_SIGNER_WRONG);
        check_still_works();
}
END_TEST

START_TEST(an_answer_of_one_kind_is_none_of_the_other) {
        struct asked asked = { 0 };
        struct asked_crl a;
        struct sign_crl wish;

        ask_crl(&a);
        fake_certificate(peer, receive_crl(&wish), BYTES_LITERAL("der"));
        end_crl(&a, ERR_SIGNER_WRONG);
        ask_well(&asked);
        answer_crl(receive(NULL).id, "int-1", 5, 3, crl_file("der", true));
        check_answer(&asked, ERR_SIGNER_WRONG);
        check_still_works();
}
END_TEST

START_TEST(a_crl_is_refused_with_the_signers_words) {
        struct asked_crl a;
        struct sign_crl wish;

        ask_crl(&a);
        fake_error(peer, receive_crl(&wish), ERR_STATE_CONFLICT, "number", "5 is not above 6");
        ck_assert_int_eq(pthread_join(a.thread, NULL), 0);
        ck_assert_int_eq(a.err.code, ERR_STATE_CONFLICT);
        ck_assert_str_eq(a.err.field, "number");
        ck_assert_str_eq(a.err.text, "5 is not above 6");
        (void) close(a.wish.entries_fd);
}
END_TEST

START_TEST(who_waits_for_a_crl_is_told_of_the_end) {
        struct asked_crl a;
        struct sign_crl wish;

        ask_crl(&a);
        (void) receive_crl(&wish);
        peer = fd_close(peer);
        end_crl(&a, ERR_SIGNER_UNAVAILABLE);
        ask_crl(&a);
        end_crl(&a, ERR_SIGNER_UNAVAILABLE);
        attach();
        ck_assert_uint_eq(receive(NULL).type, SIGNER_HELLO);
        ask_crl(&a);
        (void) receive_crl(&wish);
        client = signer_client_free(client);
        end_crl(&a, ERR_STOPPING);
}
END_TEST

static size_t open_descriptors(void) {
        DIR *dir = opendir("/proc/self/fd");
        size_t count = 0;

        ck_assert_ptr_nonnull(dir);
        while (readdir(dir))
                count++;
        (void) closedir(dir);
        return count;
}

/* Descriptors beside frames that take none, answers that nobody waits for. */
START_TEST(no_descriptor_of_the_signers_stays_open) {
        size_t before = open_descriptors();

        for (uint32_t i = 0; i < 50; i++) {
                CAD_AUTO(fd_close) int fd = crl_file("x", true);
                uint8_t frame[256];

                (void) channel_send(peer, sign_crl_ok_encode(frame, 1000 + i, "int-1", 5, 1), fd,
                                    0);
                (void) channel_send(peer, sign_empty_encode(frame, SIGNER_STATUS_OK, i), fd, 0);
                (void) channel_send(peer, BYTES_LITERAL("rubbish"), fd, 0);
                check_still_works();
        }
        ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("signer-client");
        TCase *alone = tcase_create("alone"), *tc = tcase_create("connected");

        tcase_set_timeout(alone, 30);
        tcase_add_checked_fixture(alone, set_up_alone, tear_down);
        tcase_add_test(alone, a_hello_is_told_to_whoever_attaches);
        tcase_add_loop_test(alone, a_hello_that_is_none_is_refused_and_its_connection_closed, 0,
                            ARRAY_SIZE(bad_hellos));
        tcase_add_test(alone, a_full_socket_refuses_and_never_blocks);
        suite_add_tcase(suite, alone);
        tcase_set_timeout(tc, 100);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, a_bad_hello_leaves_the_connection_that_there_was);
        tcase_add_test(tc, answers_in_any_order_find_their_callers);
        tcase_add_test(tc, a_refusal_comes_with_its_code_field_and_sentence);
        tcase_add_loop_test(tc, an_answer_that_cannot_be_read_is_an_error_of_that_call, 0,
                            ARRAY_SIZE(bad_answers));
        tcase_add_loop_test(tc, rubbish_is_no_answer_and_nobody_is_the_worse_for_it, 0,
                            ARRAY_SIZE(rubbish));
        tcase_add_test(tc, a_frame_over_the_maximum_is_rubbish_too);
        tcase_add_test(tc, a_second_answer_finds_nobody);
        tcase_add_test(tc, what_is_not_answered_in_time_fails_and_its_late_answer_finds_nobody);
        tcase_add_test(tc, deadlines_are_kept_while_other_answers_keep_coming);
        tcase_add_test(tc, no_more_is_in_flight_than_may_be);
        tcase_add_loop_test(tc, what_is_in_flight_fails_when_the_connection_ends, 0,
                            ARRAY_SIZE(ends_of));
        tcase_add_test(tc, answers_that_are_there_when_the_connection_ends_are_answers);
        tcase_add_test(tc, the_end_of_one_connection_fails_nothing_on_the_next);
        tcase_add_test(tc, without_a_connection_nothing_is_taken);
        tcase_add_test(tc, what_is_in_flight_at_the_end_fails_as_stopping);
        tcase_add_test(tc, drained_is_said_after_each_batch_and_again_while_it_asks_for_more);
        tcase_add_test(tc, a_status_comes_back_between_other_answers);
        tcase_add_test(tc, many_who_ask_for_the_status_are_answered_one_after_the_other);
        tcase_add_test(tc,
                       a_status_that_does_not_come_in_time_is_given_up_and_its_late_answer_ignored);
        tcase_add_test(tc, a_status_that_cannot_be_read_is_none);
        tcase_add_test(tc, a_status_ends_with_the_connection);
        tcase_add_test(tc, each_call_is_answered_once_while_signers_come_and_go);
        tcase_add_test(tc, a_crl_comes_back_mapped);
        tcase_add_loop_test(tc, a_crl_that_is_not_what_was_asked_for_is_refused, 0,
                            ARRAY_SIZE(bad_crls));
        tcase_add_test(tc, an_answer_of_one_kind_is_none_of_the_other);
        tcase_add_test(tc, a_crl_is_refused_with_the_signers_words);
        tcase_add_test(tc, who_waits_for_a_crl_is_told_of_the_end);
        tcase_add_test(tc, no_descriptor_of_the_signers_stays_open);
        tcase_add_test(tc, a_change_comes_back_as_the_ca_is_then);
        tcase_add_test(tc, a_change_is_refused_with_the_signers_words_and_by_anything_else);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
