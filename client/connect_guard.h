/*
 * An end for connecting that libcurl's own limit cannot give: GnuTLS checks the signature of whoever answers before anything is known of
 * him, and with a monstrous key that is one call of hours.
 */
#pragma once

#include <curl/curl.h>

/**
 * connect_guard_arm() - from now on until the request is sent, or connect_guard_disarm(): more than @limit_s seconds end the process
 *
 * It ends with UNREACHABLE after saying why. SIGALRM is taken.
 */
void connect_guard_arm(CURL *curl, unsigned limit_s);

/** connect_guard_disarm() - we are through, or it failed by itself */
void connect_guard_disarm(void);
