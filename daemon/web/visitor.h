/*
 * Visitor: which system a browser says it runs on, so that the steps for it stand first. A guess: all others are on the page, too.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/bytes.h"

enum visitor_system {
        SYSTEM_IOS,
        SYSTEM_MACOS,
        SYSTEM_ANDROID,
        SYSTEM_WINDOWS,
        SYSTEM_LINUX,
        SYSTEM_FIREFOX, /* on a PC, where it may have roots of its own */
        SYSTEM_JAVA,
        SYSTEM_OTHER, /* no idea: also televisions and the like */
        SYSTEM_COUNT,
};

/** visitor_system() - of a User-Agent as sent; NULL: there was none */
enum visitor_system visitor_system(const char *user_agent);

/** visitor_system_slug() - "ios", as in the path of its page */
const char *visitor_system_slug(enum visitor_system system);

/** visitor_system_of_slug() - the other way. Return: whether there is one */
bool visitor_system_of_slug(const char *slug, enum visitor_system *ret);
