/*
 * Visitor: see visitor.h. User-Agents hold the names of others for the sake of old servers: the order of the rows is what decides.
 */
#include "daemon/web/visitor.h"

static const char *const slugs[] = {
        [SYSTEM_IOS] = "ios",         [SYSTEM_MACOS] = "macos", [SYSTEM_ANDROID] = "android",
        [SYSTEM_WINDOWS] = "windows", [SYSTEM_LINUX] = "linux", [SYSTEM_FIREFOX] = "firefox",
        [SYSTEM_JAVA] = "java",       [SYSTEM_OTHER] = "other",
};
_Static_assert(ARRAY_SIZE(slugs) == SYSTEM_COUNT, "one name a system");

static const struct {
        const char *word;
        enum visitor_system system;
} rows[] = {
        /* televisions and consoles that name Linux or Windows as well; Windows Phone names Android and iPhone */
        { "SmartTV", SYSTEM_OTHER },
        { "SMART-TV", SYSTEM_OTHER },
        { "Tizen", SYSTEM_OTHER },
        { "Web0S", SYSTEM_OTHER },
        { "webOS", SYSTEM_OTHER },
        { "PlayStation", SYSTEM_OTHER },
        { "Xbox", SYSTEM_OTHER },
        { "Windows Phone", SYSTEM_OTHER },
        { "iPhone", SYSTEM_IOS },
        { "iPad", SYSTEM_IOS },
        { "iPod", SYSTEM_IOS },
        /* before Firefox, which has other settings there; and before Linux */
        { "Android", SYSTEM_ANDROID },
        { "Firefox/", SYSTEM_FIREFOX },
        { "Macintosh", SYSTEM_MACOS }, /* an iPad in its usual setting says this, too */
        { "Mac OS X", SYSTEM_MACOS },
        { "Windows", SYSTEM_WINDOWS },
        { "Linux", SYSTEM_LINUX },
        { "CrOS", SYSTEM_LINUX },
        { "BSD", SYSTEM_LINUX },
        { "Java/", SYSTEM_JAVA },
        { "Java-http-client", SYSTEM_JAVA },
};

enum visitor_system visitor_system(const char *user_agent) {
        if (!user_agent)
                return SYSTEM_OTHER;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (strstr(user_agent, rows[i].word))
                        return rows[i].system;
        return SYSTEM_OTHER;
}

const char *visitor_system_slug(enum visitor_system system) {
        return slugs[system];
}

bool visitor_system_of_slug(const char *slug, enum visitor_system *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(slugs); i++) {
                if (strcmp(slugs[i], slug) != 0)
                        continue;
                *ret = (enum visitor_system) i;
                return true;
        }
        return false;
}
