/*
 * The signer at work: a few threads that receive a frame, have it answered and send the answer; and one that keeps time. signer.h says
 * what else there is to it.
 */
#include "daemon/signer/serve.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/signer/channel.h"
#include "daemon/signer/sandbox.h"
#include "daemon/signer/signer.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/service.h"

#define SIGNING_THREADS_MAX 4
#define SEND_TIMEOUT_MS 2000 /* for an answer that cad does not take */
#define TICK_MS 1000
#define BUSY_MS 2 /* since the last frame: more may be on their way */
#define STUCK_MS 10000

/* ---- signing threads ---------------------------------------------------------------------------------------- */

/* An answer that cad does not take within SEND_TIMEOUT_MS is dropped: cad has a deadline of its own. */
static void send_answer(struct signer *s, struct bytes reply, int fd) {
        int64_t until = moment_monotonic_ms() + SEND_TIMEOUT_MS;

        while (channel_send(s->socket_fd, reply, fd, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                struct pollfd p = { .fd = s->socket_fd, .events = POLLOUT };
                int64_t left = until - moment_monotonic_ms();

                if ((errno != EAGAIN && errno != EINTR && errno != ENOBUFS) || left <= 0)
                        return;
                (void) poll(&p, 1, (int) left);
        }
}

static void send_later(void *context, struct bytes reply, int fd) {
        send_answer(context, reply, fd);
}

static void note_work(struct signer *s, int more) {
        atomic_store(&s->moved_ms, moment_monotonic_ms());
        atomic_fetch_add(&s->at_work, (unsigned) more);
}

/* For the watchdog: threads that have work, and of which none has moved for long, are stuck. */
static bool stuck(struct signer *s) {
        return atomic_load(&s->at_work) > 0 &&
                moment_monotonic_ms() - atomic_load(&s->moved_ms) > STUCK_MS;
}

static void *signing_thread(void *argument) {
        struct signer *s = argument;
        uint8_t *in = malloc(SIGNER_FRAME_MAX + 1), *out = malloc(SIGNER_FRAME_MAX);
        struct error err = { 0 };

        if (!in || !out || sandbox_enter(SANDBOX_SIGNING, &err) < 0) {
                log_error(LOG_LEVEL_ERROR, &err, "a signing thread cannot begin");
                _exit(EXIT_FAILURE);
        }
        for (;;) {
                CAD_AUTO(fd_close) int fd = -1;
                ssize_t n = channel_receive(s->socket_fd, in, SIGNER_FRAME_MAX + 1, 0, &fd);
                struct bytes reply;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                note_work(s, 1);
                reply = message_answer(s, BYTES(in, (size_t) n), &fd, out);
                if (reply.size)
                        send_answer(s, reply, -1);
                fd = fd_close(fd); /* of a socket that lingers it blocks: that, too, is work */
                note_work(s, -1);
        }
        free(in);
        free(out);
        (void) fd_write_all(s->ended_fd, BYTES_LITERAL("\1\0\0\0\0\0\0\0"));
        return NULL;
}

/* ---- what CRLs and intermediates need of them (struct crl_host, struct rotation_host) ------------------------ */

static int probe_change(void *context, const struct ca *ca, struct error *err) {
        struct signer *s = context;
        int rc;

        (void) pthread_rwlock_rdlock(&s->profiles_lock);
        rc = ca_probe(ca, atomic_load(&s->profiles), moment_now(), err);
        (void) pthread_rwlock_unlock(&s->profiles_lock);
        return rc;
}

/* A thread that has begun with the one before goes on with it: that one stays. */
static void use_ca(void *context, struct ca *ca) {
        struct signer *s = context;

        atomic_store(&s->ca, ca);
        crl_worker_use(s->crl_worker, ca);
}

static struct bytes tell_ca(void *context, uint32_t id, uint8_t *frame) {
        struct sign_hello hello;

        message_describe_ca(context, &hello);
        return sign_ca_encode(frame, id, &hello);
}

static bool is_signing(void *context) {
        struct signer *s = context;

        return atomic_load(&s->at_work) > 0 ||
                moment_monotonic_ms() - atomic_load(&s->moved_ms) < BUSY_MS;
}

/* ---- keeping time ------------------------------------------------------------------------------------------- */

static void reload_profiles(struct signer *s) {
        struct profile_set *fresh = NULL, *old;
        struct error err = { 0 };

        if (profiles_load(s->config_fd, s->config_fd >= 0 ? "profiles.d" : NULL, &fresh, &err) <
            0) {
                log_error(LOG_LEVEL_ERROR, &err,
                          "the profiles were not read anew, the old ones stay");
                return;
        }
        (void) pthread_rwlock_wrlock(&s->profiles_lock);
        old = atomic_exchange(&s->profiles, fresh);
        (void) pthread_rwlock_unlock(&s->profiles_lock);
        (void) profiles_free(old);
        log_notice("profiles read anew");
}

static void keep(struct signer *s, int signal_fd, struct clock_mark written) {
        struct pollfd fds[] = { { .fd = signal_fd, .events = POLLIN },
                                { .fd = s->ended_fd, .events = POLLIN },
                                { .fd = s->tick_fd, .events = POLLIN },
                                { .fd = s->socket_fd } };
        int64_t gone_ms = 0; /* monotonic: when cad's end of the socket was seen closed */

        for (;;) {
                struct signalfd_siginfo info;
                int n = poll(fds, ARRAY_SIZE(fds), TICK_MS);
                uint64_t ticks;

                if (n > 0 && fds[2].revents)
                        (void) !read(s->tick_fd, &ticks, sizeof(ticks));
                settle_log(s, &written);
                settle_anchors(s);
                if (!stuck(s))
                        service_notify("WATCHDOG=1");
                if (n > 0 && fds[1].revents)
                        return; /* cad has gone */
                if (n > 0 && fds[3].revents) {
                        gone_ms = moment_monotonic_ms();
                        fds[3].fd = -1;
                }
                if (gone_ms && moment_monotonic_ms() - gone_ms >= TICK_MS)
                        return; /* and no signing thread came to notice: what cad handed over last holds them up */
                if (n <= 0 || read(signal_fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
                        continue;
                if (info.ssi_signo != SIGHUP)
                        return;
                reload_profiles(s);
        }
}

/* ---- start and end ------------------------------------------------------------------------------------------ */

static int start_threads(struct signer *s, struct error *err) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);

        for (long i = 0; i < (cores < 1                             ? 1
                                      : cores > SIGNING_THREADS_MAX ? SIGNING_THREADS_MAX
                                                                    : cores);
             i++) {
                pthread_t thread;
                int rc = pthread_create(&thread, NULL, signing_thread, s);

                if (rc != 0)
                        return error_errno(err, rc, "cannot start a signing thread");
                (void) pthread_detach(thread);
        }
        return 0;
}

/* Those who make CRLs and intermediates first: a wish for one may be the first frame. */
static int start_all(struct signer *s, const struct serve_options *options, struct error *err) {
        static struct crl_host host = {
                .admit = admit_crl, .settle = settle_crl, .answer = send_later, .busy = is_signing
        };
        static struct rotation_host rotation_host = { .admit = admit_change,
                                                      .probe = probe_change,
                                                      .use = use_ca,
                                                      .tell = tell_ca,
                                                      .answer = send_later };

        host.context = rotation_host.context = s;
        if (crl_worker_start(options->ca, s->state_fd, &host, &s->crl_worker, err) < 0 ||
            rotation_start(options->ca, s->state_fd, options->passphrase, &rotation_host,
                           &s->rotation, err) < 0)
                return -1;
        return start_threads(s, err);
}

static int block_signals(struct error *err) {
        sigset_t set;
        int fd;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        (void) pthread_sigmask(SIG_BLOCK, &set, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ,
                      SIG_IGN); /* a file-size limit is an error of write() like a full disk */
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? error_errno(err, errno, "cannot receive signals") : fd;
}

/* glibc lets readers pass a waiting writer: signing threads that are never idle would keep a reload, and the tick behind it, waiting for ever. */
static void init_profiles_lock(pthread_rwlock_t *lock) {
        pthread_rwlockattr_t attributes;

        (void) pthread_rwlockattr_init(&attributes);
        (void) pthread_rwlockattr_setkind_np(&attributes,
                                             PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        (void) pthread_rwlock_init(lock, &attributes);
        (void) pthread_rwlockattr_destroy(&attributes);
}

int serve(const struct serve_options *options, struct error *err) {
        /* lives as long as the process: the signing threads may still be in it when serve() returns */
        static struct signer s;
        CAD_AUTO(fd_close) int signal_fd = -1;
        struct clock_mark written;
        int64_t log_last_s = 0;

        s = (struct signer){ .socket_fd = options->socket_fd,
                             .state_fd = options->state_fd,
                             .config_fd = options->config_fd,
                             .ca = options->ca,
                             .rate = { .per_hour = options->per_hour } };
        (void) pthread_mutex_init(&s.lock, NULL);
        init_profiles_lock(&s.profiles_lock);
        atomic_store(&s.profiles, options->profiles);
        atomic_store(&s.synchronised, clock_synchronised());
        settle_init(&s.settled);
        s.ended_fd = eventfd(0, EFD_CLOEXEC);
        s.tick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        signal_fd = block_signals(err);
        if (s.ended_fd < 0 || s.tick_fd < 0 || signal_fd < 0)
                return error_errno(err, errno, "cannot set up the signer");
        /* glibc gives memory of a thread's heap back only after a look into /proc, which the sandbox of a signing thread is deadly to */
        (void) mallopt(M_TRIM_THRESHOLD, -1);
        if (signlog_open(s.state_fd, moment_now(), &s.rate, &s.log, &log_last_s, err) < 0 ||
            settle_restore(&s, log_last_s, err) < 0 ||
            anchors_read(s.state_fd, &s.anchors, err) < 0 ||
            sandbox_enter(SANDBOX_PROCESS, err) < 0)
                return -1;
        written = s.mark;
        if (start_all(&s, options, err) < 0)
                return -1;
        keep(&s, signal_fd, written);
        settle_log(&s, &(struct clock_mark){ 0 });
        settle_anchors(&s);
        return 0;
}
