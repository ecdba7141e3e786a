/*
 * What a CRL costs: entries are made as cad makes them, a real cad-signer signs, and what comes back is read, compared and verified as cad does.
 *
 *      bench-crl --signer PATH [--entries 1000000] [--key ecdsa-p256] [--rounds 5]
 *
 * Memory is the growth of both processes' peak, less the octets of the CRL itself. The entries' file is 32 octets each; neither
 * process maps it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/signer/client.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/pki/crl.h"

struct options {
        const char *signer, *key;
        size_t entries, rounds;
};

/* What one round took, in seconds. */
struct round_times {
        double entries, signing, checking;
};

static void must(bool holds, const char *what, const struct error *err) {
        if (holds)
                return;
        (void) fprintf(stderr, "bench-crl: %s: %s\n", what,
                       err && err->code ? err->text : strerror(errno));
        exit(2);
}

static double since(int64_t *from_us) {
        struct timespec t;
        int64_t now;
        double s;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        now = t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
        s = (double) (now - *from_us) / 1e6;
        *from_us = now;
        return s;
}

/* KiB of a process: "VmRSS:" or "VmHWM:" */
static long memory_of(pid_t pid, const char *what) {
        char path[64], line[256];
        long kib = 0;
        FILE *file;

        (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
        file = fopen(path, "re");
        must(file != NULL, path, NULL);
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, what, strlen(what)) == 0)
                        kib = strtol(line + strlen(what), NULL, 10);
        (void) fclose(file);
        return kib;
}

static pid_t run(const char *const *argv, int socket_fd) {
        pid_t pid = fork();

        must(pid >= 0, "fork", NULL);
        if (pid == 0) {
                int null = open("/dev/null", O_WRONLY);

                (void) dup2(null, STDOUT_FILENO);
                if (socket_fd >= 0)
                        (void) dup2(socket_fd, 3);
                (void) execv(argv[0], (char *const *) (uintptr_t) argv);
                _exit(127);
        }
        return pid;
}

static void make_ca(const struct options *o, const char *folder) {
        const char *argv[] = { o->signer, "init",  "--state-dir", folder, "--name",
                               "Bench",   "--key", o->key,        NULL };
        int status = 0;
        pid_t pid = run(argv, -1);

        must(waitpid(pid, &status, 0) == pid && status == 0, "cad-signer init", NULL);
}

static pid_t start_signer(const struct options *o, const char *folder, int *ret_fd) {
        const char *argv[] = {
                o->signer, "serve", "--state-dir", folder, "--socket-fd", "3", NULL
        };
        int ends[2];
        pid_t pid;

        must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair", NULL);
        pid = run(argv, ends[1]);
        (void) close(ends[1]);
        *ret_fd = ends[0];
        return pid;
}

/* Serials like the signer's own, and all reasons. */
static int make_entries(size_t count) {
        CAD_AUTO(crl_entries_free) struct crl_entries *entries = NULL;
        static const unsigned reasons[] = { 0, 1, 3, 4, 5, 6, 9 };
        struct error err = { 0 };
        int64_t now = moment_now();
        size_t counted;
        int fd;

        must(crl_entries_new(&entries, &err) == 0, "entries", &err);
        for (size_t i = 0; i < count; i++) {
                uint8_t serial[19] = { 0x10 };
                struct crl_entry entry;

                (void) gnutls_rnd(GNUTLS_RND_NONCE, serial + 1, sizeof(serial) - 1);
                (void) crl_entry_set(&entry, BYTES(serial, sizeof(serial)),
                                     reasons[i % ARRAY_SIZE(reasons)], now - (int64_t) i);
                must(crl_entries_add(entries, &entry, &err) == 0, "entries", &err);
        }
        fd = crl_entries_seal(entries, &counted, &err);
        must(fd >= 0 && counted == count, "entries", &err);
        return fd;
}

/* As the publisher does before anybody gets it. */
static void check(const struct signed_crl *made, const struct cert *issuer,
                  const struct sign_crl *asked) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct crl_wish wish = { .issuer = issuer->subject,
                                 .key_id = issuer->subject_key_id,
                                 .number = asked->number,
                                 .this_update = asked->this_update,
                                 .next_update = asked->next_update,
                                 .entries_fd = asked->entries_fd,
                                 .entry_count = (size_t) asked->entry_count };
        struct error err = { 0 };
        struct crl crl;

        must(crl_read(made->der, &crl, &err) == 0 && crl_compare(&crl, &wish, &err) == 0 &&
                     public_key_from_spki(issuer->spki, RSA_BITS_MAX, &key, &err) == 0 &&
                     public_key_verify(key, crl.algorithm, crl.tbs, crl.signature, &err) == 0,
             "what came back", &err);
}

static size_t one_round(struct signer_client *client, const struct options *o,
                        const struct cert *issuer, int64_t number, struct round_times *ret) {
        CAD_AUTO(signed_crl_done) struct signed_crl made = { .fd = -1 };
        CAD_AUTO(fd_close) int fd = -1;
        int64_t now = moment_now(), at = 0;
        struct sign_crl wish = { .issuer = "int-1",
                                 .number = number,
                                 .this_update = now - 300,
                                 .next_update = now + 7 * 86400,
                                 .entry_count = (int64_t) o->entries };
        struct error err = { 0 };

        (void) since(&at);
        wish.entries_fd = fd = make_entries(o->entries);
        ret->entries = since(&at);
        must(signer_client_crl(client, &wish, &made, &err) == 0, "signer_client_crl", &err);
        ret->signing = since(&at);
        check(&made, issuer, &wish);
        ret->checking = since(&at);
        return made.der.size;
}

static void measure(const struct options *o, struct signer_client *client, pid_t signer,
                    const struct cert *issuer) {
        long ours = memory_of(getpid(), "VmRSS:"), theirs = memory_of(signer, "VmRSS:"), beyond;
        struct round_times sum = { 0 };
        size_t octets = 0;

        for (size_t i = 0; i < o->rounds; i++) {
                struct round_times t;

                octets = one_round(client, o, issuer, moment_now() + (int64_t) i, &t);
                sum.entries += t.entries;
                sum.signing += t.signing;
                sum.checking += t.checking;
        }
        ours = memory_of(getpid(), "VmHWM:") - ours;
        theirs = memory_of(signer, "VmHWM:") - theirs;
        beyond = ours + theirs - (long) (octets / 1024);
        (void) printf("key %s, %zu entries, %zu octets, mean of %zu\n", o->key, o->entries, octets,
                      o->rounds);
        (void) printf("entries made      %8.3f s\n", sum.entries / (double) o->rounds);
        (void) printf("signed            %8.3f s  (wish to mapped answer)\n",
                      sum.signing / (double) o->rounds);
        (void) printf("read and compared %8.3f s  (signature verified)\n",
                      sum.checking / (double) o->rounds);
        (void) printf(
                "peak memory       %8ld KiB more in cad-signer, %ld KiB more here: %ld KiB beyond the CRL's own\n",
                theirs, ours, beyond);
        (void) printf("entries' file     %8zu KiB of shared memory\n",
                      o->entries * sizeof(struct crl_entry) / 1024);
}

static struct options parse(int argc, char **argv) {
        static const struct option longs[] = { { "signer", required_argument, NULL, 's' },
                                               { "entries", required_argument, NULL, 'n' },
                                               { "key", required_argument, NULL, 'k' },
                                               { "rounds", required_argument, NULL, 'r' },
                                               { 0 } };
        struct options o = { .key = "ecdsa-p256", .entries = 1000000, .rounds = 5 };
        int c;

        while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
                if (c == 's')
                        o.signer = optarg;
                else if (c == 'k')
                        o.key = optarg;
                else if (c == 'n')
                        o.entries = strtoul(optarg, NULL, 10);
                else if (c == 'r')
                        o.rounds = strtoul(optarg, NULL, 10);
        }
        if (!o.signer || o.rounds == 0 || o.entries > CRL_ENTRIES_MAX) {
                (void) fprintf(
                        stderr,
                        "usage: bench-crl --signer PATH [--entries N] [--key KIND] [--rounds N]\n");
                exit(2);
        }
        return o;
}

int main(int argc, char **argv) {
        struct options o = parse(argc, argv);
        char folder[] = "/tmp/cad-bench-crl-XXXXXX", command[64];
        static uint8_t frame[SIGNER_FRAME_MAX];
        struct signer_client *client = NULL;
        struct sign_hello hello;
        struct error err = { 0 };
        struct cert issuer;
        pid_t signer;
        int fd;

        must(mkdtemp(folder) != NULL, "mkdtemp", NULL);
        make_ca(&o, folder);
        signer = start_signer(&o, folder, &fd);
        must(signer_client_new(NULL, NULL, &client, &err) == 0 &&
                     signer_client_attach(client, fd, 10000, frame, &hello, &err) == 0 &&
                     cert_read(hello.issuers[0].der, &issuer, &err) == 0,
             "the signer", &err);
        measure(&o, client, signer, &issuer);
        client = signer_client_free(client);
        (void) waitpid(signer, NULL, 0);
        (void) snprintf(command, sizeof(command), "rm -rf '%s'", folder);
        return system(command) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
