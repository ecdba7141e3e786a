/*
 * Limiter: how many wrong guesses at a secret may come in, for every way in together (REST, EST, ACME).
 *
 * Who asks is charged for wrong guesses alone. Three budgets, each a bucket that drains steadily: of the address (or the uid), of its
 * IPv6 /64 (where addresses cost nothing), and of all together. One address cannot use up the others: a part of each wider budget
 * is kept for those who have not guessed wrong. Memory is bounded, and what is forgotten is as if it had never guessed.
 *
 *      limiter_admit()   before anything is looked up: over a budget there is no answer but 429
 *      limiter_wrong()   it was wrong
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"

#define LIMITER_SOURCE_BURST 10      /* wrong guesses at once … */
#define LIMITER_SOURCE_PER_MINUTE 10 /* … and in the long run */
#define LIMITER_NETWORK_BURST 60
#define LIMITER_NETWORK_PER_MINUTE 60
#define LIMITER_ALL_BURST 300
#define LIMITER_ALL_PER_MINUTE 300
#define LIMITER_SOURCES 2048          /* addresses and networks that are remembered */
#define LIMITER_REPORT_MS (60 * 1000) /* one line a source in this time */

/* The same for pairing codes, which are short: see docs/decisions/0010-pairing-codes.md for the reckoning. */
#define LIMITER_PAIRING_SOURCE_BURST 5
#define LIMITER_PAIRING_SOURCE_PER_MINUTE 5
#define LIMITER_PAIRING_NETWORK_BURST 30
#define LIMITER_PAIRING_NETWORK_PER_MINUTE 30
#define LIMITER_PAIRING_ALL_BURST 300
#define LIMITER_PAIRING_ALL_PER_MINUTE 300

/** struct limiter_budget - what a bucket holds, and how fast it drains */
struct limiter_budget {
        int64_t interval_ms; /* a guess */
        int64_t burst;       /* guesses */
        int64_t reserve;     /* of these, for sources that have not guessed wrong */
};

/** struct limiter_rules - the three budgets, and what is said of them */
struct limiter_rules {
        const char *refusal; /* "too many wrong tokens came in", in front of when to come back */
        struct limiter_budget source, network, all;
};

/* Of long tokens, and whatever else is too long to be guessed; of pairing codes. What is guessed of one costs nothing of the other. */
extern const struct limiter_rules limiter_tokens, limiter_pairing;

struct limiter; /* opaque; any thread */

/** limiter_new() - @rules: lent, for as long as it lives. NULL: out of memory, or no randomness */
struct limiter *limiter_new(const struct limiter_rules *rules);
struct limiter *limiter_free(struct limiter *l);
CAD_CLEANUP(struct limiter, limiter_free)

enum limiter_kind {
        LIMITER_NOTHING,
        LIMITER_USER,    /* a uid on the Unix socket */
        LIMITER_ADDRESS, /* one address */
        LIMITER_NETWORK, /* an IPv6 /64 */
        LIMITER_OTHER,   /* a text that is none of these */
};

struct limiter_key {
        enum limiter_kind kind;
        uint8_t octets[16];
};

/** struct limiter_source - who asks: an address, and the network that it is in */
struct limiter_source {
        struct limiter_key self, network;
};

/**
 * limiter_source() - of the text of a peer: "uid:1000 pid:4711", "192.0.2.1:4711", "[fe80::1%eth0]:4711", or a bare address
 *
 * Ports, pids and zones are left out; an IPv4-mapped address is the IPv4 address. Any other text is a source of its own.
 */
struct limiter_source limiter_source(const char *text);

/**
 * limiter_admit() - whether this source may guess
 * @now_ms: monotonic
 * @err: ERR_TOO_MANY_REQUESTS with when to come back
 *
 * Guesses that are being looked at are not counted yet: as many as there are workers may pass beyond the budget.
 */
int limiter_admit(struct limiter *l, const struct limiter_source *source, int64_t now_ms,
                  struct error *err);

/**
 * limiter_wrong() - charge a wrong guess
 * Return: how many wrong guesses of this source are to be logged now: all since the last time, a line a minute; 0: none
 */
unsigned limiter_wrong(struct limiter *l, const struct limiter_source *source, int64_t now_ms);
