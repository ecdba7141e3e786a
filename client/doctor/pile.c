/*
 * Piles of certificates. Nothing is judged here.
 */
#include "pile.h"

#include <stdlib.h>

#include "lib/base/text.h"
#include "lib/pki/der.h"
#include "lib/pki/pem.h"

int pile_add(struct pile *pile, struct bytes der) {
        uint8_t *copy;

        if (pile->count == PILE_MAX)
                return -1;
        copy = malloc(der.size ? der.size : 1);
        if (!copy)
                return -1;
        if (der.size)
                memcpy(copy, der.data, der.size);
        pile->items[pile->count++] = BYTES(copy, der.size);
        return 0;
}

size_t pile_add_pem(struct pile *pile, struct bytes text) {
        size_t before = pile->count;

        if (text.size && text.data[0] == DER_SEQUENCE) {
                (void) pile_add(pile, text);
                return pile->count - before;
        }
        for (;;) {
                CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX];

                if (pem_next(&text, label, &der, /* err= */ NULL) != 1)
                        break;
                if (text_equal(label, "CERTIFICATE"))
                        (void) pile_add(pile, buffer_bytes(&der));
        }
        return pile->count - before;
}

bool pile_has(const struct pile *pile, struct bytes der) {
        for (size_t i = 0; i < pile->count; i++)
                if (bytes_equal(pile->items[i], der))
                        return true;
        return false;
}

void pile_done(struct pile *pile) {
        for (size_t i = 0; i < pile->count; i++)
                free((void *) (uintptr_t) pile->items[i].data);
        pile->count = 0;
}
