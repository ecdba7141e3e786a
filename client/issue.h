/*
 * What `cactl issue` for one and for a list of devices share: cmd-issue.c and issue-list.c alone.
 */
#pragma once

#include <jansson.h>

#include "cactl.h"
#include "enroll/kept.h"
#include "files.h"
#include "issued.h"
#include "lib/base/moment.h"
#include "lib/pki/key.h"
#include "password.h"
#include "show.h"

#define BASE_MAX (KEPT_NAME_MAX - 1) /* bytes of a file name before "-key.pem" */

/** struct plan - what was asked for, decided from the command line (and a line of a list) alone */
struct plan {
        struct san_list names;
        const char *profile;
        const char *validity; /* NULL: the profile's */
        char validity_text[DURATION_TEXT_MAX];
        enum key_type key_type;
        unsigned key_bits;
        char base[BASE_MAX + 1];
        char certificate[FILE_NAME_MAX], key[FILE_NAME_MAX], p12[FILE_NAME_MAX];
        struct password password;
};

void plan_done(struct plan *plan);
CAD_CLEANUP_DONE(struct plan, plan_done)

/** plan_make() - all but the password. @base: of the file names; NULL: from the first name */
enum result plan_make(const struct client *c, const char *const *names, size_t count,
                      const char *base, struct plan *plan);

/** issue_take_root() - the CA's root, and whether root.pem has to be written; another CA's is not replaced by the way */
enum result issue_take_root(struct client *c, struct file_set *files, struct certs *ret_root,
                            bool *ret_write);

/** issue_make_key() - @ret_pem: appended, PKCS#8 */
enum result issue_make_key(const struct client *c, const struct plan *plan,
                           struct private_key **ret, struct buffer *ret_pem);

/**
 * issue_certificate() - ask for it and look at what comes: a certificate that is not what was asked for is none
 * @once: asked again for the same key and wish, it is the same certificate
 */
enum result issue_certificate(struct client *c, const struct plan *plan, const struct certs *root,
                              const struct private_key *key, bool once, json_t **ret_answer,
                              struct issued *ret);

int issue_stage_certificates(struct file_set *files, const struct plan *plan,
                             const struct issued *issued, struct error *err);
/** issue_stage_p12() - nothing where none is wanted */
int issue_stage_p12(const struct client *c, struct file_set *files, const struct plan *plan,
                    const struct issued *issued, struct bytes key_pem, struct error *err);
int issue_stage_root(struct file_set *files, const struct certs *root, struct error *err);

/** issue_list() - `cactl issue --list FILE` */
enum result issue_list(struct client *c);
