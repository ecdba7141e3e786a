/*
 * Backups: see backup.h.
 */
#include "daemon/authority/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/authority/internal.h"
#include "db/backup.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/pki/pem.h"

#define BACKUP_FILE "backup.new"
#define STALE_S (INT64_C(3) * 86400) /* a daily one was missed more than once */

static int put_pem(struct backup *backup, const char *name, struct bytes pem, struct error *err) {
        char path[BACKUP_NAME_MAX];

        (void) snprintf(path, sizeof(path), "ca/%.40s.crt", name);
        return backup_put(backup, path, pem, err);
}

/* The certificates are in the signer's folder only: without them nobody could say what the store belongs to. */
static int put_certificates(const struct ca_info *ca, int dir_fd, struct error *err) {
        CAD_AUTO(backup_close) struct backup *backup = NULL;

        if (backup_open(dir_fd, BACKUP_FILE, /* write= */ true, &backup, err) < 0 ||
            put_pem(backup, "root", buffer_bytes(&ca->root_pem), err) < 0)
                return -1;
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (put_pem(backup, ca->issuers[i].id, buffer_bytes(&ca->issuers[i].pem), err) < 0)
                        return -1;
        return 0;
}

static int note_made(int dir_fd, struct error *err) {
        char when[MOMENT_TEXT_MAX], text[MOMENT_TEXT_MAX + 1];

        (void) snprintf(text, sizeof(text), "%s\n", moment_format(moment_now(), when));
        return file_replace(dir_fd, BACKUP_LAST_FILE, bytes_of(text), 0600, err);
}

static int make(struct authority *a, const struct audit_event *what, int dir_fd,
                struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;

        if (audit_record_wait(a, what, err) < 0)
                return -1;
        if (!a->store)
                return error_set(err, ERR_STORE, "the store is not open");
        if (store_backup(a->store, dir_fd, BACKUP_FILE, err) < 0 ||
            put_certificates(a->ca, dir_fd, err) < 0)
                return -1;
        fd = openat(dir_fd, BACKUP_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, errno, "cannot read the backup that was made");
        return note_made(dir_fd, err) < 0 ? -1 : CAD_TAKE_FD(fd);
}

int authority_backup(struct authority *a, const struct principal *principal,
                     const struct audit_event *what, int state_dir_fd, struct error *err) {
        static atomic_flag under_way = ATOMIC_FLAG_INIT;
        struct audit_event event = *what;
        int fd;

        event.action = "backup.make";
        event.principal = principal->text;
        event.outcome = "ok";
        if (access_check(principal, ACTION_BACKUP, err) < 0) {
                audit_refused(a, principal, &event, err);
                return -1;
        }
        if (atomic_flag_test_and_set(&under_way))
                return error_set(err, ERR_BUSY,
                                 "a backup is being made already: try again when it is done");
        fd = make(a, &event, state_dir_fd, err);
        (void) unlinkat(state_dir_fd, BACKUP_FILE, 0);
        atomic_flag_clear(&under_way);
        return fd;
}

enum health_state backup_health(void *context, int64_t now, struct buffer *detail) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        char when[MOMENT_TEXT_MAX];
        struct error missing = { 0 };
        int64_t made = 0;

        if (file_read(*(const int *) context, BACKUP_LAST_FILE, FILE_PUBLIC, 64, &text, &missing) <
                    0 &&
            missing.code == ERR_NOT_FOUND) {
                buffer_text(
                        detail,
                        "none was made so far: `cactl backup FILE`, or systemctl enable --now cad-backup.timer");
                return HEALTH_OK;
        }
        if (text.size && text.data[text.size - 1] == '\n')
                text.size--;
        if (moment_parse(buffer_string(&text), &made, &missing) < 0 || made > now + 86400) {
                buffer_format(detail, "%s cannot be read", BACKUP_LAST_FILE);
                return HEALTH_WARNING;
        }
        buffer_format(detail, "the last one was made at %s", moment_format(made, when));
        return now - made > STALE_S ? HEALTH_WARNING : HEALTH_OK;
}
