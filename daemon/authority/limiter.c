/*
 * Limiter: see limiter.h. It knows no secret and no store; it is told the time.
 *
 * A bucket is one number: when it will be empty (the theoretical arrival time of a GCRA). A guess moves that time by an interval; a
 * bucket that is empty since long is as good as none, so its place is given away first.
 */
#include "daemon/authority/limiter.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/text.h"

#define WAYS 4 /* places that a key may be in */
#define SETS (LIMITER_SOURCES / WAYS)

#define BUDGET(NAME, kept) \
        { 60 * 1000 / NAME##_PER_MINUTE, NAME##_BURST, kept }

const struct limiter_rules limiter_tokens = {
        .refusal = "too many wrong tokens or codes came in",
        .source = BUDGET(LIMITER_SOURCE, 0),
        .network = BUDGET(LIMITER_NETWORK, LIMITER_NETWORK_BURST / 3),
        .all = BUDGET(LIMITER_ALL, LIMITER_ALL_BURST / 3),
};

const struct limiter_rules limiter_pairing = {
        .refusal =
                "too many wrong pairing codes came in (a long token, cad_…, is taken all the same)",
        .source = BUDGET(LIMITER_PAIRING_SOURCE, 0),
        .network = BUDGET(LIMITER_PAIRING_NETWORK, LIMITER_PAIRING_NETWORK_BURST / 3),
        .all = BUDGET(LIMITER_PAIRING_ALL, LIMITER_PAIRING_ALL_BURST / 3),
};

struct bucket {
        struct limiter_key key;
        unsigned unreported; /* wrong guesses that were not logged */
        int64_t empty_at_ms;
        int64_t report_after_ms;
};

struct limiter {
        const struct limiter_rules *rules;
        pthread_mutex_t lock;
        uint64_t seed; /* who fills a set on purpose does not know it */
        int64_t all_empty_at_ms;
        struct bucket buckets[SETS][WAYS];
};

struct limiter *limiter_new(const struct limiter_rules *rules) {
        struct limiter *l = calloc(1, sizeof(*l));

        if (!l)
                return NULL;
        if (getrandom(&l->seed, sizeof(l->seed), 0) != (ssize_t) sizeof(l->seed)) {
                free(l);
                return NULL;
        }
        l->rules = rules;
        (void) pthread_mutex_init(&l->lock, NULL);
        return l;
}

struct limiter *limiter_free(struct limiter *l) {
        if (l)
                (void) pthread_mutex_destroy(&l->lock);
        free(l);
        return NULL;
}

/* ---- who asks ---- */

static struct limiter_key key_of(enum limiter_kind kind, const void *octets, size_t size) {
        struct limiter_key key = { .kind = kind };

        memcpy(key.octets, octets, size);
        return key;
}

/* FNV-1a: two odd texts that share a bucket do no harm. */
static struct limiter_source source_of_text(const char *text) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (; *text; text++)
                hash = (hash ^ (uint8_t) *text) * UINT64_C(0x100000001b3);
        return (struct limiter_source){ .self = key_of(LIMITER_OTHER, &hash, sizeof(hash)) };
}

static bool read_user(const char *text, struct limiter_source *ret) {
        char number[16] = "";
        uint64_t uid;
        uint32_t octets;

        if (sscanf(text, "uid:%15[0-9]", number) != 1 || text_to_u64(number, UINT32_MAX, &uid) < 0)
                return false;
        octets = (uint32_t) uid;
        ret->self = key_of(LIMITER_USER, &octets, sizeof(octets));
        return true;
}

/* "192.0.2.1:80", "[fe80::1%eth0]:80" and the same without port to the address alone. */
static void bare_address(const char *text, char *out, size_t size) {
        const char *end;

        if (*text == '[') {
                text++;
                end = text + strcspn(text, "]%");
        } else if (strchr(text, ':') == strrchr(text, ':')) {
                end = text + strcspn(text, ":");
        } else {
                end = text + strcspn(text, "%");
        }
        (void) snprintf(out, size, "%.*s", (int) (end - text), text);
}

static bool read_address(const char *text, struct limiter_source *ret) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        uint8_t octets[16];
        char address[64];

        bare_address(text, address, sizeof(address));
        if (inet_pton(AF_INET, address, octets) == 1) {
                ret->self = key_of(LIMITER_ADDRESS, octets, 4);
                return true;
        }
        if (inet_pton(AF_INET6, address, octets) != 1)
                return false;
        if (memcmp(octets, mapped, sizeof(mapped)) == 0) {
                ret->self = key_of(LIMITER_ADDRESS, octets + sizeof(mapped), 4);
                return true;
        }
        ret->self = key_of(LIMITER_ADDRESS, octets, sizeof(octets));
        ret->network = key_of(LIMITER_NETWORK, octets, 8);
        return true;
}

struct limiter_source limiter_source(const char *text) {
        struct limiter_source source = { 0 };

        if (read_user(text, &source) || read_address(text, &source))
                return source;
        return source_of_text(text);
}

/* ---- buckets ---- */

static bool key_equal(const struct limiter_key *a, const struct limiter_key *b) {
        return a->kind == b->kind && memcmp(a->octets, b->octets, sizeof(a->octets)) == 0;
}

static struct bucket *set_of(struct limiter *l, const struct limiter_key *key) {
        uint64_t hash = l->seed ^ (uint64_t) key->kind, half;

        for (size_t i = 0; i < sizeof(key->octets); i += sizeof(half)) {
                memcpy(&half, key->octets + i, sizeof(half));
                hash = (hash ^ half) * UINT64_C(0xff51afd7ed558ccd);
                hash ^= hash >> 32;
                hash = (hash ^ l->seed) * UINT64_C(0xc4ceb9fe1a85ec53);
                hash ^= hash >> 29;
        }
        return l->buckets[hash % SETS];
}

static struct bucket *bucket_find(struct limiter *l, const struct limiter_key *key) {
        struct bucket *set = set_of(l, key);

        for (size_t i = 0; i < WAYS; i++)
                if (key_equal(&set[i].key, key))
                        return &set[i];
        return NULL;
}

/* That of the key, or in place of the one that is empty first. */
static struct bucket *bucket_take(struct limiter *l, const struct limiter_key *key) {
        struct bucket *found = bucket_find(l, key), *set = set_of(l, key);

        if (found)
                return found;
        found = set;
        for (size_t i = 1; i < WAYS; i++)
                if (set[i].empty_at_ms < found->empty_at_ms)
                        found = &set[i];
        *found = (struct bucket){ .key = *key };
        return found;
}

static int64_t debt(int64_t empty_at_ms, int64_t now_ms) {
        return empty_at_ms > now_ms ? empty_at_ms - now_ms : 0;
}

/* How long until one more guess fits. */
static int64_t wait_ms(const struct limiter_budget *budget, int64_t empty_at_ms, bool known,
                       int64_t now_ms) {
        int64_t room = (budget->burst - (known ? budget->reserve : 0) - 1) * budget->interval_ms,
                owed = debt(empty_at_ms, now_ms);

        return owed > room ? owed - room : 0;
}

static void charge(const struct limiter_budget *budget, int64_t *empty_at_ms, int64_t now_ms) {
        *empty_at_ms = now_ms + debt(*empty_at_ms, now_ms) + budget->interval_ms;
}

static int64_t longer(int64_t a, int64_t b) {
        return a > b ? a : b;
}

static int64_t source_wait_ms(struct limiter *l, const struct limiter_source *source,
                              int64_t now_ms) {
        const struct bucket *self = bucket_find(l, &source->self), *network = NULL;
        bool known = self && debt(self->empty_at_ms, now_ms) > 0;
        int64_t wait = wait_ms(&l->rules->all, l->all_empty_at_ms, known, now_ms);

        if (source->network.kind != LIMITER_NOTHING)
                network = bucket_find(l, &source->network);
        if (network)
                wait = longer(wait,
                              wait_ms(&l->rules->network, network->empty_at_ms, known, now_ms));
        if (self)
                wait = longer(wait, wait_ms(&l->rules->source, self->empty_at_ms, known, now_ms));
        return wait;
}

int limiter_admit(struct limiter *l, const struct limiter_source *source, int64_t now_ms,
                  struct error *err) {
        int64_t wait;

        (void) pthread_mutex_lock(&l->lock);
        wait = source_wait_ms(l, source, now_ms);
        (void) pthread_mutex_unlock(&l->lock);
        if (wait == 0)
                return 0;
        return error_set(err, ERR_TOO_MANY_REQUESTS, "%s: try again in %lld s", l->rules->refusal,
                         (long long) (wait + 999) / 1000);
}

unsigned limiter_wrong(struct limiter *l, const struct limiter_source *source, int64_t now_ms) {
        struct bucket *self;
        unsigned report = 0;

        (void) pthread_mutex_lock(&l->lock);
        charge(&l->rules->all, &l->all_empty_at_ms, now_ms);
        if (source->network.kind != LIMITER_NOTHING)
                charge(&l->rules->network, &bucket_take(l, &source->network)->empty_at_ms, now_ms);
        self = bucket_take(l, &source->self);
        charge(&l->rules->source, &self->empty_at_ms, now_ms);
        self->unreported++;
        if (self->report_after_ms <= now_ms) {
                report = self->unreported;
                self->unreported = 0;
                self->report_after_ms = now_ms + LIMITER_REPORT_MS;
        }
        (void) pthread_mutex_unlock(&l->lock);
        return report;
}
