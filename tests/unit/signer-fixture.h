/*
 * What the signer's unit tests share: a folder of one's own, a CA in it, and a wish that this CA grants.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/signer/ca.h"
#include "daemon/signer/create.h"
#include "daemon/signer/policy.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "unit.h"

#define DAY INT64_C(86400)

/** struct scratch - a folder below $TMPDIR, or /tmp, that is gone after the test */
struct scratch {
        char path[64];
        int fd;
};

static inline void scratch_open(struct scratch *s) {
        (void) snprintf(s->path, sizeof(s->path), "%.30s/cad-unit-XXXXXX",
                        getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        ck_assert_msg(mkdtemp(s->path) != NULL, "mkdtemp");
        s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(s->fd, 0);
}

static inline void scratch_close(struct scratch *s) {
        char command[128];

        s->fd = fd_close(s->fd);
        (void) snprintf(command, sizeof(command), "rm -rf '%s'", s->path);
        ck_assert_int_eq(system(command), 0);
}

static inline void scratch_write(const struct scratch *s, const char *path, const char *text,
                                 mode_t mode) {
        struct error err = { 0 };

        ck_ok(file_replace(s->fd, path, bytes_of(text), mode, &err), err);
}

static inline bool scratch_has(const struct scratch *s, const char *path) {
        struct stat st;

        return fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/** scratch_ca() - make a CA with the defaults, but what @change does to the plan */
static inline void scratch_ca(const struct scratch *s, void (*change)(struct ca_plan *plan)) {
        struct ca_place place = { .state_fd = s->fd, .config_fd = -1 };
        struct ca_plan plan;
        struct error err = { 0 };

        ck_ok(ca_plan_defaults(&plan, &err), err);
        plan.name = "Unit CA";
        plan.public_url = "http://ca.lan:8080";
        if (change)
                change(&plan);
        ck_ok(constraints_close(plan.constraints, &err), err);
        ck_ok(ca_create(&place, &plan, moment_now(), &err), err);
        plan.constraints = constraints_free(plan.constraints);
}

static inline struct ca *scratch_load(const struct scratch *s) {
        struct ca *ca = NULL;
        struct error err = { 0 };

        ck_ok(ca_load(s->fd, BYTES_NONE, &ca, &err), err);
        return ca;
}

/** key_spki() - a new key's SubjectPublicKeyInfo in @ret */
static inline void key_spki(enum key_type type, unsigned bits, struct buffer *ret) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        struct error err = { 0 };

        ck_ok(private_key_generate(type, bits, &key, &err), err);
        ck_ok(private_key_spki(key, ret, &err), err);
}

/** names_der() - GeneralNames of a list of texts that NULL ends, written to the end of @octets */
static inline struct bytes names_der(uint8_t *octets, size_t size, const char *const *texts) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };
        struct der_writer w;

        for (; *texts; texts++)
                ck_ok(san_list_add_text(&list, *texts, &err), err);
        der_writer_init(&w, octets, size);
        san_list_put_der(&list, &w);
        ck_assert(!w.failed);
        return der_writer_bytes(&w);
}
