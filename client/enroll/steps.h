/*
 * One run of `cactl enroll`, and its steps in the order in which client/cmd-enroll.c takes them.
 */
#pragma once

#include "client/enroll/device.h"
#include "client/enroll/obtain.h"

#define ENROLL_ROOT_PATH_MAX 32 /* bytes with NUL: "/proc/self/fd/N" */

/** struct enroll_run - @root_fd is -1 before, @device DEVICE_EMPTY */
struct enroll_run {
        struct wish wish;
        struct buffer token;
        struct buffer root; /* DER */
        struct place at;
        char root_path[ENROLL_ROOT_PATH_MAX];
        int root_fd;
        char validity[DURATION_TEXT_MAX];
        bool named; /* names were given */
        bool opened;
        struct device device;
        bool there; /* the device has a certificate that can be read */
};

/** enroll_take_options() - the command line into @r: token, names, key, texts. @c->args are read as names */
enum result enroll_take_options(const struct client *c, struct enroll_run *r);

/** enroll_open_known() - the device's certificate that this run is about, where the command line or an earlier run tells; else nothing is opened */
enum result enroll_open_known(const struct client *c, struct enroll_run *r);

/** enroll_open_device() - take NAME, and read what is there */
enum result enroll_open_device(struct enroll_run *r, const char *name);

/** enroll_judge_known() - whether there is nothing to be obtained. @ret: whether it is so */
enum result enroll_judge_known(const struct client *c, struct enroll_run *r, bool *ret);

/** enroll_find_ca() - which CA, and its root, pinned: from here on @c speaks with that one alone */
enum result enroll_find_ca(struct client *c, struct enroll_run *r);

/** enroll_default_names() - nobody said names: those of this host that the CA is for */
enum result enroll_default_names(struct client *c, struct enroll_run *r);

/** enroll_finish() - the certificate is in place: cactl.conf, timer, services, hooks. Return: the first failure; what follows one is done all the same */
enum result enroll_finish(struct client *c, struct enroll_run *r);

/** enroll_report() - what this device has now */
void enroll_report(const struct client *c, const struct device *d);

/** enroll_copy() - @text, in the place of what @ret owns; NULL leaves that. Return: DONE, or REFUSED after saying that memory is out */
enum result enroll_copy(const char *text, char **ret);

/** enroll_read_root() - the one certificate of a file. @ret_der: appended */
int enroll_read_root(const char *path, struct buffer *ret_der, struct error *err);
