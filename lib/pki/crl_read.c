/*
 * CRLs, read: the strict counterpart of crl.c, for what comes back from the signer.
 *
 * Pure: octets in, views out. An entry or an extension that crl.c does not write makes the whole CRL unreadable.
 */
#include "crl.h"

#include "oid.h"

static int wrong(const char *what, struct error *err) {
        return error_set(err, ERR_SIGNER_WRONG, "the CRL cannot be read: %s", what);
}

/* A positive INTEGER's magnitude; empty where it is none. */
static struct bytes get_positive(struct der_reader *r) {
        struct bytes value = der_get_integer(r);

        if (value.size == 0 || value.data[0] & 0x80) {
                der_fail(r);
                return BYTES_NONE;
        }
        if (value.data[0] == 0 && value.size > 1)
                value = BYTES(value.data + 1, value.size - 1);
        return value;
}

/* crlEntryExtensions with one reasonCode, not critical (RFC 5280 §5.3.1). */
static unsigned get_reason(struct der_reader *entry) {
        struct der_reader list = der_enter(entry, DER_SEQUENCE);
        struct der_reader extension = der_enter(&list, DER_SEQUENCE);
        struct bytes oid = der_get(&extension, DER_OID);
        struct der_reader value = der_enter(&extension, DER_OCTET_STRING);
        struct bytes reason = der_get(&value, DER_ENUMERATED);

        if (!der_done(&list) || !der_done(&extension) || !der_done(&value) ||
            !bytes_equal(oid, OID_CE_REASON_CODE) || reason.size != 1 || reason.data[0] == 0) {
                der_fail(entry);
                return 0;
        }
        return reason.data[0];
}

bool crl_next_entry(struct der_reader *r, struct crl_entry *ret) {
        struct der_reader entry;
        struct crl_entry made;
        struct bytes serial;
        int64_t revoked_at;
        unsigned reason = 0;

        if (!der_more(r))
                return false;
        entry = der_enter(r, DER_SEQUENCE);
        serial = get_positive(&entry);
        revoked_at = der_get_time(&entry);
        if (der_more(&entry))
                reason = get_reason(&entry);
        if (!der_done(&entry) || !crl_entry_set(&made, serial, reason, revoked_at) ||
            crl_entry_check(&made, NULL) < 0) {
                der_fail(r);
                return false;
        }
        *ret = made;
        return true;
}

static void get_authority_key_id(struct der_reader *value, struct crl *crl) {
        struct der_reader content = der_enter(value, DER_SEQUENCE);

        if (crl->authority_key_id.size)
                der_fail(value);
        crl->authority_key_id = der_get(&content, DER_CONTEXT(0));
        if (crl->authority_key_id.size == 0 || !der_done(&content))
                der_fail(value);
}

static void get_number(struct der_reader *value, struct crl *crl) {
        if (crl->number.size)
                der_fail(value);
        crl->number = get_positive(value);
        if (crl->number.size == 0 || crl->number.size > CRL_NUMBER_MAX)
                der_fail(value);
}

static void get_extension(struct der_reader *list, struct crl *crl) {
        struct der_reader extension = der_enter(list, DER_SEQUENCE);
        struct bytes oid = der_get(&extension, DER_OID);
        bool critical = der_next_is(&extension, DER_BOOLEAN) && der_get_bool(&extension);
        struct der_reader value = der_reader(der_get(&extension, DER_OCTET_STRING));

        crl->extension_count++;
        if (bytes_equal(oid, OID_CE_AUTHORITY_KEY_ID)) {
                get_authority_key_id(&value, crl);
        } else if (bytes_equal(oid, OID_CE_CRL_NUMBER)) {
                get_number(&value, crl);
        } else {
                crl->unknown_critical |= critical;
                return;
        }
        if (critical || !der_done(&value) || !der_done(&extension))
                der_fail(list);
}

static void get_extensions(struct der_reader *tbs, struct crl *crl) {
        struct der_reader outer = der_enter(tbs, DER_CONTEXT_CONSTRUCTED(0));
        struct der_reader list = der_enter(&outer, DER_SEQUENCE);

        while (der_more(&list))
                get_extension(&list, crl);
        if (!der_done(&list) || !der_done(&outer))
                der_fail(tbs);
}

/* Everything in front of the entries. */
static int get_head(struct der_reader *tbs, struct crl *crl, struct error *err) {
        if (der_get_uint(tbs) != 1)
                return wrong("it is not of version 2", err);
        if (!bytes_equal(der_get_element(tbs, DER_SEQUENCE), crl->algorithm))
                return wrong("the two signature algorithms differ", err);
        crl->issuer = der_get_element(tbs, DER_SEQUENCE);
        crl->this_update = der_get_time(tbs);
        crl->next_update = der_get_time(tbs);
        return tbs->failed ? wrong("its issuer or its times are not as they should be", err) : 0;
}

static int get_entries(struct der_reader *tbs, struct crl *crl, struct error *err) {
        struct crl_entry entry;
        struct der_reader r;

        if (!der_next_is(tbs, DER_SEQUENCE))
                return 0;
        crl->entries = der_get(tbs, DER_SEQUENCE);
        if (crl->entries.size == 0) /* RFC 5280 §5.1.2.6: absent, never empty */
                return wrong("its list of entries is there and empty", err);
        for (r = crl_entries_reader(crl); crl_next_entry(&r, &entry);)
                crl->entry_count++;
        if (r.failed)
                return error_set(err, ERR_SIGNER_WRONG,
                                 "the CRL cannot be read: its entry %zu is not as it should be",
                                 crl->entry_count);
        return 0;
}

int crl_read(struct bytes der, struct crl *ret, struct error *err) {
        struct der_reader outer = der_reader(der), list = der_enter(&outer, DER_SEQUENCE), tbs;
        struct crl crl = { .der = der };

        crl.tbs = der_get_element(&list, DER_SEQUENCE);
        crl.algorithm = der_get_element(&list, DER_SEQUENCE);
        crl.signature = der_get_bit_string(&list);
        if (!der_done(&list) || !der_done(&outer) || crl.signature.size == 0)
                return wrong("it is no CertificateList in DER", err);
        tbs = der_reader(crl.tbs);
        tbs = der_enter(&tbs, DER_SEQUENCE);
        if (get_head(&tbs, &crl, err) < 0 || get_entries(&tbs, &crl, err) < 0)
                return -1;
        get_extensions(&tbs, &crl);
        if (!der_done(&tbs) || crl.authority_key_id.size == 0 || crl.number.size == 0)
                return wrong("its extensions are not as they should be", err);
        *ret = crl;
        return 0;
}

int64_t crl_number(const struct crl *crl) {
        uint64_t number = 0;

        if (crl->number.size > 8 || (crl->number.size == 8 && crl->number.data[0] & 0x80))
                return INT64_MAX;
        for (size_t i = 0; i < crl->number.size; i++)
                number = number << 8 | crl->number.data[i];
        return (int64_t) number;
}
