/*
 * Asking for a certificate: see obtain.h. The key goes nowhere but into the folder of the device.
 */
#include "client/enroll/obtain.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/api.h"
#include "client/http.h"
#include "client/output.h"
#include "client/waiting.h"
#include "lib/base/text.h"
#include "lib/pki/csr.h"
#include "lib/pki/dn.h"
#include "lib/pki/pem.h"

#define DEFAULT_KEY "ecdsa-p256"
#define IDEMPOTENCY_OCTETS 16

void asked_done(struct asked *a) {
        kept_pending_done(&a->pending);
        a->csr = csr_free(a->csr);
        certs_done(&a->root);
}

static int read_parts(struct asked *a, struct error *err) {
        if (csr_from_text(buffer_bytes(&a->pending.csr), RSA_BITS_MAX, &a->csr, err) < 0 ||
            certs_from_text(&a->root, buffer_bytes(&a->pending.root), "root.pem", err) < 0)
                return -1;
        return a->root.count == 1 ? 0 : error_set(err, ERR_CONFIG, "root.pem is not one root");
}

int asked_load(const struct device *d, struct asked *ret, struct error *err) {
        CAD_AUTO(asked_done) struct asked a = { .csr = NULL };

        if (kept_pending_read(d->certs_fd, d->name, &a.pending, err) < 0 || read_parts(&a, err) < 0)
                return -1;
        *ret = a;
        a = (struct asked){ .csr = NULL };
        return 0;
}

static bool same_names(const struct san_list *a, const struct san_list *b) {
        for (size_t i = 0; i < a->count; i++)
                if (!san_list_contains(b, &a->items[i]))
                        return false;
        return a->count == b->count;
}

bool asked_fits(const struct asked *a, const struct wish *wish) {
        const struct enrolment *there = &a->pending.what, *wanted = &wish->what;

        return text_equal(there->url, wanted->url) && text_equal(there->profile, wanted->profile) &&
                text_equal(there->validity, wanted->validity) &&
                text_equal(there->label, wanted->label) && text_equal(there->key, wanted->key) &&
                bytes_equal(buffer_bytes(&a->root.der[0]), wish->root) &&
                same_names(&a->csr->names, &wanted->names);
}

/* ---- making it ---- */

/* The CN is for people and old programs; it is always one of the names. */
static const char *common_name_of(const struct san_list *names, char *out, size_t size) {
        if (names->items[0].type == SAN_URI)
                return NULL;
        (void) san_text(&names->items[0], out, size);
        return strlen(out) <= DN_COMMON_NAME_MAX ? out : NULL;
}

static int make_key_and_csr(const struct wish *wish, struct kept_pending *pending,
                            struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        const char *spec = wish->what.key ? wish->what.key : DEFAULT_KEY;
        char name[SAN_TEXT_MAX];
        enum key_type type;
        unsigned bits;

        if (key_spec_parse(spec, /* leaf= */ true, &type, &bits, err) < 0 ||
            private_key_generate(type, bits, &key, err) < 0 ||
            private_key_to_pem(key, BYTES_NONE, &pending->key, err) < 0 ||
            csr_create(key, common_name_of(&wish->what.names, name, sizeof(name)),
                       &wish->what.names, &der, err) < 0)
                return -1;
        pem_append(&pending->csr, "CERTIFICATE REQUEST", buffer_bytes(&der));
        pem_append(&pending->root, "CERTIFICATE", wish->root);
        return pending->csr.failed || pending->root.failed ? error_no_memory(err) : 0;
}

enum result asked_make(const struct client *c, struct device *d, const struct wish *wish,
                       struct asked *ret) {
        CAD_AUTO(asked_done) struct asked a = { .csr = NULL };
        struct error err = { 0 };

        if (enrolment_copy(&wish->what, &a.pending.what, &err) < 0)
                return fail_error(&err);
        if (wish->what.key && strstr(wish->what.key, "rsa"))
                say(c, "making an RSA key …");
        if (make_key_and_csr(wish, &a.pending, &err) < 0 || read_parts(&a, &err) < 0)
                return fail_error(&err);
        if (kept_pending_write(d->certs_fd, d->name, &a.pending, &err) < 0)
                return fail(REFUSED, "%s/certs: %s; nothing was asked of the CA", d->conf,
                            err.text);
        *ret = a;
        a = (struct asked){ .csr = NULL };
        return DONE;
}

void asked_drop_answered(struct device *d) {
        CAD_AUTO(asked_done) struct asked a = { .csr = NULL };
        struct error ignored = { 0 };

        if (asked_load(d, &a, &ignored) == 0 && bytes_equal(a.csr->spki, d->cert.spki))
                (void) kept_pending_drop(d->certs_fd, d->name, &ignored);
}

/* RFC 9110 §15.5; 408, 409, 425 and 429 are for another time. */
static bool is_final(long status) {
        return status >= 400 && status < 500 && status != 408 && status != 409 && status != 425 &&
                status != 429;
}

void asked_drop_refused(const struct client *c, struct device *d) {
        struct error ignored = { 0 };

        if (is_final(c->status))
                (void) kept_pending_drop(d->certs_fd, d->name, &ignored);
}

enum result asked_place(const struct device *d, const struct asked *a, struct place *ret) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };

        buffer_format(&path, "%s/certs/.%s.pending/root.pem", d->conf, d->name);
        ret->url = strdup(a->pending.what.url);
        ret->root = strdup(buffer_string(&path));
        return ret->url && ret->root && !path.failed ? DONE : fail(REFUSED, "out of memory");
}

/* ---- asking ---- */

static json_t *body_of(const struct asked *a) {
        const struct enrolment *what = &a->pending.what;
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        pem_append(&pem, "CERTIFICATE REQUEST", a->csr->der);
        return json_pack("{s:s, s:s*, s:s*, s:s*}", "csr", buffer_string(&pem), "profile",
                         what->profile, "validity", what->validity, "label", what->label);
}

/* Of the CSR: whoever asks again after a crash is the one who asked, and the token is not used twice. */
static void idempotency_key(const struct asked *a, char out[2 * IDEMPOTENCY_OCTETS + 1]) {
        uint8_t digest[SHA256_SIZE];

        sha256(a->csr->der, digest);
        (void) hex_encode(BYTES(digest, IDEMPOTENCY_OCTETS), out);
}

static enum result what_came(const struct client *c, const struct asked *a, const json_t *answer,
                             const struct issued *issued, struct enrolment *ret_what) {
        const char *profile = api_text(answer, "profile");
        struct error err = { 0 };
        enum result result = device_check_issued(c, issued, buffer_bytes(&a->root.der[0]));

        if (result != DONE)
                return result;
        if (enrolment_copy(&a->pending.what, ret_what, &err) < 0)
                return fail_error(&err);
        (void) free_text(ret_what->request);
        (void) free_text(ret_what->serial);
        ret_what->request = NULL;
        ret_what->serial = strdup(issued->serial);
        if (*profile) {
                (void) free_text(ret_what->profile);
                ret_what->profile = strdup(profile);
        }
        san_list_done(&ret_what->names);
        if (san_list_from_der(&ret_what->names, issued->cert.san, "names", &err) < 0)
                return fail_error(&err);
        return ret_what->serial ? DONE : fail(REFUSED, "out of memory");
}

enum result obtain_by_token(struct client *c, const struct asked *a, const char *token,
                            struct issued *ret, struct enrolment *ret_what) {
        CAD_AUTO(json_free) json_t *body = body_of(a), *answer = NULL;
        char key[2 * IDEMPOTENCY_OCTETS + 1];
        struct error err = { 0 };
        enum result result;

        if (!body)
                return fail(WRONG_USAGE, "--profile and --label have to be UTF-8");
        idempotency_key(a, key);
        c->bearer = token;
        result = api_post_once(c, "/v1/certificates", body, key, &answer);
        c->bearer = NULL;
        if (result != DONE)
                return result;
        if (issued_read(answer, ret, &err) < 0 || issued_check_key(ret, a->csr->spki, &err) < 0 ||
            issued_check_names(ret, &a->csr->names, &err) < 0)
                return fail_error(&err);
        return what_came(c, a, answer, ret, ret_what);
}

/* ---- waiting ---- */

static enum result hand_in(struct client *c, struct device *d, struct asked *a,
                           struct handed_in *ret, int64_t *ret_interval_s) {
        CAD_AUTO(json_free) json_t *body = body_of(a), *answer = NULL;
        struct error err = { 0 };
        enum result result;

        if (!body)
                return fail(WRONG_USAGE, "--profile and --label have to be UTF-8");
        result = api_send(c, "POST", "/v1/requests", body, &answer);
        if (result == DONE)
                result = handed_in_read(answer, a->csr->spki, ret);
        if (result != DONE)
                return result;
        (void) free_text(a->pending.what.request);
        a->pending.what.request = strdup(ret->id);
        *ret_interval_s = handed_in_interval(answer);
        if (!a->pending.what.request)
                return fail(REFUSED, "out of memory");
        return kept_pending_set(d->certs_fd, d->name, &a->pending.what, &err) < 0 ? fail_error(&err)
                                                                                  : DONE;
}

/* The request of an earlier run, by its id. *ret stays NULL where the CA does not know it any more. */
static enum result look_again(struct client *c, const struct asked *a, struct handed_in *request,
                              json_t **ret) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(http_answer_done) struct http_answer answer = { 0 };
        CAD_AUTO(json_free) json_t *found = NULL;
        struct http_request get = { .method = "GET", .accept = "application/json" };
        enum result result;

        buffer_format(&path, "/v1/requests/%s", a->pending.what.request);
        get.path = buffer_string(&path);
        result = http_call(c, &get, &answer);
        if (result != DONE || answer.status == 404)
                return result;
        result = api_get(c, get.path, &found);
        if (result == DONE)
                result = handed_in_read(found, a->csr->spki, request);
        if (result == DONE)
                *ret = CAD_TAKE(found);
        return result;
}

static void tell_code(const struct client *c, const struct device *d,
                      const struct handed_in *request, bool wait) {
        say(c, "request  %s   (whoever approves sees the same code: compare them)", request->code);
        say(c, "on the CA's machine: cactl request approve %s", request->code);
        if (wait)
                say(c,
                    "waiting; Ctrl-C does no harm: the same command goes on with it, and so does 'cactl renew'");
        else
                say(c, "not decided yet: 'cactl renew' takes the certificate of %s when it is",
                    d->name);
}

static enum result settle(struct client *c, struct device *d, struct asked *a, enum obtain_how how,
                          json_t *decided, const char *code, struct issued *ret,
                          struct enrolment *ret_what) {
        const char *status = api_text(decided, "status");
        struct error ignored = { 0 };
        enum result result;

        if (!text_equal(status, "approved") &&
            !(how == OBTAIN_TIMER && text_equal(status, "denied")))
                (void) kept_pending_drop(d->certs_fd, d->name, &ignored);
        result = handed_in_take(c, decided, a->csr->spki, &a->csr->names, code, ret);
        return result == DONE ? what_came(c, a, decided, ret, ret_what) : result;
}

enum result obtain_by_request(struct client *c, struct device *d, struct asked *a,
                              enum obtain_how how, struct issued *ret, struct enrolment *ret_what,
                              bool *ret_waits) {
        CAD_AUTO(handed_in_done) struct handed_in request = { .code = "" };
        CAD_AUTO(json_free) json_t *found = NULL;
        int64_t interval_s = 0;
        enum result result = DONE;

        *ret_waits = false;
        if (a->pending.what.request)
                result = look_again(c, a, &request, &found);
        if (result == DONE && !found)
                result = hand_in(c, d, a, &request, &interval_s);
        if (result != DONE)
                return result;
        if (found && !text_equal(api_text(found, "status"), "waiting"))
                return settle(c, d, a, how, found, request.code, ret, ret_what);
        tell_code(c, d, &request, how == OBTAIN_WAIT);
        *ret_waits = how != OBTAIN_WAIT;
        if (*ret_waits)
                return DONE;
        found = json_free(found);
        result = handed_in_wait(c, &request, interval_s ? interval_s : 1, &found);
        return result == DONE ? settle(c, d, a, how, found, request.code, ret, ret_what) : result;
}

enum result obtain_finish(const struct client *c, struct device *d, const struct asked *a,
                          const struct issued *issued, const struct enrolment *what) {
        struct error err = { 0 };
        enum result result = device_store(d, what, buffer_bytes(&a->pending.key), issued,
                                          buffer_bytes(&a->root.der[0]));

        (void) c;
        if (result != DONE)
                return result;
        return kept_pending_drop(d->certs_fd, d->name, &err) < 0 ? fail_error(&err) : DONE;
}
