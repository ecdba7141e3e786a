/*
 * Router: see router.h. It never decodes a path: what would need decoding is refused, so that what is matched,
 * logged and authorized is what was sent.
 */
#include "router.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macros.h"

enum char_class {
        CHAR_UNRESERVED = 1 << 0, /* RFC 3986 §2.3 */
        CHAR_PATH = 1 << 1,       /* pchar without pct-encoded, §3.3 */
};

#define U (CHAR_UNRESERVED | CHAR_PATH)
#define P CHAR_PATH
/* clang-format off */
static const uint8_t char_classes[256] = {
        ['A' ... 'Z'] = U, ['a' ... 'z'] = U, ['0' ... '9'] = U, ['-'] = U, ['.'] = U, ['_'] = U, ['~'] = U,
        ['!'] = P, ['$'] = P, ['&'] = P, ['\''] = P, ['('] = P, [')'] = P, ['*'] = P, ['+'] = P, [','] = P, [';'] = P,
        ['='] = P, [':'] = P, ['@'] = P,
};
/* clang-format on */
#undef U
#undef P

/* Never served: no CORS, no proxy, and TRACE reflects credentials (RFC 9110 §9.3.6–§9.3.8). */
static const char *const methods_refused[] = { "OPTIONS", "TRACE", "CONNECT" };

static bool method_refused(const char *method) {
        for (size_t i = 0; i < ARRAY_SIZE(methods_refused); i++)
                if (strcmp(method, methods_refused[i]) == 0)
                        return true;
        return false;
}

/* RFC 9110 §9.3.2: HEAD is GET without the content. */
static bool method_fits(const struct route *route, const char *method) {
        return strcmp(route->method, strcmp(method, "HEAD") == 0 ? "GET" : method) == 0;
}

static unsigned route_listeners(const struct route *route) {
        return route->listeners ? route->listeners : ROUTE_LISTENERS_DEFAULT;
}

static bool listener_fits(const struct route *route, unsigned listener) {
        return !listener || (route_listeners(route) & listener);
}

static int segment_check(const char *segment, size_t size, bool last, struct error *err) {
        if (size == 0 && !last)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the path has an empty segment (\"//\")");
        if ((size == 1 && segment[0] == '.') ||
            (size == 2 && segment[0] == '.' && segment[1] == '.'))
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the path has a segment \"%.*s\"; send it already resolved",
                                 (int) size, segment);
        return 0;
}

static int path_char_refused(unsigned char c, struct error *err) {
        if (c == '%')
                return error_set(
                        err, ERR_REQUEST_MALFORMED,
                        "the path is percent-encoded; no path here needs that, send it plainly");
        return error_set(err, ERR_REQUEST_MALFORMED,
                         "the path has a character (0x%02x) that no path may have", c);
}

static int path_check(const char *path, size_t *ret_size, struct error *err) {
        const char *segment = path + 1, *p;

        if (path[0] != '/')
                return error_set(
                        err, ERR_REQUEST_MALFORMED,
                        "the request target is not a path that begins with '/'; send it in origin form");
        for (p = segment; *p; p++) {
                if ((size_t) (p - path) >= ROUTE_PATH_MAX)
                        return error_set(err, ERR_REQUEST_MALFORMED,
                                         "the path is longer than %d bytes", ROUTE_PATH_MAX);
                if (*p == '/') {
                        if (segment_check(segment, (size_t) (p - segment), false, err) < 0)
                                return -1;
                        segment = p + 1;
                } else if (!(char_classes[(unsigned char) *p] & CHAR_PATH))
                        return path_char_refused((unsigned char) *p, err);
        }
        *ret_size = (size_t) (p - path);
        return segment_check(segment, (size_t) (p - segment), true, err);
}

/* Where the parameters of a path stand, as offsets. */
struct slices {
        size_t len;
        struct {
                const char *name;
                size_t name_len, start, end;
        } at[ROUTE_PARAMS_MAX];
};

static size_t parameter_size(const char *text) {
        size_t n = 0;

        while (char_classes[(unsigned char) text[n]] & CHAR_UNRESERVED)
                n++;
        return text[n] == '/' || text[n] == '\0' ? n : 0;
}

static bool pattern_fits(const char *pattern, const char *path, struct slices *slices) {
        const char *p = path;

        slices->len = 0;
        while (*pattern) {
                const char *end;
                size_t size;

                if (*pattern != '{') {
                        if (*pattern++ != *p++)
                                return false;
                        continue;
                }
                end = strchr(pattern, '}');
                size = parameter_size(p);
                if (!end || size == 0 || slices->len == ROUTE_PARAMS_MAX)
                        return false;
                slices->at[slices->len].name = pattern + 1;
                slices->at[slices->len].name_len = (size_t) (end - pattern - 1);
                slices->at[slices->len].start = (size_t) (p - path);
                slices->at[slices->len].end = (size_t) (p - path) + size;
                slices->len++;
                p += size;
                pattern = end + 1;
        }
        return *p == '\0';
}

static void match_fill(struct route_match *match, const struct route *route, const char *path,
                       size_t size, const struct slices *slices) {
        match->route = route;
        match->params_len = slices->len;
        memcpy(match->path, path, size + 1);
        for (size_t i = 0; i < slices->len; i++) {
                match->params[i].name = slices->at[i].name;
                match->params[i].name_len = slices->at[i].name_len;
                match->params[i].value = match->path + slices->at[i].start;
                match->path[slices->at[i].end] = '\0';
        }
}

static void allow_add(char *allow, const char *method) {
        size_t used = strlen(allow), size = strlen(method);

        for (const char *p = allow; (p = strstr(p, method)); p += size)
                if ((p == allow || p[-1] == ' ') && (p[size] == ',' || p[size] == '\0'))
                        return;
        if (used + size + 3 <= ROUTE_ALLOW_MAX)
                (void) snprintf(allow + used, ROUTE_ALLOW_MAX - used, "%s%s", used ? ", " : "",
                                method);
}

static int not_allowed(const char *method, const char *allow, struct error *err) {
        return error_set(err, ERR_METHOD_NOT_ALLOWED,
                         "the method %.32s is not for this path; allowed: %s", method, allow);
}

int route_find(const struct route *routes, size_t routes_len, unsigned listener, const char *method,
               const char *path, struct route_match *ret, char *ret_allow, struct error *err) {
        bool refused = method_refused(method), whole = false;
        struct slices slices = { 0 };
        size_t size = 0;

        ret_allow[0] = '\0';
        if (path_check(path, &size, refused ? NULL : err) < 0) {
                if (!refused)
                        return -1;
                whole = true; /* "*", "host:443" */
        }
        for (size_t i = 0; i < routes_len; i++) {
                const struct route *route = &routes[i];

                if (!listener_fits(route, listener) ||
                    (!whole && !pattern_fits(route->pattern, path, &slices)))
                        continue;
                if (!refused && method_fits(route, method)) {
                        match_fill(ret, route, path, size, &slices);
                        ret_allow[0] = '\0';
                        return 0;
                }
                allow_add(ret_allow, route->method);
                if (strcmp(route->method, "GET") == 0)
                        allow_add(ret_allow, "HEAD");
        }
        if (ret_allow[0])
                return not_allowed(method, ret_allow, err);
        return error_set(err, ERR_NOT_FOUND, "there is nothing at %s", path);
}

const char *route_param(const struct route_match *match, const char *name) {
        size_t size = strlen(name);

        for (size_t i = 0; i < match->params_len; i++)
                if (match->params[i].name_len == size &&
                    memcmp(match->params[i].name, name, size) == 0)
                        return match->params[i].value;
        return NULL;
}

static int pattern_check(const char *pattern, struct error *err) {
        size_t params = 0;

        if (pattern[0] != '/' || strlen(pattern) > ROUTE_PATH_MAX)
                return error_set(err, ERR_CONFIG, "route %s: not a path of at most %d bytes",
                                 pattern, ROUTE_PATH_MAX);
        for (const char *p = pattern; *p; p++) {
                const char *end;

                if (*p == '/' || (char_classes[(unsigned char) *p] & CHAR_PATH))
                        continue;
                end = *p == '{' && p[-1] == '/' ? strchr(p, '}') : NULL;
                if (!end || end == p + 1 || (end[1] != '/' && end[1] != '\0') ||
                    ++params > ROUTE_PARAMS_MAX)
                        return error_set(
                                err, ERR_CONFIG,
                                "route %s: a {parameter} must be a whole segment, %d at most",
                                pattern, ROUTE_PARAMS_MAX);
                p = end;
        }
        return 0;
}

/* Whether every path that @b takes is taken by @a. */
static bool pattern_covers(const char *a, const char *b) {
        while (*a && *b) {
                if (*a == '{') {
                        a = strchr(a, '}') + 1;
                        b += strcspn(b, "/");
                } else if (*a++ != *b++)
                        return false;
        }
        return *a == *b;
}

int route_table_check(const struct route *routes, size_t routes_len, struct error *err) {
        for (size_t i = 0; i < routes_len; i++) {
                if (!routes[i].method || !routes[i].pattern || !routes[i].handler)
                        return error_set(err, ERR_CONFIG,
                                         "row %zu of the route table is not complete", i);
                if (pattern_check(routes[i].pattern, err) < 0)
                        return -1;
                if (method_refused(routes[i].method) || strcmp(routes[i].method, "HEAD") == 0)
                        return error_set(err, ERR_CONFIG,
                                         "route %s: the method %s is never handed to a handler",
                                         routes[i].pattern, routes[i].method);
                for (size_t j = 0; j < i; j++)
                        if (strcmp(routes[j].method, routes[i].method) == 0 &&
                            pattern_covers(routes[j].pattern, routes[i].pattern) &&
                            !(route_listeners(&routes[i]) & ~route_listeners(&routes[j])))
                                return error_set(err, ERR_CONFIG,
                                                 "route %s %s is hidden by %s before it",
                                                 routes[i].method, routes[i].pattern,
                                                 routes[j].pattern);
        }
        return 0;
}
