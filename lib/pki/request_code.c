/*
 * Crockford's base32: no letter that is taken for another or for a digit.
 */
#include "lib/pki/request_code.h"

#include <stdio.h>

#include "lib/base/text.h"
#include "lib/pki/key.h"

#define CODE_LENGTH (REQUEST_CODE_MAX - 1)

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

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
        for (int i = CODE_LENGTH - 1; i >= 0; i--, bits >>= 5)
                ret[i] = alphabet[bits & 31];
        ret[CODE_LENGTH] = '\0';
}

static char heard(char c) {
        char upper = (char) (c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);

        return upper == 'O' ? '0' : upper == 'I' || upper == 'L' ? '1' : upper;
}

int request_code_parse(const char *text, char ret[REQUEST_CODE_MAX]) {
        char code[REQUEST_CODE_MAX];
        size_t size = 0;

        for (; *text; text++) {
                if (*text == '-' || *text == ' ')
                        continue;
                if (size == CODE_LENGTH || !strchr(alphabet, heard(*text)))
                        return -1;
                code[size++] = heard(*text);
        }
        if (size != CODE_LENGTH)
                return -1;
        code[size] = '\0';
        memcpy(ret, code, sizeof(code));
        return 0;
}

char *request_code_show(const char code[REQUEST_CODE_MAX], char ret[REQUEST_CODE_SHOWN_MAX]) {
        (void) snprintf(ret, REQUEST_CODE_SHOWN_MAX, "%.4s-%.4s", code, code + 4);
        return ret;
}
