/*
 * Snapshots of CRLs: see crl_snapshot.h. The octets lie in memory, so that nothing that happens to a file or a disk reaches who
 * serves them.
 */
#include "daemon/authority/crl_snapshot.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/crl.h"

#define FILE_NAME_MAX (SIGNER_ISSUER_MAX + 4)
#define FILE_MODE 0644 /* what it says is public */

struct kept {
        struct crl_snapshot snapshot; /* first: what others see */
        atomic_uint users;
        struct signed_crl made; /* either it came from the signer … */
        struct buffer read;     /* … or from a file */
};

const char *http_date(int64_t t, char *out) {
        static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
        static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
        struct civil_time c;

        if (t < 0 || t > MOMENT_LAST)
                t = 0;
        c = moment_civil(t);
        (void) snprintf(out, CRL_HTTP_DATE_MAX, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
                        days[t / 86400 % 7], (unsigned) c.day % 100, months[(c.month - 1) % 12],
                        (unsigned) c.year % 10000, (unsigned) c.hour % 100,
                        (unsigned) c.minute % 100, (unsigned) c.second % 100);
        return out;
}

static void file_name(const char *issuer, char out[FILE_NAME_MAX]) {
        (void) snprintf(out, FILE_NAME_MAX, "%.15s.crl", issuer);
}

static struct kept *kept_new(const char *issuer) {
        struct kept *k = calloc(1, sizeof(*k));

        if (!k)
                return NULL;
        (void) snprintf(k->snapshot.issuer, sizeof(k->snapshot.issuer), "%s", issuer);
        atomic_store(&k->users, 1);
        k->made.fd = -1;
        return k;
}

/* The number is the time at which it was made, unless it had to be ahead of that. */
static int64_t made_at(const struct crl_snapshot *s) {
        return s->number >= s->this_update && s->number <= s->next_update ? s->number
                                                                          : s->this_update;
}

static void describe(struct crl_snapshot *s, const struct crl *crl) {
        uint8_t digest[SHA256_SIZE];
        char hex[2 * SHA256_SIZE + 1];

        s->der = crl->der;
        s->number = crl_number(crl);
        s->this_update = crl->this_update;
        s->next_update = crl->next_update;
        s->entry_count = crl->entry_count;
        s->made_at = made_at(s);
        cert_fingerprint(crl->der, digest);
        (void) snprintf(s->etag, sizeof(s->etag), "\"%.32s\"",
                        hex_encode(BYTES(digest, sizeof(digest)), hex));
        (void) http_date(s->made_at, s->last_modified);
}

struct crl_snapshot *crl_snapshot_of_signed(const char *issuer, struct signed_crl *made,
                                            const struct crl *crl) {
        struct kept *k = kept_new(issuer);

        if (!k) {
                signed_crl_done(made);
                return NULL;
        }
        k->made = *made;
        *made = (struct signed_crl){ .fd = -1 };
        describe(&k->snapshot, crl);
        return &k->snapshot;
}

static int check_read(const struct crl *crl, const struct cert *cert, const char *name,
                      struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;

        if (!bytes_equal(crl->issuer, cert->subject) ||
            !bytes_equal(crl->authority_key_id, cert->subject_key_id))
                return error_set(err, ERR_SIGNER_WRONG, "%s is the CRL of another issuer", name);
        if (public_key_from_spki(cert->spki, RSA_BITS_MAX, &key, err) < 0)
                return -1;
        if (public_key_verify(key, crl->algorithm, crl->tbs, crl->signature, /* err= */ NULL) < 0)
                return error_set(err, ERR_SIGNER_WRONG, "the signature of %s is not good", name);
        return 0;
}

int crl_snapshot_load(int dir_fd, const char *issuer, const struct cert *cert,
                      struct crl_snapshot **ret, struct error *err) {
        CAD_AUTO(crl_snapshot_unref) struct crl_snapshot *snapshot = NULL;
        struct kept *k = kept_new(issuer);
        char name[FILE_NAME_MAX];
        struct crl crl;

        if (!k)
                return error_no_memory(err);
        snapshot = &k->snapshot;
        file_name(issuer, name);
        if (file_read(dir_fd, name, FILE_PUBLIC, CRL_SIZE_MAX, &k->read, err) < 0 ||
            crl_read(buffer_bytes(&k->read), &crl, err) < 0 ||
            check_read(&crl, cert, name, err) < 0)
                return -1;
        describe(snapshot, &crl);
        *ret = CAD_TAKE(snapshot);
        return 0;
}

int crl_snapshot_store(const struct crl_snapshot *snapshot, int dir_fd, struct error *err) {
        char name[FILE_NAME_MAX];

        file_name(snapshot->issuer, name);
        return file_replace(dir_fd, name, snapshot->der, FILE_MODE, err);
}

struct crl_snapshot *crl_snapshot_ref(struct crl_snapshot *snapshot) {
        (void) atomic_fetch_add(&((struct kept *) snapshot)->users, 1);
        return snapshot;
}

struct crl_snapshot *crl_snapshot_unref(struct crl_snapshot *snapshot) {
        struct kept *k = (struct kept *) snapshot;

        if (!k || atomic_fetch_sub(&k->users, 1) != 1)
                return NULL;
        signed_crl_done(&k->made);
        buffer_done(&k->read);
        free(k);
        return NULL;
}
