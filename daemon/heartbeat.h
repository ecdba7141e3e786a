/*
 * The heartbeat: whether the threads that do the work still do it. A piece of work goes through a worker and the store's commit, as a
 * request does; the watchdog of the service manager is told only while it comes back.
 */
#pragma once

#include <stdatomic.h>

#include "daemon/http/server.h"
#include "daemon/http/workers.h"
#include "db/store.h"

/** struct heartbeat - must outlive server and store; zero-initialised it has not begun */
struct heartbeat {
        struct work work;
        struct store_op op;
        struct http_server *server;
        struct store *store;
        _Atomic int64_t back_ms; /* monotonic: when it last came back */
        atomic_bool under_way;
};

/** heartbeat_begin() - @server and @store are borrowed */
void heartbeat_begin(struct heartbeat *h, struct http_server *server, struct store *store);

/** heartbeat_pulse() - send it off again where it is back; from one thread, about once a second. Never blocks */
void heartbeat_pulse(struct heartbeat *h);

/** heartbeat_fresh() - whether it came back within the last @ms */
bool heartbeat_fresh(const struct heartbeat *h, int64_t ms);
