/*
 * Who is examined: a word of the command line becomes a file, or a host and a port. Nothing is opened.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/output.h"
#include "client/probe.h"
#include "doctor.h"
#include "lib/base/text.h"
#include "lib/pki/san.h"

/* Schemes that begin with a TLS handshake. */
static const struct {
        const char *scheme, *port;
} schemes[] = {
        { "https", "443" }, { "wss", "443" },   { "ldaps", "636" }, { "imaps", "993" },
        { "pop3s", "995" }, { "smtps", "465" }, { "ftps", "990" },  { "mqtts", "8883" },
        { "ircs", "6697" }, { "nntps", "563" }, { "sips", "5061" }, { "amqps", "5671" },
};

static enum result wrong(const char *text) {
        return fail(
                WRONG_USAGE,
                "%s: no such file, and no server either: write https://nas.lan, nas.lan:8443, [fd00::5]:443 or the name of a file",
                text);
}

/* What is typed may be in Unicode and in capitals; a certificate has neither. */
enum result patient_host(const char *text, const char *host, struct patient *ret) {
        CAD_AUTO(san_list_done) struct san_list one = { 0 };
        struct error err = { 0 };
        uint8_t address[16];

        if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) {
                (void) snprintf(ret->host, sizeof(ret->host), "%s", host);
                text_lower(ret->host);
                return DONE;
        }
        if (san_list_add_text(&one, host, &err) < 0 || one.items[0].type != SAN_DNS)
                return fail(WRONG_USAGE, "%s: '%s' is no name of a host%s%s", text, host,
                            err.text[0] ? ": " : "", err.text);
        (void) snprintf(ret->host, sizeof(ret->host), "%.*s", (int) one.items[0].value.size,
                        (const char *) one.items[0].value.data);
        return DONE;
}

static enum result take_place(const char *text, const char *place, const char *port,
                              struct patient *ret) {
        struct probe probe = { .host = "" };
        char with_port[PROBE_HOST_MAX + 16];
        enum result result;
        int n;

        if (probe_parse(place, &probe) < 0) {
                n = snprintf(with_port, sizeof(with_port), "%s:%s", place, port);
                if (n < 0 || (size_t) n >= sizeof(with_port) || probe_parse(with_port, &probe) < 0)
                        return wrong(text);
        }
        result = patient_host(text, probe.host, ret);
        memcpy(ret->port, probe.port, sizeof(ret->port));
        return result;
}

static enum result take_url(const char *text, const char *rest, struct patient *ret) {
        size_t scheme = (size_t) (rest - text), length;
        char place[PROBE_HOST_MAX + 16];

        rest += strlen("://");
        length = strcspn(rest, "/?#");
        if (length >= sizeof(place) || memchr(rest, '@', length))
                return wrong(text);
        memcpy(place, rest, length);
        place[length] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
                if (strlen(schemes[i].scheme) == scheme &&
                    strncasecmp(schemes[i].scheme, text, scheme) == 0)
                        return take_place(text, place, schemes[i].port, ret);
        return fail(WRONG_USAGE, "%s: %.*s:// has no TLS that cactl speaks: write https://%s", text,
                    (int) scheme, text, place);
}

/* No top-level domain is called so: who types that means a file. */
static bool looks_like_file(const char *text) {
        static const char *const endings[] = { ".pem", ".crt", ".cer", ".der",
                                               ".p7b", ".p12", ".pfx" };
        const char *ending = strrchr(text, '.');

        for (size_t i = 0; ending && i < ARRAY_SIZE(endings); i++)
                if (strcasecmp(ending, endings[i]) == 0)
                        return true;
        return !*text || strchr(text, '/');
}

enum result patient_read(const char *text, struct patient *ret) {
        const char *rest = strstr(text, "://");

        ret->text = text;
        if (text_equal(text, "-") || access(text, F_OK) == 0) {
                ret->file = text;
                return DONE;
        }
        if (rest)
                return take_url(text, rest, ret);
        if (looks_like_file(text))
                return fail(WRONG_USAGE, "%s: there is no such file", *text ? text : "''");
        return take_place(text, text, "443", ret);
}
