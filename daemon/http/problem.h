/*
 * Problem: struct error to an RFC 9457 problem document. The one place that knows HTTP status codes of errors.
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/** problem_status() - HTTP status of a code; 500 for one without a row */
unsigned problem_status(enum error_code code);

/** problem_retry_after_s() - seconds for Retry-After; 0: no such header */
unsigned problem_retry_after_s(enum error_code code);

/**
 * problem_append() - append the document
 * @request_id: NULL leaves the member out
 *
 * A fault's detail may name paths and peers of ours: for codes that answer 500 outside sees a general sentence
 * with the request id, and the log has the rest.
 */
void problem_append(struct buffer *out, const struct error *err, const char *request_id);
