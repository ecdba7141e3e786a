/*
 * The signer's end of the socket, played by a test: it says hello, takes frames, and answers what and when the test wants.
 */
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/signer/protocol.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "tests/unit/unit.h"

/** fake_pair() - @ends[0] for cad, @ends[1] for the fake */
static inline void fake_pair(int ends[2]) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

/** fake_send() - one frame; an end that is closed is no failure of the test */
static inline void fake_send(int fd, struct bytes frame) {
        (void) !send(fd, frame.data, frame.size, MSG_NOSIGNAL);
}

/** fake_hello() - a hello whose certificates nobody reads */
static inline void fake_hello(int fd) {
        uint8_t frame[SIGNER_FRAME_MAX];
        struct sign_hello hello = {
                .ca_id = "00", .name = "Fake CA", .root = BYTES_LITERAL("root"), .issuer_count = 1
        };

        hello.issuers[0] = (struct sign_hello_issuer){ .id = "int-1", .der = BYTES_LITERAL("der") };
        fake_send(fd, sign_hello_encode(frame, 0, &hello));
}

/**
 * fake_receive() - one frame of cad's, waited for
 * @frame: SIGNER_FRAME_MAX octets, into which @ret_fields has its views
 * Return: false where the connection is gone, or nothing comes within @timeout_ms
 */
static inline bool fake_receive(int fd, int timeout_ms, uint8_t *frame, struct signer_header *ret,
                                struct frame_reader *ret_fields) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        struct error err = { 0 };
        ssize_t n;

        if (poll(&p, 1, timeout_ms) <= 0)
                return false;
        n = recv(fd, frame, SIGNER_FRAME_MAX, MSG_DONTWAIT);
        if (n <= 0)
                return false;
        ck_ok(frame_open(BYTES(frame, (size_t) n), ret, ret_fields, &err), err);
        return true;
}

/** fake_certificate(), fake_error(), fake_status() - answer a call */
static inline void fake_certificate(int fd, uint32_t id, struct bytes der) {
        uint8_t frame[SIGNER_FRAME_MAX];

        fake_send(fd, sign_certificate_encode(frame, id, "int-1", der));
}

static inline void fake_error(int fd, uint32_t id, enum error_code code, const char *field,
                              const char *text) {
        uint8_t frame[SIGNER_FRAME_MAX];
        struct error err = { 0 };

        (void) error_set_field(&err, code, field, "%s", text);
        fake_send(fd, sign_error_encode(frame, id, &err));
}

static inline void fake_status(int fd, uint32_t id, int64_t issued) {
        uint8_t frame[SIGNER_FRAME_MAX];
        struct sign_status status = { .issued = issued };

        fake_send(fd, sign_status_encode(frame, id, &status));
}
