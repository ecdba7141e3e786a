/*
 * Principals. It decides who somebody is and which role that has; it proves nothing itself.
 */
#include "daemon/authority/principal.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/text.h"

#define ACCESS_MAX 256 /* entries of [Access] */
#define SPKI_HASH_SIZE 32

enum access_kind {
        ACCESS_UID,
        ACCESS_GID,
        ACCESS_CERT,
        ACCESS_SPKI,
};

struct access_entry {
        enum access_kind kind;
        enum role role;
        uint32_t id;
        char text[160]; /* of cert: and spki: */
};

struct access_list {
        struct access_entry entries[ACCESS_MAX];
        size_t count;
        size_t fixed; /* of these at the beginning: root and cad's own user, who cannot shut themselves out */
};

static const char *const role_names[] = {
        [ROLE_PUBLIC] = "public",
        [ROLE_READER] = "reader",
        [ROLE_OPERATOR] = "operator",
        [ROLE_ADMIN] = "admin",
};
_Static_assert(ARRAY_SIZE(role_names) == ROLE_COUNT, "one row a role");

const char *role_name(enum role role) {
        return role < ROLE_COUNT ? role_names[role] : "?";
}

static void add_uid(struct access_list *list, enum role role, uid_t uid) {
        list->entries[list->count++] = (struct access_entry){ .kind = ACCESS_UID,
                                                              .role = role,
                                                              .id = uid };
}

struct access_list *access_list_new(void) {
        struct access_list *list = calloc(1, sizeof(*list));

        if (!list)
                return NULL;
        add_uid(list, ROLE_ADMIN, 0);
        if (geteuid() != 0)
                add_uid(list, ROLE_ADMIN, geteuid());
        list->fixed = list->count;
        return list;
}

void access_list_reset(struct access_list *list, enum role role) {
        size_t kept = list->fixed;

        for (size_t i = list->fixed; i < list->count; i++)
                if (list->entries[i].role != role)
                        list->entries[kept++] = list->entries[i];
        list->count = kept;
}

struct access_list *access_list_free(struct access_list *list) {
        free(list);
        return NULL;
}

/* ---- words of [Access] ---- */

static int read_uid(const char *name, struct access_entry *entry, struct error *err) {
        const struct passwd *user;
        uint64_t number;

        if (text_to_u64(name, UINT32_MAX - 1, &number) == 0) {
                entry->id = (uint32_t) number;
                return 0;
        }
        user = getpwnam(name);
        if (!user)
                return error_set(err, ERR_CONFIG, "uid:%s: there is no such user", name);
        entry->id = user->pw_uid;
        return 0;
}

static int read_gid(const char *name, struct access_entry *entry, struct error *err) {
        const struct group *group;
        uint64_t number;

        if (text_to_u64(name, UINT32_MAX - 1, &number) == 0) {
                entry->id = (uint32_t) number;
                return 0;
        }
        group = getgrnam(name);
        if (!group)
                return error_set(err, ERR_CONFIG, "gid:%s: there is no such group", name);
        entry->id = group->gr_gid;
        return 0;
}

static int read_spki(const char *text, struct access_entry *entry, struct error *err) {
        uint8_t hash[32];
        size_t size;

        if (hex_decode(text, hash, sizeof(hash), &size) < 0 || size != sizeof(hash))
                return error_set(err, ERR_CONFIG,
                                 "spki:%.70s: the SHA-256 of a public key has 64 hex digits", text);
        (void) snprintf(entry->text, sizeof(entry->text), "%s", text);
        text_lower(entry->text);
        return 0;
}

static int read_text(const char *text, struct access_entry *entry, struct error *err) {
        if (!*text || strlen(text) >= sizeof(entry->text))
                return error_set(err, ERR_CONFIG, "'%.60s' is empty or too long", text);
        (void) snprintf(entry->text, sizeof(entry->text), "%s", text);
        return 0;
}

static const struct {
        const char *prefix;
        enum access_kind kind;
        int (*read)(const char *text, struct access_entry *entry, struct error *err);
} kinds[] = {
        { "uid:", ACCESS_UID, read_uid },
        { "gid:", ACCESS_GID, read_gid },
        { "cert:", ACCESS_CERT, read_text },
        { "spki:", ACCESS_SPKI, read_spki },
};

int access_list_add(struct access_list *list, enum role role, const char *word, struct error *err) {
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                size_t n = strlen(kinds[i].prefix);
                struct access_entry entry = { .kind = kinds[i].kind, .role = role };

                if (strncmp(word, kinds[i].prefix, n) != 0)
                        continue;
                if (list->count == ACCESS_MAX)
                        return error_set(err, ERR_CONFIG, "[Access] has more than %d entries",
                                         ACCESS_MAX);
                if (kinds[i].read(word + n, &entry, err) < 0)
                        return -1;
                list->entries[list->count++] = entry;
                return 0;
        }
        return error_set(err, ERR_CONFIG,
                         "'%.60s' is none of uid:NAME, gid:NAME, cert:NAME, spki:SHA256", word);
}

/* ---- who somebody is ---- */

static bool in_groups(const struct peer_identity *peer, uint32_t gid) {
        if (peer->gid == gid)
                return true;
        for (size_t i = 0; i < peer->group_count; i++)
                if (peer->groups[i] == gid)
                        return true;
        return false;
}

static bool entry_fits(const struct access_entry *entry, const struct peer_identity *peer) {
        switch (entry->kind) {
        case ACCESS_UID:
                return entry->id == peer->uid;
        case ACCESS_GID:
                return in_groups(peer, entry->id);
        case ACCESS_CERT:
        case ACCESS_SPKI:
                return false; /* proved by TLS, not by the kernel */
        }
        return false;
}

void principal_of_peer(const struct access_list *list, const struct peer_identity *peer,
                       struct principal *ret) {
        struct principal p = { .kind = PRINCIPAL_PEER,
                               .role = ROLE_PUBLIC,
                               .on_unix_socket = true };

        for (size_t i = 0; i < list->count; i++)
                if (list->entries[i].role > p.role && entry_fits(&list->entries[i], peer))
                        p.role = list->entries[i].role;
        /* the number alone: the name may change hands, and looking it up may block */
        (void) snprintf(p.text, sizeof(p.text), "uid:%u", (unsigned) peer->uid);
        *ret = p;
}

static bool has_name(const struct certificate_identity *certificate, const char *name) {
        if (certificate->label && strcmp(certificate->label, name) == 0)
                return true;
        for (size_t i = 0; i < certificate->name_count; i++)
                if (strcasecmp(certificate->names[i], name) == 0)
                        return true;
        return false;
}

static bool entry_names(const struct access_entry *entry,
                        const struct certificate_identity *certificate) {
        char spki[2 * SPKI_HASH_SIZE + 1];

        switch (entry->kind) {
        case ACCESS_CERT:
                return has_name(certificate, entry->text);
        case ACCESS_SPKI:
                return strcmp(hex_encode(BYTES(certificate->spki, SPKI_HASH_SIZE), spki),
                              entry->text) == 0;
        case ACCESS_UID:
        case ACCESS_GID:
                return false; /* proved by the kernel, not by TLS */
        }
        return false;
}

enum role access_role_of_certificate(const struct access_list *list,
                                     const struct certificate_identity *certificate) {
        enum role role = ROLE_PUBLIC;

        if (strcmp(certificate->profile, PROFILE_ADMIN) != 0)
                return role;
        for (size_t i = 0; i < list->count; i++)
                if (list->entries[i].role > role && entry_names(&list->entries[i], certificate))
                        role = list->entries[i].role;
        return role;
}
