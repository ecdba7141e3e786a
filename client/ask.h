/*
 * Questions on the terminal.
 */
#pragma once

#include <stddef.h>

/** ask_hidden() - a line from the terminal without its echo; @out is to be wiped by the caller. Return: 0, or -1 where none came */
int ask_hidden(const char *question, char *out, size_t size);
