/*
 * The signer's own log: one line a signature, written before the answer leaves, which a captured cad cannot rewrite.
 *
 *      2026-11-21T18:00:00Z issue serial=01… issuer=int-1 profile=server key=SHA256-of-SPKI until=… names=nas.lan,192.168.1.10
 *
 *      2026-11-21T18:01:00Z audit number=12 hash=SHA-256 of the audit's chain up to this row
 *      2026-11-21T18:02:00Z crl issuer=int-1 number=1795284120 entries=3 this-update=… next-update=…
 *      2026-11-21T18:03:00Z intermediate serial=01… issuer=root id=int-3 key=SHA256-of-SPKI until=…
 *      2026-11-21T18:04:00Z activate id=int-2 retires=int-1
 *
 * Words are separated by single spaces, names by commas; a comma, a space or a backslash inside a name is written as \2c, \20 or \5c. Names
 * that do not fit the line end it as a number: names=a.lan,b.lan,+98.
 */
#pragma once

#include <stdint.h>

#include "daemon/signer/crl_numbers.h"
#include "daemon/signer/rate.h"
#include "lib/audit/verify.h"
#include "lib/base/error.h"
#include "lib/pki/cert.h"
#include "lib/pki/crl.h"

#define SIGNLOG_FILE "log"
#define SIGNLOG_BYTES_MAX (16 * 1024 * 1024) /* then it is put aside */
#define SIGNLOG_KEPT \
        32 /* log.1 (newest) … log.32: half a GiB, so that nobody rolls his traces out quickly */
#define SIGNLOG_LINE_MAX \
        2048 /* bytes of a line, enough for any one name; names beyond it are counted, not listed */

struct signlog; /* opaque; the caller locks */

/**
 * signlog_open() - open for appending; a last line that a power cut left half is ended
 * @rate: the signatures of the last hour are counted into it: all of them where it has a limit, files put aside included
 * @ret_last_s: time of the newest line, 0 where there is none
 */
int signlog_open(int dir_fd, int64_t now_s, struct rate *rate, struct signlog **ret,
                 int64_t *ret_last_s, struct error *err);
struct signlog *signlog_free(struct signlog *log);

/** signlog_issue() - write one line. On failure the line is taken back. @err: ERR_IO, ERR_STORE_FULL */
int signlog_issue(struct signlog *log, int64_t now_s, const char *issuer,
                  const struct cert_wish *wish, struct error *err);

/** signlog_audit() - one line with an anchor of the audit; @err: as signlog_issue() */
int signlog_audit(struct signlog *log, const struct audit_anchor *anchor, struct error *err);

/** signlog_crl() - one line with a CRL whose number is set and whose entries were measured; @err: as signlog_issue() */
int signlog_crl(struct signlog *log, int64_t now_s, const char *issuer, const struct crl_wish *wish,
                struct error *err);

/** signlog_change() - one line about an intermediate, as in the format above, without the time; @err: as signlog_issue() */
int signlog_change(struct signlog *log, int64_t now_s, const char *what, struct error *err);

/** struct signlog_seen - what the lines that were read at start tell of */
struct signlog_seen {
        bool issued;             /* a leaf that is not the CA's own (profile_is_own()) */
        struct crl_numbers crls; /* the highest number of each issuer's CRLs */
        struct rate crl_rate;    /* CRLs in the last hour */
};

/** signlog_seen() - lives as long as @log */
const struct signlog_seen *signlog_seen(const struct signlog *log);

/** signlog_issued() - whether what was read at start tells of a leaf for others, as an anchor and the CA's own do not */
bool signlog_issued(const struct signlog *log);

/** signlog_sync() - fsync what was written since the last time; once a second, by the thread that rotates, without the lock
 *  of signlog_issue() held for the fsync */
int signlog_sync(struct signlog *log, struct error *err);

/** signlog_rotate_due() - whether the file is full */
bool signlog_rotate_due(const struct signlog *log);

/** signlog_rotate() - put the file aside and begin a new one; the caller holds the lock */
int signlog_rotate(struct signlog *log, struct error *err);

/** signlog_clock_accepted() - note in the log, where there is one, that the clock was taken as right by hand: its newest line, which
 *  the mark is held against at start, is then of @now_s */
int signlog_clock_accepted(int dir_fd, int64_t now_s, struct error *err);

#define SIGNLOG_CA_REPLACED "ca-replaced"

/** signlog_ca_replaced() - note in the log that from here on it is another CA's: what was anchored before is of no chain any more */
int signlog_ca_replaced(int dir_fd, int64_t now_s, struct error *err);

/** signlog_tells_of_issue() - whether the log, where there is one, tells of a leaf; files put aside are not looked at */
int signlog_tells_of_issue(int dir_fd, bool *ret, struct error *err);
