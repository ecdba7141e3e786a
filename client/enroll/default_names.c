/*
 * The names of a certificate for which nobody gave any: those of this host that the CA is for.
 */
#include "client/enroll/steps.h"

#include "client/api.h"
#include "client/output.h"
#include "lib/base/host_names.h"
#include "lib/pki/constraints.h"

struct own_names {
        struct certs cas; /* root and intermediates: each says for which names it is */
        struct san_list permitted;
        struct buffer refused;
};

static void own_names_done(struct own_names *own) {
        certs_done(&own->cas);
        san_list_done(&own->permitted);
        buffer_done(&own->refused);
}
CAD_CLEANUP_DONE(struct own_names, own_names_done)

static bool permits(struct bytes der, const struct san *name) {
        CAD_AUTO(constraints_free) struct name_constraints *constraints = NULL;
        struct error ignored = { 0 };
        struct cert cert;

        if (cert_read(der, &cert, &ignored) < 0)
                return false;
        if (!cert.name_constraints.size)
                return true;
        return constraints_from_der(cert.name_constraints, &constraints, &ignored) == 0 &&
                constraints_check(constraints, name, &ignored) == 0;
}

static void add_own(const char *name, void *context) {
        struct own_names *own = context;
        CAD_AUTO(san_list_done) struct san_list one = { .count = 0 };

        if (san_list_add_text(&one, name, NULL) < 0 ||
            (one.items[0].type != SAN_DNS && one.items[0].type != SAN_IP))
                return;
        for (size_t i = 0; i < own->cas.count; i++)
                if (!permits(buffer_bytes(&own->cas.der[i]), &one.items[0])) {
                        buffer_format(&own->refused, "%s%s", own->refused.size ? ", " : "", name);
                        return;
                }
        (void) san_list_add_text(&own->permitted, name, NULL);
}

/* As cad does it for its own: those names and addresses of the host that the CA is for. */
enum result enroll_default_names(struct client *c, struct enroll_run *r) {
        CAD_AUTO(own_names_done) struct own_names own = { .permitted = { .count = 0 } };
        CAD_AUTO(buffer_done) struct buffer bundle = { 0 }, text = { 0 };
        struct error err = { 0 };
        enum result result = api_get_text(c, "/v1/ca/bundle.pem", /* accept= */ NULL, &bundle);

        if (result != DONE)
                return result;
        if (certs_from_text(&own.cas, buffer_bytes(&bundle), "the CA's bundle", &err) < 0)
                return fail_error(&err);
        host_names_each(add_own, &own);
        if (!own.permitted.count)
                return fail(
                        REFUSED,
                        "this CA is for none of this host's names (%s): 'cactl ca show' says for which it is; name one",
                        buffer_string(&own.refused));
        names_text(&own.permitted, &text);
        say(c, "names of this host: %s", buffer_string(&text));
        if (own.refused.size)
                say(c, "left out, because the CA is not for them: %s", buffer_string(&own.refused));
        r->wish.what.names = own.permitted;
        own.permitted = (struct san_list){ .count = 0 };
        return DONE;
}
