/*
 * cactl cert: list, show, sign, revoke.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "files.h"
#include "issued.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/csr.h"
#include "lib/pki/pem.h"
#include "output.h"
#include "probe.h"
#include "show.h"
#include "sign.h"

#define LIST_DEFAULT "50"     /* rows without --limit or --all */
#define LIST_PAGE "500"       /* rows a request with --all */
#define SERIAL_SURE_DIGITS 16 /* a word of so many hex digits is a serial, not a file */

static enum tone tone_of_status(const char *status) {
        if (text_equal(status, "valid"))
                return TONE_GOOD;
        return text_equal(status, "revoked") ? TONE_BAD : TONE_WARN;
}

/* A page's path: serial_parse() has made sure that @serial is hex. */
static void certificate_path(struct buffer *out, const char *serial) {
        buffer_format(out, "/v1/certificates/%s", serial);
}

/* ---- list ---- */

static const struct option list_options[] = {
        { "name", "NAME", "for this name, or *.SUFFIX" },
        { "status", "STATUS", "valid, held, expired or revoked" },
        { "profile", "PROFILE", "of this profile" },
        { "expires-before", "WHEN", "2027-01-31, a time, or 30d from now" },
        { "issued-after", "WHEN", "2027-01-31, a time, or 30d ago" },
        { "fingerprint-of", "HEX", "with this SHA-256 fingerprint" },
        { "spki", "HEX", "with this SHA-256 of its public key" },
        { "limit", "N", "so many at most (default: " LIST_DEFAULT ")" },
        { "all", NULL, "all of them" },
        { 0 },
};

enum result when_parse(const struct client *c, const char *option, int direction, char *out,
                       const char **ret) {
        const char *text = option_value(c, option);
        struct error ignored = { 0 };
        char midnight[MOMENT_TEXT_MAX];
        int64_t t;

        *ret = NULL;
        if (!text)
                return DONE;
        (void) snprintf(midnight, sizeof(midnight), "%.10sT00:00:00Z", text);
        if (duration_parse(text, &t, &ignored) == 0)
                t = c->now + direction * t;
        else if (moment_parse(strlen(text) == 10 ? midnight : text, &t, &ignored) < 0)
                return fail(
                        WRONG_USAGE,
                        "--%s %s: write a day (2027-01-31), a time (2027-01-31T12:00:00Z) or a duration (30d)",
                        option, text);
        if (t < 0 || t > MOMENT_LAST)
                return fail(WRONG_USAGE, "--%s %s: that is outside of the years 1970 to 9999",
                            option, text);
        *ret = moment_format(t, out);
        return DONE;
}

static enum result list_query(const struct client *c, struct buffer *path) {
        static const char *const plain[][2] = {
                { "name", "name" },
                { "status", "status" },
                { "profile", "profile" },
                { "spki", "spki" },
                { "fingerprint-of", "fingerprint" },
        };
        char before_text[MOMENT_TEXT_MAX], after_text[MOMENT_TEXT_MAX];
        const char *before, *after;
        enum result result = when_parse(c, "expires-before", 1, before_text, &before);

        if (result == DONE)
                result = when_parse(c, "issued-after", -1, after_text, &after);
        if (result != DONE)
                return result;
        buffer_text(path, "/v1/certificates");
        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                query_add(path, plain[i][1], option_value(c, plain[i][0]));
        query_add(path, "expires_before", before);
        query_add(path, "issued_after", after);
        return DONE;
}

static void list_rows(const struct client *c, struct table *table, const json_t *page) {
        const json_t *row;
        size_t i;

        json_array_foreach(json_object_get(page, "certificates"), i, row) {
                CAD_AUTO(buffer_done) struct buffer names = { 0 };
                const char *status = api_text(row, "status");
                char words[WORDS_MAX];
                int64_t end = 0;
                bool known = api_time(row, "not_after", &end) == 0, due = known && end < c->now;

                table_cell(table, TONE_PLAIN, api_text(row, "serial"));
                table_cell(table, TONE_STRONG, api_texts(row, "names", &names));
                table_cell(table, TONE_PLAIN, api_text(row, "profile"));
                table_cell(table, tone_of_status(status), status);
                table_cell(table, due ? TONE_DIM : TONE_PLAIN,
                           known ? time_in_words(end, c->now, words) : "?");
        }
        table_print(table);
}

/* One array over all pages, printed as they come: there may be millions. */
static void list_rows_json(const json_t *page, size_t before) {
        const json_t *row;
        size_t i;

        json_array_foreach(json_object_get(page, "certificates"), i, row) {
                if (before + i)
                        put_raw(BYTES_LITERAL(",\n"));
                put_json(row);
        }
}

struct listing {
        struct table *table;
        bool opened;  /* with --json --all: the array has been begun */
        size_t count; /* rows so far */
};

static enum result list_page(struct client *c, const json_t *page, void *data, bool *go_on) {
        struct listing *listing = data;

        *go_on = option_given(c, "all");
        if (c->json && *go_on) {
                if (!listing->opened)
                        put_raw(BYTES_LITERAL("{\"certificates\": [\n"));
                listing->opened = true;
                list_rows_json(page, listing->count);
        } else if (c->json) {
                put_json(page);
        } else {
                list_rows(c, listing->table, page);
        }
        listing->count += json_array_size(json_object_get(page, "certificates"));
        return DONE;
}

static enum result list_pages(struct client *c, struct listing *listing) {
        const char *limit = option_value(c, "limit");
        bool all = option_given(c, "all");
        CAD_AUTO(buffer_done) struct buffer base = { 0 };
        CAD_AUTO(free_text) char *next = NULL;
        enum result result = list_query(c, &base);

        if (result != DONE)
                return result;
        query_add(&base, "limit", limit ? limit : all ? LIST_PAGE : LIST_DEFAULT);
        result = api_pages(c, &base, list_page, listing, &next);
        if (result == DONE && !c->json && listing->count == 0)
                say(c, "no certificate is like that");
        if (result == DONE && !c->json && next && !all)
                say(c, "there are more: --all shows them, --limit N more of them");
        return result;
}

static enum result list_run(struct client *c) {
        static const struct column columns[] = {
                { "SERIAL", false }, { "NAMES", true },    { "PROFILE", false },
                { "STATUS", false }, { "EXPIRES", false },
        };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));
        struct listing listing = { .table = table };
        enum result result = table ? DONE : fail(REFUSED, "out of memory");

        if (result == DONE)
                result = list_pages(c, &listing);
        if (result == DONE && listing.opened)
                put_raw(BYTES_LITERAL("], \"next\": null}\n"));
        return result;
}

const struct command cmd_cert_list = {
        .group = "cert",
        .name = "list",
        .args = "",
        .help = "The certificates that were issued, page by page",
        .options = list_options,
        .run = list_run,
};

/* ---- show ---- */

static const struct option show_options[] = {
        { "pem", NULL, "print the PEM alone (of a server: the chain that it shows)" },
        { 0 },
};

static enum result show_certs(const struct client *c, const struct certs *certs) {
        CAD_AUTO(json_free) json_t *array = json_array();

        if (option_given(c, "pem")) {
                certs_put_pem(certs);
                return DONE;
        }
        for (size_t i = 0; i < certs->count; i++) {
                if (c->json) {
                        (void) json_array_append_new(array,
                                                     certificate_json(
                                                             buffer_bytes(&certs->der[i])));
                        continue;
                }
                if (i)
                        put(TONE_PLAIN, "%s", "");
                if (certs->count > 1)
                        put(TONE_STRONG, "certificate %zu of %zu", i + 1, certs->count);
                show_certificate(c, buffer_bytes(&certs->der[i]));
        }
        if (c->json) {
                CAD_AUTO(json_free) json_t *all = json_pack("{s:O}", "certificates", array);

                put_json(all);
        }
        return DONE;
}

static enum result show_file(const struct client *c, const char *path) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0 ||
            certs_from_text(&certs, buffer_bytes(&text), path, &err) < 0)
                return fail_error(&err);
        return show_certs(c, &certs);
}

static enum result show_server(const struct client *c, const struct probe *probe) {
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        const char *protocol = "";
        enum result result = probe_chain(probe, &certs, &protocol);

        if (result != DONE)
                return result;
        say(c, "%s port %s speaks %s and shows %zu certificate%s (nothing is verified here)",
            probe->host, probe->port, protocol ? protocol : "?", certs.count,
            certs.count == 1 ? "" : "s");
        return show_certs(c, &certs);
}

static void show_status(const struct client *c, const json_t *object) {
        const char *status = api_text(object, "status"), *label = api_text(object, "label"),
                   *reason = api_text(object, "reason");
        char words[WORDS_MAX];
        int64_t at;

        if (api_time(object, "revoked_at", &at) == 0)
                fact("status", tone_of_status(status), "%s %s%s%s", status,
                     time_both(at, c->now, words), *reason ? ", " : "", reason);
        else
                fact("status", tone_of_status(status), "%s", status);
        fact("profile", TONE_PLAIN, "%s", api_text(object, "profile"));
        if (*label)
                fact("label", TONE_PLAIN, "%s", label);
}

/* After a restore: what the signer's log remembers; the label says so. */
static enum result show_lost(const struct client *c, const char *serial, json_t *object) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };

        if (c->json) {
                put_json(object);
                return DONE;
        }
        show_status(c, object);
        fact("names", TONE_STRONG, "%s", api_texts(object, "names", &names));
        fact("serial", TONE_PLAIN, "%s", serial);
        return DONE;
}

static enum result show_serial(struct client *c, const char *serial) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *object = NULL;
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        struct error err = { 0 };
        enum result result;

        certificate_path(&path, serial);
        result = api_get(c, buffer_string(&path), &object);
        if (result != DONE)
                return result;
        if (!json_object_get(object, "certificate") && !option_given(c, "pem"))
                return show_lost(c, serial, object);
        if (issued_of_row(object, serial, &certs, &err) < 0)
                return fail_error(&err);
        if (option_given(c, "pem")) {
                certs_put_pem(&certs);
                return DONE;
        }
        if (c->json) {
                put_json(object);
                return DONE;
        }
        show_status(c, object);
        show_certificate(c, buffer_bytes(&certs.der[0]));
        return DONE;
}

static enum result show_run(struct client *c) {
        const char *what = c->args[0];
        char serial[SERIAL_TEXT_MAX];
        struct probe probe;
        bool hex = serial_parse(what, serial) == 0;

        if (hex && strlen(serial) >= SERIAL_SURE_DIGITS)
                return show_serial(c, serial);
        if (text_equal(what, "-") || access(what, F_OK) == 0)
                return show_file(c, what);
        if (hex && !strchr(what, ':'))
                return show_serial(c, serial);
        if (probe_parse(what, &probe) == 0)
                return show_server(c, &probe);
        return fail(
                strchr(what, '/') || strchr(what, '.') ? REFUSED : WRONG_USAGE,
                "%s: there is no such file, and it is neither a serial (hex digits) nor HOST:PORT",
                what);
}

const struct command cmd_cert_show = {
        .group = "cert",
        .name = "show",
        .args = "SERIAL|FILE|HOST:PORT",
        .args_min = 1,
        .args_max = 1,
        .help = "What is in a certificate: of this CA, of a file, or of a TLS server",
        .more = "A file ('-' is standard input) and what a server shows are decoded here, without asking the CA.",
        .options = show_options,
        .run = show_run,
};

/* ---- sign ---- */

static const struct option sign_options[] = {
        { "profile", "PROFILE", "what kind of certificate (default: server)" },
        { "name", "NAME", "for this name instead of those in the CSR; may be given again", true,
          0 },
        { "days", "N", "how long it is good for, in days" },
        { "validity", "TIME", "the same as 90d, 12h, 2y" },
        { "label", "TEXT", "a note that the CA keeps with it" },
        { "out", "FILE",
          "write certificate and chain there (default: standard output); with --csr-list: the folder" },
        { "csr-list", "FILE|DIR",
          "for many CSRs: a file with a path in each line, or a folder with *.csr" },
        { "force", NULL, "with --csr-list: replace files that are there" },
        { "stop", NULL, "with --csr-list: stop at the first one that fails" },
        { 0 },
};

enum result sign_names(const struct client *c, struct san_list *list, json_t **ret) {
        struct error err = { 0 };
        const char *name;
        char text[SAN_TEXT_MAX];
        size_t at = 0;

        while ((name = option_next(c, "name", &at)))
                if (san_list_add_text(list, name, &err) < 0)
                        return fail(WRONG_USAGE, "--name: %s", err.text);
        if (list->count == 0)
                return DONE;
        *ret = json_array();
        for (size_t i = 0; i < list->count; i++)
                (void) json_array_append_new(*ret,
                                             json_string(san_text(&list->items[i], text,
                                                                  sizeof(text))));
        return DONE;
}

enum result sign_read(const struct client *c, struct csr **ret) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        struct error err = { 0 };

        if (input_read(c->args[0], &text, &err) < 0)
                return fail_error(&err);
        /* a key that was given by mistake ends here: it is not sent */
        if (csr_from_text(buffer_bytes(&text), RSA_BITS_MAX, ret, &err) < 0)
                return fail(REFUSED, "%s: %s%s%s%s", c->args[0], err.text,
                            err.field[0] ? " (field " : "", err.field, err.field[0] ? ")" : "");
        return DONE;
}

json_t *sign_body(const struct client *c, const struct csr *csr, json_t *names) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        char validity_text[DURATION_TEXT_MAX];
        const char *validity = NULL;
        json_t *body;

        if (issued_validity(c, validity_text, &validity) != DONE)
                return NULL;
        pem_append(&pem, "CERTIFICATE REQUEST", csr->der);
        body = json_pack("{s:s, s:s*, s:s*, s:s*, s:O*}", "csr", buffer_string(&pem), "profile",
                         option_value(c, "profile"), "validity", validity, "label",
                         option_value(c, "label"), "names", names);
        if (!body)
                (void) fail(WRONG_USAGE, "--profile and --label have to be UTF-8");
        return body;
}

enum result sign_post(struct client *c, const char *path, const struct csr *csr, json_t *names,
                      json_t **ret) {
        CAD_AUTO(json_free) json_t *body = sign_body(c, csr, names);

        return body ? api_post(c, path, body, ret) : WRONG_USAGE;
}

static enum result sign_write(const struct client *c, const struct issued *issued,
                              const json_t *answer) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        const char *path = option_value(c, "out");
        struct error err = { 0 };
        char words[WORDS_MAX];

        say(c, "issued %s, good until %s", issued->serial,
            time_both(issued->cert.validity.not_after, c->now, words));
        for (size_t i = 0; i < issued->chain.count; i++)
                pem_append(&pem, "CERTIFICATE", buffer_bytes(&issued->chain.der[i]));
        if (path && output_write(path, buffer_bytes(&pem), &err) < 0)
                return fail(REFUSED,
                            "%s; the certificate was issued: cactl cert show %s --pem prints it",
                            err.text, issued->serial);
        if (c->json)
                put_json(answer);
        else if (!path)
                put_raw(buffer_bytes(&pem));
        return DONE;
}

static enum result sign_run(struct client *c) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        CAD_AUTO(san_list_done) struct san_list names = { 0 };
        CAD_AUTO(json_free) json_t *names_json = NULL, *answer = NULL;
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        struct error err = { 0 };
        enum result result;

        if (option_given(c, "csr-list"))
                return sign_list(c);
        if (option_given(c, "stop") || option_given(c, "force"))
                return fail(WRONG_USAGE, "--stop and --force are for --csr-list");
        if (c->args_count == 0)
                return fail(WRONG_USAGE,
                            "the CSR is missing, or --csr-list: see cactl cert sign --help");
        result = sign_names(c, &names, &names_json);
        if (result == DONE)
                result = sign_read(c, &csr);
        if (result != DONE || !csr)
                return result;
        result = sign_post(c, "/v1/certificates", csr, names_json, &answer);
        if (result != DONE)
                return result;
        if (issued_read(answer, &issued, &err) < 0 ||
            issued_check_key(&issued, csr->spki, &err) < 0 ||
            issued_check_names(&issued, names.count ? &names : &csr->names, &err) < 0)
                return fail_error(&err);
        return sign_write(c, &issued, answer);
}

const struct command cmd_cert_sign = {
        .group = "cert",
        .name = "sign",
        .args = "[CSR]",
        .args_max = 1,
        .help = "A certificate for a CSR that was made elsewhere",
        .more = "CSR is a file in PEM or DER, or '-' for standard input. Certificate and chain come out as PEM. --csr-list does it for "
                "many, into the folder that --out names: NAME.csr becomes NAME.pem. One that fails does not stop the others; the same "
                "command again does what is left, and nothing twice.",
        .options = sign_options,
        .run = sign_run,
};

/* ---- revoke ---- */

static const struct option revoke_options[] = {
        { "reason", "REASON",
          "key_compromise, superseded, cessation_of_operation, affiliation_changed, privilege_withdrawn, certificate_hold, unspecified (default), …" },
        { "yes", NULL, "do not ask", false, 'y' },
        { 0 },
};

/* The serial that a file's first certificate has; the CA is asked whether it is just that certificate. */
static enum result revoke_target(const struct client *c, char *serial, char *ret_fingerprint) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        uint8_t digest[SHA256_SIZE];
        struct error err = { 0 };
        struct cert cert;

        ret_fingerprint[0] = '\0';
        if (serial_parse(c->args[0], serial) == 0 &&
            (strlen(serial) >= SERIAL_SURE_DIGITS || access(c->args[0], F_OK) < 0))
                return DONE;
        if (input_read(c->args[0], &text, &err) < 0)
                return fail(REFUSED,
                            "%s: it is no serial (hex digits), and no file that can be read: %s",
                            c->args[0], err.text);
        if (certs_from_text(&certs, buffer_bytes(&text), c->args[0], &err) < 0 ||
            cert_read(buffer_bytes(&certs.der[0]), &cert, &err) < 0)
                return fail_error(&err);
        if (cert.serial.size > SERIAL_MAX)
                return fail(REFUSED, "%s: its serial is longer than any of this CA", c->args[0]);
        (void) hex_encode(cert.serial, serial);
        cert_fingerprint(cert.der, digest);
        (void) hex_encode(BYTES(digest, sizeof(digest)), ret_fingerprint);
        return DONE;
}

static enum result ask_to_revoke(const struct client *c, const json_t *certificate) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        const char *reason = option_value(c, "reason");
        char answer[16] = "", words[WORDS_MAX] = "at an unknown time";
        int64_t end;

        if (option_given(c, "yes"))
                return DONE;
        if (!terminal_on(STDIN_FILENO) || !terminal_on(STDERR_FILENO))
                return fail(WRONG_USAGE,
                            "there is no terminal to ask on: --yes revokes without asking");
        if (api_time(certificate, "not_after", &end) == 0)
                (void) time_in_words(end, c->now, words);
        say(&(struct client){ 0 }, "%s certificate of %s, expires %s",
            api_text(certificate, "profile"), api_texts(certificate, "names", &names), words);
        (void) fprintf(stderr,
                       text_equal(reason, "certificate_hold") ? "Put it on hold? [y/N] "
                               : text_equal(reason, "remove_from_crl")
                               ? "Lift the hold? [y/N] "
                               : "Revoke it for good? [y/N] ");
        if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
                return DONE;
        return fail(REFUSED, "nothing was revoked");
}

static enum result revoke_look(struct client *c, const char *path, const char *fingerprint,
                               json_t **ret) {
        enum result result = api_get(c, path, ret);
        char there[2 * SHA256_SIZE + 1];

        if (result != DONE || !*fingerprint)
                return result;
        (void) snprintf(there, sizeof(there), "%s", api_text(*ret, "fingerprint"));
        text_lower(there);
        if (!text_equal(there, fingerprint))
                return fail(
                        REFUSED,
                        "the certificate in %s is not one of this CA: it has another one with that serial",
                        c->args[0]);
        return DONE;
}

static void revoke_tell(const struct client *c, const json_t *answer, const char *serial) {
        const char *reason = option_value(c, "reason");

        if (c->json)
                put_json(answer);
        else if (text_equal(reason, "remove_from_crl"))
                say(c, "%s is %s again", serial,
                    *api_text(answer, "status") ? api_text(answer, "status") : "valid");
        else
                say(c, "%s is revoked%s%s", serial, reason ? ": " : "", reason ? reason : "");
}

/* A key that is out is out in each certificate that has it: the renewed one, and the one that was renewed. */
static void tell_same_key(struct client *c, const json_t *revoked) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *page = NULL;
        const char *spki = api_text(revoked, "spki");
        const json_t *row;
        size_t i;

        if (!*spki || !text_equal(option_value(c, "reason"), "key_compromise"))
                return;
        buffer_format(&path, "/v1/certificates?spki=%s&status=valid", spki);
        if (api_try_get(c, buffer_string(&path), 404, &page) != DONE || !page)
                return;
        json_array_foreach(json_object_get(page, "certificates"), i, row) {
                CAD_AUTO(buffer_done) struct buffer names = { 0 };

                say(c,
                    "%s (%s) has the same key and is valid: cactl cert revoke %s --reason key_compromise",
                    api_text(row, "serial"), api_texts(row, "names", &names),
                    api_text(row, "serial"));
        }
}

static enum result revoke_run(struct client *c) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *certificate = NULL, *body = NULL, *answer = NULL;
        const char *reason = option_value(c, "reason");
        char serial[SERIAL_TEXT_MAX], fingerprint[2 * SHA256_SIZE + 1];
        enum result result = revoke_target(c, serial, fingerprint);

        if (result != DONE)
                return result;
        certificate_path(&path, serial);
        result = revoke_look(c, buffer_string(&path), fingerprint, &certificate);
        if (result == DONE)
                result = ask_to_revoke(c, certificate);
        if (result != DONE)
                return result;
        body = json_pack("{s:s}", "reason", reason ? reason : "unspecified");
        if (!body)
                return fail(WRONG_USAGE,
                            "--reason has to be one of the names in cactl cert revoke --help");
        buffer_text(&path, "/revoke");
        result = api_post(c, buffer_string(&path), body, &answer);
        if (result == DONE)
                revoke_tell(c, answer, serial);
        if (result == DONE)
                tell_same_key(c, answer);
        return result;
}

const struct command cmd_cert_revoke = {
        .group = "cert",
        .name = "revoke",
        .args = "SERIAL|FILE",
        .args_min = 1,
        .args_max = 1,
        .help = "Revoke a certificate, for good",
        .more = "Asks first, on a terminal; elsewhere --yes is wanted. The reason certificate_hold can be lifted again, with "
                "remove_from_crl.",
        .options = revoke_options,
        .run = revoke_run,
};
