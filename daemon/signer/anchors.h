/*
 * The anchors of the audit: ends of its chain that cad has sent, each of them in the signer's log; some of them kept here for
 * reading back, in a file beside it.
 *
 * cad cannot rewrite them. That the chain goes back is allowed (a backup may have been restored) and never forgotten soon.
 */
#pragma once

#include "daemon/signer/protocol.h"

#define ANCHORS_FILE "anchors"
#define ANCHORS_APART_MS \
        900 /* between two of them: cad must not be able to fill the log with anchors */

/** anchors_read() - @ret is empty where there is no file. @err: ERR_CA_INCOMPLETE where it cannot be read as anchors; ERR_IO, … */
int anchors_read(int dir_fd, struct sign_anchors *ret, struct error *err);

/** anchors_write() - durably, by replacement */
int anchors_write(int dir_fd, const struct sign_anchors *anchors, struct error *err);

enum anchor_news {
        ANCHOR_KNOWN,  /* the newest one says the same */
        ANCHOR_LATER,  /* the chain has grown, or this is the first */
        ANCHOR_BEHIND, /* the chain went back, or has another row with the same number */
};

/** anchors_judge() - what an anchor says beside the newest one */
enum anchor_news anchors_judge(const struct sign_anchors *anchors,
                               const struct audit_anchor *anchor);

/**
 * anchors_add() - keep it; where there is no room, the one that is missed least goes
 *
 * The newest sixteen stay, the older ones get thinner with age; those between which the chain went back stay as long as others can go.
 */
void anchors_add(struct sign_anchors *anchors, const struct audit_anchor *anchor);
