/*
 * See rotation.h. Whoever uses the CA at this moment goes on with the one that he has: none is freed before the authority is, and
 * there are few, for a CA has SIGNER_ISSUERS_MAX intermediates in its life.
 */
#include "daemon/authority/rotation.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/authority/internal.h"

/* With the lock. */
static int put_to_use(struct authority *a, struct ca_info *fresh, struct error *err) {
        struct peer_verifier *verifier = NULL;

        if (peer_verifier_new(fresh, &verifier, err) < 0)
                return -1;
        fresh->before = a->ca;
        peer_verifier_follows(verifier, a->peer_verifier);
        a->ca = fresh;
        a->peer_verifier = verifier;
        return 0;
}

static void publish_all(struct authority *a) {
        const struct ca_info *ca = a->ca;

        for (size_t i = 0; i < ca->issuer_count; i++)
                publisher_follow(a->publisher, ca->issuers[i].id, &ca->issuers[i].cert);
}

int authority_use_ca(struct authority *a, struct ca_info *ca, struct error *err) {
        CAD_AUTO(ca_info_free) struct ca_info *fresh = ca;
        int rc = 0;

        (void) pthread_mutex_lock(&a->lock);
        if (a->ca && strcmp(a->ca->id, fresh->id) != 0)
                rc = error_set(err, ERR_SIGNER_WRONG,
                               "the signer came back with another CA: restart cad");
        else if (!a->ca || !ca_info_same(a->ca, fresh))
                rc = put_to_use(a, fresh, err);
        if (a->ca == fresh)
                fresh = NULL;
        (void) pthread_mutex_unlock(&a->lock);
        if (rc == 0) {
                atomic_store(&a->prove_after_ms, 0); /* the next leaf is proved through its chain */
                publish_all(a);
        }
        return rc;
}

static struct audit_event event_of(const struct rotation_request *rq, const char *action,
                                   const char *object) {
        return (struct audit_event){ .action = action,
                                     .principal = rq->principal->text,
                                     .source = rq->source,
                                     .object = object,
                                     .request_id = rq->request_id };
}

static int ask_signer(struct authority *a, enum signer_message type, const char *id,
                      struct error *err) {
        CAD_AUTO(buffer_done) struct buffer frame = { 0 };
        struct ca_info *fresh = NULL;
        struct sign_hello hello;

        if (!buffer_reserve(&frame, SIGNER_FRAME_MAX))
                return error_no_memory(err);
        if (signer_client_change(a->signer, type, id, frame.data, &hello, err) < 0 ||
            ca_info_new(&hello, &fresh, err) < 0)
                return -1;
        return authority_use_ca(a, fresh, err);
}

/* The row is on disk before anybody is told; where it cannot be written, the change stands, and that is said. */
static int change(struct authority *a, const struct rotation_request *rq, enum signer_message type,
                  const char *id, const char *action, struct error *err) {
        struct audit_event event = event_of(rq, action, id[0] ? id : NULL);
        int rc;

        if (access_check(rq->principal, ACTION_CHANGE_CA, err) < 0) {
                audit_refused(a, rq->principal, &event, err);
                return -1;
        }
        (void) pthread_mutex_lock(&a->rotation_lock);
        rc = ask_signer(a, type, id, err);
        (void) pthread_mutex_unlock(&a->rotation_lock);
        if (rc < 0)
                audit_refused(a, rq->principal, &event, err);
        return rc;
}

static int record(struct authority *a, const struct rotation_request *rq, const char *action,
                  const char *id, struct error *err) {
        struct audit_event event = event_of(rq, action, id);

        return audit_record_wait(a, &event, err);
}

static const struct ca_info_issuer *standby_of(const struct ca_info *ca) {
        for (size_t i = ca->issuer_count; i-- > 0;)
                if (ca->issuers[i].state == SIGNER_ISSUER_STANDBY)
                        return &ca->issuers[i];
        return NULL;
}

int authority_prepare_standby(struct authority *a, const struct rotation_request *rq,
                              const struct ca_info_issuer **ret, struct error *err) {
        const struct ca_info_issuer *made;

        if (change(a, rq, SIGNER_PREPARE, "", "ca.prepare", err) < 0)
                return -1;
        made = standby_of(a->ca);
        if (!made)
                return error_set(err, ERR_SIGNER_WRONG,
                                 "the signer says that it made a standby, and shows none");
        if (record(a, rq, "ca.prepare", made->id, err) < 0)
                return -1;
        *ret = made;
        return 0;
}

int authority_activate(struct authority *a, const struct rotation_request *rq, const char *id,
                       const struct ca_info_issuer **ret, struct error *err) {
        const struct ca_info_issuer *active;

        if (!id[0] || strlen(id) >= SIGNER_ISSUER_MAX)
                return error_set(err, ERR_NOT_FOUND, "there is no intermediate '%s'", id);
        if (change(a, rq, SIGNER_ACTIVATE, id, "ca.activate", err) < 0)
                return -1;
        active = ca_info_active(a->ca);
        if (strcmp(active->id, id) != 0)
                return error_set(err, ERR_SIGNER_WRONG, "the signer signs with %s, not with %s",
                                 active->id, id);
        if (record(a, rq, "ca.activate", active->id, err) < 0)
                return -1;
        *ret = active;
        return 0;
}
