/*
 * The password of a PKCS#12 file: from a file, asked for, or made and shown once.
 */
#pragma once

#include "cactl.h"

#define PASSWORD_MAX 256 /* bytes with NUL */

/** struct password - zero-initialised: none */
struct password {
        bool wanted;
        bool made; /* then it is told, for it is nowhere else */
        char text[PASSWORD_MAX];
};

/* Rows for a command's options; password_plan() reads them. */
#define PASSWORD_OPTIONS \
        { "p12-password-file", "FILE", "its password; '-' reads standard input" }, \
                { "p12-ask", NULL, "ask for its password (default: one is made and shown once)" }, \
        { \
                "p12-legacy", NULL, \
                        "encrypt it as programs before 2018 and old phones want it (3DES)" \
        }

/** password_plan() - what those options say, into @p; @wanted: whether there is a PKCS#12 file at any rate */
enum result password_plan(const struct client *c, bool wanted, struct password *p);

/** password_done() - wipe it */
void password_done(struct password *p);
