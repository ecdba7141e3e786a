/*
 * Workers: everything pushed is run once, the queue is bounded, and the end waits for what is queued.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/http/workers.h"
#include "lib/base/macros.h"

#define MANY 20000
#define PUSHERS 4

struct task {
        struct work work;
        atomic_uint *ran;
        pthread_mutex_t *gate; /* taken and given back while running; may be NULL */
};

static void task_run(struct work *work) {
        struct task *task = (struct task *) work;

        if (task->gate) {
                (void) pthread_mutex_lock(task->gate);
                (void) pthread_mutex_unlock(task->gate);
        }
        atomic_fetch_add(task->ran, 1);
}

static struct workers *start(unsigned threads, size_t queue_max) {
        struct workers *workers = NULL;
        struct error err = { 0 };

        ck_ok(workers_new(threads, queue_max, &workers, &err), err);
        return workers;
}

struct pusher {
        struct workers *workers;
        struct task *tasks;
        size_t len;
};

static void *push_all(void *context) {
        struct pusher *pusher = context;

        for (size_t i = 0; i < pusher->len; i++)
                while (!workers_push(pusher->workers, &pusher->tasks[i].work))
                        sched_yield();
        return NULL;
}

START_TEST(what_many_threads_push_is_run_once_each) {
        static struct task tasks[MANY];
        struct workers *workers = start(8, 64);
        struct pusher pushers[PUSHERS];
        pthread_t threads[PUSHERS];
        atomic_uint ran = 0;

        for (size_t i = 0; i < MANY; i++)
                tasks[i] = (struct task){ .work.run = task_run, .ran = &ran };
        for (size_t i = 0; i < PUSHERS; i++) {
                pushers[i] = (struct pusher){ workers, tasks + i * (MANY / PUSHERS),
                                              MANY / PUSHERS };
                ck_assert_int_eq(pthread_create(&threads[i], NULL, push_all, &pushers[i]), 0);
        }
        for (size_t i = 0; i < PUSHERS; i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        workers = workers_free(workers);
        ck_assert_uint_eq(atomic_load(&ran), MANY);
}
END_TEST

START_TEST(a_full_queue_takes_no_more_until_there_is_room) {
        pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
        atomic_uint ran = 0;
        struct task tasks[8];
        struct workers *workers = start(1, 2);
        size_t taken = 0;

        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
                tasks[i] = (struct task){ .work.run = task_run, .ran = &ran, .gate = &gate };
        ck_assert_int_eq(pthread_mutex_lock(&gate), 0);
        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
                taken += workers_push(workers, &tasks[taken].work);
        ck_assert_uint_ge(taken, 2); /* two wait; the thread may have taken one before */
        ck_assert_uint_le(taken, 3);
        ck_assert_int_eq(pthread_mutex_unlock(&gate), 0);
        while (atomic_load(&ran) < taken)
                sched_yield();
        ck_assert(workers_push(workers, &tasks[taken].work));
        workers = workers_free(workers);
        ck_assert_uint_eq(atomic_load(&ran), taken + 1);
}
END_TEST

START_TEST(the_end_waits_for_what_is_queued) {
        pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
        atomic_uint ran = 0;
        struct task tasks[16];
        struct workers *workers = start(2, 16);

        ck_assert_int_eq(pthread_mutex_lock(&gate), 0);
        for (size_t i = 0; i < ARRAY_SIZE(tasks); i++) {
                tasks[i] = (struct task){ .work.run = task_run, .ran = &ran, .gate = &gate };
                ck_assert(workers_push(workers, &tasks[i].work));
        }
        ck_assert_int_eq(pthread_mutex_unlock(&gate), 0);
        workers = workers_free(workers);
        ck_assert_uint_eq(atomic_load(&ran), ARRAY_SIZE(tasks));
}
END_TEST

START_TEST(a_pool_that_makes_no_sense_is_refused) {
        struct workers *workers = NULL;
        struct error err;

        ck_refused(workers_new(0, 1, &workers, &err), err, ERR_CONFIG);
        ck_refused(workers_new(WORKERS_THREADS_MAX + 1, 1, &workers, &err), err, ERR_CONFIG);
        ck_refused(workers_new(1, 0, &workers, &err), err, ERR_CONFIG);
        ck_assert_ptr_null(workers);
        ck_assert_ptr_null(workers_free(NULL));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("workers");
        TCase *tc = tcase_create("workers");

        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, what_many_threads_push_is_run_once_each);
        tcase_add_test(tc, a_full_queue_takes_no_more_until_there_is_room);
        tcase_add_test(tc, the_end_waits_for_what_is_queued);
        tcase_add_test(tc, a_pool_that_makes_no_sense_is_refused);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
