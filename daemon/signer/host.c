/*
 * The host's names and addresses. Used when a CA is made, never while it signs; no name is looked up over the network.
 */
#include "daemon/signer/host.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/host_names.h"
#include "lib/base/text.h"

/* Suffixes that are private in practice though no registry says so; the defaults of design.md §5 hold the rest. */
static const char *const private_suffixes[] = { ".corp",    ".home",      ".intranet",
                                                ".private", ".fritz.box", ".speedport.ip" };

/* The FQDN as this machine's own files know it, "" where there is none. */
static void own_fqdn(char *out, size_t size) {
        char full[HOST_NAME_SIZE];

        host_names_full(full, sizeof(full));
        if (!full[0] || dns_name_check(bytes_of(full), false, out, size, NULL) < 0)
                out[0] = '\0';
}

static void own_label(char *out, size_t size) {
        char name[HOST_NAME_SIZE], checked[HOST_NAME_SIZE];

        out[0] = '\0';
        host_names_short(name, sizeof(name));
        if (dns_name_check(bytes_of(name), false, checked, sizeof(checked), NULL) == 0 &&
            strcmp(checked, "localhost") != 0)
                (void) snprintf(out, size, "%s", checked);
}

void host_ca_name(char *out, size_t size) {
        char label[256];

        own_label(label, sizeof(label));
        if (label[0] && strlen(label) + strlen(" CA") < size)
                (void) snprintf(out, size, "%s CA", label);
        else
                (void) snprintf(out, size, "cad CA");
}

int host_permit_own_domain(struct name_constraints *constraints, struct error *err) {
        char name[256];
        const char *domain;

        own_fqdn(name, sizeof(name));
        domain = strchr(name, '.');
        for (size_t i = 0; domain && i < ARRAY_SIZE(private_suffixes); i++)
                if (text_ends_with(name, private_suffixes[i]))
                        return constraints_permit_dns(constraints, domain + 1, err);
        return 0;
}

static bool is_private(uint32_t address) {
        return (address >> 24) == 10 || (address >> 20) == 0xac1 || (address >> 16) == 0xc0a8;
}

/* The first private IPv4 address of an interface that is up; IPv6 addresses change too often to stand in certificates. */
static bool own_address(char *out, size_t size) {
        struct ifaddrs *list = NULL;
        bool found = false;

        if (getifaddrs(&list) < 0)
                return false;
        for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
                struct sockaddr_in in;

                if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
                    (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
                        continue;
                memcpy(&in, i->ifa_addr, sizeof(in));
                found = is_private(ntohl(in.sin_addr.s_addr)) &&
                        inet_ntop(AF_INET, &in.sin_addr, out, (socklen_t) size);
        }
        freeifaddrs(list);
        return found;
}

static bool permitted(const struct name_constraints *constraints, const char *name) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };

        return san_list_add_text(&list, name, NULL) == 0 &&
                (!constraints || constraints_check(constraints, &list.items[0], NULL) == 0);
}

int host_public_url(const struct name_constraints *constraints, unsigned port, char *out,
                    size_t size, struct error *err) {
        char name[256], label[256], text[sizeof(name) + 16];

        own_fqdn(name, sizeof(name));
        own_label(label, sizeof(label));
        if (!name[0] || !permitted(constraints, name)) {
                name[0] = '\0';
                if (label[0] && snprintf(name, sizeof(name), "%.200s.local", label) > 0 &&
                    !permitted(constraints, name))
                        name[0] = '\0';
        }
        if (!name[0] && !own_address(name, sizeof(name)))
                (void) snprintf(name, sizeof(name), "localhost");
        if (port == 80)
                (void) snprintf(text, sizeof(text), "http://%s", name);
        else
                (void) snprintf(text, sizeof(text), "http://%s:%u", name, port);
        return host_check_public_url(text, out, size, err);
}

int host_check_public_url(const char *url, char *out, size_t size, struct error *err) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        char host[256];
        const char *at = url, *end, *colon;
        uint64_t port;

        if (strncmp(url, "http://", 7) != 0)
                return error_set(
                        err, ERR_USAGE,
                        "'%.100s' cannot be the public URL: it is http://NAME[:PORT] (CRLs are fetched over plain http)",
                        url);
        at += 7;
        end = at + strcspn(at, "/?#");
        if (*end && strcmp(end, "/") != 0)
                return error_set(err, ERR_USAGE,
                                 "'%.100s' cannot be the public URL: it has no path", url);
        colon = *at == '[' ? strchr(at, ']') : at;
        colon = colon ? strchr(colon, ':') : NULL;
        if (colon && colon > end)
                colon = NULL;
        (void) snprintf(host, sizeof(host), "%.*s", (int) ((colon ? colon : end) - at), at);
        if (!host[0] || san_list_add_text(&list, host, NULL) < 0 ||
            (list.items[0].type != SAN_DNS && list.items[0].type != SAN_IP) || host[0] == '*')
                return error_set(
                        err, ERR_USAGE,
                        "'%.100s' cannot be the public URL: '%.100s' is no host name or address",
                        url, host);
        if (colon) {
                char digits[8];

                (void) snprintf(digits, sizeof(digits), "%.*s", (int) (end - colon - 1), colon + 1);
                if (end - colon > (ptrdiff_t) sizeof(digits) ||
                    text_to_u64(digits, 65535, &port) < 0 || port == 0)
                        return error_set(
                                err, ERR_USAGE,
                                "'%.100s' cannot be the public URL: the port is no number from 1 to 65535",
                                url);
        }
        if ((size_t) (end - url) >= size || end - url > 180)
                return error_set(err, ERR_USAGE, "the public URL is longer than 180 characters");
        (void) snprintf(out, size, "%.*s", (int) (end - url), url);
        return 0;
}
