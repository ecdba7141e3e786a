/*
 * cad-signer: the process that holds the keys. It reads its command line, finds or makes the CA, and serves.
 *
 * It opens no network socket, no database, and runs no program.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cad-build.h"
#include "daemon/signer/accept.h"
#include "daemon/signer/bundle.h"
#include "daemon/signer/clock.h"
#include "daemon/signer/create.h"
#include "daemon/signer/owned.h"
#include "daemon/signer/passphrase.h"
#include "daemon/signer/sandbox.h"
#include "daemon/signer/serve.h"
#include "daemon/signer/signlog.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/service.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"

#define EXIT_USAGE 2
#define SERVICE_STATE_DIR "/var/lib/cad" /* StateDirectory= of cad.service */
#define LOCK_PATIENCE_MS 3000            /* less than cad waits for a hello */
#define LOCK_RETRY_MS 5

/* What the command line says; all commands share it. */
struct options {
        const char *state_dir, *config_dir, *store_path, *passphrase_path;
        int socket_fd; /* to cad; -1: none yet */
        int listen_fd; /* of systemd, where cad will connect; -1: none */
        uid_t peer_uid;
        bool ask_passphrase;
        bool check; /* of import: a rehearsal */
        struct ca_plan plan;
        bool dns_chosen;
};

struct signer_conf {
        uint32_t per_hour;
        char *passphrase_path;
        char *public_url; /* NULL: as it was chosen when the CA was made */
};

static const struct setting signer_settings[] = {
        { "Limits", "PerHour", SETTING_TO(setting_set_u32, struct signer_conf, per_hour) },
        { "Keys", "PassphraseFile",
          SETTING_TO(setting_set_text, struct signer_conf, passphrase_path) },
        { "Ca", "PublicUrl", SETTING_TO(setting_set_text, struct signer_conf, public_url) },
        { 0 },
};

/* ---- options: a row each ---- */

typedef int (*option_setter)(struct options *o, const char *value, struct error *err);

static int set_state_dir(struct options *o, const char *value, struct error *err) {
        (void) err;
        o->state_dir = value;
        return 0;
}

static int set_config_dir(struct options *o, const char *value, struct error *err) {
        (void) err;
        o->config_dir = value;
        return 0;
}

static int set_store(struct options *o, const char *value, struct error *err) {
        (void) err;
        o->store_path = value;
        return 0;
}

static int set_socket_fd(struct options *o, const char *value, struct error *err) {
        uint64_t fd;

        if (text_to_u64(value, 1024, &fd) < 0)
                return error_set(err, ERR_USAGE, "--socket-fd %s is no descriptor", value);
        o->socket_fd = (int) fd;
        return 0;
}

static int set_peer_user(struct options *o, const char *value, struct error *err) {
        const struct passwd *user = getpwnam(value);

        if (!user)
                return error_set(err, ERR_USAGE, "--peer-user %s: there is no such user", value);
        o->peer_uid = user->pw_uid;
        return 0;
}

static int set_passphrase_file(struct options *o, const char *value, struct error *err) {
        (void) err;
        o->passphrase_path = value;
        return 0;
}

static int set_ask(struct options *o, const char *value, struct error *err) {
        (void) value;
        (void) err;
        o->ask_passphrase = true;
        return 0;
}

static int set_check(struct options *o, const char *value, struct error *err) {
        (void) value;
        (void) err;
        o->check = true;
        return 0;
}

static int set_name(struct options *o, const char *value, struct error *err) {
        (void) err;
        o->plan.name = value;
        return 0;
}

static int permit_dns(struct options *o, const char *value, struct error *err) {
        return constraints_permit_dns(o->plan.constraints, value, err);
}

static int permit_ip(struct options *o, const char *value, struct error *err) {
        return constraints_permit_ip(o->plan.constraints, value, err);
}

static int permit_email(struct options *o, const char *value, struct error *err) {
        return constraints_permit_email(o->plan.constraints, value, err);
}

static int set_unconstrained(struct options *o, const char *value, struct error *err) {
        (void) value;
        (void) err;
        o->plan.unconstrained = true;
        return 0;
}

static int set_key(struct options *o, const char *value, struct error *err) {
        return key_spec_parse(value, false, &o->plan.key_type, &o->plan.key_bits, err);
}

static int set_root_validity(struct options *o, const char *value, struct error *err) {
        return duration_parse(value, &o->plan.root_validity_s, err);
}

static int set_intermediate_validity(struct options *o, const char *value, struct error *err) {
        return duration_parse(value, &o->plan.intermediate_validity_s, err);
}

static int set_root_cert(struct options *o, const char *value, struct error *err) {
        (void) err;
        o->plan.root_cert_path = value;
        return 0;
}

static int set_root_key(struct options *o, const char *value, struct error *err) {
        (void) err;
        o->plan.root_key_path = value;
        return 0;
}

static int set_public_url(struct options *o, const char *value, struct error *err) {
        (void) err;
        o->plan.public_url = value;
        return 0;
}

static int set_http_port(struct options *o, const char *value, struct error *err) {
        uint64_t port;

        if (text_to_u64(value, 65535, &port) < 0)
                return error_set(err, ERR_USAGE, "--http-port %s is no port", value);
        o->plan.http_port = (unsigned) port;
        return 0;
}

static int set_again(struct options *o, const char *value, struct error *err) {
        (void) value;
        (void) err;
        o->plan.again = true;
        return 0;
}

static const struct {
        const char *name;
        int has_value;
        option_setter set;
} option_rows[] = {
        { "state-dir", required_argument, set_state_dir },
        { "config-dir", required_argument, set_config_dir },
        { "store", required_argument, set_store },
        { "socket-fd", required_argument, set_socket_fd },
        { "peer-user", required_argument, set_peer_user },
        { "passphrase-file", required_argument, set_passphrase_file },
        { "ask-passphrase", no_argument, set_ask },
        { "check", no_argument, set_check },
        { "name", required_argument, set_name },
        { "permit-dns", required_argument, permit_dns },
        { "permit-ip", required_argument, permit_ip },
        { "permit-email", required_argument, permit_email },
        { "unconstrained", no_argument, set_unconstrained },
        { "key", required_argument, set_key },
        { "root-validity", required_argument, set_root_validity },
        { "intermediate-validity", required_argument, set_intermediate_validity },
        { "root-cert", required_argument, set_root_cert },
        { "root-key", required_argument, set_root_key },
        { "public-url", required_argument, set_public_url },
        { "http-port", required_argument, set_http_port },
        { "again", no_argument, set_again },
};
#define OPTION_COUNT ARRAY_SIZE(option_rows)

static int parse_options(int argc, char **argv, struct options *o, struct error *err) {
        struct option longs[OPTION_COUNT + 1] = { 0 };
        int index;

        for (size_t i = 0; i < OPTION_COUNT; i++)
                longs[i] = (struct option){ option_rows[i].name, option_rows[i].has_value, NULL,
                                            1 };
        optind = 1;
        opterr = 0;
        for (;;) {
                int c = getopt_long(argc, argv, ":", longs, &index);

                if (c == -1)
                        break;
                if (c == ':')
                        return error_set(err, ERR_USAGE, "%s wants a value", argv[optind - 1]);
                if (c != 1)
                        return error_set(err, ERR_USAGE,
                                         "there is no option %s: `man cad` lists them",
                                         argv[optind - 1]);
                if (option_rows[index].set(o, optarg, err) < 0)
                        return -1;
        }
        if (optind < argc)
                return error_set(err, ERR_USAGE, "'%s' is one word too many", argv[optind]);
        if (!o->state_dir)
                return error_set(err, ERR_USAGE, "--state-dir is missing");
        return 0;
}

/* ---- what every command does first ---- */

struct session {
        struct options o;
        struct signer_conf conf;
        struct ca_place place;
        int lock_fd;
        struct buffer passphrase;
};

struct command {
        const char *name;
        int (*run)(struct session *s, struct error *err);
        bool as_owner; /* root becomes whose the folder is */
        bool beside_cad; /* while a signer may be at work: it takes no lock and changes nothing of the signer's */
        bool serves;
};

/* A cad that was killed leaves its signer behind for a moment, and is itself started again at once: that signer is waited for. */
static int lock_place(struct session *s, struct error *err) {
        bool serves = s->o.socket_fd >= 0 || s->o.listen_fd >= 0;
        int64_t until = moment_monotonic_ms() + (serves ? LOCK_PATIENCE_MS : 0);

        while ((s->lock_fd = lock_take(s->place.state_fd, "lock", err)) < 0) {
                struct error cause = *err;

                if (err->code == ERR_BUSY && !serves)
                        return error_set(err, ERR_BUSY, "%s is %s: stop cad first", s->o.state_dir,
                                         cause.text);
                if (err->code != ERR_BUSY || moment_monotonic_ms() >= until)
                        return -1;
                (void) usleep(LOCK_RETRY_MS * 1000);
        }
        return 0;
}

/* Who runs `cad init` as themselves is sent to the installed CA's folder. */
static int say_whose_folder(const char *state_dir, struct error *err) {
        struct error first = *err;

        if (geteuid() == 0 || first.code != ERR_IO || access(state_dir, R_OK | W_OK | X_OK) == 0 ||
            (errno != EACCES && errno != ENOENT))
                return -1;
        return error_set(
                err, first.code,
                "%.300s: use sudo for the CA of this machine, or give --state-dir DIR and --config FILE of your own",
                first.text);
}

static int open_place(struct session *s, bool serves, struct error *err) {
        struct error missing = { 0 };

        s->place.store_path = s->o.store_path;
        s->place.state_fd = folder_open(AT_FDCWD, s->o.state_dir, true, err);
        if (s->place.state_fd < 0)
                return serves ? -1 : say_whose_folder(s->o.state_dir, err);
        if (s->o.config_dir) {
                s->place.config_fd = folder_open(AT_FDCWD, s->o.config_dir, false, &missing);
                if (s->place.config_fd < 0 && missing.code != ERR_NOT_FOUND) {
                        *err = missing;
                        return -1;
                }
        }
        return 0;
}

static int read_conf(struct session *s, struct error *err) {
        struct error missing = { 0 };

        if (s->place.config_fd < 0)
                return 0;
        if (settings_read(s->place.config_fd, "signer.conf", signer_settings, &s->conf, &missing) <
                    0 &&
            missing.code != ERR_NOT_FOUND) {
                *err = missing;
                return -1;
        }
        if (!s->o.plan.public_url)
                s->o.plan.public_url = s->conf.public_url;
        return 0;
}

static int begin(struct session *s, const struct command *command, int argc, char **argv,
                 struct error *err) {
        if ((command->serves && service_listen_fd(&s->o.listen_fd, err) < 0) ||
            ca_plan_defaults(&s->o.plan, err) < 0 || parse_options(argc, argv, &s->o, err) < 0 ||
            open_place(s, command->serves, err) < 0 || read_conf(s, err) < 0 ||
            passphrase_find(s->o.passphrase_path ? s->o.passphrase_path : s->conf.passphrase_path,
                            &s->passphrase, err) < 0)
                return -1;
        if (command->as_owner && owned_become(s->place.state_fd, s->o.state_dir, err) < 0)
                return -1;
        /* before the lock, too: it is one of them */
        if (!command->beside_cad && owned_check(s->place.state_fd, s->o.state_dir, err) < 0)
                return -1;
        return command->beside_cad ? 0 : lock_place(s, err);
}

/* ---- commands ---- */

/* "--state-dir DIR " of cad, whose database is in it; nothing where that is the service's. */
static void state_option(const char *store_path, struct buffer *out) {
        const char *slash = store_path ? strrchr(store_path, '/') : NULL;
        CAD_AUTO(buffer_done) struct buffer folder = { 0 };

        if (!slash)
                return;
        buffer_append(&folder, BYTES(store_path, (size_t) (slash - store_path)));
        if (!text_equal(buffer_string(&folder), SERVICE_STATE_DIR))
                buffer_format(out, "--state-dir %s ", buffer_string(&folder));
}

static void print_made(const struct ca *ca, const char *store_path) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 }, where = { 0 };
        const struct ca_issuer *active = ca_issuer_find(ca, "");

        constraints_describe(active->constraints, &names);
        state_option(store_path, &where);
        (void) printf(
                "made the CA \"%s\"\n  root SHA-256  %s\n  public URL    %s\n  it issues for %s\n"
                "A domain of your own is added by `cad init %s--again --permit-dns NAME`, as long as nothing was issued.\n",
                ca->name, ca->id, ca->public_url, buffer_string(&names), buffer_string(&where));
}

static int command_init(struct session *s, struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;

        if (s->o.ask_passphrase &&
            passphrase_ask("passphrase for the CA's keys: ", true, &s->passphrase, err) < 0)
                return -1;
        s->o.plan.passphrase = buffer_bytes(&s->passphrase);
        if (s->o.plan.constraints && !s->o.plan.unconstrained &&
            constraints_close(s->o.plan.constraints, err) < 0)
                return -1;
        if (ca_create(&s->place, &s->o.plan, moment_now(), err) < 0 ||
            ca_load(s->place.state_fd, buffer_bytes(&s->passphrase), &ca, err) < 0)
                return -1;
        print_made(ca, s->o.store_path);
        if (s->o.plan.unconstrained)
                log_warning(
                        "this CA is not name-constrained: whoever trusts it trusts it for every name there is");
        return 0;
}

static int command_clock_accept(struct session *s, struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct clock_mark mark = { 0 };
        char now[MOMENT_TEXT_MAX];
        int64_t now_ms = moment_now_ms();

        (void) clock_mark_read(s->place.state_fd, &mark, NULL);
        (void) ca_load_public(s->place.state_fd, &ca, NULL);
        if (clock_check_ca(now_ms, ca ? ca->root.validity.not_before : 0, err) < 0)
                return -1;
        mark.latest_ms = now_ms;
        if (signlog_clock_accepted(s->place.state_fd, now_ms / 1000, err) < 0 ||
            clock_mark_write(s->place.state_fd, &mark, err) < 0)
                return -1;
        (void) printf("the clock, %s, is taken as right\n", moment_format(now_ms / 1000, now));
        return 0;
}

static int find_ca(struct session *s, struct ca **ret, struct error *err) {
        int absent = ca_absent(&s->place, err);

        if (absent < 0)
                return -1;
        if (absent) {
                s->o.plan.passphrase = buffer_bytes(&s->passphrase);
                if (constraints_close(s->o.plan.constraints, err) < 0 ||
                    ca_create(&s->place, &s->o.plan, moment_now(), err) < 0)
                        return -1;
                log_notice("made a new CA: there was none");
        }
        if (ca_load(s->place.state_fd, buffer_bytes(&s->passphrase), ret, err) == 0)
                return ca_settle(&s->place, *ret, err);
        if (err->code != ERR_KEY_PASSPHRASE || s->passphrase.size)
                return -1;
        if (passphrase_ask("passphrase of the CA's keys: ", false, &s->passphrase, err) < 0 ||
            ca_load(s->place.state_fd, buffer_bytes(&s->passphrase), ret, err) < 0)
                return -1;
        return ca_settle(&s->place, *ret, err);
}

static int command_serve(struct session *s, struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;
        struct profile_set *profiles = NULL;
        struct serve_options options = { .state_fd = s->place.state_fd,
                                         .config_fd = s->place.config_fd,
                                         .per_hour = s->conf.per_hour };

        if (s->o.socket_fd < 0 && s->o.listen_fd < 0)
                return error_set(
                        err, ERR_USAGE,
                        "neither --socket-fd nor a socket of systemd: cad starts cad-signer by itself");
        if (find_ca(s, &ca, err) < 0 ||
            (s->o.plan.public_url && ca_use_public_url(ca, s->o.plan.public_url, err) < 0) ||
            profiles_load(s->place.config_fd, s->place.config_fd >= 0 ? "profiles.d" : NULL,
                          &profiles, err) < 0)
                return -1;
        options.passphrase = buffer_bytes(&s->passphrase);
        options.profiles = profiles;
        if (ca_probe(ca, profiles, moment_now(), err) < 0)
                return -1;
        if (s->o.listen_fd >= 0) { /* else the manager watches whoever started us */
                service_notify_open();
                service_notify("READY=1");
        }
        if (s->o.socket_fd < 0 &&
            (s->o.socket_fd = accept_cad(s->o.listen_fd, s->o.peer_uid, err)) < 0)
                return -1;
        options.socket_fd = s->o.socket_fd;
        options.ca = CAD_TAKE(
                ca); /* lives as long as the process: signing threads may still be at work when serve() returns */
        if (serve(&options, err) < 0)
                return -1;
        _exit(EXIT_SUCCESS); /* the signing threads still run */
}

/* With the owner's eyes for a moment: root trusts no file of another user's. */
static int load_as_owner(int state_fd, struct ca **ret, struct error *err) {
        uid_t own = geteuid();
        struct stat st;
        int rc;

        if (fstat(state_fd, &st) < 0 || (own == 0 && seteuid(st.st_uid) < 0))
                return error_errno(err, errno, "cannot become the owner of the signer's folder");
        rc = ca_load_public(state_fd, ret, err);
        if (seteuid(own) < 0)
                return error_errno(err, errno, "cannot become uid %u again", (unsigned) own);
        return rc;
}

/* Root writes down which CA this is, where the signer itself may not write (ExecStartPost= of its unit): ca_absent() looks for it. */
static int command_remember(struct session *s, struct error *err) {
        CAD_AUTO(ca_free) struct ca *ca = NULL;

        if (s->place.config_fd < 0)
                return error_set(err, ERR_USAGE, "--config-dir is missing, or is not there");
        if (load_as_owner(s->place.state_fd, &ca, err) < 0)
                return -1;
        return ca_remember(&s->place, ca, err);
}

/* For a backup that root makes; to a pipe of cad's. */
static int command_export(struct session *s, struct error *err) {
        return bundle_export(s->place.state_fd, buffer_bytes(&s->passphrase), STDOUT_FILENO, err);
}

/* What a rehearsal of cad's asks for. */
static int try_import(struct session *s, struct error *err) {
        bool with_root;

        if (bundle_try(s->place.state_fd, buffer_bytes(&s->passphrase), STDIN_FILENO, &with_root,
                       err) < 0)
                return -1;
        (void) printf("the keys open with this passphrase%s\n",
                      with_root ? "" : "; the root's key is not among them");
        return 0;
}

static int command_import(struct session *s, struct error *err) {
        if (s->o.check)
                return try_import(s, err);
        return bundle_import(s->place.state_fd, buffer_bytes(&s->passphrase), STDIN_FILENO, err);
}

static const struct command commands[] = {
        { "init", command_init, .as_owner = true },
        { "clock-accept", command_clock_accept, .as_owner = true },
        { "remember", command_remember, .beside_cad = true },
        { "export", command_export, .as_owner = true, .beside_cad = true },
        { "import", command_import, .as_owner = true },
        { "serve", command_serve, .serves = true },
};

/* cad waits for a word: the error goes to it as the answer to its HELLO, and to the log. */
static void tell_cad(int socket_fd, const struct error *err) {
        uint8_t *frame = malloc(SIGNER_FRAME_MAX);
        struct bytes message;

        if (socket_fd >= 0 && frame) {
                message = sign_error_encode(frame, 0, err);
                (void) send(socket_fd, message.data, message.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        free(frame);
}

static int usage(void) {
        (void) fprintf(
                stderr,
                "cad-signer is started by cad, or by systemd. `cad init` makes a CA; `man cad-signer` says more.\n");
        return EXIT_USAGE;
}

static void session_done(struct session *s) {
        s->o.plan.constraints = constraints_free(s->o.plan.constraints);
        free(s->conf.passphrase_path);
        free(s->conf.public_url);
        buffer_wipe(&s->passphrase);
        s->lock_fd = fd_close(s->lock_fd);
        s->place.config_fd = fd_close(s->place.config_fd);
        s->place.state_fd = fd_close(s->place.state_fd);
}
CAD_CLEANUP_DONE(struct session, session_done)

static int run_command(size_t command, int argc, char **argv) {
        CAD_AUTO(session_done)
        struct session s = { .o = { .socket_fd = -1, .listen_fd = -1, .peer_uid = (uid_t) -1 },
                             .place = { .state_fd = -1, .config_fd = -1 },
                             .lock_fd = -1 };
        struct error err = { 0 };

        (void) umask(0077);
        if (sandbox_prepare(&err) == 0 && begin(&s, &commands[command], argc, argv, &err) == 0 &&
            commands[command].run(&s, &err) == 0)
                return EXIT_SUCCESS;
        if (s.o.socket_fd < 0 && s.o.listen_fd >= 0)
                s.o.socket_fd = accept_waiting(s.o.listen_fd);
        if (s.o.socket_fd >= 0)
                tell_cad(s.o.socket_fd, &err);
        if (s.o.socket_fd < 0 || s.o.listen_fd >= 0)
                (void) fprintf(stderr, "cad-signer: %s\n", err.text);
        return err.code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILURE;
}

int main(int argc, char **argv) {
        if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
                (void) printf("cad-signer %s\n", CAD_VERSION);
                return EXIT_SUCCESS;
        }
        for (size_t i = 0; argc >= 2 && i < ARRAY_SIZE(commands); i++)
                if (strcmp(commands[i].name, argv[1]) == 0)
                        return run_command(i, argc - 1, argv + 1);
        return usage();
}
