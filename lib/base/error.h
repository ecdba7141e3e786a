/*
 * The one shape of a failure inside cad: a stable code, a sentence for a person, the source.
 *
 * A *refusal* is the caller's to mend: its text names the value and the way out. A *fault* is ours or
 * the machine's: it goes up unchanged, and nobody on the way matches on it.
 */
#pragma once

#include "macros.h"

enum error_kind {
        ERROR_REFUSAL,
        ERROR_FAULT,
};

/* clang-format off */
/* One row a code: name, kind, title. The slug outside is the name without ERR_, lower case, with '-'. */
#define ERROR_CODES(X) \
        X(ERR_NONE, ERROR_FAULT, "No error") \
        /* the CSR and its key: threats.md §4, rows 1–30 */ \
        X(ERR_CSR_MALFORMED, ERROR_REFUSAL, "The CSR cannot be read") \
        X(ERR_CSR_SIGNATURE, ERROR_REFUSAL, "Proof of possession failed") \
        X(ERR_CSR_WEAK_SIGNATURE, ERROR_REFUSAL, "The CSR is signed with a weak algorithm") \
        X(ERR_CSR_EXTENSION, ERROR_REFUSAL, "The CSR asks for an extension that is not granted") \
        X(ERR_CSR_ATTRIBUTE, ERROR_REFUSAL, "The CSR has an attribute that is not accepted") \
        X(ERR_CSR_SUBJECT, ERROR_REFUSAL, "The CSR's subject is not acceptable") \
        X(ERR_KEY_UNSUPPORTED, ERROR_REFUSAL, "The key is of an unsupported type") \
        X(ERR_KEY_WEAK, ERROR_REFUSAL, "The key is too weak") \
        X(ERR_KEY_INVALID, ERROR_REFUSAL, "The key is not a valid key") \
        X(ERR_KEY_RESERVED, ERROR_REFUSAL, "The key may not be used here") \
        X(ERR_NAME_INVALID, ERROR_REFUSAL, "A name is not well formed") \
        X(ERR_NAME_NOT_PERMITTED, ERROR_REFUSAL, "A name is outside what this CA may issue for") \
        X(ERR_NAME_NOT_ALLOWED, ERROR_REFUSAL, "A name is not allowed by the profile") \
        X(ERR_NAMES_MISSING, ERROR_REFUSAL, "There is no name to issue for") \
        X(ERR_NAMES_TOO_MANY, ERROR_REFUSAL, "There are too many names") \
        X(ERR_PROFILE_UNKNOWN, ERROR_REFUSAL, "There is no such profile") \
        X(ERR_VALIDITY_OUT_OF_RANGE, ERROR_REFUSAL, "The validity is out of range") \
        /* requests */ \
        X(ERR_BODY_MALFORMED, ERROR_REFUSAL, "The body cannot be read") \
        X(ERR_BODY_TOO_LARGE, ERROR_REFUSAL, "The body is too large") \
        X(ERR_PRIVATE_KEY_IN_BODY, ERROR_REFUSAL, "A private key was sent") \
        X(ERR_MEDIA_TYPE, ERROR_REFUSAL, "The media type is not accepted") \
        X(ERR_NOT_ACCEPTABLE, ERROR_REFUSAL, "None of the accepted media types can be given") \
        X(ERR_REQUEST_MALFORMED, ERROR_REFUSAL, "The request is malformed") \
        X(ERR_QUERY_INVALID, ERROR_REFUSAL, "A query parameter is not valid") \
        X(ERR_NOT_FOUND, ERROR_REFUSAL, "There is no such thing here") \
        X(ERR_METHOD_NOT_ALLOWED, ERROR_REFUSAL, "The method is not allowed here") \
        X(ERR_UNAUTHENTICATED, ERROR_REFUSAL, "The caller is not known") \
        X(ERR_TOKEN_SPENT, ERROR_REFUSAL, "The token is no longer good") \
        X(ERR_FORBIDDEN, ERROR_REFUSAL, "The caller may not do this") \
        X(ERR_HOST_NOT_ALLOWED, ERROR_REFUSAL, "The Host is not one of this CA") \
        X(ERR_TOO_MANY_REQUESTS, ERROR_REFUSAL, "Too many requests") \
        X(ERR_REQUEST_TIMEOUT, ERROR_REFUSAL, "The request took too long to arrive") \
        X(ERR_IDEMPOTENCY_MISMATCH, ERROR_REFUSAL, "The Idempotency-Key was used with another body") \
        X(ERR_IDEMPOTENCY_IN_FLIGHT, ERROR_REFUSAL, "A request with this Idempotency-Key is still in work") \
        /* state */ \
        X(ERR_ALREADY_REVOKED, ERROR_REFUSAL, "The certificate is already revoked") \
        X(ERR_REASON_INVALID, ERROR_REFUSAL, "There is no such revocation reason") \
        X(ERR_STATE_CONFLICT, ERROR_REFUSAL, "The state does not allow this") \
        /* set-up */ \
        X(ERR_USAGE, ERROR_REFUSAL, "The command line is wrong") \
        X(ERR_CONFIG, ERROR_REFUSAL, "The configuration is wrong") \
        X(ERR_FILE_UNSAFE, ERROR_REFUSAL, "A file is not safe to use") \
        X(ERR_KEY_PASSPHRASE, ERROR_REFUSAL, "The passphrase does not open the key") \
        X(ERR_CA_EXISTS, ERROR_REFUSAL, "There is a CA already") \
        X(ERR_CA_INCOMPLETE, ERROR_REFUSAL, "The CA is not complete") \
        X(ERR_CA_MISSING, ERROR_REFUSAL, "There is no CA") \
        X(ERR_BUSY, ERROR_REFUSAL, "It is in use by another process") \
        X(ERR_STORE_FOREIGN, ERROR_REFUSAL, "The database does not belong here") \
        X(ERR_STORE_NEWER, ERROR_REFUSAL, "The database is of a newer version") \
        /* the signer */ \
        X(ERR_MESSAGE_MALFORMED, ERROR_REFUSAL, "A message cannot be read") \
        X(ERR_PROFILE_STALE, ERROR_REFUSAL, "The profile is another one in the signer") \
        X(ERR_RATE_LIMITED, ERROR_REFUSAL, "The rate limit is reached") \
        X(ERR_CLOCK, ERROR_FAULT, "The clock cannot be right") \
        X(ERR_CA_EXPIRED, ERROR_FAULT, "The issuer has expired") \
        X(ERR_SIGNER_UNAVAILABLE, ERROR_FAULT, "The signer does not answer") \
        X(ERR_SIGNER_WRONG, ERROR_FAULT, "The signer's answer is not what was asked for") \
        /* faults */ \
        X(ERR_NO_MEMORY, ERROR_FAULT, "Out of memory") \
        X(ERR_IO, ERROR_FAULT, "Input or output failed") \
        X(ERR_STORE, ERROR_FAULT, "The store failed") \
        X(ERR_STORE_FULL, ERROR_FAULT, "The disk is full") \
        X(ERR_OVERLOADED, ERROR_FAULT, "The service is overloaded") \
        X(ERR_STOPPING, ERROR_FAULT, "The service is stopping") \
        X(ERR_CRYPTO, ERROR_FAULT, "A cryptographic operation failed") \
        X(ERR_INTERNAL, ERROR_FAULT, "An internal error")
/* clang-format on */

#define ERROR_ENUM_ROW(code, kind, title) code,
enum error_code {
        ERROR_CODES(ERROR_ENUM_ROW) ERR_COUNT,
};
#undef ERROR_ENUM_ROW

#define ERROR_TEXT_MAX 512 /* bytes with NUL; a longer sentence is cut */
#define ERROR_FIELD_MAX 96

/** struct error - zero-initialised is "no error" */
struct error {
        enum error_code code;
        char field
                [ERROR_FIELD_MAX]; /* what is wrong, as the caller named it: "csr.san[2]"; "" if no field */
        char text[ERROR_TEXT_MAX]; /* a sentence for a person */
        const char *file;          /* where it was set; static */
        int line;
};

/**
 * error_set() - fill @err, or do nothing where @err is NULL
 *
 * Control characters and invalid UTF-8 in the result are replaced, since values of a peer end up here.
 * Return: always -1, so that a function can say `return error_set(err, …);`. The macros say so themselves: a static analyser sees it.
 */
#define error_set(err, code, ...) (error_set_at((err), (code), __FILE__, __LINE__, __VA_ARGS__), -1)
int error_set_at(struct error *err, enum error_code code, const char *file, int line,
                 const char *format, ...) CAD_PRINTF(5, 6);

/** error_set_field() - the same, with the field that is wrong; @field may be NULL */
#define error_set_field(err, code, field, ...) \
        (error_set_field_at((err), (code), (field), __FILE__, __LINE__, __VA_ARGS__), -1)
int error_set_field_at(struct error *err, enum error_code code, const char *field, const char *file,
                       int line, const char *format, ...) CAD_PRINTF(6, 7);

/** error_name_field() - say which field an error is about, unless it says so already. Return: -1 */
int error_name_field(struct error *err, const char *format, ...) CAD_PRINTF(2, 3);

/** error_errno() - "what: strerror(errnum)"; ENOSPC and EDQUOT become ERR_STORE_FULL, ENOMEM ERR_NO_MEMORY. Return: -1 */
#define error_errno(err, errnum, ...) \
        (error_errno_at((err), (errnum), __FILE__, __LINE__, __VA_ARGS__), -1)
int error_errno_at(struct error *err, int errnum, const char *file, int line, const char *format,
                   ...) CAD_PRINTF(5, 6);

/** error_no_memory() - Return: -1 */
#define error_no_memory(err) error_set((err), ERR_NO_MEMORY, "out of memory")

/** error_slug() - "csr-malformed" for ERR_CSR_MALFORMED; a static string */
const char *error_slug(enum error_code code);

/** error_from_slug() - the code of a slug, ERR_INTERNAL for an unknown one */
enum error_code error_from_slug(const char *slug);

/** error_title() - the title of a code; a static string */
const char *error_title(enum error_code code);

/** error_kind() - whose fault it is */
enum error_kind error_kind(enum error_code code);
