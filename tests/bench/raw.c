/*
 * The baselines: what GnuTLS, SQLite and the disk cost with nothing around them.
 *
 * One thread, no sockets. The figures of cad are given as ratios to these, taken in the same run;
 * so nothing here may be cleverer or lazier than what an issuance needs at least.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

#define TBS_SIZE 600    /* bytes signed: a leaf with two names, CRL and AIA addresses */
#define ROW_SIZE 600    /* bytes of one stored certificate */
#define BLOCK_SIZE 4096 /* bytes of one write before fdatasync, as a WAL frame's page */

#define GNUTLS_MUST(call) \
        do { \
                int rc_ = (call); \
                if (rc_ < 0) \
                        die(#call ": %s", gnutls_strerror(rc_)); \
        } while (0)

struct options {
        const char *csrs, *dir;
        double seconds;
        bool parts;
};

/* ---- GnuTLS ---- */

struct crypto {
        gnutls_datum_t *csrs; /* DER */
        size_t csrs_len, next;
        gnutls_privkey_t key;
        unsigned char tbs[TBS_SIZE];
};

static void crypto_init(struct crypto *crypto, const char *path) {
        struct pem_pool pool;

        pem_pool_load(path, &pool);
        *crypto = (struct crypto){ .csrs_len = pool.len };
        crypto->csrs = xcalloc(pool.len, sizeof(*crypto->csrs));
        for (size_t i = 0; i < pool.len; i++) {
                gnutls_datum_t pem = { (unsigned char *) pool.items[i].text,
                                       (unsigned) pool.items[i].len };

                GNUTLS_MUST(
                        gnutls_pem_base64_decode2("CERTIFICATE REQUEST", &pem, &crypto->csrs[i]));
        }
        pem_pool_done(&pool);
        GNUTLS_MUST(gnutls_privkey_init(&crypto->key));
        GNUTLS_MUST(gnutls_privkey_generate(crypto->key, GNUTLS_PK_ECDSA,
                                            GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                            /* flags= */ 0));
        for (size_t i = 0; i < TBS_SIZE; i++)
                crypto->tbs[i] = (unsigned char) i;
}

static void crypto_done(struct crypto *crypto) {
        for (size_t i = 0; i < crypto->csrs_len; i++)
                gnutls_free(crypto->csrs[i].data);
        free(crypto->csrs);
        gnutls_privkey_deinit(crypto->key);
}

/* Import and, if wished, check the proof of possession of the pool's next CSR. */
static void crypto_check_csr(struct crypto *crypto, bool verify) {
        gnutls_x509_crq_t crq;

        GNUTLS_MUST(gnutls_x509_crq_init(&crq));
        GNUTLS_MUST(gnutls_x509_crq_import(crq, &crypto->csrs[crypto->next], GNUTLS_X509_FMT_DER));
        if (verify)
                GNUTLS_MUST(gnutls_x509_crq_verify(crq, /* flags= */ 0));
        gnutls_x509_crq_deinit(crq);
        crypto->next = (crypto->next + 1) % crypto->csrs_len;
}

static void crypto_sign(struct crypto *crypto) {
        gnutls_datum_t tbs = { crypto->tbs, sizeof(crypto->tbs) }, signature = {};

        crypto->tbs[0]++; /* never the same bytes twice in a row */
        GNUTLS_MUST(gnutls_privkey_sign_data2(crypto->key, GNUTLS_SIGN_ECDSA_SHA256, /* flags= */ 0,
                                              &tbs, &signature));
        gnutls_free(signature.data);
}

static void crypto_import(struct crypto *crypto) {
        crypto_check_csr(crypto, /* verify= */ false);
}

static void crypto_import_verify(struct crypto *crypto) {
        crypto_check_csr(crypto, /* verify= */ true);
}

static void crypto_issue(struct crypto *crypto) {
        crypto_check_csr(crypto, /* verify= */ true);
        crypto_sign(crypto);
}

/* Repeats @step for @seconds; returns its processor time in microseconds. */
static double crypto_measure(struct crypto *crypto, void (*step)(struct crypto *), double seconds,
                             uint64_t *ret_operations) {
        uint64_t until_ns = clock_now(CLOCK_MONOTONIC) + (uint64_t) (seconds * NS_PER_S);
        uint64_t began_ns = clock_now(CLOCK_PROCESS_CPUTIME_ID), operations = 0;

        do {
                step(crypto);
                operations++;
        } while (clock_now(CLOCK_MONOTONIC) < until_ns);
        *ret_operations = operations;
        return (double) (clock_now(CLOCK_PROCESS_CPUTIME_ID) - began_ns) / NS_PER_US /
                (double) operations;
}

static void mode_raw(const struct options *options) {
        static const struct {
                const char *name;
                void (*step)(struct crypto *);
        } parts[] = {
                { "import", crypto_import },
                { "import_verify", crypto_import_verify },
                { "sign", crypto_sign },
        };
        struct crypto crypto;
        uint64_t operations;
        double us;

        crypto_init(&crypto, options->csrs);
        (void) crypto_measure(&crypto, crypto_issue, 0.1, &operations); /* warm caches and clocks */
        us = crypto_measure(&crypto, crypto_issue, options->seconds, &operations);
        printf("{\"mode\":\"raw\",\"operations\":%lu,\"cpu_us\":%.2f", (unsigned long) operations,
               us);
        for (size_t i = 0; options->parts && i < ARRAY_SIZE(parts); i++) {
                us = crypto_measure(&crypto, parts[i].step, options->seconds, &operations);
                printf(",\"%s_cpu_us\":%.2f", parts[i].name, us);
        }
        printf("}\n");
        crypto_done(&crypto);
}

/* ---- SQLite and the disk ---- */

struct disk {
        char db_path[4096], file_path[4096];
        sqlite3 *db;
        sqlite3_stmt *insert;
        uint64_t row;
        int fd;
};

static void sql(struct disk *disk, const char *text) {
        char *message = NULL;

        if (sqlite3_exec(disk->db, text, /* callback= */ NULL, NULL, &message) != SQLITE_OK)
                die("%s: %s: %s", disk->db_path, text,
                    message ? message : sqlite3_errmsg(disk->db));
}

static void disk_init(struct disk *disk, const char *dir) {
        *disk = (struct disk){};
        snprintf(disk->db_path, sizeof(disk->db_path), "%s/bench-raw-%d.db", dir, (int) getpid());
        snprintf(disk->file_path, sizeof(disk->file_path), "%s/bench-raw-%d.data", dir,
                 (int) getpid());
        if (sqlite3_open(disk->db_path, &disk->db) != SQLITE_OK)
                die("cannot make '%s': %s", disk->db_path, sqlite3_errmsg(disk->db));
        sql(disk, "PRAGMA journal_mode=WAL");
        sql(disk, "PRAGMA synchronous=FULL");
        sql(disk,
            "CREATE TABLE certificates (id INTEGER PRIMARY KEY, serial BLOB UNIQUE NOT NULL,"
            " der BLOB NOT NULL)");
        if (sqlite3_prepare_v2(disk->db, "INSERT INTO certificates (serial, der) VALUES (?, ?)", -1,
                               &disk->insert, NULL) != SQLITE_OK)
                die("%s: %s", disk->db_path, sqlite3_errmsg(disk->db));
        disk->fd = open(disk->file_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (disk->fd < 0)
                die("cannot make '%s': %s", disk->file_path, strerror(errno));
}

static void disk_done(struct disk *disk) {
        char path[4096 + 8];

        sqlite3_finalize(disk->insert);
        sqlite3_close(disk->db);
        close(disk->fd);
        (void) unlink(disk->db_path);
        (void) unlink(disk->file_path);
        snprintf(path, sizeof(path), "%s-wal", disk->db_path);
        (void) unlink(path);
        snprintf(path, sizeof(path), "%s-shm", disk->db_path);
        (void) unlink(path);
}

/* One transaction, one row of a certificate's size, durable at the end. Serials rise as cad's. */
static void disk_insert(struct disk *disk) {
        unsigned char serial[20] = { 1 }, der[ROW_SIZE];

        disk->row++;
        for (unsigned i = 0; i < 8; i++)
                serial[1 + i] = (unsigned char) (disk->row >> (56 - 8 * i));
        memset(der, (int) disk->row, sizeof(der));
        if (sqlite3_bind_blob(disk->insert, 1, serial, sizeof(serial), SQLITE_STATIC) !=
                    SQLITE_OK ||
            sqlite3_bind_blob(disk->insert, 2, der, sizeof(der), SQLITE_STATIC) != SQLITE_OK ||
            sqlite3_step(disk->insert) != SQLITE_DONE || sqlite3_reset(disk->insert) != SQLITE_OK)
                die("%s: %s", disk->db_path, sqlite3_errmsg(disk->db));
}

static void disk_write(struct disk *disk, off_t at) {
        static const unsigned char block[BLOCK_SIZE] = { 1 };

        if (pwrite(disk->fd, block, sizeof(block), at) != (ssize_t) sizeof(block) ||
            fdatasync(disk->fd) < 0)
                die("cannot write '%s': %s", disk->file_path, strerror(errno));
}

static void disk_append(struct disk *disk) {
        disk_write(disk, lseek(disk->fd, 0, SEEK_END));
}

/* In place, as a WAL that has wrapped is written: no new block, so no metadata. */
static void disk_overwrite(struct disk *disk) {
        disk_write(disk, 0);
}

static void disk_measure(struct disk *disk, const char *name, void (*step)(struct disk *),
                         double seconds) {
        uint64_t until_ns = clock_now(CLOCK_MONOTONIC) + (uint64_t) (seconds * NS_PER_S), began_ns;
        struct samples samples = {};

        do {
                began_ns = clock_now(CLOCK_MONOTONIC);
                step(disk);
                samples_add(&samples, clock_now(CLOCK_MONOTONIC) - began_ns);
        } while (clock_now(CLOCK_MONOTONIC) < until_ns);
        samples_sort(&samples);
        printf(",\"%s_p50_us\":%.1f,\"%s_p99_us\":%.1f", name, samples_percentile(&samples, 50),
               name, samples_percentile(&samples, 99));
        samples_done(&samples);
}

static void mode_fsync(const struct options *options) {
        struct disk disk;

        disk_init(&disk, options->dir);
        printf("{\"mode\":\"fsync\"");
        disk_measure(&disk, "insert", disk_insert, options->seconds);
        disk_measure(&disk, "append", disk_append, options->seconds);
        disk_measure(&disk, "overwrite", disk_overwrite, options->seconds);
        printf("}\n");
        disk_done(&disk);
}

/* The floor for a lone caller: check, sign, store durably, with nobody to hand over to. */
static void mode_one(const struct options *options) {
        uint64_t until_ns, began_ns;
        struct samples samples = {};
        struct crypto crypto;
        struct disk disk;

        crypto_init(&crypto, options->csrs);
        disk_init(&disk, options->dir);
        until_ns = clock_now(CLOCK_MONOTONIC) + (uint64_t) (options->seconds * NS_PER_S);
        do {
                began_ns = clock_now(CLOCK_MONOTONIC);
                crypto_issue(&crypto);
                disk_insert(&disk);
                samples_add(&samples, clock_now(CLOCK_MONOTONIC) - began_ns);
        } while (clock_now(CLOCK_MONOTONIC) < until_ns);
        samples_sort(&samples);
        printf("{\"mode\":\"one\",\"operations\":%zu,\"p50_us\":%.1f,\"p90_us\":%.1f,"
               "\"p99_us\":%.1f}\n",
               samples.len, samples_percentile(&samples, 50), samples_percentile(&samples, 90),
               samples_percentile(&samples, 99));
        samples_done(&samples);
        disk_done(&disk);
        crypto_done(&crypto);
}

/* ---- options ---- */

static const struct mode {
        const char *name;
        void (*run)(const struct options *);
        bool needs_csrs, needs_dir;
} modes[] = {
        { "raw", mode_raw, true, false },
        { "fsync", mode_fsync, false, true },
        { "one", mode_one, true, true },
};

static const char usage_text[] =
        "bench-raw raw   --csrs FILE [--seconds 2] [--parts]  time of check and signature\n"
        "bench-raw fsync --dir DIR [--seconds 2]              a durable insert; 4 KiB + fdatasync\n"
        "bench-raw one   --csrs FILE --dir DIR [--seconds 2]  check, sign, insert: the floor\n"
        "\n"
        "Prints one line of JSON, times in microseconds. --parts also measures the steps by\n"
        "themselves. In DIR it makes a small database and a file, and removes both.\n";

static _Noreturn void usage(FILE *file, int status) {
        fputs(usage_text, file);
        exit(status);
}

static const struct mode *mode_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
                if (strcmp(modes[i].name, name) == 0)
                        return &modes[i];
        usage(stderr, 2);
}

int main(int argc, char **argv) {
        static const struct option known[] = {
                { "csrs", required_argument, NULL, 'f' },
                { "dir", required_argument, NULL, 'd' },
                { "seconds", required_argument, NULL, 's' },
                { "parts", no_argument, NULL, 'p' },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        struct options options = { .seconds = 2 };
        const struct mode *mode;
        int option;

        while ((option = getopt_long(argc, argv, "", known, /* index= */ NULL)) != -1) {
                switch (option) {
                case 'f':
                        options.csrs = optarg;
                        break;
                case 'd':
                        options.dir = optarg;
                        break;
                case 's':
                        options.seconds = parse_number("--seconds", optarg, 0.01, 3600);
                        break;
                case 'p':
                        options.parts = true;
                        break;
                case 'h':
                        usage(stdout, 0);
                default:
                        usage(stderr, 2);
                }
        }
        if (optind + 1 != argc)
                usage(stderr, 2);
        mode = mode_find(argv[optind]);
        if ((mode->needs_csrs && !options.csrs) || (mode->needs_dir && !options.dir))
                usage(stderr, 2);
        mode->run(&options);
        return 0;
}
