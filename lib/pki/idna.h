/*
 * International domain names (IDNA 2008, RFC 5890–5893), on what GnuTLS has from libidn2.
 */
#pragma once

#include "lib/base/bytes.h"

/**
 * idna_label_fault() - why an A-label may not stand in a certificate
 * @label: one label in lower case that begins with "xn--"
 *
 * It must decode, to something that is not plain ASCII, and must encode to itself again: then two spellings of one name
 * cannot both pass. Its letters must be of one script where scripts have letters that look alike.
 * Return: the reason, a static text to follow "it …"; NULL where it is good
 */
const char *idna_label_fault(const char *label);

/**
 * idna_to_ascii() - the A-label form of a name in UTF-8 (`bücher.lan` → `xn--bcher-kva.lan`)
 * @name: letters, digits, '-', '.' and what is not ASCII; anything else fails
 * @out:  set on success only; the result is a candidate, still to be checked as any DNS name
 * Return: 0, or -1 where IDNA 2008 has no form for it or @out is too small
 */
int idna_to_ascii(struct bytes name, char *out, size_t size);

/** idna_to_unicode() - @name with each A-label that is good shown as its U-label; cut where @out is too small. Return: @out */
const char *idna_to_unicode(struct bytes name, char *out, size_t size);
