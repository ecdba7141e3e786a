/*
 * What the tests of the store share: a state folder of their own, made-up certificates, and writing many at once.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/internal.h"
#include "tests/unit/unit.h"

#define CA_ID "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11"
#define OTHER_CA "bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22"

static char fixture_dir[64];
static int fixture_fd = -1;
static struct store *fixture_store;
static const struct store_options fixture_options = { .ca_id = CA_ID,
                                                      .create = true,
                                                      .readers = 2 };

static inline void fixture_folder(void) {
        (void) snprintf(fixture_dir, sizeof(fixture_dir), "%s/cad-store-XXXXXX",
                        getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(fixture_dir));
        fixture_fd = open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(fixture_fd, 0);
}

static inline void fixture_open(void) {
        struct error err = { 0 };

        ck_ok(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err);
}

static inline void fixture_setup(void) {
        fixture_folder();
        fixture_open();
}

static inline void fixture_teardown(void) {
        char command[128];

        fixture_store = store_close(fixture_store);
        (void) close(fixture_fd);
        (void) snprintf(command, sizeof(command), "rm -rf '%s'", fixture_dir);
        ck_assert_int_eq(system(command), 0);
}

static inline void fixture_reopen(void) {
        fixture_store = store_close(fixture_store);
        fixture_open();
}

/** struct made - a made-up certificate and what its row points to */
struct made {
        struct cert_row row;
        uint8_t serial[STORE_SERIAL_MAX];
        char text[3][64];
        const char *names[3];
        uint8_t der[300];
};

/* A hash that looks random and is the same for the same @n. */
static inline void made_hash(uint64_t n, uint8_t out[STORE_HASH_SIZE]) {
        for (size_t i = 0; i < STORE_HASH_SIZE; i += 8) {
                n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u + 0x9e3779b97f4a7c15u;
                n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
                n ^= n >> 31;
                memcpy(out + i, &n, 8);
        }
}

/* Certificate @n: serial, key, names and times all follow from it. */
static inline struct cert_row *make(struct made *m, uint64_t n) {
        uint8_t hash[STORE_HASH_SIZE];

        *m = (struct made){ 0 };
        m->serial[0] = 0x01;
        for (int i = 0; i < 8; i++)
                m->serial[1 + i] = (uint8_t) (n >> (56 - 8 * i));
        made_hash(n, hash);
        memcpy(m->serial + 9, hash, sizeof(m->serial) - 9);
        (void) snprintf(m->text[0], sizeof(m->text[0]), "host%llu.%s", (unsigned long long) n,
                        n % 3 ? "lan" : "nas.home.arpa");
        (void) snprintf(m->text[1], sizeof(m->text[1]), "*.host%llu.internal",
                        (unsigned long long) n);
        (void) snprintf(m->text[2], sizeof(m->text[2]), "10.0.%u.%u", (unsigned) (n >> 8 & 255),
                        (unsigned) (n & 255));
        for (int i = 0; i < 3; i++)
                m->names[i] = m->text[i];
        memset(m->der, (int) n, sizeof(m->der));
        m->row = (struct cert_row){
                .serial = BYTES(m->serial, 20),
                .issuer = n % 5 ? "int-1" : "int-2",
                .profile = n % 4 ? "server" : "client",
                .subject = m->text[0],
                .names = m->names,
                .name_count = 3,
                .not_before = 1000000,
                .not_after = 2000000 + (int64_t) (n * 7919 % 1000) * 1000,
                .issued_at = 1000000 + (int64_t) n * 10,
                .requester = n % 7 ? "uid:0" : "uid:1000",
                .label = n % 6 ? NULL : "kitchen",
                .der = BYTES(m->der, sizeof(m->der)),
                .internal = false,
                .granted_s = n % 3 ? 0 : 86400 + (int64_t) n,
        };
        made_hash(n + 1000000, m->row.fingerprint);
        made_hash(n / 2 + 2000000, m->row.spki); /* two certificates a key */
        return &m->row;
}

/* Put @count certificates from @first on, in one transaction, beginning with the id @id (0: the next). */
struct many {
        struct store_op op;
        uint64_t first, count;
        int64_t id;
};

static inline int many_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct many *many = (struct many *) op;

        if (many->id)
                tx->next_id = many->id;
        for (uint64_t i = 0; i < many->count; i++) {
                struct made m;

                if (tx_put_certificate(tx, make(&m, many->first + i), err) < 0)
                        return -1;
        }
        return 0;
}

static inline void put_many(uint64_t first, uint64_t count, int64_t id) {
        struct many many = {
                .op = { .apply = many_apply }, .first = first, .count = count, .id = id
        };
        struct error err = { 0 };

        ck_ok(store_write(fixture_store, &many.op, &err), err);
}

/* Wait until the store's own thread has nothing to do: then its writer is ours. */
static inline struct committer *fixture_quiet(void) {
        struct committer *k = &fixture_store->committer;

        (void) pthread_mutex_lock(&k->lock);
        while (k->leading)
                (void) pthread_cond_wait(&k->idle, &k->lock);
        (void) pthread_mutex_unlock(&k->lock);
        return k;
}

/* Take all certificates out of what they are looked up by, as if they had just come in. */
static inline void fixture_unindex(void) {
        struct committer *k = fixture_quiet();
        struct error err = { 0 };

        ck_ok(sql_exec(&k->writer,
                       "BEGIN; DELETE FROM lookups; DELETE FROM buckets; "
                       "UPDATE counters SET indexed = 0, issued = 0, issued_for_others = 0; COMMIT",
                       "unindex", &err),
              err);
        k->unindexed = 0; /* nothing is done in the background */
}

/* Index @rows more, in steps of @step. */
static inline void fixture_index(int64_t rows, int step) {
        struct committer *k = fixture_quiet();
        bool last = false;

        while (rows > 0 && !last) {
                struct error err = { 0 };
                int64_t done = 0;

                ck_ok(index_step(&k->writer, rows < step ? (int) rows : step, &done, &last, &err),
                      err);
                rows -= done;
        }
        k->unindexed = 0;
}

static inline int64_t fixture_number(const char *sql) {
        struct committer *k = fixture_quiet();
        struct error err = { 0 };
        int64_t n = -1;

        ck_ok(sql_number(&k->writer, sql, &n, &err), err);
        return n;
}

static inline int revoke_one(uint64_t n, enum revocation_reason reason, int64_t at,
                             struct error *err) {
        struct store_revoke op;
        struct made m;

        store_revoke_init(&op, make(&m, n)->serial, reason, at, NULL);
        return store_write(fixture_store, &op.op, err);
}
