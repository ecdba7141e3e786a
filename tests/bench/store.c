/*
 * What the store costs: inserts in batches at growing sizes, look-ups, and a key probe.
 *
 *   bench-store FOLDER ROWS [BATCH [no]]   an empty folder on the disk to be measured; BATCH rows a transaction (32);
 *                                          "no" leaves the disk out
 *
 * Prints one line a size: processor time and wall time of an insert with three names and its share of indexing and of
 * moving the log into the database, what it wrote, the slowest batch of a hundred, and reads.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "db/internal.h"

#define BATCH_DEFAULT 32
#define SAMPLE 20000

static uint64_t batch_rows = BATCH_DEFAULT;

static bool without_disk;

/* The program's own come before libc's. */
int fdatasync(int fd) {
        return without_disk ? 0 : (int) syscall(SYS_fdatasync, fd);
}

struct batch {
        struct store_op op;
        uint64_t first;
};

static void mix(uint64_t n, uint8_t out[32]) {
        for (size_t i = 0; i < 32; i += 8) {
                n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u + 0x9e3779b97f4a7c15u;
                n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
                n ^= n >> 31;
                memcpy(out + i, &n, 8);
        }
}

static void make_serial(uint64_t n, uint8_t serial[20]) {
        uint8_t tail[32];

        mix(n, tail);
        serial[0] = 1;
        for (int i = 0; i < 6; i++)
                serial[1 + i] = (uint8_t) (n / 8 >> (40 - 8 * i)); /* eight a millisecond */
        memcpy(serial + 7, tail, 13);
}

static int put(struct store_tx *tx, uint64_t n, struct error *err) {
        static const uint8_t der[600];
        char host[32], other[40], address[16];
        const char *names[] = { host, other, address };
        uint8_t serial[20];
        struct cert_row row = {
                .serial = BYTES(serial, 20),
                .issuer = "int-1",
                .profile = "server",
                .subject = host,
                .names = names,
                .name_count = 3,
                .not_before = 1700000000,
                .not_after = 1700000000 + 86400 * 90 + (int64_t) n / 4,
                .issued_at = 1700000000 + (int64_t) n / 4,
                .requester = "uid:0",
                .der = BYTES(der, sizeof(der)),
        };
        uint8_t random[32];

        make_serial(n, serial);
        mix(n + 1, random);
        (void) snprintf(host, sizeof(host), "h%08x.lan",
                        (unsigned) random[0] << 24 | (unsigned) (n & 0xffffff));
        (void) snprintf(other, sizeof(other), "h%08x.home.arpa",
                        (unsigned) random[1] << 24 | (unsigned) (n & 0xffffff));
        (void) snprintf(address, sizeof(address), "10.%u.%u.%u", random[2], random[3], random[4]);
        mix(n + 2000000000, row.fingerprint);
        mix(n + 4000000000, row.spki);
        return tx_put_certificate(tx, &row, err);
}

static int batch_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct batch *batch = (const struct batch *) op;

        for (uint64_t i = 0; i < batch_rows; i++)
                if (put(tx, batch->first + i, err) < 0)
                        return -1;
        return 0;
}

static double seconds(clockid_t clock) {
        struct timespec t;

        (void) clock_gettime(clock, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void die(const char *what, const struct error *err) {
        (void) fprintf(stderr, "%s: %s\n", what, err->text);
        exit(1);
}

static int rising(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

static uint64_t insert_until(struct store *store, uint64_t from, uint64_t to, double *slow,
                             size_t max) {
        size_t at = 0;

        for (; from < to; from += batch_rows) {
                struct batch batch = { .op = { .apply = batch_apply }, .first = from };
                double start = seconds(CLOCK_MONOTONIC);
                struct error err = { 0 };

                if (store_write(store, &batch.op, &err) < 0)
                        die("insert", &err);
                if (at < max)
                        slow[at++] = seconds(CLOCK_MONOTONIC) - start;
        }
        qsort(slow, at, sizeof(*slow), rising);
        return from;
}

static double time_reads(struct store *store, uint64_t rows, int what) {
        double start = seconds(CLOCK_PROCESS_CPUTIME_ID);

        for (uint64_t i = 0; i < 2000; i++) {
                struct spki_use use;
                struct error err = { 0 };
                uint8_t key[32], serial[20];
                int rc;

                mix(i * 7777 + (what ? 9000000000u : 0), key);
                make_serial(i * 7919 % rows, serial);
                if (what == 2) {
                        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;

                        rc = store_get_certificate(store, BYTES(serial, 20), &row, &err);
                } else {
                        rc = store_spki_use(store, key, what == 1, &use, &err);
                }
                if (rc < 0)
                        die("read", &err);
        }
        return (seconds(CLOCK_PROCESS_CPUTIME_ID) - start) / 2000 * 1e6;
}

/* What this process has written: bytes and calls. */
static void written(double *bytes, double *calls) {
        FILE *f = fopen("/proc/self/io", "re");
        char line[128];
        unsigned long long n;

        *bytes = *calls = 0;
        while (f && fgets(line, sizeof(line), f)) {
                if (sscanf(line, "wchar: %llu", &n) == 1)
                        *bytes = (double) n;
                if (sscanf(line, "syscw: %llu", &n) == 1)
                        *calls = (double) n;
        }
        if (f)
                (void) fclose(f);
}

static void measure(struct store *store, uint64_t *rows) {
        static double slow[SAMPLE];
        double bytes, calls, bytes_now, calls_now;
        double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
        uint64_t first = *rows;
        struct rusage usage;

        written(&bytes, &calls);
        *rows = insert_until(store, first, first + SAMPLE, slow, SAMPLE / batch_rows);
        cpu = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double) (*rows - first) * 1e6;
        wall = (seconds(CLOCK_MONOTONIC) - wall) / (double) (*rows - first) * 1e6;
        written(&bytes_now, &calls_now);
        (void) getrusage(RUSAGE_SELF, &usage);
        printf("%9llu rows: insert %5.1f us cpu, %5.1f us wall, %.0f B in %.2f writes, batch p50 %.2f p99 %.1f ms; by serial %.1f us; compromised? %.1f us; "
               "used? (miss) %.1f us; resident %ld KiB\n",
               (unsigned long long) first, cpu, wall,
               (bytes_now - bytes) / (double) (*rows - first),
               (calls_now - calls) / (double) (*rows - first), slow[SAMPLE / batch_rows / 2] * 1e3,
               slow[SAMPLE / batch_rows * 99 / 100] * 1e3, time_reads(store, *rows, 2),
               time_reads(store, *rows, 0), time_reads(store, *rows, 1), usage.ru_maxrss);
        (void) fflush(stdout);
}

int main(int argc, char **argv) {
        static const uint64_t sizes[] = { 1000, 100000, 1000000, 5000000, 10000000 };
        CAD_AUTO(store_close) struct store *store = NULL;
        struct store_options options = { .ca_id = "00", .create = true };
        uint64_t rows = 0, most = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
        struct error err = { 0 };
        int fd = argc > 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

        if (argc > 3)
                batch_rows = strtoull(argv[3], NULL, 10);
        if (fd < 0 || batch_rows < 1 || batch_rows > SAMPLE) {
                (void) fprintf(stderr, "usage: bench-store FOLDER ROWS [BATCH [no]]\n");
                return 2;
        }
        without_disk = argc > 4;
        if (store_open(fd, &options, &store, &err) < 0)
                die("open", &err);
        for (size_t i = 0; i < ARRAY_SIZE(sizes) && sizes[i] <= most; i++) {
                rows = insert_until(store, rows, sizes[i], NULL, 0);
                measure(store, &rows);
        }
        (void) close(fd);
        return 0;
}
