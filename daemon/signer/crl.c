/*
 * CRLs: decisions over a decoded wish, and the one place where a key signs one. No socket, no clock of its own.
 */
#include "daemon/signer/crl.h"

#include <stdio.h>

#include "lib/base/file.h"
#include "lib/base/memfd.h"
#include "lib/base/moment.h"

#define DAY INT64_C(86400)
#define CLOCK_SKEW_S 60        /* between cad's reading of the clock and ours */
#define THIS_UPDATE_BACK_S DAY /* for clocks that are late */

static const struct cert *find_issuer(const struct ca *ca, const char *id,
                                      const struct private_key **ret_key) {
        const struct ca_issuer *issuer = id[0] ? ca_issuer_find(ca, id) : NULL;

        if (strcmp(id, SIGNER_ROOT_ID) == 0) {
                *ret_key = ca->root_key;
                return &ca->root;
        }
        if (!issuer)
                return NULL;
        *ret_key = issuer->key;
        return &issuer->cert;
}

/* Active, standby or retired: whoever has signed certificates has to say which of them are revoked. */
static int check_issuer(const struct ca *ca, bool root_key_there, const struct sign_crl *wish,
                        int64_t now_s, const struct cert **ret, const struct private_key **ret_key,
                        struct error *err) {
        const struct cert *cert = find_issuer(ca, wish->issuer, ret_key);
        char until[MOMENT_TEXT_MAX];

        if (!cert)
                return error_set(err, ERR_CA_MISSING, "there is no issuer '%s'", wish->issuer);
        if (cert == &ca->root && (!*ret_key || !root_key_there))
                return error_set(err, ERR_STATE_CONFLICT, "the root's CRL cannot be signed: %s",
                                 ca->root_key_fault[0] && root_key_there
                                         ? ca->root_key_fault
                                         : "the root's key is not here. Put " CA_FOLDER
                                           "/root.key back and start cad again");
        if (cert->has_key_usage && !(cert->key_usage & KU_CRL_SIGN))
                return error_set(err, ERR_STATE_CONFLICT,
                                 "the certificate of %s does not allow it to sign CRLs (cRLSign)",
                                 wish->issuer);
        if (now_s > cert->validity.not_after)
                return error_set(err, ERR_CA_EXPIRED,
                                 "the issuer %s has expired at %s: its CRL ends with it",
                                 wish->issuer, moment_format(cert->validity.not_after, until));
        *ret = cert;
        return 0;
}

static int check_times(const struct sign_crl *wish, const struct cert *cert, int64_t now_s,
                       struct error *err) {
        char until[MOMENT_TEXT_MAX];

        if (wish->this_update < now_s - THIS_UPDATE_BACK_S ||
            wish->this_update > now_s + CLOCK_SKEW_S || wish->this_update < 0)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "this_update",
                                       "thisUpdate is to be of the last 24 hours, and not to come");
        if (wish->next_update <= wish->this_update || wish->next_update <= now_s)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "next_update",
                                       "nextUpdate is over already, or not after thisUpdate");
        if (wish->next_update - now_s > SIGNER_CRL_DAYS_MAX * DAY + CLOCK_SKEW_S)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "next_update",
                                       "nextUpdate is more than %d days off", SIGNER_CRL_DAYS_MAX);
        if (wish->next_update > cert->validity.not_after)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "next_update",
                                       "nextUpdate is after the end of the issuer %s, %s",
                                       wish->issuer,
                                       moment_format(cert->validity.not_after, until));
        return 0;
}

/* What is read twice has to be the same twice: so nobody may be able to write to it. */
static int check_entries(const struct sign_crl *wish, struct error *err) {
        size_t size;

        if (wish->entry_count < 0 || wish->entry_count > CRL_ENTRIES_MAX)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "a CRL of %lld entries was asked for: %u are the most",
                                 (long long) wish->entry_count, CRL_ENTRIES_MAX);
        if (wish->entries_fd < 0)
                return wish->entry_count ? error_set(err, ERR_REQUEST_MALFORMED,
                                                     "the entries of the CRL are missing")
                                         : 0;
        return memfd_check(wish->entries_fd, &size, err);
}

int crl_policy_check(const struct ca *ca, bool root_key_there, const struct sign_crl *wish,
                     int64_t now_s, struct crl_grant *ret, struct error *err) {
        const struct private_key *key = NULL;
        const struct cert *cert = NULL;
        struct bytes key_id;

        if (check_issuer(ca, root_key_there, wish, now_s, &cert, &key, err) < 0 ||
            check_times(wish, cert, now_s, err) < 0 || check_entries(wish, err) < 0)
                return -1;
        *ret = (struct crl_grant){ .key = key };
        (void) snprintf(ret->issuer, sizeof(ret->issuer), "%s", wish->issuer);
        key_id = cert->subject_key_id;
        if (key_id.size == 0) { /* a root that was there before */
                if (spki_key_id(cert->spki, ret->key_id) < 0)
                        return error_set(err, ERR_INTERNAL, "the issuer's key cannot be read");
                key_id = BYTES(ret->key_id, sizeof(ret->key_id));
        }
        ret->wish = (struct crl_wish){
                .issuer = cert->subject,
                .key_id = key_id,
                .number = wish->number,
                .this_update = wish->this_update,
                .next_update = wish->next_update,
                .entries_fd = wish->entries_fd,
                .entry_count = (size_t) wish->entry_count,
        };
        return 0;
}

int crl_make(const struct crl_grant *grant, size_t octets, size_t *ret_size, struct error *err) {
        CAD_AUTO(fd_close) int fd = memfd_new("crl", err);

        if (fd < 0 || crl_write(&grant->wish, octets, grant->key, fd, ret_size, err) < 0 ||
            memfd_seal(fd, err) < 0)
                return -1;
        return CAD_TAKE_FD(fd);
}
