/*
 * CRLs, written: entries in, DER out, in windows of a fixed size whatever their number.
 *
 * This file decides nothing about issuers, numbers or times. It believes nothing of the entries: each is checked when it is measured and
 * again when it is written, and what is written can never be longer than what was measured.
 */
#include "crl.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/memfd.h"
#include "lib/base/moment.h"
#include "oid.h"

#define CRL_V2 1              /* Version, RFC 5280 §5.1.2.1 */
#define WINDOW 2048u          /* entries that are read at once: 64 KiB */
#define OUT_SIZE (64u * 1024) /* octets that are written at once */
#define ENTRY_MAX 64u         /* octets of an entry in DER; the longest has 53 */
#define REASON_SIZE 14u       /* octets of crlEntryExtensions with a reasonCode */
#define HEADER_MAX 6u         /* tag and length of anything up to CRL_SIZE_MAX */

/* ---- entries ---- */

bool crl_entry_set(struct crl_entry *entry, struct bytes serial, unsigned reason,
                   int64_t revoked_at) {
        struct crl_entry made = { .reason = (uint8_t) reason, .revoked_at = revoked_at };

        if (serial.size == 0 || serial.size > CRL_SERIAL_MAX || serial.data[0] == 0 || reason > 255)
                return false;
        made.serial_size = (uint8_t) serial.size;
        memcpy(made.serial, serial.data, serial.size);
        *entry = made;
        return true;
}

/* What is wrong with it, or NULL. */
static const char *entry_fault(const struct crl_entry *e) {
        const unsigned reasons =
                0x67f; /* bit n: CRLReason n; not 7, which is unused, and not removeFromCRL */

        if (e->serial_size == 0 || e->serial_size > CRL_SERIAL_MAX)
                return "its serial does not have 1 to 20 octets";
        if (e->serial[0] == 0)
                return "its serial is zero, or has zeros in front";
        if (e->serial_size == CRL_SERIAL_MAX && e->serial[0] & 0x80)
                return "its serial has more than 159 bits, which is more than 20 octets in DER";
        for (size_t i = e->serial_size; i < CRL_SERIAL_MAX; i++)
                if (e->serial[i])
                        return "there are octets behind its serial";
        if (e->reason > 10 || !(reasons >> e->reason & 1))
                return e->reason == CRL_REMOVE_FROM_CRL
                        ? "its reason is removeFromCRL, which is for delta CRLs alone"
                        : "its reason is none of RFC 5280";
        if (e->pad[0] || e->pad[1])
                return "its reserved octets are not zero";
        if (e->revoked_at < 0 || e->revoked_at > MOMENT_LAST)
                return "its time is outside the years 1970 to 9999";
        return NULL;
}

int crl_entry_check(const struct crl_entry *entry, struct error *err) {
        const char *fault = entry_fault(entry);

        return fault ? error_set(err, ERR_REQUEST_MALFORMED,
                                 "the revoked certificate cannot stand in a CRL: %s", fault)
                     : 0;
}

struct crl_entries {
        int fd;
        size_t count;
        size_t in_window;
        struct crl_entry window[WINDOW];
};

struct crl_entries *crl_entries_free(struct crl_entries *entries) {
        if (entries) {
                (void) fd_close(entries->fd);
                free(entries);
        }
        return NULL;
}

int crl_entries_new(struct crl_entries **ret, struct error *err) {
        CAD_AUTO(crl_entries_free) struct crl_entries *entries = malloc(sizeof(*entries));

        if (!entries)
                return error_no_memory(err);
        entries->count = entries->in_window = 0;
        entries->fd = memfd_new("crl-entries", err);
        if (entries->fd < 0)
                return -1;
        *ret = CAD_TAKE(entries);
        return 0;
}

static int flush_entries(struct crl_entries *entries, struct error *err) {
        size_t octets = entries->in_window * sizeof(struct crl_entry);

        if (octets && fd_write_all(entries->fd, BYTES(entries->window, octets)) < 0)
                return error_errno(err, errno, "cannot keep the entries of a CRL");
        entries->in_window = 0;
        return 0;
}

int crl_entries_add(struct crl_entries *entries, const struct crl_entry *entry, struct error *err) {
        if (crl_entry_check(entry, err) < 0)
                return -1;
        if (entries->count == CRL_ENTRIES_MAX)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "a CRL of more than %u entries is not made", CRL_ENTRIES_MAX);
        if (entries->in_window == WINDOW && flush_entries(entries, err) < 0)
                return -1;
        entries->window[entries->in_window++] = *entry;
        entries->count++;
        return 0;
}

int crl_entries_seal(struct crl_entries *entries, size_t *ret_count, struct error *err) {
        if (flush_entries(entries, err) < 0 || memfd_seal(entries->fd, err) < 0)
                return -1;
        *ret_count = entries->count;
        return CAD_TAKE_FD(entries->fd);
}

/* ---- walking ---- */

/* Read, not mapped: a hole in the file, or one that is cut, is then never more than a wrong entry. */
struct walk {
        const struct crl_wish *wish;
        size_t done, from,
                have; /* entries handed out; what the window begins with, and how many it has */
        struct crl_entry *window;
};

static void walk_done(struct walk *w) {
        free(w->window);
}
CAD_CLEANUP_DONE(struct walk, walk_done)

static int walk_begin(struct walk *w, const struct crl_wish *wish, struct error *err) {
        struct stat st = { .st_size = 0 };

        *w = (struct walk){ .wish = wish };
        if (wish->entry_count > CRL_ENTRIES_MAX)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "a CRL of %zu entries was asked for: %u are the most",
                                 wish->entry_count, CRL_ENTRIES_MAX);
        if (wish->entry_count && wish->entries_fd < 0)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "there is no file with the %zu entries of the CRL",
                                 wish->entry_count);
        if (wish->entries_fd >= 0 && fstat(wish->entries_fd, &st) < 0)
                return error_errno(err, errno, "cannot look at the entries of a CRL");
        if ((uint64_t) st.st_size != (uint64_t) wish->entry_count * sizeof(struct crl_entry))
                return error_set(
                        err, ERR_REQUEST_MALFORMED,
                        "the file of the CRL's entries has %lld octets: %zu entries have %zu",
                        (long long) st.st_size, wish->entry_count,
                        wish->entry_count * sizeof(struct crl_entry));
        if (wish->entry_count == 0)
                return 0;
        w->window = calloc(WINDOW, sizeof(*w->window));
        return w->window ? 0 : error_no_memory(err);
}

static int read_window(struct walk *w, struct error *err) {
        size_t left = w->wish->entry_count - w->done, want, got = 0;

        want = (left < WINDOW ? left : WINDOW) * sizeof(struct crl_entry);
        if (w->done && w->wish->between)
                w->wish->between(w->wish->context);
        while (got < want) {
                ssize_t n = pread(w->wish->entries_fd, (uint8_t *) w->window + got, want - got,
                                  (off_t) (w->done * sizeof(struct crl_entry) + got));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(err, errno, "cannot read the entries of a CRL");
                if (n == 0)
                        return error_set(err, ERR_REQUEST_MALFORMED,
                                         "the file of the CRL's entries was cut");
                got += (size_t) n;
        }
        w->from = w->done;
        w->have = want / sizeof(struct crl_entry);
        return 0;
}

/* The next entry, checked. Return: 1, 0 at the end, -1 with @err */
static int walk_next(struct walk *w, const struct crl_entry **ret, struct error *err) {
        const char *fault;

        if (w->done == w->wish->entry_count)
                return 0;
        if (w->done == w->from + w->have && read_window(w, err) < 0)
                return -1;
        *ret = &w->window[w->done - w->from];
        fault = entry_fault(*ret);
        if (fault)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "entry %zu of the CRL cannot stand in one: %s", w->done, fault);
        w->done++;
        return 1;
}

/* ---- an entry in DER ---- */

#define UTC_TIME_SIZE 15u         /* with its header */
#define GENERALIZED_TIME_SIZE 17u /* from 2050: RFC 5280 §5.1.2.6 */
#define YEAR_2050 INT64_C(2524608000)

static size_t entry_content_size(const struct crl_entry *e) {
        return 2u + e->serial_size + (e->serial[0] >> 7) +
                (e->revoked_at < YEAR_2050 ? UTC_TIME_SIZE : GENERALIZED_TIME_SIZE) +
                (e->reason ? REASON_SIZE : 0);
}

/* With this writer's calls, whose order is backwards; an entry never has 128 octets, so each header has two. */
static void put_entry(struct der_writer *w, const struct crl_entry *e) {
        size_t mark = der_mark(w);
        const uint8_t reason[REASON_SIZE] = { 0x30, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55,
                                              0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01, e->reason };

        if (e->reason)
                der_put_raw(w, BYTES(reason, sizeof(reason)));
        der_put_time(w, e->revoked_at);
        der_put_unsigned(w, BYTES(e->serial, e->serial_size));
        der_wrap(w, DER_SEQUENCE, mark);
}

int crl_measure(const struct crl_wish *wish, size_t *ret_octets, struct error *err) {
        CAD_AUTO(walk_done) struct walk w = { 0 };
        const struct crl_entry *entry;
        size_t octets = 0;
        int more;

        if (walk_begin(&w, wish, err) < 0)
                return -1;
        while ((more = walk_next(&w, &entry, err)) > 0)
                octets += 2 + entry_content_size(entry);
        if (more < 0)
                return -1;
        *ret_octets = octets;
        return 0;
}

/* ---- output: a window that goes into the file, past the digest ---- */

struct out {
        int fd;
        off_t at; /* where the buffer goes */
        size_t used;
        struct key_stream *stream; /* NULL: the key wants it whole */
        uint8_t *buffer;
};

static void out_done(struct out *o) {
        o->stream = key_stream_free(o->stream);
        free(o->buffer);
}
CAD_CLEANUP_DONE(struct out, out_done)

static int write_at(int fd, struct bytes octets, off_t at, struct error *err) {
        while (octets.size) {
                ssize_t n = pwrite(fd, octets.data, octets.size, at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(err, errno, "cannot write a CRL");
                octets = BYTES(octets.data + n, octets.size - (size_t) n);
                at += n;
        }
        return 0;
}

static int out_flush(struct out *o, struct error *err) {
        struct bytes octets = BYTES(o->buffer, o->used);

        if (o->stream && key_stream_add(o->stream, octets, err) < 0)
                return -1;
        if (write_at(o->fd, octets, o->at, err) < 0)
                return -1;
        o->at += (off_t) o->used;
        o->used = 0;
        return 0;
}

static int out_put(struct out *o, struct bytes octets, struct error *err) {
        while (octets.size) {
                size_t room = OUT_SIZE - o->used, n = octets.size < room ? octets.size : room;

                memcpy(o->buffer + o->used, octets.data, n);
                o->used += n;
                octets = BYTES(octets.data + n, octets.size - n);
                if (o->used == OUT_SIZE && out_flush(o, err) < 0)
                        return -1;
        }
        return 0;
}

static int out_begin(struct out *o, int fd, off_t at, const struct private_key *key,
                     struct error *err) {
        *o = (struct out){ .fd = fd, .at = at, .buffer = malloc(OUT_SIZE) };
        if (!o->buffer)
                return error_no_memory(err);
        return private_key_signs_digest(key) ? key_stream_new(key, &o->stream, err) : 0;
}

/* ---- the parts of a TBSCertList around its entries ---- */

/* Tag and length of a content that is not in the writer. */
static void put_header(struct der_writer *w, uint8_t tag, size_t length) {
        uint8_t octets[HEADER_MAX], *at = octets + sizeof(octets);
        size_t left = length;

        if (length < 0x80) {
                *--at = (uint8_t) length;
        } else {
                for (; left; left >>= 8)
                        *--at = (uint8_t) left;
                *(at - 1) = (uint8_t) (0x80 | (octets + sizeof(octets) - at));
                at--;
        }
        *--at = tag;
        der_put_raw(w, BYTES(at, (size_t) (octets + sizeof(octets) - at)));
}

static void put_extension(struct der_writer *w, struct bytes oid, size_t mark) {
        der_wrap(w, DER_OCTET_STRING, mark);
        der_put(w, DER_OID, oid);
        der_wrap(w, DER_SEQUENCE, mark);
}

/* crlExtensions: authority key identifier, CRL number; neither is critical (RFC 5280 §5.2.1, §5.2.3). */
static void put_tail(struct der_writer *w, const struct crl_wish *wish) {
        size_t start = der_mark(w), mark = start;

        der_put_uint(w, (uint64_t) wish->number);
        put_extension(w, OID_CE_CRL_NUMBER, mark);
        mark = der_mark(w);
        der_put(w, DER_CONTEXT(0), wish->key_id);
        der_wrap(w, DER_SEQUENCE, mark);
        put_extension(w, OID_CE_AUTHORITY_KEY_ID, mark);
        der_wrap(w, DER_SEQUENCE, start);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), start);
}

static void put_head(struct der_writer *w, const struct crl_wish *wish, struct bytes algorithm,
                     size_t octets, size_t tail) {
        if (octets)
                put_header(w, DER_SEQUENCE, octets);
        der_put_time(w, wish->next_update);
        der_put_time(w, wish->this_update);
        der_put_raw(w, wish->issuer);
        der_put_raw(w, algorithm);
        der_put_uint(w, CRL_V2);
        put_header(w, DER_SEQUENCE, der_mark(w) + octets + tail);
}

/* ---- the whole ---- */

struct making {
        const struct crl_wish *wish;
        const struct private_key *key;
        struct bytes algorithm, head, tail;
        size_t octets;
        int out_fd;
};

static size_t tbs_size(const struct making *m) {
        return m->head.size + m->octets + m->tail.size;
}

static int put_entries(const struct making *m, struct out *out, struct error *err) {
        CAD_AUTO(walk_done) struct walk walk = { 0 };
        const struct crl_entry *entry;
        uint8_t octets[ENTRY_MAX];
        struct der_writer w;
        size_t written = 0;
        int more;

        if (walk_begin(&walk, m->wish, err) < 0)
                return -1;
        while ((more = walk_next(&walk, &entry, err)) > 0) {
                der_writer_init(&w, octets, sizeof(octets));
                put_entry(&w, entry);
                written += der_mark(&w);
                if (w.failed || written > m->octets)
                        break;
                if (out_put(out, der_writer_bytes(&w), err) < 0)
                        return -1;
        }
        if (more < 0)
                return -1;
        if (written != m->octets)
                return error_set(err, ERR_REQUEST_MALFORMED,
                                 "the entries of the CRL are not those that were measured");
        return 0;
}

static int sign_whole(const struct making *m, off_t at, uint8_t *signature, size_t *ret_size,
                      struct error *err) {
        struct bytes map;
        int rc;

        if (memfd_map(m->out_fd, (size_t) at + tbs_size(m), &map, err) < 0)
                return -1;
        rc = private_key_sign(m->key, BYTES(map.data + at, tbs_size(m)), signature, ret_size, err);
        memfd_unmap(map);
        return rc;
}

/* The TBSCertList at @at, and its signature. */
static int put_tbs(const struct making *m, off_t at, uint8_t *signature, size_t *ret_size,
                   struct error *err) {
        CAD_AUTO(out_done) struct out out = { 0 };

        if (out_begin(&out, m->out_fd, at, m->key, err) < 0 || out_put(&out, m->head, err) < 0 ||
            put_entries(m, &out, err) < 0 || out_put(&out, m->tail, err) < 0 ||
            out_flush(&out, err) < 0)
                return -1;
        return out.stream ? key_stream_sign(out.stream, signature, ret_size, err)
                          : sign_whole(m, at, signature, ret_size, err);
}

/* What stands behind the TBSCertList. */
static void put_signature(struct der_writer *w, const struct making *m, struct bytes signature) {
        der_put_bit_string(w, signature);
        der_put_raw(w, m->algorithm);
}

static size_t outer_header_size(size_t content) {
        uint8_t octets[HEADER_MAX];
        struct der_writer w;

        der_writer_init(&w, octets, sizeof(octets));
        put_header(&w, DER_SEQUENCE, content);
        return der_mark(&w);
}

/*
 * The header of the whole says how long the signature is, which is known last; an ECDSA signature is of one length or another. So room is left for
 * the header of the usual one, and where a length just needs an octet more or less, the whole is written again: signatures are
 * deterministic, so the second time it fits.
 */
static int put_crl(const struct making *m, size_t *ret_size, struct error *err) {
        uint8_t signature[SIGNATURE_MAX], octets[SIGNATURE_MAX + 64];
        size_t room = outer_header_size(tbs_size(m) + m->algorithm.size + 72);

        for (int attempt = 0; attempt < 3; attempt++) {
                size_t signature_size, header, content;
                struct der_writer w;

                if (put_tbs(m, (off_t) room, signature, &signature_size, err) < 0)
                        return -1;
                der_writer_init(&w, octets, sizeof(octets));
                put_signature(&w, m, BYTES(signature, signature_size));
                content = tbs_size(m) + der_mark(&w);
                if (w.failed ||
                    write_at(m->out_fd, der_writer_bytes(&w), (off_t) (room + tbs_size(m)), err) <
                            0)
                        break;
                header = outer_header_size(content);
                if (header != room) {
                        room = header;
                        continue;
                }
                der_writer_init(&w, octets, sizeof(octets));
                put_header(&w, DER_SEQUENCE, content);
                *ret_size = header + content;
                return write_at(m->out_fd, der_writer_bytes(&w), 0, err) < 0 ||
                                ftruncate(m->out_fd, (off_t) *ret_size) < 0
                        ? error_errno(err, errno, "cannot write a CRL")
                        : 0;
        }
        return error_set(err, ERR_INTERNAL, "the CRL cannot be put together");
}

int crl_write(const struct crl_wish *wish, size_t octets, const struct private_key *key, int out_fd,
              size_t *ret_size, struct error *err) {
        size_t around = wish->issuer.size + wish->key_id.size + 256;
        CAD_AUTO(buffer_done) struct buffer head_room = { 0 }, tail_room = { 0 };
        struct making m = { .wish = wish,
                            .key = key,
                            .algorithm = private_key_algorithm(key),
                            .octets = octets,
                            .out_fd = out_fd };
        struct der_writer w;

        if (wish->number < 0 || octets > CRL_SIZE_MAX || wish->issuer.size > CRL_SIZE_MAX)
                return error_set(err, ERR_INTERNAL, "the CRL's number or size makes no sense");
        if (!buffer_reserve(&head_room, around) || !buffer_reserve(&tail_room, around))
                return error_no_memory(err);
        der_writer_init(&w, tail_room.data, around);
        put_tail(&w, wish);
        m.tail = der_writer_bytes(&w);
        der_writer_init(&w, head_room.data, around);
        put_head(&w, wish, m.algorithm, octets, m.tail.size);
        m.head = der_writer_bytes(&w);
        if (m.head.size == 0 || m.tail.size == 0)
                return error_set(err, ERR_INTERNAL, "the CRL's times or names cannot be written");
        return put_crl(&m, ret_size, err);
}

/* ---- comparing: it walks the same entries ---- */

static int differs(const char *what, struct error *err) {
        return error_set(err, ERR_SIGNER_WRONG,
                         "the signer's CRL has another %s than was asked for", what);
}

int crl_compare(const struct crl *crl, const struct crl_wish *wish, struct error *err) {
        CAD_AUTO(walk_done) struct walk walk = { 0 };
        struct der_reader r = crl_entries_reader(crl);
        const struct crl_entry *asked;
        struct crl_entry found;
        int more;

        if (!bytes_equal(crl->issuer, wish->issuer))
                return differs("issuer", err);
        if (crl_number(crl) != wish->number)
                return differs("number", err);
        if (crl->this_update != wish->this_update || crl->next_update != wish->next_update)
                return differs("time", err);
        if (!bytes_equal(crl->authority_key_id, wish->key_id))
                return differs("authority key identifier", err);
        if (crl->extension_count != 2 || crl->unknown_critical)
                return differs("set of extensions", err);
        if (crl->entry_count != wish->entry_count)
                return differs("number of entries", err);
        if (walk_begin(&walk, wish, err) < 0)
                return -1;
        while ((more = walk_next(&walk, &asked, err)) > 0)
                if (!crl_next_entry(&r, &found) || memcmp(&found, asked, sizeof(found)) != 0)
                        return error_set(
                                err, ERR_SIGNER_WRONG,
                                "entry %zu of the signer's CRL is not the one that was asked for",
                                walk.done - 1);
        return more;
}
