/*
 * Configuration: found, read and checked before anything is started. It opens nothing but its own files.
 */
#include "daemon/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cad-build.h"
#include "daemon/listen.h"
#include "daemon/own_names.h"
#include "daemon/signer/host.h"
#include "daemon/alert.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"

/* No handler of ours waits for the signer, and only revoking waits for the disk: more threads only bring more switching between them. */
#define WORKERS_DEFAULT 4
#define CONFIG_FILE "cad.conf"
#define CONFIG_DROP_INS "cad.conf.d"
#define SERVICE_STATE_DIR "/var/lib/cad" /* StateDirectory= of cad.service */
#define HTTPS_DEFAULT "[::]:8443"
#define HTTP_DEFAULT "[::]:8080"
#define HTTPS_VALIDITY_MIN_S 60
#define HTTPS_VALIDITY_MAX_S (397 * INT64_C(86400)) /* of the profile https */

#define COUNT_MAX 65536 /* connections, requests */
#define WORKERS_MAX 256 /* threads */
#define ANCHOR_EVERY_MAX_S INT64_C(86400)

void config_done(struct config *config) {
        free(config->config_dir);
        free(config->config_file);
        free(config->state_dir);
        free(config->socket_path);
        free(config->passphrase_file);
        free(config->https);
        free(config->http);
        free(config->public_url);
        free(config->own_names);
        free(config->signer_socket);
        free(config->signer_dir);
        free(config->alert_command);
        config->access = access_list_free(config->access);
        *config = (struct config){ 0 };
}

/* ---- files ---- */

struct access_words {
        struct access_list *list;
        enum role role;
};

static int add_access_word(const char *word, void *context, struct error *err) {
        struct access_words *words = context;

        return access_list_add(words->list, words->role, word, err);
}

static int set_access(void *target, const char *value, enum role role, struct error *err) {
        struct access_words words = { ((struct config *) target)->access, role };

        if (!*value)
                access_list_reset(words.list, role);
        return setting_words(value, add_access_word, &words, err);
}

static int set_admin(void *target, const char *value, size_t offset, struct error *err) {
        (void) offset;
        return set_access(target, value, ROLE_ADMIN, err);
}

static int set_operator(void *target, const char *value, size_t offset, struct error *err) {
        (void) offset;
        return set_access(target, value, ROLE_OPERATOR, err);
}

static int set_reader(void *target, const char *value, size_t offset, struct error *err) {
        (void) offset;
        return set_access(target, value, ROLE_READER, err);
}

/* What the command line said stays. */
static int set_socket(void *target, const char *value, size_t offset, struct error *err) {
        if (*value != '/')
                return error_set(err, ERR_CONFIG, "'%.60s' is no absolute path", value);
        return ((struct config *) target)->socket_given
                ? 0
                : setting_set_text(target, value, offset, err);
}

/* What the command line said stays; what a file says is checked all the same. */
static int set_address(void *target, const char *value, size_t offset, bool given,
                       struct error *err) {
        if (listen_address_check(value, /* ret_port= */ NULL, err) < 0)
                return -1;
        return given ? 0 : setting_set_text(target, value, offset, err);
}

static int set_https(void *target, const char *value, size_t offset, struct error *err) {
        return set_address(target, value, offset, ((struct config *) target)->https_given, err);
}

static int set_http(void *target, const char *value, size_t offset, struct error *err) {
        return set_address(target, value, offset, ((struct config *) target)->http_given, err);
}

static int set_public_url(void *target, const char *value, size_t offset, struct error *err) {
        char checked[CERT_URL_MAX];

        if (host_check_public_url(value, checked, sizeof(checked), err) < 0) {
                err->code = ERR_CONFIG;
                return -1;
        }
        return setting_set_text(target, checked, offset, err);
}

/* Names of several lines add up; an empty value resets them. */
static int set_own_names(void *target, const char *value, size_t offset, struct error *err) {
        char **names = (char **) (void *) ((char *) target + offset);
        CAD_AUTO(free_text) char *all = NULL;

        if (own_names_check(value, err) < 0)
                return -1;
        if (asprintf(&all, "%s %s", *value && *names ? *names : "", value) < 0) {
                all = NULL;
                return error_no_memory(err);
        }
        return setting_set_text(target, all, offset, err);
}

static int set_https_validity(void *target, const char *value, size_t offset, struct error *err) {
        int64_t seconds;

        if (setting_set_duration(&seconds, value, 0, err) < 0)
                return -1;
        if (seconds < HTTPS_VALIDITY_MIN_S || seconds > HTTPS_VALIDITY_MAX_S)
                return error_set(err, ERR_CONFIG, "'%.40s' is not from 1m to 397d", value);
        memcpy((char *) target + offset, &seconds, sizeof(seconds));
        return 0;
}

/* None of these may be 0, and more than this helps nobody. */
static int set_count(void *target, const char *value, size_t offset, struct error *err) {
        uint64_t number;

        if (text_to_u64(value, COUNT_MAX, &number) < 0 || number == 0)
                return error_set(err, ERR_CONFIG, "'%.40s' is not a whole number from 1 to %d",
                                 value, COUNT_MAX);
        *(uint32_t *) (void *) ((char *) target + offset) = (uint32_t) number;
        return 0;
}

static int set_workers(void *target, const char *value, size_t offset, struct error *err) {
        uint64_t number;

        if (text_to_u64(value, WORKERS_MAX, &number) < 0 || number == 0)
                return error_set(err, ERR_CONFIG, "'%.40s' is not a whole number from 1 to %d",
                                 value, WORKERS_MAX);
        return set_count(target, value, offset, err);
}

static int set_metrics_access(void *target, const char *value, size_t offset, struct error *err) {
        bool is_public = strcmp(value, "public") == 0;

        if (!is_public && strcmp(value, "reader") != 0)
                return error_set(err, ERR_CONFIG, "'%.40s' is neither public nor reader", value);
        *(bool *) (void *) ((char *) target + offset) = is_public;
        return 0;
}

static int set_crl_duration(void *target, const char *value, size_t offset, struct error *err) {
        int64_t seconds;

        if (duration_parse(value, &seconds, err) < 0)
                return -1;
        if (seconds < 1 || seconds > CRL_VALIDITY_MAX_S)
                return error_set(err, ERR_CONFIG, "'%.40s' is not between 1s and 400d", value);
        *(int64_t *) (void *) ((char *) target + offset) = seconds;
        return 0;
}

static int set_crl_validity(void *target, const char *value, size_t offset, struct error *err) {
        if (set_crl_duration(target, value, offset, err) < 0)
                return -1;
        if (*(int64_t *) (void *) ((char *) target + offset) < CRL_VALIDITY_MIN_S)
                return error_set(err, ERR_CONFIG, "'%.40s' is too short: 10s is the least", value);
        return 0;
}

/* Who fetches one before it is renewed must have time until it lapses. */
static int check_crl(const struct config *config, struct error *err) {
        struct crl_settings crl = crl_settings_of(&config->crl, false);
        char validity[DURATION_TEXT_MAX], refresh[DURATION_TEXT_MAX];

        if (crl.refresh_s > crl.validity_s / 2)
                return error_set(
                        err, ERR_CONFIG,
                        "[Crl] Refresh= is %s with a Validity= of %s: half of it is the most, so that a failure can be mended in time",
                        duration_format(crl.refresh_s, refresh),
                        duration_format(crl.validity_s, validity));
        return 0;
}

static int set_alert(void *target, const char *value, size_t offset, struct error *err) {
        struct alert_words words;

        if (alert_words_parse(value, &words, err) < 0)
                return -1;
        return setting_set_text(target, value, offset, err);
}

static int set_anonymous(void *target, const char *value, size_t offset, struct error *err) {
        bool request = strcmp(value, "request") == 0;

        if (!request && strcmp(value, "no") != 0)
                return error_set(
                        err, ERR_CONFIG,
                        "'%.40s' is neither request (anybody may hand in a request) nor no", value);
        *(bool *) (void *) ((char *) target + offset) = request;
        return 0;
}

static int set_queue_max(void *target, const char *value, size_t offset, struct error *err) {
        uint64_t number;

        if (text_to_u64(value, ENROLMENT_QUEUE_MAX, &number) < 0 || number == 0)
                return error_set(err, ERR_CONFIG, "'%.40s' is not a whole number from 1 to %d",
                                 value, ENROLMENT_QUEUE_MAX);
        return set_count(target, value, offset, err);
}

static int set_request_expires(void *target, const char *value, size_t offset, struct error *err) {
        int64_t seconds = 0;

        if (duration_parse(value, &seconds, err) < 0)
                return -1;
        if (seconds < ENROLMENT_EXPIRES_MIN_S || seconds > ENROLMENT_EXPIRES_MAX_S)
                return error_set(err, ERR_CONFIG, "'%.40s' is not from 1m to 1y", value);
        *(int64_t *) (void *) ((char *) target + offset) = seconds;
        return 0;
}

static int set_anchor_every(void *target, const char *value, size_t offset, struct error *err) {
        int64_t seconds;

        if (duration_parse(value, &seconds, err) < 0)
                return -1;
        if (seconds < 1 || seconds > ANCHOR_EVERY_MAX_S)
                return error_set(
                        err, ERR_CONFIG,
                        "'%.40s': the audit is anchored every second at most, and every day at least",
                        value);
        *(int64_t *) (void *) ((char *) target + offset) = seconds;
        return 0;
}

static const struct setting config_settings[] = {
        { "Listen", "Socket", SETTING_TO(set_socket, struct config, socket_path) },
        { "Signer", "StateDir", SETTING_TO(setting_set_text, struct config, signer_dir) },
        { "Listen", "Https", SETTING_TO(set_https, struct config, https) },
        { "Listen", "Http", SETTING_TO(set_http, struct config, http) },
        { "Listen", "PublicUrl", SETTING_TO(set_public_url, struct config, public_url) },
        { "Listen", "Names", SETTING_TO(set_own_names, struct config, own_names) },
        { "Listen", "HttpsValidity",
          SETTING_TO(set_https_validity, struct config, https_validity_s) },
        { "Limits", "ConnectionsPerPeer",
          SETTING_TO(set_count, struct config, connections_per_peer) },
        { "Limits", "RequestsWaiting", SETTING_TO(set_count, struct config, requests_waiting) },
        { "Limits", "Workers", SETTING_TO(set_workers, struct config, workers) },
        { "Access", "Admin", .set = set_admin },
        { "Access", "Operator", .set = set_operator },
        { "Access", "Reader", .set = set_reader },
        { "Enrolment", "Anonymous", SETTING_TO(set_anonymous, struct config, enrolment.anonymous) },
        { "Enrolment", "QueueMax", SETTING_TO(set_queue_max, struct config, enrolment.queue_max) },
        { "Enrolment", "PerSource", SETTING_TO(set_count, struct config, enrolment.per_source) },
        { "Enrolment", "Expires",
          SETTING_TO(set_request_expires, struct config, enrolment.expires_s) },
        { "Crl", "Validity", SETTING_TO(set_crl_validity, struct config, crl.validity_s) },
        { "Crl", "Refresh", SETTING_TO(set_crl_duration, struct config, crl.refresh_s) },
        { "Audit", "AnchorEvery", SETTING_TO(set_anchor_every, struct config, anchor_every_s) },
        { "Alert", "Command", SETTING_TO(set_alert, struct config, alert_command) },
        { "Metrics", "Access", SETTING_TO(set_metrics_access, struct config, metrics_public) },
        { 0 },
};

static int is_conf(const struct dirent *entry) {
        return entry->d_name[0] != '.' && text_ends_with(entry->d_name, ".conf");
}

static int read_drop_ins(int dir_fd, struct config *config, struct error *err) {
        struct dirent **entries = NULL;
        int count = scandirat(dir_fd, CONFIG_DROP_INS, &entries, is_conf, alphasort), rc = 0;
        char path[512];

        if (count < 0)
                return errno == ENOENT ? 0
                                       : error_errno(err, errno, "cannot list %s", CONFIG_DROP_INS);
        for (int i = 0; i < count; i++) {
                (void) snprintf(path, sizeof(path), CONFIG_DROP_INS "/%s", entries[i]->d_name);
                if (rc == 0)
                        rc = settings_read(dir_fd, path, config_settings, config, err);
                free(entries[i]);
        }
        free(entries);
        return rc;
}

static int read_files(struct config *config, struct error *err) {
        CAD_AUTO(fd_close) int dir_fd = -1;
        struct error missing = { 0 };
        const char *name;

        if (!config->config_dir)
                return 0;
        dir_fd = folder_open(AT_FDCWD, config->config_dir, false,
                             config->config_file ? err : &missing);
        if (dir_fd < 0) {
                if (config->config_file)
                        return -1;
                if (missing.code == ERR_NOT_FOUND)
                        return 0;
                *err = missing;
                return -1;
        }
        name = config->config_file ? strrchr(config->config_file, '/') : NULL;
        name = name ? name + 1 : config->config_file ? config->config_file : CONFIG_FILE;
        if (settings_read(dir_fd, name, config_settings, config, &missing) < 0 &&
            (missing.code != ERR_NOT_FOUND || config->config_file)) {
                if (missing.code == ERR_NOT_FOUND)
                        return error_set(err, ERR_NOT_FOUND, "--config: %s is not there",
                                         config->config_file);
                *err = missing;
                return -1;
        }
        return read_drop_ins(dir_fd, config, err) < 0 ? -1 : check_crl(config, err);
}

/* ---- command line ---- */

static const struct {
        const char *name;
        size_t offset;
} option_rows[] = {
        { "--config", offsetof(struct config, config_file) },
        { "--state-dir", offsetof(struct config, state_dir) },
        { "--socket", offsetof(struct config, socket_path) },
        { "--passphrase-file", offsetof(struct config, passphrase_file) },
        { "--https", offsetof(struct config, https) },
        { "--http", offsetof(struct config, http) },
        { "--signer-socket", offsetof(struct config, signer_socket) },
};

/* "--name value" or "--name=value". Return: words used, 0 where it is another option, -1 with @err */
static int take_option(int argc, char **argv, int at, struct config *config, struct error *err) {
        for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++) {
                size_t n = strlen(option_rows[i].name);
                const char *value;
                bool joined = strncmp(argv[at], option_rows[i].name, n) == 0 && argv[at][n] == '=';

                if (!joined && strcmp(argv[at], option_rows[i].name) != 0)
                        continue;
                value = joined ? argv[at] + n + 1 : at + 1 < argc ? argv[at + 1] : "";
                if (!*value)
                        return error_set(err, ERR_USAGE, "%s wants a value", option_rows[i].name);
                if (setting_set_text(config, value, option_rows[i].offset, err) < 0)
                        return -1;
                return joined ? 1 : 2;
        }
        return 0;
}

static int read_command_line(int argc, char **argv, const char **rest, struct config *config,
                             struct error *err) {
        size_t kept = 0;

        for (int at = 1; at < argc;) {
                int used = take_option(argc, argv, at, config, err);

                if (used < 0)
                        return -1;
                if (used == 0 && strcmp(argv[at], "--debug") == 0) {
                        config->debug = true;
                        used = 1;
                }
                if (used == 0 && !rest)
                        return error_set(
                                err, ERR_USAGE,
                                "there is no option '%s' here: `cad --help` lists what there is",
                                argv[at]);
                if (used == 0) {
                        rest[kept++] = argv[at];
                        used = 1;
                }
                at += used;
        }
        if (rest)
                rest[kept] = NULL;
        return 0;
}

/* ---- defaults ---- */

static int join(char **ret, struct error *err, const char *folder, const char *name) {
        free(*ret);
        if (asprintf(ret, "%s%s%s", folder, *name ? "/" : "", name) < 0) {
                *ret = NULL;
                return error_no_memory(err);
        }
        return 0;
}

static int default_config_dir(struct config *config, bool state_dir_given, struct error *err) {
        if (config->config_file) {
                CAD_AUTO(free_text) char *copy = strdup(config->config_file);

                return copy ? join(&config->config_dir, err, dirname(copy), "")
                            : error_no_memory(err);
        }
        /* somebody who names a state folder of his own has a CA of his own: the system's configuration is another one's */
        if (state_dir_given || access(CAD_CONFIG_DIR, F_OK) < 0)
                return 0;
        return join(&config->config_dir, err, CAD_CONFIG_DIR, "");
}

static int default_state_dir(struct config *config, struct error *err) {
        const char *given = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME"),
                   *home = getenv("HOME");

        if (config->state_dir)
                return 0;
        if (given && *given)
                return join(&config->state_dir, err, given, "");
        /* A signer of its own user is the service's: `sudo cactl restore` is about that CA, not about one in root's home. */
        if (config->signer_dir)
                return join(&config->state_dir, err, SERVICE_STATE_DIR, "");
        if (xdg && *xdg)
                return join(&config->state_dir, err, xdg, "cad");
        if (home && *home)
                return join(&config->state_dir, err, home, ".local/state/cad");
        return error_set(err, ERR_USAGE,
                         "there is no HOME to keep the state in: give --state-dir DIR");
}

static int default_socket(struct config *config, struct error *err) {
        const char *runtime = getenv("RUNTIME_DIRECTORY");

        if (config->socket_path)
                return 0;
        if (runtime && *runtime)
                return join(&config->socket_path, err, runtime, "cad.sock");
        return join(&config->socket_path, err, config->state_dir, "cad.sock");
}

/* Return: 0 with @*address there; a wrong one on the command line is its user's fault */
static int default_address(char **address, const char *option, const char *otherwise,
                           struct error *err) {
        struct error wrong = { 0 };

        if (!*address)
                return setting_set_text(address, otherwise, 0, err);
        if (listen_address_check(*address, /* ret_port= */ NULL, &wrong) == 0)
                return 0;
        return error_set(err, ERR_USAGE, "%s: %s", option, wrong.text);
}

/* Paths are handed to another process and shown to people: they are made absolute once. */
static int make_absolute(char **path, struct error *err) {
        CAD_AUTO(free_text) char *relative = NULL;
        CAD_AUTO(free_text) char *here = NULL;

        if (!*path || **path == '/')
                return 0;
        here = getcwd(NULL, 0);
        if (!here)
                return error_errno(err, errno, "cannot find out where '%s' is", *path);
        relative = CAD_TAKE(*path);
        return join(path, err, here, relative);
}

int config_read(int argc, char **argv, const char **rest, struct config *ret, struct error *err) {
        CAD_AUTO(config_done)
        struct config config = { .enrolment = ENROLMENT_DEFAULTS, .access = access_list_new() };
        bool state_dir_given;

        if (!config.access)
                return error_no_memory(err);
        if (read_command_line(argc, argv, rest, &config, err) < 0)
                return -1;
        state_dir_given = config.state_dir != NULL;
        config.socket_given = config.socket_path != NULL;
        config.https_given = config.https != NULL;
        config.http_given = config.http != NULL;
        if (make_absolute(&config.config_file, err) < 0 ||
            default_config_dir(&config, state_dir_given, err) < 0 || read_files(&config, err) < 0 ||
            default_state_dir(&config, err) < 0 || make_absolute(&config.state_dir, err) < 0 ||
            default_address(&config.https, "--https", HTTPS_DEFAULT, err) < 0 ||
            default_address(&config.http, "--http", HTTP_DEFAULT, err) < 0 ||
            default_socket(&config, err) < 0 || make_absolute(&config.socket_path, err) < 0 ||
            make_absolute(&config.passphrase_file, err) < 0)
                return -1;
        config.limits.per_user_max = config.connections_per_peer;
        config.limits.per_address_max = config.connections_per_peer;
        config.limits.workers = config.workers ? config.workers : WORKERS_DEFAULT;
        config.limits.queue_max = config.requests_waiting;
        *ret = config;
        config = (struct config){ 0 };
        return 0;
}

int config_read_again(const struct config *config, struct config *ret, struct error *err) {
        CAD_AUTO(config_done)
        struct config fresh = { .enrolment = ENROLMENT_DEFAULTS, .access = access_list_new() };

        if (!fresh.access)
                return error_no_memory(err);
        if ((config->config_dir && !(fresh.config_dir = strdup(config->config_dir))) ||
            (config->config_file && !(fresh.config_file = strdup(config->config_file))))
                return error_no_memory(err);
        if (read_files(&fresh, err) < 0)
                return -1;
        *ret = fresh;
        fresh = (struct config){ 0 };
        return 0;
}

int config_read_access(const struct config *config, struct access_list **ret, struct error *err) {
        CAD_AUTO(config_done) struct config fresh = { 0 };

        if (config_read_again(config, &fresh, err) < 0)
                return -1;
        *ret = CAD_TAKE(fresh.access);
        return 0;
}
