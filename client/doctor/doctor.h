/*
 * cactl doctor, inside: who is examined, what was seen of it, and who is asked besides.
 */
#pragma once

#include <gnutls/gnutls.h>

#include "client/cactl.h"
#include "lib/pki/diagnosis.h"
#include "pile.h"

#define PATIENT_HOST_MAX 256    /* bytes with NUL */
#define HANDSHAKE_LIMIT_MS 4000 /* for resolving, connecting and shaking hands, together */
#define ASK_LIMIT_MS 1500       /* for each thing that is asked of the CA, or of a CRL's place */
#define DATE_LIMIT_MS 1000      /* for the server's time */
#define UNCHECKED_MAX 8

/* ---- what the command line names ---- */

/** struct patient - a server or a file; views are of the command line */
struct patient {
        const char *text;            /* as it was given */
        const char *file;            /* NULL: a server */
        char host[PATIENT_HOST_MAX]; /* without brackets, A-labels, lower case */
        char port[6];
};

/**
 * patient_read() - URL, HOST:PORT, HOST or FILE
 *
 * A file that is there is one. Else a URL (https, and a few other schemes that begin with TLS), HOST:PORT, or a bare name, for port 443;
 * what ends like a file of certificates (.pem, .crt, …) or has a slash in it is no server.
 * Return: DONE, or a result after saying what is wrong
 */
enum result patient_read(const char *text, struct patient *ret);

/** patient_host() - a name or address as people type it becomes @ret's host. @text: what it stands in, for the complaint */
enum result patient_host(const char *text, const char *host, struct patient *ret);

/* ---- what a server shows ---- */

/** struct sighting - zero-initialised is empty */
struct sighting {
        struct pile chain;
        enum diagnosis_code trouble; /* DIAGNOSIS_COUNT: none */
        char trouble_text[ERROR_TEXT_MAX];
        char address[64];     /* that was connected to */
        const char *protocol; /* static; NULL: no handshake came so far */
        gnutls_protocol_t version;
        gnutls_cipher_algorithm_t cipher;
        bool wants_certificate; /* of the client */
        bool handshake_done;
        bool left;      /* before something was computed that would take too long */
        char first[24]; /* octets of what it said, for a finding */
        size_t first_count;
        int fd;
        gnutls_session_t session;
        gnutls_certificate_credentials_t credentials;
};

void sighting_done(struct sighting *sighting);
CAD_CLEANUP_DONE(struct sighting, sighting_done)

/**
 * sighting_make() - connect and shake hands, judging nothing
 * @name: sent as SNI where it is no address
 * Return: DONE with what was seen, trouble included; UNREACHABLE after saying why nothing was
 */
enum result sighting_make(const struct patient *patient, const char *name, struct sighting *ret);

/** sighting_date() - the Date of an answer to HEAD / over the same connection. Return: 0, or -1 where none came in time */
int sighting_date(struct sighting *sighting, const struct patient *patient, int64_t *ret);

/* ---- one examination ---- */

/** struct doctor - all of one run */
struct doctor {
        struct client *c;
        struct patient patient;
        struct patient named; /* --name, as a host */
        const char *name;     /* that has to be covered; NULL: any */
        unsigned purpose;     /* PURPOSE_ bits */
        int64_t now;
        struct sighting sighting;
        struct pile anchors, known;
        struct pile ca;                 /* root and intermediates that the known CA gave */
        bool root_given;                /* --root: nothing else is trusted */
        bool ca_answers;                /* cad was reached */
        bool anchor_in_system;          /* the system trusts the root, too */
        int64_t ca_time;                /* of a CA on another machine; 0: none */
        char *unchecked[UNCHECKED_MAX]; /* sentences */
        size_t unchecked_count;
        struct diagnosis *d;
};

/** doctor_unchecked() - note what could not be looked at */
void doctor_unchecked(struct doctor *doctor, const char *format, ...) CAD_PRINTF(2, 3);

/** doctor_find_trust() - fill anchors and known: --root, else the known CA and what the system trusts. Return: DONE, or a result after saying what is wrong */
enum result doctor_find_trust(struct doctor *doctor);

/** doctor_ours() - whether the chain leads to a root that is the user's own: --root, or the known CA's */
bool doctor_ours(const struct doctor *doctor);

/** doctor_from_ca() - whether it leads to the root of the cad that answers */
bool doctor_from_ca(const struct doctor *doctor);

/** doctor_ask_ca() - status of the certificate and other certificates with its key, by the CA's word and by its CRL; adds findings */
void doctor_ask_ca(struct doctor *doctor);

/** doctor_ask_crl() - look into the CRL that the certificate names; only where doctor_ours(). Adds findings */
void doctor_ask_crl(struct doctor *doctor);

/** doctor_compare_clocks() - where times are wrong: whose clock is. Adds findings */
void doctor_compare_clocks(struct doctor *doctor);

/** doctor_report(), doctor_report_json() - tell it all */
void doctor_report(struct doctor *doctor);
void doctor_report_json(struct doctor *doctor);
