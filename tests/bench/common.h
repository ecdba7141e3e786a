/*
 * What the load generator and the baseline share: clocks, percentiles, the pool of CSRs.
 *
 * Benchmark programs only: they end with a sentence when something is wrong. Nothing here is
 * linked into cad.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NS_PER_S 1000000000ull
#define NS_PER_US 1000.0

/* One PEM block, NUL-terminated for convenience; @len is without the NUL. */
struct pem {
        char *text;
        size_t len;
};

struct pem_pool {
        struct pem *items;
        size_t len;
};

/* Samples in nanoseconds. All zero is an empty set. */
struct samples {
        uint64_t *ns;
        size_t len;
        size_t capacity;
};

/** die() - print "program: sentence" to standard error and exit with status 2 */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/** xcalloc() - calloc() that ends the program when there is no memory; the caller frees */
void *xcalloc(size_t count, size_t size);

/** clock_now() - nanoseconds of @clock */
uint64_t clock_now(clockid_t clock);

/**
 * parse_number() - a decimal number with an optional fraction, in [@min, @max]
 * @option: the option's name, for the sentence that ends the program when @text is something else
 */
double parse_number(const char *option, const char *text, double min, double max);

/**
 * pem_pool_load() - read every "CERTIFICATE REQUEST" block of a file
 *
 * Ends the program when the file cannot be read or holds none. pem_pool_done() frees what it holds.
 */
void pem_pool_load(const char *path, struct pem_pool *ret);
void pem_pool_done(struct pem_pool *pool);

void samples_add(struct samples *samples, uint64_t ns);
void samples_reset(struct samples *samples);
void samples_done(struct samples *samples);

/** samples_sort() - needed once before samples_percentile() */
void samples_sort(struct samples *samples);

/** samples_percentile() - in microseconds; @per_cent 0 is the least, 100 the most; 0 if empty */
double samples_percentile(const struct samples *samples, double per_cent);
