/*
 * QR codes: see qr.h. libqrencode makes the code; here it is drawn.
 */
#include "daemon/web/qr.h"

#include <errno.h>
#include <qrencode.h>

#define QR_QUIET 4 /* modules around it that stay white (ISO/IEC 18004 §5.3.8) */
#define QR_VERSION_ANY 0

static QRcode *qr_free(QRcode *code) {
        QRcode_free(code);
        return NULL;
}
CAD_CLEANUP(QRcode, qr_free)

/* A row's dark modules, as runs: "M6 4h7v1h-7z". */
static void draw_row(const QRcode *code, int y, struct buffer *out) {
        const unsigned char *row = code->data + (ptrdiff_t) y * code->width;

        for (int x = 0, end; x < code->width; x = end + 1) {
                for (end = x; end < code->width && (row[end] & 1);)
                        end++;
                if (end > x)
                        buffer_format(out, "M%d %dh%dv1h-%dz", x + QR_QUIET, y + QR_QUIET, end - x,
                                      end - x);
        }
}

int qr_svg(const char *text, struct buffer *out, struct error *err) {
        CAD_AUTO(qr_free) QRcode *code = NULL;

        if (strlen(text) > QR_TEXT_MAX)
                return error_set(err, ERR_INTERNAL, "%zu bytes are too many for a QR code",
                                 strlen(text));
        errno = 0;
        code = QRcode_encodeString8bit(text, QR_VERSION_ANY, QR_ECLEVEL_M);
        if (!code)
                return errno == ENOMEM
                        ? error_no_memory(err)
                        : error_set(err, ERR_INTERNAL, "no QR code can be made of '%.100s'", text);
        buffer_format(
                out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                "shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path d=\"",
                code->width + 2 * QR_QUIET, code->width + 2 * QR_QUIET, code->width + 2 * QR_QUIET,
                code->width + 2 * QR_QUIET);
        for (int y = 0; y < code->width; y++)
                draw_row(code, y, out);
        buffer_text(out, "\"/></svg>\n");
        return out->failed ? error_no_memory(err) : 0;
}
