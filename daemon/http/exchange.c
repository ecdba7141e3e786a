/*
 * Exchange: see exchange.h. Nothing here queues a response: that is MHD's event thread's alone (server.c).
 */
#include "exchange.h"

#include <string.h>

#include "connection.h"
#include "json.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "problem.h"

void *exchange_context(const struct exchange *x) {
        return http_server_config(x->connection->server)->context;
}

struct http_counts exchange_counts(const struct exchange *x) {
        return http_server_counts(x->connection->server);
}

const struct peer *exchange_peer(const struct exchange *x) {
        return &x->connection->peer;
}

void exchange_peer_certificates(const struct exchange *x, const struct bytes **ret, size_t *count) {
        *ret = x->connection->certificates;
        *count = x->connection->certificates_len;
}

void exchange_keep(struct exchange *x, void *kept, void (*release)(void *kept)) {
        connection_keep(x->connection, kept, release);
}

void *exchange_kept(const struct exchange *x) {
        return x->connection->kept;
}

const struct route *exchange_route(const struct exchange *x) {
        return x->match.route;
}

const char *exchange_method(const struct exchange *x) {
        return x->method;
}

const char *exchange_path(const struct exchange *x) {
        return x->path;
}

const char *exchange_request_id(const struct exchange *x) {
        return x->request_id;
}

struct bytes exchange_body(const struct exchange *x) {
        return buffer_bytes(&x->body);
}

const char *exchange_header(const struct exchange *x, const char *name) {
        /* In the clear nobody says who he is: what was sent all the same is not looked at. */
        if (x->connection->listener->kind == HTTP_TCP && strcasecmp(name, "Authorization") == 0)
                return NULL;
        return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

const char *exchange_param(const struct exchange *x, const char *name) {
        return route_param(&x->match, name);
}

const char *exchange_query(const struct exchange *x, const char *key) {
        return query_get(&x->query, key);
}

bool exchange_query_at(const struct exchange *x, size_t i, const char **ret_key,
                       const char **ret_value) {
        return query_at(&x->query, i, ret_key, ret_value);
}

static bool listed(const char *const *keys, const char *key) {
        for (; *keys; keys++)
                if (strcmp(*keys, key) == 0)
                        return true;
        return false;
}

int exchange_query_known(const struct exchange *x, const char *const *keys, struct error *err) {
        const char *key, *value;

        for (size_t i = 0; exchange_query_at(x, i, &key, &value); i++) {
                CAD_AUTO(buffer_done) struct buffer known = { 0 };

                if (listed(keys, key))
                        continue;
                for (const char *const *k = keys; *k; k++)
                        buffer_format(&known, "%s%s", k == keys ? "" : ", ", *k);
                return error_set_field(
                        err, ERR_QUERY_INVALID, key,
                        "the query parameter '%.40s' is not known here; known are: %s", key,
                        *keys ? buffer_string(&known) : "none");
        }
        return 0;
}

void exchange_set_principal(struct exchange *x, void *principal, void (*release)(void *principal)) {
        if (x->principal && x->principal_release)
                x->principal_release(x->principal);
        x->principal = principal;
        x->principal_release = release;
}

void exchange_need_worker(struct exchange *x) {
        x->needs_worker = true;
}

void *exchange_principal(const struct exchange *x) {
        return x->principal;
}

static void lent_return(struct exchange *x) {
        if (x->lent_release)
                x->lent_release(x->lent_context);
        x->lent = BYTES_NONE;
        x->lent_release = NULL;
}

struct bytes exchange_answer_bytes(const struct exchange *x) {
        return x->lent.data ? x->lent : buffer_bytes(&x->reply);
}

static void answer_begin(struct exchange *x, unsigned status, const char *content_type) {
        lent_return(x);
        x->status = status;
        x->content_type = content_type;
        x->reply.size = 0;
        x->reply.failed = false;
        x->fields.size = 0;
        x->fields.failed = false;
        x->has_cache_control = false;
}

/* Out of memory while answering: no buffer can be counted on, so the answer is empty. */
static void answer_check(struct exchange *x) {
        if (!x->reply.failed && !x->fields.failed)
                return;
        buffer_done(&x->reply);
        buffer_done(&x->fields);
        answer_begin(x, 503, /* content_type= */ NULL);
}

void exchange_reply(struct exchange *x, unsigned status, const char *content_type,
                    struct bytes body) {
        answer_begin(x, status, content_type);
        buffer_append(&x->reply, body);
}

void exchange_reply_take(struct exchange *x, unsigned status, const char *content_type,
                         struct buffer *body) {
        struct buffer taken = *body;

        *body = (struct buffer){ 0 };
        answer_begin(x, status, content_type);
        buffer_done(&x->reply);
        x->reply = taken;
}

void exchange_reply_lent(struct exchange *x, unsigned status, const char *content_type,
                         struct bytes body, void (*release)(void *context), void *context) {
        answer_begin(x, status, content_type);
        x->lent = body;
        x->lent_release = release;
        x->lent_context = context;
}

void exchange_json(struct exchange *x, unsigned status, json_t *document) {
        CAD_AUTO(json_drop) json_t *owned = document;

        answer_begin(x, status, "application/json");
        if (owned)
                json_append(&x->reply, owned);
        else
                x->reply.failed = true;
}

/* A fault is logged with all that is known; what a flood of callers can cause, only so often. */
static void fault_log(const struct exchange *x, const struct error *err) {
        const struct log_field fields[] = { { "CAD_REQUEST_ID", x->request_id },
                                            { "CAD_ERROR", error_slug(err->code) },
                                            { "CAD_PEER", x->connection->peer.text },
                                            { "CODE_FILE", err->file } };

        if (error_kind(err->code) != ERROR_FAULT && problem_status(err->code) != 500)
                return;
        if (problem_status(err->code) == 503 && !http_server_log_allowed(x->connection->server))
                return;
        log_fields(LOG_LEVEL_ERROR, fields, ARRAY_SIZE(fields), "%s %s: %s", x->method, x->path,
                   err->text);
}

static const struct problem_form *form_of(const struct exchange *x) {
        const struct http_config *config = http_server_config(x->connection->server);

        if (!config->problem_form || !x->path)
                return &problem_document;
        return config->problem_form(x->connection->listener->kind, x->path);
}

static bool no_credential(const struct exchange *x) {
        return x->connection->certificates_len == 0 && !exchange_header(x, "Authorization");
}

void exchange_problem(struct exchange *x, const struct error *err) {
        const struct problem_form *form = form_of(x);
        unsigned retry_after_s = problem_retry_after_s(err->code);
        unsigned status = problem_status(err->code);

        fault_log(x, err);
        if (status == 401 || status == 403 || status == 429)
                connections_turned_away(http_server_connections(x->connection->server),
                                        x->connection, err);
        if (status == 401 && form->challenge_bare && no_credential(x)) {
                answer_begin(x, status, /* content_type= */ NULL);
        } else {
                answer_begin(x, status, form->content_type);
                form->append(&x->reply, err, x->request_id);
        }
        if (retry_after_s) {
                char seconds[12];

                (void) snprintf(seconds, sizeof(seconds), "%u", retry_after_s);
                exchange_reply_header(x, "Retry-After", seconds);
        }
        if (status == 401)
                exchange_reply_header(x, "WWW-Authenticate", form->challenge);
}

void exchange_reply_header(struct exchange *x, const char *name, const char *value) {
        struct error err = { 0 };

        for (const char *p = value; *p; p++) {
                if ((unsigned char) *p >= 0x20 && *p != 0x7f)
                        continue;
                (void) error_set(&err, ERR_INTERNAL,
                                 "the answer's header %s would have a control character", name);
                exchange_problem(x, &err);
                return;
        }
        if (strcasecmp(name, "Cache-Control") == 0)
                x->has_cache_control = true;
        buffer_append(&x->fields, BYTES(name, strlen(name) + 1));
        buffer_append(&x->fields, BYTES(value, strlen(value) + 1));
}

void exchange_reply_close(struct exchange *x) {
        x->close = true;
}

static bool add_field(struct MHD_Response *response, const char *name, const char *value) {
        return MHD_add_response_header(response, name, value) == MHD_YES;
}

static bool add_fields(struct MHD_Response *response, const struct exchange *x) {
        const char *p = (const char *) x->fields.data;
        const char *end = p ? p + x->fields.size : NULL;
        bool ok = true;

        while (p < end) {
                const char *value = p + strlen(p) + 1;

                ok = ok && add_field(response, p, value);
                p = value + strlen(value) + 1;
        }
        if (x->content_type)
                ok = ok && add_field(response, "Content-Type", x->content_type);
        if (!x->has_cache_control)
                ok = ok && add_field(response, "Cache-Control", "no-store");
        if (x->close)
                ok = ok && add_field(response, "Connection", "close");
        return ok && add_field(response, "X-Content-Type-Options", "nosniff") &&
                add_field(response, "X-Request-Id", x->request_id);
}

void exchange_seal(struct exchange *x) {
        struct MHD_Response *response;
        struct bytes body;

        answer_check(x);
        body = exchange_answer_bytes(x);
        /* The bytes stay in the exchange until MHD says that the request is completed: nothing is copied. */
        response = MHD_create_response_from_buffer(body.size,
                                                   body.size ? (void *) (uintptr_t) body.data
                                                             : (void *) "",
                                                   MHD_RESPMEM_PERSISTENT);
        if (response && !add_fields(response, x)) {
                MHD_destroy_response(response);
                response = NULL;
        }
        x->response = response; /* NULL: no memory at all; the connection is closed */
        x->state = EXCHANGE_ANSWERED;
}

/* On a worker alone: it may block. */
static bool authenticated(struct exchange *x, struct error *err) {
        const struct http_config *config = http_server_config(x->connection->server);

        if (((x->match.route->flags & ROUTE_QUICK) && !x->needs_worker) || !config->authenticate ||
            config->authenticate(config->context, x, x->match.route, err) == 0)
                return true;
        exchange_problem(x, err);
        return false;
}

bool exchange_run(struct exchange *x) {
        struct dispatch dispatch = { 0 };
        struct error err = { 0 };

        /* cppcheck-suppress autoVariables ; until the handler returns or defers it */
        x->dispatch = &dispatch;
        if (authenticated(x, &err))
                x->match.route->handler(x);
        if (dispatch.deferred)
                return false;
        x->dispatch = NULL;
        if (!x->status) {
                (void) error_set(&err, ERR_INTERNAL, "the handler gave no answer");
                exchange_problem(x, &err);
        }
        return true;
}

void exchange_defer(struct exchange *x) {
        if (!x->dispatch)
                return;
        if (!x->suspended) { /* a quick handler, in the event thread */
                connection_works(x->connection);
                x->suspended = true;
                MHD_suspend_connection(x->mhd);
        }
        x->dispatch->deferred = true;
        x->dispatch = NULL;
}

void exchange_send(struct exchange *x) {
        struct http_server *server = x->connection->server;
        struct error err = { 0 };

        if (!x->status) {
                (void) error_set(&err, ERR_INTERNAL,
                                 "a deferred request was sent without an answer");
                exchange_problem(x, &err);
        }
        exchange_seal(x);
        http_server_sending(server, true);
        MHD_resume_connection(x->mhd); /* from here on the exchange is the event thread's */
        http_server_sending(server, false);
}

static void keep_small(struct buffer *buffer) {
        if (buffer->capacity > EXCHANGE_KEPT_MAX || buffer->failed)
                buffer_done(buffer);
        buffer->size = 0;
}

void exchange_clear(struct exchange *x) {
        exchange_set_principal(x, NULL, NULL);
        if (x->body.data)
                explicit_bzero(x->body.data,
                               x->body.size); /* it may hold a token or a challengePassword */
        keep_small(&x->body);
        keep_small(&x->reply);
        keep_small(&x->fields);
        keep_small(&x->query.text);
        query_clear(&x->query);
        if (x->response)
                MHD_destroy_response(x->response);
        x->response = NULL;
        lent_return(x);
        x->needs_worker = false;
        x->state = EXCHANGE_IDLE;
        x->status = 0;
        x->discarded = 0;
        x->close = false;
        x->suspended = false;
        x->match.route = NULL;
        x->match.params_len = 0;
}

void exchange_done(struct exchange *x) {
        exchange_clear(x);
        buffer_done(&x->body);
        buffer_done(&x->reply);
        buffer_done(&x->fields);
        query_done(&x->query);
}
