/*
 * Targets: what is to be where, as CONF/deploy.d/NAME.conf says it.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"
#include "lib/pki/credential.h"
#include "service.h"

#define TARGET_NAME_MAX 64 /* characters */
#define TARGETS_MAX 256    /* files that are read in deploy.d */
#define TARGET_TIMEOUT_S 60
#define TARGET_TIMEOUT_MAX_S 600

/* Files that a certificate comes from, where it is no folder. */
enum target_input {
        INPUT_CERTIFICATE,
        INPUT_KEY,
        INPUT_CHAIN,
        INPUT_ROOT,
        INPUT_PKCS12,
        INPUT_COUNT,
};

/** struct target - texts are owned; NULL: not given */
struct target {
        char name[TARGET_NAME_MAX + 1];
        char *service_name;
        const struct service *service; /* NULL: a generic one */
        char *source;                  /* a folder, or FOLDER/BASE */
        char *inputs[INPUT_COUNT];
        char *password_file;
        char *paths[CREDENTIAL_PART_COUNT]; /* what is to be there */
        char *owner, *group, *mode;
        char *names;
        char *config, *pid_file, *unit;
        char *check, *reload; /* words; "no": none */
        int64_t timeout_s;
};

void target_done(struct target *target);
CAD_CLEANUP_DONE(struct target, target_done)

/** target_conf_folder() - $CACTL_CONFIG_DIR, or the system's; static */
const char *target_conf_folder(void);

/** target_name_check() - letters, digits, '.', '_', '@', '-', beginning with one of the first two kinds. @err: ERR_USAGE */
int target_name_check(const char *name, struct error *err);

/**
 * target_load() - read CONF/deploy.d/NAME.conf and check it
 * @ret: zero-initialised
 * @err: ERR_NOT_FOUND, ERR_CONFIG with file and line, ERR_FILE_UNSAFE
 */
int target_load(const char *name, struct target *ret, struct error *err);

/** target_new() - one that is not written yet; the service is that of its name, where there is one. @err: ERR_USAGE */
int target_new(const char *name, struct target *ret, struct error *err);

/** target_check() - whether what it says can be: absolute paths, each once, a known service, Mode= of octal digits. @err: ERR_CONFIG */
int target_check(struct target *target, struct error *err);

/** target_set() - replace one of its texts. @value: NULL or "": none */
int target_set(char **member, const char *value, struct error *err);

/** target_save() - write CONF/deploy.d/NAME.conf, unless that says the same already. @err: ERR_CONFIG (a value that no line can hold), ERR_IO */
int target_save(const struct target *target, struct error *err);

/** target_equal() - whether both would be written the same way */
bool target_equal(const struct target *a, const struct target *b);

/** struct target_names - names of the targets there are, in order */
struct target_names {
        char (*names)[TARGET_NAME_MAX + 1];
        size_t count;
};

void target_names_done(struct target_names *names);
CAD_CLEANUP_DONE(struct target_names, target_names_done)

/** target_list() - of all in deploy.d; none where the folder is not there. @err: ERR_IO, ERR_CONFIG (too many, a bad name) */
int target_list(struct target_names *ret, struct error *err);

/** target_part_key() - "FullChain" and the like: the setting of a part; static */
const char *target_part_key(enum credential_part part);
