/*
 * Own names. One thread looks them up and replaces them; others only ask, under the lock.
 */
#include "daemon/own_names.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/host_names.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"

#define OWN_NAMES_MAX 64 /* of a certificate; a host with more addresses has them left out */

struct name_lists {
        struct san_list permitted, refused;
};

struct own_names {
        const struct name_constraints *constraints;
        char public_host[SAN_TEXT_MAX];
        char *more;
        pthread_mutex_t lock;
        struct name_lists *lists;
};

static struct name_lists *name_lists_free(struct name_lists *lists) {
        if (lists) {
                san_list_done(&lists->permitted);
                san_list_done(&lists->refused);
                free(lists);
        }
        return NULL;
}
CAD_CLEANUP(struct name_lists, name_lists_free)

struct own_names *own_names_free(struct own_names *names) {
        if (!names)
                return NULL;
        (void) name_lists_free(names->lists);
        (void) pthread_mutex_destroy(&names->lock);
        free(names->more);
        free(names);
        return NULL;
}

/* "http://ca.lan:8080", "http://[fd00::5]": as host_check_public_url() let it through. */
static void host_of_url(const char *url, char *out, size_t size) {
        const char *at = strstr(url, "://");
        size_t n;

        at = at ? at + 3 : url;
        n = *at == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":/");
        if (*at == '[') {
                at++;
                n = n > 2 ? n - 2 : 0;
        }
        (void) snprintf(out, size, "%.*s", (int) n, at);
}

/* ---- looking them up ---- */

struct gathering {
        struct own_names *names;
        struct name_lists *lists;
};

/* A name that is none (a host may be called anything) is left out. */
static void gather(const char *name, void *context) {
        struct gathering *g = context;
        CAD_AUTO(san_list_done) struct san_list one = { .count = 0 };
        struct san_list *list = &g->lists->permitted;

        if (san_list_add_text(&one, name, NULL) < 0 ||
            (one.items[0].type != SAN_DNS && one.items[0].type != SAN_IP))
                return;
        if (constraints_check(g->names->constraints, &one.items[0], NULL) < 0)
                list = &g->lists->refused;
        if (list->count < OWN_NAMES_MAX)
                (void) san_list_add_text(list, name, NULL);
}

static int gather_word(const char *word, void *context, struct error *err) {
        (void) err;
        gather(word, context);
        return 0;
}

int own_names_refresh(struct own_names *names, struct error *err) {
        CAD_AUTO(name_lists_free) struct name_lists *fresh = calloc(1, sizeof(*fresh));
        struct gathering g = { names, fresh };
        struct name_lists *old;

        if (!fresh)
                return error_no_memory(err);
        gather(names->public_host, &g);
        if (names->more && setting_words(names->more, gather_word, &g, err) < 0)
                return -1;
        host_names_each(gather, &g);
        (void) pthread_mutex_lock(&names->lock);
        old = names->lists;
        names->lists = CAD_TAKE(fresh);
        (void) pthread_mutex_unlock(&names->lock);
        (void) name_lists_free(old);
        return 0;
}

int own_names_set_more(struct own_names *names, const char *more, struct error *err) {
        char *copy = more ? strdup(more) : NULL;

        if (more && !copy)
                return error_no_memory(err);
        free(names->more);
        names->more = copy;
        return 0;
}

int own_names_new(const char *public_url, const struct name_constraints *constraints,
                  const char *more, struct own_names **ret, struct error *err) {
        CAD_AUTO(own_names_free) struct own_names *names = calloc(1, sizeof(*names));

        if (!names)
                return error_no_memory(err);
        (void) pthread_mutex_init(&names->lock, /* attr= */ NULL);
        names->constraints = constraints;
        host_of_url(public_url, names->public_host, sizeof(names->public_host));
        if (own_names_set_more(names, more, err) < 0 || own_names_refresh(names, err) < 0)
                return -1;
        *ret = CAD_TAKE(names);
        return 0;
}

/* ---- asking ---- */

const struct san_list *own_names_permitted(const struct own_names *names) {
        return &names->lists->permitted;
}

void own_names_refused(struct own_names *names, struct buffer *out) {
        char text[SAN_TEXT_MAX];

        (void) pthread_mutex_lock(&names->lock);
        for (size_t i = 0; i < names->lists->refused.count; i++)
                buffer_format(out, "%s%s", i ? ", " : "",
                              san_text(&names->lists->refused.items[i], text, sizeof(text)));
        (void) pthread_mutex_unlock(&names->lock);
}

static bool has_host(const struct san_list *list, const char *host) {
        struct bytes wanted = bytes_of(host);

        for (size_t i = 0; i < list->count; i++)
                if (list->items[i].type == SAN_DNS && bytes_equal(list->items[i].value, wanted))
                        return true;
        return false;
}

bool own_names_allow(struct own_names *names, const char *host) {
        bool allowed;

        (void) pthread_mutex_lock(&names->lock);
        allowed = has_host(&names->lists->permitted, host) ||
                has_host(&names->lists->refused, host);
        (void) pthread_mutex_unlock(&names->lock);
        return allowed;
}

static int check_word(const char *word, void *context, struct error *err) {
        struct san_list *list = context;

        if (strchr(word, '*'))
                return error_set(err, ERR_CONFIG, "'%.100s' is a pattern: a host has names", word);
        if (san_list_add_text(list, word, err) < 0) {
                err->code = ERR_CONFIG;
                return -1;
        }
        if (list->count && list->items[list->count - 1].type != SAN_DNS &&
            list->items[list->count - 1].type != SAN_IP)
                return error_set(err, ERR_CONFIG,
                                 "'%.100s' is neither a host's name nor an address", word);
        return 0;
}

int own_names_check(const char *text, struct error *err) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };

        return setting_words(text, check_word, &list, err);
}
