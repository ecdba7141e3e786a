/*
 * Issuance through the authority, with a signer that is played: what is refused never reaches it, what it makes wrong is
 * never given out, and every caller is answered once, with a certificate that is in the store or with why not. What is done
 * now and then, or waits for a moment, is tested with a clock that stands until the test moves it.
 */
#include "issued-fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "daemon/authority/authority.h"
#include "fake-signer.h"
#include "lib/base/log.h"
#include "lib/base/text.h"

#define SOON_MS 5000

/* ---- the clock and the disk: the program's own come before libc's ---- */

static _Atomic int64_t clock_stands_at_ns; /* the monotonic one; 0: it runs */
static atomic_uint sync_count;

static int64_t timespec_ns(const struct timespec *ts) {
        return (int64_t) ts->tv_sec * 1000000000 + ts->tv_nsec;
}

int clock_gettime(clockid_t id, struct timespec *ts) {
        int64_t stands_at_ns = atomic_load(&clock_stands_at_ns);
        int rc = (int) syscall(SYS_clock_gettime, id, ts);

        if (id == CLOCK_MONOTONIC && stands_at_ns != 0)
                *ts = (struct timespec){ .tv_sec = stands_at_ns / 1000000000,
                                         .tv_nsec = stands_at_ns % 1000000000 };
        return rc;
}

static void clock_stop(void) {
        struct timespec ts;

        ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
        atomic_store(&clock_stands_at_ns, timespec_ns(&ts));
}

static void clock_move_us(int64_t us) {
        atomic_fetch_add(&clock_stands_at_ns, us * 1000);
}

int fdatasync(int fd) {
        (void) fd;
        atomic_fetch_add(&sync_count, 1);
        return 0;
}

int fsync(int fd) {
        return fdatasync(fd);
}

/* ---- the signer ---- */

struct fake {
        pthread_t thread;
        int fd;
        /* NULL: honest; else makes another wish of it before it is signed */
        void (*change)(struct sign_issue *wish);
        /* NULL: as it was signed; else makes something else of it */
        void (*spoil)(struct buffer *der);
        enum error_code refuse; /* ERR_NONE: no */
        bool same_serial, silent;
        atomic_bool held; /* wishes wait in the socket … */
        unsigned each_us; /* … and a certificate takes this long */
        atomic_uint asked, signed_count;
};

static struct fake fake;
static struct authority *authority;
static struct buffer other_spki;

static void fake_issue(struct frame_reader *fields, uint32_t id) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct sign_issue wish;
        struct error err = { 0 };
        bool silent = fake.silent; /* before the test is told, which may change it */
        uint64_t n = atomic_fetch_add(&fake.asked, 1);

        while (atomic_load(&fake.held))
                (void) usleep(500);
        (void) usleep(fake.each_us);
        if (silent)
                return;
        if (fake.refuse != ERR_NONE) {
                fake_error(fake.fd, id, fake.refuse, "csr.san[0]", "the signer says no");
                return;
        }
        ck_ok(sign_issue_decode(fields, &wish, &err), err);
        if (fake.change)
                fake.change(&wish);
        if (issued_sign(&wish, fake.same_serial ? 0 : n, &der, &err) < 0) {
                fake_error(fake.fd, id, err.code, err.field, err.text);
                return;
        }
        if (fake.spoil)
                fake.spoil(&der);
        atomic_fetch_add(&fake.signed_count, 1);
        fake_certificate(fake.fd, id, buffer_bytes(&der));
}

static void *fake_thread(void *unused) {
        static uint8_t frame[SIGNER_FRAME_MAX];
        struct frame_reader fields;
        struct signer_header header;

        (void) unused;
        while (fake_receive(fake.fd, -1, frame, &header, &fields))
                if (header.type == SIGNER_ISSUE)
                        fake_issue(&fields, header.id);
        return NULL;
}

static void say_hello(int fd) {
        static uint8_t frame[SIGNER_FRAME_MAX];
        struct sign_hello hello;

        ca_hello(ca, &hello);
        fake_send(fd, sign_hello_encode(frame, 0, &hello));
}

static void no_log(enum log_level level, const char *text, const struct log_field *fields,
                   size_t count) {
        (void) level, (void) text, (void) fields, (void) count;
}

static void start_signer(void) {
        struct error err = { 0 };
        int ends[2];

        fake_pair(ends);
        say_hello(ends[1]);
        fake.fd = ends[1];
        ck_ok(authority_attach_signer(authority, ends[0], SOON_MS, &err), err);
        ck_assert_int_eq(pthread_create(&fake.thread, NULL, fake_thread, NULL), 0);
}

static void set_up(void) {
        struct profile_set *own = NULL;
        struct error err = { 0 };

        log_set_sink(no_log);
        memset(&fake, 0, sizeof(fake));
        atomic_store(&clock_stands_at_ns, 0);
        issued_setup();
        key_spki(KEY_ECDSA_P256, 0, &other_spki);
        ck_ok(profiles_load(-1, NULL, &own, &err), err);
        ck_ok(authority_new(own, access_list_new(), &authority, &err), err);
        start_signer();
        ck_ok(authority_open_store(authority, scratch.fd, 0, &err), err);
}

static void stop_signer(void) {
        (void) shutdown(fake.fd, SHUT_RDWR);
        ck_assert_int_eq(pthread_join(fake.thread, NULL), 0);
        fake.fd = fd_close(fake.fd);
}

static void tear_down(void) {
        if (fake.fd >= 0)
                stop_signer();
        authority = authority_free(authority);
        buffer_done(&other_spki);
        issued_teardown();
}

/* ---- a caller ---- */

/* A caller's request, and all that came of it. */
struct caller {
        struct issue_request rq;
        struct principal principal;
        struct buffer csr;
        atomic_uint answers;
        struct error err;
        bool issued, replayed, key_used_before, validity_cut;
        uint8_t serial[STORE_SERIAL_MAX];
        size_t serial_size;
        struct buffer der;
        char subject[64], label[64];
};

static void caller_done(struct caller *c) {
        buffer_done(&c->csr);
        buffer_done(&c->der);
}
CAD_CLEANUP_DONE(struct caller, caller_done)

static void make_csr(const struct private_key *key, const char *cn, const char *const *names,
                     struct buffer *ret) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };

        for (; *names; names++)
                ck_ok(san_list_add_text(&list, *names, &err), err);
        ck_ok(csr_create(key, cn, &list, ret, &err), err);
}

static void caller_init_for(struct caller *c, const struct private_key *key) {
        *c = (struct caller){ .principal = { .kind = PRINCIPAL_PEER,
                                             .role = ROLE_OPERATOR,
                                             .on_unix_socket = true,
                                             .text = "uid:1001" } };
        make_csr(key, "nas.lan", (const char *const[]){ "nas.lan", "10.0.0.1", NULL }, &c->csr);
        c->rq = (struct issue_request){ .principal = &c->principal,
                                        .csr = buffer_bytes(&c->csr),
                                        .method = "POST",
                                        .path = "/v1/certificates" };
}

static void caller_init(struct caller *c) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        struct error err = { 0 };

        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        caller_init_for(c, key);
}

static void on_issued(void *context, const struct issued *issued, const struct error *err) {
        struct caller *c = context;

        if (err)
                c->err = *err;
        if (issued) {
                c->issued = true;
                c->replayed = issued->replayed;
                c->key_used_before = issued->key_used_before;
                c->validity_cut = issued->validity_cut;
                c->serial_size = issued->row->serial.size;
                memcpy(c->serial, issued->row->serial.data, c->serial_size);
                buffer_append(&c->der, issued->row->der);
                (void) snprintf(c->subject, sizeof(c->subject), "%s", issued->row->subject);
                (void) snprintf(c->label, sizeof(c->label), "%s",
                                issued->row->label ? issued->row->label : "");
        }
        atomic_fetch_add(&c->answers, 1);
}

static void wait_for(struct caller *c) {
        for (int i = 0; atomic_load(&c->answers) == 0; i++) {
                ck_assert_msg(i < 2 * SOON_MS, "no answer"); /* the clock may stand */
                (void) usleep(500);
        }
}

/* Ask, and wait for the answer. Return: 0 issued; -1 refused at once or by the answer, with c->err */
static int ask(struct caller *c) {
        if (authority_issue(authority, &c->rq, on_issued, c, &c->err) < 0) {
                ck_assert_uint_eq(atomic_load(&c->answers), 0);
                return -1;
        }
        wait_for(c);
        ck_assert_uint_eq(atomic_load(&c->answers), 1);
        ck_assert(c->issued == (c->err.code == ERR_NONE));
        return c->issued ? 0 : -1;
}

static int64_t stored(void) {
        struct store_counters counters;
        struct error err = { 0 };

        ck_ok(store_counters(authority_store(authority), &counters, &err), err);
        return counters.issued;
}

/* ---- what is issued ---- */

START_TEST(what_is_answered_is_in_the_store_and_is_what_was_asked) {
        CAD_AUTO(caller_done) struct caller c;
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        char serial[2 * STORE_SERIAL_MAX + 1];
        struct cert cert;
        struct error err = { 0 };

        caller_init(&c);
        c.rq.label = "kitchen";
        ck_ok(ask(&c), c.err);
        ck_assert_str_eq(c.subject, "CN=nas.lan");
        ck_assert(!c.replayed && !c.key_used_before && !c.validity_cut);
        ck_ok(authority_find(authority, hex_encode(BYTES(c.serial, c.serial_size), serial), &row,
                             &err),
              err);
        ck_assert(bytes_equal(row->der, buffer_bytes(&c.der)));
        ck_assert_str_eq(row->label, "kitchen");
        ck_assert_str_eq(row->requester, "uid:1001");
        ck_assert_str_eq(row->profile, "server");
        ck_assert_str_eq(row->issuer, "int-1");
        ck_assert_uint_eq(row->name_count, 2);
        ck_assert_str_eq(row->names[0], "nas.lan");
        ck_assert_str_eq(row->names[1], "10.0.0.1");
        ck_ok(cert_read(row->der, &cert, &err), err);
        ck_assert(bytes_equal(cert.serial, BYTES(c.serial, c.serial_size)));
        ck_ok(chain_verify(row->der, ca->issuers[0].cert.der, ca->root.der, moment_now(), &err),
              err);
}
END_TEST

START_TEST(the_names_of_the_request_stand_in_for_those_of_the_csr) {
        static const char *const names[] = { "Printer.LAN", "fd00::1" };
        CAD_AUTO(caller_done) struct caller c;

        caller_init(&c);
        c.rq.names = names;
        c.rq.name_count = 2;
        ck_ok(ask(&c), c.err);
        ck_assert_str_eq(c.subject, "CN=printer.lan");
}
END_TEST

START_TEST(what_the_ca_issues_to_itself_is_counted_apart) {
        CAD_AUTO(caller_done) struct caller c;
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        char serial[2 * STORE_SERIAL_MAX + 1];
        struct store_counters counters;
        struct error err = { 0 };

        caller_init(&c);
        c.rq.profile = "https";
        ck_assert_int_eq(ask(&c), -1); /* nobody else gets one */
        ck_assert_int_eq(c.err.code, ERR_FORBIDDEN);
        c.err = (struct error){ 0 };
        c.rq.internal = true;
        ck_ok(ask(&c), c.err);
        ck_ok(authority_find(authority, hex_encode(BYTES(c.serial, c.serial_size), serial), &row,
                             &err),
              err);
        ck_assert(row->internal);
        ck_ok(store_counters(authority_store(authority), &counters, &err), err);
        ck_assert_int_eq(counters.issued, 1);
        ck_assert_int_eq(counters.issued_for_others, 0);
}
END_TEST

START_TEST(without_a_dns_name_there_is_no_common_name) {
        static const char *const names[] = { "10.0.0.1" };
        CAD_AUTO(caller_done) struct caller c;

        caller_init(&c);
        c.rq.names = names;
        c.rq.name_count = 1;
        ck_ok(ask(&c), c.err);
        ck_assert_str_eq(c.subject, "");
}
END_TEST

START_TEST(one_key_for_other_names_is_told_and_for_the_same_is_not) {
        static const char *const others[] = { "printer.lan" };
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        struct error err = { 0 };

        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        for (int i = 0; i < 3; i++) {
                CAD_AUTO(caller_done) struct caller c;

                caller_init_for(&c, key);
                if (i == 2) {
                        c.rq.names = others;
                        c.rq.name_count = 1;
                }
                ck_ok(ask(&c), c.err);
                ck_assert_int_eq(c.key_used_before, i == 2);
        }
}
END_TEST

/* ---- a signer that makes something else ---- */

static void another_key(struct sign_issue *wish) {
        wish->spki = buffer_bytes(&other_spki);
}
static void a_second_longer(struct sign_issue *wish) {
        wish->validity.not_after++;
}
static void a_second_sooner(struct sign_issue *wish) {
        wish->validity.not_before--;
        wish->validity.not_after--;
}
static void another_common_name(struct sign_issue *wish) {
        wish->common_name[0] = '\0';
}

/* A signer that has changed over, and cad does not know. */
static void the_standby(struct sign_issue *wish) {
        ca->issuers[1].state = SIGNER_ISSUER_ACTIVE;
        (void) snprintf(wish->issuer, sizeof(wish->issuer), "int-2");
}

static void another_profile(struct sign_issue *wish) {
        (void) snprintf(wish->profile, sizeof(wish->profile), "client");
        memcpy(wish->profile_digest, profiles_find(profiles, "client", NULL)->digest,
               sizeof(wish->profile_digest));
}

static void one_name_more(struct sign_issue *wish) {
        static uint8_t octets[CERT_MAX];

        wish->names = names_der(octets, sizeof(octets),
                                (const char *const[]){ "nas.lan", "10.0.0.1", "router.lan", NULL });
}

static void the_other_order(struct sign_issue *wish) {
        static uint8_t octets[CERT_MAX];

        wish->names = names_der(octets, sizeof(octets),
                                (const char *const[]){ "10.0.0.1", "nas.lan", NULL });
}

static void replace(struct buffer *der, struct bytes by) {
        der->size = 0;
        buffer_append(der, by);
}

static void the_root(struct buffer *der) {
        replace(der, ca->root.der);
}
static void an_intermediate(struct buffer *der) {
        replace(der, ca->issuers[0].cert.der);
}
static void rubbish(struct buffer *der) {
        replace(der, BYTES_LITERAL("rubbish"));
}
static void nothing(struct buffer *der) {
        der->size = 0;
}
static void cut_off(struct buffer *der) {
        der->size--;
}
static void bad_signature(struct buffer *der) {
        der->data[der->size - 1] ^= 1;
}
static void octet_more(struct buffer *der) {
        buffer_append(der, BYTES("", 1));
}

static const struct {
        const char *why;
        void (*change)(struct sign_issue *wish);
        void (*spoil)(struct buffer *der);
} wrongs[] = {
        { "for another key", another_key, NULL },
        { "a second longer", a_second_longer, NULL },
        { "a second sooner", a_second_sooner, NULL },
        { "without its common name", another_common_name, NULL },
        { "by another issuer", the_standby, NULL },
        { "of another profile", another_profile, NULL },
        { "with a name more", one_name_more, NULL },
        { "with the names in another order", the_other_order, NULL },
        { "the root itself", NULL, the_root },
        { "an intermediate", NULL, an_intermediate },
        { "rubbish", NULL, rubbish },
        { "nothing", NULL, nothing },
        { "cut off", NULL, cut_off },
        { "an octet more", NULL, octet_more },
        { "with a signature that is none: the first of a signer is proved", NULL, bad_signature },
};

START_TEST(what_the_signer_makes_wrong_is_never_given_out) {
        CAD_AUTO(caller_done) struct caller c;

        caller_init(&c);
        fake.change = wrongs[_i].change;
        fake.spoil = wrongs[_i].spoil;
        ck_assert_msg(ask(&c) < 0, "%s", wrongs[_i].why);
        ck_assert_msg(c.err.code == ERR_SIGNER_WRONG, "%s: %s: %s", wrongs[_i].why,
                      error_slug(c.err.code), c.err.text);
        ck_assert_uint_eq(atomic_load(&fake.signed_count), 1);
        ck_assert_int_eq(stored(), 0);
}
END_TEST

START_TEST(after_a_wrong_signature_each_is_proved_until_one_is_right) {
        for (int i = 0; i < 3; i++) {
                CAD_AUTO(caller_done) struct caller c;

                caller_init(&c);
                fake.spoil = i < 2 ? bad_signature : NULL;
                ck_assert_int_eq(ask(&c), i < 2 ? -1 : 0);
                ck_assert_int_eq(c.err.code, i < 2 ? ERR_SIGNER_WRONG : ERR_NONE);
        }
        ck_assert_int_eq(stored(), 1);
}
END_TEST

#define PROVED_EVERY_MS 60000 /* of all leaves one in this time, and each signer's first */

static int ask_for(void (*spoil)(struct buffer *der), struct error *ret) {
        CAD_AUTO(caller_done) struct caller c;
        int rc;

        caller_init(&c);
        fake.spoil = spoil;
        rc = ask(&c);
        *ret = c.err;
        return rc;
}

static const struct {
        const char *why;
        int64_t after_ms;
        bool proved;
} proofs[] = {
        { "not each: that is dearer than issuing", 0, false },
        { "not before the period is over", PROVED_EVERY_MS - 1, false },
        { "the first when it is over", PROVED_EVERY_MS, true },
        { "the first after long idleness", INT64_C(86400000), true },
};

START_TEST(after_one_that_was_proved_the_next_is_proved_when_a_period_is_over) {
        struct error err = { 0 };

        clock_stop();
        ck_ok(ask_for(NULL, &err), err);
        clock_move_us(proofs[_i].after_ms * 1000);
        ck_assert_msg(ask_for(bad_signature, &err) == (proofs[_i].proved ? -1 : 0), "%s",
                      proofs[_i].why);
        ck_assert_int_eq(err.code, proofs[_i].proved ? ERR_SIGNER_WRONG : ERR_NONE);
        ck_assert_int_eq(stored(), proofs[_i].proved ? 1 : 2);
}
END_TEST

START_TEST(one_is_proved_in_every_period_not_only_in_the_first) {
        struct error err = { 0 };

        clock_stop();
        for (int period = 0; period < 4; period++) {
                ck_ok(ask_for(NULL, &err), err); /* proved, and the period begins again */
                clock_move_us(PROVED_EVERY_MS * 1000);
                ck_assert_msg(ask_for(bad_signature, &err) < 0, "period %d", period);
                ck_assert_int_eq(err.code, ERR_SIGNER_WRONG);
        }
        ck_assert_int_eq(stored(), 4);
}
END_TEST

static const enum error_code refusals[] = { ERR_PROFILE_STALE, ERR_RATE_LIMITED, ERR_CLOCK,
                                            ERR_NAME_NOT_PERMITTED, ERR_CA_EXPIRED };

START_TEST(what_the_signer_refuses_is_told_as_it_said) {
        CAD_AUTO(caller_done) struct caller c;

        caller_init(&c);
        fake.refuse = refusals[_i];
        ck_assert_int_eq(ask(&c), -1);
        ck_assert_int_eq(c.err.code, refusals[_i]);
        ck_assert_str_eq(c.err.text, "the signer says no");
        ck_assert_str_eq(c.err.field, "csr.san[0]");
        ck_assert_int_eq(stored(), 0);
}
END_TEST

START_TEST(a_serial_that_is_there_already_is_given_to_nobody) {
        CAD_AUTO(caller_done) struct caller first;
        CAD_AUTO(caller_done) struct caller second;

        fake.same_serial = true;
        caller_init(&first);
        caller_init(&second);
        ck_ok(ask(&first), first.err);
        ck_assert_int_eq(ask(&second), -1);
        ck_assert_int_eq(stored(), 1);
}
END_TEST

START_TEST(a_signer_that_goes_or_was_never_there_is_a_503) {
        CAD_AUTO(caller_done) struct caller waiting;
        CAD_AUTO(caller_done) struct caller late;
        CAD_AUTO(caller_done) struct caller again;

        fake.silent = true;
        caller_init(&waiting);
        caller_init(&late);
        caller_init(&again);
        ck_ok(authority_issue(authority, &waiting.rq, on_issued, &waiting, &waiting.err),
              waiting.err);
        while (atomic_load(&fake.asked) == 0)
                (void) usleep(500);
        stop_signer();
        wait_for(&waiting);
        ck_assert_int_eq(waiting.err.code, ERR_SIGNER_UNAVAILABLE);
        authority_detach_signer(authority);
        ck_assert_int_eq(ask(&late), -1);
        ck_assert_int_eq(late.err.code, ERR_SIGNER_UNAVAILABLE);
        fake.silent = false;
        start_signer();
        ck_ok(ask(&again), again.err);
        ck_assert_int_eq(stored(), 1);
}
END_TEST

START_TEST(what_is_in_work_at_the_end_is_answered_as_stopping) {
        CAD_AUTO(caller_done) struct caller c;

        fake.silent = true;
        caller_init(&c);
        ck_ok(authority_issue(authority, &c.rq, on_issued, &c, &c.err), c.err);
        authority = authority_free(authority);
        ck_assert_uint_eq(atomic_load(&c.answers), 1);
        ck_assert_int_eq(c.err.code, ERR_STOPPING);
}
END_TEST

/* ---- what never reaches the signer ---- */

static char long_text[300];
static const char *many_names[SAN_COUNT_MAX + 1];

static void as_reader(struct caller *c) {
        c->principal.role = ROLE_READER;
}
static void as_anybody(struct caller *c) {
        c->principal.role = ROLE_PUBLIC;
}
static void unknown_profile(struct caller *c) {
        c->rq.profile = "nonsense";
}
static void own_profile(struct caller *c) {
        c->principal.role = ROLE_ADMIN;
        c->rq.profile = "ocsp";
}
static void admin_profile(struct caller *c) {
        c->rq.profile = "admin";
}
static void admin_from_afar(struct caller *c) {
        c->principal = (struct principal){ .kind = PRINCIPAL_CERTIFICATE,
                                           .role = ROLE_ADMIN,
                                           .text = "cert:anna" };
        c->rq.profile = "admin";
}
static void no_csr(struct caller *c) {
        c->rq.csr = BYTES_NONE;
}
static void rubbish_csr(struct caller *c) {
        c->rq.csr = BYTES_LITERAL("rubbish");
}
static void broken_csr(struct caller *c) {
        c->csr.data[c->csr.size - 3] ^= 1;
}
static void long_label(struct caller *c) {
        c->rq.label = long_text;
}
static void rubbish_label(struct caller *c) {
        c->rq.label = "K\xfc"
                      "che";
}
static void empty_key(struct caller *c) {
        c->rq.idempotency_key = "";
}
static void long_key(struct caller *c) {
        c->rq.idempotency_key = long_text;
}
static void too_long(struct caller *c) {
        c->rq.lifetime_s = 1000 * DAY;
}
static void the_past(struct caller *c) {
        c->rq.not_before = 1;
}

static void foreign_name(struct caller *c) {
        static const char *const names[] = { "nas.lan", "www.example.com" };

        c->rq.names = names;
        c->rq.name_count = 2;
}

static void no_name_at_all(struct caller *c) {
        static const char *const names[] = { "nas.lan", "not a name" };

        c->rq.names = names;
        c->rq.name_count = 2;
}

static void a_kind_too_many(struct caller *c) {
        static const char *const names[] = { "anna@home.lan" };

        c->rq.names = names;
        c->rq.name_count = 1;
}

static void too_many_names(struct caller *c) {
        c->rq.names = many_names;
        c->rq.name_count = SAN_COUNT_MAX + 1;
}

static void the_cas_key(struct caller *c) {
        c->csr.size = 0;
        make_csr(ca->issuers[1].key, "nas.lan", (const char *const[]){ "nas.lan", NULL }, &c->csr);
        c->rq.csr = buffer_bytes(&c->csr);
}

/* clang-format off */
static const struct {
        const char *why;
        void (*change)(struct caller *c);
        enum error_code code;
        const char *field;
} requests[] = {
        { "a reader",                        as_reader,       ERR_FORBIDDEN,              "" },
        { "anybody",                         as_anybody,      ERR_FORBIDDEN,              "" },
        { "an unknown profile",              unknown_profile, ERR_PROFILE_UNKNOWN,        "profile" },
        { "the CA's own profile",            own_profile,     ERR_FORBIDDEN,              "profile" },
        { "an operator makes no admins",     admin_profile,   ERR_FORBIDDEN,              "profile" },
        { "nor does an admin from afar",     admin_from_afar, ERR_FORBIDDEN,              "profile" },
        { "no CSR",                          no_csr,          ERR_CSR_MALFORMED,          "csr" },
        { "a CSR that is none",              rubbish_csr,     ERR_CSR_MALFORMED,          "csr" },
        { "a proof of possession that fails", broken_csr,     ERR_CSR_SIGNATURE,          "csr.signature" },
        { "a label over its length",         long_label,      ERR_BODY_MALFORMED,         "label" },
        { "a label that is no UTF-8",        rubbish_label,   ERR_BODY_MALFORMED,         "label" },
        { "an empty idempotency key",        empty_key,       ERR_REQUEST_MALFORMED,      "Idempotency-Key" },
        { "a long idempotency key",          long_key,        ERR_REQUEST_MALFORMED,      "Idempotency-Key" },
        { "a life over the profile's",       too_long,        ERR_VALIDITY_OUT_OF_RANGE,  "validity" },
        { "a beginning long ago",            the_past,        ERR_VALIDITY_OUT_OF_RANGE,  "not_before" },
        { "a name outside the constraints",  foreign_name,    ERR_NAME_NOT_PERMITTED,     "names[1]" },
        { "a name that is none",             no_name_at_all,  ERR_NAME_INVALID,           "names[1]" },
        { "a kind that the profile has not", a_kind_too_many, ERR_NAME_NOT_ALLOWED,       "names[0]" },
        { "too many names",                  too_many_names,  ERR_NAMES_TOO_MANY,         "names" },
        { "a key of the CA's own",           the_cas_key,     ERR_KEY_RESERVED,           "csr.key" },
};
/* clang-format on */

START_TEST(what_is_refused_never_reaches_the_signer) {
        CAD_AUTO(caller_done) struct caller c;
        CAD_AUTO(caller_done) struct caller fine;

        memset(long_text, 'x', sizeof(long_text) - 1);
        for (size_t i = 0; i < ARRAY_SIZE(many_names); i++)
                many_names[i] = "nas.lan";
        caller_init(&c);
        requests[_i].change(&c);
        ck_assert_msg(ask(&c) < 0, "%s", requests[_i].why);
        ck_assert_msg(c.err.code == requests[_i].code, "%s: %s: %s", requests[_i].why,
                      error_slug(c.err.code), c.err.text);
        ck_assert_msg(strcmp(c.err.field, requests[_i].field) == 0, "%s: field '%s': %s",
                      requests[_i].why, c.err.field, c.err.text);
        ck_assert_uint_eq(atomic_load(&c.answers), 0);
        caller_init(&fine);
        ck_ok(ask(&fine), fine.err);
        ck_assert_uint_eq(atomic_load(&fake.asked), 1);
        ck_assert_int_eq(stored(), 1);
}
END_TEST

START_TEST(a_key_that_was_compromised_is_never_certified_again) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(caller_done) struct caller first;
        CAD_AUTO(caller_done) struct caller again;
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        char serial[2 * STORE_SERIAL_MAX + 1];
        struct error err = { 0 };

        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        caller_init_for(&first, key);
        caller_init_for(&again, key);
        ck_ok(ask(&first), first.err);
        ck_ok(authority_revoke(authority,
                               &(struct revoke_request){
                                       .principal = &first.principal,
                                       .serial = hex_encode(BYTES(first.serial, first.serial_size),
                                                            serial),
                                       .reason = "key_compromise" },
                               &row, &err),
              err);
        ck_assert_int_eq(ask(&again), -1);
        ck_assert_int_eq(again.err.code, ERR_KEY_RESERVED);
        ck_assert_str_eq(again.err.field, "csr.key");
}
END_TEST

/* ---- idempotency ---- */

START_TEST(the_same_request_again_gives_the_same_certificate) {
        CAD_AUTO(caller_done) struct caller first;
        CAD_AUTO(caller_done) struct caller again;

        caller_init(&first);
        caller_init(&again); /* another CSR: what counts is the hash of the body */
        first.rq.idempotency_key = again.rq.idempotency_key = "key";
        ck_ok(ask(&first), first.err);
        ck_ok(ask(&again), again.err);
        ck_assert(!first.replayed && again.replayed);
        ck_assert(bytes_equal(buffer_bytes(&first.der), buffer_bytes(&again.der)));
        ck_assert_int_eq(stored(), 1);
        ck_assert_uint_eq(atomic_load(&fake.asked), 1);
}
END_TEST

static void other_body(struct caller *c) {
        c->rq.body_hash[0] = 1;
}
static void other_principal(struct caller *c) {
        (void) snprintf(c->principal.text, sizeof(c->principal.text), "uid:1002");
}
static void other_path(struct caller *c) {
        c->rq.path = "/v1/other";
}
static void other_method(struct caller *c) {
        c->rq.method = "PUT";
}
static void other_key(struct caller *c) {
        c->rq.idempotency_key = "KEY";
}

static const struct {
        const char *why;
        void (*change)(struct caller *c);
        enum error_code code;
} repeats[] = {
        { "another body is a mistake", other_body, ERR_IDEMPOTENCY_MISMATCH },
        { "a key belongs to who used it", other_principal, ERR_NONE },
        { "and to the path", other_path, ERR_NONE },
        { "and to the method", other_method, ERR_NONE },
        { "and is told apart by case", other_key, ERR_NONE },
};

START_TEST(an_idempotency_key_belongs_to_principal_method_path_and_body) {
        CAD_AUTO(caller_done) struct caller first;
        CAD_AUTO(caller_done) struct caller other;

        caller_init(&first);
        caller_init(&other);
        first.rq.idempotency_key = other.rq.idempotency_key = "key";
        repeats[_i].change(&other);
        ck_ok(ask(&first), first.err);
        ck_assert_msg(ask(&other) == (repeats[_i].code == ERR_NONE ? 0 : -1), "%s: %s",
                      repeats[_i].why, other.err.text);
        ck_assert_int_eq(other.err.code, repeats[_i].code);
        ck_assert(!other.replayed);
        ck_assert_int_eq(stored(), repeats[_i].code == ERR_NONE ? 2 : 1);
}
END_TEST

START_TEST(a_request_that_failed_may_be_made_again_under_its_key) {
        CAD_AUTO(caller_done) struct caller first;
        CAD_AUTO(caller_done) struct caller again;

        caller_init(&first);
        caller_init(&again);
        first.rq.idempotency_key = again.rq.idempotency_key = "key";
        fake.refuse = ERR_RATE_LIMITED;
        ck_assert_int_eq(ask(&first), -1);
        fake.refuse = ERR_NONE;
        ck_ok(ask(&again), again.err);
        ck_assert(!again.replayed);
}
END_TEST

/* ---- one commit for many ---- */

#define TOGETHER 16

static void begin(struct caller *c) {
        ck_ok(authority_issue(authority, &c->rq, on_issued, c, &c->err), c->err);
}

/* The first makes the log of the database: that is synced more than once. */
static void warm_up(void) {
        struct error err = { 0 };

        ck_ok(ask_for(NULL, &err), err);
        clock_stop();
        atomic_store(&sync_count, 0);
}

START_TEST(a_lone_caller_waits_for_nobody_and_each_of_its_certificates_is_a_commit) {
        struct error err = { 0 };

        warm_up();
        for (unsigned n = 1; n <= 5; n++) {
                ck_ok(ask_for(NULL, &err), err);
                ck_assert_uint_eq(atomic_load(&sync_count), n);
        }
}
END_TEST

/* The signer's answers come one by one, each later than the last was read. */
START_TEST(what_is_in_work_at_the_same_moment_is_one_commit) {
        struct caller callers[TOGETHER];

        warm_up();
        fake.each_us = 2000;
        atomic_store(&fake.held, true);
        for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
                caller_init(&callers[i]);
                begin(&callers[i]);
        }
        atomic_store(&fake.held, false);
        for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
                wait_for(&callers[i]);
                ck_assert_msg(callers[i].issued, "%s", callers[i].err.text);
                caller_done(&callers[i]);
        }
        ck_assert_int_eq(stored(), 1 + TOGETHER);
        ck_assert_uint_eq(atomic_load(&sync_count), 1);
}
END_TEST

START_TEST(a_certificate_waits_half_a_millisecond_for_others_and_no_longer) {
        CAD_AUTO(caller_done) struct caller lost;
        CAD_AUTO(caller_done) struct caller c;

        warm_up();
        caller_init(&lost);
        caller_init(&c);
        fake.silent = true;
        begin(&lost);
        while (atomic_load(&fake.asked) < 2)
                (void) usleep(500);
        fake.silent = false;
        begin(&c);
        (void) usleep(20000);
        clock_move_us(499);
        (void) usleep(20000);
        ck_assert_uint_eq(atomic_load(&c.answers), 0);
        clock_move_us(500); /* 1 is enough where its signature was seen before the clock moved */
        wait_for(&c);
        ck_assert(c.issued);
        stop_signer();
        wait_for(&lost);
        ck_assert_int_eq(lost.err.code, ERR_SIGNER_UNAVAILABLE);
}
END_TEST

/* ---- many at once ---- */

#define THREADS 4
#define EACH 40

static struct buffer common_csr;

static void *many_thread(void *argument) {
        struct caller *callers = argument;

        for (size_t i = 0; i < EACH; i++) {
                callers[i] = (struct caller){ .principal = { .role = ROLE_OPERATOR,
                                                             .on_unix_socket = true,
                                                             .text = "uid:1001" } };
                callers[i].rq = (struct issue_request){ .principal = &callers[i].principal,
                                                        .csr = buffer_bytes(&common_csr),
                                                        .method = "POST",
                                                        .path = "/" };
                if (i % 4 ==
                    3) /* one in four shares its key with the other threads: one certificate for all of them */
                        callers[i].rq.idempotency_key = i % 8 == 3 ? "a" : "b";
                while (authority_issue(authority, &callers[i].rq, on_issued, &callers[i],
                                       &callers[i].err) < 0) {
                        if (callers[i].err.code != ERR_OVERLOADED)
                                return (void *) "refused";
                        callers[i].err = (struct error){ 0 };
                        (void) usleep(1000);
                }
        }
        return NULL;
}

START_TEST(many_at_once_are_each_answered_once_and_stored_once) {
        static struct caller callers[THREADS][EACH];
        pthread_t threads[THREADS];
        struct caller one;
        int64_t issued = 0;

        caller_init(&one);
        common_csr = one.csr;
        for (size_t t = 0; t < THREADS; t++)
                ck_assert_int_eq(pthread_create(&threads[t], NULL, many_thread, callers[t]), 0);
        for (size_t t = 0; t < THREADS; t++) {
                void *said = NULL;

                ck_assert_int_eq(pthread_join(threads[t], &said), 0);
                ck_assert_msg(said == NULL, "%s", (const char *) said);
        }
        for (size_t t = 0; t < THREADS; t++) {
                for (size_t i = 0; i < EACH; i++) {
                        struct caller *c = &callers[t][i];

                        wait_for(c);
                        ck_assert_msg(c->issued || c->err.code == ERR_IDEMPOTENCY_IN_FLIGHT, "%s",
                                      c->err.text);
                        ck_assert(c->issued || c->rq.idempotency_key);
                        issued += c->issued && !c->replayed;
                }
        }
        ck_assert_int_eq(stored(), issued);
        ck_assert_int_eq(issued, THREADS * EACH * 3 / 4 + 2);
        for (size_t t = 0; t < THREADS; t++) {
                for (size_t i = 0; i < EACH; i++) {
                        ck_assert_uint_eq(atomic_load(&callers[t][i].answers), 1);
                        caller_done(&callers[t][i]);
                }
        }
        buffer_done(&common_csr);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("authority-issue");
        TCase *tc = tcase_create("issue");

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, what_is_answered_is_in_the_store_and_is_what_was_asked);
        tcase_add_test(tc, the_names_of_the_request_stand_in_for_those_of_the_csr);
        tcase_add_test(tc, what_the_ca_issues_to_itself_is_counted_apart);
        tcase_add_test(tc, without_a_dns_name_there_is_no_common_name);
        tcase_add_test(tc, one_key_for_other_names_is_told_and_for_the_same_is_not);
        tcase_add_loop_test(tc, what_the_signer_makes_wrong_is_never_given_out, 0,
                            ARRAY_SIZE(wrongs));
        tcase_add_test(tc, after_a_wrong_signature_each_is_proved_until_one_is_right);
        tcase_add_loop_test(tc, after_one_that_was_proved_the_next_is_proved_when_a_period_is_over,
                            0, ARRAY_SIZE(proofs));
        tcase_add_test(tc, one_is_proved_in_every_period_not_only_in_the_first);
        tcase_add_loop_test(tc, what_the_signer_refuses_is_told_as_it_said, 0,
                            ARRAY_SIZE(refusals));
        tcase_add_test(tc, a_serial_that_is_there_already_is_given_to_nobody);
        tcase_add_test(tc, a_signer_that_goes_or_was_never_there_is_a_503);
        tcase_add_test(tc, what_is_in_work_at_the_end_is_answered_as_stopping);
        tcase_add_loop_test(tc, what_is_refused_never_reaches_the_signer, 0, ARRAY_SIZE(requests));
        tcase_add_test(tc, a_key_that_was_compromised_is_never_certified_again);
        tcase_add_test(tc, the_same_request_again_gives_the_same_certificate);
        tcase_add_loop_test(tc, an_idempotency_key_belongs_to_principal_method_path_and_body, 0,
                            ARRAY_SIZE(repeats));
        tcase_add_test(tc, a_request_that_failed_may_be_made_again_under_its_key);
        tcase_add_test(tc, a_lone_caller_waits_for_nobody_and_each_of_its_certificates_is_a_commit);
        tcase_add_test(tc, what_is_in_work_at_the_same_moment_is_one_commit);
        tcase_add_test(tc, a_certificate_waits_half_a_millisecond_for_others_and_no_longer);
        tcase_add_test(tc, many_at_once_are_each_answered_once_and_stored_once);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
