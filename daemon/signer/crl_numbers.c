/*
 * CRL numbers only rise (RFC 5280 §5.2.3). Pure: a table, and a time that is handed in.
 */
#include "daemon/signer/crl_numbers.h"

#include <stdio.h>

static const struct crl_number *find(const struct crl_numbers *numbers, const char *issuer) {
        for (size_t i = 0; i < CRL_NUMBERS_MAX; i++)
                if (numbers->rows[i].number > 0 && strcmp(numbers->rows[i].issuer, issuer) == 0)
                        return &numbers->rows[i];
        return NULL;
}

int64_t crl_numbers_last(const struct crl_numbers *numbers, const char *issuer) {
        const struct crl_number *row = find(numbers, issuer);

        return row ? row->number : 0;
}

/* Free rows have the lowest number of all; of the others the lowest has not been in use for longest, as numbers follow the time. */
static size_t row_to_use(const struct crl_numbers *numbers) {
        size_t lowest = 0;

        for (size_t i = 1; i < CRL_NUMBERS_MAX; i++)
                if (numbers->rows[i].number < numbers->rows[lowest].number)
                        lowest = i;
        return lowest;
}

void crl_numbers_note(struct crl_numbers *numbers, const char *issuer, int64_t number) {
        const struct crl_number *found = find(numbers, issuer);
        size_t i = found ? (size_t) (found - numbers->rows) : row_to_use(numbers);

        if (number <= 0 || (found && number <= found->number))
                return;
        (void) snprintf(numbers->rows[i].issuer, SIGNER_ISSUER_MAX, "%s", issuer);
        numbers->rows[i].number = number;
}

void crl_numbers_merge(struct crl_numbers *numbers, const struct crl_numbers *from) {
        for (size_t i = 0; i < CRL_NUMBERS_MAX; i++)
                crl_numbers_note(numbers, from->rows[i].issuer, from->rows[i].number);
}

int64_t crl_number_next(const struct crl_numbers *numbers, const char *issuer, int64_t now_s) {
        int64_t last = crl_numbers_last(numbers, issuer);

        return last < now_s ? now_s : last == INT64_MAX ? last : last + 1;
}

int crl_number_check(const struct crl_numbers *numbers, const char *issuer, int64_t number,
                     int64_t now_s, struct error *err) {
        int64_t last = crl_numbers_last(numbers, issuer);
        int64_t base = last > now_s ? last : now_s;

        if (number <= last)
                return error_set_field(
                        err, ERR_STATE_CONFLICT, "number",
                        "CRL number %lld of %s is not above %lld, which its last CRL has: CRL numbers only rise",
                        (long long) number, issuer, (long long) last);
        /* base is a time or was checked like this: far from where the sum could overflow, but it costs nothing to be sure */
        if (base > INT64_MAX - SIGNER_CRL_NUMBER_STEP_MAX ||
            number > base + SIGNER_CRL_NUMBER_STEP_MAX)
                return error_set_field(
                        err, ERR_STATE_CONFLICT, "number",
                        "CRL number %lld of %s is too far above %lld, where it should go on: too few would be left",
                        (long long) number, issuer, (long long) base);
        return 0;
}
