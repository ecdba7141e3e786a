/*
 * Place: where the CA is on the network and who cactl is to it, from the command line or from cactl.conf.
 */
#pragma once

#include "cactl.h"
#include "lib/base/bytes.h"

/** struct place - texts are owned; NULL: not given */
struct place {
        char *url;
        char *root, *fingerprint; /* of the CA: file, SHA-256 in hex */
        char *certificate, *key;  /* of cactl: files; the key may be in the certificate's */
        char file[4096];          /* the cactl.conf that was read; "": none */
};

void place_done(struct place *place);

/** place_copy() - @ret: zero-initialised. Return: DONE, or a result after saying that memory is out */
enum result place_copy(const struct place *from, struct place *ret);
CAD_CLEANUP_DONE(struct place, place_done)

/** place_config_dir() - the folder of the host's own configuration: $CACTL_CONFIG_DIR, else /etc/cad as it was built */
const char *place_config_dir(void);

/**
 * place_read() - the options --url, --root, --fingerprint, --cert and --key; what they leave open, cactl.conf says
 *
 * The user's own cactl.conf ($XDG_CONFIG_HOME/cad, ~/.config/cad) stands in for the system's; $CACTL_CONFIG_DIR for both. Where --url names another CA
 * than it, nothing in it counts: its root would not fit, and its certificate is not for showing around.
 * @ret: zero-initialised
 * Return: DONE, or a result after saying what is wrong with the file
 */
enum result place_read(const struct client *c, struct place *ret);

/** place_same_url() - the same but for case and slashes at the end */
bool place_same_url(const char *a, const char *b);

/** place_read_host() - cactl.conf of the host alone, no option and no user's own; @ret->url is NULL where there is none */
enum result place_read_host(struct place *ret);

/**
 * place_check_key() - whether the files of a client certificate can be used, before anything is sent anywhere
 * @ret_passphrase: appended, where the key wants one and the terminal gave it
 * Return: DONE, or a result after saying what is wrong
 */
enum result place_check_key(const struct place *place, struct buffer *ret_passphrase);
