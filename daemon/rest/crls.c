/*
 * The CRLs as JSON: how each stands, and "publish now". The lists themselves are fetched from their public URLs (public.c).
 */
#include "daemon/authority/publisher.h"
#include "daemon/http/json.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"

static void set_moment(json_t *object, const char *key, int64_t t) {
        char text[MOMENT_TEXT_MAX];

        (void) json_object_set_new(object, key, json_string(moment_format(t, text)));
}

static json_t *json_crl(const struct ca_info *ca, const struct publisher_status *s, int64_t now) {
        char url[CERT_URL_MAX], ignored[CERT_URL_MAX];
        json_t *out = json_object();

        signer_issuer_urls(ca->public_url, s->issuer, url, ignored);
        (void) json_object_set_new(out, "issuer", json_string(s->issuer));
        (void) json_object_set_new(out, "url", json_string(url));
        (void) json_object_set_new(out, "status",
                                   json_string(!s->exists                     ? "missing"
                                                       : now > s->next_update ? "lapsed"
                                                       : s->pending_s >= 0    ? "changing"
                                                                              : "current"));
        if (!s->exists)
                return out;
        (void) json_object_set_new(out, "number", json_integer((json_int_t) s->number));
        set_moment(out, "this_update", s->this_update);
        set_moment(out, "next_update", s->next_update);
        (void) json_object_set_new(out, "entries", json_integer((json_int_t) s->entry_count));
        (void) json_object_set_new(out, "size", json_integer((json_int_t) s->size));
        return out;
}

static json_t *json_crls(struct authority *a) {
        struct publisher_status status;
        int64_t now = moment_now();
        json_t *list = json_array();

        for (size_t i = 0; publisher_status(authority_publisher(a), i, now, &status); i++)
                (void) json_array_append_new(list, json_crl(authority_ca(a), &status, now));
        return json_pack("{s:o}", "crls", list);
}

void rest_crl_list(struct exchange *x) {
        exchange_json(x, 200, json_crls(rest_authority(x)));
}

static void on_published(void *context, const struct error *err) {
        struct exchange *x = context;

        if (err)
                exchange_problem(x, err);
        else
                exchange_json(x, 200, json_crls(rest_authority(x)));
        exchange_send(x);
}

/* No worker waits for the signer: the publisher answers. */
void rest_crl_publish(struct exchange *x) {
        struct principal who = *rest_principal(
                x); /* the exchange may be gone before this returns */
        const struct publish_request rq = { .principal = &who,
                                            .source = exchange_peer(x)->text,
                                            .request_id = exchange_request_id(x) };
        struct error err = { 0 };

        if (rest_read_nothing(x, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        exchange_defer(x);
        if (authority_publish(rest_authority(x), &rq, on_published, x, &err) < 0)
                on_published(x, &err);
}
