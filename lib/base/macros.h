/*
 * The few macros that every room uses: clean-up attributes, ownership transfer, array sizes.
 */
#pragma once

#include <stddef.h>

/* clang-format off */

/** CAD_CLEANUP() - make free_fn usable with CAD_AUTO(); free_fn takes NULL and returns NULL */
#define CAD_CLEANUP(type, free_fn) \
        static inline void free_fn##_at_exit(type **p) { *p = free_fn(*p); }

/** CAD_CLEANUP_DONE() - the same for a struct that is embedded: done_fn(type *) releases what it holds */
#define CAD_CLEANUP_DONE(type, done_fn) \
        static inline void done_fn##_at_exit(type *p) { done_fn(p); }

/** CAD_AUTO() - declare a local that frees what it owns when it goes out of scope */
#define CAD_AUTO(free_fn) __attribute__((cleanup(free_fn##_at_exit)))

/** CAD_TAKE() - hand a pointer on and leave NULL behind */
#define CAD_TAKE(p) ({ __typeof__(p) taken_ = (p); (p) = NULL; taken_; })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CAD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CAD_MUST_USE __attribute__((warn_unused_result))
/* clang-format on */
