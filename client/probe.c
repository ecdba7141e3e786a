/*
 * HOST:PORT as people write it, and what such a server shows: the doctor's handshake, without the doctor.
 */
#include "probe.h"

#include <string.h>

#include "doctor/doctor.h"
#include "lib/base/text.h"
#include "output.h"

int probe_parse(const char *text, struct probe *ret) {
        const char *colon = strrchr(text, ':'), *host = text;
        size_t length = colon ? (size_t) (colon - text) : 0;
        uint64_t port;

        if (!colon || text_to_u64(colon + 1, 65535, &port) < 0 || port == 0 ||
            strlen(colon + 1) >= sizeof(ret->port))
                return -1;
        if (length > 2 && text[0] == '[' && colon[-1] == ']') {
                host++;
                length -= 2;
        } else if (memchr(text, ':', length)) {
                return -1; /* an IPv6 address wants brackets */
        }
        if (length == 0 || length >= sizeof(ret->host) || memchr(host, '/', length))
                return -1;
        memcpy(ret->host, host, length);
        ret->host[length] = '\0';
        memcpy(ret->port, colon + 1, strlen(colon + 1) + 1);
        return 0;
}

enum result probe_chain(const struct probe *probe, struct certs *ret, const char **ret_protocol) {
        CAD_AUTO(sighting_done) struct sighting seen = { 0 };
        struct patient patient = { .text = probe->host };
        struct error err = { 0 };
        enum result result;

        memcpy(patient.host, probe->host, sizeof(patient.host));
        memcpy(patient.port, probe->port, sizeof(patient.port));
        result = sighting_make(&patient, probe->host, &seen);
        if (result != DONE)
                return result;
        if (seen.chain.count == 0)
                return seen.trouble == DIAGNOSIS_COUNT
                        ? fail(REFUSED, "%s port %s shows no certificate", probe->host, probe->port)
                        : fail(UNREACHABLE,
                               "%s port %s: the TLS handshake failed (%s): is that a TLS port?",
                               probe->host, probe->port, seen.trouble_text);
        for (size_t i = 0; i < seen.chain.count; i++)
                if (certs_add(ret, seen.chain.items[i], &err) < 0)
                        return fail_error(&err);
        *ret_protocol = seen.protocol;
        return DONE;
}
