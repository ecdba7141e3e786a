/*
 * Distinguished names (RFC 5280 §4.1.2.4, X.520): written for our own certificates, read with suspicion.
 */
#pragma once

#include "der.h"
#include "lib/base/error.h"

#define DN_COMMON_NAME_MAX 64 /* characters; ub-common-name */
#define DN_TEXT_MAX 512       /* bytes with NUL of dn_text() */
#define DN_RDN_MAX 32         /* RDNs that are read; more are refused (threats.md §4 row 22) */

/** dn_put() - write Name { CN = @common_name } (UTF8String, or PrintableString where it fits), O = @organization before it;
 *  either may be NULL; both NULL writes the empty Name */
void dn_put(struct der_writer *w, const char *organization, const char *common_name);

/**
 * dn_check() - read a Name that a peer sent
 *
 * Refused (threats.md §4 rows 17, 20–22): bad DER, multi-valued RDNs, more than DN_RDN_MAX RDNs, two different CNs, strings that are not
 * PrintableString, UTF8String (or IA5String for e-mail and DC), control and bidi characters, invalid UTF-8, values beyond their X.520 upper
 * bound (CN 64, O 64, OU 64, C 2 capital letters, L 128, ST 128, serialNumber 64) or empty.
 * @field:  "csr.subject"; the field of an error is "<field>.CN" and the like
 * @ret_cn: the CN's octets (inside @der), or {NULL, 0}; may be NULL
 * @err:    ERR_CSR_SUBJECT
 */
int dn_check(struct bytes der, const char *field, struct bytes *ret_cn, struct error *err);

/** dn_text() - RFC 4514 text of a Name, most specific first; what cannot be shown is shown as hex. Return: @out */
const char *dn_text(struct bytes der, char *out, size_t size);

/** dn_common_name() - the CN of a Name as text, "" where there is none. Return: @out */
const char *dn_common_name(struct bytes der, char *out, size_t size);
