/*
 * See restore.h. Nothing is written over: a state folder that has a database, a signer's folder that has a CA, stay as they are.
 *
 * Root runs it, on a file that may come from anywhere and in folders of other users: what is done in a folder is done with the rights of whom it
 * belongs to, and what the file says is believed as far as it leads to the CA's root. The keys come first and the database last, so that one who is
 * killed can try again.
 */
#include "daemon/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/backup_ca.h"
#include "daemon/config.h"
#include "daemon/launch.h"
#include "daemon/losses.h"
#include "daemon/restore_keys.h"
#include "daemon/signer/bundle.h"
#include "lib/audit/verify.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"

#define EXIT_USAGE 2
#define WORDS_MAX 16
#define TEMPORARY_MAX 4096 /* bytes with NUL of a temporary folder's path */

struct restore {
        struct config config;
        const char *file;
        bool check, accept_loss;
        char *signer_dir;
        int state_fd, signer_fd, lock_fd;
        struct backup *backup;
        struct backup_info info;
        struct losses *losses;
};

static void restore_done(struct restore *r) {
        r->losses = losses_free(r->losses);
        r->backup = backup_close(r->backup);
        r->lock_fd = fd_close(r->lock_fd);
        r->signer_fd = fd_close(r->signer_fd);
        r->state_fd = fd_close(r->state_fd);
        free(r->signer_dir);
        config_done(&r->config);
}
CAD_CLEANUP_DONE(struct restore, restore_done)

/* Its keys, between the backup and the signer's folder. */
static struct restore_keys keys_of(const struct restore *r) {
        return (struct restore_keys){ .backup = r->backup,
                                      .ca_id = r->info.ca_id,
                                      .signer_dir = r->signer_dir,
                                      .passphrase_file = r->config.passphrase_file };
}

static int fail(const struct error *err) {
        (void) fprintf(stderr, "cad: %s\n", err->text);
        return err->code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILURE;
}

#define PASSPHRASE_OPTION "--passphrase-file"

/* Of a rehearsal; else config_read() has taken it. Return: words used, 0 where it is another word, -1 with @err */
static int take_passphrase(struct restore *r, const char *const *words, struct error *err) {
        size_t n = strlen(PASSPHRASE_OPTION);
        bool joined = strncmp(words[0], PASSPHRASE_OPTION "=", n + 1) == 0;
        const char *value = joined ? words[0] + n + 1 : words[1];

        if (!joined && strcmp(words[0], PASSPHRASE_OPTION) != 0)
                return 0;
        if (!value || !*value)
                return error_set(err, ERR_USAGE, PASSPHRASE_OPTION " wants a value");
        free(r->config.passphrase_file);
        r->config.passphrase_file = strdup(value);
        return !r->config.passphrase_file ? error_no_memory(err) : joined ? 1 : 2;
}

static int take_words(struct restore *r, const char *const *words, struct error *err) {
        for (size_t i = 0; words[i]; i++) {
                int used = take_passphrase(r, &words[i], err);

                if (used < 0)
                        return -1;
                if (used)
                        i += (size_t) used - 1;
                else if (strcmp(words[i], "--check") == 0)
                        r->check = true;
                else if (strcmp(words[i], "--accept-loss") == 0)
                        r->accept_loss = true;
                else if (words[i][0] == '-' || r->file)
                        return error_set(
                                err, ERR_USAGE,
                                "'%s' is not known here: cad restore FILE [--check] [--accept-loss] [--passphrase-file FILE]",
                                words[i]);
                else
                        r->file = words[i];
        }
        return r->file ? 0 : error_set(err, ERR_USAGE, "which backup? name its FILE");
}

static bool has_check(int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--check") == 0)
                        return true;
        return false;
}

/* A rehearsal has nothing to do with where a CA is: it needs no configuration and no state folder. */
static int read_words(struct restore *r, int argc, char **argv, struct error *err) {
        const char *words[WORDS_MAX + 1] = { NULL };

        if (argc > WORDS_MAX)
                return error_set(err, ERR_USAGE, "there are more than %d words", WORDS_MAX);
        if (has_check(argc, argv)) {
                for (int i = 1; i < argc; i++)
                        words[i - 1] = argv[i];
                return take_words(r, words, err);
        }
        return config_read(argc, argv, words, &r->config, err) < 0 || take_words(r, words, err) < 0
                ? -1
                : signer_state_dir(&r->config, &r->signer_dir, err);
}

/* ---- in the folders of others ---- */

/* Root, for a while, is whom a folder belongs to: no link or file that is laid there leads further than its owner's rights. Root's other
 * groups would be rights as well; they are not taken again, root needs none. */
static int act_as_owner(int dir_fd, struct error *err) {
        struct stat st;

        if (geteuid() != 0)
                return 0;
        if (fstat(dir_fd, &st) < 0)
                return error_errno(err, errno, "cannot look at the state folder");
        return setgroups(0, NULL) < 0 || setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0
                ? error_errno(err, errno, "cannot act as uid %u, whose the state folder is",
                              (unsigned) st.st_uid)
                : 0;
}

static void act_as_oneself(void) {
        if (seteuid(getuid()) < 0 || setegid(getgid()) < 0)
                abort();
}

/* ---- is it of this CA? ---- */

/* Return: 1 the signer's folder has this CA, 0 it has none, -1 with @err */
static int same_ca(struct restore *r, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        struct error other = { 0 };

        if (r->signer_fd < 0 || faccessat(r->signer_fd, CA_FOLDER, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (file_read(r->signer_fd, CA_FOLDER "/root.crt", FILE_ANY_OWNER, 65536, &pem, err) < 0)
                return -1;
        if (backup_ca_is_root(buffer_bytes(&pem), r->info.ca_id, &other) == 0)
                return 1;
        return error_set(err, other.code, "%s/" CA_FOLDER "/root.crt: %.400s", r->signer_dir,
                         other.text);
}

/* Root and issuers that are in the backup are those of the CA that it says it is of; so is the root that would go into the signer's folder. */
static int check_one(void *context, const char *name, struct bytes content, struct error *err) {
        struct restore *r = context;
        const struct backup_ca ca = { r->backup, r->info.ca_id, -1 };
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        char id[SIGNER_ISSUER_MAX];

        if (strcmp(name, BUNDLE_PREFIX CA_FOLDER "/root.crt") == 0)
                return backup_ca_is_root(content, r->info.ca_id, err);
        if (sscanf(name, "ca/%15[a-z0-9-].crt", id) != 1)
                return 0;
        return backup_ca_certificate(&ca, id, &der, err);
}

static int check_ca(struct restore *r, struct error *err) {
        const struct backup_ca ca = { r->backup, r->info.ca_id, -1 };
        CAD_AUTO(buffer_done) struct buffer root = { 0 };

        return backup_ca_certificate(&ca, "root", &root, err) < 0
                ? -1
                : backup_each(r->backup, check_one, r, err);
}

/* ---- what there is to say ---- */

static const char *plural(uint64_t count) {
        return count == 1 ? "" : "s";
}

static void print_info(const struct restore *r) {
        char made[MOMENT_TEXT_MAX];

        (void) printf("backup of the CA %.16s… made at %s: %" PRId64 " certificate%s, %" PRId64
                      " revoked, %s\n",
                      r->info.ca_id, moment_format(r->info.made_at, made), r->info.counters.issued,
                      plural((uint64_t) r->info.counters.issued), r->info.counters.revoked,
                      r->info.with_keys ? "with the keys, encrypted" : "without keys");
}

static void print_lines(FILE *to, const char *title, struct buffer *lines) {
        if (lines->size)
                (void) fprintf(to, "%s\n%s", title, buffer_string(lines));
}

static int judge_losses(const struct restore *r, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer unknown = { 0 };
        CAD_AUTO(buffer_done) struct buffer lost = { 0 };

        losses_unknown(r->losses, &unknown);
        losses_list(r->losses, &lost);
        if (losses_garbled(r->losses))
                (void) fprintf(stderr, "%zu line%s of the signer's log not whole, and left out\n",
                               losses_garbled(r->losses),
                               losses_garbled(r->losses) == 1 ? " is" : "s are");
        print_lines(r->accept_loss ? stdout : stderr, "What cannot be known:", &unknown);
        print_lines(
                r->accept_loss ? stdout : stderr,
                "Issued after the backup, known from the signer's log alone (they can be revoked, not shown):",
                &lost);
        if (r->accept_loss || (!unknown.size && !lost.size))
                return 0;
        return error_set(
                err, ERR_STATE_CONFLICT,
                "something is lost with this backup, as listed: take a newer one, or add --accept-loss");
}

/* ---- a rehearsal ---- */

static void on_finding(const struct audit_finding *finding, void *data) {
        struct error *err = data;

        if (err->code == ERR_NONE)
                (void) error_set(err, ERR_STORE,
                                 "the audit is not whole: rows %" PRId64 " to %" PRId64 " are %s",
                                 finding->first, finding->last, audit_fault_name(finding->fault));
}

static void on_row(const struct audit_row *row, void *data) {
        audit_verifier_row(data, row);
}

static int check_audit(struct store *store, const char *ca_id, struct error *err) {
        CAD_AUTO(audit_verifier_free) struct audit_verifier *v = NULL;
        char cursor[AUDIT_CURSOR_MAX] = "", next[AUDIT_CURSOR_MAX];
        const struct audit_filter all = { 0 };
        uint8_t begin[AUDIT_HASH_SIZE];
        struct audit_verdict verdict;
        struct audit_head head;

        if (store_audit_head(store, &head, err) < 0)
                return -1;
        audit_chain_begin(ca_id, begin);
        v = audit_verifier_new(begin, head.number, NULL, 0, on_finding, err);
        if (!v)
                return error_no_memory(err);
        do {
                if (store_audit_list(store, &all, cursor, AUDIT_PAGE_MAX, on_row, v, next, err) < 0)
                        return -1;
                (void) snprintf(cursor, sizeof(cursor), "%s", next);
        } while (cursor[0]);
        audit_verifier_end(v, &verdict);
        if (err->code != ERR_NONE)
                return -1;
        (void) printf("the audit is whole: %" PRIu64 " rows\n", verdict.rows);
        return 0;
}

struct newest {
        struct cert_row *row;
};

/* One that an earlier restore knew from the signer's log alone has no DER. */
static void keep_row(const struct cert_row *row, void *data) {
        struct newest *newest = data;

        if (!newest->row && row->der.size > LOST_DER_SIZE)
                newest->row = cert_row_copy(row);
}

static int find_newest(struct restore *r, struct store *store, struct newest *ret,
                       struct error *err) {
        const struct cert_filter any = { .status = CERT_FILTER_ANY, .now = r->info.made_at };
        char cursor[STORE_CURSOR_MAX] = "", next[STORE_CURSOR_MAX];

        do {
                if (store_list(store, &any, cursor, 100, keep_row, ret, next, err) < 0)
                        return -1;
                (void) snprintf(cursor, sizeof(cursor), "%s", next);
        } while (!ret->row && cursor[0]);
        return 0;
}

/* The newest certificate, through the CA's certificates as they are in the backup. */
static int check_chain(struct restore *r, struct store *store, struct error *err) {
        const struct backup_ca ca = { r->backup, r->info.ca_id, -1 };
        CAD_AUTO(buffer_done) struct buffer root = { 0 };
        CAD_AUTO(buffer_done) struct buffer issuer = { 0 };
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct newest newest = { 0 };
        int rc = find_newest(r, store, &newest, err);

        row = newest.row;
        if (rc < 0 || !row)
                return rc;
        if (backup_ca_certificate(&ca, "root", &root, err) < 0 ||
            backup_ca_certificate(&ca, row->issuer, &issuer, err) < 0 ||
            chain_verify(row->der, buffer_bytes(&issuer), buffer_bytes(&root), row->not_before,
                         err) < 0)
                return -1;
        (void) puts("the newest certificate leads to the root");
        return 0;
}

static int look_inside(struct restore *r, int dir_fd, struct error *err) {
        const struct store_options options = { .ca_id = r->info.ca_id };
        CAD_AUTO(store_close) struct store *store = NULL;
        struct store_counters counters;

        if (store_open(dir_fd, &options, &store, err) < 0 ||
            store_counters(store, &counters, err) < 0 ||
            check_audit(store, r->info.ca_id, err) < 0 || check_chain(r, store, err) < 0)
                return -1;
        if (counters.issued != r->info.counters.issued)
                return error_set(err, ERR_STORE,
                                 "the backup holds %" PRId64 " certificates and says %" PRId64,
                                 counters.issued, r->info.counters.issued);
        return 0;
}

static void remove_rehearsal(int dir_fd, const char *path) {
        static const char *const files[] = { "cad.db", "cad.db-wal", "cad.db-shm", "lock" };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                (void) unlinkat(dir_fd, files[i], 0);
        (void) rmdir(path);
}

static int make_temporary(char path[TEMPORARY_MAX], struct error *err) {
        const char *tmp = getenv("TMPDIR");

        (void) snprintf(path, TEMPORARY_MAX, "%s/cad-restore.XXXXXX",
                        tmp && *tmp ? tmp : "/var/tmp");
        return mkdtemp(path) ? 0
                             : error_errno(err, errno, "cannot make a temporary folder %s", path);
}

static int rehearse(struct restore *r, struct error *err) {
        const struct backup_changes none = { 0 };
        CAD_AUTO(fd_close) int dir_fd = -1;
        struct backup_result result;
        char path[TEMPORARY_MAX];
        int rc;

        if (make_temporary(path, err) < 0)
                return -1;
        dir_fd = folder_open(AT_FDCWD, path, false, err);
        rc = dir_fd < 0 || backup_extract(r->backup, dir_fd, &none, &result, err) < 0
                ? -1
                : look_inside(r, dir_fd, err);
        remove_rehearsal(dir_fd, path);
        return rc;
}

static int try_keys(const struct restore *r, struct error *err) {
        struct restore_keys keys = keys_of(r);
        char path[TEMPORARY_MAX];

        if (make_temporary(path, err) < 0)
                return -1;
        keys.signer_dir = path;
        return restore_keys_try(&keys, err);
}

static int rehearse_alone(struct restore *r, struct error *err) {
        bool with_passphrase = r->config.passphrase_file != NULL;

        if (with_passphrase && !r->info.with_keys)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "there are no keys in %s to try the passphrase of %s on: leave --passphrase-file out, or take a backup that was "
                        "made with --with-keys",
                        r->file, r->config.passphrase_file);
        if (rehearse(r, err) < 0)
                return -1;
        (void) fflush(stdout);
        if (with_passphrase && try_keys(r, err) < 0)
                return -1;
        if (r->info.with_keys && !with_passphrase)
                (void) puts(
                        "the keys were not tried: add --passphrase-file FILE to see whether their passphrase opens them");
        (void) puts("the backup can be restored");
        return 0;
}

/* What a rehearsal would find is found before anything is put back. A damaged backup may be all that there is: then it is said, and wanted. */
static int judge_backup(struct restore *r, struct error *err) {
        struct error wrong = { 0 };

        if (rehearse(r, &wrong) == 0)
                return 0;
        if (!r->accept_loss)
                return error_set(
                        err, wrong.code,
                        "%.800s. Take another backup; if there is none, --accept-loss restores this one as it is",
                        wrong.text);
        (void) printf("The backup is not as it was made: %s\n", wrong.text);
        return 0;
}

/* ---- for real ---- */

static int open_places(struct restore *r, struct error *err) {
        struct error missing = { 0 };

        r->state_fd = folder_open(AT_FDCWD, r->config.state_dir, true, err);
        if (r->state_fd < 0)
                return -1;
        if (act_as_owner(r->state_fd, err) < 0)
                return -1;
        r->lock_fd = lock_take(r->state_fd, "lock", err);
        act_as_oneself();
        if (r->lock_fd < 0 && err->code == ERR_BUSY) {
                struct error cause = *err;

                return error_set(err, ERR_BUSY, "%s is %s: stop cad first", r->config.state_dir,
                                 cause.text);
        }
        if (r->lock_fd < 0 || backup_place_free(r->state_fd, err) < 0)
                return -1;
        r->signer_fd = folder_open(AT_FDCWD, r->signer_dir, false, &missing);
        if (r->signer_fd < 0 && missing.code != ERR_NOT_FOUND) {
                *err = missing;
                return -1;
        }
        return 0;
}

static int put_back(struct restore *r, struct error *err) {
        char detail[160], made[MOMENT_TEXT_MAX];
        const struct audit_event event = { .action = "backup.restore",
                                           .principal = "cad",
                                           .object = r->info.ca_id,
                                           .outcome = "ok",
                                           .detail = detail };
        struct backup_changes changes = losses_changes(r->losses);
        struct backup_result result;
        int rc;

        (void) snprintf(
                detail, sizeof(detail),
                "a backup made at %s, %zu certificate%s from the signer's log, open tokens revoked%s",
                moment_format(r->info.made_at, made), changes.lost_count,
                plural(changes.lost_count), r->accept_loss ? ", losses accepted" : "");
        changes.event = &event;
        changes.tokens_end_at = moment_now();
        if (act_as_owner(r->state_fd, err) < 0)
                return -1;
        rc = backup_extract(r->backup, r->state_fd, &changes, &result, err);
        act_as_oneself();
        if (rc < 0)
                return -1;
        (void) printf(
                "restored into %s: %zu revocation%s of the last CRL %s not in the backup, %zu certificate%s came from the "
                "signer's log%s\n",
                r->config.state_dir, result.revoked, plural(result.revoked),
                result.revoked == 1 ? "was" : "were", changes.lost_count,
                plural(changes.lost_count),
                result.unknown ? "; some of the CRL's serials are known to nobody" : "");
        if (result.tokens == 1)
                (void) puts(
                        "1 token of the backup was not used up. Whether it was used or revoked since is not known: it is revoked; "
                        "make a new one (cactl token create)");
        else if (result.tokens)
                (void) printf(
                        "%zu tokens of the backup were not used up. Whether they were used or revoked since is not known: they are "
                        "revoked; make new ones (cactl token create)\n",
                        result.tokens);
        return 0;
}

static int restore(struct restore *r, struct error *err) {
        struct restore_keys keys;
        int there;

        if (open_places(r, err) < 0 || (there = same_ca(r, err)) < 0)
                return -1;
        if (!there && !r->info.with_keys)
                return error_set(
                        err, ERR_CA_MISSING,
                        "there is no CA in %s and no keys in the backup: put the signer's folder back first, or take a backup "
                        "that was made with --with-keys",
                        r->signer_dir);
        if (judge_backup(r, err) < 0 ||
            losses_find(r->backup, r->state_fd, r->signer_fd, &r->losses, err) < 0 ||
            judge_losses(r, err) < 0)
                return -1;
        (void) fflush(stdout);
        keys = keys_of(r);
        if ((!there && restore_keys_import(&keys, err) < 0) || put_back(r, err) < 0)
                return -1;
        (void) puts(there ? "start cad, then `cactl crl publish`"
                          : "the keys are back, too; start cad, then `cactl crl publish`");
        return 0;
}

/* A signer that ends early, and a disk quota, are errors of write(). */
static void begin(void) {
        (void) umask(0077);
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ, SIG_IGN);
}

int restore_command(int argc, char **argv) {
        CAD_AUTO(restore_done)
        struct restore r = { .state_fd = -1, .signer_fd = -1, .lock_fd = -1 };
        struct error err = { 0 };

        begin();
        if (read_words(&r, argc, argv, &err) < 0 ||
            backup_open(AT_FDCWD, r.file, false, &r.backup, &err) < 0 ||
            backup_info(r.backup, &r.info, &err) < 0 || check_ca(&r, &err) < 0)
                return fail(&err);
        print_info(&r);
        (void) fflush(stdout);
        return (r.check ? rehearse_alone(&r, &err) : restore(&r, &err)) < 0 ? fail(&err)
                                                                            : EXIT_SUCCESS;
}

int backup_keys_command(int argc, char **argv) {
        CAD_AUTO(restore_done)
        struct restore r = { .state_fd = -1, .signer_fd = -1, .lock_fd = -1 };
        struct restore_keys keys;
        struct error err = { 0 };

        begin();
        if (read_words(&r, argc, argv, &err) < 0 ||
            backup_open(AT_FDCWD, r.file, true, &r.backup, &err) < 0 ||
            backup_info(r.backup, &r.info, &err) < 0)
                return fail(&err);
        keys = keys_of(&r);
        if (restore_keys_export(&keys, &err) < 0 || backup_info(r.backup, &r.info, &err) < 0)
                return fail(&err);
        print_info(&r);
        return EXIT_SUCCESS;
}
