/*
 * Resource: see resource.h. It reads and waits for nothing, so that it may stand in an event thread.
 */
#include "resource.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/moment.h"

#define IMF_FIXDATE_SIZE 29 /* characters: "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Whether a list of entity tags has this one; weak comparison (RFC 9110 §13.1.2). */
static bool etag_listed(const char *list, const char *etag) {
        size_t size = strlen(etag);

        if (strcmp(list, "*") == 0)
                return true;
        for (const char *at = list; (at = strstr(at, etag)); at += size) {
                bool begins = at == list || at[-1] == ' ' || at[-1] == ',' || at[-1] == '\t' ||
                        at[-1] == '/';

                if (begins && (at[size] == '\0' || at[size] == ',' || at[size] == ' '))
                        return true;
        }
        return false;
}

/* IMF-fixdate alone, which is what everybody sends (RFC 9110 §5.6.7). Return: seconds since the epoch, or -1 */
static int64_t date_parse(const char *text) {
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        struct civil_time c;
        char month[4], zone[4];
        const char *found;
        int64_t t;

        if (strlen(text) != IMF_FIXDATE_SIZE ||
            sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3s", &c.day, month, &c.year,
                   &c.hour, &c.minute, &c.second, zone) != 7 ||
            strcmp(zone, "GMT") != 0)
                return -1;
        found = strstr(months, month);
        if (!found || (found - months) % 3 != 0)
                return -1;
        c.month = (int) (found - months) / 3 + 1;
        return moment_from_civil(&c, &t) < 0 ? -1 : t;
}

/* RFC 9110 §13.2.2: the tag goes before the date. */
static bool not_modified(const struct exchange *x, const struct resource *r) {
        const char *etags = exchange_header(x, "If-None-Match");
        const char *since = exchange_header(x, "If-Modified-Since");
        int64_t then;

        if (etags)
                return etag_listed(etags, r->etag);
        if (!since)
                return false;
        if (strcmp(since, r->last_modified) == 0)
                return true;
        then = date_parse(since);
        return then >= r->modified_at && then <= moment_now();
}

void resource_reply(struct exchange *x, const struct resource *r, void (*release)(void *context),
                    void *context) {
        /* A 304 has no content, but its Content-Length is that of the 200 (RFC 9110 §8.6): libmicrohttpd sees to both. */
        exchange_reply_lent(x, not_modified(x, r) ? 304 : 200, r->type, r->body, release, context);
        exchange_reply_header(x, "ETag", r->etag);
        exchange_reply_header(x, "Last-Modified", r->last_modified);
        exchange_reply_header(x, "Cache-Control", r->cache_control);
}
