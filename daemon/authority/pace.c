/*
 * See pace.h. A table of small sets: an identity has a place in one set, chosen with a key that nobody outside knows, and pushes out the one
 * there that owes least.
 */
#include "daemon/authority/pace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/bytes.h"
#include "lib/base/macros.h"
#include "lib/pki/key.h"

#define WAYS 4
#define SETS (PACE_IDENTITIES / WAYS)

struct place {
        uint64_t identity;
        int64_t free_ms; /* monotonic: when it owes nothing any more */
};

struct pace {
        pthread_mutex_t lock;
        uint8_t secret[SHA256_SIZE];
        struct place sets[SETS][WAYS];
};

struct pace *pace_new(void) {
        struct pace *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        (void) pthread_mutex_init(&p->lock, NULL);
        if (getrandom(p->secret, sizeof(p->secret), 0) != (ssize_t) sizeof(p->secret))
                return pace_free(p);
        return p;
}

struct pace *pace_free(struct pace *p) {
        if (p)
                (void) pthread_mutex_destroy(&p->lock);
        free(p);
        return NULL;
}

static int identity_of(const struct pace *p, const struct cert_row *row, uint64_t *ret,
                       struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        uint8_t digest[SHA256_SIZE];

        buffer_append(&text, BYTES(p->secret, sizeof(p->secret)));
        buffer_text(&text, row->profile);
        for (size_t i = 0; i < row->name_count; i++) {
                buffer_append(&text, BYTES("", 1));
                buffer_text(&text, row->names[i]);
        }
        if (text.failed)
                return error_no_memory(err);
        sha256(buffer_bytes(&text), digest);
        memcpy(ret, digest, sizeof(*ret));
        return 0;
}

/* The place of an identity, or the one that it takes: who owes least is forgotten. */
static struct place *place_of(struct place set[WAYS], uint64_t identity) {
        struct place *least = &set[0];

        for (size_t i = 0; i < WAYS; i++) {
                if (set[i].identity == identity)
                        return &set[i];
                if (set[i].free_ms < least->free_ms)
                        least = &set[i];
        }
        *least = (struct place){ .identity = identity };
        return least;
}

int pace_take(struct pace *p, const struct cert_row *row, int64_t now_ms, struct error *err) {
        const int64_t most_ms = (int64_t) PACE_BURST * PACE_EACH_MS;
        struct place *place;
        uint64_t identity;
        int64_t free_ms;

        if (identity_of(p, row, &identity, err) < 0)
                return -1;
        (void) pthread_mutex_lock(&p->lock);
        place = place_of(p->sets[identity % SETS], identity);
        free_ms = (place->free_ms > now_ms ? place->free_ms : now_ms) + PACE_EACH_MS;
        if (free_ms - now_ms <= most_ms)
                place->free_ms = free_ms;
        (void) pthread_mutex_unlock(&p->lock);
        if (free_ms - now_ms <= most_ms)
                return 0;
        return error_set(
                err, ERR_TOO_MANY_REQUESTS,
                "the certificates of these names were renewed or held %d times in a row by their owner: come back in %lld s",
                PACE_BURST, (long long) (free_ms - now_ms - most_ms + 999) / 1000);
}
