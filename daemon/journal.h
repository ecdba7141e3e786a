/*
 * The log's way out: the journal with its fields under systemd, plain lines on standard error by hand.
 */
#pragma once

#include <stdbool.h>

/** journal_begin() - choose the sink; once, before the threads */
void journal_begin(bool debug);
