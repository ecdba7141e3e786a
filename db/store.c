/*
 * Opening and closing: the lock, what is refused, the pool of readers. Never makes a database over something that is
 * there, and never touches one that belongs to somebody else.
 */
#include "db/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/moment.h"

#define LOCK_FILE "lock"
#define HEADER_SIZE 100 /* octets of SQLite's file header (its fileformat2.html §1.3) */
#define READERS_DEFAULT 2

/* SQLite takes paths. The kernel's own name of the folder has no symbolic link in it. */
static char *folder_path(int dir_fd, struct error *err) {
        char link_name[32], target[4096];
        char *copy;
        ssize_t n;

        (void) snprintf(link_name, sizeof(link_name), "/proc/self/fd/%d", dir_fd);
        n = readlink(link_name, target, sizeof(target) - 1);
        if (n < 0) {
                (void) error_errno(err, errno,
                                   "cannot find the path of the state folder (is /proc there?)");
                return NULL;
        }
        target[n] = '\0';
        copy = strdup(target);
        if (!copy)
                (void) error_no_memory(err);
        return copy;
}

static uint32_t read_be32(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static int check_header(const uint8_t *header, size_t size, struct error *err) {
        if (size == 0)
                return error_set(
                        err, ERR_STORE_FOREIGN,
                        "%s is empty, which cad never leaves: restore a backup, or move it away to start over",
                        STORE_FILE);
        if (size < HEADER_SIZE || memcmp(header, "SQLite format 3", 16) != 0)
                return error_set(err, ERR_STORE_FOREIGN, "%s is not a database: restore a backup",
                                 STORE_FILE);
        if (read_be32(header + 68) != STORE_APPLICATION_ID)
                return error_set(
                        err, ERR_STORE_FOREIGN,
                        "%s is a database of another program (application id 0x%08x, cad's is 0x%08x)",
                        STORE_FILE, read_be32(header + 68), STORE_APPLICATION_ID);
        return 0;
}

/*
 * Look at cad.db before SQLite does. Only with the lock held and no connection open: closing a descriptor of the file
 * would drop SQLite's own locks.
 */
static int check_file(int dir_fd, bool *ret_exists, struct error *err) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, STORE_FILE,
                        O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        uint8_t header[HEADER_SIZE];
        struct stat st;
        ssize_t n;

        if (fd < 0 && errno == ENOENT) {
                *ret_exists = false;
                return 0;
        }
        if (fd < 0 && errno == ELOOP)
                return error_set(err, ERR_FILE_UNSAFE,
                                 "%s is a symbolic link: put the file itself there", STORE_FILE);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, errno, "cannot open %s", STORE_FILE);
        if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
                return error_set(err, ERR_FILE_UNSAFE, "%s is not a regular file with one link",
                                 STORE_FILE);
        if (st.st_uid != geteuid() && st.st_uid != 0)
                return error_set(err, ERR_FILE_UNSAFE,
                                 "%s belongs to uid %u, neither to this user (%u) nor to root",
                                 STORE_FILE, (unsigned) st.st_uid, (unsigned) geteuid());
        if ((st.st_mode & 0077) && fchmod(fd, 0600) < 0)
                return error_errno(err, errno, "cannot make %s private (chmod 600)", STORE_FILE);
        n = pread(fd, header, sizeof(header), 0);
        if (n < 0)
                return error_errno(err, errno, "cannot read %s", STORE_FILE);
        *ret_exists = true;
        return check_header(header, (size_t) n, err);
}

static int check_no_orphan(int dir_fd, struct error *err) {
        static const char *const left[] = { STORE_FILE "-wal", STORE_FILE "-journal" };

        for (size_t i = 0; i < ARRAY_SIZE(left); i++)
                if (faccessat(dir_fd, left[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                        return error_set(
                                err, ERR_CA_INCOMPLETE,
                                "%s is gone but its log %s is there: put %s back, or restore a backup",
                                STORE_FILE, left[i], STORE_FILE);
        return 0;
}

/* A database of the CA that is being started over: out of the way, if nobody else got anything from it. */
static int move_aside(int dir_fd, struct sql_connection *c, struct error *err) {
        struct store_counters counters = { 0 };
        char name[64];

        if (counters_read(c, &counters, err) < 0)
                return -1;
        if (counters.issued_for_others > 0)
                return error_set(
                        err, ERR_CA_EXISTS,
                        "%lld certificates were issued for others by the CA in %s: it cannot be started over",
                        (long long) counters.issued_for_others, STORE_FILE);
        /* One file again, so that one rename is all: a log left behind would be played into the next database. */
        statement_release(c->prepared[STATEMENT_COUNTERS]);
        if (sql_exec(c, "PRAGMA journal_mode = DELETE", "cannot close " STORE_FILE, err) < 0)
                return -1;
        sql_done(c);
        (void) snprintf(name, sizeof(name), "%s.replaced-%lld", STORE_FILE,
                        (long long) moment_now_ms());
        if (renameat(dir_fd, STORE_FILE, dir_fd, name) < 0)
                return error_errno(err, errno, "cannot rename %s to %s", STORE_FILE, name);
        return folder_sync(dir_fd, STORE_FILE, err);
}

/* Whose is it? 1: ours; 0: it was another's and is out of the way. */
static int check_owner(int dir_fd, struct sql_connection *c, const struct store_options *o,
                       struct error *err) {
        CAD_AUTO(buffer_done) struct buffer ca_id = { 0 };
        const char *is;

        if (meta_read_ca_id(c, &ca_id, err) < 0)
                return -1;
        is = buffer_string(&ca_id);
        if (strcmp(is, o->ca_id) == 0)
                return 1;
        if (o->replaces && strcmp(is, o->replaces) == 0)
                return move_aside(dir_fd, c, err);
        return error_set(
                err, ERR_STORE_FOREIGN,
                "%s belongs to the CA with root %.64s, not to this one (%.64s): put the CA's own database there",
                STORE_FILE, is, o->ca_id);
}

/* Migrate and check what is there. 1: it is ready; 0: there is none any more. */
static int check_existing(int dir_fd, const char *dir, const char *path,
                          const struct store_options *o, struct error *err) {
        CAD_AUTO(sql_done) struct sql_connection c = { 0 };
        struct migration_list list = { migrations, migration_count };

        if (sql_open(&c, path, SQL_WRITER, err) < 0)
                return -1;
        if (store_migrate(dir_fd, dir, &c, &list, err) < 0)
                return -1;
        return check_owner(dir_fd, &c, o, err);
}

static int prepare_file(int dir_fd, const char *dir, const char *path,
                        const struct store_options *o, struct error *err) {
        bool exists = false;

        if (check_file(dir_fd, &exists, err) < 0)
                return -1;
        if (exists) {
                int ready = check_existing(dir_fd, dir, path, o, err);

                if (ready != 0)
                        return ready < 0 ? -1 : 0;
        }
        if (check_no_orphan(dir_fd, err) < 0)
                return -1;
        if (!o->create)
                return error_set(err, ERR_CA_INCOMPLETE,
                                 "the database %s is not in the state folder %s: restore a backup",
                                 STORE_FILE, dir);
        return store_create(dir_fd, dir, o->ca_id, err);
}

static struct store *store_alloc(const char *dir, unsigned readers) {
        struct store *store = calloc(1, sizeof(*store));

        if (!store)
                return NULL;
        store->lock_fd = -1;
        (void) pthread_mutex_init(&store->readers_lock, NULL);
        (void) pthread_cond_init(&store->reader_free, NULL);
        store->reader_count = readers ? readers : READERS_DEFAULT;
        if (store->reader_count > STORE_READERS_MAX)
                store->reader_count = STORE_READERS_MAX;
        for (; store->free_count < store->reader_count; store->free_count++)
                store->free_readers[store->free_count] = &store->readers[store->free_count];
        if (asprintf(&store->path, "%s/%s", dir, STORE_FILE) < 0) {
                store->path = NULL;
                return store_close(store);
        }
        return store;
}

/* SQLite counts its memory under a lock, at each allocation, for nobody: 1–2 us of an issuance. Where SQLite runs already
 * it refuses, and all works as well. */
static void set_up_sqlite(void) {
        (void) sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int store_open(int state_dir_fd, const struct store_options *options, struct store **ret,
               struct error *err) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        CAD_AUTO(free_text) char *dir = folder_path(state_dir_fd, err);
        CAD_AUTO(store_close) struct store *store = NULL;

        if (!dir)
                return -1;
        (void) pthread_once(&once, set_up_sqlite);
        store = store_alloc(dir, options->readers);
        if (!store)
                return error_no_memory(err);
        store->committer.revoked = options->revoked;
        store->committer.revoked_context = options->revoked_context;
        store->lock_fd = lock_take(state_dir_fd, LOCK_FILE, err);
        if (store->lock_fd < 0 || prepare_file(state_dir_fd, dir, store->path, options, err) < 0 ||
            committer_init(&store->committer, store->path, err) < 0)
                return -1;
        *ret = CAD_TAKE(store);
        return 0;
}

struct store *store_close(struct store *store) {
        if (!store)
                return NULL;
        committer_stop(&store->committer);
        for (unsigned i = 0; i < store->reader_count; i++)
                sql_done(&store->readers[i]);
        committer_done(&store->committer); /* last: the last connection empties the log */
        (void) pthread_cond_destroy(&store->reader_free);
        (void) pthread_mutex_destroy(&store->readers_lock);
        store->lock_fd = fd_close(store->lock_fd);
        free(store->path);
        free(store);
        return NULL;
}

struct sql_connection *reader_take(struct store *store, struct error *err) {
        struct sql_connection *c;

        (void) pthread_mutex_lock(&store->readers_lock);
        while (store->free_count == 0)
                (void) pthread_cond_wait(&store->reader_free, &store->readers_lock);
        c = store->free_readers[--store->free_count];
        (void) pthread_mutex_unlock(&store->readers_lock);

        if (c->broken)
                sql_done(c);
        if (!c->db && sql_open(c, store->path, SQL_READER, err) < 0) {
                reader_give(store, c);
                return NULL;
        }
        return c;
}

void reader_give(struct store *store, struct sql_connection *c) {
        (void) pthread_mutex_lock(&store->readers_lock);
        store->free_readers[store->free_count++] = c;
        (void) pthread_cond_signal(&store->reader_free);
        (void) pthread_mutex_unlock(&store->readers_lock);
}
