/*
 * What of this process stays in memory.
 */
#pragma once

/**
 * resident_forget_start() - let go of what only the start needed: pages of programs and libraries, and freed memory
 *
 * Starting runs much code that a daemon never runs again: the dynamic linker over twenty libraries, self-tests, migrations, parsers of
 * configuration. These pages are clean and lie in the files, so they are unmapped; what is needed comes back at the first touch, from the
 * page cache. A machine that is short of memory can then take them without looking for who uses them. Nothing in builds with
 * assertions: a debugger's breakpoints are changes to such pages, and would be lost.
 */
void resident_forget_start(void);
