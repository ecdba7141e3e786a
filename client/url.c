/*
 * What may stand behind --url: see url.h.
 */
#include "url.h"

#include <curl/curl.h>
#include <string.h>

#include "lib/base/text.h"

static bool part_is_empty(CURLU *url, CURLUPart part) {
        char *text = NULL;
        bool empty = curl_url_get(url, part, &text, 0) != CURLUE_OK || !text || !*text;

        curl_free(text);
        return empty;
}

bool url_names_server(const char *text) {
        CURLU *url = curl_url();
        char *path = NULL;
        bool good = url &&
                curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK &&
                (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0) &&
                part_is_empty(url, CURLUPART_QUERY) && part_is_empty(url, CURLUPART_FRAGMENT) &&
                curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK && text_equal(path, "/");

        curl_free(path);
        curl_url_cleanup(url);
        return good;
}
