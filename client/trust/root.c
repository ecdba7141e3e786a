/*
 * Getting hold of the root, and judging it: see root.h.
 *
 * Nothing that came over a connection without proof is taken for the root before it fits a fingerprint that came another way.
 */
#include "root.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/api.h"
#include "client/files.h"
#include "client/output.h"
#include "client/root_fetch.h"
#include "client/show.h"
#include "lib/base/text.h"
#include "lib/pki/dn.h"
#include "lib/pki/pem.h"

#define ANSWER_LINE_MAX 512
#define LABEL_NAME_MAX 40   /* characters of the CA's name in a label */
#define LABEL_DIGEST_SIZE 4 /* octets of the fingerprint in it */

void root_done(struct root *root) {
        buffer_done(&root->der);
        buffer_done(&root->pem);
        root->constraints = constraints_free(root->constraints);
}

bool root_match_fits(const struct root_match *match, struct bytes der) {
        uint8_t digest[SHA256_SIZE];

        cert_fingerprint(der, digest);
        return fingerprint_fits(&match->fingerprint, digest);
}

struct root_match root_match_of(const uint8_t digest[SHA256_SIZE]) {
        struct root_match match = { .fingerprint.bits = SHA256_SIZE * 8 };

        memcpy(match.fingerprint.octets, digest, SHA256_SIZE);
        return match;
}

/* ---- what it says ---- */

/* "Home CA" and its fingerprint: "home-ca-3f9a12bc". Whatever else a name may hold does not get into the names of files. */
static void make_label(struct root *root) {
        char name[DN_TEXT_MAX], hex[2 * LABEL_DIGEST_SIZE + 1];
        size_t used = 0;

        (void) dn_common_name(root->cert.subject, name, sizeof(name));
        text_lower(name);
        for (const char *at = name; *at && used < LABEL_NAME_MAX; at++) {
                if ((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9'))
                        root->label[used++] = *at;
                else if (used && root->label[used - 1] != '-')
                        root->label[used++] = '-';
        }
        while (used && root->label[used - 1] == '-')
                used--;
        root->label[used] = '\0';
        if (!used)
                used = (size_t) snprintf(root->label, sizeof(root->label), "root");
        (void) snprintf(root->label + used, sizeof(root->label) - used, "-%s",
                        hex_encode(BYTES(root->digest, LABEL_DIGEST_SIZE), hex));
}

static bool kind_is_confined(const struct name_constraints *nc, enum san_type type) {
        char text[SAN_TEXT_MAX];
        enum san_type found;

        for (size_t i = 0; i < constraints_count(nc, CONSTRAINTS_PERMITTED); i++) {
                (void) constraints_text(nc, CONSTRAINTS_PERMITTED, i, &found, text, sizeof(text));
                if (found == type)
                        return true;
        }
        for (size_t i = 0; i < constraints_count(nc, CONSTRAINTS_EXCLUDED); i++) {
                (void) constraints_text(nc, CONSTRAINTS_EXCLUDED, i, &found, text, sizeof(text));
                if (found == type && text_equal(text, "*"))
                        return true;
        }
        return false;
}

static void read_constraints(struct root *root) {
        struct error ignored = { 0 };

        if (!root->cert.name_constraints.size ||
            constraints_from_der(root->cert.name_constraints, &root->constraints, &ignored) < 0)
                return;
        root->confined = kind_is_confined(root->constraints, SAN_DNS) &&
                kind_is_confined(root->constraints, SAN_IP);
}

static enum result take_der(struct root *root, struct bytes der, const char *from) {
        struct error err = { 0 };

        buffer_append(&root->der, der);
        if (root->der.failed)
                return fail(REFUSED, "out of memory");
        if (cert_read(buffer_bytes(&root->der), &root->cert, &err) < 0)
                return fail(REFUSED, "%s holds no root certificate: %s", from, err.text);
        cert_fingerprint(buffer_bytes(&root->der), root->digest);
        root->match = root_match_of(root->digest);
        pem_append(&root->pem, "CERTIFICATE", buffer_bytes(&root->der));
        make_label(root);
        read_constraints(root);
        return root->pem.failed ? fail(REFUSED, "out of memory") : DONE;
}

/* ---- where it comes from ---- */

static enum result take_text(struct root *root, struct bytes text, const char *from) {
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        struct error err = { 0 };

        if (certs_from_text(&certs, text, from, &err) < 0)
                return fail_error(&err);
        if (certs.count != 1)
                return fail(REFUSED, "%s holds %zu certificates: name a file with the root alone",
                            from, certs.count);
        return take_der(root, buffer_bytes(&certs.der[0]), from);
}

static enum result from_file(struct root *root, const char *path) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        return take_text(root, buffer_bytes(&text),
                         text_equal(path, "-") ? "standard input" : path);
}

static enum result from_here(struct client *c, struct root *root) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        enum result result = api_get_text(c, "/v1/ca/root.pem", /* accept= */ NULL, &text);

        return result == DONE ? take_text(root, buffer_bytes(&text), "the CA's answer") : result;
}

/* It is typed, and not just said yes to: who has it before their eyes has been to the CA's machine. */
static enum result ask_fingerprint(const char *url, struct fingerprint *ret) {
        char line[ANSWER_LINE_MAX] = "";
        struct error err = { 0 };

        if (!terminal_on(STDIN_FILENO) || !terminal_on(STDERR_FILENO))
                return fail(
                        WRONG_USAGE,
                        "nothing says that %s is your CA: give its fingerprint with --fingerprint, in hex or as the twelve words that "
                        "'cactl ca fingerprint' shows on the CA's machine",
                        url);
        (void) fprintf(
                stderr,
                "Fingerprint, hex or twelve words, as 'cactl ca fingerprint' shows it on the "
                "CA's machine: ");
        if (!fgets(line, sizeof(line), stdin))
                return fail(REFUSED, "no fingerprint was given: nothing was done");
        line[strcspn(line, "\r\n")] = '\0';
        return fingerprint_parse(line, ret, &err) < 0 ? fail(REFUSED, "%s", err.text) : DONE;
}

static enum result from_url(struct root *root, const char *url, const struct fingerprint *given) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        struct fingerprint typed = *given;
        char groups[FINGERPRINT_TEXT_MAX];
        uint8_t digest[SHA256_SIZE];
        enum result result = root_fetch(url, &der);

        if (result == DONE && !typed.bits)
                result = ask_fingerprint(url, &typed);
        if (result != DONE)
                return result;
        cert_fingerprint(buffer_bytes(&der), digest);
        if (!fingerprint_fits(&typed, digest))
                return fail(
                        REFUSED,
                        "the root that %s hands out is another one than the fingerprint says: its SHA-256 is %s; this is not your CA, or "
                        "somebody answers in its place; nothing was trusted",
                        url, fingerprint_groups(digest, groups));
        return take_der(root, buffer_bytes(&der), url);
}

static enum result check_sources(const struct client *c) {
        if (option_given(c, "root") && option_given(c, "url"))
                return fail(WRONG_USAGE,
                            "--root FILE is the root itself and --url says where to fetch it: give "
                            "one of them");
        if (option_given(c, "root") && option_given(c, "socket"))
                return fail(WRONG_USAGE,
                            "--root FILE is the root itself, --socket asks the CA for "
                            "it: give one of them");
        return DONE;
}

enum result root_get(struct client *c, bool der_needed, struct root *ret) {
        const char *text = option_value(c, "fingerprint"), *url = option_value(c, "url"),
                   *file = option_value(c, "root");
        struct fingerprint given = { .bits = 0 };
        struct error err = { 0 };
        enum result result = check_sources(c);

        if (result != DONE)
                return result;
        if (text && fingerprint_parse(text, &given, &err) < 0)
                return fail(WRONG_USAGE, "--fingerprint: %s", err.text);
        if (url)
                return from_url(ret, url, &given);
        if (text && !file && !option_given(c, "socket") && !der_needed) {
                ret->match.fingerprint = given;
                return DONE;
        }
        result = file ? from_file(ret, file) : from_here(c, ret);
        if (result == DONE && text && !fingerprint_fits(&given, ret->digest)) {
                char groups[FINGERPRINT_TEXT_MAX];

                return fail(REFUSED,
                            "this is another root than --fingerprint says: its SHA-256 is %s; "
                            "nothing was trusted",
                            fingerprint_groups(ret->digest, groups));
        }
        return result;
}

/* ---- whether it may be trusted ---- */

static int check_form(const struct cert *cert, struct error *err) {
        if (!cert->is_ca)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "this is no CA certificate but one of a server or client: to trust it would help nobody; ask for the CA's root");
        if (!cert_is_self_signed(cert))
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "this is an intermediate, signed by another CA: trust the root that it comes from");
        if (cert->has_key_usage && !(cert->key_usage & KU_KEY_CERT_SIGN))
                return error_set(err, ERR_STATE_CONFLICT,
                                 "this certificate may not sign certificates (key usage): it is no "
                                 "root");
        if (cert->unknown_critical)
                return error_set(err, ERR_STATE_CONFLICT,
                                 "this root has a critical extension that is not known here: no "
                                 "program would accept it");
        return 0;
}

static int check_time(const struct validity *validity, int64_t now, struct error *err) {
        char when[WORDS_MAX];

        if (now > validity->not_after)
                return error_set(
                        err, ERR_CA_EXPIRED,
                        "this root has expired on %s: nothing that it signed is accepted any more; get the CA's new one",
                        time_both(validity->not_after, now, when));
        if (now < validity->not_before)
                return error_set(
                        err, ERR_CLOCK,
                        "this root is good from %s on only: is this machine's clock right?",
                        time_both(validity->not_before, now, when));
        return 0;
}

static int check_strength(const struct cert *cert, struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct error why = { 0 };

        if (public_key_from_spki(cert->spki, RSA_BITS_MAX, &key, &why) < 0)
                return error_set(err, why.code,
                                 "the root's key is not good enough to be trusted: %s", why.text);
        if (public_key_verify(key, cert->algorithm, cert->tbs, cert->signature, &why) == 0)
                return 0;
        if (why.code == ERR_CSR_WEAK_SIGNATURE)
                return error_set(err, ERR_KEY_WEAK,
                                 "the root is signed with SHA-1, MD5 or the like, which is weak: "
                                 "make a new root");
        return error_set(err, ERR_CRYPTO,
                         "the root is not signed by its own key, or in a way that is not known "
                         "here: get it again from the CA");
}

int root_check(const struct root *root, int64_t now, struct error *err) {
        if (check_form(&root->cert, err) < 0 || check_time(&root->cert.validity, now, err) < 0)
                return -1;
        return check_strength(&root->cert, err);
}

/* ---- in words ---- */

void root_vouches_for(const struct root *root, struct buffer *out) {
        if (root->constraints)
                constraints_describe(root->constraints, out);
        else if (root->cert.name_constraints.size)
                buffer_text(out, "any name at all: its name constraints cannot be read");
        else
                buffer_text(out, "any name at all: it is not constrained");
}

void root_show(const struct client *c, const struct root *root) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        char subject[DN_TEXT_MAX], groups[FINGERPRINT_TEXT_MAX], words[FINGERPRINT_WORDS_MAX],
                from[WORDS_MAX], until[WORDS_MAX];

        root_vouches_for(root, &names);
        say(c, "root          %s", dn_text(root->cert.subject, subject, sizeof(subject)));
        say(c, "fingerprint   %s", fingerprint_groups(root->digest, groups));
        say(c, "in words      %s", fingerprint_words(root->digest, words));
        say(c, "good          from %s to %s",
            time_both(root->cert.validity.not_before, c->now, from),
            time_both(root->cert.validity.not_after, c->now, until));
        say(c, "it can %svouch for %s", root->confined ? "only " : "", buffer_string(&names));
}
