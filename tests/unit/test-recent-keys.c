/*
 * Keys that were certified lately: a hint that one key serves several names, and never more than a hint.
 */
#include "unit.h"

#include <pthread.h>
#include <string.h>

#include "daemon/authority/recent_keys.h"

#define MANY 20000 /* more than the table has entries */

static struct recent_keys *keys;

static void set_up(void) {
        keys = recent_keys_new();
        ck_assert_ptr_nonnull(keys);
}

static void tear_down(void) {
        keys = recent_keys_free(keys);
        ck_assert_ptr_null(keys);
        ck_assert_ptr_null(recent_keys_free(NULL));
}

/* As spread as a hash is. */
static bool note(uint64_t key, uint64_t names) {
        uint8_t spki[SHA256_SIZE] = { 0 };
        uint64_t spread = (key + 1) * UINT64_C(0x9e3779b97f4a7c15);

        memcpy(spki, &spread, sizeof(spread));
        return recent_keys_note(keys, spki, names);
}

START_TEST(a_key_is_new_once) {
        ck_assert(!note(1, 100));
        ck_assert(!note(2, 200));
        ck_assert(!note(3, 100)); /* the same names with another key: a renewal with rekeying */
}
END_TEST

START_TEST(the_same_key_for_the_same_names_is_a_renewal) {
        for (int i = 0; i < 10; i++)
                ck_assert(!note(1, 100));
}
END_TEST

START_TEST(the_same_key_for_other_names_is_told) {
        ck_assert(!note(1, 100));
        ck_assert(note(1, 200));
        ck_assert(!note(1, 200)); /* told once: these are its names now */
        ck_assert(note(1, 100));
}
END_TEST

START_TEST(what_is_in_the_way_is_forgotten_and_never_taken_for_another) {
        size_t remembered = 0;

        for (uint64_t key = 0; key < MANY; key++)
                ck_assert(!note(key, 1));
        for (uint64_t key = 0; key < MANY; key++)
                remembered += note(key, 2);
        ck_assert_uint_lt(remembered, MANY);
        ck_assert(!note(MANY, 1) && note(MANY, 2)); /* the newest is always there */
}
END_TEST

static void *note_many(void *argument) {
        for (uint64_t key = 0; key < MANY; key++)
                (void) note(key, (uint64_t) (uintptr_t) argument);
        return NULL;
}

START_TEST(any_thread_may_ask) {
        pthread_t threads[4];

        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, note_many, (void *) (i % 2)), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(note(MANY - 1, 7));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("recent-keys");
        TCase *tc = tcase_create("recent-keys");

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, a_key_is_new_once);
        tcase_add_test(tc, the_same_key_for_the_same_names_is_a_renewal);
        tcase_add_test(tc, the_same_key_for_other_names_is_told);
        tcase_add_test(tc, what_is_in_the_way_is_forgotten_and_never_taken_for_another);
        tcase_add_test(tc, any_thread_may_ask);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
