/*
 * simpleenroll and simplereenroll (RFC 7030 §4.2): base64 of a CSR to one call of the authority, its answer to 200 or 202.
 */
#include "daemon/authority/enroll.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/est/est.h"
#include "daemon/http/media.h"
#include "lib/base/code.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

#define IN_FLIGHT_S "1"

/* ---- the request ---- */

/* Base64 with any white space (RFC 8951 §3), or PEM, which is the same with lines around it. */
static int read_csr(struct exchange *x, struct buffer *decoded, struct bytes *ret,
                    struct error *err) {
        struct bytes body = exchange_body(x);
        char type[MEDIA_TYPE_MAX];

        if (media_type_parse(exchange_header(x, "Content-Type"), type, err) < 0)
                return -1;
        if (strcmp(type, "application/pkcs10") != 0)
                return error_set(err, ERR_MEDIA_TYPE,
                                 "'%s' is not taken here: send application/pkcs10, in base64",
                                 type);
        *ret = body; /* a private key in it is found by who reads it */
        if (memmem(body.data ? body.data : (const uint8_t *) "", body.size, "-----", 5))
                return 0;
        if (base64_decode(body, decoded) < 0 || decoded->size == 0)
                return error_set_field(
                        err, ERR_CSR_MALFORMED, "csr",
                        "the body is not the base64 of a CSR (DER). With OpenSSL: openssl req -outform DER … | openssl base64");
        *ret = buffer_bytes(decoded);
        return 0;
}

/* ---- the answer ---- */

static void log_issued(struct exchange *x, const struct issued *issued) {
        char serial[2 * STORE_SERIAL_MAX + 1];
        const struct log_field fields[] = {
                { "CAD_SERIAL", hex_encode(issued->row->serial, serial) },
                { "CAD_PRINCIPAL", est_principal(x)->text },
                { "CAD_PROFILE", issued->row->profile },
                { "CAD_REQUEST_ID", exchange_request_id(x) },
        };

        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields), "%s %s for %s%s through EST",
                   issued->replayed ? "gave again" : "issued", serial,
                   issued->row->name_count ? issued->row->names[0] : "?",
                   issued->row->name_count > 1 ? ", …" : "");
}

static void log_waiting(struct exchange *x, const char *code) {
        const struct log_field fields[] = { { "CAD_REQUEST", code },
                                            { "CAD_PRINCIPAL", est_principal(x)->text },
                                            { "CAD_REQUEST_ID", exchange_request_id(x) } };

        log_fields(LOG_LEVEL_INFO, fields, ARRAY_SIZE(fields), "request %s through EST waits",
                   code);
}

/*
 * RFC 7030 §4.2.3: not now, but the same again later. Without a body, which Bouncy Castle's client does not read and then
 * stumbles over: the code for the person at the device is in a header.
 */
static void come_back(struct exchange *x, const char *seconds) {
        exchange_reply(x, 202, NULL, BYTES_NONE);
        exchange_reply_header(x, "Retry-After", seconds);
}

static void refuse(struct exchange *x, const struct error *err) {
        if (err->code == ERR_IDEMPOTENCY_IN_FLIGHT)
                come_back(x, IN_FLIGHT_S);
        else
                exchange_problem(x, err);
}

/* The certificate alone: those of the CA are cacerts' (RFC 7030 §4.2.3). */
static void answer(void *context, const struct issued *issued, const struct error *err) {
        struct exchange *x = context;

        if (err) {
                refuse(x, err);
        } else {
                est_reply_certificates(x, &issued->row->der, 1);
                log_issued(x, issued);
        }
        exchange_send(x);
}

static void answer_waiting(struct exchange *x, const struct enroll_waiting *waiting) {
        char code[CODE_SHOWN_MAX], seconds[24];

        (void) snprintf(seconds, sizeof(seconds), "%" PRId64, waiting->again_s);
        come_back(x, seconds);
        exchange_reply_header(x, "X-Request-Code", code_show(waiting->code, code));
        log_waiting(x, waiting->code);
        exchange_send(x);
}

/* ---- the calls ---- */

void est_enroll(struct exchange *x) {
        CAD_AUTO(buffer_done) struct buffer decoded = { 0 };
        struct issue_request rq = {
                .principal = est_principal(x),
                .method = "POST",
                .path = exchange_path(x),
                .source = exchange_peer(x)->text,
                .request_id = exchange_request_id(x),
        };
        /* who answered the challenge and is nobody, has no token and says so */
        bool ask = exchange_header(x, "Authorization") != NULL;
        struct enroll_waiting waiting;
        struct error err = { 0 };
        int rc;

        if (est_label(x, &rq.profile, &err) < 0 || read_csr(x, &decoded, &rq.csr, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        exchange_defer(x);
        rc = authority_enroll(est_authority(x), &rq, ask, answer, x, &waiting, &err);
        if (rc > 0) {
                answer_waiting(x, &waiting);
        } else if (rc < 0) {
                refuse(x, &err);
                exchange_send(x);
        }
}

void est_reenroll(struct exchange *x) {
        CAD_AUTO(buffer_done) struct buffer decoded = { 0 };
        struct renew_request rq = {
                .principal = est_principal(x),
                .names_all = true,
                .method = "POST",
                .path = exchange_path(x),
                .source = exchange_peer(x)->text,
                .request_id = exchange_request_id(x),
        };
        struct error err = { 0 };

        if (est_label(x, &rq.profile, &err) < 0 || read_csr(x, &decoded, &rq.csr, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        exchange_defer(x);
        if (authority_reenroll(est_authority(x), &rq, answer, x, &err) < 0) {
                refuse(x, &err);
                exchange_send(x);
        }
}
