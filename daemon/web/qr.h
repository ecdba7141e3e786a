/*
 * QR codes, as SVG: for the phone beside the PC.
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define QR_TEXT_MAX 512 /* bytes; what a phone still reads from a screen */

/** qr_svg() - append a QR code of @text (ISO/IEC 18004), black on white with its quiet zone. @err: ERR_INTERNAL: @text is too long; ERR_NO_MEMORY */
int qr_svg(const char *text, struct buffer *out, struct error *err);
