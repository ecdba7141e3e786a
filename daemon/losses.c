/*
 * See losses.h. Lines of the log: daemon/signer/signlog.h. A CRL counts where its signature leads to the root; what cannot be read is never taken for
 * nothing: it is said.
 */
#include "daemon/losses.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/backup_ca.h"
#include "daemon/signer/crl_numbers.h"
#include "daemon/signer/signlog.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"
#include "lib/pki/crl.h"
#include "lib/pki/profile.h"

#define EARLIER_MS \
        UINT64_C( \
                3600000) /* serials that were given out before the newest one in the backup, and stored after it was made */
#define LOST_NAMES_MAX 128 /* of a line: it has SIGNLOG_LINE_MAX bytes */
#define LABEL_LOST "lost: restored from the signer's log, the certificate itself is not known"

static const uint8_t no_certificate[LOST_DER_SIZE] = { 0x30, 0x00 }; /* an empty SEQUENCE */

/* A certificate of the log; its texts are one block. */
struct lost {
        uint8_t serial[STORE_SERIAL_MAX];
        size_t serial_size;
        char *text; /* the line, cut into its parts */
        const char **names;
};

struct losses {
        struct backup_info info;
        struct lost *lost;
        struct cert_row *rows;
        size_t lost_count;
        struct backup_revocation *revocations;
        size_t revocation_count;
        struct crl_entry *entries; /* as many, for their serials */
        struct crl_numbers signed_numbers, found_numbers;
        struct buffer unread; /* a line each: what was there and could not be read or believed */
        size_t garbled;       /* lines of the log that are no whole line of ours */
        bool log_seen;
        bool log_reaches_back; /* it has something from before the backup */
};

static void lost_done(struct lost *lost) {
        free(lost->text);
        free(lost->names);
}

static void forget_lost(struct losses *l) {
        for (size_t i = 0; i < l->lost_count; i++)
                lost_done(&l->lost[i]);
        l->lost_count = 0;
}

struct losses *losses_free(struct losses *losses) {
        if (!losses)
                return NULL;
        forget_lost(losses);
        buffer_done(&losses->unread);
        free(losses->lost);
        free(losses->rows);
        free(losses->revocations);
        free(losses->entries);
        free(losses);
        return NULL;
}

/* ---- the signer's log ---- */

/* The value of " key=" in a line that is cut there; NULL: it is not there. */
static char *value_of(char *line, const char *key) {
        char *at = strstr(line, key);

        return at ? at + strlen(key) : NULL;
}

static void cut(char *text) {
        if (text)
                text[strcspn(text, " \n")] = '\0';
}

static int hex_digit(char c) {
        return isdigit((unsigned char) c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\\2c" is a comma (signlog.h). Return: false where it is no name that was ever signed */
static bool unescape(char *name) {
        char *to = name;

        for (const char *p = name; *p; p++) {
                int high = *p == '\\' ? hex_digit(p[1]) : -1;
                int low = high >= 0 ? hex_digit(p[2]) : -1;

                *to++ = (char) (low >= 0 ? high << 4 | low : *p);
                p += low >= 0 ? 2 : 0;
        }
        *to = '\0';
        for (const char *p = name; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        return false;
        return *name && strlen(name) <= STORE_NAME_MAX;
}

/* Names are separated by commas. Return: how many, or -1 */
static int split_names(char *text, const char **names, int max) {
        char *rest = NULL;
        int count = 0;

        for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
                if (*name == '+' && strspn(name + 1, "0123456789") == strlen(name + 1))
                        break; /* "+3": the line was too long for the rest */
                if (count == max || !unescape(name))
                        return -1;
                names[count++] = name;
        }
        return count;
}

static int grow(struct losses *l, struct error *err) {
        struct lost *lost = realloc(l->lost, (l->lost_count + 1) * sizeof(*lost));
        struct cert_row *rows;

        if (!lost)
                return error_no_memory(err);
        l->lost = lost;
        rows = realloc(l->rows, (l->lost_count + 1) * sizeof(*rows));
        if (!rows)
                return error_no_memory(err);
        l->rows = rows;
        return 0;
}

/* The first octet of a serial is fixed, six are the milliseconds when it was made. */
static uint64_t serial_ms(const uint8_t *serial) {
        uint64_t ms = 0;

        for (int i = 1; i < BACKUP_SERIAL_TIME; i++)
                ms = ms << 8 | serial[i];
        return ms;
}

/* Serials never go back, whatever the clock does. */
static bool may_be_younger(const struct losses *l, const struct lost *lost) {
        return lost->serial_size < BACKUP_SERIAL_TIME || lost->serial[0] != l->info.newest[0] ||
                serial_ms(lost->serial) + EARLIER_MS >= serial_ms(l->info.newest);
}

/* Return: whether the line is whole; it is cut into pieces, and fills @row */
static bool read_issue(struct lost *lost, int64_t at, struct cert_row *row) {
        char *serial = value_of(lost->text, " serial="), *issuer = value_of(lost->text, " issuer=");
        char *profile = value_of(lost->text, " profile="), *key = value_of(lost->text, " key=");
        char *until = value_of(lost->text, " until="), *names = value_of(lost->text, " names=");
        size_t size = 0;
        int count;

        if (!serial || !issuer || !profile || !key || !until || !names)
                return false;
        cut(serial);
        cut(issuer);
        cut(profile);
        cut(key);
        cut(until);
        cut(names);
        *row = (struct cert_row){ .issuer = issuer,
                                  .profile = profile,
                                  .subject = "",
                                  .issued_at = at,
                                  .not_before = at,
                                  .requester = "signer's log",
                                  .label = LABEL_LOST,
                                  .internal = profile_is_own(profile),
                                  .der = BYTES(no_certificate, sizeof(no_certificate)) };
        if (hex_decode(serial, lost->serial, sizeof(lost->serial), &lost->serial_size) < 0 ||
            lost->serial_size == 0 || !*issuer || strlen(issuer) >= SIGNER_ISSUER_MAX ||
            !*profile || strlen(profile) >= PROFILE_NAME_MAX ||
            hex_decode(key, row->spki, sizeof(row->spki), &size) < 0 || size != sizeof(row->spki) ||
            moment_parse(until, &row->not_after, NULL) < 0)
                return false;
        count = split_names(names, lost->names, LOST_NAMES_MAX);
        row->name_count = count < 0 ? 0 : (size_t) count;
        return count >= 0;
}

/* Return: 1 a certificate that the backup does not have, 0 nothing new, -1 with @err */
static int judge_issue(struct losses *l, struct backup *backup, struct lost *lost, int64_t at,
                       struct cert_row *row, struct error *err) {
        int known;

        if (!read_issue(lost, at, row)) {
                l->garbled++; /* half a line was never answered */
                return 0;
        }
        if (!may_be_younger(l, lost)) {
                l->log_reaches_back = true;
                return 0;
        }
        known = backup_has(backup, BYTES(lost->serial, lost->serial_size), err);
        l->log_reaches_back |= known > 0;
        return known < 0 ? -1 : !known;
}

static int take_issue(struct losses *l, struct backup *backup, const char *line, int64_t at,
                      struct error *err) {
        const char *all[LOST_NAMES_MAX] = { NULL };
        struct lost lost = { .text = strdup(line), .names = all };
        struct cert_row row;
        int rc;

        if (!lost.text || grow(l, err) < 0) {
                free(lost.text);
                return error_no_memory(err);
        }
        rc = judge_issue(l, backup, &lost, at, &row, err);
        lost.names = NULL;
        if (rc == 1 && row.name_count) {
                lost.names = reallocarray(NULL, row.name_count, sizeof(*lost.names));
                if (lost.names)
                        memcpy(lost.names, all, row.name_count * sizeof(*lost.names));
                else
                        rc = error_no_memory(err);
        }
        if (rc != 1) {
                lost_done(&lost);
                return rc;
        }
        l->lost[l->lost_count] = lost;
        l->rows[l->lost_count++] = row;
        return 0;
}

/* What was signed before was another CA's. */
static void forget_replaced(struct losses *l) {
        forget_lost(l);
        l->signed_numbers = (struct crl_numbers){ 0 };
        l->log_reaches_back = true;
}

static void take_crl_line(struct losses *l, const char *line) {
        char issuer[SIGNER_ISSUER_MAX];
        int64_t number;

        if (sscanf(line, " crl issuer=%15s number=%" SCNd64, issuer, &number) == 2)
                crl_numbers_note(&l->signed_numbers, issuer, number);
}

static int take_line(struct losses *l, struct backup *backup, char *line, struct error *err) {
        char when[MOMENT_TEXT_MAX];
        int64_t at;
        char *rest = strchr(line, ' ');

        if (!rest || (size_t) (rest - line) >= sizeof(when))
                return 0;
        (void) snprintf(when, sizeof(when), "%.*s", (int) (rest - line), line);
        if (moment_parse(when, &at, NULL) < 0) {
                l->garbled++;
                return 0;
        }
        l->log_reaches_back |= at <= l->info.made_at;
        if (strncmp(rest, " crl ", 5) == 0)
                take_crl_line(l, rest);
        else if (strncmp(rest, " " SIGNLOG_CA_REPLACED, 1 + strlen(SIGNLOG_CA_REPLACED)) == 0)
                forget_replaced(l);
        else if (strncmp(rest, " issue ", 7) == 0)
                return take_issue(l, backup, rest, at, err);
        return 0;
}

static int read_log(struct losses *l, struct backup *backup, int fd, struct error *err) {
        FILE *file = fdopen(fd, "r");
        char *line = NULL;
        size_t room = 0;
        int rc = 0;

        if (!file) {
                (void) fd_close(fd);
                return error_no_memory(err);
        }
        while (rc == 0 && getline(&line, &room, file) > 0)
                if (strchr(line, '\n'))
                        rc = take_line(l, backup, line, err);
        free(line);
        (void) fclose(file);
        return rc;
}

static int open_log(int dir_fd, const char *name) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -1;
        if (!S_ISREG(st.st_mode)) {
                errno = EINVAL;
                return -1;
        }
        return CAD_TAKE_FD(fd);
}

static int read_logs(struct losses *l, struct backup *backup, int dir_fd, struct error *err) {
        for (int i = SIGNLOG_KEPT; i >= 0; i--) {
                char name[32] = SIGNLOG_FILE;
                int fd;

                if (i > 0)
                        (void) snprintf(name, sizeof(name), SIGNLOG_FILE ".%d", i);
                fd = open_log(dir_fd, name);
                if (fd < 0 && errno != ENOENT)
                        buffer_format(&l->unread, "the signer's log %s cannot be read: %s\n", name,
                                      strerrordesc_np(errno));
                if (fd < 0)
                        continue;
                l->log_seen |= i == 0;
                if (read_log(l, backup, fd, err) < 0)
                        return -1;
        }
        return 0;
}

/* ---- the last CRLs ---- */

static int take_revocations(struct losses *l, const struct crl *crl, struct error *err) {
        size_t room = l->revocation_count + crl->entry_count + 1;
        struct crl_entry *entries = reallocarray(l->entries, room, sizeof(*entries));
        struct backup_revocation *list;
        struct der_reader r = crl_entries_reader(crl);

        if (!entries)
                return error_no_memory(err);
        l->entries = entries;
        list = reallocarray(l->revocations, room, sizeof(*list));
        if (!list)
                return error_no_memory(err);
        l->revocations = list;
        while (l->revocation_count < room - 1 && crl_next_entry(&r, &entries[l->revocation_count]))
                l->revocation_count++;
        return 0;
}

/* The list of entries does not move any more. */
static void fill_revocations(struct losses *l) {
        for (size_t i = 0; i < l->revocation_count; i++) {
                const struct crl_entry *entry = &l->entries[i];

                l->revocations[i] = (struct backup_revocation){
                        .serial = BYTES(entry->serial, entry->serial_size),
                        .reason = (enum revocation_reason) entry->reason,
                        .at = entry->revoked_at,
                };
        }
}

static int check_crl(const struct backup_ca *ca, const char *issuer, const struct crl *crl,
                     struct error *err) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct cert cert;

        if (backup_ca_certificate(ca, issuer, &der, err) < 0 ||
            cert_read(buffer_bytes(&der), &cert, err) < 0 ||
            public_key_from_spki(cert.spki, RSA_BITS_MAX, &key, err) < 0)
                return -1;
        if (crl->unknown_critical || !bytes_equal(crl->issuer, cert.subject))
                return error_set(err, ERR_STORE_FOREIGN, "it is no CRL that cad makes for %s",
                                 issuer);
        return public_key_verify(key, crl->algorithm, crl->tbs, crl->signature, NULL) < 0
                ? error_set(err, ERR_STORE_FOREIGN, "it is not signed by %s", issuer)
                : 0;
}

static int read_crl(struct losses *l, const struct backup_ca *ca, int dir_fd, const char *file,
                    struct error *err) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        char issuer[SIGNER_ISSUER_MAX];
        struct error why = { 0 };
        struct crl crl;

        if (snprintf(issuer, sizeof(issuer), "%.*s", (int) strlen(file) - 4, file) >=
            (int) sizeof(issuer))
                return 0;
        if (file_read(dir_fd, file, FILE_ANY_OWNER, CRL_SIZE_MAX, &der, &why) < 0 ||
            crl_read(buffer_bytes(&der), &crl, &why) < 0 || check_crl(ca, issuer, &crl, &why) < 0) {
                buffer_format(&l->unread, "the CRL crl/%s is not believed: %.300s\n", file,
                              why.text);
                return 0;
        }
        crl_numbers_note(&l->found_numbers, issuer, crl_number(&crl));
        return take_revocations(l, &crl, err);
}

static int read_crls(struct losses *l, const struct backup_ca *ca, int state_dir_fd,
                     struct error *err) {
        int fd = openat(state_dir_fd, "crl", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
            rc = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        if (!dir) {
                if (errno != ENOENT)
                        buffer_format(&l->unread, "the folder crl cannot be read: %s\n",
                                      strerrordesc_np(errno));
                (void) fd_close(fd);
                return 0;
        }
        while (rc == 0 && (entry = readdir(dir)))
                if (text_ends_with(entry->d_name, ".crl"))
                        rc = read_crl(l, ca, fd, entry->d_name, err);
        (void) closedir(dir);
        fill_revocations(l);
        return rc;
}

int losses_find(struct backup *backup, int state_dir_fd, int signer_dir_fd, struct losses **ret,
                struct error *err) {
        CAD_AUTO(losses_free) struct losses *l = calloc(1, sizeof(*l));
        struct backup_ca ca = { .backup = backup, .signer_fd = signer_dir_fd };

        if (!l)
                return error_no_memory(err);
        if (backup_info(backup, &l->info, err) < 0)
                return -1;
        ca.ca_id = l->info.ca_id;
        if ((signer_dir_fd >= 0 && read_logs(l, backup, signer_dir_fd, err) < 0) ||
            read_crls(l, &ca, state_dir_fd, err) < 0)
                return -1;
        if (l->unread.failed)
                return error_no_memory(err);
        for (size_t i = 0; i < l->lost_count; i++) { /* the list does not move any more */
                l->rows[i].serial = BYTES(l->lost[i].serial, l->lost[i].serial_size);
                l->rows[i].names = l->lost[i].names;
        }
        *ret = CAD_TAKE(l);
        return 0;
}

struct backup_changes losses_changes(const struct losses *l) {
        return (struct backup_changes){ .revocations = l->revocations,
                                        .revocation_count = l->revocation_count,
                                        .lost = l->rows,
                                        .lost_count = l->lost_count };
}

void losses_unknown(const struct losses *l, struct buffer *out) {
        bool any = false;

        if (!l->log_seen)
                buffer_text(
                        out,
                        "the signer's log is not there: what was issued after the backup is not known\n");
        else if (!l->log_reaches_back && l->info.newest[0])
                buffer_text(
                        out,
                        "the signer's log begins after the backup was made: what was issued in between is not known\n");
        buffer_append(out, buffer_bytes(&l->unread));
        for (size_t i = 0; i < CRL_NUMBERS_MAX; i++) {
                const struct crl_number *last = &l->signed_numbers.rows[i];

                if (!last->number)
                        continue;
                any = true;
                if (crl_numbers_last(&l->found_numbers, last->issuer) < last->number)
                        buffer_format(
                                out,
                                "the last CRL of %s (number %" PRId64
                                ") is not in the state folder's crl/: fetch it from whoever has it, or what was revoked since is not known\n",
                                last->issuer, last->number);
        }
        if (!any && !l->found_numbers.rows[0].number)
                buffer_text(out,
                            "there is no CRL: what was revoked after the backup is not known\n");
}

void losses_list(const struct losses *l, struct buffer *out) {
        for (size_t i = 0; i < l->lost_count; i++) {
                char serial[2 * STORE_SERIAL_MAX + 1], when[MOMENT_TEXT_MAX];

                buffer_format(out, "%s issued %s for %s\n", hex_encode(l->rows[i].serial, serial),
                              moment_format(l->rows[i].issued_at, when),
                              l->rows[i].name_count ? l->rows[i].names[0] : "?");
        }
}

size_t losses_garbled(const struct losses *l) {
        return l->garbled;
}
