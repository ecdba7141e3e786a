/*
 * The front: put together and taken apart here, and nothing else; each part has its own file.
 */
#include "daemon/front.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/routes.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define FIRST_CERTIFICATE_MS 5000 /* a start waits so long for it, and goes on without */

/* ---- sockets ---- */

/* What a service manager passed stands in for what is configured. */
static int open_tcp(struct listeners *listeners, enum http_listener_kind kind, const char *address,
                    struct error *err) {
        int fd;

        if (listeners_has(listeners, kind) || strcmp(address, LISTEN_OFF) == 0)
                return 0;
        fd = listen_tcp(kind, address, err);
        return fd < 0 ? -1 : listeners_add(listeners, kind, fd, err);
}

/* A new CA's certificates point to the port of plain HTTP, unless that is another one at each start. */
static void learn_port(const struct front *front, struct config *config) {
        const struct http_listener *http = listeners_has(&front->listeners, HTTP_TCP);
        uint16_t configured = 0, real = 0;
        char where[LISTEN_TEXT_MAX];

        if (!http || listen_address_check(config->http, &configured, NULL) < 0 ||
            listen_address_check(listen_text(http->fd, where, sizeof(where)), &real, NULL) < 0)
                return;
        config->http_port = configured ? real : 0;
}

/* 0: there is none. */
static uint16_t https_port(const struct front *front) {
        const struct http_listener *https = listeners_has(&front->listeners, HTTP_TLS);
        char where[LISTEN_TEXT_MAX];
        uint16_t port = 0;

        if (https)
                (void) listen_address_check(listen_text(https->fd, where, sizeof(where)), &port,
                                            NULL);
        return port;
}

int front_open(struct front *front, struct config *config, struct error *err) {
        const struct http_listener *passed;
        char where[LISTEN_TEXT_MAX + 32];

        if (listeners_passed(&front->listeners, err) < 0 ||
            open_tcp(&front->listeners, HTTP_TLS, config->https, err) < 0 ||
            open_tcp(&front->listeners, HTTP_TCP, config->http, err) < 0)
                return -1;
        learn_port(front, config);
        passed = listeners_has(&front->listeners, HTTP_UNIX);
        if (!passed)
                return 0;
        free(config->socket_path);
        config->socket_path = strdup(listen_text(passed->fd, where, sizeof(where)));
        return config->socket_path ? 0 : error_no_memory(err);
}

static int open_unix(struct front *front, const struct config *config, struct error *err) {
        int fd;

        if (front->listeners.unix_passed)
                return 0;
        fd = listen_unix(config->socket_path, err);
        return fd < 0 ? -1 : listeners_add(&front->listeners, HTTP_UNIX, fd, err);
}

/* ---- names and certificate ---- */

static void on_identity(void *context, struct tls_identity *identity) {
        struct front *front = context;

        if (front->server)
                http_server_set_identity(front->server, identity);
        else
                (void) tls_identity_unref(identity);
}

static enum health_state check_https(void *context, int64_t now, struct buffer *detail) {
        return own_certificate_health(context, now, detail);
}

static int64_t https_not_after(void *context) {
        return own_certificate_not_after(context);
}

static int make_certificate(struct front *front, const struct config *config,
                            struct authority *authority, int state_fd, struct error *err) {
        const struct own_certificate_plan plan = { .authority = authority,
                                                   .names = front->names,
                                                   .state_fd = state_fd,
                                                   .validity_s = config->https_validity_s,
                                                   .changed = on_identity,
                                                   .context = front };
        struct health_source source = { .name = "https", .check = check_https };

        if (!listeners_has(&front->listeners, HTTP_TLS))
                return 0;
        if (own_certificate_new(&plan, &front->certificate, err) < 0)
                return -1;
        source.context = front->certificate;
        authority_add_health(authority, &source);
        own_certificate_wait(front->certificate, FIRST_CERTIFICATE_MS);
        return 0;
}

static bool host_allowed(void *context, enum http_listener_kind listener, const char *host) {
        const struct rest *rest = context;

        (void) listener;
        return own_names_allow(rest->names, host);
}

/* ---- life ---- */

static int start_server(struct front *front, const struct config *config, struct rest *rest,
                        struct error *err) {
        CAD_AUTO(tls_identity_unref) struct tls_identity *identity = NULL;
        struct http_config http = {
                .listeners = front->listeners.items,
                .listeners_len = front->listeners.count,
                .routes = cad_routes,
                .routes_len = cad_routes_count,
                .limits = config->limits,
                .context = rest,
                .authorize = route_authorize,
                .authenticate = route_authenticate,
                .host_allowed = host_allowed,
                .problem_form = cad_problem_form,
        };

        if (front->certificate)
                identity = own_certificate_identity(front->certificate);
        http.identity = identity;
        return http_server_start(&http, &front->server, err);
}

int front_start(struct front *front, struct config *config, struct rest *rest, int state_fd,
                struct error *err) {
        const struct ca_info *ca = authority_ca(rest->authority);

        if (own_names_new(ca->public_url, ca_info_active(ca)->constraints, config->own_names,
                          &front->names, err) < 0)
                return -1;
        rest->names = front->names;
        if (web_new(ca, https_port(front), moment_now(), &front->web, err) < 0)
                return -1;
        rest->web = front->web;
        if (make_certificate(front, config, rest->authority, state_fd, err) < 0)
                return -1;
        rest->https_not_after = front->certificate ? https_not_after : NULL;
        rest->https_context = front->certificate;
        if (open_unix(front, config, err) < 0 || listeners_begin(&front->listeners, err) < 0)
                return -1;
        return start_server(front, config, rest, err);
}

void front_describe(const struct front *front, const struct config *config, json_t *endpoints) {
        static const struct {
                enum http_listener_kind kind;
                const char *name;
        } rows[] = { { HTTP_TLS, "https" }, { HTTP_TCP, "http" } };
        char where[LISTEN_TEXT_MAX];

        (void) json_object_set_new(endpoints, "socket", json_string(config->socket_path));
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                const struct http_listener *l = listeners_has(&front->listeners, rows[i].kind);

                if (l)
                        (void) json_object_set_new(endpoints, rows[i].name,
                                                   json_string(listen_text(l->fd, where,
                                                                           sizeof(where))));
        }
}

static const char *where_is(const struct front *front, enum http_listener_kind kind, char *out,
                            size_t size) {
        const struct http_listener *l = listeners_has(&front->listeners, kind);

        return l ? listen_text(l->fd, out, size) : "off";
}

void front_greet(const struct front *front, const struct config *config) {
        char https[LISTEN_TEXT_MAX], http[LISTEN_TEXT_MAX];
        CAD_AUTO(buffer_done) struct buffer refused = { 0 };

        log_notice("REST on %s, HTTPS %s, plain HTTP %s", config->socket_path,
                   where_is(front, HTTP_TLS, https, sizeof(https)),
                   where_is(front, HTTP_TCP, http, sizeof(http)));
        own_names_refused(front->names, &refused);
        if (front->certificate && refused.size)
                log_notice(
                        "its own certificate is not for %s: the CA's constraints do not permit that",
                        buffer_string(&refused));
}

void front_pulse(struct front *front) {
        if (front->certificate)
                own_certificate_pulse(front->certificate, moment_now(), moment_monotonic_ms());
}

void front_reload(struct front *front, const struct config *fresh) {
        struct error err = { 0 };

        if (own_names_set_more(front->names, fresh->own_names, &err) < 0 ||
            own_names_refresh(front->names, &err) < 0)
                log_error(LOG_LEVEL_WARNING, &err, "the names of this host");
        if (front->certificate)
                own_certificate_reload(front->certificate, fresh->https_validity_s);
}

void front_quiesce(struct front *front, const struct config *config) {
        http_server_quiesce(front->server);
        if (!front->listeners.unix_passed)
                (void) unlink(config->socket_path);
}

int front_stop(struct front *front, struct error *err) {
        if (http_server_stop(front->server, err) < 0)
                return -1;
        front->server = NULL;
        front->listeners.count = 0; /* the server has closed them */
        return 0;
}

void front_done(struct front *front) {
        listeners_done(&front->listeners);
        front->certificate = own_certificate_free(front->certificate);
        front->names = own_names_free(front->names);
        front->web = web_free(front->web);
}
