/*
 * Renewal: who may, which certificates, what stays and what is of today, and when it is advised. The signer is played; the
 * clock is moved by the tests.
 */
#include "authority-fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "daemon/authority/internal.h"
#include "daemon/authority/renew.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/pki/dn.h"

#define SOON_MS 5000
#define HOUR INT64_C(3600)

/* ---- the clock: the program's own comes before libc's ---- */

static _Atomic int64_t later_s; /* how far the real-time clock is ahead */

int clock_gettime(clockid_t id, struct timespec *ts) {
        int rc = (int) syscall(SYS_clock_gettime, id, ts);

        if (id == CLOCK_REALTIME)
                ts->tv_sec += (time_t) atomic_load(&later_s);
        return rc;
}

/* ---- the signer ---- */

static struct {
        pthread_t thread;
        int fd;
        atomic_uint asked;
        atomic_bool held;
} fake;
static struct authority *authority;
static uint64_t next_serial;

static void fake_issue(struct frame_reader *fields, uint32_t id) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct sign_issue wish;
        struct error err = { 0 };

        atomic_fetch_add(&fake.asked, 1);
        while (atomic_load(&fake.held))
                (void) usleep(500);
        ck_ok(sign_issue_decode(fields, &wish, &err), err);
        if (issued_sign(&wish, ++next_serial, &der, &err) < 0)
                fake_error(fake.fd, id, err.code, err.field, err.text);
        else
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

static void no_log(enum log_level level, const char *text, const struct log_field *fields,
                   size_t count) {
        (void) level, (void) text, (void) fields, (void) count;
}

static void set_up(void) {
        struct error err = { 0 };

        log_set_sink(no_log);
        memset(&fake, 0, sizeof(fake));
        atomic_store(&later_s, 0);
        issued_setup();
        authority = authority_attached(&fake.fd);
        ck_assert_int_eq(pthread_create(&fake.thread, NULL, fake_thread, NULL), 0);
        ck_ok(authority_open_store(authority, scratch.fd, 0, &err), err);
}

static void tear_down(void) {
        (void) shutdown(fake.fd, SHUT_RDWR);
        ck_assert_int_eq(pthread_join(fake.thread, NULL), 0);
        fake.fd = fd_close(fake.fd);
        authority = authority_free(authority);
        issued_teardown();
}

/* ---- a certificate that is there ---- */

static const char *const two_names[] = { "nas.lan", "10.0.0.1", NULL };

/* Whatever is wanted, without asking anybody; zero is a server certificate of now for two_names. */
struct make {
        const char *profile, *issuer, *label, *common_name;
        const char *const *names;
        int64_t lifetime_s;
        int64_t not_after; /* 0: of the lifetime */
        int64_t granted_s;
        bool internal;
        const struct private_key *key; /* NULL: a new one */
};

struct made {
        struct private_key *key;
        struct buffer der, spki;
        uint8_t serial[19];
        char hex[2 * STORE_SERIAL_MAX + 1];
        struct cert cert;
        uint8_t spki_hash[SHA256_SIZE];
};

static void made_done(struct made *m) {
        m->key = private_key_free(m->key);
        buffer_done(&m->der);
        buffer_done(&m->spki);
}
CAD_CLEANUP_DONE(struct made, made_done)

static void put_row(const struct make *how, const struct made *m, const char *profile,
                    const char *const *names) {
        struct store_issue put;
        struct error err = { 0 };
        size_t count = 0;

        while (names[count])
                count++;
        store_issue_init(&put, NULL);
        put.row = (struct cert_row){ .serial = BYTES(m->serial, sizeof(m->serial)),
                                     .issuer = how->issuer ? how->issuer : "int-1",
                                     .profile = profile,
                                     .subject = "",
                                     .names = names,
                                     .name_count = count,
                                     .not_before = m->cert.validity.not_before,
                                     .not_after = m->cert.validity.not_after,
                                     .issued_at = moment_now(),
                                     .requester = "uid:1001",
                                     .label = how->label,
                                     .internal = how->internal,
                                     .granted_s = how->granted_s,
                                     .der = buffer_bytes(&m->der) };
        memcpy(put.row.spki, m->spki_hash, SHA256_SIZE);
        cert_fingerprint(put.row.der, put.row.fingerprint);
        ck_ok(store_write(authority_store(authority), &put.op, &err), err);
}

static void make(const struct make *how, struct made *m) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        const char *const *names = how->names ? how->names : two_names;
        const char *profile = how->profile ? how->profile : "server";
        int64_t lifetime_s = how->lifetime_s ? how->lifetime_s : 90 * DAY,
                begin = moment_now() - 60;
        const struct profile *known = profiles_find(profiles, profile, NULL);
        struct cert_wish wish = { .profile = known ? known
                                                   : profiles_find(profiles, "server", NULL),
                                  .names = &list,
                                  .common_name = how->common_name,
                                  .validity = { begin, begin + lifetime_s - 1 } };
        uint8_t octets[CERT_MAX];
        struct der_writer w;
        struct error err = { 0 };

        *m = (struct made){ .serial = { 0x20 } };
        for (const char *const *name = names; *name; name++)
                ck_ok(san_list_add_text(&list, *name, &err), err);
        if (!how->key)
                ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &m->key, &err), err);
        ck_ok(private_key_spki(how->key ? how->key : m->key, &m->spki, &err), err);
        for (int i = 0; i < 8; i++)
                m->serial[11 + i] = (uint8_t) (next_serial >> (56 - 8 * i));
        next_serial++;
        if (how->not_after)
                wish.validity.not_after = how->not_after;
        wish.serial = BYTES(m->serial, sizeof(m->serial));
        wish.spki = buffer_bytes(&m->spki);
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &ca->issuers[0].signs_as, &wish);
        ck_ok(cert_sign(ca->issuers[0].key, der_writer_bytes(&w), &m->der, &err), err);
        ck_ok(cert_read(buffer_bytes(&m->der), &m->cert, &err), err);
        sha256(buffer_bytes(&m->spki), m->spki_hash);
        (void) hex_encode(wish.serial, m->hex);
        put_row(how, m, profile, names);
}

static void withdraw(const struct made *m, enum revocation_reason reason) {
        struct store_revoke op;
        struct error err = { 0 };

        store_revoke_init(&op, BYTES(m->serial, sizeof(m->serial)), reason, moment_now(), NULL);
        ck_ok(store_write(authority_store(authority), &op.op, &err), err);
}

/* ---- callers ---- */

static const struct principal operator_of_socket = { .kind = PRINCIPAL_PEER,
                                                     .role = ROLE_OPERATOR,
                                                     .on_unix_socket = true,
                                                     .text = "uid:1001" },
                              admin_of_socket = { .kind = PRINCIPAL_PEER,
                                                  .role = ROLE_ADMIN,
                                                  .on_unix_socket = true,
                                                  .text = "uid:0" };

static struct principal owner_of(const struct made *m) {
        struct principal p = { .kind = PRINCIPAL_CERTIFICATE };
        int64_t age_s = moment_now() - m->cert.validity.not_after;

        memcpy(p.serial, m->serial, sizeof(m->serial));
        p.serial_size = sizeof(m->serial);
        memcpy(p.spki, m->spki_hash, sizeof(p.spki));
        p.expired_s = age_s > 0 ? age_s : 0;
        (void) snprintf(p.text, sizeof(p.text), "cert:%s", m->hex);
        return p;
}

struct answer {
        atomic_uint count;
        struct error err;
        bool issued, replayed, key_used_before;
        struct buffer der;
        struct cert cert;
        int64_t granted_s;
        char profile[32], label[64], requester[PRINCIPAL_TEXT_MAX], subject[128];
};

static void answer_done(struct answer *x) {
        buffer_done(&x->der);
}
CAD_CLEANUP_DONE(struct answer, answer_done)

static void on_issued(void *context, const struct issued *issued, const struct error *err) {
        struct answer *x = context;

        if (err)
                x->err = *err;
        if (issued) {
                x->issued = true;
                x->replayed = issued->replayed;
                x->key_used_before = issued->key_used_before;
                x->granted_s = issued->row->granted_s;
                buffer_append(&x->der, issued->row->der);
                (void) snprintf(x->profile, sizeof(x->profile), "%s", issued->row->profile);
                (void) snprintf(x->label, sizeof(x->label), "%s",
                                issued->row->label ? issued->row->label : "");
                (void) snprintf(x->requester, sizeof(x->requester), "%s", issued->row->requester);
                (void) snprintf(x->subject, sizeof(x->subject), "%s", issued->row->subject);
        }
        atomic_fetch_add(&x->count, 1);
}

static void wait_for(struct answer *x) {
        for (int i = 0; atomic_load(&x->count) == 0; i++) {
                ck_assert_msg(i < 2 * SOON_MS, "no answer");
                (void) usleep(500);
        }
}

static int renew_with(const struct renew_request *rq, struct answer *x) {
        struct error err = { 0 };

        *x = (struct answer){ 0 };
        if (authority_renew(authority, rq, on_issued, x, &x->err) < 0) {
                ck_assert_uint_eq(atomic_load(&x->count), 0);
                return -1;
        }
        wait_for(x);
        ck_assert_uint_eq(atomic_load(&x->count), 1);
        if (!x->issued)
                return -1;
        ck_ok(cert_read(buffer_bytes(&x->der), &x->cert, &err), err);
        return 0;
}

static int renew(const struct made *m, const struct principal *principal, struct bytes csr,
                 struct answer *x) {
        struct renew_request rq = { .principal = principal,
                                    .serial = m->hex,
                                    .csr = csr,
                                    .method = "POST",
                                    .path = "/v1/certificates/x/renew" };

        return renew_with(&rq, x);
}

static void make_csr(const struct private_key *key, const char *common_name,
                     const char *const *names, struct buffer *ret) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };

        for (; names && *names; names++)
                ck_ok(san_list_add_text(&list, *names, &err), err);
        ck_ok(csr_create(key, common_name, &list, ret, &err), err);
}

static int64_t stored(void) {
        struct store_counters counters;
        struct error err = { 0 };

        ck_ok(store_counters(authority_store(authority), &counters, &err), err);
        return counters.issued;
}

/* ---- what stays ---- */

START_TEST(names_profile_label_key_and_length_of_life_stay) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        CAD_AUTO(san_list_done) struct san_list before = { .count = 0 };
        CAD_AUTO(san_list_done) struct san_list after = { .count = 0 };
        struct principal owner;
        struct error err = { 0 };

        make(&(struct make){ .profile = "device",
                             .label = "kitchen",
                             .common_name = "nas.lan",
                             .lifetime_s = 40 * DAY },
             &old);
        owner = owner_of(&old);
        ck_ok(renew(&old, &owner, BYTES_NONE, &x), x.err);
        ck_assert(bytes_equal(x.cert.spki, old.cert.spki));
        ck_assert(bytes_equal(x.cert.subject, old.cert.subject));
        ck_ok(san_list_from_der(&before, old.cert.san, "names", &err), err);
        ck_ok(san_list_from_der(&after, x.cert.san, "names", &err), err);
        ck_assert(san_list_equal(&before, &after));
        ck_assert_str_eq(x.profile, "device");
        ck_assert_str_eq(x.label, "kitchen");
        ck_assert_str_eq(x.requester, owner.text);
        ck_assert(!bytes_equal(x.cert.serial, old.cert.serial));
        ck_assert_int_eq(x.cert.validity.not_after - x.cert.validity.not_before, 40 * DAY - 1);
        ck_assert_int_gt(x.cert.validity.not_after, moment_now() + 39 * DAY);
        ck_assert_msg(!x.key_used_before, "the same key for the same names is no surprise");
}
END_TEST

START_TEST(a_common_name_that_is_not_the_first_name_stays) {
        static const char *const names[] = { "www.nas.lan", "nas.lan", NULL };
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;

        make(&(struct make){ .names = names, .common_name = "nas.lan" }, &old);
        ck_ok(renew(&old, &operator_of_socket, BYTES_NONE, &x), x.err);
        ck_assert_str_eq(x.subject, "CN=nas.lan");
}
END_TEST

START_TEST(the_old_one_stays_valid_and_the_new_one_can_be_renewed_in_turn) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        CAD_AUTO(answer_done) struct answer y;
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        char hex[2 * STORE_SERIAL_MAX + 1];
        struct renew_request rq = { .principal = &operator_of_socket, .serial = hex };
        struct error err = { 0 };

        make(&(struct make){ 0 }, &old);
        ck_ok(renew(&old, &operator_of_socket, BYTES_NONE, &x), x.err);
        ck_ok(authority_find(authority, old.hex, &row, &err), err);
        ck_assert_int_eq(cert_row_status(row, moment_now()), CERT_STATUS_VALID);
        (void) hex_encode(x.cert.serial, hex);
        ck_ok(renew_with(&rq, &y), y.err);
        ck_assert_int_eq(stored(), 3);
}
END_TEST

static const struct {
        const char *why;
        int64_t had_s, gets_s;
} lives[] = {
        { "as long as it was", 30 * DAY, 30 * DAY },
        { "also where that is short", 120, 120 },
        { "an hour", HOUR, HOUR },
        { "hours", 3 * HOUR, 3 * HOUR },
        { "as long as the profile gives today, at most", 500 * DAY, 397 * DAY },
};

START_TEST(a_life_is_never_longer_than_it_was_nor_than_the_profile_gives) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;

        make(&(struct make){ .lifetime_s = lives[_i].had_s }, &old);
        ck_ok(renew(&old, &operator_of_socket, BYTES_NONE, &x), x.err);
        ck_assert_msg(x.cert.validity.not_after - x.cert.validity.not_before + 1 ==
                              lives[_i].gets_s,
                      "%s", lives[_i].why);
}
END_TEST

static const struct {
        const char *why;
        int64_t granted_s, gets_s;
} cuts[] = {
        { "nobody limited it: as long as the profile gives by itself", 0, 90 * DAY },
        { "a limit of before holds under the next issuer", 40 * DAY, 40 * DAY },
        { "within what the profile gives today", 500 * DAY, 397 * DAY },
        { "a short one, too", 120, 120 },
};

START_TEST(one_that_was_cut_by_its_issuers_end_gets_what_was_granted_or_the_profiles_default) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        int64_t end = ca->issuers[0].cert.validity.not_after;

        atomic_store(&later_s, end - moment_now() - 398 * DAY);
        make(&(struct make){ .not_after = end, .granted_s = cuts[_i].granted_s }, &old);
        ck_ok(renew(&old, &operator_of_socket, BYTES_NONE, &x), x.err);
        ck_assert_msg(x.cert.validity.not_after - x.cert.validity.not_before + 1 == cuts[_i].gets_s,
                      "%s", cuts[_i].why);
}
END_TEST

static const struct {
        const char *why;
        int64_t left_s, asked_s;
        bool to_the_end; /* from now to the issuer's end is what was asked for */
        bool is_kept, is_kept_again;
} near_ends[] = {
        { "cut: the wish is kept", 20 * DAY, 30 * DAY, false, true, true },
        { "not cut: the certificate says it", 40 * DAY, 30 * DAY, false, false, false },
        { "cut, and nobody wished for anything", 20 * DAY, 0, false, false, false },
        { "whoever ends with the issuer to the second had a wish, too; the next one begins earlier",
          20 * DAY, 0, true, true, false },
};

/* What is issued keeps it, and what is renewed hands it on: the next issuer may be two renewals away. */
START_TEST(what_was_granted_is_kept_where_the_issuers_end_cuts_it) {
        CAD_AUTO(answer_done) struct answer x = { 0 };
        CAD_AUTO(answer_done) struct answer y;
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer csr = { 0 };
        char hex[2 * STORE_SERIAL_MAX + 1];
        struct renew_request again = { .principal = &operator_of_socket, .serial = hex };
        struct issue_request rq = { .principal = &operator_of_socket,
                                    .lifetime_s = near_ends[_i].asked_s };
        int64_t end = ca->issuers[0].cert.validity.not_after;
        struct error err = { 0 };

        atomic_store(&later_s, end - moment_now() - near_ends[_i].left_s);
        if (near_ends[_i].to_the_end) {
                rq.not_before = moment_now();
                rq.lifetime_s = end - rq.not_before + 1;
        }
        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        make_csr(key, NULL, two_names, &csr);
        rq.csr = buffer_bytes(&csr);
        ck_ok(authority_issue(authority, &rq, on_issued, &x, &err), err);
        wait_for(&x);
        ck_assert_msg(x.issued && x.granted_s == (near_ends[_i].is_kept ? rq.lifetime_s : 0), "%s",
                      near_ends[_i].why);
        ck_ok(cert_read(buffer_bytes(&x.der), &x.cert, &err), err);
        (void) hex_encode(x.cert.serial, hex);
        ck_ok(renew_with(&again, &y), y.err);
        ck_assert_msg(y.granted_s == (near_ends[_i].is_kept_again ? rq.lifetime_s : 0),
                      "%s, renewed", near_ends[_i].why);
}
END_TEST

/* ---- who ---- */

static void is_owner(struct principal *p, const struct made *m) {
        *p = owner_of(m);
}
static void is_operator(struct principal *p, const struct made *m) {
        (void) m;
        *p = operator_of_socket;
}
static void is_reader(struct principal *p, const struct made *m) {
        is_operator(p, m);
        p->role = ROLE_READER;
}
static void is_nobody(struct principal *p, const struct made *m) {
        (void) m;
        *p = (struct principal){ 0 };
}
static void has_another_of_that_key(struct principal *p, const struct made *m) {
        is_owner(p, m);
        p->serial[18] ^= 1;
}
static void has_that_serial_of_another_key(struct principal *p, const struct made *m) {
        is_owner(p, m);
        p->spki[0] ^= 1;
}
static void has_a_shorter_serial(struct principal *p, const struct made *m) {
        is_owner(p, m);
        p->serial_size--;
}
static void has_a_token(struct principal *p, const struct made *m) {
        (void) m;
        *p = (struct principal){ .kind = PRINCIPAL_TOKEN, .text = "token:1" };
}
static void is_operator_by_certificate(struct principal *p, const struct made *m) {
        has_another_of_that_key(p, m);
        p->role = ROLE_OPERATOR;
}
static void is_operator_by_an_expired_certificate(struct principal *p, const struct made *m) {
        is_operator_by_certificate(p, m);
        p->expired_s = 1;
}
static void is_pending(struct principal *p, const struct made *m) {
        is_owner(p, m);
        p->pending = true;
}

/* clang-format off */
static const struct {
        const char *why;
        void (*who)(struct principal *p, const struct made *m);
        enum error_code code, or_code;
} callers[] = {
        { "its owner",                                   is_owner,                       ERR_NONE, ERR_NONE },
        { "an operator",                                 is_operator,                    ERR_NONE, ERR_NONE },
        { "an operator from afar",                       is_operator_by_certificate,     ERR_NONE, ERR_NONE },
        { "a reader",                                    is_reader,                      ERR_FORBIDDEN, ERR_FORBIDDEN },
        { "nobody",                                      is_nobody,                      ERR_UNAUTHENTICATED, ERR_FORBIDDEN },
        { "another certificate of the same key",         has_another_of_that_key,        ERR_FORBIDDEN, ERR_FORBIDDEN },
        { "the serial with another key",                 has_that_serial_of_another_key, ERR_FORBIDDEN, ERR_FORBIDDEN },
        { "the beginning of the serial",                 has_a_shorter_serial,           ERR_FORBIDDEN, ERR_FORBIDDEN },
        { "a token",                                     has_a_token,                    ERR_FORBIDDEN, ERR_UNAUTHENTICATED },
        { "an operator whose certificate has expired",   is_operator_by_an_expired_certificate, ERR_FORBIDDEN, ERR_UNAUTHENTICATED },
        { "one that was not looked up",                  is_pending,                     ERR_INTERNAL, ERR_FORBIDDEN },
};
/* clang-format on */

START_TEST(only_who_has_its_key_and_operators_renew_a_certificate) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        struct principal p;

        make(&(struct make){ .profile = "device" }, &old);
        callers[_i].who(&p, &old);
        ck_assert_msg(renew(&old, &p, BYTES_NONE, &x) == (callers[_i].code ? -1 : 0), "%s: %s",
                      callers[_i].why, x.err.text);
        ck_assert_msg(x.err.code == callers[_i].code || x.err.code == callers[_i].or_code,
                      "%s: %s: %s", callers[_i].why, error_slug(x.err.code), x.err.text);
        ck_assert_uint_eq(atomic_load(&fake.asked), callers[_i].code ? 0 : 1);
}
END_TEST

static const struct {
        const char *why;
        const struct principal *who; /* NULL: its owner, whatever the role */
        bool may;
} admins[] = {
        { "an admin on the socket", &admin_of_socket, true },
        { "no operator", &operator_of_socket, false },
        { "nor its owner, who is one, from afar", NULL, false },
};

START_TEST(an_admins_certificate_is_renewed_on_the_unix_socket_alone) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        struct principal owner;

        make(&(struct make){ .profile = "admin" }, &old);
        owner = owner_of(&old);
        owner.role = ROLE_ADMIN;
        ck_assert_msg(renew(&old, admins[_i].who ? admins[_i].who : &owner, BYTES_NONE, &x) ==
                              (admins[_i].may ? 0 : -1),
                      "%s: %s", admins[_i].why, x.err.text);
        ck_assert_int_eq(x.err.code, admins[_i].may ? ERR_NONE : ERR_FORBIDDEN);
}
END_TEST

/* ---- which ---- */

static struct made other; /* another certificate that plays a part; gone with the test's process */

static void nothing(const struct made *m) {
        (void) m;
}
static void hold(const struct made *m) {
        withdraw(m, REASON_CERTIFICATE_HOLD);
}
static void hold_and_lift(const struct made *m) {
        hold(m);
        withdraw(m, REASON_REMOVE_FROM_CRL);
}
static void supersede(const struct made *m) {
        withdraw(m, REASON_SUPERSEDED);
}
static void compromise(const struct made *m) {
        withdraw(m, REASON_KEY_COMPROMISE);
}
static void compromise_another_of_that_key(const struct made *m) {
        make(&(struct make){ .key = m->key }, &other);
        withdraw(&other, REASON_KEY_COMPROMISE);
}
static void compromise_another_key(const struct made *m) {
        (void) m;
        make(&(struct make){ 0 }, &other);
        withdraw(&other, REASON_KEY_COMPROMISE);
}
static void compromise_the_issuer(const struct made *m) {
        (void) m;
        make(&(struct make){ .key = ca->issuers[0].key }, &other);
        withdraw(&other, REASON_KEY_COMPROMISE);
}
static void compromise_the_standby(const struct made *m) {
        (void) m;
        make(&(struct make){ .key = ca->issuers[1].key }, &other);
        withdraw(&other, REASON_KEY_COMPROMISE);
}

static const char *const foreign_names[] = { "www.example.com", NULL },
                         *const mail_names[] = { "anna@home.lan", NULL };

/* clang-format off */
static const struct {
        const char *why;
        struct make how;
        void (*then)(const struct made *m);
        enum error_code code;
} states[] = {
        { "a good one",                          { 0 }, nothing,                        ERR_NONE },
        { "on hold",                             { 0 }, hold,                           ERR_STATE_CONFLICT },
        { "no longer on hold",                   { 0 }, hold_and_lift,                  ERR_NONE },
        { "revoked",                             { 0 }, supersede,                      ERR_ALREADY_REVOKED },
        { "its key compromised",                 { 0 }, compromise,                     ERR_ALREADY_REVOKED },
        { "its key compromised with another",    { 0 }, compromise_another_of_that_key, ERR_KEY_RESERVED },
        { "a key that is none of ours",          { 0 }, compromise_another_key,         ERR_NONE },
        { "of an issuer whose key is lost",      { 0 }, compromise_the_issuer,          ERR_STATE_CONFLICT },
        { "another issuer's key is lost",        { 0 }, compromise_the_standby,         ERR_NONE },
        { "of an issuer that is not here",       { .issuer = "int-9" }, nothing,        ERR_STATE_CONFLICT },
        { "of an issuer that signs no more",     { .issuer = "int-2" }, nothing,        ERR_NONE },
        { "the CA's own",                        { .internal = true }, nothing,         ERR_STATE_CONFLICT },
        { "of a profile that is gone",           { .profile = "gone" }, nothing,        ERR_PROFILE_UNKNOWN },
        { "of a profile of the CA",              { .profile = "ocsp" }, nothing,        ERR_FORBIDDEN },
        { "a name outside today's constraints",  { .names = foreign_names }, nothing,   ERR_NAME_NOT_PERMITTED },
        { "a kind of name the profile has no more", { .names = mail_names }, nothing,   ERR_NAME_NOT_ALLOWED },
};
/* clang-format on */

START_TEST(what_is_renewed_is_judged_by_what_is_known_today) {
        CAD_AUTO(made_done) struct made old;
        struct principal owner;

        make(&states[_i].how, &old);
        owner = owner_of(&old);
        states[_i].then(&old);
        for (int by_owner = 0; by_owner < 2; by_owner++) {
                CAD_AUTO(answer_done) struct answer x;
                int64_t before = stored();

                ck_assert_msg(renew(&old, by_owner ? &owner : &operator_of_socket, BYTES_NONE,
                                    &x) == (states[_i].code ? -1 : 0),
                              "%s: %s", states[_i].why, x.err.text);
                ck_assert_msg(x.err.code == states[_i].code, "%s: %s: %s", states[_i].why,
                              error_slug(x.err.code), x.err.text);
                ck_assert_int_eq(stored(), before + (states[_i].code ? 0 : 1));
        }
        ck_assert_uint_eq(atomic_load(&fake.asked), states[_i].code ? 0 : 2);
        made_done(&other);
        other = (struct made){ 0 };
}
END_TEST

START_TEST(a_serial_that_is_not_here_is_not_found) {
        static const char *const serials[] = { "00", "zz", "", "20",
                                               "1234567890123456789012345678901234567890ff" };

        for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
                CAD_AUTO(answer_done) struct answer x;
                struct renew_request rq = { .principal = &operator_of_socket,
                                            .serial = serials[i] };

                ck_assert_int_eq(renew_with(&rq, &x), -1);
                ck_assert_int_eq(x.err.code, ERR_NOT_FOUND);
        }
}
END_TEST

static const struct {
        const char *why;
        enum revocation_reason reason;
        enum error_code code;
} meanwhile[] = {
        { "revoked", REASON_KEY_COMPROMISE, ERR_ALREADY_REVOKED },
        { "held", REASON_CERTIFICATE_HOLD, ERR_STATE_CONFLICT },
};

START_TEST(one_that_is_revoked_while_it_is_renewed_is_not) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x = { 0 };
        struct principal owner;
        struct renew_request rq = { .principal = &owner, .serial = old.hex };

        make(&(struct make){ 0 }, &old);
        owner = owner_of(&old);
        atomic_store(&fake.held, true);
        ck_ok(authority_renew(authority, &rq, on_issued, &x, &x.err), x.err);
        while (atomic_load(&fake.asked) == 0)
                (void) usleep(500);
        withdraw(&old, meanwhile[_i].reason);
        atomic_store(&fake.held, false);
        wait_for(&x);
        ck_assert_msg(!x.issued, "%s", meanwhile[_i].why);
        ck_assert_int_eq(x.err.code, meanwhile[_i].code);
        ck_assert_int_eq(stored(), 1);
}
END_TEST

/* ---- expired ---- */

static const struct {
        const char *why, *profile;
        int64_t after_end_s;
        bool owner_may;
} ages[] = {
        { "in its last second", "server", 0, true },
        { "a second later, without a grace", "server", 1, false },
        { "in its last second, with a grace", "device", 0, true },
        { "within the grace", "device", 1, true },
        { "in the last second of the grace", "device", 30 * DAY, true },
        { "a second after the grace", "device", 30 * DAY + 1, false },
        { "long after", "device", 300 * DAY, false },
};

START_TEST(an_owner_renews_after_the_end_within_the_grace_to_the_second) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        const struct profile *profile = profiles_find(profiles, ages[_i].profile, NULL);
        struct principal owner;
        struct renewal renewal;
        struct error err = { 0 };
        int64_t now;
        int rc;

        make(&(struct make){ .profile = ages[_i].profile }, &old);
        ck_ok(authority_find(authority, old.hex, &row, &err), err);
        renewal = (struct renewal){ .row = row, .cert = old.cert };
        now = row->not_after + ages[_i].after_end_s;
        owner = owner_of(&old);
        owner.expired_s = ages[_i].after_end_s;
        rc = renewal_judge(authority, &renewal, &owner, profile, now, &err);
        ck_assert_msg(rc == (ages[_i].owner_may ? 0 : -1), "%s: %s", ages[_i].why, err.text);
        ck_assert_int_eq(err.code, ages[_i].owner_may ? ERR_NONE : ERR_STATE_CONFLICT);
        ck_assert_msg(ages[_i].owner_may || strstr(err.text, "hand in a request"), "%s", err.text);
        ck_assert_msg(renewal_judge(authority, &renewal, &operator_of_socket, profile, now, &err) ==
                              0,
                      "an operator could issue it anew as well");
}
END_TEST

START_TEST(a_device_that_slept_comes_back_within_its_grace) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        CAD_AUTO(answer_done) struct answer late;
        struct principal owner;

        make(&(struct make){ .profile = "device", .lifetime_s = 365 * DAY }, &old);
        atomic_store(&later_s, (365 + 29) * DAY);
        owner = owner_of(&old);
        ck_assert_int_gt(owner.expired_s, 28 * DAY);
        ck_ok(renew(&old, &owner, BYTES_NONE, &x), x.err);
        ck_assert_int_gt(x.cert.validity.not_after, moment_now() + 364 * DAY);
        atomic_store(&later_s, (365 + 31) * DAY);
        owner = owner_of(&old);
        ck_assert_int_eq(renew(&old, &owner, BYTES_NONE, &late), -1);
        ck_assert_int_eq(late.err.code, ERR_STATE_CONFLICT);
}
END_TEST

/* ---- a new key ---- */

static const char *const other_order[] = { "10.0.0.1", "nas.lan", NULL },
                         *const one_less[] = { "nas.lan", NULL },
                         *const one_more[] = { "nas.lan", "10.0.0.1", "router.lan", NULL },
                         *const another[] = { "nas.lan", "10.0.0.2", NULL },
                         *const wildcard[] = { "*.nas.lan", "nas.lan", "10.0.0.1", NULL },
                         *const upper_case[] = { "NAS.lan", "10.0.0.1", NULL };

/* clang-format off */
static const struct {
        const char *why, *common_name;
        const char *const *names; /* NULL: no subjectAltName */
        enum error_code code;
        const char *field;
} rekeys[] = {
        { "no names at all",              NULL,         NULL,        ERR_NONE, "" },
        { "the same names",               NULL,         two_names,   ERR_NONE, "" },
        { "in another order",             NULL,         other_order, ERR_NONE, "" },
        { "in capital letters",           NULL,         upper_case,  ERR_NONE, "" },
        { "the CN alone",                 "nas.lan",    NULL,        ERR_NONE, "" },
        { "the CN in capital letters",    "NAS.LAN",    NULL,        ERR_NONE, "" },
        { "one of the names as CN alone", "10.0.0.1",   NULL,        ERR_NONE, "" },
        { "CN and names",                 "nas.lan",    two_names,   ERR_NONE, "" },
        { "a name less",                  NULL,         one_less,    ERR_NAME_NOT_ALLOWED, "csr.san" },
        { "a name more",                  NULL,         one_more,    ERR_NAME_NOT_ALLOWED, "csr.san[2]" },
        { "another address",              NULL,         another,     ERR_NAME_NOT_ALLOWED, "csr.san[1]" },
        { "a wildcard over it",           NULL,         wildcard,    ERR_NAME_NOT_ALLOWED, "csr.san[0]" },
        { "another CN",                   "router.lan", NULL,        ERR_NAME_NOT_ALLOWED, "csr.subject.CN" },
        { "another CN beside the names",  "router.lan", two_names,   ERR_NAME_NOT_ALLOWED, "csr.subject.CN" },
        { "a CN that is no name",         "John Smith", two_names,   ERR_NAME_NOT_ALLOWED, "csr.subject.CN" },
        { "a CN that is no name, alone",  "John Smith", NULL,        ERR_NAME_NOT_ALLOWED, "csr.subject.CN" },
};
/* clang-format on */

START_TEST(a_new_key_comes_with_the_names_of_the_certificate_or_none) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer csr = { 0 };
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        struct principal owner;
        char text[DN_TEXT_MAX];
        struct error err = { 0 };

        make(&(struct make){ .profile = "device", .common_name = "nas.lan" }, &old);
        owner = owner_of(&old);
        ck_ok(private_key_generate(KEY_ED25519, 0, &key, &err), err);
        ck_ok(private_key_spki(key, &spki, &err), err);
        make_csr(key, rekeys[_i].common_name, rekeys[_i].names, &csr);
        ck_assert_msg(renew(&old, &owner, buffer_bytes(&csr), &x) == (rekeys[_i].code ? -1 : 0),
                      "%s: %s", rekeys[_i].why, x.err.text);
        ck_assert_msg(x.err.code == rekeys[_i].code, "%s: %s: %s", rekeys[_i].why,
                      error_slug(x.err.code), x.err.text);
        ck_assert_msg(strcmp(x.err.field, rekeys[_i].field) == 0, "%s: %s", rekeys[_i].why,
                      x.err.field);
        if (rekeys[_i].code)
                return;
        ck_assert(bytes_equal(x.cert.spki, buffer_bytes(&spki)));
        ck_ok(san_list_from_der(&names, x.cert.san, "names", &err), err);
        ck_assert_uint_eq(names.count, 2);
        ck_assert_int_eq(names.items[0].type, SAN_DNS);
        ck_assert_str_eq(dn_common_name(x.cert.subject, text, sizeof(text)), "nas.lan");
}
END_TEST

static void broken_signature(struct buffer *csr) {
        csr->data[csr->size - 3] ^= 1;
}
static void rubbish(struct buffer *csr) {
        csr->size = 0;
        buffer_text(csr, "rubbish");
}
static void the_cas_key(struct buffer *csr) {
        csr->size = 0;
        make_csr(ca->issuers[1].key, NULL, NULL, csr);
}
static void a_lost_key(struct buffer *csr) {
        csr->size = 0;
        make(&(struct make){ 0 }, &other);
        make_csr(other.key, NULL, NULL, csr);
        withdraw(&other, REASON_KEY_COMPROMISE);
}
static void the_old_key_is_lost(struct buffer *csr) {
        (void) csr;
}

/* clang-format off */
static const struct {
        const char *why;
        void (*spoil)(struct buffer *csr);
        enum error_code code;
} bad_csrs[] = {
        { "a proof of possession that fails",     broken_signature,    ERR_CSR_SIGNATURE },
        { "no CSR",                               rubbish,             ERR_CSR_MALFORMED },
        { "a key of the CA",                      the_cas_key,         ERR_KEY_RESERVED },
        { "a key that was lost",                  a_lost_key,          ERR_KEY_RESERVED },
        { "a new key, but who has the old one is not known", the_old_key_is_lost, ERR_KEY_RESERVED },
};
/* clang-format on */

START_TEST(a_csr_is_looked_at_as_for_a_new_certificate) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer csr = { 0 };
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        struct principal owner;
        struct error err = { 0 };

        make(&(struct make){ 0 }, &old);
        owner = owner_of(&old);
        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        make_csr(key, NULL, NULL, &csr);
        bad_csrs[_i].spoil(&csr);
        if (bad_csrs[_i].spoil == the_old_key_is_lost)
                compromise_another_of_that_key(&old);
        ck_assert_int_eq(renew(&old, &owner, buffer_bytes(&csr), &x), -1);
        ck_assert_msg(x.err.code == bad_csrs[_i].code, "%s: %s: %s", bad_csrs[_i].why,
                      error_slug(x.err.code), x.err.text);
        ck_assert_uint_eq(atomic_load(&fake.asked), 0);
        made_done(&other);
        other = (struct made){ 0 };
}
END_TEST

START_TEST(the_same_renewal_again_gives_the_same_certificate_also_when_the_old_one_is_gone) {
        CAD_AUTO(made_done) struct made old;
        CAD_AUTO(answer_done) struct answer x;
        CAD_AUTO(answer_done) struct answer again;
        CAD_AUTO(answer_done) struct answer wrong;
        struct principal owner;
        struct renew_request rq = { .principal = &owner,
                                    .serial = old.hex,
                                    .idempotency_key = "key",
                                    .method = "POST",
                                    .path = "/v1/certificates/x/renew" };

        make(&(struct make){ 0 }, &old);
        owner = owner_of(&old);
        ck_ok(renew_with(&rq, &x), x.err);
        withdraw(&old, REASON_SUPERSEDED);
        ck_ok(renew_with(&rq, &again), again.err);
        ck_assert(!x.replayed && again.replayed);
        ck_assert(bytes_equal(buffer_bytes(&x.der), buffer_bytes(&again.der)));
        rq.body_hash[0] = 1;
        ck_assert_int_eq(renew_with(&rq, &wrong), -1);
        ck_assert_int_eq(wrong.err.code, ERR_IDEMPOTENCY_MISMATCH);
        ck_assert_int_eq(stored(), 2);
}
END_TEST

/* ---- when ---- */

#define MANY 1000

static void set_serial(uint8_t serial[19], unsigned n) {
        memset(serial, 0x31, 19); /* issued in one moment: only the end differs */
        serial[17] = (uint8_t) (n >> 8);
        serial[18] = (uint8_t) n;
}

static struct renew_window window_of(struct cert_row *row, unsigned n) {
        static uint8_t serial[19];
        struct renew_window w;

        set_serial(serial, n);
        row->serial = BYTES(serial, sizeof(serial));
        renew_window_of(row, &w);
        return w;
}

static const int64_t window_lives[] = { 2,       3,        4,         11,        12,         13,
                                        60,      61,       HOUR,      HOUR + 1,  12 * HOUR,  DAY,
                                        7 * DAY, 90 * DAY, 397 * DAY, 825 * DAY, 36500 * DAY };

START_TEST(a_window_begins_before_it_ends_within_the_last_third_of_a_life) {
        int64_t life_s = window_lives[_i], begin = INT64_C(1800000000);

        for (unsigned n = 0; n < MANY; n++) {
                struct cert_row row = { .not_before = begin,
                                        .not_after = begin + life_s - 1,
                                        .issued_at = begin };
                struct renew_window w = window_of(&row, n), again = window_of(&row, n);

                ck_assert_int_lt(w.start, w.end);
                ck_assert_int_ge(w.start, begin);
                ck_assert_int_le(w.end, row.not_after);
                ck_assert_int_eq(w.start, again.start);
                ck_assert_int_eq(w.end, again.end);
                if (life_s < 60)
                        continue;
                ck_assert_int_ge(w.start - begin, life_s - life_s / 3);
                ck_assert_msg(row.not_after - w.end >= life_s / 6 - 3,
                              "a sixth of %lld s is left for trying again", (long long) life_s);
        }
}
END_TEST

START_TEST(a_thousand_of_one_minute_are_not_renewed_in_one) {
        static unsigned days[30], minutes[16 * 24 * 60];
        int64_t begin = INT64_C(1800000000);
        struct cert_row row = { .not_before = begin - HOUR,
                                .not_after = begin - HOUR + 90 * DAY - 1,
                                .issued_at = begin };
        unsigned busiest_minute = 0, quietest_day = MANY, busiest_day = 0;

        memset(days, 0, sizeof(days));
        memset(minutes, 0, sizeof(minutes));
        for (unsigned n = 0; n < MANY; n++) {
                struct renew_window w = window_of(&row, n);
                int64_t at = w.start -
                        (begin + 60 * DAY - HOUR); /* those who do not choose inside it */

                ck_assert_int_ge(at, 0);
                ck_assert_int_lt(at, 8 * DAY);
                days[at / DAY]++;
                minutes[at / 60]++;
        }
        for (size_t m = 0; m < ARRAY_SIZE(minutes); m++)
                busiest_minute = minutes[m] > busiest_minute ? minutes[m] : busiest_minute;
        for (size_t d = 0; d < 7; d++) {
                quietest_day = days[d] < quietest_day ? days[d] : quietest_day;
                busiest_day = days[d] > busiest_day ? days[d] : busiest_day;
        }
        ck_assert_msg(busiest_minute <= 4, "%u in one minute", busiest_minute);
        ck_assert_msg(quietest_day >= 90 && busiest_day <= 180, "%u to %u a day", quietest_day,
                      busiest_day);
}
END_TEST

START_TEST(a_life_is_counted_from_when_it_was_made_where_that_is_later) {
        int64_t now = INT64_C(1800000000);
        /* 61 minutes, set back by an hour: a minute is left */
        struct cert_row row = { .not_before = now - HOUR, .not_after = now + 59, .issued_at = now };
        struct renew_window w = window_of(&row, 1);

        ck_assert_int_ge(w.start, now + 40);
        ck_assert_int_le(w.end, now + 59);
        row.issued_at = now - 30 * DAY; /* to begin later */
        w = window_of(&row, 1);
        ck_assert_int_ge(w.start, row.not_before + 40 * 60);
}
END_TEST

START_TEST(the_window_of_a_revoked_one_has_passed_and_that_of_a_held_one_is_as_it_was) {
        int64_t now = INT64_C(1800000000);
        struct cert_row row = { .not_before = now - DAY,
                                .not_after = now + 89 * DAY,
                                .issued_at = now - DAY };
        struct renew_window before = window_of(&row, 7), w;

        row.status = CERT_STATUS_HELD;
        row.revoked_at = now;
        w = window_of(&row, 7);
        ck_assert_int_eq(w.start, before.start);
        ck_assert_int_eq(w.end, before.end);
        row.status = CERT_STATUS_REVOKED;
        w = window_of(&row, 7);
        ck_assert_int_lt(w.start, w.end);
        ck_assert_int_le(w.end, now);
}
END_TEST

static const struct {
        int64_t life_s, poll_s;
} polls[] = {
        { 60, 60 },        { HOUR, 60 },        { 12 * HOUR, 449 },   { DAY, 899 },
        { 7 * DAY, 6299 }, { 90 * DAY, 21600 }, { 825 * DAY, 21600 },
};

START_TEST(a_short_life_is_asked_about_more_often) {
        struct cert_row row = { .not_before = 1000000,
                                .not_after = 1000000 + polls[_i].life_s - 1,
                                .issued_at = 1000000 };

        ck_assert_int_eq(renew_poll_s(&row), polls[_i].poll_s);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("renew");
        TCase *calls = tcase_create("calls"), *window = tcase_create("window");

        tcase_set_timeout(calls, 60);
        tcase_add_checked_fixture(calls, set_up, tear_down);
        tcase_add_test(calls, names_profile_label_key_and_length_of_life_stay);
        tcase_add_test(calls, a_common_name_that_is_not_the_first_name_stays);
        tcase_add_test(calls, the_old_one_stays_valid_and_the_new_one_can_be_renewed_in_turn);
        tcase_add_loop_test(calls, a_life_is_never_longer_than_it_was_nor_than_the_profile_gives, 0,
                            ARRAY_SIZE(lives));
        tcase_add_loop_test(
                calls,
                one_that_was_cut_by_its_issuers_end_gets_what_was_granted_or_the_profiles_default,
                0, ARRAY_SIZE(cuts));
        tcase_add_loop_test(calls, what_was_granted_is_kept_where_the_issuers_end_cuts_it, 0,
                            ARRAY_SIZE(near_ends));
        tcase_add_loop_test(calls, only_who_has_its_key_and_operators_renew_a_certificate, 0,
                            ARRAY_SIZE(callers));
        tcase_add_loop_test(calls, an_admins_certificate_is_renewed_on_the_unix_socket_alone, 0,
                            ARRAY_SIZE(admins));
        tcase_add_loop_test(calls, what_is_renewed_is_judged_by_what_is_known_today, 0,
                            ARRAY_SIZE(states));
        tcase_add_test(calls, a_serial_that_is_not_here_is_not_found);
        tcase_add_loop_test(calls, one_that_is_revoked_while_it_is_renewed_is_not, 0,
                            ARRAY_SIZE(meanwhile));
        tcase_add_loop_test(calls, an_owner_renews_after_the_end_within_the_grace_to_the_second, 0,
                            ARRAY_SIZE(ages));
        tcase_add_test(calls, a_device_that_slept_comes_back_within_its_grace);
        tcase_add_loop_test(calls, a_new_key_comes_with_the_names_of_the_certificate_or_none, 0,
                            ARRAY_SIZE(rekeys));
        tcase_add_loop_test(calls, a_csr_is_looked_at_as_for_a_new_certificate, 0,
                            ARRAY_SIZE(bad_csrs));
        tcase_add_test(
                calls,
                the_same_renewal_again_gives_the_same_certificate_also_when_the_old_one_is_gone);
        suite_add_tcase(suite, calls);
        tcase_add_loop_test(window, a_window_begins_before_it_ends_within_the_last_third_of_a_life,
                            0, ARRAY_SIZE(window_lives));
        tcase_add_test(window, a_thousand_of_one_minute_are_not_renewed_in_one);
        tcase_add_test(window, a_life_is_counted_from_when_it_was_made_where_that_is_later);
        tcase_add_test(window,
                       the_window_of_a_revoked_one_has_passed_and_that_of_a_held_one_is_as_it_was);
        tcase_add_loop_test(window, a_short_life_is_asked_about_more_often, 0, ARRAY_SIZE(polls));
        suite_add_tcase(suite, window);
        return unit_main(suite);
}
