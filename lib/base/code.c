/*
 * Codes: see code.h. It knows nothing of what a code is for.
 */
#include "lib/base/code.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define CODE_LENGTH (CODE_TEXT_MAX - 1)

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

char *code_of_bits(uint64_t bits, char ret[CODE_TEXT_MAX]) {
        for (int i = CODE_LENGTH - 1; i >= 0; i--, bits >>= 5)
                ret[i] = alphabet[bits & 31];
        ret[CODE_LENGTH] = '\0';
        return ret;
}

static char heard(char c) {
        char upper = (char) (c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);

        return upper == 'O' ? '0' : upper == 'I' || upper == 'L' ? '1' : upper;
}

int code_parse(const char *text, char ret[CODE_TEXT_MAX]) {
        char code[CODE_TEXT_MAX];
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

char *code_show(const char code[CODE_TEXT_MAX], char ret[CODE_SHOWN_MAX]) {
        (void) snprintf(ret, CODE_SHOWN_MAX, "%.4s-%.4s", code, code + 4);
        return ret;
}
