/*
 * The code of a request: see request_code.h.
 */
#include "lib/pki/request_code.h"

#include "lib/base/code.h"
#include "lib/base/text.h"
#include "lib/pki/key.h"

_Static_assert(REQUEST_CODE_MAX == CODE_TEXT_MAX && REQUEST_CODE_SHOWN_MAX == CODE_SHOWN_MAX,
               "a request's code is a code as they all are");

void request_code(const uint8_t id[REQUEST_ID_SIZE], struct bytes spki,
                  char ret[REQUEST_CODE_MAX]) {
        uint8_t octets[REQUEST_ID_SIZE + SPKI_MAX], digest[SHA256_SIZE];
        size_t size = spki.size < SPKI_MAX ? spki.size : SPKI_MAX;
        uint64_t bits = 0;

        memcpy(octets, id, REQUEST_ID_SIZE);
        if (size)
                memcpy(octets + REQUEST_ID_SIZE, spki.data, size);
        sha256(BYTES(octets, REQUEST_ID_SIZE + size), digest);
        for (int i = 0; i < 5; i++)
                bits = bits << 8 | digest[i];
        (void) code_of_bits(bits, ret);
}

int request_code_parse(const char *text, char ret[REQUEST_CODE_MAX]) {
        return code_parse(text, ret);
}

char *request_code_show(const char code[REQUEST_CODE_MAX], char ret[REQUEST_CODE_SHOWN_MAX]) {
        return code_show(code, ret);
}
