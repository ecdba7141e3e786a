/*
 * The signer's log file. It appends, syncs and puts aside; it never edits what is written.
 */
#include "daemon/signer/signlog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define SIGNLOG_NEW SIGNLOG_FILE ".new"
#define SIGNLOG_TAIL \
        (4 * 1024 * \
         1024) /* bytes read at start where there is no limit to keep: for status alone */
#define SIGNLOG_STEP (64 * 1024) /* bytes read at once */
#define MOMENT_SIZE 20           /* "2026-11-21T18:00:00Z", at the start of each line */
#define AHEAD_S 300 /* a line may be so far ahead of a clock that was set back (clock.h) */

struct signlog {
        int dir_fd;
        int fd;
        off_t size;
        atomic_bool dirty;
        struct signlog_seen seen;
};

struct signlog *signlog_free(struct signlog *log) {
        if (log) {
                (void) fd_close(log->fd);
                free(log);
        }
        return NULL;
}
CAD_CLEANUP(struct signlog, signlog_free)

static int open_file(struct signlog *log, struct error *err) {
        struct stat st;

        log->fd = openat(log->dir_fd, SIGNLOG_FILE,
                         O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (log->fd < 0 || fstat(log->fd, &st) < 0)
                return error_errno(err, errno, "cannot open the signer's log %s", SIGNLOG_FILE);
        if (!S_ISREG(st.st_mode))
                return error_set(err, ERR_FILE_UNSAFE, "the signer's log %s is not a regular file",
                                 SIGNLOG_FILE);
        log->size = st.st_size;
        return 0;
}

/* ---- reading, at start ---- */

static bool begins_with(const char *line, size_t size, const char *word) {
        return size > strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* "issuer=int-1 number=5 …" */
static void note_crl(const char *words, size_t size, struct crl_numbers *ret) {
        char text[128] = "", issuer[SIGNER_ISSUER_MAX];
        int64_t number;

        memcpy(text, words, size < sizeof(text) ? size : sizeof(text) - 1);
        if (sscanf(text, "issuer=%15s number=%" SCNd64, issuer, &number) == 2)
                crl_numbers_note(ret, issuer, number);
}
_Static_assert(SIGNER_ISSUER_MAX == 16, "as in the format");

/* Whether a certificate was made for the CA itself. Names stand behind the profile and have no spaces: they cannot pretend. */
static bool is_own(const char *line, size_t size) {
        static const char key[] = " profile=";
        const char *at = memmem(line, size, key, sizeof(key) - 1);
        char name[PROFILE_NAME_MAX];
        size_t n = 0;

        if (!at)
                return false;
        at += sizeof(key) - 1;
        while (at + n < line + size && at[n] != ' ' && n < sizeof(name) - 1)
                n++;
        memcpy(name, at, n);
        name[n] = '\0';
        return profile_is_own(name);
}

/* One line, without its end. */
static void count_line(const char *line, size_t size, int64_t now_s, struct rate *rate,
                       int64_t *ret_last_s, struct signlog_seen *seen) {
        char moment[MOMENT_SIZE + 1] = "";
        int64_t t;

        if (size < MOMENT_SIZE)
                return;
        memcpy(moment, line, MOMENT_SIZE);
        if (moment_parse(moment, &t, NULL) < 0)
                return;
        *ret_last_s = t;
        line += MOMENT_SIZE;
        size -= MOMENT_SIZE;
        if (begins_with(line, size, " issue ")) {
                seen->issued = seen->issued || !is_own(line, size);
        } else if (begins_with(line, size, " crl ")) {
                note_crl(line + strlen(" crl "), size - strlen(" crl "), &seen->crls);
                rate = &seen->crl_rate;
        } else {
                return;
        }
        if (t > now_s - 3600 && t <= now_s + AHEAD_S)
                rate_count(rate, t < now_s ? t : now_s);
}

/* The whole lines from @from on, in order; the first is left out where @from may be in its middle. */
static int count_lines(int fd, off_t from, int64_t now_s, struct rate *rate, int64_t *ret_last_s,
                       struct signlog_seen *seen) {
        CAD_AUTO(free_text) char *text = malloc(SIGNLOG_STEP);
        size_t kept = 0;
        bool skip = from > 0;
        ssize_t n;

        if (!text) {
                errno = ENOMEM;
                return -1;
        }
        while ((n = pread(fd, text + kept, SIGNLOG_STEP - kept, from)) > 0) {
                const char *at = text, *end = text + kept + n, *line_end;

                from += n;
                while ((line_end = memchr(at, '\n', (size_t) (end - at)))) {
                        if (!skip)
                                count_line(at, (size_t) (line_end - at), now_s, rate, ret_last_s,
                                           seen);
                        skip = false;
                        at = line_end + 1;
                }
                kept = (size_t) (end - at);
                if (kept == SIGNLOG_STEP) { /* no line of ours */
                        kept = 0;
                        skip = true;
                }
                memmove(text, at, kept);
        }
        return n < 0 ? -1 : 0;
}

/* A place before which no line is of the last hour. Times rise but for small steps of the clock, so that a look here and there is enough. */
static off_t hour_begins(int fd, off_t size, int64_t now_s) {
        char text[SIGNLOG_LINE_MAX + MOMENT_SIZE + 1];

        for (off_t at = size - SIGNLOG_STEP; at > 0; at -= SIGNLOG_STEP) {
                ssize_t n = pread(fd, text, sizeof(text) - 1, at);
                char *line;
                int64_t t;

                text[n > 0 ? n : 0] = '\0';
                line = strchr(text, '\n');
                if (!line || strlen(line + 1) < MOMENT_SIZE)
                        continue;
                line[1 + MOMENT_SIZE] = '\0';
                if (moment_parse(line + 1, &t, NULL) == 0 && t < now_s - 3600 - AHEAD_S)
                        return at;
        }
        return 0;
}

/* A captured cad can make the lines long and end the signer at will: the limit is kept by every line of the hour, files put aside too. */
static int count_put_aside(struct signlog *log, int64_t now_s, struct rate *rate,
                           int64_t *ret_last_s, struct error *err) {
        for (int i = SIGNLOG_KEPT; i > 0; i--) {
                CAD_AUTO(fd_close) int fd = -1;
                char name[32];
                struct stat st;

                (void) snprintf(name, sizeof(name), SIGNLOG_FILE ".%d", i);
                fd = openat(log->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
                if (fd < 0 && errno == ENOENT)
                        continue;
                if (fd < 0 || fstat(fd, &st) < 0)
                        return error_errno(err, errno, "cannot read the signer's log %s", name);
                if (!S_ISREG(st.st_mode) || st.st_mtime < now_s - 3600 - AHEAD_S)
                        continue;
                if (count_lines(fd, hour_begins(fd, st.st_size, now_s), now_s, rate, ret_last_s,
                                &log->seen) < 0)
                        return error_errno(err, errno, "cannot read the signer's log %s", name);
        }
        return 0;
}

static int end_half_line(struct signlog *log) {
        char last = '\n';

        if (log->size == 0 || pread(log->fd, &last, 1, log->size - 1) != 1 || last == '\n')
                return 0;
        if (fd_write_all(log->fd, BYTES_LITERAL("\n")) < 0)
                return -1;
        log->size++;
        return 0;
}

static int read_lines(struct signlog *log, int64_t now_s, struct rate *rate, int64_t *ret_last_s,
                      struct error *err) {
        off_t from = hour_begins(log->fd, log->size, now_s);

        if (rate->per_hour && count_put_aside(log, now_s, rate, ret_last_s, err) < 0)
                return -1;
        if (!rate->per_hour && from < log->size - SIGNLOG_TAIL)
                from = log->size - SIGNLOG_TAIL;
        if (count_lines(log->fd, from, now_s, rate, ret_last_s, &log->seen) < 0)
                return error_errno(err, errno, "cannot read the signer's log %s", SIGNLOG_FILE);
        (void) end_half_line(
                log); /* a full disk: the next line that can be written is glued to half a line that says nothing */
        return 0;
}

int signlog_open(int dir_fd, int64_t now_s, struct rate *rate, struct signlog **ret,
                 int64_t *ret_last_s, struct error *err) {
        CAD_AUTO(signlog_free) struct signlog *log = calloc(1, sizeof(*log));
        int64_t last_s = 0;

        if (!log)
                return error_no_memory(err);
        log->dir_fd = dir_fd;
        log->fd = -1;
        if (open_file(log, err) < 0 || read_lines(log, now_s, rate, &last_s, err) < 0)
                return -1;
        *ret_last_s = last_s;
        *ret = CAD_TAKE(log);
        return 0;
}

/* What separates names and words becomes "\\XX", so that no name looks like two: a URI may hold commas. As RFC 4514 §2.4 does it. */
static void escape_name(const char *name, char out[3 * SAN_TEXT_MAX]) {
        for (; *name; name++) {
                if (strchr(",\\ ", *name))
                        out += sprintf(out, "\\%02x", (unsigned char) *name);
                else
                        *out++ = *name;
        }
        *out = '\0';
}

static void append_names(struct buffer *line, const struct san_list *names) {
        char text[SAN_TEXT_MAX], name[3 * SAN_TEXT_MAX];

        for (size_t i = 0; i < names->count; i++) {
                escape_name(san_text(&names->items[i], text, sizeof(text)), name);
                if (line->size + strlen(name) + 32 > SIGNLOG_LINE_MAX) {
                        buffer_format(line, ",+%zu", names->count - i);
                        return;
                }
                buffer_format(line, "%s%s", i ? "," : "", name);
        }
}

/* Half a line goes; where it cannot, it is ended, and the size is what is there: it must never cut a line that stands. */
static void take_back(struct signlog *log) {
        struct stat st;

        if (ftruncate(log->fd, log->size) == 0)
                return;
        (void) fd_write_all(log->fd, BYTES_LITERAL("\n"));
        if (fstat(log->fd, &st) == 0)
                log->size = st.st_size;
}

/* The machine's fault, whatever it is, and over when its cause is: not an error of the program's, as other I/O is. */
static int cannot_write(int errnum, struct error *err) {
        (void) error_errno(err, errnum, "cannot write the signer's log");
        if (err && err->code == ERR_IO)
                err->code = ERR_STORE;
        return -1;
}

static int write_line(struct signlog *log, struct bytes line, struct error *err) {
        if (fd_write_all(log->fd, line) < 0) {
                (void) cannot_write(errno, err);
                take_back(log);
                return -1;
        }
        log->size += (off_t) line.size;
        atomic_store(&log->dirty, true);
        return 0;
}

int signlog_issue(struct signlog *log, int64_t now_s, const char *issuer,
                  const struct cert_wish *wish, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer line = { 0 };
        char now[MOMENT_TEXT_MAX], until[MOMENT_TEXT_MAX], serial[2 * SERIAL_MAX + 1],
                key[2 * SHA256_SIZE + 1];
        uint8_t digest[SHA256_SIZE];

        sha256(wish->spki, digest);
        (void) buffer_reserve(&line, SIGNLOG_LINE_MAX);
        buffer_format(&line, "%s issue serial=%s issuer=%s profile=%s key=%s until=%s names=",
                      moment_format(now_s, now), hex_encode(wish->serial, serial), issuer,
                      wish->profile->name, hex_encode(BYTES(digest, sizeof(digest)), key),
                      moment_format(wish->validity.not_after, until));
        append_names(&line, wish->names);
        buffer_text(&line, "\n");
        if (line.failed)
                return error_no_memory(err);
        return write_line(log, buffer_bytes(&line), err);
}

int signlog_crl(struct signlog *log, int64_t now_s, const char *issuer, const struct crl_wish *wish,
                struct error *err) {
        CAD_AUTO(buffer_done) struct buffer line = { 0 };
        char now[MOMENT_TEXT_MAX], this_update[MOMENT_TEXT_MAX], next_update[MOMENT_TEXT_MAX];

        buffer_format(&line,
                      "%s crl issuer=%s number=%" PRId64
                      " entries=%zu this-update=%s next-update=%s\n",
                      moment_format(now_s, now), issuer, wish->number, wish->entry_count,
                      moment_format(wish->this_update, this_update),
                      moment_format(wish->next_update, next_update));
        if (line.failed)
                return error_no_memory(err);
        return write_line(log, buffer_bytes(&line), err);
}

int signlog_change(struct signlog *log, int64_t now_s, const char *what, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer line = { 0 };
        char now[MOMENT_TEXT_MAX];

        buffer_format(&line, "%s %s\n", moment_format(now_s, now), what);
        if (line.failed)
                return error_no_memory(err);
        return write_line(log, buffer_bytes(&line), err);
}

const struct signlog_seen *signlog_seen(const struct signlog *log) {
        return &log->seen;
}

int signlog_audit(struct signlog *log, const struct audit_anchor *anchor, struct error *err) {
        char text[AUDIT_ANCHOR_TEXT_MAX], line[AUDIT_ANCHOR_TEXT_MAX + 1];

        (void) snprintf(line, sizeof(line), "%s\n", audit_anchor_format(anchor, text));
        return write_line(log, bytes_of(line), err);
}

bool signlog_issued(const struct signlog *log) {
        return log->seen.issued;
}

bool signlog_rotate_due(const struct signlog *log) {
        return log->size >= SIGNLOG_BYTES_MAX;
}

int signlog_sync(struct signlog *log, struct error *err) {
        if (!atomic_exchange(&log->dirty, false))
                return 0;
        if (fdatasync(log->fd) < 0) {
                atomic_store(&log->dirty, true);
                return error_errno(err, errno, "cannot sync the signer's log");
        }
        return 0;
}

int signlog_rotate(struct signlog *log, struct error *err) {
        CAD_AUTO(fd_close) int fresh = -1;
        char from[32], to[32];

        /* the new file first: on a full disk the old one stays in use */
        fresh = openat(log->dir_fd, SIGNLOG_NEW,
                       O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fresh < 0)
                return error_errno(err, errno, "cannot make a new file for the signer's log");
        if (fdatasync(log->fd) < 0)
                return error_errno(err, errno, "cannot sync the signer's log");
        for (int i = SIGNLOG_KEPT; i > 0; i--) {
                (void) snprintf(from, sizeof(from), i > 1 ? SIGNLOG_FILE ".%d" : SIGNLOG_FILE,
                                i - 1);
                (void) snprintf(to, sizeof(to), SIGNLOG_FILE ".%d", i);
                if (renameat(log->dir_fd, from, log->dir_fd, to) < 0 && errno != ENOENT)
                        return error_errno(err, errno, "cannot put the signer's log aside as %s",
                                           to);
        }
        if (renameat(log->dir_fd, SIGNLOG_NEW, log->dir_fd, SIGNLOG_FILE) < 0)
                return error_errno(err, errno,
                                   "cannot put a new file for the signer's log in place");
        (void) fd_close(log->fd);
        log->fd = CAD_TAKE_FD(fresh);
        log->size = 0;
        return folder_sync(log->dir_fd, "the signer's log", err);
}

/* In the log of a signer that is not at work, where there is one. */
static int note(int dir_fd, int64_t now_s, const char *what, struct error *err) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, SIGNLOG_FILE,
                        O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        CAD_AUTO(buffer_done) struct buffer line = { 0 };
        char now[MOMENT_TEXT_MAX];
        struct stat st;

        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, errno, "cannot open the signer's log %s", SIGNLOG_FILE);
        if (st.st_size == 0)
                return 0;
        buffer_format(&line, "%s %s\n", moment_format(now_s, now), what);
        if (line.failed)
                return error_no_memory(err);
        if (fd_write_all(fd, buffer_bytes(&line)) < 0 || fdatasync(fd) < 0)
                return error_errno(err, errno, "cannot write the signer's log");
        return 0;
}

int signlog_clock_accepted(int dir_fd, int64_t now_s, struct error *err) {
        return note(dir_fd, now_s, "clock-accept", err);
}

int signlog_ca_replaced(int dir_fd, int64_t now_s, struct error *err) {
        return note(dir_fd, now_s, SIGNLOG_CA_REPLACED, err);
}

int signlog_tells_of_issue(int dir_fd, bool *ret, struct error *err) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, SIGNLOG_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct signlog_seen seen = { .issued = false };
        struct rate none = { 0 };
        int64_t last_s = 0;

        *ret = false;
        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || count_lines(fd, 0, 0, &none, &last_s, &seen) < 0)
                return error_errno(err, errno, "cannot read the signer's log %s", SIGNLOG_FILE);
        *ret = seen.issued;
        return 0;
}
