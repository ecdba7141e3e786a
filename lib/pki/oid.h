/*
 * Object identifiers, as the content octets of their DER.
 */
#pragma once

#include "lib/base/bytes.h"

#define OID_MAX_TEXT 128 /* bytes with NUL of a dotted text */

/* X.520 attribute types */
#define OID_AT_COMMON_NAME BYTES_LITERAL("\x55\x04\x03")
#define OID_AT_SERIAL_NUMBER BYTES_LITERAL("\x55\x04\x05")
#define OID_AT_COUNTRY BYTES_LITERAL("\x55\x04\x06")
#define OID_AT_LOCALITY BYTES_LITERAL("\x55\x04\x07")
#define OID_AT_STATE BYTES_LITERAL("\x55\x04\x08")
#define OID_AT_ORGANIZATION BYTES_LITERAL("\x55\x04\x0a")
#define OID_AT_ORGANIZATIONAL_UNIT BYTES_LITERAL("\x55\x04\x0b")
#define OID_AT_EMAIL BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01")

/* RFC 5280 §4.2 extensions */
#define OID_CE_SUBJECT_KEY_ID BYTES_LITERAL("\x55\x1d\x0e")
#define OID_CE_KEY_USAGE BYTES_LITERAL("\x55\x1d\x0f")
#define OID_CE_SUBJECT_ALT_NAME BYTES_LITERAL("\x55\x1d\x11")
#define OID_CE_BASIC_CONSTRAINTS BYTES_LITERAL("\x55\x1d\x13")
#define OID_CE_CRL_NUMBER BYTES_LITERAL("\x55\x1d\x14")
#define OID_CE_REASON_CODE BYTES_LITERAL("\x55\x1d\x15")
#define OID_CE_NAME_CONSTRAINTS BYTES_LITERAL("\x55\x1d\x1e")
#define OID_CE_CRL_DISTRIBUTION_POINTS BYTES_LITERAL("\x55\x1d\x1f")
#define OID_CE_AUTHORITY_KEY_ID BYTES_LITERAL("\x55\x1d\x23")
#define OID_CE_EXTENDED_KEY_USAGE BYTES_LITERAL("\x55\x1d\x25")
#define OID_PE_AUTHORITY_INFO_ACCESS BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x01\x01")
#define OID_AD_CA_ISSUERS BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x02")
#define OID_AD_OCSP BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x01")

/* RFC 5280 §4.2.1.12 key purposes */
#define OID_KP_SERVER_AUTH BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x01")
#define OID_KP_CLIENT_AUTH BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x02")
#define OID_KP_CODE_SIGNING BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x03")
#define OID_KP_EMAIL_PROTECTION BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x04")
#define OID_KP_TIME_STAMPING BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x08")
#define OID_KP_OCSP_SIGNING BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x03\x09")
#define OID_ANY_EXTENDED_KEY_USAGE BYTES_LITERAL("\x55\x1d\x25\x00")
#define OID_PKIX_OCSP_NOCHECK BYTES_LITERAL("\x2b\x06\x01\x05\x05\x07\x30\x01\x05")

/* PKCS#9 attributes of a CSR (RFC 2985) */
#define OID_EXTENSION_REQUEST BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e")
#define OID_CHALLENGE_PASSWORD BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07")

/* keys */
#define OID_RSA_ENCRYPTION BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")
#define OID_EC_PUBLIC_KEY BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x02\x01")
#define OID_CURVE_P256 BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x03\x01\x07")
#define OID_CURVE_P384 BYTES_LITERAL("\x2b\x81\x04\x00\x22")
#define OID_CURVE_P521 BYTES_LITERAL("\x2b\x81\x04\x00\x23")
#define OID_ED25519 BYTES_LITERAL("\x2b\x65\x70")

/* signature algorithms */
#define OID_ECDSA_SHA256 BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x04\x03\x02")
#define OID_ECDSA_SHA384 BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x04\x03\x03")
#define OID_ECDSA_SHA512 BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x04\x03\x04")
#define OID_RSA_SHA256 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b")
#define OID_RSA_SHA384 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c")
#define OID_RSA_SHA512 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d")
#define OID_RSA_SHA1 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05")
#define OID_RSA_MD5 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04")
#define OID_RSA_PSS BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a")
#define OID_ECDSA_SHA1 BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x04\x01")

/** oid_text() - dotted text of an OID, with its common name in front where it is known: "clientAuth (1.3.6…)". Return: @out */
const char *oid_text(struct bytes oid, char *out, size_t size);
