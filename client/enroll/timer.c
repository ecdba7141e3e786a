/*
 * The timer: see timer.h.
 */
#include "client/enroll/timer.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "client/output.h"
#include "client/run.h"
#include "lib/base/host_names.h"
#include "lib/base/text.h"
#include "lib/pki/key.h"

#define TIMER "cactl-renew.timer"
#define SYSTEMCTL_TIMEOUT_S 90

/* A minute of its own for each host, so that not all of a LAN come at once. */
static unsigned minute_of_host(void) {
        char name[HOST_NAME_SIZE];
        uint8_t digest[SHA256_SIZE];

        host_names_short(name, sizeof(name));
        sha256(bytes_of(name), digest);
        return digest[0] % 60u;
}

/* Where it is: cron looks into /usr/bin and /bin alone, and '%' ends its line. */
static const char *own_path(char *out, size_t size) {
        ssize_t n = readlink("/proc/self/exe", out, size - 1);

        if (n <= 0)
                return "cactl";
        out[n] = '\0';
        return out[strcspn(out, " %\t\n")] ? "cactl" : out;
}

static void cron_line(const char *conf, struct buffer *out) {
        unsigned minute = minute_of_host();
        char path[PATH_MAX];

        buffer_format(out, "%u * * * * root ", minute);
        if (!text_equal(conf, CAD_CONFIG_DIR))
                buffer_format(out, "CACTL_CONFIG_DIR=%s ", conf);
        buffer_format(out, "%s renew >/dev/null", own_path(path, sizeof(path)));
}

static void say_cron(const struct client *c, const char *why, const char *conf) {
        CAD_AUTO(buffer_done) struct buffer line = { 0 };

        cron_line(conf, &line);
        say(c, "%s: put this line into /etc/cron.d/cactl, so that it is renewed in time:", why);
        say(c, "  %s", buffer_string(&line));
}

enum result timer_enable(const struct client *c, const char *conf) {
        char *const argv[] = { (char *) "systemctl", (char *) "enable", (char *) "--now",
                               (char *) TIMER, NULL };
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        CAD_AUTO(buffer_done) struct buffer line = { 0 };
        char said[512];
        struct error err = { 0 };

        if (!text_equal(conf, CAD_CONFIG_DIR)) {
                say_cron(c, "systemd's timer looks into " CAD_CONFIG_DIR " alone", conf);
                return DONE;
        }
        if (sd_booted() <= 0) {
                say_cron(c, "systemd does not run here", conf);
                return DONE;
        }
        if (run_program(argv, NULL, SYSTEMCTL_TIMEOUT_S, &output, &err) == 0) {
                say(c, "renewal: " TIMER " is enabled");
                return DONE;
        }
        cron_line(conf, &line);
        (void) text_printable(buffer_bytes(&output), said, sizeof(said));
        return fail(
                REFUSED,
                "the timer of renewals cannot be enabled: %s%s%s; mend that and run this again, "
                "or put '%s' into /etc/cron.d/cactl",
                err.text, said[0] ? ": " : "", said, buffer_string(&line));
}
