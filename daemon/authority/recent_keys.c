/*
 * A direct-mapped table of fixed size: an entry that is in the way is forgotten.
 */
#include "daemon/authority/recent_keys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 8192 /* 128 KiB */

struct entry {
        uint64_t key, names;
};

struct recent_keys {
        pthread_mutex_t lock;
        struct entry entries[ENTRIES];
};

struct recent_keys *recent_keys_new(void) {
        struct recent_keys *keys = calloc(1, sizeof(*keys));

        if (keys)
                (void) pthread_mutex_init(&keys->lock, NULL);
        return keys;
}

struct recent_keys *recent_keys_free(struct recent_keys *keys) {
        if (keys)
                (void) pthread_mutex_destroy(&keys->lock);
        free(keys);
        return NULL;
}

bool recent_keys_note(struct recent_keys *keys, const uint8_t spki[SHA256_SIZE], uint64_t names) {
        struct entry fresh = { .names = names };
        struct entry *entry;
        bool others;

        memcpy(&fresh.key, spki, sizeof(fresh.key));
        entry = &keys->entries[fresh.key % ENTRIES];
        (void) pthread_mutex_lock(&keys->lock);
        others = entry->key == fresh.key && entry->names != names;
        *entry = fresh;
        (void) pthread_mutex_unlock(&keys->lock);
        return others;
}
