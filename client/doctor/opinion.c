/*
 * Second opinions: what the CA itself says of a certificate, and its CRL.
 *
 * Nothing is fetched from a place that a stranger names: only certificates that lead to the user's own root say where their CRL is.
 * All of it is bounded in size and time, and none of it has to be there.
 */
#include <curl/curl.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include "client/api.h"
#include "client/http.h"
#include "client/output.h"
#include "doctor.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"
#include "lib/pki/crl.h"

#define CRL_OCTETS_MAX (16u * 1024 * 1024) /* half a million entries */
#define CRL_URL_MAX 1024
#define SAME_KEY_LIMIT "20" /* certificates with one key that are looked at */

/* ---- the CA's word ---- */

/* Return: status of the answer, 0 where there was none */
static long ask(struct doctor *doctor, const char *path, json_t **ret) {
        const struct http_request request = { .method = "GET",
                                              .path = path,
                                              .accept = "application/json" };
        CAD_AUTO(http_answer_done) struct http_answer answer = { 0 };

        if (http_call(doctor->c, &request, &answer) != DONE)
                return 0;
        *ret = json_loadb((const char *) answer.body.data, answer.body.size, JSON_REJECT_DUPLICATES,
                          /* error= */ NULL);
        return answer.status;
}

static void tell_revoked(struct doctor *doctor, const char *serial, const char *since,
                         const char *reason, const char *by) {
        bool held = text_equal(reason, "certificate_hold");

        diagnosis_add(doctor->d, held ? DIAGNOSIS_ON_HOLD : DIAGNOSIS_REVOKED,
                      "certificate %s %s since %s (%s), says %s", serial,
                      held ? "is on hold" : "is revoked", since, *reason ? reason : "unspecified",
                      by);
}

static void ask_status(struct doctor *doctor, const char *serial) {
        CAD_AUTO(json_free) json_t *row = NULL;
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        long status;

        buffer_format(&path, "/v1/certificates/%s", serial);
        status = ask(doctor, buffer_string(&path), &row);
        if (status == 200 && *api_text(row, "revoked_at")) /* held is that, too */
                tell_revoked(doctor, serial, api_text(row, "revoked_at"), api_text(row, "reason"),
                             "the CA");
        else if (status == 404)
                diagnosis_add(
                        doctor->d, DIAGNOSIS_NOT_IN_CA,
                        "certificate %s is signed with a key of this CA, and the CA does not know it: was it made before a restore, or with a stolen key?",
                        serial);
        else if (status == 0)
                doctor_unchecked(doctor,
                                 "whether it is revoked, by the CA's own word: it did not answer");
        else if (status != 200)
                doctor_unchecked(doctor,
                                 "whether it is revoked, by the CA's own word: it answered %ld",
                                 status);
}

static bool names_contain(const json_t *names, const char *name) {
        const json_t *one;
        size_t i;

        json_array_foreach(names, i, one) if (text_equal(json_string_value(one), name)) return true;
        return false;
}

/* A renewal keeps names and key: that is as it should be. */
static bool same_names(const json_t *a, const json_t *b) {
        const json_t *one;
        size_t i;

        if (json_array_size(a) != json_array_size(b))
                return false;
        json_array_foreach(a, i, one) if (!names_contain(b, json_string_value(one))) return false;
        return true;
}

static const json_t *find_row(const json_t *rows, const char *serial) {
        const json_t *row;
        size_t i;

        json_array_foreach(rows, i,
                           row) if (text_equal(api_text(row, "serial"), serial)) return row;
        return NULL;
}

static void tell_shared(struct doctor *doctor, const json_t *rows, const char *serial) {
        const json_t *row, *own = find_row(rows, serial);
        size_t i;

        json_array_foreach(rows, i, row) {
                CAD_AUTO(buffer_done) struct buffer names = { 0 };

                if (row == own ||
                    (own &&
                     same_names(json_object_get(row, "names"), json_object_get(own, "names"))))
                        continue;
                diagnosis_add(
                        doctor->d, DIAGNOSIS_KEY_SHARED,
                        "its key is also that of certificate %s for %s: who breaks into one has both",
                        api_text(row, "serial"), api_texts(row, "names", &names));
        }
}

static void ask_key(struct doctor *doctor, const struct cert *leaf, const char *serial) {
        CAD_AUTO(json_free) json_t *page = NULL;
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        char hex[2 * SHA256_SIZE + 1];
        uint8_t digest[SHA256_SIZE];
        long status;

        sha256(leaf->spki, digest);
        buffer_format(&path, "/v1/certificates?status=valid&limit=" SAME_KEY_LIMIT "&spki=%s",
                      hex_encode(BYTES(digest, sizeof(digest)), hex));
        status = ask(doctor, buffer_string(&path), &page);
        if (status == 200)
                tell_shared(doctor, json_object_get(page, "certificates"), serial);
        else if (status == 401 || status == 403)
                doctor_unchecked(
                        doctor,
                        "whether another certificate has the same key: the CA tells that to readers, operators and admins alone");
}

void doctor_ask_ca(struct doctor *doctor) {
        char serial[2 * SERIAL_MAX + 1];
        struct cert leaf;

        if (!doctor->ca_answers) {
                doctor_unchecked(doctor, "what the CA itself says: none was found to ask");
                return;
        }
        /* the CA's list has what it issued, and not its own root and intermediates */
        if (!doctor_from_ca(doctor) || pile_has(&doctor->ca, diagnosis_leaf(doctor->d)) ||
            cert_read(diagnosis_leaf(doctor->d), &leaf, /* err= */ NULL) < 0 ||
            leaf.serial.size > SERIAL_MAX)
                return;
        (void) hex_encode(leaf.serial, serial);
        ask_status(doctor, serial);
        ask_key(doctor, &leaf, serial);
}

/* ---- the CRL ---- */

static bool crl_place(struct bytes der, char *out, size_t size) {
        gnutls_datum_t datum = { (unsigned char *) (uintptr_t) der.data, (unsigned) der.size };
        gnutls_x509_crt_t crt = NULL;
        bool found = false;

        if (gnutls_x509_crt_init(&crt) < 0)
                return false;
        if (gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER) == 0) {
                size_t used = size - 1;

                memset(out, 0, size);
                found = gnutls_x509_crt_get_crl_dist_points(crt, 0, out, &used, /* reasons= */ NULL,
                                                            /* critical= */ NULL) >= 0 &&
                        strncasecmp(out, "http://", 7) == 0;
        }
        gnutls_x509_crt_deinit(crt);
        return found;
}

static size_t take_crl(char *data, size_t one, size_t size, void *context) {
        struct buffer *crl = context;

        (void) one;
        if (size > CRL_OCTETS_MAX - crl->size)
                return 0;
        buffer_append(crl, BYTES(data, size));
        return crl->failed ? 0 : size;
}

/* Return: NULL, or why not */
static const char *fetch(const char *url, struct buffer *ret) {
        CURL *curl = curl_easy_init();
        CURLcode code = CURLE_FAILED_INIT;
        long status = 0;

        if (!curl)
                return "libcurl cannot be used";
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) ASK_LIMIT_MS);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "cactl/" CAD_VERSION);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_crl);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
        code = curl_easy_perform(curl);
        (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(curl);
        if (code == CURLE_WRITE_ERROR)
                return "it has more than 16 MiB";
        if (code != CURLE_OK)
                return curl_easy_strerror(code);
        return status == 200 ? NULL : "it is not there";
}

static int check_crl(const struct crl *crl, const struct cert *issuer, struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;

        if (!bytes_equal(crl->issuer, issuer->subject))
                return error_set(err, ERR_SIGNER_WRONG, "it is another CA's");
        if (public_key_from_spki(issuer->spki, RSA_BITS_MAX, &key, err) < 0)
                return -1;
        return public_key_verify(key, crl->algorithm, crl->tbs, crl->signature, err);
}

/* CRLReason (RFC 5280 §5.3.1) by the names of the API. */
static const char *reason_name(unsigned reason) {
        static const char *const names[] = {
                [0] = "unspecified",      [1] = "key_compromise",
                [2] = "ca_compromise",    [3] = "affiliation_changed",
                [4] = "superseded",       [5] = "cessation_of_operation",
                [6] = "certificate_hold", [9] = "privilege_withdrawn",
                [10] = "aa_compromise",
        };

        return reason < ARRAY_SIZE(names) && names[reason] ? names[reason] : "unspecified";
}

static void look_up(struct doctor *doctor, const struct crl *crl, struct bytes serial) {
        struct der_reader entries = crl_entries_reader(crl);
        char text[2 * SERIAL_MAX + 1], since[MOMENT_TEXT_MAX];
        struct crl_entry entry;

        while (crl_next_entry(&entries, &entry)) {
                if (!bytes_equal(BYTES(entry.serial, entry.serial_size), serial))
                        continue;
                tell_revoked(doctor, hex_encode(serial, text),
                             moment_format(entry.revoked_at < 0 ? 0 : entry.revoked_at, since),
                             reason_name(entry.reason), "the CRL");
                return;
        }
}

static void use_crl(struct doctor *doctor, const char *url, struct bytes der,
                    const struct cert *leaf, const struct cert *issuer) {
        struct error err = { 0 };
        char text[MOMENT_TEXT_MAX];
        struct crl crl;

        if (crl_read(der, &crl, &err) < 0 || check_crl(&crl, issuer, &err) < 0) {
                doctor_unchecked(doctor, "the CRL at %s: %s", url, err.text);
                return;
        }
        if (crl.next_update < doctor->now && crl.next_update > 0)
                doctor_unchecked(doctor, "the CRL at %s: it is out of date since %s", url,
                                 moment_format(crl.next_update, text));
        look_up(doctor, &crl, leaf->serial);
}

void doctor_ask_crl(struct doctor *doctor) {
        struct bytes leaf_der = diagnosis_leaf(doctor->d), issuer_der = diagnosis_issuer(doctor->d);
        CAD_AUTO(buffer_done) struct buffer crl = { 0 };
        char url[CRL_URL_MAX], shown[CRL_URL_MAX];
        struct cert leaf, issuer;
        const char *problem;

        if (!doctor_ours(doctor) || diagnosis_has(doctor->d, DIAGNOSIS_REVOKED) ||
            diagnosis_has(doctor->d, DIAGNOSIS_ON_HOLD) ||
            cert_read(leaf_der, &leaf, /* err= */ NULL) < 0 ||
            cert_read(issuer_der, &issuer, /* err= */ NULL) < 0)
                return;
        if (!crl_place(leaf_der, url, sizeof(url))) {
                if (!doctor->ca_answers)
                        doctor_unchecked(doctor,
                                         "whether it is revoked: it names no CRL (http://)");
                return;
        }
        text_make_printable(url, shown, sizeof(shown));
        problem = fetch(url, &crl);
        if (problem)
                doctor_unchecked(doctor, "the CRL at %s: %s", shown, problem);
        else
                use_crl(doctor, shown, buffer_bytes(&crl), &leaf, &issuer);
}
