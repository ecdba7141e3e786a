/*
 * DNS-SD through Avahi's D-Bus interface: see discover.h.
 *
 * Avahi sends what it knows the moment that a browser is made, perhaps before we know the browser's path: so the match is
 * there first, for browsers of any path.
 */
#include "discover.h"

#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "output.h"

#define AVAHI "org.freedesktop.Avahi"
#define SERVER AVAHI ".Server"
#define BROWSER AVAHI ".ServiceBrowser"
#define ANY (-1) /* interface, protocol */
#define CALL_TIMEOUT_US (DISCOVER_WAIT_S * UINT64_C(1000000))
#define QUIET_MS \
        600 /* after Avahi has said that this is all for now: others may be slower to answer */

/* What ItemNew tells, as ResolveService() wants it. */
struct item {
        int32_t interface, protocol;
        char name[256], type[64], domain[256];
};

struct search {
        struct item items[DISCOVER_MAX *
                          4]; /* one may be seen on several interfaces, by IPv4 and IPv6 */
        size_t count;
        bool all_for_now;
        char failed[256]; /* "": no */
};

static sd_bus *bus_free(sd_bus *bus) {
        return sd_bus_flush_close_unref(bus);
}
CAD_CLEANUP(sd_bus, bus_free)

static void message_done(sd_bus_message **message) {
        *message = sd_bus_message_unref(*message);
}
#define AUTO_MESSAGE __attribute__((cleanup(message_done))) sd_bus_message

/* ---- what Avahi says ---- */

static void take_item(sd_bus_message *message, struct search *search) {
        struct item *item = &search->items[search->count];
        const char *name, *type, *domain;

        if (search->count == ARRAY_SIZE(search->items) ||
            sd_bus_message_read(message, "iisss", &item->interface, &item->protocol, &name, &type,
                                &domain) < 0 ||
            strlen(name) >= sizeof(item->name) || strlen(type) >= sizeof(item->type) ||
            strlen(domain) >= sizeof(item->domain))
                return;
        (void) snprintf(item->name, sizeof(item->name), "%s", name);
        (void) snprintf(item->type, sizeof(item->type), "%s", type);
        (void) snprintf(item->domain, sizeof(item->domain), "%s", domain);
        search->count++;
}

static int on_signal(sd_bus_message *message, void *context, sd_bus_error *error) {
        struct search *search = context;
        const char *member = sd_bus_message_get_member(message), *text = NULL;

        (void) error;
        if (text_equal(member, "ItemNew"))
                take_item(message, search);
        else if (text_equal(member, "AllForNow"))
                search->all_for_now = true;
        else if (text_equal(member, "Failure") && sd_bus_message_read(message, "s", &text) >= 0)
                (void) text_printable(bytes_of(text), search->failed, sizeof(search->failed));
        return 0;
}

static enum result no_avahi(const char *why) {
        return fail(
                UNREACHABLE,
                "the LAN cannot be searched for a CA: Avahi does not answer (%s); say where the CA is "
                "with --url https://NAME:8443, or install and start avahi-daemon",
                why);
}

static enum result browse(sd_bus *bus, struct search *search) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        AUTO_MESSAGE *reply = NULL;
        char why[256];
        int rc;

        rc = sd_bus_match_signal(bus, /* ret= */ NULL, AVAHI, /* path= */ NULL, BROWSER,
                                 /* member= */ NULL, on_signal, search);
        if (rc < 0)
                return no_avahi(strerror(-rc));
        rc = sd_bus_call_method(bus, AVAHI, "/", SERVER, "ServiceBrowserNew", &error, &reply,
                                "iissu", ANY, ANY, DISCOVER_TYPE, "", UINT32_C(0));
        if (rc >= 0)
                return DONE;
        (void) text_printable(bytes_of(error.message ? error.message : strerror(-rc)), why,
                              sizeof(why));
        sd_bus_error_free(&error);
        return no_avahi(why);
}

static enum result gather(sd_bus *bus, struct search *search) {
        int64_t until_ms = moment_monotonic_ms() + DISCOVER_WAIT_S * 1000;
        bool shortened = false;

        for (;;) {
                int64_t left_ms = until_ms - moment_monotonic_ms();
                int rc = sd_bus_process(bus, NULL);

                if (rc < 0)
                        return no_avahi(strerror(-rc));
                if (search->failed[0])
                        return no_avahi(search->failed);
                if (search->all_for_now && !shortened) {
                        int64_t quiet_ms = moment_monotonic_ms() + QUIET_MS;

                        until_ms = quiet_ms < until_ms ? quiet_ms : until_ms;
                        shortened = true;
                }
                if (left_ms <= 0)
                        return DONE;
                if (rc == 0)
                        (void) sd_bus_wait(bus, (uint64_t) left_ms * 1000);
        }
}

/* ---- one of them ---- */

static bool can_be_resolved(const char *host) {
        struct addrinfo *found = NULL;
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
        bool can = getaddrinfo(host, NULL, &hints, &found) == 0;

        if (found)
                freeaddrinfo(found);
        return can;
}

static void make_url(struct found_ca *ca) {
        bool ipv6 = strchr(ca->address, ':') != NULL;

        if (can_be_resolved(ca->host))
                (void) snprintf(ca->url, sizeof(ca->url), "https://%s:%u", ca->host,
                                (unsigned) ca->port);
        else
                (void) snprintf(ca->url, sizeof(ca->url), "https://%s%s%s:%u", ipv6 ? "[" : "",
                                ca->address, ipv6 ? "]" : "", (unsigned) ca->port);
}

/* An address that is good on one interface alone does not stand in a certificate. */
static bool is_link_local(const char *address) {
        return strncasecmp(address, "fe80:", 5) == 0 || strncmp(address, "169.254.", 8) == 0;
}

/* Return: whether it was resolved to something that a URL can be made of */
static bool resolve(sd_bus *bus, const struct item *item, struct found_ca *ret) {
        AUTO_MESSAGE *reply = NULL;
        const char *name, *type, *domain, *host, *address;
        int32_t interface, protocol, address_protocol;
        uint16_t port;
        char checked[DISCOVER_HOST_MAX];

        if (sd_bus_call_method(bus, AVAHI, "/", SERVER, "ResolveService", NULL, &reply, "iisssiu",
                               item->interface, item->protocol, item->name, item->type,
                               item->domain, ANY, UINT32_C(0)) < 0 ||
            sd_bus_message_read(reply, "iissssisq", &interface, &protocol, &name, &type, &domain,
                                &host, &address_protocol, &address, &port) < 0)
                return false;
        *ret = (struct found_ca){ .port = port };
        (void) text_printable(bytes_of(name), ret->name, sizeof(ret->name));
        (void) snprintf(checked, sizeof(checked), "%s", host);
        /* both go into a URL: letters of names and addresses, and nothing that ends the host */
        if (!port || strlen(host) >= sizeof(checked) ||
            checked[strspn(checked,
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")] ||
            address[strspn(address, "0123456789abcdefABCDEF.:")] ||
            strlen(address) >= sizeof(ret->address))
                return false;
        if (text_ends_with(checked, "."))
                checked[strlen(checked) - 1] = '\0';
        (void) snprintf(ret->host, sizeof(ret->host), "%s", checked);
        (void) snprintf(ret->address, sizeof(ret->address), "%s", address);
        return true;
}

/* One host is seen by IPv4 and IPv6, on each interface: it counts once, with an address that lasts. */
static void add(struct found_ca *all, size_t *count, const struct found_ca *one) {
        for (size_t i = 0; i < *count; i++)
                if (all[i].port == one->port && strcasecmp(all[i].host, one->host) == 0) {
                        if (is_link_local(all[i].address) ||
                            (strchr(all[i].address, ':') && !strchr(one->address, ':')))
                                memcpy(all[i].address, one->address, sizeof(one->address));
                        return;
                }
        if (*count < DISCOVER_MAX)
                all[(*count)++] = *one;
}

enum result discover(const struct client *c, struct found_ca *ret, size_t *ret_count) {
        struct search search = { .count = 0 };
        CAD_AUTO(bus_free) sd_bus *bus = NULL;
        size_t count = 0;
        enum result result;
        int rc = sd_bus_open_system(&bus);

        if (rc < 0)
                return no_avahi(strerror(-rc));
        (void) sd_bus_set_method_call_timeout(bus, CALL_TIMEOUT_US);
        say(c, "looking for a CA on this network …");
        result = browse(bus, &search);
        if (result == DONE)
                result = gather(bus, &search);
        if (result != DONE)
                return result;
        for (size_t i = 0; i < search.count; i++) {
                struct found_ca one;

                if (resolve(bus, &search.items[i], &one))
                        add(ret, &count, &one);
        }
        for (size_t i = 0; i < count; i++)
                make_url(&ret[i]);
        *ret_count = count;
        return DONE;
}
