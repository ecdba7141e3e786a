/*
 * The table of services, and a look into their configuration. It reads what the admin wrote and changes none of it.
 */
#include "service.h"

#include <ctype.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client/files.h"
#include "lib/base/text.h"

/* Debian's names and places. A signal is what the service's own manual says for reading certificates again. */
static const struct service services[] = {
        {
                .name = "nginx",
                .unit = "nginx.service",
                .pid_file = "/run/nginx.pid",
                .process = "nginx",
                .signal = SIGHUP,
                .check = "nginx -t -q -c {config}",
                .configs = { "/etc/nginx/nginx.conf", "/etc/nginx/conf.d/*.conf",
                             "/etc/nginx/sites-enabled/*" },
                .directives = { { "ssl_certificate", CREDENTIAL_FULL_CHAIN },
                                { "ssl_certificate_key", CREDENTIAL_KEY } },
                .places = { [CREDENTIAL_FULL_CHAIN] = "/etc/nginx/cad/fullchain.pem",
                            [CREDENTIAL_KEY] = "/etc/nginx/cad/key.pem" },
                .key_mode = 0600,
                .hint = "ssl_certificate /etc/nginx/cad/fullchain.pem; ssl_certificate_key /etc/nginx/cad/key.pem;",
        },
        {
                .name = "apache",
                .unit = "apache2.service",
                .pid_file = "/run/apache2/apache2.pid",
                .process = "apache2",
                .signal = SIGUSR1,
                .check = "apache2ctl -t",
                .configs = { "/etc/apache2/apache2.conf", "/etc/apache2/conf-enabled/*.conf",
                             "/etc/apache2/sites-enabled/*" },
                .directives = { { "SSLCertificateFile", CREDENTIAL_FULL_CHAIN },
                                { "SSLCertificateChainFile", CREDENTIAL_CHAIN },
                                { "SSLCertificateKeyFile", CREDENTIAL_KEY } },
                .places = { [CREDENTIAL_FULL_CHAIN] = "/etc/apache2/cad/fullchain.pem",
                            [CREDENTIAL_KEY] = "/etc/apache2/cad/key.pem" },
                .key_mode = 0600,
                .hint = "SSLCertificateFile /etc/apache2/cad/fullchain.pem and SSLCertificateKeyFile /etc/apache2/cad/key.pem",
        },
        {
                .name = "haproxy",
                .unit = "haproxy.service",
                .pid_file = "/run/haproxy.pid",
                .process = "haproxy",
                .signal = SIGUSR2,
                .check = "haproxy -c -q -f {config}",
                .configs = { "/etc/haproxy/haproxy.cfg" },
                .directives = { { "crt", CREDENTIAL_COMBINED } },
                .places = { [CREDENTIAL_COMBINED] = "/etc/haproxy/cad/haproxy.pem" },
                .key_mode = 0600,
                .hint = "bind :443 ssl crt /etc/haproxy/cad/haproxy.pem",
        },
        {
                .name = "lighttpd",
                .unit = "lighttpd.service",
                .pid_file = "/run/lighttpd.pid",
                .process = "lighttpd",
                .signal = SIGUSR1,
                .check = "lighttpd -tt -f {config}",
                .configs = { "/etc/lighttpd/lighttpd.conf", "/etc/lighttpd/conf-enabled/*.conf" },
                .directives = { { "ssl.pemfile", CREDENTIAL_COMBINED },
                                { "ssl.privkey", CREDENTIAL_KEY } },
                .places = { [CREDENTIAL_COMBINED] = "/etc/lighttpd/cad/server.pem" },
                .key_mode = 0600,
                .hint = "ssl.pemfile = \"/etc/lighttpd/cad/server.pem\"",
        },
        {
                .name = "nats",
                .unit = "nats-server.service",
                .pid_file = "/run/nats-server.pid",
                .process = "nats-server",
                .signal = SIGHUP,
                .check = "nats-server -t -c {config}",
                .configs = { "/etc/nats-server.conf", "/etc/nats/*.conf" },
                .directives = { { "cert_file", CREDENTIAL_FULL_CHAIN },
                                { "key_file", CREDENTIAL_KEY } },
                .places = { [CREDENTIAL_FULL_CHAIN] = "/etc/nats/cad/fullchain.pem",
                            [CREDENTIAL_KEY] = "/etc/nats/cad/key.pem" },
                .owner = "nats",
                .group = "nats",
                .key_mode = 0600,
                .hint = "tls { cert_file: \"/etc/nats/cad/fullchain.pem\", key_file: \"/etc/nats/cad/key.pem\" }",
        },
        {
                .name = "mosquitto",
                .unit = "mosquitto.service",
                .pid_file = "/run/mosquitto/mosquitto.pid",
                .process = "mosquitto",
                .signal = SIGHUP,
                .configs = { "/etc/mosquitto/mosquitto.conf", "/etc/mosquitto/conf.d/*.conf" },
                .directives = { { "certfile", CREDENTIAL_FULL_CHAIN },
                                { "keyfile", CREDENTIAL_KEY } },
                .places = { [CREDENTIAL_FULL_CHAIN] = "/etc/mosquitto/certs/cad-fullchain.pem",
                            [CREDENTIAL_KEY] = "/etc/mosquitto/certs/cad-key.pem" },
                .owner = "root",
                .group = "mosquitto",
                .key_mode = 0640, /* it has dropped root when it reads it again */
                .hint = "certfile /etc/mosquitto/certs/cad-fullchain.pem and keyfile /etc/mosquitto/certs/cad-key.pem",
        },
        {
                .name = "postgresql",
                .unit = "postgresql.service",
                .pid_file = NULL, /* one a cluster: PidFile= says which */
                .process = "postgres",
                .signal = SIGHUP,
                .configs = { "/etc/postgresql/*/*/postgresql.conf",
                             "/etc/postgresql/*/*/conf.d/*.conf" },
                .directives = { { "ssl_cert_file", CREDENTIAL_FULL_CHAIN },
                                { "ssl_key_file", CREDENTIAL_KEY } },
                .places = { [CREDENTIAL_FULL_CHAIN] = "/etc/postgresql/cad/fullchain.pem",
                            [CREDENTIAL_KEY] = "/etc/postgresql/cad/key.pem" },
                .owner = "postgres",
                .group = "postgres",
                .key_mode = 0600,
                .hint = "ssl_cert_file = '/etc/postgresql/cad/fullchain.pem' and ssl_key_file = '/etc/postgresql/cad/key.pem'",
        },
        {
                .name = "postfix",
                .unit = "postfix.service",
                .pid_file = "/var/spool/postfix/pid/master.pid",
                .process = "master",
                .signal = SIGHUP,
                .check = "postfix check",
                .configs = { "/etc/postfix/main.cf" },
                .directives = { { "smtpd_tls_cert_file", CREDENTIAL_FULL_CHAIN },
                                { "smtpd_tls_key_file", CREDENTIAL_KEY } },
                .places = { [CREDENTIAL_FULL_CHAIN] = "/etc/postfix/cad/fullchain.pem",
                            [CREDENTIAL_KEY] = "/etc/postfix/cad/key.pem" },
                .key_mode = 0600,
                .hint = "smtpd_tls_cert_file = /etc/postfix/cad/fullchain.pem and smtpd_tls_key_file = /etc/postfix/cad/key.pem",
        },
        {
                .name = "dovecot",
                .unit = "dovecot.service",
                .pid_file = "/run/dovecot/master.pid",
                .process = "dovecot",
                .signal = SIGHUP,
                .check = "doveconf -c {config} -n",
                .configs = { "/etc/dovecot/dovecot.conf", "/etc/dovecot/conf.d/*.conf" },
                .directives = { { "ssl_cert", CREDENTIAL_FULL_CHAIN },
                                { "ssl_key", CREDENTIAL_KEY } },
                .places = { [CREDENTIAL_FULL_CHAIN] = "/etc/dovecot/private/cad-fullchain.pem",
                            [CREDENTIAL_KEY] = "/etc/dovecot/private/cad-key.pem" },
                .key_mode = 0600,
                .hint = "ssl_cert = </etc/dovecot/private/cad-fullchain.pem and ssl_key = </etc/dovecot/private/cad-key.pem",
        },
};

const struct service *service_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(services); i++)
                if (text_equal(services[i].name, name))
                        return &services[i];
        return NULL;
}

const char *service_names(void) {
        return "nginx, apache, haproxy, lighttpd, nats, mosquitto, postgresql, postfix, dovecot";
}

void found_done(struct found *found) {
        for (size_t i = 0; i < ARRAY_SIZE(found->paths); i++)
                free(found->paths[i]);
        *found = (struct found){ 0 };
}

/* ---- a configuration ---- */

/* The word's place in a line, as a word of its own; NULL: it is not there. A comment ends the line. */
static const char *after_word(const char *line, const char *word) {
        size_t size = strlen(word);

        for (const char *at = line; *at && *at != '#'; at++) {
                bool begins = at == line || isspace((unsigned char) at[-1]) ||
                        strchr("{;,", at[-1]);

                if (begins && strncasecmp(at, word, size) == 0 && at[size] &&
                    strchr(" \t=:", at[size]))
                        return at + size;
        }
        return NULL;
}

/* `directive value;`, `directive = "value"`, `directive: 'value'`, `directive = <value`. */
static char *value_of(const char *text) {
        text += strspn(text, " \t=:<\"'");
        return strndup(text, strcspn(text, " \t\r\n;,}\"'#"));
}

/* Shared by all services of a Debian machine, and made anew by its package: not to be replaced in passing. */
static bool is_snakeoil(const char *path) {
        return strstr(path, "ssl-cert-snakeoil") != NULL;
}

static int take_value(const struct service *service, const char *file, const char *text, size_t row,
                      struct found *found, struct error *err) {
        CAD_AUTO(free_text) char *value = value_of(text);
        char **there = &found->paths[service->directives[row].part];

        if (!value)
                return error_no_memory(err);
        if (is_snakeoil(value))
                return 0;
        if (*value != '/')
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "%s: %s names '%s', which is no absolute path: say with --to-... where the files are",
                        file, service->directives[row].word, value);
        if (*there && !text_equal(*there, value))
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "the configuration of %s names several certificates (%s, %s): say with --to-... which are meant",
                        service->name, *there, value);
        if (!*there)
                *there = CAD_TAKE(value);
        return 0;
}

static int look_at_line(const struct service *service, const char *file, const char *line,
                        struct found *found, struct error *err) {
        for (size_t row = 0; row < SERVICE_DIRECTIVES_MAX && service->directives[row].word; row++) {
                const char *text = after_word(line, service->directives[row].word);

                if (text && take_value(service, file, text, row, found, err) < 0)
                        return -1;
        }
        return 0;
}

static int look_into(const struct service *service, const char *file, struct found *found,
                     struct error *err) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error ignored = { 0 };
        char *save = NULL;

        if (input_read(file, &content, &ignored) < 0) /* not installed, or not ours to read */
                return 0;
        buffer_append(&content, BYTES("", 1));
        if (content.failed)
                return error_no_memory(err);
        for (char *line = strtok_r((char *) content.data, "\n", &save); line;
             line = strtok_r(NULL, "\n", &save))
                if (look_at_line(service, file, line, found, err) < 0)
                        return -1;
        return 0;
}

static void move(struct found *found, enum credential_part from, enum credential_part to) {
        free(found->paths[to]);
        found->paths[to] = CAD_TAKE(found->paths[from]);
}

/* A file for the chain, or for the key, says what is not in the other one. */
static void sort_out(struct found *found) {
        if (found->paths[CREDENTIAL_CHAIN] && found->paths[CREDENTIAL_FULL_CHAIN])
                move(found, CREDENTIAL_FULL_CHAIN, CREDENTIAL_CERTIFICATE);
        if (found->paths[CREDENTIAL_KEY] && found->paths[CREDENTIAL_COMBINED])
                move(found, CREDENTIAL_COMBINED, CREDENTIAL_FULL_CHAIN);
        if (found->paths[CREDENTIAL_KEY] &&
            text_equal(found->paths[CREDENTIAL_KEY], found->paths[CREDENTIAL_FULL_CHAIN])) {
                move(found, CREDENTIAL_FULL_CHAIN, CREDENTIAL_COMBINED);
                free(CAD_TAKE(found->paths[CREDENTIAL_KEY]));
        }
}

static int look_into_all(const struct service *service, const char *pattern, struct found *found,
                         struct error *err) {
        glob_t files = { 0 };
        int rc = 0;

        if (glob(pattern, 0, NULL, &files) == 0)
                for (size_t i = 0; i < files.gl_pathc && rc == 0; i++)
                        rc = look_into(service, files.gl_pathv[i], found, err);
        globfree(&files);
        return rc;
}

int service_look(const struct service *service, const char *config, struct found *ret,
                 struct error *err) {
        int rc = config ? look_into(service, config, ret, err) : 0;

        for (size_t i = 0; !config && rc == 0 && i < SERVICE_CONFIGS_MAX && service->configs[i];
             i++)
                rc = look_into_all(service, service->configs[i], ret, err);
        if (rc < 0)
                return -1;
        sort_out(ret);
        if (ret->paths[CREDENTIAL_COMBINED] &&
            text_ends_with(ret->paths[CREDENTIAL_COMBINED], "/")) /* haproxy: a folder of them */
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "the configuration of %s names the folder %s: say with --to-combined which file in it",
                        service->name, ret->paths[CREDENTIAL_COMBINED]);
        return 0;
}
