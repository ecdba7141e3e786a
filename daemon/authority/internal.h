/*
 * What the files of the authority share.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/authority/authority.h"
#include "daemon/authority/recent_keys.h"
#include "daemon/signer/client.h"

/* Profiles of one moment; freed by the last who uses them. */
struct shared_profiles {
        struct profile_set *set;
        atomic_uint users;
};

struct issuance;

struct authority {
        struct signer_client *signer;
        struct ca_info *ca;
        struct store *store;
        struct recent_keys *recent_keys;
        uint8_t *hello_frame;

        pthread_mutex_t lock; /* over what can be replaced while it runs */
        struct shared_profiles *profiles;
        struct access_list *access;

        /* of the reader of the signer's answers alone: what is signed and waits for one commit */
        struct store_op *signed_first, **signed_last;
        unsigned signed_count;
        int64_t signed_since_us;

        _Atomic int64_t
                prove_after_ms; /* monotonic: when the next leaf's signature is proved through the chain; 0: now */
        atomic_uint in_work; /* issuances that have begun and are not answered */
};

/** issue_signed_drained() - hand all that was signed to the store, as one batch, or say how many microseconds to wait for more; on the
 *  reader's thread */
unsigned issue_signed_drained(void *authority);
