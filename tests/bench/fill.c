/*
 * Fills the store of a cad that is stopped with revoked certificates, as if it had issued and revoked them.
 *
 *      bench-fill STATE_FOLDER CA_ID ROWS      CA_ID: the root's SHA-256 as GET /v1/ca has it ("fingerprint")
 *
 * The certificates are of int-1 and good for 90 days, so all of them are on its next CRL. Their DER is a few zeros: nobody may ask
 * for one of them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "db/store.h"
#include "lib/base/macros.h"

#define BATCH_ROWS 1000 /* a transaction */
#define LIFETIME_S (90 * INT64_C(86400))
#define SERIAL_SIZE 19 /* as cad-signer's */

struct batch {
        struct store_op op;
        uint64_t first, count;
        int64_t now;
};

static _Noreturn void die(const char *what, const struct error *err) {
        (void) fprintf(stderr, "bench-fill: %s: %s\n", what, err->text);
        exit(2);
}

/* splitmix64: the same bytes in each run, and never the same for two numbers. */
static void mix(uint64_t n, uint8_t *out, size_t size) {
        for (size_t i = 0; i < size; i++) {
                if (i % 8 == 0) {
                        n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u + 0x9e3779b97f4a7c15u;
                        n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
                        n ^= n >> 31;
                }
                out[i] = (uint8_t) (n >> (8 * (i % 8)));
        }
}

/* They rise, as cad-signer's do, and lie before all of its own: its clock is in theirs. */
static void make_serial(uint64_t number, uint8_t serial[SERIAL_SIZE]) {
        serial[0] = 0x10;
        for (int i = 0; i < 6; i++)
                serial[1 + i] = (uint8_t) (number >> (40 - 8 * i));
        mix(number, serial + 7, SERIAL_SIZE - 7);
}

static int put_revoked(struct store_tx *tx, const struct batch *batch, uint64_t number,
                       struct error *err) {
        static const uint8_t der[16];
        uint8_t serial[SERIAL_SIZE];
        char host[32];
        const char *names[] = { host };
        struct cert_row row = { .serial = BYTES(serial, sizeof(serial)),
                                .issuer = "int-1",
                                .profile = "server",
                                .subject = host,
                                .names = names,
                                .name_count = 1,
                                .not_before = batch->now,
                                .not_after = batch->now + LIFETIME_S + (int64_t) (number / 64),
                                .issued_at = batch->now,
                                .requester = "uid:0",
                                .der = BYTES(der, sizeof(der)) };

        make_serial(number, serial);
        (void) snprintf(host, sizeof(host), "f%08llx.lan", (unsigned long long) number);
        mix(number + (UINT64_C(1) << 40), row.fingerprint, sizeof(row.fingerprint));
        mix(number + (UINT64_C(2) << 40), row.spki, sizeof(row.spki));
        return tx_put_certificate(tx, &row, err) < 0
                ? -1
                : tx_revoke(tx, row.serial, REASON_SUPERSEDED, batch->now, err);
}

static int batch_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct batch *batch = (const struct batch *) op;

        for (uint64_t i = 0; i < batch->count; i++)
                if (put_revoked(tx, batch, batch->first + i, err) < 0)
                        return -1;
        return 0;
}

static void fill(struct store *store, uint64_t rows) {
        int64_t now = (int64_t) time(NULL);
        struct error err = { 0 };

        for (uint64_t at = 0; at < rows; at += BATCH_ROWS) {
                struct batch batch = { .op = { .apply = batch_apply },
                                       .first = at,
                                       .count = rows - at < BATCH_ROWS ? rows - at : BATCH_ROWS,
                                       .now = now };

                if (store_write(store, &batch.op, &err) < 0)
                        die("writing", &err);
        }
}

int main(int argc, char **argv) {
        CAD_AUTO(store_close) struct store *store = NULL;
        struct store_options options = { .ca_id = argc > 2 ? argv[2] : "" };
        struct error err = { 0 };
        int fd = argc == 4 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

        if (fd < 0) {
                (void) fprintf(stderr, "usage: bench-fill STATE_FOLDER CA_ID ROWS\n");
                return 2;
        }
        if (store_open(fd, &options, &store, &err) < 0)
                die(argv[1], &err);
        fill(store, strtoull(argv[3], NULL, 10));
        (void) close(fd);
        return 0;
}
