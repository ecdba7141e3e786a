/*
 * Deciding on a request, one at a time for each. It signs nothing: that is done by what issues.
 */
#include "daemon/authority/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/authority/access.h"
#include "daemon/authority/requests_parts.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

/* ---- being the one who decides ---- */

static int claim(struct requests *r, const struct request_row *row, struct error *err) {
        int64_t *free_one = NULL;
        bool taken = false;

        (void) pthread_mutex_lock(&r->lock);
        for (size_t i = 0; i < REQUEST_DECISIONS_MAX; i++) {
                if (r->deciding[i] == row->row_id)
                        taken = true;
                else if (r->deciding[i] == 0)
                        free_one = &r->deciding[i];
        }
        if (!taken && free_one)
                *free_one = row->row_id;
        (void) pthread_mutex_unlock(&r->lock);
        if (taken)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "somebody else is deciding on the request %s at this moment: look at what came of it",
                        row->code);
        return free_one ? 0
                        : error_set(err, ERR_OVERLOADED,
                                    "%d requests are being approved at this moment: try again",
                                    REQUEST_DECISIONS_MAX);
}

static void release(struct requests *r, int64_t row_id) {
        (void) pthread_mutex_lock(&r->lock);
        for (size_t i = 0; i < REQUEST_DECISIONS_MAX; i++)
                if (r->deciding[i] == row_id)
                        r->deciding[i] = 0;
        (void) pthread_mutex_unlock(&r->lock);
}

/* Without its CSR it has expired, whatever the clock says now: it was ahead for a while. */
static int check_open(const struct request_row *row, struct error *err) {
        if (request_row_check_open(row, moment_now(), err) < 0)
                return -1;
        return row->csr.size
                ? 0
                : error_set(err, ERR_STATE_CONFLICT,
                            "the request %s has expired: it has to be handed in again", row->code);
}

/* Find it, and be the one who decides. @ret is as it is now, and stays so but for the time. */
static int find_and_claim(struct authority *a, const char *handle, struct request_row **ret,
                          struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *seen = NULL, *row = NULL;

        if (requests_look_up(a, handle, &seen, err) < 0 || claim(a->requests, seen, err) < 0)
                return -1;
        if (store_get_request(a->store, seen->id, &row, err) < 0 || check_open(row, err) < 0) {
                release(a->requests, seen->row_id);
                return -1;
        }
        *ret = CAD_TAKE(row);
        return 0;
}

/* ---- approving ---- */

struct approving {
        struct authority *authority;
        int64_t row_id;
        issue_done done;
        void *context;
};

static struct approving *approving_free(struct approving *p) {
        if (p)
                release(p->authority->requests, p->row_id);
        free(p);
        return NULL;
}
CAD_CLEANUP(struct approving, approving_free)

static void on_approved(void *context, const struct issued *issued, const struct error *err) {
        CAD_AUTO(approving_free) struct approving *p = context;

        p->done(p->context, issued, err);
}

/* Whoever approves may leave names out. Others than were asked for would be a surprise to the device, and are issued to nobody by mistake. */
static int check_names(const struct request_row *row, const struct issue_request *rq,
                       struct error *err) {
        CAD_AUTO(san_list_done) struct san_list asked = { 0 };
        char text[SAN_TEXT_MAX];

        for (size_t i = 0; i < row->name_count; i++)
                if (san_list_add_text(&asked, row->names[i], err) < 0)
                        return -1;
        for (size_t i = 0; i < rq->name_count; i++) {
                CAD_AUTO(san_list_done) struct san_list one = { 0 };

                if (san_list_add_text(&one, rq->names[i], err) < 0)
                        return error_name_field(err, "names[%zu]", i);
                if (san_list_contains(&asked, &one.items[0]))
                        continue;
                (void) error_set(
                        err, ERR_NAME_NOT_ALLOWED,
                        "the request %s does not ask for %s: names can be left out, not added",
                        row->code, san_text(&one.items[0], text, sizeof(text)));
                return error_name_field(err, "names[%zu]", i);
        }
        return 0;
}

static int check_lifetime(const struct request_row *row, const struct issue_request *rq,
                          struct error *err) {
        char asked[DURATION_TEXT_MAX];

        if (row->lifetime_s == 0 || rq->lifetime_s <= row->lifetime_s)
                return 0;
        return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                               "the request %s asks for %s: it can be shortened, not made longer",
                               row->code, duration_format(row->lifetime_s, asked));
}

static int issue(struct authority *a, const struct issue_request *rq, const struct request_row *row,
                 struct approving **approving, struct error *err) {
        struct request_approval approval = { .row_id = row->row_id, .at = moment_now() };
        struct issue_request wanted = *rq;
        char requester[PRINCIPAL_TEXT_MAX + 32];

        memcpy(approval.code, row->code, sizeof(approval.code));
        (void) snprintf(requester, sizeof(requester), "%s for request %s", rq->principal->text,
                        row->code);
        wanted.csr = row->csr;
        wanted.profile = rq->profile ? rq->profile : row->profile;
        wanted.names = rq->name_count ? rq->names : row->names;
        wanted.name_count = rq->name_count ? rq->name_count : row->name_count;
        wanted.lifetime_s = rq->lifetime_s ? rq->lifetime_s : row->lifetime_s;
        wanted.label = rq->label ? rq->label : row->label;
        wanted.of_stranger = true;
        wanted.approves = &approval;
        wanted.requester = requester;
        if (authority_issue(a, &wanted, on_approved, *approving, err) < 0)
                return -1;
        (void) CAD_TAKE(*approving); /* on_approved() has it now, or had it */
        return 0;
}

/* What is refused later, is noted by what issues. */
static int prepare(struct authority *a, const struct issue_request *rq, const char *handle,
                   struct request_row **ret, struct approving **ret_approving, struct error *err) {
        if (access_check(rq->principal, ACTION_DECIDE_REQUEST, err) < 0 ||
            find_and_claim(a, handle, ret, err) < 0)
                return -1;
        *ret_approving = calloc(1, sizeof(**ret_approving));
        if (!*ret_approving) {
                release(a->requests, (*ret)->row_id);
                return error_no_memory(err);
        }
        (*ret_approving)->authority = a;
        (*ret_approving)->row_id = (*ret)->row_id;
        return check_names(*ret, rq, err) < 0 ? -1 : check_lifetime(*ret, rq, err);
}

int requests_approve(struct authority *a, const struct issue_request *rq, const char *handle,
                     issue_done done, void *context, struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        CAD_AUTO(approving_free) struct approving *approving = NULL;
        int again = 0;

        if (access_check(rq->principal, ACTION_DECIDE_REQUEST, NULL) == 0)
                again = authority_issue_again(a, rq, done, context, err);
        if (again != 0)
                return again < 0 ? -1 : 0;
        if (prepare(a, rq, handle, &row, &approving, err) < 0) {
                requests_note_refusal(a, rq, "request.approve", handle, err);
                return -1;
        }
        approving->done = done;
        approving->context = context;
        return issue(a, rq, row, &approving, err);
}

/* ---- denying ---- */

static int check_reason(const char *reason, struct error *err) {
        if (!reason ||
            (strlen(reason) <= REQUEST_REASON_LENGTH_MAX && utf8_valid(bytes_of(reason))))
                return 0;
        return error_set_field(err, ERR_BODY_MALFORMED, "reason",
                               "a reason has at most %d bytes of UTF-8", REQUEST_REASON_LENGTH_MAX);
}

static int deny(struct authority *a, const struct issue_request *rq, const char *handle,
                const char *reason, struct request_row **ret, struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        struct audit_event event = { .at = moment_now(),
                                     .action = "request.deny",
                                     .principal = rq->principal->text,
                                     .source = rq->source,
                                     .detail = reason,
                                     .request_id = rq->request_id };
        struct store_deny_request op;
        int rc;

        if (access_check(rq->principal, ACTION_DECIDE_REQUEST, err) < 0 ||
            check_reason(reason, err) < 0 || find_and_claim(a, handle, &row, err) < 0)
                return -1;
        event.object = row->code;
        store_deny_request_init(&op, NULL);
        op.row_id = row->row_id;
        op.decided_by = rq->principal->text;
        op.reason = reason && *reason ? reason : NULL;
        op.at = event.at;
        op.audit = &event;
        rc = store_write(a->store, &op.op, err);
        release(a->requests, row->row_id);
        return rc < 0 ? -1 : store_get_request(a->store, row->id, ret, err);
}

int requests_deny(struct authority *a, const struct issue_request *rq, const char *handle,
                  const char *reason, struct request_row **ret, struct error *err) {
        if (deny(a, rq, handle, reason, ret, err) == 0)
                return 0;
        requests_note_refusal(a, rq, "request.deny", handle, err);
        return -1;
}
