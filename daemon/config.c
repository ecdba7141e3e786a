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
#include "lib/base/file.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"

/* No handler of ours waits for the signer, and only revoking waits for the disk: more threads only bring more switching between them. */
#define WORKERS_DEFAULT 4
#define CONFIG_FILE "cad.conf"
#define CONFIG_DROP_INS "cad.conf.d"
#define COUNT_MAX 65536 /* connections, requests */
#define WORKERS_MAX 256 /* threads */

void config_done(struct config *config) {
        free(config->config_dir);
        free(config->config_file);
        free(config->state_dir);
        free(config->socket_path);
        free(config->passphrase_file);
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

static const struct setting config_settings[] = {
        { "Listen", "Socket", SETTING_TO(set_socket, struct config, socket_path) },
        { "Limits", "ConnectionsPerPeer",
          SETTING_TO(set_count, struct config, connections_per_peer) },
        { "Limits", "RequestsWaiting", SETTING_TO(set_count, struct config, requests_waiting) },
        { "Limits", "Workers", SETTING_TO(set_workers, struct config, workers) },
        { "Access", "Admin", .set = set_admin },
        { "Access", "Operator", .set = set_operator },
        { "Access", "Reader", .set = set_reader },
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
                *err = missing;
                return -1;
        }
        return read_drop_ins(dir_fd, config, err);
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
        CAD_AUTO(config_done) struct config config = { .access = access_list_new() };
        bool state_dir_given;

        if (!config.access)
                return error_no_memory(err);
        if (read_command_line(argc, argv, rest, &config, err) < 0)
                return -1;
        state_dir_given = config.state_dir != NULL;
        config.socket_given = config.socket_path != NULL;
        if (make_absolute(&config.config_file, err) < 0 ||
            default_config_dir(&config, state_dir_given, err) < 0 || read_files(&config, err) < 0 ||
            default_state_dir(&config, err) < 0 || make_absolute(&config.state_dir, err) < 0 ||
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

int config_read_access(const struct config *config, struct access_list **ret, struct error *err) {
        CAD_AUTO(config_done) struct config fresh = { .access = access_list_new() };

        if (!fresh.access)
                return error_no_memory(err);
        if ((config->config_dir && !(fresh.config_dir = strdup(config->config_dir))) ||
            (config->config_file && !(fresh.config_file = strdup(config->config_file))))
                return error_no_memory(err);
        if (read_files(&fresh, err) < 0)
                return -1;
        *ret = CAD_TAKE(fresh.access);
        return 0;
}
