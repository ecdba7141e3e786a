/*
 * Settings: INI files in systemd's manner, read against a table of what is known.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "error.h"

/** struct setting - one known setting; a table of them ends with section NULL */
struct setting {
        const char *section;
        const char *key;
        /**
         * @value: the text behind '=', trimmed; "" resets a list
         * @err:   a sentence; file and line are put in front by settings_read()
         * Return: 0 or -1
         */
        int (*set)(void *target, const char *value, size_t offset, struct error *err);
        size_t offset; /* of the member in the target, for the ready-made setters below */
};

/** SETTING_TO() - a setter and the member that it sets */
#define SETTING_TO(setter, type, member) .set = (setter), .offset = offsetof(type, member)

/* Ready-made setters; the member's type is in the name: char * (owned), bool, uint32_t, int64_t seconds. */
int setting_set_text(void *target, const char *value, size_t offset, struct error *err);
int setting_set_bool(void *target, const char *value, size_t offset, struct error *err);
int setting_set_u32(void *target, const char *value, size_t offset, struct error *err);
int setting_set_duration(void *target, const char *value, size_t offset, struct error *err);

/**
 * settings_read() - read one file
 * @settings: the known ones
 * @target: handed to the setters
 * @err:    ERR_CONFIG "path:line: …" for an unknown section or key, a bad value, a line that is no setting or over 198 bytes,
 *          NULs, octets 0x01; ERR_NOT_FOUND where the file is not there; ERR_FILE_UNSAFE, also for more than 1 MiB
 *
 * A setting is one line; white space before it does not matter. A comment is a line too, begun by '#' or ';': behind a value it
 * would be part of the value, as with systemd. Of two settings, the later wins (or adds: a list).
 */
int settings_read(int dir_fd, const char *path, const struct setting *settings, void *target,
                  struct error *err);

/** settings_parse() - the same from memory; @name stands for the file in errors */
int settings_parse(struct bytes content, const char *name, const struct setting *settings,
                   void *target, struct error *err);

/**
 * setting_words() - call @each for every word of a value separated by white space or commas
 * Return: 0, or the first non-zero that @each returned
 */
int setting_words(const char *value,
                  int (*each)(const char *word, void *context, struct error *err), void *context,
                  struct error *err);
