/*
 * Name constraints from within: the set itself (constraints.c), for what is written and read (constraints_der.c), decided (constraints_check.c)
 * and said of it (constraints_words.c).
 */
#pragma once

#include "constraints.h"

/*
 * A subtree. The base is as in the DER, in lower case: DNS `lan` (and below), `.lan` (below alone); e-mail and URI
 * `lan` (that host), `.lan` (below it); e-mail also a whole address; "" is everything. IP: address and mask.
 */
struct subtree {
        enum san_type type;
        struct bytes base;
};

struct subtrees {
        struct subtree *items;
        size_t count;
};

struct name_constraints {
        struct subtrees lists[2]; /* by enum constraints_list */
};

/** subtree_is_of_domains() - whether its base is made of a domain */
static inline bool subtree_is_of_domains(enum san_type type) {
        return type == SAN_DNS || type == SAN_EMAIL || type == SAN_URI;
}

/** constraints_add() - a base in its form of the DER; one that is there already is left out. @err: ERR_NAME_INVALID: there are too many */
int constraints_add(struct name_constraints *nc, enum constraints_list which, enum san_type type,
                    struct bytes base, struct error *err);

/** constraints_has_permitted() - @ip_size: 8 or 32 for one family, 0 for any entry of @type */
bool constraints_has_permitted(const struct name_constraints *nc, enum san_type type,
                               size_t ip_size);

/** constraints_any() - whether names of this kind are constrained at all */
bool constraints_any(const struct name_constraints *nc, enum san_type type);

/** constraints_excludes_all() - whether there is no name of this kind that may be */
bool constraints_excludes_all(const struct name_constraints *nc, enum san_type type);

/** constraints_refuse(), constraints_refuse_excluded() - the sentence for a name that is not permitted, or is excluded by an entry. Return: -1 */
int constraints_refuse(const struct name_constraints *nc, const struct san *name,
                       struct error *err);
int constraints_refuse_excluded(const struct san *name, const struct subtree *by,
                                struct error *err);
