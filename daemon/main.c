/*
 * cad: the daemon that faces the network. It reads its configuration, starts the signer, opens the store, listens,
 * and then only keeps watch: all work happens in the rooms below.
 *
 * It holds no CA key.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <poll.h>

#include "cad-build.h"
#include "daemon/alert.h"
#include "daemon/authority/backup.h"
#include "daemon/authority/audit.h"
#include "daemon/authority/publisher.h"
#include "daemon/config.h"
#include "daemon/front.h"
#include "daemon/heartbeat.h"
#include "daemon/http/exchange.h"
#include "daemon/http/server.h"
#include "daemon/journal.h"
#include "daemon/keeper.h"
#include "daemon/launch.h"
#include "daemon/resident.h"
#include "daemon/rest/rest.h"
#include "daemon/restore.h"
#include "daemon/supervise.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define EXIT_USAGE 2
#define PULSE_MS 1000
#define READERS \
        4 /* connections to the store for reading: workers and event threads seldom read at once */
#define ENDPOINTS_FILE "endpoints.json"

struct daemon {
        struct config config;
        int state_fd, signal_fd;
        struct authority *authority;
        struct launch_plan plan;
        struct launcher launcher;
        struct supervisor *supervisor;
        struct rest rest;
        struct front front;
        struct alert *alert;
        struct heartbeat heartbeat;
        int64_t watchdog_ms; /* 0: nobody watches */
};

/* ---- start ---- */

static int block_signals(struct error *err) {
        sigset_t set;
        int fd;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ,
                      SIG_IGN); /* a file-size limit is an error of write() like a full disk */
        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        (void) sigaddset(&set, SIGCHLD);
        (void) pthread_sigmask(SIG_BLOCK, &set, NULL);
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? error_errno(err, errno, "cannot receive signals") : fd;
}

/*
 * Woken, a thread of a batch process does not interrupt whoever runs (sched(7)): it takes its turn, finds several pieces of
 * work instead of one, and the processor changes hands less often. The signer inherits it. A unit sets it itself
 * (CPUSchedulingPolicy=batch), and whatever else an admin chose stays.
 */
static void take_turns(void) {
        const struct sched_param none = { 0 };

        if (sched_getscheduler(0) == SCHED_OTHER)
                (void) sched_setscheduler(0, SCHED_BATCH, &none);
}

/* What is taken for granted from here on, whoever started us. */
static void settle_process(void) {
        int fd;

        do { /* else the first file that is opened becomes the standard error of whoever writes there */
                fd = open("/dev/null", O_RDWR);
        } while (fd >= 0 && fd <= STDERR_FILENO);
        (void) fd_close(fd);
        (void) signal(SIGCHLD, SIG_DFL); /* where it is ignored, no child can be waited for */
        (void) umask(0077);
        take_turns();
}

/* Who may change the folder may put a database or a socket of his own there. */
static int check_folder(int fd, const char *path, struct error *err) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_errno(err, errno, "cannot look at %s", path);
        if (st.st_mode & S_IWGRP)
                return error_set(err, ERR_FILE_UNSAFE,
                                 "the state folder %s is writable by its group: chmod g-w %s", path,
                                 path);
        if (geteuid() != 0 && st.st_uid != geteuid() && st.st_uid != 0)
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "the state folder %s belongs to uid %u, neither to this user (%u) nor to root",
                        path, (unsigned) st.st_uid, (unsigned) geteuid());
        return 0;
}

/* Says early who has the store; the lock itself is taken when it is opened. */
static int check_alone(int state_fd, struct error *err) {
        CAD_AUTO(fd_close) int lock = lock_take(state_fd, "lock", err);

        return lock < 0 ? -1 : 0;
}

static int load_authority(struct daemon *d, struct error *err) {
        CAD_AUTO(fd_close) int config_fd = -1;
        struct profile_set *profiles = NULL;

        if (d->config.config_dir)
                config_fd = open(d->config.config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (profiles_load(config_fd, config_fd >= 0 ? "profiles.d" : NULL, &profiles, err) < 0)
                return -1;
        return authority_new(profiles, CAD_TAKE(d->config.access), &d->authority, err);
}

static int start_front(struct daemon *d, struct error *err) {
        const struct health_source backups = { .name = "backup",
                                               .check = backup_health,
                                               .context = &d->state_fd };

        authority_add_health(d->authority, &backups);
        d->rest.authority = d->authority;
        d->rest.state_fd = d->state_fd;
        atomic_store(&d->rest.metrics_public, d->config.metrics_public);
        authority_set_enrolment(d->authority, &d->config.enrolment);
        audit_set_anchor_every(d->authority, d->config.anchor_every_s);
        return front_start(&d->front, &d->config, &d->rest, d->state_fd, err);
}

static int write_endpoints(struct daemon *d, struct error *err) {
        CAD_AUTO(free_text) char *text = NULL;
        json_t *document = json_pack("{s:i, s:s}", "pid", (int) getpid(), "version", CAD_VERSION);

        if (document)
                front_describe(&d->front, &d->config, document);
        text = document ? json_dumps(document, JSON_INDENT(2)) : NULL;
        json_decref(document);
        if (!text)
                return error_no_memory(err);
        return file_replace(d->state_fd, ENDPOINTS_FILE, bytes_of(text), 0644, err);
}

static void greet(const struct daemon *d) {
        const struct ca_info *ca = authority_ca(d->authority);
        CAD_AUTO(buffer_done) struct buffer names = { 0 };

        constraints_describe(ca_info_active(ca)->constraints, &names);
        log_notice("cad %s serves \"%s\" on %s", CAD_VERSION, ca->name, d->config.socket_path);
        front_greet(&d->front, &d->config);
        log_notice("root SHA-256 %s", ca->id);
        log_notice("it issues for %s",
                   constraints_empty(ca_info_active(ca)->constraints)
                           ? "every name: it is not constrained"
                           : buffer_string(&names));
        if (ca->issued_before == 0)
                log_notice(
                        "a domain of your own is added by `cad init --again --permit-dns NAME` as long as nothing was issued");
}

/* Who starts the signer: cad itself, or the keeper where cad was started as root and is root no more. */
static int choose_launcher(struct daemon *d, struct error *err) {
        int dropped;

        if (d->config.signer_socket) {
                d->launcher = launcher_socket(d->config.signer_socket);
                return 0;
        }
        if (launch_plan_make(&d->config, &d->plan, err) < 0)
                return -1;
        dropped = keeper_begin(&d->config, &d->plan, &d->launcher, err);
        if (dropped == 0)
                d->launcher = launcher_direct(&d->plan);
        return dropped < 0 ? -1 : 0;
}

static int64_t watchdog_ms(void) {
        uint64_t us = 0;

        return sd_watchdog_enabled(/* unset_environment= */ 0, &us) > 0 ? (int64_t) (us / 1000) : 0;
}

/* Two cads on one state want the same ports, too: then it is the state that they are told about. */
static int open_front(struct daemon *d, struct error *err) {
        CAD_AUTO(fd_close) int state_fd = -1;
        struct error taken = { 0 };

        if (front_open(&d->front, &d->config, err) == 0)
                return 0;
        if (err->code == ERR_BUSY)
                state_fd = folder_open(AT_FDCWD, d->config.state_dir, false, NULL);
        if (state_fd >= 0 && check_alone(state_fd, &taken) < 0 && taken.code == ERR_BUSY)
                *err = taken;
        return -1;
}

static int start(struct daemon *d, struct error *err) {
        settle_process();
        d->watchdog_ms = watchdog_ms();
        if (open_front(d, err) < 0 || choose_launcher(d, err) < 0)
                return -1;
        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        d->signal_fd = block_signals(err);
        if (d->signal_fd < 0)
                return -1;
        d->state_fd = folder_open(AT_FDCWD, d->config.state_dir, true, err);
        if (d->state_fd < 0 || check_folder(d->state_fd, d->config.state_dir, err) < 0 ||
            check_alone(d->state_fd, err) < 0 || load_authority(d, err) < 0 ||
            supervisor_start(&d->launcher, d->authority, &d->supervisor, err) < 0 ||
            authority_open_store(d->authority, d->state_fd, READERS, err) < 0 ||
            authority_start_publisher(d->authority, d->state_fd, &d->config.crl, err) < 0 ||
            start_front(d, err) < 0 ||
            alert_start(d->authority, d->config.alert_command, &d->alert, err) < 0 ||
            write_endpoints(d, err) < 0)
                return -1;
        greet(d);
        audit_system(d->authority, "daemon.start", NULL, NULL, "cad " CAD_VERSION);
        heartbeat_begin(&d->heartbeat, d->front.server, authority_store(d->authority));
        (void) sd_notify(0, "READY=1");
        resident_forget_start();
        return 0;
}

/* ---- watch ---- */

static void reload(struct daemon *d) {
        CAD_AUTO(config_done) struct config fresh = { 0 };
        struct profile_set *profiles = NULL;
        CAD_AUTO(fd_close) int config_fd = -1;
        struct error err = { 0 };

        if (d->config.config_dir)
                config_fd = open(d->config.config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (config_read_again(&d->config, &fresh, &err) < 0 ||
            profiles_load(config_fd, config_fd >= 0 ? "profiles.d" : NULL, &profiles, &err) < 0) {
                log_error(LOG_LEVEL_ERROR, &err,
                          "the configuration was not read anew, the old one stays");
                audit_system(d->authority, "config.reload", NULL, error_slug(err.code), err.text);
                return;
        }
        authority_set_access(d->authority, CAD_TAKE(fresh.access));
        atomic_store(&d->rest.metrics_public, fresh.metrics_public);
        authority_set_enrolment(d->authority, &fresh.enrolment);
        authority_set_profiles(d->authority, profiles);
        publisher_set(authority_publisher(d->authority), &fresh.crl);
        (void) alert_set(d->alert, fresh.alert_command, NULL); /* it was checked when it was read */
        supervisor_reload(d->supervisor);
        front_reload(&d->front, &fresh);
        audit_set_anchor_every(d->authority, fresh.anchor_every_s);
        audit_system(d->authority, "config.reload", NULL, NULL, NULL);
        log_notice("configuration and profiles read anew");
}

/* Return: whether to go on */
static bool on_signal(struct daemon *d) {
        struct signalfd_siginfo info;

        while (read(d->signal_fd, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
                if (info.ssi_signo == SIGHUP)
                        reload(d);
                else if (info.ssi_signo != SIGCHLD)
                        return false;
        }
        return true;
}

/* Fed by the threads that do the work, and only passed on from here. */
static void feed_watchdog(struct daemon *d) {
        heartbeat_pulse(&d->heartbeat);
        if (d->watchdog_ms && heartbeat_fresh(&d->heartbeat, d->watchdog_ms / 4 * 3))
                (void) sd_notify(0, "WATCHDOG=1");
}

static void watch(struct daemon *d) {
        struct pollfd p = { .fd = d->signal_fd, .events = POLLIN };

        for (;;) {
                (void) poll(&p, 1, PULSE_MS);
                if (!on_signal(d))
                        return;
                supervisor_pulse(d->supervisor);
                front_pulse(&d->front);
                requests_tick(d->authority);
                feed_watchdog(d);
                journal_flush();
        }
}

/* ---- end ---- */

static int stop(struct daemon *d, struct error *err) {
        (void) sd_notify(0, "STOPPING=1");
        if (d->front.server) {
                front_quiesce(&d->front, &d->config);
                authority_quiesce(d->authority);
                if (front_stop(&d->front, err) < 0)
                        return -1;
                (void) unlinkat(d->state_fd, ENDPOINTS_FILE, 0);
        }
        d->alert = alert_free(d->alert);
        if (d->supervisor) {
                audit_system(d->authority, "daemon.stop", NULL, NULL, NULL);
                audit_flush(d->authority);
        }
        d->supervisor = supervisor_free(d->supervisor);
        d->authority = authority_free(d->authority);
        front_done(&d->front);
        launch_plan_done(&d->plan);
        d->state_fd = fd_close(d->state_fd);
        d->signal_fd = fd_close(d->signal_fd);
        return 0;
}

static int fail(const struct error *err) {
        (void) fprintf(stderr, "cad: %s\n", err->text);
        return err->code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILURE;
}

/* ---- commands ---- */

static int command_run(int argc, char **argv) {
        struct daemon d = { .state_fd = -1, .signal_fd = -1 };
        struct error err = { 0 }, stopped = { 0 };
        int rc;

        if (config_read(argc, argv, NULL, &d.config, &err) < 0)
                return fail(&err);
        journal_begin(d.config.debug);
        rc = start(&d, &err);
        if (rc == 0)
                watch(&d);
        if (stop(&d, &stopped) < 0) {
                log_error(LOG_LEVEL_ERROR, &stopped, "not all work could be ended");
                journal_flush();
                _exit(EXIT_FAILURE);
        }
        config_done(&d.config);
        journal_flush();
        return rc < 0 ? fail(&err) : EXIT_SUCCESS;
}

/* The signer makes the CA: its commands are its own, cad only tells it where. */
static int run_signer(const char *command, const struct config *config, const char **rest,
                      struct error *err) {
        CAD_AUTO(free_text) char *state_dir = NULL;
        CAD_AUTO(free_text) char *store = NULL;
        const char *argv[128];
        char program[4096], port_text[8];
        uint16_t port = 0;
        size_t argc = 0;

        if (signer_state_dir(config, &state_dir, err) < 0)
                return -1;
        if (asprintf(&store, "%s/cad.db", config->state_dir) < 0)
                return error_no_memory(err);
        if (signer_program(program, sizeof(program), err) < 0)
                return -1;
        argv[argc++] = program;
        argv[argc++] = command;
        argv[argc++] = "--state-dir";
        argv[argc++] = state_dir;
        argv[argc++] = "--store";
        argv[argc++] = store;
        if (config->config_dir) {
                argv[argc++] = "--config-dir";
                argv[argc++] = config->config_dir;
        }
        if (config->passphrase_file) {
                argv[argc++] = "--passphrase-file";
                argv[argc++] = config->passphrase_file;
        }
        if (config->public_url) { /* a later one, of the command line, wins */
                argv[argc++] = "--public-url";
                argv[argc++] = config->public_url;
        }
        if (listen_address_check(config->http, &port, NULL) == 0 && port) {
                (void) snprintf(port_text, sizeof(port_text), "%u", port);
                argv[argc++] = "--http-port";
                argv[argc++] = port_text;
        }
        for (size_t i = 0; rest[i]; i++) {
                if (argc == ARRAY_SIZE(argv) - 1)
                        return error_set(err, ERR_USAGE, "there are more than %zu words",
                                         ARRAY_SIZE(argv));
                argv[argc++] = rest[i];
        }
        argv[argc] = NULL;
        (void) execv(program, (char *const *) (uintptr_t) argv);
        return error_errno(err, errno, "cannot run %s", program);
}

static int command_of_signer(const char *command, int argc, char **argv) {
        const char **rest = calloc((size_t) argc + 2, sizeof(*rest));
        struct config config = { 0 };
        struct error err = { 0 };

        if (!rest)
                return fail(&(struct error){ .text = "out of memory" });
        if (config_read(argc, argv, rest, &config, &err) == 0)
                (void) run_signer(command, &config, rest, &err);
        config_done(&config);
        free(rest);
        return fail(&err);
}

static int command_init(int argc, char **argv) {
        return command_of_signer("init", argc, argv);
}

static int command_clock(int argc, char **argv) {
        if (argc < 2 || strcmp(argv[1], "accept") != 0)
                return fail(&(struct error){ .code = ERR_USAGE,
                                             .text = "`cad clock accept` is what there is" });
        return command_of_signer("clock-accept", argc - 1, argv + 1);
}

static int command_check_config(int argc, char **argv) {
        struct profile_set *profiles = NULL;
        struct config config = { 0 };
        CAD_AUTO(fd_close) int config_fd = -1;
        struct error err = { 0 };
        int rc = config_read(argc, argv, NULL, &config, &err);

        if (rc == 0 && config.config_dir)
                config_fd = open(config.config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (rc == 0)
                rc = profiles_load(config_fd, config_fd >= 0 ? "profiles.d" : NULL, &profiles,
                                   &err);
        if (rc == 0)
                (void) printf(
                        "the configuration is fine (state in %s, socket %s, configuration folder %s)\n",
                        config.state_dir, config.socket_path,
                        config.config_dir ? config.config_dir : "none");
        (void) profiles_free(profiles);
        config_done(&config);
        return rc < 0 ? fail(&err) : EXIT_SUCCESS;
}

static int command_help(int argc, char **argv) {
        (void) argc;
        (void) argv;
        (void) puts(
                "cad: a certificate authority for LANs\n"
                "\n"
                "  cad [--config FILE] [--state-dir DIR] [--socket PATH] [--https ADDR:PORT] [--http ADDR:PORT]\n"
                "      [--passphrase-file FILE] [--debug]\n"
                "      run in the foreground; the first start makes the CA\n"
                "  cad init [--name NAME] [--permit-dns NAME]... [--permit-ip CIDR]... [--permit-email DOMAIN]... [--unconstrained]\n"
                "           [--key ecdsa-p256|ecdsa-p384|ed25519|rsa-3072|rsa-4096] [--root-validity 20y]\n"
                "           [--intermediate-validity 5y] [--passphrase-file FILE | --ask-passphrase]\n"
                "           [--root-cert FILE --root-key FILE] [--public-url http://NAME[:PORT]] [--again]\n"
                "      make the CA with choices of your own\n"
                "  cad restore FILE [--check] [--accept-loss] [--passphrase-file FILE]\n"
                "      put a backup back; `cactl restore` and `cactl backup verify` run it\n"
                "  cad clock accept      the signer's time mark is wrong, the clock is right\n"
                "  cad check-config      read the configuration and say what is wrong with it\n"
                "\n"
                "`cactl` issues and revokes; `man cad` says more.");
        return EXIT_SUCCESS;
}

static int command_version(int argc, char **argv) {
        (void) argc;
        (void) argv;
        (void) puts("cad " CAD_VERSION);
        return EXIT_SUCCESS;
}

static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
} commands[] = {
        { "init", command_init },
        { "clock", command_clock },
        { "check-config", command_check_config },
        { "restore", restore_command },
        { "backup-keys", backup_keys_command },
        { "--help", command_help },
        { "-h", command_help },
        { "--version", command_version },
};

int main(int argc, char **argv) {
        for (size_t i = 0; argc >= 2 && i < ARRAY_SIZE(commands); i++)
                if (strcmp(commands[i].name, argv[1]) == 0)
                        return commands[i].run(argc - 1, argv + 1);
        return command_run(argc, argv);
}
