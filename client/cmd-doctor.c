/*
 * cactl doctor: why a browser, a phone or a program would refuse a server or a certificate, and the command that mends it.
 *
 * This file says in which order things are looked at. What is looked at is hostile; nothing that it shows is believed before it was
 * verified, and all of it is bounded in size and time. It changes nothing anywhere.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "cactl.h"
#include "doctor/doctor.h"
#include "files.h"
#include "http.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"
#include "lib/pki/credential.h"
#include "lib/pki/credential_parts.h"
#include "output.h"

#define PASSWORD_MAX 256

static const struct option doctor_options[] = {
        { "root", "FILE",
          "trust this root alone (default: the known CA's, and what the system trusts)" },
        { "purpose", "PURPOSE", "server (the default), client or both" },
        { "name", "NAME",
          "the name or address that clients ask for (default: that of the server)" },
        { "password-file", "FILE", "of an encrypted FILE (default: asked for)" },
        { "time", "WHEN", "as if it were this time here: 2027-01-31, a time, or 30d from now" },
        { 0 },
};

void doctor_unchecked(struct doctor *doctor, const char *format, ...) {
        char *text = NULL;
        va_list args;

        if (doctor->unchecked_count == UNCHECKED_MAX)
                return;
        va_start(args, format);
        if (vasprintf(&text, format, args) >= 0)
                doctor->unchecked[doctor->unchecked_count++] = text;
        va_end(args);
}

static struct doctor *doctor_free(struct doctor *doctor) {
        if (!doctor)
                return NULL;
        sighting_done(&doctor->sighting);
        pile_done(&doctor->anchors);
        pile_done(&doctor->known);
        pile_done(&doctor->ca);
        for (size_t i = 0; i < doctor->unchecked_count; i++)
                free(doctor->unchecked[i]);
        diagnosis_free(doctor->d);
        free(doctor);
        return NULL;
}
CAD_CLEANUP(struct doctor, doctor_free)

/* ---- the command line ---- */

static enum result read_purpose(struct doctor *doctor) {
        static const struct {
                const char *name;
                unsigned purpose;
        } purposes[] = {
                { "server", PURPOSE_SERVER },
                { "client", PURPOSE_CLIENT },
                { "both", PURPOSE_SERVER | PURPOSE_CLIENT },
        };
        const char *text = option_value(doctor->c, "purpose");

        doctor->purpose = PURPOSE_SERVER;
        for (size_t i = 0; text && i < ARRAY_SIZE(purposes); i++)
                if (text_equal(purposes[i].name, text)) {
                        doctor->purpose = purposes[i].purpose;
                        return DONE;
                }
        return text ? fail(WRONG_USAGE, "--purpose %s: it is server, client or both", text) : DONE;
}

static enum result read_options(struct doctor *doctor) {
        const char *when, *name = option_value(doctor->c, "name");
        char text[MOMENT_TEXT_MAX];
        struct error ignored = { 0 };
        enum result result = when_parse(doctor->c, "time", 1, text, &when);

        if (result == DONE)
                result = read_purpose(doctor);
        if (result == DONE)
                result = patient_read(doctor->c->args[0], &doctor->patient);
        if (result != DONE)
                return result;
        doctor->now = doctor->c->now;
        if (when)
                (void) moment_parse(when, &doctor->now, &ignored);
        if (!doctor->patient.file)
                doctor->name = doctor->patient.host;
        if (!name)
                return DONE;
        doctor->name = doctor->named.host;
        return patient_host("--name", name, &doctor->named);
}

/* ---- a file ---- */

static enum result get_password(const struct doctor *doctor, struct buffer *ret) {
        const char *path = option_value(doctor->c, "password-file");
        CAD_AUTO(buffer_done) struct buffer question = { 0 };
        char typed[PASSWORD_MAX] = "";
        struct error err = { 0 };
        int rc;

        if (path) {
                if (input_read(path, ret, &err) < 0)
                        return fail_error(&err);
                while (ret->size && strchr("\r\n", ret->data[ret->size - 1]))
                        ret->size--;
                return DONE;
        }
        if (!terminal_on(STDIN_FILENO))
                return fail(REFUSED, "%s is encrypted: give its password with --password-file FILE",
                            doctor->patient.file);
        buffer_format(&question, "Password of %s", doctor->patient.file);
        rc = ask_hidden(buffer_string(&question), typed, sizeof(typed));
        typed[strcspn(typed, "\r\n")] = '\0';
        buffer_text(ret, typed);
        explicit_bzero(typed, sizeof(typed));
        return rc < 0 ? fail(REFUSED, "no password was given") : DONE;
}

static bool has_key_of(const struct credential_parts *parts) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        struct cert cert;

        if (private_key_spki(parts->key, &spki, /* err= */ NULL) < 0)
                return true;
        for (size_t i = 0; i < parts->count; i++)
                if (cert_read(buffer_bytes(&parts->certs[i]), &cert, /* err= */ NULL) == 0 &&
                    bytes_equal(cert.spki, buffer_bytes(&spki)))
                        return true;
        return false;
}

/* PEM in the order of the file, as a server would send it, whatever the certificates are like; containers have no order. */
static void take_parts(struct doctor *doctor, struct bytes text,
                       const struct credential_parts *parts) {
        struct pile *chain = &doctor->sighting.chain;

        if (text.size && text.data[0] != DER_SEQUENCE)
                (void) pile_add_pem(chain, text);
        for (size_t i = 0; i < parts->count && (chain->count < parts->count); i++)
                if (!pile_has(chain, buffer_bytes(&parts->certs[i])))
                        (void) pile_add(chain, buffer_bytes(&parts->certs[i]));
        if (parts->key && parts->count && !has_key_of(parts))
                diagnosis_add(doctor->d, DIAGNOSIS_KEY_MISMATCH,
                              "the private key in %s is of none of the certificates in it",
                              doctor->patient.file);
}

/* A file may be a client's: it says so itself. */
static void guess_purpose(struct doctor *doctor) {
        const struct pile *chain = &doctor->sighting.chain;

        if (option_given(doctor->c, "purpose") || doctor->name)
                return;
        for (size_t i = 0; i < chain->count; i++)
                if (diagnosis_purposes(chain->items[i]) == PURPOSE_CLIENT)
                        doctor->purpose = PURPOSE_CLIENT;
}

static enum result read_file(struct doctor *doctor) {
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 }, password = { 0 };
        struct error err = { 0 };
        int rc;

        if (!parts)
                return fail(REFUSED, "out of memory");
        if (input_read(doctor->patient.file, &text, &err) < 0)
                return fail_error(&err);
        rc = credential_parts_add(parts, buffer_bytes(&text), BYTES_NONE, &err);
        if (rc < 0 && err.code == ERR_KEY_PASSPHRASE) {
                enum result result = get_password(doctor, &password);

                if (result != DONE)
                        return result;
                rc = credential_parts_add(parts, buffer_bytes(&text), buffer_bytes(&password),
                                          &err);
                if (rc < 0)
                        return fail(REFUSED, "%s: %s", doctor->patient.file, err.text);
        }
        take_parts(doctor, buffer_bytes(&text), parts);
        guess_purpose(doctor);
        if (rc < 0 && doctor->sighting.chain.count == 0)
                diagnosis_add(doctor->d, DIAGNOSIS_UNREADABLE, "%s: %s", doctor->patient.file,
                              err.text);
        return DONE;
}

/* ---- a server ---- */

static void judge_tls(struct doctor *doctor) {
        const struct sighting *s = &doctor->sighting;

        if (s->trouble != DIAGNOSIS_COUNT)
                diagnosis_add(doctor->d, s->trouble, "%s", s->trouble_text);
        if (s->protocol && s->version < GNUTLS_TLS1_2 && s->version != GNUTLS_VERSION_UNKNOWN)
                diagnosis_add(
                        doctor->d, DIAGNOSIS_TLS_OLD,
                        "%s is the newest that the server speaks; TLS 1.2 is the least since 2020",
                        s->protocol);
        else if (s->cipher == GNUTLS_CIPHER_3DES_CBC || s->cipher == GNUTLS_CIPHER_ARCFOUR_128)
                diagnosis_add(
                        doctor->d, DIAGNOSIS_TLS_OLD,
                        "of all ciphers the server chooses %s, which browsers have no more since 2021",
                        gnutls_cipher_get_name(s->cipher));
        if (s->wants_certificate)
                diagnosis_add(
                        doctor->d, DIAGNOSIS_CLIENT_CERTIFICATE,
                        "the server asks for a client certificate: whether it lets one in without, was not tried");
        if (!s->protocol && s->trouble != DIAGNOSIS_NOT_TLS)
                doctor_unchecked(
                        doctor,
                        "what it speaks, where that is SSL 3, an export cipher, or TLS with a key below GnuTLS's least: cactl speaks none of that");
}

static enum result look_at_server(struct doctor *doctor) {
        enum result result = sighting_make(&doctor->patient, doctor->name, &doctor->sighting);

        if (result == DONE)
                judge_tls(doctor);
        return result;
}

/* ---- all of it ---- */

static enum result examine(struct doctor *doctor) {
        struct diagnosis_case one = { .name = doctor->name,
                                      .purpose = doctor->purpose,
                                      .now = doctor->now };
        struct error err = { 0 };
        enum result result = doctor_find_trust(doctor);

        if (result != DONE)
                return result;
        one.chain = doctor->sighting.chain.items;
        one.chain_count = doctor->sighting.chain.count;
        one.anchors = doctor->anchors.items;
        one.anchor_count = doctor->anchors.count;
        one.known = doctor->known.items;
        one.known_count = doctor->known.count;
        /* where nothing was shown at all, why not has been found already */
        if ((one.chain_count || diagnosis_verdict(doctor->d) != DIAGNOSIS_REFUSED) &&
            diagnose(doctor->d, &one, &err) < 0)
                return fail_error(&err);
        if (doctor_from_ca(doctor) && !doctor->root_given && !doctor->anchor_in_system)
                diagnosis_add(
                        doctor->d, DIAGNOSIS_ROOT_NOT_INSTALLED,
                        "the root is that of your CA, and programs on this machine do not trust it yet");
        if (diagnosis_leaf(doctor->d).size) {
                doctor_ask_ca(doctor);
                doctor_ask_crl(doctor);
                doctor_compare_clocks(doctor);
        }
        return DONE;
}

static enum result doctor_run(struct client *c) {
        CAD_AUTO(doctor_free) struct doctor *doctor = calloc(1, sizeof(*doctor));
        enum result result;

        if (!doctor || !(doctor->d = diagnosis_new()))
                return fail(REFUSED, "out of memory");
        doctor->c = c;
        c->limit_ms = ASK_LIMIT_MS;
        result = read_options(doctor);
        if (result == DONE)
                result = doctor->patient.file ? read_file(doctor) : look_at_server(doctor);
        if (result == DONE)
                result = examine(doctor);
        if (result != DONE)
                return result;
        if (c->json)
                doctor_report_json(doctor);
        else
                doctor_report(doctor);
        return diagnosis_verdict(doctor->d) <= DIAGNOSIS_SOME ? REFUSED : DONE;
}

const struct command cmd_doctor = {
        .name = "doctor",
        .args = "URL|HOST:PORT|FILE",
        .args_min = 1,
        .args_max = 1,
        .help = "Why a browser, a phone or a program would refuse it",
        .more = "Looks at the certificates that a TLS server shows or that are in a file (PEM, DER, PKCS#7, PKCS#12), says in words "
                "what is wrong, who refuses it, and the command that mends it. Ends with 0 where nothing would refuse it, 1 where "
                "something would, 3 where the server is not reached. It needs no CA; one that answers is asked.",
        .options = doctor_options,
        .run = doctor_run,
};
