/*
 * What this process uses, as the kernel counts it: for /metrics.
 */
#pragma once

#include <stdint.h>

/** struct process_use - -1 where the kernel does not say */
struct process_use {
        double cpu_s;       /* processor time, user and system */
        int64_t start_time; /* seconds since the epoch */
        int64_t resident_bytes, virtual_bytes;
        int64_t descriptors, descriptors_max; /* open, and how many may be; -1 also for no limit */
};

/** process_use_read() - of now; reads /proc/self */
void process_use_read(struct process_use *ret);
