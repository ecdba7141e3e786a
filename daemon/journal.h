/*
 * The log's way out: the journal with its fields under systemd, plain lines on standard error by hand.
 */
#pragma once

#include <stdbool.h>

/** journal_begin() - choose the sink; once, before the threads */
void journal_begin(bool debug);

/** journal_flush() - let out what waits; once a second by the main thread, and at the end */
void journal_flush(void);
