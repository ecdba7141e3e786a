/*
 * What is in users' homes is touched with that user's own rights: in a process that has given up all others, so that no link in
 * somebody's home leads anybody anywhere.
 */
#pragma once

#include "trust.h"

#define USERS_MAX 4096

/**
 * users_work() - trust_work() in each home: of all users for root, of the caller else or with own_only
 *
 * A home that does not answer is given up after USERS_TIMEOUT_S and reported as failed.
 * @err: ERR_NO_MEMORY, ERR_IO
 */
#define USERS_TIMEOUT_S 300
#define USERS_WORK_S \
        270 /* after that nothing new is begun in it, so that it ends by itself and says what it has seen */
int users_work(const struct trust_job *job, enum trust_kind kind, struct trust_rows *ret,
               struct error *err);
