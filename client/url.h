/*
 * URLs that name a server and nothing on it.
 */
#pragma once

#include <stdbool.h>

/** url_names_server() - whether @text is http(s)://NAME[:PORT], with or without a slash: no user, path, query or fragment */
bool url_names_server(const char *text);
