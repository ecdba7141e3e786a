/*
 * cactl issue: key, request and certificate in one step, here. The key never leaves this machine, and nothing is
 * written before the certificate that came back was found to be for this key and these names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "files.h"
#include "issue.h"
#include "issued.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/csr.h"
#include "lib/pki/dn.h"
#include "lib/pki/pem.h"
#include "output.h"
#include "password.h"
#include "pkcs12.h"
#include "show.h"

#define RSA_SLOW_BITS 3072

static const struct option options[] = {
        { "out", "DIR", "where to write (default: here); made where it is not there" },
        { "name", "BASE", "file names begin with this (default: the first name)" },
        { "force", NULL, "replace files that are there" },
        { "client", NULL, "for a client: the profile 'client'" },
        { "peer", NULL, "for a server that is a client too: the profile 'peer'" },
        { "profile", "PROFILE",
          "another profile (default: server; user for e-mail addresses, client for URIs)" },
        { "key", "TYPE",
          "ecdsa-p256 (default), ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072, rsa-4096" },
        { "days", "N", "how long it is good for, in days" },
        { "validity", "TIME", "the same as 90d, 12h, 2y" },
        { "label", "TEXT", "a note that the CA keeps with it" },
        { "p12", NULL, "a PKCS#12 file too, for browsers, phones and Java" },
        PASSWORD_OPTIONS,
        { "list", "FILE", "for many devices: a line each, with its names; '-' is standard input" },
        { "stop", NULL, "with --list: stop at the first line that fails" },
        { 0 },
};

/* ---- the command line ---- */

void plan_done(struct plan *plan) {
        san_list_done(&plan->names);
        password_done(&plan->password);
}

static enum result plan_profile(const struct client *c, struct plan *plan) {
        const struct {
                enum san_type type;
                const char *profile;
        } by_kind[] = { { SAN_EMAIL, "user" }, { SAN_URI, "client" } };
        size_t i;

        if (option_given(c, "client") + option_given(c, "peer") + option_given(c, "profile") > 1)
                return fail(WRONG_USAGE,
                            "--client, --peer and --profile choose the profile: give one of them");
        plan->profile = option_given(c, "client") ? "client"
                : option_given(c, "peer")         ? "peer"
                                                  : option_value(c, "profile");
        if (plan->profile)
                return DONE;
        plan->profile = "server";
        for (size_t k = 0; k < ARRAY_SIZE(by_kind); k++) {
                for (i = 0; i < plan->names.count && plan->names.items[i].type == by_kind[k].type;
                     i++)
                        ;
                if (i == plan->names.count)
                        plan->profile = by_kind[k].profile;
        }
        return DONE;
}

static enum result plan_key(const struct client *c, struct plan *plan) {
        const char *text = option_value(c, "key");
        struct error err = { 0 };

        if (key_spec_parse(text ? text : "ecdsa-p256", /* leaf= */ true, &plan->key_type,
                           &plan->key_bits, &err) < 0)
                return fail(WRONG_USAGE, "--key: %s", err.text);
        return DONE;
}

static enum result plan_files(const char *base, struct plan *plan) {
        char first[SAN_TEXT_MAX];

        if (base &&
            (!*base || strchr(base, '/') || *base == '.' || *base == '-' ||
             strlen(base) > BASE_MAX))
                return fail(
                        WRONG_USAGE,
                        "--name %s: it is the beginning of a file name, of at most %d bytes, without '/' and not beginning with '.' or '-' (--out chooses the folder)",
                        base, BASE_MAX);
        if (base)
                memcpy(plan->base, base, strlen(base) + 1);
        else
                kept_name(san_text(&plan->names.items[0], first, sizeof(first)), plan->base);
        if (text_equal(plan->base, "root"))
                return fail(
                        WRONG_USAGE,
                        "root.pem is the root certificate: choose another file name with --name");
        (void) snprintf(plan->certificate, sizeof(plan->certificate), "%s.pem", plan->base);
        (void) snprintf(plan->key, sizeof(plan->key), "%s-key.pem", plan->base);
        (void) snprintf(plan->p12, sizeof(plan->p12), "%s.p12", plan->base);
        return DONE;
}

enum result plan_make(const struct client *c, const char *const *names, size_t count,
                      const char *base, struct plan *plan) {
        struct error err = { 0 };
        enum result result;

        for (size_t i = 0; i < count; i++)
                if (san_list_add_text(&plan->names, names[i], &err) < 0)
                        return fail(WRONG_USAGE, "%s", err.text);
        result = plan_profile(c, plan);
        if (result == DONE)
                result = plan_key(c, plan);
        if (result == DONE)
                result = plan_files(base, plan);
        return result == DONE ? issued_validity(c, plan->validity_text, &plan->validity) : result;
}

/* ---- the work ---- */

static enum result check_places(const struct plan *plan, struct file_set *files) {
        const char *const names[] = { plan->key, plan->certificate,
                                      plan->password.wanted ? plan->p12 : NULL };
        struct error err = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (names[i] && file_set_check(files, names[i], &err) < 0)
                        return fail_error(&err);
        return DONE;
}

/* root.pem that is the same one stays; another CA's is not replaced by the way. */
enum result issue_take_root(struct client *c, struct file_set *files, struct certs *ret_root,
                            bool *ret_write) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 }, written = { 0 };
        struct error err = { 0 };
        enum result result = api_get_text(c, "/v1/ca/root.pem", "application/x-pem-file, */*;q=0.5",
                                          &pem);

        if (result != DONE)
                return result;
        if (certs_from_text(ret_root, buffer_bytes(&pem), "the CA's root", &err) < 0)
                return fail_error(&err);
        if (ret_root->count != 1)
                return fail(REFUSED, "the CA gives %zu certificates as its root: is this a cad?",
                            ret_root->count);
        pem_append(&written, "CERTIFICATE", buffer_bytes(&ret_root->der[0]));
        *ret_write = !file_set_same(files, "root.pem", buffer_bytes(&written));
        if (*ret_write && file_set_check(files, "root.pem", &err) < 0)
                return fail(
                        REFUSED,
                        "root.pem is there and is another CA's: --force replaces it, --out writes elsewhere");
        return DONE;
}

enum result issue_make_key(const struct client *c, const struct plan *plan,
                           struct private_key **ret, struct buffer *ret_pem) {
        struct error err = { 0 };

        if (plan->key_type == KEY_RSA && plan->key_bits >= RSA_SLOW_BITS &&
            terminal_on(STDERR_FILENO))
                say(c, "making an RSA key of %u bits …", plan->key_bits);
        if (private_key_generate(plan->key_type, plan->key_bits, ret, &err) < 0 ||
            private_key_to_pem(*ret, BYTES_NONE, ret_pem, &err) < 0)
                return fail_error(&err);
        return DONE;
}

/* The CN of a subject is for people and old programs; it is always one of the names. */
static const char *common_name_of(const struct plan *plan, char *out, size_t size) {
        const struct san *first = &plan->names.items[0];

        if (first->type == SAN_URI)
                return NULL;
        (void) san_text(first, out, size);
        return strlen(out) <= DN_COMMON_NAME_MAX ? out : NULL;
}

/* The key of the request is its body: asked again with the same key pair and the same wish, it is the same request. */
static enum result post_once(struct client *c, const json_t *body, json_t **ret) {
        CAD_AUTO(free_text) char *text = json_dumps(body, JSON_COMPACT);
        uint8_t digest[SHA256_SIZE];
        char key[2 * SHA256_SIZE + 1];

        if (!text)
                return fail(REFUSED, "out of memory");
        sha256(bytes_of(text), digest);
        return api_post_once(c, "/v1/certificates", body,
                             hex_encode(BYTES(digest, sizeof(digest)), key), ret);
}

static enum result request_certificate(struct client *c, const struct plan *plan,
                                       const struct private_key *key, bool once, json_t **ret) {
        CAD_AUTO(buffer_done) struct buffer csr = { 0 }, pem = { 0 };
        CAD_AUTO(json_free) json_t *body = NULL;
        char name[SAN_TEXT_MAX];
        struct error err = { 0 };

        if (csr_create(key, common_name_of(plan, name, sizeof(name)), &plan->names, &csr, &err) < 0)
                return fail_error(&err);
        pem_append(&pem, "CERTIFICATE REQUEST", buffer_bytes(&csr));
        body = json_pack("{s:s, s:s, s:s*, s:s*}", "csr", buffer_string(&pem), "profile",
                         plan->profile, "validity", plan->validity, "label",
                         option_value(c, "label"));
        if (!body)
                return fail(WRONG_USAGE, "--profile and --label have to be UTF-8");
        return once ? post_once(c, body, ret) : api_post(c, "/v1/certificates", body, ret);
}

int issue_stage_certificates(struct file_set *files, const struct plan *plan,
                             const struct issued *issued, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        for (size_t i = 0; i < issued->chain.count; i++)
                pem_append(&pem, "CERTIFICATE", buffer_bytes(&issued->chain.der[i]));
        if (pem.failed)
                return error_no_memory(err);
        return file_set_stage(files, plan->certificate, buffer_bytes(&pem), 0644, err);
}

int issue_stage_p12(const struct client *c, struct file_set *files, const struct plan *plan,
                    const struct issued *issued, struct bytes key_pem, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer der = { 0 };

        if (!plan->password.wanted)
                return 0;
        if (pkcs12_make(key_pem, &issued->chain, plan->base, plan->password.text,
                        option_given(c, "p12-legacy"), &der, err) < 0)
                return -1;
        return file_set_stage(files, plan->p12, buffer_bytes(&der), 0600, err);
}

int issue_stage_root(struct file_set *files, const struct certs *root, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        pem_append(&pem, "CERTIFICATE", buffer_bytes(&root->der[0]));
        return file_set_stage(files, "root.pem", buffer_bytes(&pem), 0644, err);
}

static void report(const struct client *c, const struct plan *plan, const struct issued *issued) {
        const char *folder = option_value(c, "out");
        CAD_AUTO(buffer_done) struct buffer names = { 0 }, folder_text = { 0 };
        char words[WORDS_MAX];
        const char *prefix;

        if (folder && !text_equal(folder, "."))
                buffer_format(&folder_text, "%s%s", folder, text_ends_with(folder, "/") ? "" : "/");
        prefix = buffer_string(&folder_text);
        names_text(&plan->names, &names);
        fact("certificate", TONE_STRONG, "%s%s", prefix, plan->certificate);
        fact("key", TONE_STRONG, "%s%s", prefix, plan->key);
        if (plan->password.wanted)
                fact("PKCS#12", TONE_STRONG, "%s%s", prefix, plan->p12);
        if (plan->password.made)
                fact("password", TONE_PLAIN, "%s  (of the PKCS#12 file; it is shown this once)",
                     plan->password.text);
        fact("root", TONE_STRONG, "%sroot.pem", prefix);
        fact("names", TONE_PLAIN, "%s", buffer_string(&names));
        fact("profile", TONE_PLAIN, "%s", plan->profile);
        fact("expires", TONE_PLAIN, "%s",
             time_both(issued->cert.validity.not_after, c->now, words));
        fact("serial", TONE_PLAIN, "%s", issued->serial);
        say(c,
            "To trust it on this machine, browsers included: sudo cactl trust install --root %sroot.pem",
            prefix);
        say(c, "On phones and elsewhere: the CA's own page over HTTP has the steps.");
}

static void tell(const struct client *c, const struct plan *plan, const struct issued *issued,
                 const json_t *answer) {
        if (!c->json && !c->quiet) {
                report(c, plan, issued);
                return;
        }
        if (c->json)
                put_json(answer);
        /* it is nowhere else: not even --quiet may lose it */
        if (plan->password.made)
                (void) fprintf(stderr, "password of %s: %s\n", plan->p12, plan->password.text);
}

/* The certificate is there, its key will be gone: say so, for the CA still counts it. */
static enum result lost(const struct issued *issued, const struct error *err) {
        return fail(
                REFUSED,
                "%s; the certificate was issued and its key is not kept: cactl cert revoke %s --reason cessation_of_operation",
                err->text, issued->serial);
}

/* A certificate that is not what was asked for is not written at all. */
enum result issue_certificate(struct client *c, const struct plan *plan, const struct certs *root,
                              const struct private_key *key, bool once, json_t **ret_answer,
                              struct issued *ret) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        struct error err = { 0 };
        enum result result = request_certificate(c, plan, key, once, ret_answer);

        if (result != DONE)
                return result;
        if (private_key_spki(key, &spki, &err) < 0 || issued_read(*ret_answer, ret, &err) < 0 ||
            issued_check_key(ret, buffer_bytes(&spki), &err) < 0 ||
            issued_check_names(ret, &plan->names, &err) < 0 ||
            issued_check_chain(ret, buffer_bytes(&root->der[0]), c->now, &err) < 0)
                return fail(REFUSED, "%s; nothing was written", err.text);
        return DONE;
}

static enum result issue_into(struct client *c, const struct plan *plan, struct file_set *files) {
        CAD_AUTO(certs_done) struct certs root = { 0 };
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_wipe) struct buffer key_pem = { 0 };
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        CAD_AUTO(json_free) json_t *answer = NULL;
        struct error err = { 0 };
        bool write_root = false;
        enum result result = check_places(plan, files);

        if (result == DONE)
                result = issue_take_root(c, files, &root, &write_root);
        if (result == DONE)
                result = issue_make_key(c, plan, &key, &key_pem);
        if (result != DONE)
                return result;
        /* the key first: a full disk is found out before the CA has anything to do */
        if (file_set_stage(files, plan->key, buffer_bytes(&key_pem), 0600, &err) < 0)
                return fail_error(&err);
        result = issue_certificate(c, plan, &root, key, /* once= */ false, &answer, &issued);
        if (result != DONE)
                return result;
        if (issue_stage_certificates(files, plan, &issued, &err) < 0 ||
            issue_stage_p12(c, files, plan, &issued, buffer_bytes(&key_pem), &err) < 0 ||
            (write_root && issue_stage_root(files, &root, &err) < 0) ||
            file_set_commit(files, &err) < 0)
                return lost(&issued, &err);
        tell(c, plan, &issued, answer);
        return DONE;
}

static enum result run(struct client *c) {
        CAD_AUTO(plan_done) struct plan plan = { 0 };
        CAD_AUTO(file_set_done) struct file_set files = { 0 };
        const char *folder = option_value(c, "out");
        struct error err = { 0 };
        enum result result;

        if (option_given(c, "list"))
                return issue_list(c);
        if (option_given(c, "stop"))
                return fail(WRONG_USAGE, "--stop is for --list");
        if (c->args_count == 0)
                return fail(WRONG_USAGE,
                            "a NAME is missing, or --list FILE: see cactl issue --help");
        result = plan_make(c, c->args, c->args_count, option_value(c, "name"), &plan);
        if (result == DONE)
                result = password_plan(c, option_given(c, "p12"), &plan.password);
        if (result != DONE)
                return result;
        if (file_set_open(&files, folder ? folder : ".", option_given(c, "force"), &err) < 0)
                return fail_error(&err);
        return issue_into(c, &plan, &files);
}

const struct command cmd_issue = {
        .name = "issue",
        .args = "[NAME...]",
        .args_max = ARGS_ANY,
        .help = "Make a key and a certificate for these names, in one step, here",
        .more = "A name is a DNS name (nas.lan, *.nas.lan), an address (192.168.1.5, ::1), an e-mail address or a URI. "
                "Written are NAME.pem (the certificate and its chain), NAME-key.pem (the key, for you alone) and root.pem "
                "(what to trust). Files that are there are kept unless --force is given. --list FILE does the same for each of its lines, as "
                "'widget-7.lan 192.168.1.7': blanks, commas or semicolons between the names, '#' before a comment, name=BASE for "
                "other file names. A line that fails does not stop the others; the same command again does what is left.",
        .options = options,
        .run = run,
};
