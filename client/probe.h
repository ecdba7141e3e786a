/*
 * What a TLS server shows.
 */
#pragma once

#include "cactl.h"
#include "show.h"

#define PROBE_HOST_MAX 256 /* bytes with NUL */

struct probe {
        char host[PROBE_HOST_MAX]; /* without brackets */
        char port[6];
};

/** probe_parse() - "nas.lan:443", "[::1]:8443". Return: 0, or -1 where it is not of that form */
int probe_parse(const char *text, struct probe *ret);

/**
 * probe_chain() - connect, shake hands without judging, and take the chain that is presented
 * @ret_protocol: static text, "TLS1.3"
 * Return: DONE, or a result after saying what failed
 */
enum result probe_chain(const struct probe *probe, struct certs *ret, const char **ret_protocol);
