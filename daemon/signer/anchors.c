/*
 * The anchors that are kept: a list, and a file of lines as they are in the log.
 */
#include "daemon/signer/anchors.h"

#include <string.h>

#include "lib/base/file.h"

#define FILE_MAX (SIGNER_ANCHORS_MAX * AUDIT_ANCHOR_TEXT_MAX) /* bytes */
#define NEWEST_KEPT 16

static int unreadable(struct error *err) {
        return error_set(
                err, ERR_CA_INCOMPLETE,
                "the signer's file of audit anchors (%s) cannot be read: all of them are in its log too, so moving it away loses "
                "nothing but `cactl audit verify`'s view of the older ones",
                ANCHORS_FILE);
}

int anchors_read(int dir_fd, struct sign_anchors *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct sign_anchors anchors = { 0 };
        struct error missing = { 0 };
        char *line, *rest;

        *ret = anchors;
        if (file_read(dir_fd, ANCHORS_FILE, FILE_SECRET, FILE_MAX, &text, &missing) < 0) {
                if (missing.code == ERR_NOT_FOUND)
                        return 0;
                if (err)
                        *err = missing;
                return -1;
        }
        (void) buffer_string(&text);
        if (text.failed)
                return error_no_memory(err);
        for (rest = (char *) text.data; rest && (line = strsep(&rest, "\n")) && *line;) {
                if (anchors.count == SIGNER_ANCHORS_MAX ||
                    audit_anchor_parse(line, &anchors.list[anchors.count]) < 0)
                        return unreadable(err);
                anchors.count++;
        }
        if (rest)
                return unreadable(err);
        *ret = anchors;
        return 0;
}

int anchors_write(int dir_fd, const struct sign_anchors *anchors, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        char line[AUDIT_ANCHOR_TEXT_MAX];

        for (size_t i = 0; i < anchors->count; i++)
                buffer_format(&text, "%s\n", audit_anchor_format(&anchors->list[i], line));
        if (text.failed)
                return error_no_memory(err);
        return file_replace(dir_fd, ANCHORS_FILE, buffer_bytes(&text), 0600, err);
}

enum anchor_news anchors_judge(const struct sign_anchors *anchors,
                               const struct audit_anchor *anchor) {
        const struct audit_anchor *last;

        if (anchors->count == 0)
                return ANCHOR_LATER;
        last = &anchors->list[anchors->count - 1];
        if (anchor->number > last->number)
                return ANCHOR_LATER;
        return anchor->number == last->number &&
                        memcmp(anchor->hash, last->hash, sizeof(last->hash)) == 0
                ? ANCHOR_KNOWN
                : ANCHOR_BEHIND;
}

static bool is_a_step_back(const struct audit_anchor *at) {
        return at[1].number <= at[0].number;
}

/* The one in the middle of the shortest time, for its age. */
static size_t least_missed(const struct sign_anchors *anchors) {
        const struct audit_anchor *list = anchors->list;
        int64_t newest = list[anchors->count - 1].at;
        size_t best = 0; /* the oldest, where no other can go */
        double least = 0;

        for (size_t i = 1; i + NEWEST_KEPT < anchors->count; i++) {
                double age = (double) (newest - list[i].at) + 1;
                double score = (double) (list[i + 1].at - list[i - 1].at) / (age > 1 ? age : 1);

                if (is_a_step_back(&list[i - 1]) || is_a_step_back(&list[i]))
                        continue;
                if (best == 0 || score < least) {
                        best = i;
                        least = score;
                }
        }
        return best;
}

void anchors_add(struct sign_anchors *anchors, const struct audit_anchor *anchor) {
        if (anchors->count == SIGNER_ANCHORS_MAX) {
                size_t at = least_missed(anchors);

                memmove(&anchors->list[at], &anchors->list[at + 1],
                        (anchors->count - at - 1) * sizeof(anchors->list[0]));
                anchors->count--;
        }
        anchors->list[anchors->count++] = *anchor;
}
