/*
 * Gate: see gate.h. It decides on framing and syntax alone; what a field means is for others.
 */
#include "gate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/macros.h"
#include "lib/base/text.h"

/* Fields that change what a request means and may come once; a second one is how requests are smuggled. */
enum single_field {
        FIELD_CONTENT_LENGTH,
        FIELD_TRANSFER_ENCODING,
        FIELD_HOST,
        FIELD_ORIGIN,
        FIELD_EXPECT,
        FIELD_CONTENT_TYPE,
        FIELD_CONTENT_ENCODING,
        FIELD_AUTHORIZATION,
        FIELD_IDEMPOTENCY_KEY,
        FIELD_COUNT,
};
static const char *const single_fields[] = {
        [FIELD_CONTENT_LENGTH] = "Content-Length",
        [FIELD_TRANSFER_ENCODING] = "Transfer-Encoding",
        [FIELD_HOST] = "Host",
        [FIELD_ORIGIN] = "Origin",
        [FIELD_EXPECT] = "Expect",
        [FIELD_CONTENT_TYPE] = "Content-Type",
        [FIELD_CONTENT_ENCODING] = "Content-Encoding",
        [FIELD_AUTHORIZATION] = "Authorization",
        [FIELD_IDEMPOTENCY_KEY] = "Idempotency-Key",
};
_Static_assert(ARRAY_SIZE(single_fields) == FIELD_COUNT, "one row a field");

static bool alphanumeric(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 9110 §5.6.2 */
static bool is_token(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!alphanumeric(text[i]) && (!text[i] || !strchr("!#$%&'*+-.^_`|~", text[i])))
                        return false;
        return size > 0;
}

/* RFC 9110 §5.5: visible characters, obs-text, space and tab */
static bool is_field_value(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (((unsigned char) text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
                        return false;
        return true;
}

static enum single_field field_index(const struct gate_header *header) {
        for (unsigned i = 0; i < FIELD_COUNT; i++)
                if (strlen(single_fields[i]) == header->name_len &&
                    strncasecmp(single_fields[i], header->name, header->name_len) == 0)
                        return (enum single_field) i;
        return FIELD_COUNT;
}

void gate_add(struct gate_request *request, struct gate_header header) {
        if (request->headers_len < GATE_HEADERS_MAX)
                request->headers[request->headers_len] = header;
        request->headers_len++;
}

static int syntax_check(const struct gate_header *header, struct error *err) {
        if (!is_token(header->name, header->name_len))
                return error_set(
                        err, ERR_REQUEST_MALFORMED,
                        "the header name '%.40s' is not a token (RFC 9110 §5.1): no spaces, no line folding",
                        header->name);
        if (!is_field_value(header->value, header->value_len))
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the header %.40s has a control character in it", header->name);
        return 0;
}

static int collect(const struct gate_request *request, const char **values, struct error *err) {
        if (request->headers_len > GATE_HEADERS_MAX)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the request has %zu header fields, %d are the most",
                                 request->headers_len, GATE_HEADERS_MAX);
        for (size_t i = 0; i < request->headers_len; i++) {
                const struct gate_header *header = &request->headers[i];
                enum single_field field = field_index(header);

                if (syntax_check(header, err) < 0)
                        return -1;
                if (field == FIELD_COUNT)
                        continue;
                if (values[field])
                        return error_set(err, ERR_REQUEST_MALFORMED,
                                         "the header %s is given more than once",
                                         single_fields[field]);
                values[field] = header->value;
        }
        return 0;
}

/* RFC 9112 §6: where the body ends must not be a matter of opinion. */
static int framing_check(struct gate_request *request, const char *length, const char *encoding,
                         struct error *err) {
        if (encoding && length)
                return error_set(
                        err, ERR_REQUEST_MALFORMED,
                        "the request has both Content-Length and Transfer-Encoding; send one");
        if (encoding && strcasecmp(encoding, "chunked") != 0)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the Transfer-Encoding '%.40s' is not taken; only chunked is",
                                 encoding);
        if (encoding && strcmp(request->version, "HTTP/1.1") != 0)
                return error_set(err, ERR_REQUEST_MALFORMED, "Transfer-Encoding is not for %.16s",
                                 request->version);
        if (length && text_to_u64(length, INT64_MAX, &request->content_length) < 0)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the Content-Length '%.40s' is not a number", length);
        request->chunked = encoding != NULL;
        request->has_body = encoding || request->content_length > 0;
        return 0;
}

static int host_check(struct gate_request *request, const char *host, struct error *err) {
        if (!host && strcmp(request->version, "HTTP/1.0") != 0)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the request has no Host header (RFC 9112 §3.2)");
        if (host && !gate_host_valid(host))
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the Host '%.100s' is not a host with an optional port", host);
        request->host = host;
        return 0;
}

/* Whether only the ':' (now NUL) and white space stand between a name and its value. */
static bool value_follows(const struct gate_header *header) {
        const char *p = header->name + header->name_len + 1;

        if (header->value < p)
                return false;
        return strspn(p, " \t") >= (size_t) (header->value - p);
}

/* One line after the other, each ended with two bytes: what does not fit together was not what a parser of RFC 9112
 * would have read. Only pointers into the one buffer are compared. */
static int layout_check(const struct gate_request *request, struct error *err) {
        const char *expected = request->version + strlen(request->version) + 2;
        const char *path_end = request->path + strlen(request->path);

        /* "/a? HTTP/1.1" leaves two NULs where the '?' and the space were */
        if (!request->has_query && request->version != path_end + 1 &&
            (request->version != path_end + 2 || path_end[1] != '\0'))
                return error_set(
                        err, ERR_REQUEST_MALFORMED,
                        "the request line has a NUL or more than one space in it (RFC 9112 §3)");
        for (size_t i = 0; i < request->headers_len; i++) {
                const struct gate_header *header = &request->headers[i];

                if (header->name != expected || !value_follows(header))
                        return error_set(
                                err, ERR_REQUEST_MALFORMED,
                                "the header section has a folded line, a NUL, or a line that does not end with "
                                "CR LF, at or before '%.40s' (RFC 9112 §2.2, §5.2)",
                                header->name);
                expected = header->value + header->value_len + 2;
        }
        if (request->headers_len && expected[-1] != '\0')
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the last header field has a NUL in it (RFC 9110 §5.5)");
        return 0;
}

int gate_check(struct gate_request *request, struct error *err) {
        const char *values[FIELD_COUNT] = { 0 };
        const char *expect;

        if (collect(request, values, err) < 0 ||
            (request->in_place && layout_check(request, err) < 0) ||
            framing_check(request, values[FIELD_CONTENT_LENGTH], values[FIELD_TRANSFER_ENCODING],
                          err) < 0 ||
            host_check(request, values[FIELD_HOST], err) < 0)
                return -1;
        expect = values[FIELD_EXPECT];
        if (expect && strcasecmp(expect, "100-continue") != 0)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the Expect '%.40s' is not known; only 100-continue is", expect);
        request->expects_continue = expect != NULL;
        request->origin = values[FIELD_ORIGIN];
        return 0;
}

static const char *header_value(const struct gate_request *request, enum single_field field) {
        for (size_t i = 0; i < request->headers_len; i++)
                if (field_index(&request->headers[i]) == field)
                        return request->headers[i].value;
        return NULL;
}

/* The value of ";charset=", cut at its end and without quotes. Return: whether it is given and not UTF-8 */
static bool charset_foreign(const char *content_type, char *out, size_t size) {
        const char *p = content_type ? strcasestr(content_type, "charset") : NULL;
        size_t n;

        if (!p)
                return false;
        p += strlen("charset");
        p += strspn(p, " \t=\"'");
        n = strcspn(p, " \t;\"'");
        (void) snprintf(out, size, "%.*s", (int) n, p);
        return strcasecmp(out, "utf-8") != 0 && strcasecmp(out, "utf8") != 0 &&
                strcasecmp(out, "us-ascii") != 0;
}

int gate_content(const struct gate_request *request, struct error *err) {
        const char *encoding = header_value(request, FIELD_CONTENT_ENCODING);
        char charset[40];

        if (encoding && strcasecmp(encoding, "identity") != 0)
                return error_set_field(
                        err, ERR_MEDIA_TYPE, "Content-Encoding",
                        "the Content-Encoding '%.40s' is not taken; send the body as it is",
                        encoding);
        if (charset_foreign(header_value(request, FIELD_CONTENT_TYPE), charset, sizeof(charset)))
                return error_set_field(err, ERR_MEDIA_TYPE, "Content-Type",
                                       "the charset '%s' is not taken; send UTF-8", charset);
        return 0;
}

static size_t host_size(const char *host) {
        size_t n = 0;

        if (host[0] != '[') {
                while (alphanumeric(host[n]) || (host[n] && strchr("-._~!$&'()*+,;=", host[n])))
                        n++;
                return n;
        }
        n = 1;
        while (alphanumeric(host[n]) || host[n] == ':' || host[n] == '.')
                n++;
        return n > 1 && host[n] == ']' ? n + 1 : 0;
}

bool gate_host_valid(const char *host) {
        size_t n = host_size(host), digits = 0;

        if (host[n] == '\0')
                return true;
        if (host[n] != ':' || n == 0)
                return false;
        while (host[n + 1 + digits] >= '0' && host[n + 1 + digits] <= '9')
                digits++;
        return digits <= 5 && host[n + 1 + digits] == '\0';
}

int gate_host_name(const char *host, char *out, size_t size) {
        size_t n = host_size(host);

        if (host[0] == '[' && n > 2) {
                host++;
                n -= 2;
        }
        if (n >= size)
                return -1;
        memcpy(out, host, n);
        out[n] = '\0';
        text_lower(out);
        return 0;
}
