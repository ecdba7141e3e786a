/*
 * Whom the examination trusts: the root that was named, or that of the known CA and those of the system.
 *
 * Nothing that the patient says comes in here, but the names by which roots are picked out of the system's many.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "client/files.h"
#include "client/http.h"
#include "client/output.h"
#include "client/system_roots.h"
#include "doctor.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"

static bool is_root(struct bytes der) {
        struct cert cert;

        return cert_read(der, &cert, /* err= */ NULL) == 0 && cert_is_self_signed(&cert);
}

/* Self-signed ones are trusted, the rest shows what is missing. */
static void share_out(struct doctor *doctor, const struct pile *pile) {
        for (size_t i = 0; i < pile->count; i++)
                (void) pile_add(is_root(pile->items[i]) ? &doctor->anchors : &doctor->known,
                                pile->items[i]);
}

/* ---- a root that is named ---- */

static enum result take_named(struct doctor *doctor, const char *path) {
        CAD_AUTO(pile_done) struct pile pile = { 0 };
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        if (pile_add_pem(&pile, buffer_bytes(&text)) == 0)
                return fail(WRONG_USAGE,
                            "--root %s: there is no certificate in it, neither PEM nor DER", path);
        doctor->root_given = true;
        /* a single one is trusted whatever it is: that is what was said */
        if (pile.count == 1)
                (void) pile_add(&doctor->anchors, pile.items[0]);
        else
                share_out(doctor, &pile);
        return doctor->anchors.count
                ? DONE
                : fail(WRONG_USAGE, "--root %s: there are certificates in it and no root", path);
}

/* ---- the known CA ---- */

static void take_ca(struct doctor *doctor) {
        const struct http_request request = { .method = "GET",
                                              .path = "/v1/ca/bundle.pem",
                                              .accept = "application/pem-certificate-chain" };
        CAD_AUTO(http_answer_done) struct http_answer answer = { 0 };
        time_t date;

        if (!http_there(doctor->c) || http_call(doctor->c, &request, &answer) != DONE ||
            answer.status != 200)
                return;
        doctor->ca_answers = pile_add_pem(&doctor->ca, buffer_bytes(&answer.body)) > 0;
        date = answer.date[0] ? curl_getdate(answer.date, /* now= */ NULL) : -1;
        if (date > 0 && !http_by_socket(doctor->c)) /* on this machine it has the same clock */
                doctor->ca_time = date;
}

/* ---- the system ---- */

static bool names_as_issuer(struct bytes name, const struct pile *pile) {
        struct cert cert;

        for (size_t i = 0; i < pile->count; i++)
                if (cert_read(pile->items[i], &cert, /* err= */ NULL) == 0 &&
                    bytes_equal(cert.issuer, name))
                        return true;
        return false;
}

/* Of the system's roots, those that somebody names as issuer. */
static void take_system(struct doctor *doctor) {
        CAD_AUTO(pile_done) struct pile pile = { 0 };
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        const char *named = getenv("SSL_CERT_FILE"); /* as OpenSSL and curl take it */
        struct cert cert;

        system_roots_read(named && *named ? named : NULL, &text);
        (void) pile_add_pem(&pile, buffer_bytes(&text));
        for (size_t i = 0; i < pile.count; i++) {
                if (cert_read(pile.items[i], &cert, /* err= */ NULL) < 0 ||
                    !(names_as_issuer(cert.subject, &doctor->sighting.chain) ||
                      names_as_issuer(cert.subject, &doctor->ca)))
                        continue;
                if (pile_has(&doctor->anchors, pile.items[i]))
                        doctor->anchor_in_system = true;
                else
                        (void) pile_add(&doctor->anchors, pile.items[i]);
        }
}

enum result doctor_find_trust(struct doctor *doctor) {
        const char *root = option_value(doctor->c, "root");
        enum result result = root ? take_named(doctor, root) : DONE;

        if (result != DONE)
                return result;
        take_ca(doctor);
        for (size_t i = 0; i < doctor->ca.count; i++) {
                bool anchor = is_root(doctor->ca.items[i]);

                if (!anchor)
                        (void) pile_add(&doctor->known, doctor->ca.items[i]);
                else if (!root)
                        (void) pile_add(&doctor->anchors, doctor->ca.items[i]);
        }
        if (!root)
                take_system(doctor);
        return DONE;
}

bool doctor_from_ca(const struct doctor *doctor) {
        struct bytes anchor = diagnosis_anchor(doctor->d);

        return anchor.size && pile_has(&doctor->ca, anchor);
}

bool doctor_ours(const struct doctor *doctor) {
        return diagnosis_anchor(doctor->d).size && (doctor->root_given || doctor_from_ca(doctor));
}
