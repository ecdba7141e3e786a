/*
 * Programs and signals. A program is run with words, never through a shell, with nothing on its standard input, and for so long at
 * most; what it prints is shown where it fails. A signal goes to the process of a pid file only where that is the service.
 */
#include "reload.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/run.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

#define PATH_FIXED "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SHOWN_MAX 320 /* bytes of what a program says */
#define STEP_MS 20
#define SETTLE_MS 250 /* a service that cannot use its certificate ends in less */
#define PID_FILE_MAX 4096

/* ---- words ---- */

int words_split(char *text, const char *config, const char *ret[WORDS_OF_COMMAND_MAX + 1],
                struct error *err) {
        size_t count = 0;
        char *at = text;

        for (;;) {
                bool quoted;

                while (isspace((unsigned char) *at))
                        at++;
                if (!*at)
                        break;
                if (count == WORDS_OF_COMMAND_MAX)
                        return error_set(err, ERR_CONFIG, "a command has more than %d words",
                                         WORDS_OF_COMMAND_MAX);
                quoted = *at == '"';
                at += quoted;
                ret[count++] = at;
                while (*at && (quoted ? *at != '"' : !isspace((unsigned char) *at)))
                        at++;
                if (quoted && !*at)
                        return error_set(err, ERR_CONFIG, "a command has an open quote");
                if (*at)
                        *at++ = '\0';
        }
        if (count == 0)
                return error_set(err, ERR_CONFIG, "a command has no words");
        for (size_t i = 0; i < count; i++)
                if (text_equal(ret[i], "{config}"))
                        ret[i] = config ? config : "";
        ret[count] = NULL;
        return 0;
}

/* ---- programs ---- */

static void put_on_one_line(struct buffer *said) {
        while (said->size && isspace(said->data[said->size - 1]))
                said->size--;
        for (size_t i = 0; i < said->size; i++)
                if (iscntrl(said->data[i]))
                        said->data[i] = ' ';
}

/* By a path and in a language of our own: whoever runs cactl may have others. */
static int run_fixed(const char *const words[], int64_t timeout_s, struct error *err) {
        static const char *const more[] = { "PATH=" PATH_FIXED, "LC_ALL=C", NULL };
        const char *argv[WORDS_OF_COMMAND_MAX + 1] = { 0 };
        CAD_AUTO(buffer_done) struct buffer said = { 0 };
        char program[RUN_PATH_MAX];
        struct error why = { 0 };

        if (!run_find(words[0], PATH_FIXED, program))
                return error_set(err, ERR_STATE_CONFLICT, "'%s' cannot be run: is it installed?",
                                 words[0]);
        argv[0] = program;
        for (size_t i = 1; i < WORDS_OF_COMMAND_MAX && words[i]; i++)
                argv[i] = words[i];
        if (run_program((char *const *) (uintptr_t) argv, more, (unsigned) timeout_s, &said,
                        &why) == 0)
                return 0;
        put_on_one_line(&said);
        return error_set(err, ERR_STATE_CONFLICT, "%s%s%.*s", why.text, said.size ? ": " : "",
                         said.size < SHOWN_MAX ? (int) said.size : SHOWN_MAX,
                         (const char *) said.data);
}

static int run_words(const struct target *t, const char *command, struct error *err) {
        CAD_AUTO(free_text) char *text = strdup(command);
        const char *words[WORDS_OF_COMMAND_MAX + 1];
        const char *config = t->config ? t->config : t->service ? t->service->configs[0] : NULL;

        if (!text)
                return error_no_memory(err);
        return words_split(text, config, words, err) < 0 ? -1 : run_fixed(words, t->timeout_s, err);
}

int reload_check(const struct target *t, struct error *err) {
        const char *command = t->check ? t->check : t->service ? t->service->check : NULL;
        char program[64], path[RUN_PATH_MAX];

        if (!command || text_equal(command, "no"))
                return 0;
        (void) snprintf(program, sizeof(program), "%.*s", (int) strcspn(command, " "), command);
        /* files may be laid out before the service is installed */
        if (!t->check && !run_find(program, PATH_FIXED, path))
                return 0;
        return run_words(t, command, err);
}

/* ---- signals ---- */

static int read_small(const char *path, char *out, size_t size) {
        CAD_AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

        if (n < 0)
                return -1;
        out[n] = '\0';
        return 0;
}

/* Whether @pid is a process (no zombie) of that name; NULL: of any. */
static bool lives(pid_t pid, const char *name) {
        char path[64], stat[1024], *begin, *end;

        (void) snprintf(path, sizeof(path), "/proc/%ld/stat", (long) pid);
        if (read_small(path, stat, sizeof(stat)) < 0)
                return false;
        begin = strchr(stat, '(');
        end = strrchr(stat, ')');
        if (!begin || !end || end < begin || end[1] != ' ' || end[2] == 'Z' || end[2] == 'X')
                return false;
        *end = '\0';
        return !name || strncmp(begin + 1, name, 15) == 0; /* TASK_COMM_LEN - 1 */
}

static bool find_process(const struct target *t, const char *pid_file, pid_t *ret) {
        char text[PID_FILE_MAX];
        const char *number = text;
        uint64_t pid = 0;

        if (read_small(pid_file, text, sizeof(text)) < 0)
                return false;
        number += strspn(number, " "); /* Postfix writes it right-aligned */
        text[(size_t) (number - text) + strcspn(number, " \t\r\n")] = '\0';
        if (text_to_u64(number, INT32_MAX, &pid) < 0 || pid <= 1)
                return false;
        *ret = (pid_t) pid;
        return lives(*ret, t->service ? t->service->process : NULL);
}

static int send_signal(const struct target *t, const char *pid_file, enum reload *ret,
                       struct error *err) {
        const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
        int number = t->service ? t->service->signal : SIGHUP;
        pid_t pid = 0;

        if (!find_process(t, pid_file, &pid)) {
                *ret = RELOAD_NOT_RUNNING;
                return 0;
        }
        if (kill(pid, number) < 0)
                return error_errno(err, errno, "cannot signal process %ld (%s)", (long) pid,
                                   pid_file);
        for (int waited = 0; waited < SETTLE_MS; waited += STEP_MS) {
                (void) nanosleep(&step, NULL);
                if (!lives(pid, NULL) && !find_process(t, pid_file, &pid))
                        return error_set(err, ERR_STATE_CONFLICT,
                                         "process %ld has ended at its reload", (long) pid);
        }
        *ret = RELOAD_DONE;
        return 0;
}

/* ---- systemd ---- */

static bool systemd_is_there(void) {
        return access("/run/systemd/system", F_OK) == 0; /* sd_booted(3) */
}

/* A service that was stopped is not started by a new certificate. */
static int by_systemd(const struct target *t, const char *unit, bool revive, enum reload *ret,
                      struct error *err) {
        const char *const asked[] = { "systemctl", "is-active", "--quiet", unit, NULL };
        const char *const told[] = { "systemctl", "reload-or-restart", unit, NULL };
        struct error ignored = { 0 };

        if (!revive && run_fixed(asked, t->timeout_s, &ignored) < 0) {
                *ret = RELOAD_NOT_RUNNING;
                return 0;
        }
        *ret = RELOAD_DONE;
        return run_fixed(told, t->timeout_s, err);
}

int reload_run(const struct target *t, bool revive, enum reload *ret, struct error *err) {
        const char *unit = t->unit ? t->unit : t->service ? t->service->unit : NULL;
        const char *pid_file = t->pid_file ? t->pid_file : t->service ? t->service->pid_file : NULL;

        *ret = RELOAD_NONE;
        if (t->reload && text_equal(t->reload, "no"))
                return 0;
        if (t->reload) {
                *ret = RELOAD_DONE;
                return run_words(t, t->reload, err);
        }
        if (unit && !t->pid_file && systemd_is_there())
                return by_systemd(t, unit, revive, ret, err);
        return pid_file ? send_signal(t, pid_file, ret, err) : 0;
}
