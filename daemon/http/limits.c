/*
 * Limits of the server: defaults, and what the machine leaves.
 */
#include "server-private.h"

#include <sched.h>
#include <sys/resource.h>

#include "lib/base/log.h"

#define EVENT_THREADS_MAX 4
#define BACKLOG_CONNECTIONS_MIN 8

static unsigned or_default(unsigned value, unsigned otherwise) {
        return value ? value : otherwise;
}

static unsigned core_count(void) {
        cpu_set_t cores;

        return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? (unsigned) CPU_COUNT(&cores) : 1;
}

/* What this process may open, less what it needs for everything else. */
static void descriptors_plan(struct http_limits *limits) {
        struct rlimit files;
        rlim_t reserved = limits->descriptors_reserved, room;

        if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
                return;
        if (reserved > files.rlim_cur / 2)
                reserved = files.rlim_cur / 2;
        room = files.rlim_cur - reserved;
        if (room < BACKLOG_CONNECTIONS_MIN)
                room = BACKLOG_CONNECTIONS_MIN;
        if (limits->connections_max > room) {
                limits->connections_max = (unsigned) room;
                log_notice(
                        "at most %u connections: the limit of open files is %llu, %llu of them are kept back",
                        limits->connections_max, (unsigned long long) files.rlim_cur,
                        (unsigned long long) reserved);
        }
        limits->descriptors_reserved = (unsigned) reserved;
}

void http_limits_fill(struct http_limits *limits) {
        unsigned cores = core_count();

        limits->event_threads = or_default(limits->event_threads,
                                           cores < EVENT_THREADS_MAX ? cores : EVENT_THREADS_MAX);
        limits->workers = or_default(limits->workers, 8);
        limits->queue_max = or_default(limits->queue_max, 1024);
        limits->connections_max = or_default(limits->connections_max, 1024);
        limits->descriptors_reserved = or_default(limits->descriptors_reserved, 64);
        limits->per_address_max = or_default(limits->per_address_max, 16);
        limits->per_user_max = or_default(limits->per_user_max, 64);
        limits->per_owner_max = or_default(limits->per_owner_max, 256);
        limits->request_timeout_s = or_default(limits->request_timeout_s, 30);
        limits->answer_timeout_s = or_default(limits->answer_timeout_s, 30);
        limits->handshake_timeout_s = or_default(limits->handshake_timeout_s, 10);
        limits->stop_timeout_s = or_default(limits->stop_timeout_s, 5);
        descriptors_plan(limits);
}
