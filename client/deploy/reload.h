/*
 * Asking a service whether its files can be used, and telling it to use them.
 */
#pragma once

#include "target.h"

enum reload {
        RELOAD_NONE,        /* nothing says how */
        RELOAD_NOT_RUNNING, /* it will read the files when it starts */
        RELOAD_DONE,
};

/** reload_check() - run Check=, or what the table has. @err: ERR_STATE_CONFLICT with what the program said */
int reload_check(const struct target *target, struct error *err);

/**
 * reload_run() - Reload=, or systemd, or a signal where systemd is not there (or PidFile= was given)
 * @revive: after a failure: systemd is to start it where that has ended it
 * @err:    ERR_STATE_CONFLICT
 */
int reload_run(const struct target *target, bool revive, enum reload *ret, struct error *err);

/** words_split() - of a command line: by white space, "…" keeps it together, {config} is @config.
 *  @ret: pointers into @text, which is changed; ends with NULL. @err: ERR_CONFIG (an open quote, too many words, none) */
#define WORDS_OF_COMMAND_MAX 32
int words_split(char *text, const char *config, const char *ret[WORDS_OF_COMMAND_MAX + 1],
                struct error *err);
