/*
 * Helpers of the benchmark programs: clocks, percentiles, the pool of CSRs.
 *
 * Never linked into cad: these functions end the program when something is wrong.
 */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEM_BEGIN "-----BEGIN CERTIFICATE REQUEST-----"
#define PEM_END "-----END CERTIFICATE REQUEST-----\n"
#define POOL_FILE_MAX (512u * 1024 * 1024) /* bytes; a P-256 CSR is about 600 */

void die(const char *format, ...) {
        va_list args;

        va_start(args, format);
        fprintf(stderr, "%s: ", program_invocation_short_name);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
        va_end(args);
        exit(2);
}

void *xcalloc(size_t count, size_t size) {
        void *memory = calloc(count ? count : 1, size ? size : 1);

        if (!memory)
                die("out of memory (%zu × %zu bytes)", count, size);
        return memory;
}

uint64_t clock_now(clockid_t clock) {
        struct timespec t;

        if (clock_gettime(clock, &t) < 0)
                die("clock_gettime: %s", strerror(errno));
        return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

double parse_number(const char *option, const char *text, double min, double max) {
        char *end = NULL;
        double number = strtod(text, &end);

        if (end == text || *end || !isfinite(number) || number < min || number > max)
                die("%s '%s': give a number from %g to %g", option, text, min, max);
        return number;
}

static char *file_read(const char *path) {
        FILE *file = fopen(path, "re");
        char *text;
        long size;

        if (!file)
                die("cannot open '%s': %s", path, strerror(errno));
        if (fseek(file, 0, SEEK_END) < 0 || (size = ftell(file)) < 0)
                die("cannot read '%s': %s", path, strerror(errno));
        if ((unsigned long) size > POOL_FILE_MAX)
                die("'%s' has %ld bytes, more than the %u a pool of CSRs may have", path, size,
                    POOL_FILE_MAX);
        rewind(file);
        text = xcalloc((size_t) size + 1, 1);
        if (fread(text, 1, (size_t) size, file) != (size_t) size)
                die("cannot read '%s': %s", path, strerror(errno));
        fclose(file);
        return text;
}

static size_t count_blocks(const char *text) {
        size_t blocks = 0;

        for (const char *at = text; (at = strstr(at, PEM_BEGIN)); at += strlen(PEM_BEGIN))
                blocks++;
        return blocks;
}

void pem_pool_load(const char *path, struct pem_pool *ret) {
        char *text = file_read(path);
        struct pem_pool pool = {};
        const char *at = text;

        pool.items = xcalloc(count_blocks(text), sizeof(*pool.items));
        while ((at = strstr(at, PEM_BEGIN))) {
                const char *end = strstr(at, PEM_END);
                struct pem *pem = &pool.items[pool.len++];

                if (!end)
                        die("'%s': the last CSR is cut off", path);
                pem->len = (size_t) (end - at) + strlen(PEM_END);
                pem->text = strndup(at, pem->len);
                if (!pem->text)
                        die("out of memory");
                at = end;
        }
        free(text);
        if (!pool.len)
                die("'%s' holds no CSR; make a pool with: bench-load --make-csrs 1000 %s", path,
                    path);
        *ret = pool;
}

void pem_pool_done(struct pem_pool *pool) {
        for (size_t i = 0; i < pool->len; i++)
                free(pool->items[i].text);
        free(pool->items);
        *pool = (struct pem_pool){};
}

void samples_add(struct samples *samples, uint64_t ns) {
        if (samples->len == samples->capacity) {
                size_t capacity = samples->capacity ? samples->capacity * 2 : 65536;
                uint64_t *grown = reallocarray(samples->ns, capacity, sizeof(*grown));

                if (!grown)
                        die("out of memory for %zu samples", capacity);
                samples->ns = grown;
                samples->capacity = capacity;
        }
        samples->ns[samples->len++] = ns;
}

void samples_reset(struct samples *samples) {
        samples->len = 0;
}

void samples_done(struct samples *samples) {
        free(samples->ns);
        *samples = (struct samples){};
}

static int compare_ns(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

void samples_sort(struct samples *samples) {
        if (samples->len)
                qsort(samples->ns, samples->len, sizeof(*samples->ns), compare_ns);
}

double samples_percentile(const struct samples *samples, double per_cent) {
        size_t at;

        if (!samples->len)
                return 0;
        at = (size_t) ((double) (samples->len - 1) * per_cent / 100.0 + 0.5);
        return (double) samples->ns[at] / NS_PER_US;
}
