/*
 * Whose clock is wrong, where a certificate seems not to be valid now: the witnesses are this machine, the server (the Date of an
 * answer), the CA on another machine, and the start of the root, before which nobody can have lived.
 */
#include "doctor.h"
#include "lib/base/moment.h"
#include "lib/pki/cert.h"

#define CLOCKS_APART_S 300 /* what clocks differ by without anybody minding */

static const enum diagnosis_code about_time[] = {
        DIAGNOSIS_EXPIRED,
        DIAGNOSIS_NOT_YET_VALID,
        DIAGNOSIS_ISSUER_EXPIRED,
        DIAGNOSIS_ISSUER_NOT_YET_VALID,
};

static bool agree(int64_t a, int64_t b) {
        return a - b <= CLOCKS_APART_S && b - a <= CLOCKS_APART_S;
}

static bool time_matters(const struct diagnosis *d) {
        for (size_t i = 0; i < ARRAY_SIZE(about_time); i++)
                if (diagnosis_has(d, about_time[i]))
                        return true;
        return false;
}

static bool before_the_root(const struct doctor *doctor) {
        struct bytes anchor = diagnosis_anchor(doctor->d);
        char here[MOMENT_TEXT_MAX], start[MOMENT_TEXT_MAX];
        struct cert cert;

        if (!anchor.size || cert_read(anchor, &cert, /* err= */ NULL) < 0 ||
            cert.validity.not_before - CLOCKS_APART_S <= doctor->now)
                return false;
        diagnosis_add(
                doctor->d, DIAGNOSIS_CLOCK_HERE,
                "the clock of this machine is wrong: it says %s, and the root that is trusted was made on %s",
                moment_format(doctor->now, here), moment_format(cert.validity.not_before, start));
        return true;
}

static void judge(struct doctor *doctor, int64_t server) {
        int64_t here = doctor->now, ca = doctor->ca_time;
        char here_text[MOMENT_TEXT_MAX], server_text[MOMENT_TEXT_MAX], ca_text[MOMENT_TEXT_MAX];

        (void) moment_format(here, here_text);
        (void) moment_format(server ? server : here, server_text);
        (void) moment_format(ca ? ca : here, ca_text);
        if (ca && !agree(ca, here) && (!server || agree(ca, server)))
                diagnosis_add(doctor->d, DIAGNOSIS_CLOCK_HERE,
                              "the clock of this machine is the odd one: it says %s, the CA %s%s%s",
                              here_text, ca_text, server ? ", the server " : "",
                              server ? server_text : "");
        else if (server && ca && agree(ca, here) && !agree(server, here))
                diagnosis_add(
                        doctor->d, DIAGNOSIS_CLOCK_SERVER,
                        "the clock of the server is the odd one: it says %s, this machine %s and the CA %s",
                        server_text, here_text, ca_text);
        else if (server && ca && agree(server, here) && !agree(ca, here))
                diagnosis_add(
                        doctor->d, DIAGNOSIS_CLOCK_UNCLEAR,
                        "the clock of the CA is the odd one: it says %s, this machine %s and the server %s",
                        ca_text, here_text, server_text);
        else if (server && !agree(server, here))
                diagnosis_add(doctor->d, DIAGNOSIS_CLOCK_UNCLEAR,
                              "one of two clocks is wrong: this machine says %s, the server %s%s%s",
                              here_text, server_text,
                              ca ? ", and the CA " : "; no third one was there to ask",
                              ca ? ca_text : "");
}

void doctor_compare_clocks(struct doctor *doctor) {
        char here[MOMENT_TEXT_MAX];
        int64_t server = 0;
        bool asked = false;

        if (!time_matters(doctor->d) || before_the_root(doctor))
                return;
        if (!doctor->patient.file)
                asked = sighting_date(&doctor->sighting, &doctor->patient, &server) == 0;
        if (!asked && !doctor->ca_time)
                doctor_unchecked(
                        doctor,
                        "whether the clock of this machine is right (it says %s): there was no other to compare it with",
                        moment_format(doctor->now, here));
        judge(doctor, asked ? server : 0);
}
