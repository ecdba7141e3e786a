/*
 * Media types: see media.h. Parameters of a type are skipped, but for the weight of an Accept field.
 */
#include "media.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/bytes.h"
#include "lib/base/text.h"

#define ACCEPT_RANGES_MAX 32 /* media ranges of a field */
#define WEIGHT_MAX 1000      /* RFC 9110 §12.4.2: three digits */

static bool token_char(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_size(const char *p) {
        size_t n = 0;

        while (token_char(p[n]))
                n++;
        return n;
}

static const char *skip_space(const char *p) {
        return p + strspn(p, " \t");
}

/* type "/" subtype, lower case into @out. Return: behind it, or NULL */
static const char *take_type(const char *p, char *out) {
        size_t type = token_size(p), subtype = p[type] == '/' ? token_size(p + type + 1) : 0,
               size = type + subtype + 1;

        if (type == 0 || subtype == 0 || size >= MEDIA_TYPE_MAX)
                return NULL;
        memcpy(out, p, size);
        out[size] = '\0';
        text_lower(out);
        return p + size;
}

int media_type_parse(const char *content_type, char *out, struct error *err) {
        char type[MEDIA_TYPE_MAX];
        const char *end;

        if (!content_type)
                return error_set(err, ERR_MEDIA_TYPE, "the request has a body and no Content-Type");
        end = take_type(skip_space(content_type), type);
        end = end ? skip_space(end) : NULL;
        if (!end || (*end && *end != ';'))
                return error_set(err, ERR_MEDIA_TYPE, "the Content-Type '%s' is not a media type",
                                 content_type);
        memcpy(out, type, sizeof(type));
        return 0;
}

/* qvalue: "0" [ "." 0*3DIGIT ] or "1" [ "." 0*3"0" ]. Return: 0 to 1000, or -1 */
static int weight_parse(const char *p, size_t size) {
        int weight, unit = WEIGHT_MAX;

        if (size == 0 || size > 5 || (p[0] != '0' && p[0] != '1') || (size > 1 && p[1] != '.'))
                return -1;
        weight = (p[0] - '0') * unit;
        for (size_t i = 2; i < size; i++) {
                if (p[i] < '0' || p[i] > '9')
                        return -1;
                unit /= 10;
                weight += (p[i] - '0') * unit;
        }
        return weight > WEIGHT_MAX ? -1 : weight;
}

static const char *skip_quoted(const char *p) {
        for (p++; *p && *p != '"'; p++)
                if (*p == '\\' && !*++p)
                        return NULL;
        return *p ? p + 1 : NULL;
}

/* *( OWS ";" OWS name "=" value ). Return: behind them, or NULL; @weight is set where there is a "q" */
static const char *take_parameters(const char *p, int *weight) {
        for (p = skip_space(p); *p == ';'; p = skip_space(p)) {
                const char *name = skip_space(p + 1), *value;
                size_t size = token_size(name);

                p = name + size;
                if (size == 0)
                        continue; /* ";" ";" is allowed (RFC 9110 §5.6.6) */
                if (*p++ != '=')
                        return NULL;
                value = p;
                p = *value == '"' ? skip_quoted(value) : value + token_size(value);
                if (!p || p == value)
                        return NULL;
                if (size == 1 && (*name | 0x20) == 'q') {
                        *weight = weight_parse(value, (size_t) (p - value));
                        if (*weight < 0)
                                return NULL;
                }
        }
        return p;
}

/* How exactly a range names an offer: 0 not at all, 1 any, 2 type/any, 3 the type itself. */
static int range_fits(const char *range, const char *offer) {
        size_t type = strcspn(range, "/");

        if (strcmp(range, "*/*") == 0)
                return 1;
        if (strcmp(range + type, "/*") == 0)
                return strncasecmp(range, offer, type + 1) == 0 ? 2 : 0;
        return strcasecmp(range, offer) == 0 ? 3 : 0;
}

struct range {
        char type[MEDIA_TYPE_MAX];
        int weight;
};

static int accept_parse(const char *accept, struct range *ranges, size_t *ret_len,
                        struct error *err) {
        const char *p = accept;

        *ret_len = 0;
        for (;;) {
                p += strspn(p, " \t,");
                if (!*p)
                        return 0;
                if (*ret_len == ACCEPT_RANGES_MAX)
                        return error_set(err, ERR_REQUEST_MALFORMED,
                                         "the Accept field names more than %d types",
                                         ACCEPT_RANGES_MAX);
                ranges[*ret_len].weight = WEIGHT_MAX;
                p = take_type(p, ranges[*ret_len].type);
                p = p ? take_parameters(p, &ranges[*ret_len].weight) : NULL;
                if (!p || (*p && *p != ','))
                        return error_set(err, ERR_REQUEST_MALFORMED,
                                         "the Accept field '%s' cannot be read", accept);
                (*ret_len)++;
        }
}

static int offer_weight(const char *offer, const struct range *ranges, size_t ranges_len) {
        int best = 0, weight = 0;

        for (size_t i = 0; i < ranges_len; i++) {
                int fits = range_fits(ranges[i].type, offer);

                if (fits > best) {
                        best = fits;
                        weight = ranges[i].weight;
                }
        }
        return weight;
}

static int nothing_fits(const char *const *offers, size_t offers_len, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };

        for (size_t i = 0; i < offers_len; i++)
                buffer_format(&names, "%s%s", i ? ", " : "", offers[i]);
        return error_set(err, ERR_NOT_ACCEPTABLE, "Accept takes none of what there is: %s",
                         buffer_string(&names));
}

int media_choose(const char *accept, const char *const *offers, size_t offers_len, size_t *ret,
                 struct error *err) {
        struct range ranges[ACCEPT_RANGES_MAX];
        size_t ranges_len, best = 0;
        int best_weight = 0;

        if (!accept || !*skip_space(accept)) {
                *ret = 0;
                return 0;
        }
        if (accept_parse(accept, ranges, &ranges_len, err) < 0)
                return -1;
        for (size_t i = 0; i < offers_len; i++) {
                int weight = offer_weight(offers[i], ranges, ranges_len);

                if (weight > best_weight) {
                        best = i;
                        best_weight = weight;
                }
        }
        if (best_weight == 0)
                return nothing_fits(offers, offers_len, err);
        *ret = best;
        return 0;
}
