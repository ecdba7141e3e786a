/*
 * See rotation.h. cad may be hostile: it can have the standby activated and another one made, and that is all. It chooses
 * no key, no name, no constraint and no length of life.
 */
#include "daemon/signer/rotation.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/signer/create.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

struct rotation {
        struct ca *ca; /* the thread's, as is all up to the lock */
        int state_fd;
        struct bytes passphrase;
        const struct rotation_host *host;
        uint8_t *frame;

        pthread_mutex_t lock;
        pthread_cond_t more;
        bool under_way; /* from when the thread has it until its answer is ready */
        bool waiting;
        enum signer_message type;
        uint32_t id;
        char issuer[SIGNER_ISSUER_MAX];
};

/* ---- what is wanted ---- */

static bool root_key_there(const struct rotation *r) {
        struct stat st;
        char path[64];

        return r->ca->root_key &&
                fstatat(r->state_fd, ca_path(SIGNER_ROOT_ID, ".key", path, sizeof(path)), &st,
                        AT_SYMLINK_NOFOLLOW) == 0;
}

static int check_prepare(const struct rotation *r, int64_t now, struct error *err) {
        const struct ca_issuer *standby = ca_standby(r->ca);
        char until[MOMENT_TEXT_MAX];

        if (standby && standby->cert.validity.not_after > now)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "there is a standby already, %s, good until %s: `cactl ca activate` makes it the active one, then "
                        "another one can be prepared",
                        standby->id, moment_format(standby->cert.validity.not_after, until));
        if (r->ca->issuer_count == SIGNER_ISSUERS_MAX)
                return error_set(err, ERR_STATE_CONFLICT,
                                 "this CA has had %d intermediates, which is the most there can be",
                                 SIGNER_ISSUERS_MAX);
        if (!root_key_there(r))
                return error_set(
                        err, ERR_STATE_CONFLICT, "only the root can make an intermediate: %s",
                        r->ca->root_key_fault[0]
                                ? r->ca->root_key_fault
                                : "its key is not here. Put " CA_FOLDER
                                  "/root.key back, start cad again, and take it away when the standby is made");
        if (r->ca->root.validity.not_after <= now)
                return error_set(err, ERR_CA_EXPIRED, "the root has expired at %s",
                                 moment_format(r->ca->root.validity.not_after, until));
        return 0;
}

/* Return: 1 where it is the active one already, 0, -1 with @err */
static int check_activate(const struct rotation *r, const char *id, int64_t now,
                          const struct ca_issuer **ret, struct error *err) {
        const struct ca_issuer *issuer = id[0] ? ca_issuer_find(r->ca, id) : ca_standby(r->ca);
        char until[MOMENT_TEXT_MAX];

        if (!issuer && !id[0])
                return error_set(err, ERR_STATE_CONFLICT,
                                 "there is no standby to activate: `cactl ca rotate` prepares one");
        if (!issuer)
                return error_set(err, ERR_NOT_FOUND, "there is no intermediate '%s'", id);
        if (issuer->state == SIGNER_ISSUER_RETIRED)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "%s is retired: it signs its CRL and nothing else. `cactl ca rotate` prepares another one",
                        id);
        if (issuer->cert.validity.not_after <= now)
                return error_set(err, ERR_CA_EXPIRED,
                                 "%s has expired at %s: `cactl ca rotate` prepares another one",
                                 issuer->id, moment_format(issuer->cert.validity.not_after, until));
        *ret = issuer;
        return issuer->state == SIGNER_ISSUER_ACTIVE;
}

/* ---- doing it ---- */

/* One past the highest that there was: a number does not come again. */
static int next_number(const struct ca *ca) {
        int highest = 0;

        for (size_t i = 0; i < ca->issuer_count; i++) {
                int number = 0;

                if (sscanf(ca->issuers[i].id, "int-%d", &number) == 1 && number > highest)
                        highest = number;
        }
        return highest + 1;
}

/* As it would be after the next start, by what lies on disk. */
static int load(const struct rotation *r, const struct ca_conf *conf, struct ca **ret,
                struct error *err) {
        CAD_AUTO(ca_free) struct ca *fresh = NULL;

        if (ca_load_as(r->state_fd, r->passphrase, conf, &fresh, err) < 0 ||
            ca_use_public_url(fresh, r->ca->public_url, err) < 0 ||
            r->host->probe(r->host->context, fresh, err) < 0)
                return -1;
        *ret = CAD_TAKE(fresh);
        return 0;
}

static void put_to_use(struct rotation *r, struct ca *fresh) {
        fresh->before = r->ca;
        r->ca = fresh;
        r->host->use(r->host->context, fresh);
}

/* Everything is looked at before ca.conf is replaced, and nothing can fail after it. */
static int commit(struct rotation *r, const struct ca_conf *conf, const char *line,
                  struct error *err) {
        return r->host->admit(r->host->context, line, err) < 0 ||
                        ca_conf_write(r->state_fd, CA_CONF_FILE, conf, err) < 0
                ? -1
                : 0;
}

static void describe_new(const struct ca_issuer *issuer, char *line, size_t size) {
        char serial[2 * SERIAL_MAX + 1], key[2 * SHA256_SIZE + 1], until[MOMENT_TEXT_MAX];
        uint8_t digest[SHA256_SIZE];

        sha256(issuer->cert.spki, digest);
        (void) snprintf(line, size, "intermediate serial=%s issuer=root id=%s key=%s until=%s",
                        hex_encode(issuer->cert.serial, serial), issuer->id,
                        hex_encode(BYTES(digest, sizeof(digest)), key),
                        moment_format(issuer->cert.validity.not_after, until));
}

static int prepare(struct rotation *r, int64_t now, struct error *err) {
        CAD_AUTO(ca_conf_done) struct ca_conf conf = { 0 };
        CAD_AUTO(ca_free) struct ca *fresh = NULL;
        int number = next_number(r->ca);
        char id[SIGNER_ISSUER_MAX], line[512];

        (void) snprintf(id, sizeof(id), "int-%d", number);
        if (check_prepare(r, now, err) < 0 || ca_conf_read(r->state_fd, &conf, err) < 0 ||
            ca_add_intermediate(r->state_fd, r->ca, number, r->passphrase, now, err) < 0 ||
            ca_conf_add(&conf.intermediates, id, err) < 0 || load(r, &conf, &fresh, err) < 0)
                return -1;
        describe_new(ca_issuer_find(fresh, id), line, sizeof(line));
        if (commit(r, &conf, line, err) < 0)
                return -1;
        put_to_use(r, CAD_TAKE(fresh));
        log_notice("made the intermediate %s: it is the standby", id);
        return 0;
}

static struct ca_issuer *issuer_of(struct ca *ca, const char *id) {
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (strcmp(ca->issuers[i].id, id) == 0)
                        return &ca->issuers[i];
        return NULL;
}

static int activate(struct rotation *r, const char *wanted, int64_t now, struct error *err) {
        CAD_AUTO(ca_conf_done) struct ca_conf conf = { 0 };
        CAD_AUTO(ca_free) struct ca *fresh = NULL;
        const struct ca_issuer *next = NULL;
        struct ca_issuer *old;
        char line[128];
        int rc = check_activate(r, wanted, now, &next, err);

        if (rc != 0)
                return rc < 0 ? -1 : 0;
        if (ca_conf_read(r->state_fd, &conf, err) < 0 ||
            ca_conf_add(&conf.retired, ca_issuer_find(r->ca, "")->id, err) < 0)
                return -1;
        free(conf.active);
        conf.active = strdup(next->id);
        if (!conf.active)
                return error_no_memory(err);
        if (load(r, &conf, &fresh, err) < 0)
                return -1;
        (void) snprintf(line, sizeof(line), "activate id=%s retires=%s", next->id,
                        ca_issuer_find(r->ca, "")->id);
        if (commit(r, &conf, line, err) < 0)
                return -1;
        old = issuer_of(fresh, ca_issuer_find(r->ca, "")->id);
        if (old)
                old->signs_until_s = now + ROTATION_GRACE_S;
        put_to_use(r, CAD_TAKE(fresh));
        log_notice("%s is the active intermediate now, %s is retired", next->id,
                   old ? old->id : "the one before");
        return 0;
}

/* ---- the thread ---- */

static void do_job(struct rotation *r) {
        struct error err = { 0 };
        int64_t now = moment_now();
        struct bytes reply;
        int rc = r->type == SIGNER_PREPARE ? prepare(r, now, &err)
                                           : activate(r, r->issuer, now, &err);

        if (rc < 0)
                reply = sign_error_encode(r->frame, r->id, &err);
        else
                reply = r->host->tell(r->host->context, r->id, r->frame);
        /* first: whoever has the answer may ask for the next change at once */
        (void) pthread_mutex_lock(&r->lock);
        r->under_way = false;
        (void) pthread_mutex_unlock(&r->lock);
        r->host->answer(r->host->context, reply, -1);
}

static void *rotation_thread(void *argument) {
        struct rotation *r = argument;

        (void) pthread_setname_np(pthread_self(), "rotation");
        for (;;) {
                (void) pthread_mutex_lock(&r->lock);
                while (!r->waiting)
                        (void) pthread_cond_wait(&r->more, &r->lock);
                r->waiting = false;
                r->under_way = true;
                (void) pthread_mutex_unlock(&r->lock);
                do_job(r);
        }
        return NULL;
}

int rotation_start(struct ca *ca, int state_fd, struct bytes passphrase,
                   const struct rotation_host *host, struct rotation **ret, struct error *err) {
        struct rotation *r = calloc(1, sizeof(*r));
        pthread_t thread;
        int rc;

        if (r)
                r->frame = malloc(SIGNER_FRAME_MAX);
        if (!r || !r->frame) {
                free(r);
                return error_no_memory(err);
        }
        r->ca = ca;
        r->state_fd = state_fd;
        r->passphrase = passphrase;
        r->host = host;
        (void) pthread_mutex_init(&r->lock, NULL);
        (void) pthread_cond_init(&r->more, NULL);
        rc = pthread_create(&thread, NULL, rotation_thread, r);
        if (rc != 0) {
                free(r->frame);
                free(r);
                return error_errno(err, rc, "cannot start the thread that changes intermediates");
        }
        (void) pthread_detach(thread);
        *ret = r;
        return 0;
}

int rotation_take(struct rotation *r, enum signer_message type, uint32_t id, const char *issuer,
                  struct error *err) {
        bool room;

        (void) pthread_mutex_lock(&r->lock);
        room = !r->waiting && !r->under_way;
        if (room) {
                r->waiting = true;
                r->type = type;
                r->id = id;
                (void) snprintf(r->issuer, sizeof(r->issuer), "%s", issuer);
                (void) pthread_cond_signal(&r->more);
        }
        (void) pthread_mutex_unlock(&r->lock);
        return room ? 0
                    : error_set(err, ERR_OVERLOADED,
                                "an intermediate is being changed already: try again in a moment");
}
