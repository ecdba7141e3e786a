/*
 * What of this process stays in memory: see resident.h. It never touches a page that could have been written.
 */
#include "daemon/resident.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef NDEBUG

/* Whole pages inside a segment: what it shares with its neighbours stays. */
static void forget(uintptr_t from, uintptr_t to) {
        uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);

        from = (from + page - 1) & ~(page - 1);
        to &= ~(page - 1);
        if (from < to)
                (void) madvise((void *) from, to - from, MADV_DONTNEED);
}

/* DT_TEXTREL: the linker has written addresses into its code, as some objects of 32-bit machines want it. */
static bool code_was_changed(const ElfW(Dyn) * entry) {
        for (; entry->d_tag != DT_NULL; entry++)
                if (entry->d_tag == DT_TEXTREL ||
                    (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL)))
                        return true;
        return false;
}

/* Code and constants. What else relocations are written to has PF_W here, also where it is made read-only later (PT_GNU_RELRO). */
static int forget_object(struct dl_phdr_info *object, size_t size, void *context) {
        const ElfW(Phdr) *end = object->dlpi_phdr + object->dlpi_phnum;

        (void) size;
        (void) context;
        for (const ElfW(Phdr) *s = object->dlpi_phdr; s < end; s++)
                if (s->p_type == PT_DYNAMIC &&
                    code_was_changed((const ElfW(Dyn) *) (object->dlpi_addr + s->p_vaddr)))
                        return 0;
        for (const ElfW(Phdr) *s = object->dlpi_phdr; s < end; s++)
                if (s->p_type == PT_LOAD && !(s->p_flags & PF_W))
                        forget(object->dlpi_addr + s->p_vaddr,
                               object->dlpi_addr + s->p_vaddr + s->p_filesz);
        return 0;
}

void resident_forget_start(void) {
        (void) malloc_trim(0);
        (void) dl_iterate_phdr(forget_object, NULL);
}

#else

void resident_forget_start(void) {}

#endif
