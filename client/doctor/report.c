/*
 * The doctor's report: the verdict in a line, what is wrong and the command that mends it, what each kind of device makes of it, and
 * what could not be looked at. It finds nothing out.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "client/api.h"
#include "client/output.h"
#include "client/show.h"
#include "doctor.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"

#define NAMES_MAX 8 /* in a command that is shown */

/* What mends it, by code: with a certificate of the user's own CA, and of anybody else's. %N: the names, %S: the serial, %F: for
   clients "--client"; NULL: nothing to do. */
static const struct {
        const char *ours, *others;
} mends[DIAGNOSIS_COUNT] = {
        [DIAGNOSIS_NOT_TLS] = { "name the port where TLS is: 443, 8443, 993, 636, …; STARTTLS is not spoken here",
                                NULL },
        [DIAGNOSIS_TLS_STALLED] = { "look at the server's log and its load; systemctl restart it",
                                    NULL },
        [DIAGNOSIS_TLS_OVERSIZED] = { "give the server one certificate and its chain, no bundle of all CAs",
                                      NULL },
        [DIAGNOSIS_TLS_FAILED] = { "look at the server's log; openssl s_client -connect HOST:PORT says more",
                                   NULL },
        [DIAGNOSIS_NO_CERTIFICATE] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_UNREADABLE] = { "name the file with the certificate, or make a new one: cactl issue%F %N",
                                   NULL },
        [DIAGNOSIS_REVOKED] = { "cactl issue%F %N",
                                "get a new one from who issued it, or of your own CA: cactl issue%F %N" },
        [DIAGNOSIS_ON_HOLD] = { "cactl cert revoke %S --reason remove_from_crl",
                                "ask who issued it" },
        [DIAGNOSIS_CLOCK_HERE] = { "timedatectl set-ntp true (here)", NULL },
        [DIAGNOSIS_CLOCK_SERVER] = { "timedatectl set-ntp true (on the server)", NULL },
        [DIAGNOSIS_CLOCK_UNCLEAR] = { "timedatectl (on both, and set-ntp true where it is wrong)",
                                      NULL },
        [DIAGNOSIS_EXPIRED] = { "cactl cert renew %S --out FILE", "cactl issue%F %N" },
        [DIAGNOSIS_NOT_YET_VALID] = { "timedatectl (is the time right here, and on the CA?)",
                                      NULL },
        [DIAGNOSIS_ISSUER_EXPIRED] = { "cactl cert renew %S --out FILE (it comes with the CA's new chain); 'cactl status' shows the CA's own end",
                                       "cactl issue%F %N" },
        [DIAGNOSIS_ISSUER_NOT_YET_VALID] = { "timedatectl (is the time right here, and on the CA?)",
                                             NULL },
        [DIAGNOSIS_KEY_MISMATCH] = { "cactl issue%F %N (it makes key and certificate together)",
                                     NULL },
        [DIAGNOSIS_LEAF_NOT_FIRST] = { "cactl cert renew %S --out FILE (it writes certificate and chain in order)",
                                       "put the server's certificate first in its file, then what issued it" },
        [DIAGNOSIS_SELF_SIGNED] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_SIGNATURE_WRONG] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_INTERMEDIATE_MISSING] = { "cactl cert renew %S --out FILE (it writes certificate and chain), and name that file to the server",
                                             "put the intermediate behind the certificate in the server's file" },
        [DIAGNOSIS_ISSUER_UNKNOWN] = { "cactl issue%F %N, for a certificate of your own CA; --root FILE where its root is another one",
                                       NULL },
        [DIAGNOSIS_ROOT_UNTRUSTED] = { "cactl issue%F %N, for a certificate of your own CA; --root FILE where its root is another one",
                                       NULL },
        [DIAGNOSIS_ISSUER_NOT_CA] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_ISSUER_KEY_USAGE] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_ISSUER_PURPOSE] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_PATH_LENGTH] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_NAME_CONSTRAINTS] = { "give the server a name that the CA is for ('cactl ca show' lists them), and cactl issue that one",
                                         NULL },
        [DIAGNOSIS_NO_NAMES] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_NAME_ONLY_CN] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_IP_AS_DNS] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_NAME_MISMATCH] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_SERVER_PURPOSE] = { "cactl issue %N", NULL },
        [DIAGNOSIS_CLIENT_PURPOSE] = { "cactl issue --client %N (--peer for both)", NULL },
        [DIAGNOSIS_KEY_USAGE] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_KEY_WEAK] = { "cactl issue%F %N (with a new key)", NULL },
        [DIAGNOSIS_KEY_TYPE] = { "cactl issue%F --key ecdsa-p256 %N", NULL },
        [DIAGNOSIS_KEY_OVERSIZED] = { "cactl issue%F --key ecdsa-p256 %N", NULL },
        [DIAGNOSIS_SIGNATURE_MD5] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_SIGNATURE_SHA1] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_SIGNATURE_TYPE] = { "a CA with another key: cad init --key ecdsa-p256",
                                       "cactl issue%F %N" },
        [DIAGNOSIS_UNKNOWN_CRITICAL] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_CHAIN_REFUSED] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_TLS_OLD] = { "switch TLS 1.2 and 1.3 on in the server (nginx: ssl_protocols TLSv1.2 TLSv1.3;), or update it; put what cannot behind a proxy that can",
                                NULL },
        [DIAGNOSIS_LEAF_IS_CA] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_LIFE_TOO_LONG] = { "cactl issue%F --days 825 %N", NULL },
        [DIAGNOSIS_PURPOSE_MISSING] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_CHAIN_ORDER] = { "cactl cert renew %S --out FILE (it writes certificate and chain in order)",
                                    "put each certificate behind the one that it issued, in the server's file" },
        [DIAGNOSIS_CHAIN_LONG] = { "give the server its certificate and the chain alone", NULL },
        [DIAGNOSIS_CHAIN_OVERSIZED] = { "give the server its certificate and the chain alone",
                                        NULL },
        [DIAGNOSIS_NOT_IN_CA] = { "cactl audit verify, and cactl cert list --name NAME; then cactl issue%F %N",
                                  NULL },
        [DIAGNOSIS_KEY_SHARED] = { "cactl issue%F %N (with a key of its own)", NULL },
        [DIAGNOSIS_KEY_UNSAFE] = { "cactl issue%F %N (with a new key)", NULL },
        [DIAGNOSIS_LOOSE] = { "cactl issue%F %N", NULL },
        [DIAGNOSIS_EXPIRES_SOON] = { "cactl cert renew %S --out FILE", "cactl issue%F %N" },
        [DIAGNOSIS_ROOT_NOT_INSTALLED] = { "cactl trust install", NULL },
        [DIAGNOSIS_CLIENT_CERTIFICATE] = { NULL, NULL },
        [DIAGNOSIS_ROOT_SENT] = { NULL, NULL },
        [DIAGNOSIS_CHAIN_STRAY] = { NULL, NULL },
};

/* What each makes of a good certificate of a CA of one's own. */
static const char *const conditions[] = {
        [DEVICE_CHROME] =
                "take it once the root is in the system's store: cactl trust install; on Android: Settings, Security, install a CA certificate",
        [DEVICE_FIREFOX] = "takes it once the root is in Firefox's own store: cactl trust install",
        [DEVICE_APPLE] =
                "take it once the root's profile is installed and switched on: Settings, General, About, Certificate Trust Settings",
        [DEVICE_APPS] =
                "do not take it, but where the app itself says so (network security config): since Android 7 they trust no root that a user has installed",
        [DEVICE_JAVA] =
                "takes it once the root is in its cacerts or the program's trust store: cactl trust install",
        [DEVICE_LINUX] =
                "take it once the root is in the system's store: cactl trust install; or with curl --cacert root.pem",
        [DEVICE_OLD] = "take it where a root can be installed at all",
};
_Static_assert(ARRAY_SIZE(conditions) == DEVICE_COUNT, "one condition a device");

/* ---- commands ---- */

/* What goes into a shell is taken from a hostile certificate: only names that need no quotes. */
static void add_name(struct buffer *out, size_t *count, const char *name) {
        static const char plain[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:@*";

        if (*count == NAMES_MAX || !*name || *name == '-' || strspn(name, plain) != strlen(name))
                return;
        if (strchr(name, '*'))
                buffer_format(out, "%s'%s'", *count ? " " : "", name);
        else
                buffer_format(out, "%s%s", *count ? " " : "", name);
        (*count)++;
}

static void add_names(const struct doctor *doctor, struct buffer *out) {
        CAD_AUTO(san_list_done) struct san_list names = { 0 };
        char text[SAN_TEXT_MAX];
        struct cert leaf;
        size_t count = 0;

        if (doctor->name)
                add_name(out, &count, doctor->name);
        if (cert_read(diagnosis_leaf(doctor->d), &leaf, /* err= */ NULL) == 0 && leaf.san.size)
                (void) san_list_from_der(&names, leaf.san, "names", /* err= */ NULL);
        for (size_t i = 0; i < names.count; i++) {
                (void) san_text(&names.items[i], text, sizeof(text));
                if (!text_equal(text, doctor->name))
                        add_name(out, &count, text);
        }
        if (!count)
                buffer_text(out, "NAME");
}

static void add_serial(const struct doctor *doctor, struct buffer *out) {
        char hex[2 * SERIAL_MAX + 1];
        struct cert leaf;

        if (cert_read(diagnosis_leaf(doctor->d), &leaf, /* err= */ NULL) < 0 ||
            leaf.serial.size > SERIAL_MAX)
                buffer_text(out, "SERIAL");
        else
                buffer_text(out, hex_encode(leaf.serial, hex));
}

/* Return: @out as text; "" where there is nothing to do */
static const char *mend(const struct doctor *doctor, enum diagnosis_code code, struct buffer *out) {
        const char *text = mends[code].others && !doctor_ours(doctor) ? mends[code].others
                                                                      : mends[code].ours;

        for (; text && *text; text++) {
                if (text[0] != '%') {
                        buffer_append(out, BYTES(text, 1));
                        continue;
                }
                text++;
                if (*text == 'N')
                        add_names(doctor, out);
                else if (*text == 'S')
                        add_serial(doctor, out);
                else if (*text == 'F' && doctor->purpose == PURPOSE_CLIENT)
                        buffer_text(out, " --client");
                else if (*text == 'F' && doctor->purpose == (PURPOSE_SERVER | PURPOSE_CLIENT))
                        buffer_text(out, " --peer");
        }
        return buffer_string(out);
}

/* ---- who ---- */

static void who_refuses(const struct diagnosis_finding *finding, struct buffer *out) {
        if (finding->who) {
                buffer_text(out, finding->who);
                return;
        }
        if (finding->devices == DEVICES_ALL) {
                buffer_text(out, "everything: browsers, phones, programs");
                return;
        }
        for (size_t i = 0; i < DEVICE_COUNT; i++)
                if (finding->devices & DEVICE_BIT(i))
                        buffer_format(out, "%s%s", out->size ? "; " : "", diagnosis_device_name(i));
}

/* Why a kind of device refuses it. Return: whether it does */
static bool refusals_of(const struct doctor *doctor, enum diagnosis_device device,
                        struct buffer *out) {
        for (size_t i = 0; i < diagnosis_count(doctor->d); i++) {
                const struct diagnosis_finding *finding = diagnosis_finding(doctor->d, i);

                if (finding->devices & DEVICE_BIT(device) &&
                    !(i && diagnosis_finding(doctor->d, i - 1)->code == finding->code))
                        buffer_format(out, "%s%s", out->size ? "; " : "",
                                      diagnosis_title(finding->code));
        }
        return out->size > 0;
}

/* Where all of them refuse it for one and the same, there is nothing to tell apart. */
static bool all_the_same(const struct doctor *doctor) {
        bool refused = false;

        for (size_t i = 0; i < diagnosis_count(doctor->d); i++) {
                unsigned devices = diagnosis_finding(doctor->d, i)->devices;

                if (devices && devices != DEVICES_ALL)
                        return false;
                refused |= devices == DEVICES_ALL;
        }
        return refused;
}

static bool has_critical_constraints(const struct doctor *doctor) {
        struct cert issuer, root;

        return (cert_read(diagnosis_issuer(doctor->d), &issuer, /* err= */ NULL) == 0 &&
                issuer.name_constraints.size) ||
                (cert_read(diagnosis_anchor(doctor->d), &root, /* err= */ NULL) == 0 &&
                 root.name_constraints.size);
}

static bool has_rsa_key(const struct doctor *doctor) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct cert leaf;

        return cert_read(diagnosis_leaf(doctor->d), &leaf, /* err= */ NULL) == 0 &&
                public_key_from_spki(leaf.spki, RSA_BITS_MAX, &key, /* err= */ NULL) == 0 &&
                public_key_type(key) == KEY_RSA;
}

/* What a device that does not refuse it wants first. */
static void outlook(const struct doctor *doctor, enum diagnosis_device device, struct buffer *out) {
        if (!doctor_ours(doctor)) {
                buffer_text(out, "by a root that systems have");
                return;
        }
        buffer_text(out, conditions[device]);
        if (device != DEVICE_OLD)
                return;
        if (has_critical_constraints(doctor))
                buffer_text(
                        out,
                        "; those of before about 2018 may not know name constraints, and refuse a CA that has them");
        if (!has_rsa_key(doctor))
                buffer_text(
                        out,
                        "; those of before about 2012 may want RSA (cactl issue --key rsa-2048)");
}

static bool about_a_server(const struct doctor *doctor) {
        return doctor->purpose & PURPOSE_SERVER && diagnosis_leaf(doctor->d).size > 0;
}

/* ---- for people ---- */

static enum tone tone_of(enum diagnosis_severity severity) {
        static const enum tone tones[] = {
                [DIAGNOSIS_REFUSED] = TONE_BAD,         [DIAGNOSIS_SOME] = TONE_BAD,
                [DIAGNOSIS_WARNING] = TONE_WARN,        [DIAGNOSIS_NOTE] = TONE_PLAIN,
                [DIAGNOSIS_SEVERITY_COUNT] = TONE_GOOD,
        };

        return tones[severity];
}

/* The titles of what is as grave as the gravest. */
static void add_titles(const struct doctor *doctor, struct buffer *out) {
        enum diagnosis_severity verdict = diagnosis_verdict(doctor->d);
        size_t count = 0;

        for (size_t i = 0; i < diagnosis_count(doctor->d); i++) {
                const struct diagnosis_finding *finding = diagnosis_finding(doctor->d, i);

                if (diagnosis_code_severity(finding->code) != verdict ||
                    (i && diagnosis_finding(doctor->d, i - 1)->code == finding->code))
                        continue;
                buffer_format(out, "%s%s", count++ ? "; " : ": ", diagnosis_title(finding->code));
        }
}

static void verdict_text(const struct doctor *doctor, struct buffer *out) {
        static const char *const words[] = {
                [DIAGNOSIS_REFUSED] = "would be refused",
                [DIAGNOSIS_SOME] = "would be refused by some",
                [DIAGNOSIS_WARNING] = "is accepted, with a warning",
                [DIAGNOSIS_NOTE] = "is fine, with a note",
                [DIAGNOSIS_SEVERITY_COUNT] = "is fine",
        };

        buffer_format(out, "%s %s", doctor->patient.text, words[diagnosis_verdict(doctor->d)]);
        add_titles(doctor, out);
}

static void put_finding(const struct doctor *doctor, const struct diagnosis_finding *finding) {
        CAD_AUTO(buffer_done) struct buffer who = { 0 }, command = { 0 };
        enum diagnosis_severity severity = diagnosis_code_severity(finding->code);
        static const char *const labels[] = {
                [DIAGNOSIS_REFUSED] = "refused",
                [DIAGNOSIS_SOME] = "some refuse",
                [DIAGNOSIS_WARNING] = "warning",
                [DIAGNOSIS_NOTE] = "note",
        };

        put(TONE_PLAIN, "%s", "");
        fact(labels[severity], tone_of(severity), "%s", finding->text);
        who_refuses(finding, &who);
        if (who.size)
                fact("by", TONE_PLAIN, "%s", buffer_string(&who));
        if (*mend(doctor, finding->code, &command))
                fact("to mend it", TONE_STRONG, "%s", buffer_string(&command));
        fact("code", TONE_DIM, "%s", diagnosis_slug(finding->code));
}

static void put_devices(const struct doctor *doctor) {
        if (!about_a_server(doctor) || all_the_same(doctor))
                return;
        put(TONE_PLAIN, "%s", "");
        put(TONE_STRONG, "%s", "Who makes what of it:");
        for (size_t i = 0; i < DEVICE_COUNT; i++) {
                CAD_AUTO(buffer_done) struct buffer reasons = { 0 }, words = { 0 };

                if (refusals_of(doctor, i, &reasons))
                        buffer_format(&words, "refused: %s", buffer_string(&reasons));
                else
                        outlook(doctor, i, &words);
                put(TONE_PLAIN, "  %s: %s", diagnosis_device_name(i), buffer_string(&words));
        }
}

static void put_unchecked(const struct doctor *doctor) {
        if (!doctor->unchecked_count)
                return;
        put(TONE_PLAIN, "%s", "");
        put(TONE_STRONG, "%s", "Not looked at:");
        for (size_t i = 0; i < doctor->unchecked_count; i++)
                put(TONE_DIM, "  %s", doctor->unchecked[i]);
}

/* Whoever names root.pem means to have it trusted, and reads findings about a server. One with names in it is a server's own that
   signed itself: openssl req -x509 marks those as a CA's, too. */
static void put_of_a_ca(const struct doctor *doctor) {
        const struct pile *chain = &doctor->sighting.chain;
        const char *file = doctor->patient.file;
        struct cert cert;

        if (!file || !chain->count || cert_read(chain->items[0], &cert, /* err= */ NULL) < 0 ||
            !cert.is_ca || cert.san.size)
                return;
        put(TONE_PLAIN,
            "This is the certificate of a CA, not of a server: 'cactl trust install --root %s' has this machine trust it, 'cactl issue NAME' makes one for a server.",
            text_equal(file, "-") ? "FILE" : file);
}

void doctor_report(struct doctor *doctor) {
        CAD_AUTO(buffer_done) struct buffer verdict = { 0 };

        if (!doctor->c->quiet)
                put_of_a_ca(doctor);
        verdict_text(doctor, &verdict);
        put(tone_of(diagnosis_verdict(doctor->d)), "%s", buffer_string(&verdict));
        if (doctor->c->quiet)
                return;
        for (size_t i = 0; i < diagnosis_count(doctor->d); i++)
                put_finding(doctor, diagnosis_finding(doctor->d, i));
        put_devices(doctor);
        put_unchecked(doctor);
}

/* ---- for programs ---- */

static json_t *finding_json(const struct doctor *doctor, const struct diagnosis_finding *finding) {
        CAD_AUTO(buffer_done) struct buffer who = { 0 }, command = { 0 };

        who_refuses(finding, &who);
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "code", diagnosis_slug(finding->code),
                         "severity",
                         diagnosis_severity_name(diagnosis_code_severity(finding->code)), "title",
                         diagnosis_title(finding->code), "text", finding->text, "refused_by",
                         buffer_string(&who), "mend", mend(doctor, finding->code, &command));
}

static json_t *devices_json(const struct doctor *doctor) {
        json_t *array = json_array();

        for (size_t i = 0; i < DEVICE_COUNT && about_a_server(doctor); i++) {
                CAD_AUTO(buffer_done) struct buffer reasons = { 0 }, words = { 0 };
                bool refuses = refusals_of(doctor, i, &reasons);

                if (refuses)
                        buffer_format(&words, "refused: %s", buffer_string(&reasons));
                else
                        outlook(doctor, i, &words);
                (void) json_array_append_new(array,
                                             json_pack("{s:s, s:b, s:s}", "device",
                                                       diagnosis_device_name(i), "refuses", refuses,
                                                       "text", buffer_string(&words)));
        }
        return array;
}

static json_t *chain_json(const struct doctor *doctor) {
        json_t *array = json_array();
        const struct pile *chain = &doctor->sighting.chain;

        for (size_t i = 0; i < chain->count && i < DIAGNOSIS_CHAIN_MAX; i++) {
                json_t *one = certificate_json(chain->items[i]);

                (void) json_array_append_new(array, one ? one : json_null());
        }
        return array;
}

void doctor_report_json(struct doctor *doctor) {
        CAD_AUTO(buffer_done) struct buffer verdict = { 0 };
        CAD_AUTO(json_free) json_t *object = NULL;
        json_t *findings = json_array(), *unchecked = json_array();
        enum diagnosis_severity gravest = diagnosis_verdict(doctor->d);

        verdict_text(doctor, &verdict);
        for (size_t i = 0; i < diagnosis_count(doctor->d); i++)
                (void) json_array_append_new(findings,
                                             finding_json(doctor, diagnosis_finding(doctor->d, i)));
        for (size_t i = 0; i < doctor->unchecked_count; i++)
                (void) json_array_append_new(unchecked, json_string(doctor->unchecked[i]));
        object = json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:o, s:o, s:o, s:o}", "subject",
                           doctor->patient.text, "verdict",
                           gravest == DIAGNOSIS_SEVERITY_COUNT ? "fine"
                                                               : diagnosis_severity_name(gravest),
                           "text", buffer_string(&verdict), "address",
                           doctor->sighting.address[0] ? doctor->sighting.address : NULL, "tls",
                           doctor->sighting.protocol, "findings", findings, "devices",
                           devices_json(doctor), "unchecked", unchecked, "chain",
                           chain_json(doctor));
        put_json(object ? object : json_null());
}
