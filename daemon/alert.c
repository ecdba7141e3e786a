/*
 * Alerts: see alert.h. The command is run by cad and never by the signer: without a shell, with an environment of its own,
 * in a process group of its own, for half a minute at most.
 */
#include "daemon/alert.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/bytes.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define DAY_S INT64_C(86400)
#define THREAD_STACK (256u * 1024) /* bytes */
#define POLL_MS 50                 /* whether the command has ended */
#define ENVIRONMENT_MAX 12

/* ---- decisions ---- */

unsigned alert_stage(int64_t not_after, int64_t now) {
        static const int64_t days[] = { 30, 14, 7, 1, 0 };
        unsigned stage = 0;

        for (size_t i = 0; i < ARRAY_SIZE(days); i++)
                if (not_after - now < days[i] * DAY_S)
                        stage++;
        return stage;
}

static enum alert_kind wanted(const struct alert_state *s, bool failing, unsigned stage,
                              int64_t now_ms) {
        bool settled = now_ms - s->seen_since_ms >= ALERT_SETTLE_MS;

        if (failing && settled && (!s->told_failing || now_ms - s->run_ms >= ALERT_AGAIN_MS))
                return ALERT_FAILING;
        if (!failing && settled && s->told_failing)
                return ALERT_OK;
        return stage > s->told_stage ? ALERT_EXPIRING : ALERT_NONE;
}

enum alert_kind alert_look(struct alert_state *s, bool failing, unsigned stage, int64_t now_ms) {
        if (failing != s->seen_failing || s->seen_since_ms == 0) {
                s->seen_failing = failing;
                s->seen_since_ms = now_ms;
                s->tries = 0;
        }
        if (stage < s->told_stage)
                s->told_stage = stage; /* it was renewed */
        if (s->run_ms && now_ms - s->run_ms < ALERT_REST_MS)
                return ALERT_NONE;
        return wanted(s, failing, stage, now_ms);
}

void alert_ran(struct alert_state *s, enum alert_kind kind, unsigned stage, bool good,
               int64_t now_ms) {
        s->run_ms = now_ms;
        if (!good && ++s->tries < ALERT_TRIES_MAX)
                return;
        s->tries = 0;
        if (kind == ALERT_EXPIRING)
                s->told_stage = stage;
        else
                s->told_failing = kind == ALERT_FAILING;
}

/* ---- the command's words ---- */

/* One word from @at on, unquoted in place. Return: behind it, or NULL where a quote is open. */
static char *take_word(char *at, char **ret_end) {
        char *out = at, quote = '\0';

        for (; *at && (quote || (*at != ' ' && *at != '\t')); at++) {
                if (*at == quote)
                        quote = '\0';
                else if (!quote && (*at == '"' || *at == '\''))
                        quote = *at;
                else if (*at == '\\' && quote != '\'' && at[1])
                        *out++ = *++at;
                else
                        *out++ = *at;
        }
        if (quote)
                return NULL;
        if (*at)
                at++;
        *ret_end = out;
        return at;
}

int alert_words_parse(const char *line, struct alert_words *ret, struct error *err) {
        char *at = ret->text;

        ret->count = 0;
        if (strlen(line) >= sizeof(ret->text))
                return error_set(err, ERR_CONFIG, "a command of more than %zu bytes",
                                 sizeof(ret->text) - 1);
        (void) snprintf(ret->text, sizeof(ret->text), "%s", line);
        for (at += strspn(at, " \t"); *at; at += strspn(at, " \t")) {
                char *next, *end;

                if (ret->count == ALERT_WORDS_MAX)
                        return error_set(err, ERR_CONFIG, "a command of more than %d words",
                                         ALERT_WORDS_MAX);
                next = take_word(at, &end);
                if (!next)
                        return error_set(err, ERR_CONFIG,
                                         "a quotation mark is not closed in '%.60s'", line);
                *end = '\0';
                ret->at[ret->count++] = (uint16_t) (at - ret->text);
                at = next;
        }
        if (ret->count && ret->text[ret->at[0]] != '/')
                return error_set(
                        err, ERR_CONFIG,
                        "'%.60s' is no absolute path of a program (there is no shell here)",
                        ret->text + ret->at[0]);
        return 0;
}

/* ---- running it ---- */

struct alert {
        struct authority *authority;
        pthread_t thread;
        struct alert_state state; /* the thread's */
        pthread_mutex_t lock;
        pthread_cond_t wake;
        bool stopping;
        struct alert_words command;
};

static const char *const kind_names[] = {
        [ALERT_NONE] = "",
        [ALERT_FAILING] = "failing",
        [ALERT_OK] = "ok",
        [ALERT_EXPIRING] = "expiring",
};
_Static_assert(ARRAY_SIZE(kind_names) == ALERT_KIND_COUNT, "one name a kind");

/* struct environment - NAME=value texts, owned */
struct environment {
        char *at[ENVIRONMENT_MAX + 1];
        size_t count;
};

static void environment_done(struct environment *e) {
        for (size_t i = 0; i < e->count; i++)
                free(e->at[i]);
        *e = (struct environment){ 0 };
}
CAD_CLEANUP_DONE(struct environment, environment_done)

static void environment_add(struct environment *e, const char *name, const char *value) {
        if (value && e->count < ENVIRONMENT_MAX &&
            asprintf(&e->at[e->count], "%s=%s", name, value) >= 0)
                e->count++;
}

static void describe(const struct health *health, enum alert_kind kind, struct buffer *text) {
        for (size_t i = 0; i < health->count; i++)
                if (health->checks[i].state == HEALTH_FAILING)
                        buffer_format(text, "%s%s: %s", text->size ? "\n" : "",
                                      health->checks[i].name, health->checks[i].detail);
        if (kind == ALERT_EXPIRING)
                buffer_format(text, "%s%s", text->size ? "\n" : "", health->expires_text);
        if (kind == ALERT_OK)
                buffer_text(text, "all is well again");
}

static void fill_environment(struct alert *alert, enum alert_kind kind, const char *text,
                             struct environment *e) {
        const struct ca_info *ca = authority_ca(alert->authority);
        int64_t since_s = (moment_monotonic_ms() - alert->state.seen_since_ms) / 1000;
        char since[MOMENT_TEXT_MAX];
        const char *path = getenv("PATH");

        environment_add(e, "PATH", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
        environment_add(e, "LANG", "C.UTF-8");
        environment_add(e, "HOME", getenv("HOME"));
        environment_add(e, "CAD_ALERT", kind_names[kind]);
        environment_add(e, "CAD_ALERT_TEXT", text);
        environment_add(e, "CAD_ALERT_SINCE", moment_format(moment_now() - since_s, since));
        if (ca) {
                environment_add(e, "CAD_NAME", ca->name);
                environment_add(e, "CAD_FINGERPRINT", ca->id);
        }
}

/* cad blocks signals and ignores some; a program expects neither. Nothing of ours stays open in it. */
static int spawn(char *const *argv, char *const *environment, pid_t *ret) {
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        sigset_t none, defaults;
        int rc;

        (void) sigemptyset(&none);
        (void) sigemptyset(&defaults);
        (void) sigaddset(&defaults, SIGPIPE);
        (void) sigaddset(&defaults, SIGXFSZ);
        if (posix_spawn_file_actions_init(&files) != 0)
                return ENOMEM;
        if (posix_spawnattr_init(&attributes) != 0) {
                (void) posix_spawn_file_actions_destroy(&files);
                return ENOMEM;
        }
        rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (rc == 0)
                rc = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
        if (rc == 0)
                rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
        (void) posix_spawnattr_setflags(&attributes,
                                        POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                POSIX_SPAWN_SETPGROUP);
        (void) posix_spawnattr_setsigmask(&attributes, &none);
        (void) posix_spawnattr_setsigdefault(&attributes, &defaults);
        (void) posix_spawnattr_setpgroup(&attributes, 0);
        if (rc == 0)
                rc = posix_spawn(ret, argv[0], &files, &attributes, argv, environment);
        (void) posix_spawnattr_destroy(&attributes);
        (void) posix_spawn_file_actions_destroy(&files);
        return rc;
}

/* With the lock, given up meanwhile. Return: whether it is time to stop */
static bool sleep_ms(struct alert *alert, int64_t ms) {
        struct timespec until;

        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        ms += until.tv_nsec / 1000000;
        until.tv_sec += ms / 1000;
        until.tv_nsec = ms % 1000 * 1000000 + until.tv_nsec % 1000000;
        if (!alert->stopping)
                (void) pthread_cond_timedwait(&alert->wake, &alert->lock, &until);
        return alert->stopping;
}

/* Return: whether it has ended with 0 in time */
static bool wait_for(struct alert *alert, pid_t pid) {
        int64_t until_ms = moment_monotonic_ms() + ALERT_TIMEOUT_MS;
        bool stop = false;
        int status = 0;
        pid_t ended;

        while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
                if (stop || moment_monotonic_ms() >= until_ms) {
                        (void) kill(-pid, SIGKILL);
                        (void) waitpid(pid, &status, 0);
                        log_warning("the alert command was killed: %s",
                                    stop ? "cad is being stopped" : "it took more than 30 s");
                        return false;
                }
                (void) pthread_mutex_lock(&alert->lock);
                stop = sleep_ms(alert, POLL_MS);
                (void) pthread_mutex_unlock(&alert->lock);
        }
        if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return true;
        if (ended == pid && WIFEXITED(status))
                log_warning("the alert command has ended with status %d", WEXITSTATUS(status));
        else
                log_warning("the alert command was ended by signal %d",
                            WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        return false;
}

static bool run(struct alert *alert, struct alert_words *command, enum alert_kind kind,
                const char *text) {
        CAD_AUTO(environment_done) struct environment environment = { 0 };
        char *argv[ALERT_WORDS_MAX + 1] = { command->text + command->at[0] };
        pid_t pid = 0;
        int rc;

        for (size_t i = 1; i < command->count; i++)
                argv[i] = command->text + command->at[i];
        fill_environment(alert, kind, text, &environment);
        rc = spawn(argv, environment.at, &pid);
        if (rc != 0) {
                log_warning("cannot run the alert command %s: %s", argv[0], strerrordesc_np(rc));
                return false;
        }
        return wait_for(alert, pid);
}

static void tell(struct alert *alert, enum alert_kind kind, const struct health *health,
                 unsigned stage) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct alert_words command;
        bool good = true;

        (void) pthread_mutex_lock(&alert->lock);
        command = alert->command;
        (void) pthread_mutex_unlock(&alert->lock);
        describe(health, kind, &text);
        if (alert->state.tries == 0)
                log_line(kind == ALERT_OK ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING, "health: %s: %s",
                         kind_names[kind], buffer_string(&text));
        if (command.count)
                good = run(alert, &command, kind, buffer_string(&text));
        alert_ran(&alert->state, kind, stage, good, moment_monotonic_ms());
}

static void look(struct alert *alert) {
        struct health health;
        enum alert_kind kind;
        int64_t now = moment_now();
        unsigned stage;

        authority_health(alert->authority, now, &health);
        stage = health.expires ? alert_stage(health.expires, now) : 0;
        kind = alert_look(&alert->state, health.state == HEALTH_FAILING, stage,
                          moment_monotonic_ms());
        if (kind != ALERT_NONE)
                tell(alert, kind, &health, stage);
}

static void *alert_main(void *data) {
        struct alert *alert = data;
        bool stop = false;

        (void) pthread_setname_np(pthread_self(), "alert");
        while (!stop) {
                (void) pthread_mutex_lock(&alert->lock);
                stop = sleep_ms(alert, ALERT_LOOK_MS);
                (void) pthread_mutex_unlock(&alert->lock);
                if (!stop)
                        look(alert);
        }
        return NULL;
}

/* ---- life ---- */

int alert_set(struct alert *alert, const char *command, struct error *err) {
        struct alert_words words;

        if (alert_words_parse(command ? command : "", &words, err) < 0)
                return -1;
        (void) pthread_mutex_lock(&alert->lock);
        alert->command = words;
        (void) pthread_mutex_unlock(&alert->lock);
        return 0;
}

static void alert_release(struct alert *alert) {
        (void) pthread_cond_destroy(&alert->wake);
        (void) pthread_mutex_destroy(&alert->lock);
        free(alert);
}

static int start_thread(struct alert *alert, struct error *err) {
        pthread_attr_t attr;
        int rc;

        (void) pthread_attr_init(&attr);
        (void) pthread_attr_setstacksize(&attr, THREAD_STACK);
        rc = pthread_create(&alert->thread, &attr, alert_main, alert);
        (void) pthread_attr_destroy(&attr);
        return rc ? error_errno(err, rc, "cannot start the alert thread") : 0;
}

int alert_start(struct authority *a, const char *command, struct alert **ret, struct error *err) {
        struct alert *alert = calloc(1, sizeof(*alert));
        pthread_condattr_t attr;

        if (!alert)
                return error_no_memory(err);
        alert->authority = a;
        (void) pthread_mutex_init(&alert->lock, NULL);
        (void) pthread_condattr_init(&attr);
        (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&alert->wake, &attr);
        (void) pthread_condattr_destroy(&attr);
        if (alert_set(alert, command, err) < 0 || start_thread(alert, err) < 0) {
                alert_release(alert);
                return -1;
        }
        *ret = alert;
        return 0;
}

struct alert *alert_free(struct alert *alert) {
        if (!alert)
                return NULL;
        (void) pthread_mutex_lock(&alert->lock);
        alert->stopping = true;
        (void) pthread_cond_signal(&alert->wake);
        (void) pthread_mutex_unlock(&alert->lock);
        (void) pthread_join(alert->thread, NULL);
        alert_release(alert);
        return NULL;
}
