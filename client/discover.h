/*
 * Which CAs say on the LAN that they are here: DNS-SD (RFC 6763) over multicast DNS, asked for through Avahi.
 *
 * Anybody on the LAN may say anything: what is found is a place to ask, and never a reason to trust.
 */
#pragma once

#include <stdint.h>

#include "cactl.h"

#define DISCOVER_TYPE "_cad-ca._tcp"
#define DISCOVER_MAX 16 /* a LAN has one, or somebody plays with us */
#define DISCOVER_NAME_MAX 64
#define DISCOVER_HOST_MAX 256
#define DISCOVER_URL_MAX 320

/** struct found_ca - made printable */
struct found_ca {
        char name[DISCOVER_NAME_MAX]; /* of the instance: "cad on nas" */
        char host[DISCOVER_HOST_MAX];
        char address[64]; /* IPv6 without brackets */
        uint16_t port;
        char url[DISCOVER_URL_MAX]; /* by name where that can be resolved here, else by address */
};

/**
 * discover() - ask, and wait DISCOVER_WAIT_S seconds at most
 * @ret:       DISCOVER_MAX
 * @ret_count: each host and port once
 * Return: DONE, or a result after saying why nobody could be asked (no Avahi)
 */
#define DISCOVER_WAIT_S 4
enum result discover(const struct client *c, struct found_ca *ret, size_t *ret_count);
