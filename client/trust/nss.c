/*
 * NSS databases: Firefox, Thunderbird, Chromium and their kin keep one in each profile. certutil reads and writes them.
 *
 * This runs in a process of the user whose home it is (users.h). A certificate is known by its octets, never by its nickname: what is
 * listed is exported and compared. certutil lists by subject whatever nickname it is asked for, so that nothing is deleted
 * without a look at what went.
 */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/run.h"
#include "inside.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

#define RUN_TIMEOUT_S 20
#define WORK_TIMEOUT_MS INT64_C(100000) /* for one database, looking or changing */
#define PROFILES_MAX 64                 /* of one user */
#define NICKNAMES_MAX 2000              /* of one database */
#define NICKNAME_MAX 512
#define FLAGS_MAX 32
#define TRUSTED "C,," /* for the certificates of servers */
#define ARGS_MAX 16

/* Below the home. NSS's older form, cert8.db, has been gone since Firefox 58. */
static const char *const places[] = {
        ".mozilla/firefox/*/cert9.db",
        ".config/mozilla/firefox/*/cert9.db",
        "snap/firefox/common/.mozilla/firefox/*/cert9.db",
        ".var/app/org.mozilla.firefox/.mozilla/firefox/*/cert9.db",
        ".var/app/org.mozilla.firefox/config/mozilla/firefox/*/cert9.db",
        ".librewolf/*/cert9.db",
        ".thunderbird/*/cert9.db",
        "snap/thunderbird/common/.thunderbird/*/cert9.db",
        ".pki/nssdb/cert9.db",
        ".local/share/pki/nssdb/cert9.db",
        "snap/*/current/.pki/nssdb/cert9.db",
        ".var/app/*/.pki/nssdb/cert9.db",
};

/* ---- where ---- */

/* In an image, a link that leads out of it is none of its databases. */
static bool stays_inside(const struct trust_job *job, const char *path) {
        CAD_AUTO(free_text) char *real = realpath(path, /* resolved= */ NULL);
        size_t length = strlen(job->prefix);

        return real &&
                (!length || (strncmp(real, job->prefix, length) == 0 && real[length] == '/'));
}

static int add_place(const struct trust_job *job, const char *database, struct trust_rows *rows,
                     struct error *err) {
        size_t length = strlen(database) - strlen("/cert9.db");
        struct trust_row *row;

        if (length >= sizeof(row->where) || !stays_inside(job, database))
                return 0;
        row = trust_row_add(rows, TRUST_NSS);
        if (!row)
                return error_no_memory(err);
        memcpy(row->where, database, length);
        row->where[length] = '\0';
        return 0;
}

static int find(const struct trust_job *job, struct trust_rows *rows, struct error *err) {
        size_t left = PROFILES_MAX;
        int rc = 0;

        for (size_t i = 0; i < ARRAY_SIZE(places) && rc == 0; i++) {
                glob_t found = { 0 };
                size_t count = inside_glob(job->home, places[i], &found);

                for (size_t k = 0; k < count && left && rc == 0; k++, left--)
                        rc = add_place(job, found.gl_pathv[k], rows, err);
                globfree(&found);
        }
        return rc;
}

/* ---- certutil ---- */

struct nss {
        char program[TRUST_WHERE_MAX];
        char database[TRUST_WHERE_MAX + 8]; /* "sql:…" */
        int64_t until_ms;
};

static bool nss_open(const struct trust_job *job, const struct trust_row *row, struct nss *ret) {
        int64_t until_ms = moment_monotonic_ms() + WORK_TIMEOUT_MS;

        *ret = (struct nss){ .until_ms = until_ms < job->until_ms ? until_ms : job->until_ms };
        (void) snprintf(ret->database, sizeof(ret->database), "sql:%s", row->where);
        return host_program("certutil", ret->program);
}

/*
 * @words: up to 10, ends with NULL; -d and -f are added. Without an empty file of passwords, certutil would ask for one.
 * @ret: appended
 */
static int certutil(const struct nss *nss, const char *const *words, struct buffer *ret,
                    struct error *err) {
        static const char *const more[] = { "LC_ALL=C", NULL };
        const char *argv[ARGS_MAX] = { nss->program };
        char text[ERROR_TEXT_MAX];
        struct error why = { 0 };
        size_t count = 1;

        if (moment_monotonic_ms() > nss->until_ms)
                return error_set(err, ERR_IO, "certutil takes too long with this database");
        while (*words && count + 5 < ARGS_MAX)
                argv[count++] = *words++;
        argv[count++] = "-d";
        argv[count++] = nss->database;
        argv[count++] = "-f";
        argv[count++] = "/dev/null";
        if (run_program((char *const *) (uintptr_t) argv, more, RUN_TIMEOUT_S, ret, &why) == 0)
                return 0;
        (void) said(ret, text);
        if (strstr(text, "SEC_ERROR_BAD_PASSWORD"))
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "this profile has a primary password, which only its owner knows: import the root in the program's own settings");
        return error_set(err, why.code, "%s%s%s", why.text, *text ? ": " : "", text);
}

/* ---- what is listed ---- */

struct listed {
        char nickname[NICKNAME_MAX];
        char flags[FLAGS_MAX];
};

struct listing {
        struct listed *items;
        size_t count;
};

static void listing_done(struct listing *listing) {
        free(listing->items);
}
CAD_CLEANUP_DONE(struct listing, listing_done)

/* "nickname, blanks and all      CT,C,C  ". Return: whether the line is such a one */
static bool take_line(const char *line, size_t size, struct listed *ret) {
        size_t end = size, flags;

        while (end && isspace((unsigned char) line[end - 1]))
                end--;
        for (flags = end; flags && !isspace((unsigned char) line[flags - 1]);)
                flags--;
        size = flags;
        while (size && isspace((unsigned char) line[size - 1]))
                size--;
        if (!size || size >= NICKNAME_MAX || end - flags >= FLAGS_MAX ||
            !memchr(line + flags, ',', end - flags) ||
            strspn(line + flags, "pPcCTugGw,") < end - flags)
                return false;
        memcpy(ret->nickname, line, size);
        ret->nickname[size] = '\0';
        memcpy(ret->flags, line + flags, end - flags);
        ret->flags[end - flags] = '\0';
        return true;
}

/* Whoever was killed while he wrote has left a journal, which is undone by whoever opens the database to write: -X. For reading
 * alone it is refused as damaged. */
static int read_listing(const struct nss *nss, struct buffer *ret, struct error *err) {
        static const char *const words[] = { "-L", NULL };
        static const char *const again[] = { "-L", "-X", NULL };

        if (certutil(nss, words, ret, err) == 0)
                return 0;
        if (!strstr(err->text, "SEC_ERROR_BAD_DATABASE"))
                return -1;
        ret->size = 0;
        return certutil(nss, again, ret, err);
}

static int list(const struct nss *nss, struct listing *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        const char *at;

        ret->items = calloc(NICKNAMES_MAX, sizeof(*ret->items));
        if (!ret->items)
                return error_no_memory(err);
        if (read_listing(nss, &text, err) < 0)
                return -1;
        for (at = buffer_string(&text); *at; at += *at == '\n') {
                size_t size = strcspn(at, "\n");

                if (ret->count == NICKNAMES_MAX || text.size >= RUN_OUTPUT_MAX)
                        return error_set(err, ERR_IO, "this database has too many certificates");
                if (take_line(at, size, &ret->items[ret->count]))
                        ret->count++;
                at += size;
        }
        return 0;
}

/* All certificates that certutil shows for a nickname: those of its subject. */
static int export(const struct nss *nss, const char *nickname, struct buffer *ret,
                  struct error *err) {
        const char *const words[] = { "-L", "-n", nickname, "-a", NULL };

        return certutil(nss, words, ret, err);
}

static bool is_trusted(const char *flags) {
        size_t servers = strcspn(flags, ",");

        return memchr(flags, 'C', servers) != NULL;
}

/* ---- looking ---- */

struct finding {
        struct trust_scan scan;
        bool trusted;
        /* the rows under which certutil shows it */
        bool under[NICKNAMES_MAX];
};

static bool seen_before(const struct listing *listing, size_t at) {
        for (size_t i = 0; i < at; i++)
                if (text_equal(listing->items[i].nickname, listing->items[at].nickname))
                        return true;
        return false;
}

static void take_others(struct trust_scan *all, const struct trust_scan *scan) {
        for (size_t i = 0; i < scan->others_count; i++) {
                bool known = all->others_count == TRUST_OTHERS_MAX;

                for (size_t k = 0; k < all->others_count; k++)
                        known |= memcmp(all->others[k], scan->others[i], SHA256_SIZE) == 0;
                if (!known)
                        memcpy(all->others[all->others_count++], scan->others[i], SHA256_SIZE);
        }
}

/*
 * Trust stands in the listing, by nickname. Where several of one subject are there, the row of our own label is ours; else all of
 * them have to be trusted for this one to be.
 */
static void judge(const struct listing *listing, const struct root *root, struct finding *ret) {
        bool all = ret->scan.there;

        for (size_t i = 0; i < listing->count; i++) {
                if (!ret->under[i])
                        continue;
                if (root->label[0] && text_equal(listing->items[i].nickname, root->label)) {
                        ret->trusted = is_trusted(listing->items[i].flags);
                        return;
                }
                all &= is_trusted(listing->items[i].flags);
        }
        ret->trusted = all;
}

static int search(const struct nss *nss, const struct listing *listing, const struct root *root,
                  struct finding *ret, struct error *err) {
        for (size_t i = 0; i < listing->count; i++) {
                CAD_AUTO(buffer_done) struct buffer pem = { 0 };
                struct trust_scan scan = { 0 };
                struct error ignored = { 0 };

                if (seen_before(listing, i)) {
                        for (size_t k = 0; k < i; k++)
                                if (text_equal(listing->items[k].nickname,
                                               listing->items[i].nickname))
                                        ret->under[i] = ret->under[k];
                        continue;
                }
                if (export(nss, listing->items[i].nickname, &pem, err) < 0) {
                        if (moment_monotonic_ms() > nss->until_ms)
                                return -1;
                        continue; /* a name that the listing does not show as it is */
                }
                (void) trust_scan_text(&scan, root, buffer_bytes(&pem), &ignored);
                ret->under[i] = scan.there;
                ret->scan.there |= scan.there;
                take_others(&ret->scan, &scan);
        }
        judge(listing, root, ret);
        return 0;
}

static void needs_certutil(struct trust_row *row) {
        (void) snprintf(row->tool, sizeof(row->tool), "certutil");
        trust_set(row, TRUST_NEEDS_TOOL,
                  "certutil reads and writes these databases: install libnss3-tools (Fedora: "
                  "nss-tools, Arch: nss, openSUSE: mozilla-nss-tools)");
}

static void look(const struct trust_job *job, struct trust_row *row) {
        CAD_AUTO(listing_done) struct listing listing = { 0 };
        struct finding finding = { 0 };
        struct error err = { 0 };
        struct nss nss;

        if (!nss_open(job, row, &nss)) {
                needs_certutil(row);
                return;
        }
        if (list(&nss, &listing, &err) < 0 ||
            search(&nss, &listing, job->root, &finding, &err) < 0) {
                trust_set(row, TRUST_FAILED, "%s", err.text);
                return;
        }
        row->others_count = finding.scan.others_count;
        memcpy(row->others, finding.scan.others, sizeof(row->others));
        row->state = !finding.scan.there ? TRUST_ABSENT
                : finding.trusted        ? TRUST_INSTALLED
                                         : TRUST_DISTRUSTED;
}

/* ---- changing ---- */

/* In memory: certutil inherits it and reads it by its number. */
static int certificate_file(struct bytes der, char path[32], struct error *err) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        CAD_AUTO(fd_close) int fd = memfd_create("cactl-root", /* flags= */ 0);

        pem_append(&pem, "CERTIFICATE", der);
        if (fd < 0 || pem.failed || fd_write_all(fd, buffer_bytes(&pem)) < 0)
                return error_set(err, ERR_IO, "cannot keep a certificate in memory");
        (void) snprintf(path, 32, "/proc/self/fd/%d", fd);
        return CAD_TAKE_FD(fd);
}

static int add(const struct nss *nss, const char *nickname, const char *flags, struct bytes der,
               struct error *err) {
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        char path[32];
        CAD_AUTO(fd_close) int fd = certificate_file(der, path, err);
        const char *const words[] = { "-A", "-n", nickname, "-t", flags, "-i", path, NULL };

        return fd < 0 ? -1 : certutil(nss, words, &output, err);
}

static int install(const struct trust_job *job, struct trust_row *row, struct error *err) {
        struct nss nss;

        (void) nss_open(job, row, &nss);
        return add(&nss, job->root->label, TRUSTED, buffer_bytes(&job->root->der), err);
}

/* Whether @der is among what @text holds. */
static bool text_has(struct bytes text, struct bytes der) {
        struct trust_scan scan = { 0 };
        struct error ignored = { 0 };
        struct root wanted = { 0 };
        uint8_t digest[SHA256_SIZE];

        cert_fingerprint(der, digest);
        wanted.match = root_match_of(digest);
        (void) trust_scan_text(&scan, &wanted, text, &ignored);
        return scan.there;
}

/* Deleted by a nickname that several share, another one may have gone: what is missing and was not meant comes back. */
static int put_back(const struct nss *nss, const struct listed *row, struct bytes before,
                    const struct root_match *match, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer after = { 0 };
        struct error none_left = { 0 };

        (void) export(nss, row->nickname, &after, &none_left);
        for (;;) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX];
                int found = pem_next(&before, label, &der, err);

                if (found <= 0)
                        return found;
                if (root_match_fits(match, buffer_bytes(&der)) ||
                    text_has(buffer_bytes(&after), buffer_bytes(&der)) ||
                    add(nss, row->nickname, row->flags, buffer_bytes(&der), err) == 0)
                        continue;
                return -1;
        }
}

static int delete (const struct nss *nss, const char *nickname, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        const char *const words[] = { "-D", "-n", nickname, NULL };

        return certutil(nss, words, &output, err);
}

/* One nickname under which it is shown: all rows of it go until it has gone, and the others come back with their own trust. */
static int remove_under(const struct nss *nss, const struct listing *listing, size_t at,
                        const struct root_match *match, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer before = { 0 };
        const struct listed *row = &listing->items[at];
        const struct root wanted = { .match = *match };
        struct error none_left = { 0 };

        for (size_t i = 0; i < listing->count; i++)
                if (text_equal(listing->items[i].nickname, row->nickname) &&
                    !text_equal(listing->items[i].flags, row->flags))
                        return error_set(
                                err, ERR_STATE_CONFLICT,
                                "several certificates are called '%s' and are trusted for different things: take this root out "
                                "with the program's own settings",
                                row->nickname);
        if (export(nss, row->nickname, &before, err) < 0)
                return -1;
        for (size_t tries = 0; tries < TRUST_OTHERS_MAX * 2; tries++) {
                CAD_AUTO(buffer_done) struct buffer now = { 0 };
                struct trust_scan scan = { 0 };

                if (delete (nss, row->nickname, err) < 0)
                        break;
                *err = (struct error){ 0 };
                (void) export(nss, row->nickname, &now, &none_left);
                (void) trust_scan_text(&scan, &wanted, buffer_bytes(&now), &none_left);
                if (!scan.there)
                        break;
        }
        if (put_back(nss, row, buffer_bytes(&before), match, err) < 0)
                return -1;
        return err->code ? -1 : 0;
}

/* Return: the row to try next, our own label's before others; listing->count: none is left */
static size_t choose(const struct listing *listing, const struct finding *finding,
                     const bool *tried, const char *label) {
        size_t chosen = listing->count;

        for (size_t i = listing->count; i-- > 0;)
                if (finding->under[i] && !tried[i] &&
                    (chosen == listing->count ||
                     !text_equal(listing->items[chosen].nickname, label)))
                        chosen = i;
        return chosen;
}

/* One after the other of the nicknames under which it is shown, until it is shown under none. */
static int take_out(const struct trust_job *job, struct trust_row *row,
                    const struct root_match *match, struct error *err) {
        const struct root wanted = { .match = *match };
        CAD_AUTO(listing_done) struct listing first = { 0 };
        struct finding finding = { 0 }, left = { 0 };
        bool tried[NICKNAMES_MAX] = { false };
        struct nss nss;

        (void) nss_open(job, row, &nss);
        if (list(&nss, &first, err) < 0 || search(&nss, &first, &wanted, &finding, err) < 0)
                return -1;
        for (left.scan.there = finding.scan.there; left.scan.there;) {
                CAD_AUTO(listing_done) struct listing now = { 0 };
                size_t at = choose(&first, &finding, tried, job->root->label);

                if (at == first.count)
                        return 0; /* looking again tells */
                tried[at] = true;
                if (remove_under(&nss, &first, at, match, err) < 0)
                        return -1;
                left = (struct finding){ 0 };
                if (list(&nss, &now, err) < 0 || search(&nss, &now, &wanted, &left, err) < 0)
                        return -1;
        }
        return 0;
}

const struct trust_store trust_nss = {
        .name = "nss",
        .each_user = true,
        .find = find,
        .look = look,
        .install = install,
        .remove = take_out,
};
