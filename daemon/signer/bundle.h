/*
 * The signer's folder as a stream, for a backup that root makes: the CA with its keys, always encrypted, and what the signer
 * remembers. Its log stays: it is a record of this machine.
 *
 *      name length (1 octet), name, content length (4 octets, big-endian), content; and again, until a name of no length
 */
#pragma once

#include "daemon/signer/anchors.h"
#include "daemon/signer/create.h"

#define BUNDLE_PREFIX "signer/"
#define BUNDLE_MARK "mark" /* clock.h */
#define BUNDLE_WAS_PLAIN \
        "-was-plain" /* behind the name of a key that has no passphrase where it comes from: it is put back like that */
#define BUNDLE_NAME_MAX 64                 /* bytes with NUL */
#define BUNDLE_FILE_MAX (4u * 1024 * 1024) /* octets */

/**
 * bundle_name_good() - the names that there are, and no other: `signer/mark`, `signer/anchors`, `signer/ca/ca.conf`, and in `signer/ca` an issuer's
 * ID.crt, ID.key or ID.key-was-plain
 */
bool bundle_name_good(const char *name);

/** bundle_is_key() - whether a good name is that of a key; @ret_was_plain: may be NULL */
bool bundle_is_key(const char *name, bool *ret_was_plain);

/** bundle_put() - one file; an empty name ends the stream. Return: 0, or -1 with errno */
int bundle_put(int fd, const char *name, struct bytes content);

/**
 * bundle_get() - the next file
 * @name: BUNDLE_NAME_MAX bytes
 * Return: 1, 0 at the end, -1 with @err (ERR_MESSAGE_MALFORMED) where it is cut off or no such stream
 */
int bundle_get(int fd, char *name, struct buffer *ret, struct error *err);

/**
 * bundle_export() - write a signer's folder out
 * @passphrase: that the keys get where they have none of their own; a key that is encrypted stays as it is
 * @err: ERR_KEY_PASSPHRASE where a key is plain and there is none; ERR_FILE_UNSAFE where a key is in a file that is none of a key; ERR_CA_MISSING, ERR_IO
 */
int bundle_export(int state_fd, struct bytes passphrase, int out_fd, struct error *err);

/**
 * bundle_import() - read one in, where there is no CA; loaded as a whole before it is put in place by one rename()
 * @passphrase: of the keys; used to decrypt them again where they were plain, else only to look whether it is right
 * @err: ERR_CA_EXISTS, ERR_KEY_PASSPHRASE, ERR_MESSAGE_MALFORMED, ERR_CA_INCOMPLETE, ERR_IO
 *
 * What is in the folder stays as it is: a mark that is there is later than the one that comes. Killed at any moment, there is no CA or a whole one, and
 * the next import works.
 */
int bundle_import(int state_fd, struct bytes passphrase, int in_fd, struct error *err);

/**
 * bundle_try() - a rehearsal of bundle_import(): every key is opened and held against its certificate, and all of it is removed again
 * @state_fd:   an empty folder; for a moment the keys are in it as they came, encrypted
 * @passphrase: of the keys
 * @ret_root:   whether the root's key is one of them
 * @err:        as bundle_import(), with what to do; also where only the root's key is of no use
 */
int bundle_try(int state_fd, struct bytes passphrase, int in_fd, bool *ret_root, struct error *err);
