/*
 * The host's names and addresses: see host_names.h. Only files of the machine and the kernel are read.
 */
#include "host_names.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

/* Scopes in /proc/net/if_inet6; the kernel's names, which no header has for us. */
#define IPV6_ADDR_GLOBAL 0x00
#define IPV6_ADDR_SITE 0x40

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

void host_names_full(char *out, size_t size) {
        char name[HOST_NAME_SIZE] = "", full[HOST_NAME_SIZE];

        out[0] = '\0';
        if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
                return;
        (void) snprintf(full, sizeof(full), "%s", name);
        if (!strchr(name, '.'))
                full_name_of(name, full, sizeof(full));
        if (strchr(full, '.'))
                (void) snprintf(out, size, "%s", full);
}

void host_names_short(char *out, size_t size) {
        char name[HOST_NAME_SIZE] = "";

        out[0] = '\0';
        if (gethostname(name, sizeof(name) - 1) < 0)
                return;
        name[strcspn(name, ".")] = '\0';
        if (strcmp(name, "localhost") != 0)
                (void) snprintf(out, size, "%s", name);
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

void host_names_each(void (*each)(const char *name, void *context), void *context) {
        char name[HOST_NAME_SIZE], label[HOST_NAME_SIZE], local[sizeof(label) + sizeof(".local")];

        host_names_full(name, sizeof(name));
        host_names_short(label, sizeof(label));
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
