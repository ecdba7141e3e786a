/*
 * Finding the passphrase. It is kept in wiped buffers and never shown.
 */
#include "daemon/signer/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/file.h"

static void trim_line_end(struct buffer *text) {
        if (text->size && text->data[text->size - 1] == '\n')
                text->size--;
        if (text->size && text->data[text->size - 1] == '\r')
                text->size--;
}

int passphrase_find(const char *path, struct buffer *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer credential = { 0 };
        const char *folder = getenv("CREDENTIALS_DIRECTORY");

        if (!path && folder) {
                buffer_format(&credential, "%s/%s", folder, PASSPHRASE_CREDENTIAL);
                if (access(buffer_string(&credential), F_OK) == 0)
                        path = buffer_string(&credential);
        }
        if (!path)
                return 0;
        if (file_read(AT_FDCWD, path, FILE_SECRET, PASSPHRASE_MAX, ret, err) < 0)
                return -1;
        trim_line_end(ret);
        if (ret->size == 0)
                return error_set(err, ERR_USAGE, "the passphrase file %s is empty", path);
        return 0;
}

static int read_hidden(int tty, const char *prompt, struct buffer *ret, struct error *err) {
        struct termios shown, hidden;
        uint8_t *at = buffer_reserve(ret, PASSPHRASE_MAX);
        ssize_t n;

        if (!at)
                return error_no_memory(err);
        if (fd_write_all(tty, bytes_of(prompt)) < 0 || tcgetattr(tty, &shown) < 0)
                return error_errno(err, errno, "cannot ask on the terminal");
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t) ECHO;
        (void) tcsetattr(tty, TCSAFLUSH, &hidden);
        n = read(tty, at, PASSPHRASE_MAX);
        (void) tcsetattr(tty, TCSAFLUSH, &shown);
        (void) fd_write_all(tty, BYTES_LITERAL("\n"));
        if (n < 0)
                return error_errno(err, errno, "cannot read from the terminal");
        ret->size += (size_t) n;
        trim_line_end(ret);
        return 0;
}

int passphrase_ask(const char *prompt, bool twice, struct buffer *ret, struct error *err) {
        CAD_AUTO(fd_close) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        CAD_AUTO(buffer_wipe) struct buffer again = { 0 };

        if (tty < 0)
                return error_set(
                        err, ERR_KEY_PASSPHRASE,
                        "the CA's keys are encrypted and there is no terminal to ask on: give --passphrase-file FILE, or the "
                        "credential %s",
                        PASSPHRASE_CREDENTIAL);
        if (read_hidden(tty, prompt, ret, err) < 0)
                return -1;
        if (!twice)
                return 0;
        if (read_hidden(tty, "once more: ", &again, err) < 0)
                return -1;
        if (!bytes_equal(buffer_bytes(ret), buffer_bytes(&again)))
                return error_set(err, ERR_KEY_PASSPHRASE, "the two passphrases are not the same");
        return 0;
}
