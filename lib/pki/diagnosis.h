/*
 * Diagnosis: why a browser, a phone or a program would refuse a certificate, in words.
 *
 * A chain as it was shown goes in, with the roots that count as trusted, a name, a purpose and a time; findings come out, the
 * gravest first. What the network adds (a revocation, a clock, an old TLS) its caller adds, out of the same table of codes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define DIAGNOSIS_CHAIN_MAX 16u         /* certificates of a chain that are looked at */
#define DIAGNOSIS_OTHERS_MAX 64u        /* roots, and CA certificates that are known besides */
#define DIAGNOSIS_CERT_MAX (64u * 1024) /* octets of a certificate that is looked at */
#define DIAGNOSIS_CHAIN_OCTETS_MAX (32u * 1024) /* of all; Java takes no more in a handshake */
#define DIAGNOSIS_FINDINGS_MAX 32u              /* the rest is left out */
#define DIAGNOSIS_LABEL_MAX 160                 /* bytes with NUL of what a certificate is called */

enum diagnosis_severity {
        DIAGNOSIS_REFUSED, /* by about everything */
        DIAGNOSIS_SOME,    /* by some */
        DIAGNOSIS_WARNING, /* it works today, and something is wrong */
        DIAGNOSIS_NOTE,    /* harmless */
        DIAGNOSIS_SEVERITY_COUNT,
};

/* Who looks at certificates, as far as they differ. */
enum diagnosis_device {
        DEVICE_CHROME,
        DEVICE_FIREFOX,
        DEVICE_APPLE,
        DEVICE_APPS,
        DEVICE_JAVA,
        DEVICE_LINUX,
        DEVICE_OLD,
        DEVICE_COUNT,
};
#define DEVICE_BIT(device) (1u << (device))
#define DEVICES_ALL (DEVICE_BIT(DEVICE_COUNT) - 1)

/* Within a severity they are told in this order. */
enum diagnosis_code {
        DIAGNOSIS_NOT_TLS,
        DIAGNOSIS_TLS_STALLED,
        DIAGNOSIS_TLS_OVERSIZED,
        DIAGNOSIS_TLS_FAILED,
        DIAGNOSIS_NO_CERTIFICATE,
        DIAGNOSIS_UNREADABLE,
        DIAGNOSIS_REVOKED,
        DIAGNOSIS_ON_HOLD,
        DIAGNOSIS_CLOCK_HERE,
        DIAGNOSIS_CLOCK_SERVER,
        DIAGNOSIS_CLOCK_UNCLEAR,
        DIAGNOSIS_EXPIRED,
        DIAGNOSIS_NOT_YET_VALID,
        DIAGNOSIS_ISSUER_EXPIRED,
        DIAGNOSIS_ISSUER_NOT_YET_VALID,
        DIAGNOSIS_KEY_MISMATCH,
        DIAGNOSIS_LEAF_NOT_FIRST,
        DIAGNOSIS_SELF_SIGNED,
        DIAGNOSIS_SIGNATURE_WRONG,
        DIAGNOSIS_INTERMEDIATE_MISSING,
        DIAGNOSIS_ISSUER_UNKNOWN,
        DIAGNOSIS_ROOT_UNTRUSTED,
        DIAGNOSIS_ISSUER_NOT_CA,
        DIAGNOSIS_ISSUER_KEY_USAGE,
        DIAGNOSIS_ISSUER_PURPOSE,
        DIAGNOSIS_PATH_LENGTH,
        DIAGNOSIS_NAME_CONSTRAINTS,
        DIAGNOSIS_NO_NAMES,
        DIAGNOSIS_NAME_ONLY_CN,
        DIAGNOSIS_IP_AS_DNS,
        DIAGNOSIS_NAME_MISMATCH,
        DIAGNOSIS_SERVER_PURPOSE,
        DIAGNOSIS_CLIENT_PURPOSE,
        DIAGNOSIS_KEY_USAGE,
        DIAGNOSIS_KEY_WEAK,
        DIAGNOSIS_KEY_TYPE,
        DIAGNOSIS_KEY_OVERSIZED,
        DIAGNOSIS_SIGNATURE_MD5,
        DIAGNOSIS_SIGNATURE_SHA1,
        DIAGNOSIS_SIGNATURE_TYPE,
        DIAGNOSIS_UNKNOWN_CRITICAL,
        DIAGNOSIS_CHAIN_REFUSED,
        DIAGNOSIS_TLS_OLD,
        DIAGNOSIS_LEAF_IS_CA,
        DIAGNOSIS_LIFE_TOO_LONG,
        DIAGNOSIS_PURPOSE_MISSING,
        DIAGNOSIS_CHAIN_ORDER,
        DIAGNOSIS_CHAIN_LONG,
        DIAGNOSIS_CHAIN_OVERSIZED,
        DIAGNOSIS_NOT_IN_CA,
        DIAGNOSIS_KEY_SHARED,
        DIAGNOSIS_KEY_UNSAFE,
        DIAGNOSIS_LOOSE,
        DIAGNOSIS_EXPIRES_SOON,
        DIAGNOSIS_ROOT_NOT_INSTALLED,
        DIAGNOSIS_CLIENT_CERTIFICATE,
        DIAGNOSIS_ROOT_SENT,
        DIAGNOSIS_CHAIN_STRAY,
        DIAGNOSIS_COUNT,
};

/** diagnosis_slug() - "name-mismatch": stable, for programs */
const char *diagnosis_slug(enum diagnosis_code code);

/** diagnosis_title() - "it is for another name": a few words for people */
const char *diagnosis_title(enum diagnosis_code code);

/** diagnosis_code_severity() - how grave a code is */
enum diagnosis_severity diagnosis_code_severity(enum diagnosis_code code);

/** diagnosis_severity_name() - "refused", "some-refuse", "warning", "note" */
const char *diagnosis_severity_name(enum diagnosis_severity severity);

/** diagnosis_device_name() - "Chrome, Edge, browsers on Android", … */
const char *diagnosis_device_name(enum diagnosis_device device);

/** struct diagnosis_finding - one thing that is wrong */
struct diagnosis_finding {
        enum diagnosis_code code;
        unsigned
                devices; /* DEVICE_BIT() of who refuses it; 0: nobody, or others than these: see @who */
        const char *who;           /* static; in the place of @devices where that is not NULL */
        char text[ERROR_TEXT_MAX]; /* a sentence with the value, printable */
};

struct diagnosis; /* opaque */

/** diagnosis_new() - without findings. NULL: out of memory */
struct diagnosis *diagnosis_new(void);
struct diagnosis *diagnosis_free(struct diagnosis *d);
CAD_CLEANUP(struct diagnosis, diagnosis_free)

/** diagnosis_add() - add a finding in its place; one with the same code and text is there once. More than DIAGNOSIS_FINDINGS_MAX: the least grave goes */
void diagnosis_add(struct diagnosis *d, enum diagnosis_code code, const char *format, ...)
        CAD_PRINTF(3, 4);

/** diagnosis_add_for() - the same, refused by these devices in the place of the table's */
void diagnosis_add_for(struct diagnosis *d, enum diagnosis_code code, unsigned devices,
                       const char *format, ...) CAD_PRINTF(4, 5);

size_t diagnosis_count(const struct diagnosis *d);

/** diagnosis_finding() - the @i-th, the gravest first; lent */
const struct diagnosis_finding *diagnosis_finding(const struct diagnosis *d, size_t i);

/** diagnosis_has() - whether there is a finding with this code */
bool diagnosis_has(const struct diagnosis *d, enum diagnosis_code code);

/** diagnosis_verdict() - the gravest severity; DIAGNOSIS_SEVERITY_COUNT where there is no finding */
enum diagnosis_severity diagnosis_verdict(const struct diagnosis *d);

/* What the certificate is to be good for; server and client are both for "both". */
#define PURPOSE_SERVER (1u << 0)
#define PURPOSE_CLIENT (1u << 1)

/** struct diagnosis_case - what is looked at; DER, owned by the caller, who keeps it as long as the diagnosis */
struct diagnosis_case {
        const struct bytes *chain; /* as it was shown: the first is the one that counts */
        size_t chain_count;
        const struct bytes *
                anchors; /* roots that are trusted; above DIAGNOSIS_OTHERS_MAX they are passed over */
        size_t anchor_count;
        const struct bytes *known; /* CA certificates that say what is missing; the same maximum */
        size_t known_count;
        const char *name; /* DNS name (A-labels) or address that was asked for; NULL: any */
        unsigned purpose; /* PURPOSE_ bits */
        int64_t now;      /* seconds since the epoch */
};

/**
 * diagnose() - look at a chain
 *
 * Signatures are GnuTLS's to check, and GnuTLS verifies the whole chain at the end: what it refuses and nothing here has said
 * becomes a finding of its own. Work is bounded for whatever is in it: certificates, octets, signatures, sizes of keys.
 * @d: findings are added
 * @err: ERR_NO_MEMORY, ERR_CRYPTO. Nothing that is wrong with the chain is an error.
 */
int diagnose(struct diagnosis *d, const struct diagnosis_case *c, struct error *err);

/** diagnosis_leaf() - the certificate that counts: DER out of the case, empty where there was none to be read */
struct bytes diagnosis_leaf(const struct diagnosis *d);

/** diagnosis_issuer() - whose signature on it was verified; empty where none was found */
struct bytes diagnosis_issuer(const struct diagnosis *d);

/** diagnosis_anchor() - the trusted root that the chain leads to; empty where it leads to none */
struct bytes diagnosis_anchor(const struct diagnosis *d);

/** diagnosis_purposes() - for what a certificate says that it is: PURPOSE_ bits of its extended key usage; 0: none of them, or no word of it */
unsigned diagnosis_purposes(struct bytes der);

/** diagnosis_is_heavy() - whether computing with the key of a certificate could take minutes or years; true for one that cannot be read */
bool diagnosis_is_heavy(struct bytes der);

/** diagnosis_label() - what people call a certificate: common name, else the whole subject, else its first name. @out has
 *  DIAGNOSIS_LABEL_MAX bytes. Return: @out */
const char *diagnosis_label(struct bytes der, char *out);
