/*
 * PKCS#7 bags of certificates: a SignedData that signs nothing (RFC 5652 §5.1, "certs-only" of RFC 8551 §3.8).
 */
#pragma once

#include "lib/base/bytes.h"

/** pkcs7_append_certificates() - append the DER of a certs-only ContentInfo; @out->failed where memory is short */
void pkcs7_append_certificates(struct buffer *out, const struct bytes *certificates, size_t count);
