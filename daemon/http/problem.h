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

/** struct problem_form - how the callers of a protocol are told what is wrong; static */
struct problem_form {
        const char *content_type;
        const char *challenge; /* WWW-Authenticate of a 401 (RFC 9110 §15.5.2: there must be one) */
        /* who comes with no credential at all gets the challenge without a body: some clients answer a challenge without
           reading what comes with it, and stumble over it */
        bool challenge_bare;
        /* the body; @request_id: NULL where there is none */
        void (*append)(struct buffer *out, const struct error *err, const char *request_id);
};

/** problem_document - RFC 9457, for whoever has no form of his own */
extern const struct problem_form problem_document;

/** problem_detail() - the sentence that may go out: see problem_append(). Static, or in @err */
const char *problem_detail(const struct error *err);

/**
 * problem_append() - append the document
 * @request_id: NULL leaves the member out
 *
 * A fault's detail may name paths and peers of ours: for codes that answer 500 outside sees a general sentence
 * with the request id, and the log has the rest.
 */
void problem_append(struct buffer *out, const struct error *err, const char *request_id);
