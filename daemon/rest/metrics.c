/*
 * GET /metrics: how the CA is, in Prometheus' text format 0.0.4. It counts nothing itself and walks no table: what is
 * not at hand is left out, so that a scrape costs the same at ten million certificates.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "cad-build.h"
#include "daemon/authority/access.h"
#include "daemon/authority/health.h"
#include "daemon/authority/publisher.h"
#include "daemon/rest/process.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"

#define SIGNER_TIMEOUT_MS 1000
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* All that is told, as it was at one moment. */
struct snapshot {
        struct authority *authority;
        struct store_counters counters;
        bool counted;
        struct store_commits commits;
        struct http_counts http;
        struct health health;
        struct sign_status signer;
        bool signer_up;
        struct process_use process;
        struct publisher_status crls[PUBLISHER_ISSUERS_MAX];
        size_t crl_count;
        int64_t https_not_after; /* 0: there is no HTTPS */
};

/* ---- the text ---- */

/* A value of a label: backslash, quote and line break are escaped. */
static void append_escaped(struct buffer *out, const char *value) {
        for (; *value; value++) {
                if (*value == '\\' || *value == '"')
                        buffer_text(out, "\\");
                if (*value == '\n')
                        buffer_text(out, "\\n");
                else
                        buffer_append(out, BYTES(value, 1));
        }
}

static void put(struct buffer *out, const char *name, int64_t value) {
        buffer_format(out, "%s %" PRId64 "\n", name, value);
}

static void put_known(struct buffer *out, const char *name, int64_t value) {
        if (value >= 0)
                put(out, name, value);
}

static void put_labelled(struct buffer *out, const char *name, const char *label, const char *of,
                         int64_t value) {
        buffer_format(out, "%s{%s=\"", name, label);
        append_escaped(out, of);
        buffer_format(out, "\"} %" PRId64 "\n", value);
}

/* ---- one function a family ---- */

static void build_info(struct buffer *out, const char *name, const struct snapshot *s) {
        (void) s;
        put_labelled(out, name, "version", CAD_VERSION, 1);
}

static void issued(struct buffer *out, const char *name, const struct snapshot *s) {
        if (s->counted)
                put(out, name, s->counters.issued);
}

static void revoked(struct buffer *out, const char *name, const struct snapshot *s) {
        if (s->counted)
                put(out, name, s->counters.revoked);
}

static void held(struct buffer *out, const char *name, const struct snapshot *s) {
        if (s->counted)
                put(out, name, s->counters.held);
}

static void health(struct buffer *out, const char *name, const struct snapshot *s) {
        for (size_t i = 0; i < s->health.count; i++)
                put_labelled(out, name, "check", s->health.checks[i].name,
                             s->health.checks[i].state);
}

static void signer_up(struct buffer *out, const char *name, const struct snapshot *s) {
        put(out, name, s->signer_up);
}

static void signatures(struct buffer *out, const char *name, const struct snapshot *s) {
        if (s->signer_up)
                put(out, name, s->signer.issued);
}

static void signatures_last_hour(struct buffer *out, const char *name, const struct snapshot *s) {
        if (s->signer_up)
                put(out, name, s->signer.last_hour);
}

static void signatures_limit(struct buffer *out, const char *name, const struct snapshot *s) {
        if (s->signer_up && s->signer.per_hour > 0)
                put(out, name, s->signer.per_hour);
}

static void expiry(struct buffer *out, const char *name, const struct snapshot *s) {
        const struct ca_info *ca = authority_ca(s->authority);

        put_labelled(out, name, "certificate", "root", ca->root.validity.not_after);
        for (size_t i = 0; i < ca->issuer_count; i++)
                put_labelled(out, name, "certificate", ca->issuers[i].id,
                             ca->issuers[i].cert.validity.not_after);
}

static void https_expiry(struct buffer *out, const char *name, const struct snapshot *s) {
        if (s->https_not_after)
                put(out, name, s->https_not_after);
}

static void crls_this_update(struct buffer *out, const char *name, const struct snapshot *s) {
        for (size_t i = 0; i < s->crl_count; i++)
                if (s->crls[i].exists)
                        put_labelled(out, name, "issuer", s->crls[i].issuer,
                                     s->crls[i].this_update);
}

static void crls_next_update(struct buffer *out, const char *name, const struct snapshot *s) {
        for (size_t i = 0; i < s->crl_count; i++)
                if (s->crls[i].exists)
                        put_labelled(out, name, "issuer", s->crls[i].issuer,
                                     s->crls[i].next_update);
}

static void crls_number(struct buffer *out, const char *name, const struct snapshot *s) {
        for (size_t i = 0; i < s->crl_count; i++)
                if (s->crls[i].exists)
                        put_labelled(out, name, "issuer", s->crls[i].issuer, s->crls[i].number);
}

static void crls_entries(struct buffer *out, const char *name, const struct snapshot *s) {
        for (size_t i = 0; i < s->crl_count; i++)
                if (s->crls[i].exists)
                        put_labelled(out, name, "issuer", s->crls[i].issuer,
                                     (int64_t) s->crls[i].entry_count);
}

static void crls_bytes(struct buffer *out, const char *name, const struct snapshot *s) {
        for (size_t i = 0; i < s->crl_count; i++)
                if (s->crls[i].exists)
                        put_labelled(out, name, "issuer", s->crls[i].issuer,
                                     (int64_t) s->crls[i].size);
}

static void crls_pending(struct buffer *out, const char *name, const struct snapshot *s) {
        for (size_t i = 0; i < s->crl_count; i++)
                put_labelled(out, name, "issuer", s->crls[i].issuer,
                             s->crls[i].pending_s > 0 ? s->crls[i].pending_s : 0);
}

static void crls_failures(struct buffer *out, const char *name, const struct snapshot *s) {
        for (size_t i = 0; i < s->crl_count; i++)
                put_labelled(out, name, "issuer", s->crls[i].issuer, s->crls[i].failures);
}

static void commit_duration(struct buffer *out, const char *name, const struct snapshot *s) {
        buffer_format(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name,
                      (double) s->commits.busy_us / 1e6, name,
                      s->commits.commits + s->commits.failures);
}

static void commit_failures(struct buffer *out, const char *name, const struct snapshot *s) {
        put(out, name, (int64_t) s->commits.failures);
}

static void writes(struct buffer *out, const char *name, const struct snapshot *s) {
        put(out, name, (int64_t) s->commits.writes);
}

static void http_requests(struct buffer *out, const char *name, const struct snapshot *s) {
        put(out, name, (int64_t) s->http.requests);
}

static void http_answers(struct buffer *out, const char *name, const struct snapshot *s) {
        static const char *const classes[HTTP_STATUS_CLASSES] = { NULL,  "1xx", "2xx",
                                                                  "3xx", "4xx", "5xx" };

        for (size_t i = 1; i < HTTP_STATUS_CLASSES; i++)
                put_labelled(out, name, "class", classes[i], (int64_t) s->http.answers[i]);
}

static void http_connections(struct buffer *out, const char *name, const struct snapshot *s) {
        put(out, name, s->http.connections);
}

static void http_in_hand(struct buffer *out, const char *name, const struct snapshot *s) {
        put(out, name, s->http.in_hand);
}

static void http_dropped(struct buffer *out, const char *name, const struct snapshot *s) {
        put(out, name, (int64_t) s->http.dropped);
}

static void http_refused(struct buffer *out, const char *name, const struct snapshot *s) {
        put(out, name, (int64_t) s->http.refused);
}

static void process_cpu(struct buffer *out, const char *name, const struct snapshot *s) {
        if (s->process.cpu_s >= 0)
                buffer_format(out, "%s %.6f\n", name, s->process.cpu_s);
}

static void process_start(struct buffer *out, const char *name, const struct snapshot *s) {
        put_known(out, name, s->process.start_time);
}

static void process_resident(struct buffer *out, const char *name, const struct snapshot *s) {
        put_known(out, name, s->process.resident_bytes);
}

static void process_virtual(struct buffer *out, const char *name, const struct snapshot *s) {
        put_known(out, name, s->process.virtual_bytes);
}

static void process_fds(struct buffer *out, const char *name, const struct snapshot *s) {
        put_known(out, name, s->process.descriptors);
}

static void process_fds_max(struct buffer *out, const char *name, const struct snapshot *s) {
        put_known(out, name, s->process.descriptors_max);
}

#define COUNTER "counter"
#define GAUGE "gauge"
#define SUMMARY "summary"

/* clang-format off */
static const struct family {
        const char *name, *type, *help;
        void (*write)(struct buffer *out, const char *name, const struct snapshot *s);
} families[] = {
        { "cad_build_info", GAUGE, "The version of cad, as a label; always 1.", build_info },
        { "cad_certificates_issued_total", COUNTER, "Certificates that this CA has ever issued.", issued },
        { "cad_certificates_revoked_total", COUNTER, "Revocations that are final.", revoked },
        { "cad_certificates_on_hold", GAUGE, "Certificates that are on hold now.", held },
        { "cad_health_status", GAUGE, "The checks of /v1/health: 0 ok, 1 warning, 2 failing.", health },
        { "cad_ca_expiry_timestamp_seconds", GAUGE, "When a certificate of the CA ends, in seconds since the epoch.", expiry },
        { "cad_https_expiry_timestamp_seconds", GAUGE, "When the certificate of cad's own HTTPS ends, in seconds since the epoch.", https_expiry },
        { "cad_crl_this_update_timestamp_seconds", GAUGE, "When the CRL that is served was made, in seconds since the epoch.", crls_this_update },
        { "cad_crl_next_update_timestamp_seconds", GAUGE, "When the CRL that is served ends, in seconds since the epoch.", crls_next_update },
        { "cad_crl_number", GAUGE, "The number of the CRL that is served.", crls_number },
        { "cad_crl_entries", GAUGE, "Certificates on the CRL that is served.", crls_entries },
        { "cad_crl_size_bytes", GAUGE, "The size of the CRL that is served.", crls_bytes },
        { "cad_crl_pending_seconds", GAUGE, "For how long a revocation has not been on the CRL that is served; 0: none.", crls_pending },
        { "cad_crl_failures", GAUGE, "Tries to make a CRL that have failed in a row.", crls_failures },
        { "cad_signer_up", GAUGE, "Whether cad-signer answers.", signer_up },
        { "cad_signer_signatures_total", COUNTER, "Certificates that the signer has signed.", signatures },
        { "cad_signer_signatures_last_hour", GAUGE, "Certificates that the signer has signed in the last hour.", signatures_last_hour },
        { "cad_signer_signatures_per_hour_limit", GAUGE, "How many it signs in an hour at most; not there without a limit.", signatures_limit },
        { "cad_store_commit_duration_seconds", SUMMARY, "Transactions of the store, from their begin until they are on disk.", commit_duration },
        { "cad_store_commit_failures_total", COUNTER, "Transactions that did not reach the disk.", commit_failures },
        { "cad_store_writes_total", COUNTER, "Writes in these transactions.", writes },
        { "cad_http_requests_total", COUNTER, "Requests, over all listeners.", http_requests },
        { "cad_http_answers_total", COUNTER, "Answers, by the class of their status.", http_answers },
        { "cad_http_connections", GAUGE, "Connections that are open now.", http_connections },
        { "cad_http_requests_in_hand", GAUGE, "Requests that are being worked on.", http_in_hand },
        { "cad_http_connections_dropped_total", COUNTER, "Connections that were shut down past a deadline.", http_dropped },
        { "cad_http_connections_refused_total", COUNTER, "Connections over the limit of a peer.", http_refused },
        { "process_cpu_seconds_total", COUNTER, "Processor time that cad has used, in seconds.", process_cpu },
        { "process_start_time_seconds", GAUGE, "When cad was started, in seconds since the epoch.", process_start },
        { "process_resident_memory_bytes", GAUGE, "Memory of cad that is in RAM.", process_resident },
        { "process_virtual_memory_bytes", GAUGE, "Address space of cad.", process_virtual },
        { "process_open_fds", GAUGE, "Descriptors that cad has open.", process_fds },
        { "process_max_fds", GAUGE, "Descriptors that cad may have open.", process_fds_max },
};
/* clang-format on */

/* A family without a sample is not named: it has no value now. */
static void append_family(struct buffer *out, const struct family *family,
                          const struct snapshot *s) {
        CAD_AUTO(buffer_done) struct buffer samples = { 0 };

        family->write(&samples, family->name, s);
        if (samples.failed)
                out->failed = true;
        if (samples.size == 0)
                return;
        buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
                      family->type);
        buffer_append(out, buffer_bytes(&samples));
}

/* What does not answer is told by what is not there, and by cad_health_status: a scrape never fails for it. */
static void look(struct exchange *x, struct snapshot *s) {
        const struct rest *rest = exchange_context(x);
        struct authority *a = rest->authority;
        struct error ignored = { 0 };

        s->authority = a;
        s->counted = store_counters(authority_store(a), &s->counters, &ignored) == 0;
        s->commits = store_commits(authority_store(a));
        s->http = exchange_counts(x);
        s->signer_up = authority_signer_status(a, SIGNER_TIMEOUT_MS, &s->signer, &ignored) == 0;
        authority_health(a, moment_now(), &s->health);
        while (s->crl_count < ARRAY_SIZE(s->crls) &&
               publisher_status(authority_publisher(a), s->crl_count, moment_now(),
                                &s->crls[s->crl_count]))
                s->crl_count++;
        s->https_not_after = rest->https_not_after ? rest->https_not_after(rest->https_context) : 0;
        process_use_read(&s->process);
}

void rest_metrics(struct exchange *x) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        struct rest *rest = exchange_context(x);
        struct snapshot s = { 0 };
        struct error err = { 0 };

        if (!atomic_load(&rest->metrics_public) &&
            access_check(rest_principal(x), ACTION_READ_METRICS, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        look(x, &s);
        for (size_t i = 0; i < ARRAY_SIZE(families); i++)
                append_family(&out, &families[i], &s);
        exchange_reply_take(x, 200, CONTENT_TYPE, &out);
}
