/*
 * Own certificate: what cad's HTTPS listeners show. Issued by this CA to itself for the names that this host has, kept in
 * STATE/https.pem, and renewed in good time or when the names change, without a restart.
 *
 *      own_certificate_pulse()   main thread, once a second: is a new one due? then ask the authority, and put in place what came
 *      on_issued()               any thread: only puts it where the pulse finds it
 *
 * The key lies in a file of mode 0600 in a folder of mode 0700, not in memory alone: so a restart needs neither the signer nor a
 * right clock to serve HTTPS (threats.md R-23), nor does it make a certificate each time. It is one file, replaced as a whole: key
 * and certificate always fit. It is no CA key, lives 90 days, and whoever reads it can be this cad to others, no more.
 */
#pragma once

#include "daemon/authority/authority.h"
#include "daemon/authority/health.h"
#include "daemon/http/identity.h"
#include "daemon/own_names.h"

#define OWN_CERTIFICATE_FILE "https.pem"
#define OWN_CERTIFICATE_VALIDITY_S (90 * INT64_C(86400))

struct own_certificate; /* opaque */

/** struct own_certificate_plan - what it is made from; all must outlive it */
struct own_certificate_plan {
        struct authority *authority;
        struct own_names *names;
        int state_fd;
        int64_t validity_s; /* 0: OWN_CERTIFICATE_VALIDITY_S */
        /** changed - there is another identity now, which is taken; on the thread of the pulse */
        void (*changed)(void *context, struct tls_identity *identity);
        void *context;
};

/** own_certificate_new() - take what is in the file, where that is of use. A bad file is logged and replaced. @err: ERR_NO_MEMORY */
int own_certificate_new(const struct own_certificate_plan *plan, struct own_certificate **ret,
                        struct error *err);

/** own_certificate_free() - after the authority, which may still call back while it is freed. Return: NULL */
struct own_certificate *own_certificate_free(struct own_certificate *own);
CAD_CLEANUP(struct own_certificate, own_certificate_free)

/** own_certificate_pulse() - do what is due. @now_ms: monotonic */
void own_certificate_pulse(struct own_certificate *own, int64_t now, int64_t now_ms);

/** own_certificate_wait() - at start: pulse until there is one that is good, or asking has failed, or the time is up */
void own_certificate_wait(struct own_certificate *own, int64_t timeout_ms);

/** own_certificate_reload() - on SIGHUP: read the file again (it may be gone), look at the names again, try what has failed again */
void own_certificate_reload(struct own_certificate *own, int64_t validity_s);

/** own_certificate_identity() - a reference to what is to be shown; NULL: there is nothing yet. On the thread of the pulse */
struct tls_identity *own_certificate_identity(struct own_certificate *own);

/** own_certificate_not_after() - when the one that is shown ends; 0: there is none; from any thread */
int64_t own_certificate_not_after(struct own_certificate *own);

/** own_certificate_health() - until when it is good, for which names, and which could not be had; from any thread */
enum health_state own_certificate_health(struct own_certificate *own, int64_t now,
                                         struct buffer *detail);
