/*
 * What a broken or captured signer may hand to cad as a CRL: the input is one in DER. Whatever the strict reader takes is, octet for octet, what
 * the writer makes of the same words.
 */
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/memfd.h"
#include "lib/base/moment.h"
#include "lib/pki/crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
        if (!holds)
                abort();
}

static void must_be_inside(struct bytes view, struct bytes whole) {
        must(view.size == 0 ||
             (view.data >= whole.data && view.data + view.size <= whole.data + whole.size));
}

/* The entries as they were handed in once. Return: a sealed descriptor */
static int entries_of(const struct crl *crl) {
        CAD_AUTO(crl_entries_free) struct crl_entries *entries = NULL;
        struct der_reader r = crl_entries_reader(crl);
        struct crl_entry entry;
        size_t count = 0;
        int fd;

        must(crl_entries_new(&entries, NULL) == 0);
        while (crl_next_entry(&r, &entry))
                must(crl_entries_add(entries, &entry, NULL) == 0);
        must(der_done(&r));
        fd = crl_entries_seal(entries, &count, NULL);
        must(fd >= 0 && count == crl->entry_count);
        return fd;
}

static void write_again(const struct crl *crl, const struct private_key *key) {
        CAD_AUTO(fd_close) int entries_fd = entries_of(crl), fd = memfd_new("fuzz", NULL);
        struct crl_wish wish = { .issuer = crl->issuer,
                                 .key_id = crl->authority_key_id,
                                 .number = crl_number(crl),
                                 .this_update = crl->this_update,
                                 .next_update = crl->next_update,
                                 .entries_fd = entries_fd,
                                 .entry_count = crl->entry_count };
        size_t octets, size;
        struct bytes der = BYTES_NONE;
        struct crl again;

        must(crl_measure(&wish, &octets, NULL) == 0);
        must(crl_write(&wish, octets, key, fd, &size, NULL) == 0 &&
             memfd_map(fd, size, &der, NULL) == 0);
        must(crl_read(der, &again, NULL) == 0 && crl_compare(&again, &wish, NULL) == 0);
        must(bytes_equal(again.entries, crl->entries));
        /* the two extensions may stand in the other order, and the signature be of another algorithm; else there is one way to write it */
        if (bytes_equal(again.algorithm, crl->algorithm) && crl_compare(crl, &wish, NULL) == 0)
                must(again.tbs.size == crl->tbs.size);
        memfd_unmap(der);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static struct private_key *key;
        struct bytes der = BYTES(data, size);
        struct error err = { 0 };
        struct crl crl;

        if (!key)
                must(private_key_generate(KEY_ECDSA_P256, 0, &key, &err) == 0);
        if (crl_read(der, &crl, &err) < 0) {
                must(err.code == ERR_SIGNER_WRONG && err.text[0]);
                return 0;
        }
        must_be_inside(crl.tbs, der);
        must_be_inside(crl.issuer, crl.tbs);
        must_be_inside(crl.entries, crl.tbs);
        must_be_inside(crl.number, crl.tbs);
        must_be_inside(crl.authority_key_id, crl.tbs);
        must_be_inside(crl.signature, der);
        must(crl.this_update >= -INT64_C(631152000) && crl.next_update <= MOMENT_LAST);
        must((crl.entry_count == 0) == (crl.entries.size == 0));
        if (crl_number(&crl) < INT64_MAX && crl.this_update >= 0 && crl.next_update >= 0)
                write_again(&crl, key);
        return 0;
}
