/*
 * Fetching a root from a server that nobody vouches for: see root_fetch.h.
 *
 * The server may be hostile: time, size and count of what it sends are bounded, and nothing of it is interpreted but PEM's armour.
 */
#include "root_fetch.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"
#include "output.h"
#include "show.h"
#include "url.h"

#define URL_MAX 1024 /* bytes with NUL */
#define SAID_MAX 256

struct fetch {
        char url[URL_MAX];
        struct buffer body;
        char problem[CURL_ERROR_SIZE];
};

static void fetch_done(struct fetch *f) {
        buffer_done(&f->body);
}
CAD_CLEANUP_DONE(struct fetch, fetch_done)

/* ---- where ---- */

static enum result take_url(struct fetch *f, const char *text) {
        bool secure = strncasecmp(text, "https://", 8) == 0;
        size_t length = strlen(text);

        while (length && text[length - 1] == '/')
                length--;
        if (length >= URL_MAX / 2 || !url_names_server(text))
                return fail(WRONG_USAGE, "--url %s: write it as http(s)://NAME[:PORT]", text);
        (void) snprintf(f->url, sizeof(f->url), "%.*s%s", (int) length, text,
                        secure ? "/v1/ca/root.pem" : "/root.crt");
        return DONE;
}

/* ---- what comes ---- */

static size_t take_body(char *data, size_t one, size_t size, void *context) {
        struct fetch *f = context;

        (void) one;
        if (size > ROOT_FETCH_MAX - f->body.size)
                return 0;
        buffer_append(&f->body, BYTES(data, size));
        return f->body.failed ? 0 : size;
}

static enum result say_problem(const struct fetch *f, CURLcode code) {
        char said[SAID_MAX];

        if (code == CURLE_WRITE_ERROR)
                return fail(REFUSED,
                            "%s sends more than %u bytes, which is no root certificate: is this a "
                            "cad?",
                            f->url, ROOT_FETCH_MAX);
        if (code == CURLE_OPERATION_TIMEDOUT)
                return fail(UNREACHABLE,
                            "%s did not give its root within %ld s: is cad running there, and on "
                            "that port?",
                            f->url, ROOT_FETCH_TIMEOUT_S);
        (void) text_printable(bytes_of(f->problem[0] ? f->problem : curl_easy_strerror(code)), said,
                              sizeof(said));
        return fail(UNREACHABLE,
                    "%s cannot be fetched (%s): is cad running there, and on that "
                    "port?",
                    f->url, said);
}

static void set_up(CURL *curl, struct fetch *f) {
        curl_easy_setopt(curl, CURLOPT_URL, f->url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, ROOT_FETCH_TIMEOUT_S);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "cactl/" CAD_VERSION);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, f->problem);
        /* what comes is held against a fingerprint; there is nothing yet that could verify the server */
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
}

static enum result transfer(struct fetch *f) {
        CURL *curl = curl_easy_init();
        long status = 0;
        CURLcode code;

        if (!curl)
                return fail(REFUSED, "libcurl cannot be used");
        set_up(curl, f);
        code = curl_easy_perform(curl);
        (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(curl);
        if (code != CURLE_OK)
                return say_problem(f, code);
        if (status != 200)
                return fail(REFUSED, "%s answers with status %ld and no root: is this a cad?",
                            f->url, status);
        return DONE;
}

enum result root_fetch(const char *url, struct buffer *ret_der) {
        CAD_AUTO(fetch_done) struct fetch f = { .url = "" };
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        struct error err = { 0 };
        enum result result = take_url(&f, url);

        if (result == DONE)
                result = transfer(&f);
        if (result != DONE)
                return result;
        if (certs_from_text(&certs, buffer_bytes(&f.body), f.url, &err) < 0)
                return fail(REFUSED, "%s gives no certificate: %s", f.url, err.text);
        /* this one alone: more than one may have come */
        buffer_append(ret_der, buffer_bytes(&certs.der[0]));
        return ret_der->failed ? fail(REFUSED, "out of memory") : DONE;
}
