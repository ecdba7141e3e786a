#include "daemon/heartbeat.h"

#include <stddef.h>

#include "lib/base/moment.h"

#define OF(pointer, member) \
        ((struct heartbeat *) (void *) ((char *) (pointer) -offsetof(struct heartbeat, member)))

static void came_back(struct heartbeat *h) {
        atomic_store(&h->back_ms, moment_monotonic_ms());
        atomic_store(&h->under_way, false);
}

/* An empty transaction takes its turn and writes nothing. */
static int apply_nothing(struct store_tx *tx, struct store_op *op, struct error *err) {
        (void) tx;
        (void) op;
        (void) err;
        return 0;
}

/* A commit that fails is the disk's matter and for health to say: the thread is alive. */
static void on_committed(struct store_op *op, const struct error *err) {
        (void) err;
        came_back(OF(op, op));
}

static void on_worker(struct work *work) {
        struct heartbeat *h = OF(work, work);
        struct error err = { 0 };

        h->op = (struct store_op){ .apply = apply_nothing, .done = on_committed };
        if (store_submit(h->store, &h->op, &err) < 0)
                came_back(h); /* too much to do is not a standstill */
}

void heartbeat_begin(struct heartbeat *h, struct http_server *server, struct store *store) {
        h->server = server;
        h->store = store;
        h->work.run = on_worker;
        atomic_store(&h->back_ms, moment_monotonic_ms());
        heartbeat_pulse(h);
}

void heartbeat_pulse(struct heartbeat *h) {
        if (!h->server || atomic_exchange(&h->under_way, true))
                return;
        if (!http_server_work(h->server, &h->work))
                atomic_store(&h->under_way, false);
}

bool heartbeat_fresh(const struct heartbeat *h, int64_t ms) {
        return h->server && moment_monotonic_ms() - atomic_load(&h->back_ms) <= ms;
}
