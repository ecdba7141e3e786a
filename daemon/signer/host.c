/*
 * The host's names and addresses. Used when a CA is made, never while it signs; no name is looked up over the network.
 */
#include "daemon/signer/host.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/text.h"

/* Scopes in /proc/net/if_inet6; the kernel's names, which no header has for us. */
#define IPV6_ADDR_GLOBAL 0x00
#define IPV6_ADDR_SITE 0x40

/* Suffixes that are private in practice though no registry says so; the defaults of design.md §5 hold the rest. */
static const char *const private_suffixes[] = { ".corp",    ".home",      ".intranet",
                                                ".private", ".fritz.box", ".speedport.ip" };

/* hosts(5): an address, the full name, others. @out is set where one of them is @name and the first has a dot. */
static bool full_name_in_line(char *line, const char *name, char *out, size_t size) {
        static const char blank[] = " \t\r\n";
        char *rest = NULL, *full;
        bool ours = false;

        line[strcspn(line, "#")] = '\0';
        if (!strtok_r(line, blank, &rest))
                return false;
        full = strtok_r(NULL, blank, &rest);
        for (char *at = full; at && !ours; at = strtok_r(NULL, blank, &rest))
                ours = strcmp(at, name) == 0;
        if (ours && strchr(full, '.'))
                (void) snprintf(out, size, "%s", full);
        return ours && strchr(full, '.');
}

/*
 * The full name that /etc/hosts gives to @name. Not by gethostent(): that loads every module of nsswitch.conf, with what they
 * are linked with, into the process that holds the keys.
 */
static void full_name_of(const char *name, char *out, size_t size) {
        FILE *file = fopen("/etc/hosts", "re");
        char line[1024];

        while (file && fgets(line, sizeof(line), file))
                if (full_name_in_line(line, name, out, size))
                        break;
        if (file)
                (void) fclose(file);
}

/* The FQDN as this machine's own files know it, "" where there is none. */
static void own_fqdn(char *out, size_t size) {
        char name[256] = "", full[256];

        out[0] = '\0';
        if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
                return;
        (void) snprintf(full, sizeof(full), "%s", name);
        if (!strchr(name, '.'))
                full_name_of(name, full, sizeof(full));
        if (strchr(full, '.') && dns_name_check(bytes_of(full), false, out, size, NULL) < 0)
                out[0] = '\0';
}

static void own_label(char *out, size_t size) {
        char name[256] = "", checked[256];

        out[0] = '\0';
        if (gethostname(name, sizeof(name) - 1) < 0)
                return;
        name[strcspn(name, ".")] = '\0';
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

/* IPv4 as getifaddrs() has it; for IPv6 it does not say which are temporary. */
static void each_ipv4(void (*each)(const char *name, void *context), void *context) {
        struct ifaddrs *list = NULL;
        char text[INET_ADDRSTRLEN];

        if (getifaddrs(&list) < 0)
                return;
        for (struct ifaddrs *i = list; i; i = i->ifa_next) {
                struct sockaddr_in in;

                if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
                    (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
                        continue;
                memcpy(&in, i->ifa_addr, sizeof(in));
                if ((ntohl(in.sin_addr.s_addr) >> 16) != 0xa9fe && /* RFC 3927: link-local */
                    inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text)))
                        each(text, context);
        }
        freeifaddrs(list);
}

/* proc_net(5): address, interface, prefix, scope and flags in hexadecimal, name. */
static bool ipv6_of_line(const char *line, char text[INET6_ADDRSTRLEN]) {
        uint8_t octets[sizeof(struct in6_addr)];
        unsigned scope, flags;
        char hex[2 * sizeof(octets) + 1];
        size_t size;

        if (sscanf(line, "%32s %*x %*x %x %x", hex, &scope, &flags) != 3 ||
            (scope != IPV6_ADDR_GLOBAL && scope != IPV6_ADDR_SITE) ||
            (flags & (IFA_F_TEMPORARY | IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE)) ||
            hex_decode(hex, octets, sizeof(octets), &size) < 0 || size != sizeof(octets))
                return false;
        return inet_ntop(AF_INET6, octets, text, INET6_ADDRSTRLEN) != NULL;
}

static void each_ipv6(void (*each)(const char *name, void *context), void *context) {
        FILE *file = fopen("/proc/self/net/if_inet6", "re");
        char line[128], text[INET6_ADDRSTRLEN];

        while (file && fgets(line, sizeof(line), file))
                if (ipv6_of_line(line, text))
                        each(text, context);
        if (file)
                (void) fclose(file);
}

void host_each_name(void (*each)(const char *name, void *context), void *context) {
        char name[256], label[256], local[sizeof(label) + sizeof(".local")];

        own_fqdn(name, sizeof(name));
        own_label(label, sizeof(label));
        (void) snprintf(local, sizeof(local), "%s.local", label);
        if (name[0])
                each(name, context);
        if (label[0] && strcmp(local, name) != 0)
                each(local, context);
        if (label[0])
                each(label, context);
        each("localhost", context);
        each("127.0.0.1", context);
        each("::1", context);
        each_ipv4(each, context);
        each_ipv6(each, context);
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
