/*
 * The guard is a signal, since nothing else gets a word in: see connect_guard.h. Whatever cactl writes may be cut off anywhere; that is
 * what its files are written for.
 */
#include "connect_guard.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cactl.h"

static void give_up(int signal) {
        static const char text[] =
                "cactl: whoever answers there does not get through the TLS handshake: is this your CA, or does somebody answer in its place?\n";

        (void) signal;
        (void) !write(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(UNREACHABLE);
}

static int on_connected(void *context, char *to, char *from, int to_port, int from_port) {
        (void) context;
        (void) to;
        (void) from;
        (void) to_port;
        (void) from_port;
        connect_guard_disarm();
        return CURL_PREREQFUNC_OK;
}

void connect_guard_arm(CURL *curl, unsigned limit_s) {
        const struct sigaction action = { .sa_handler = give_up };

        (void) sigaction(SIGALRM, &action, /* oldact= */ NULL);
        curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_connected);
        (void) alarm(limit_s);
}

void connect_guard_disarm(void) {
        (void) alarm(0);
}
