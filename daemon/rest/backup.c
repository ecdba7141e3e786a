/*
 * POST /v1/backup: a file that the authority makes, as it is.
 */
#include "daemon/authority/backup.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/rest/rest.h"
#include "lib/base/file.h"

/* What the answer is sent from: the pages of a file that has no name any more. */
struct mapped {
        void *data;
        size_t size;
};

static void unmap(void *context) {
        struct mapped *mapped = context;

        (void) munmap(mapped->data, mapped->size);
        free(mapped);
}

static int map(int fd, struct mapped **ret, struct error *err) {
        struct mapped *mapped = calloc(1, sizeof(*mapped));
        struct stat st;

        if (!mapped)
                return error_no_memory(err);
        if (fstat(fd, &st) == 0 && st.st_size > 0) {
                mapped->size = (size_t) st.st_size;
                mapped->data = mmap(NULL, mapped->size, PROT_READ, MAP_SHARED, fd, 0);
        }
        if (!mapped->size || mapped->data == MAP_FAILED) {
                free(mapped);
                return error_errno(err, errno, "cannot read the backup that was made");
        }
        *ret = mapped;
        return 0;
}

void rest_backup(struct exchange *x) {
        const struct rest *rest = exchange_context(x);
        const struct audit_event what = { .source = exchange_peer(x)->text,
                                          .request_id = exchange_request_id(x) };
        struct mapped *mapped = NULL;
        struct error err = { 0 };
        CAD_AUTO(fd_close)
        int fd = authority_backup(rest_authority(x), rest_principal(x), &what, rest->state_fd,
                                  &err);

        if (fd < 0 || map(fd, &mapped, &err) < 0)
                exchange_problem(x, &err);
        else
                exchange_reply_lent(x, 200, "application/vnd.sqlite3",
                                    BYTES(mapped->data, mapped->size), unmap, mapped);
}
