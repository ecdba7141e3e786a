/*
 * Questions on the terminal: see ask.h.
 */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

int ask_hidden(const char *question, char *out, size_t size) {
        struct termios before, hidden;
        ssize_t n;

        if (tcgetattr(STDIN_FILENO, &before) < 0)
                return -1;
        hidden = before;
        hidden.c_lflag &= ~(tcflag_t) ECHO;
        /* in this order: what is typed as an answer is neither shown nor thrown away */
        (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
        (void) fprintf(stderr, "%s: ", question);
        do
                n = read(STDIN_FILENO, out, size - 1);
        while (n < 0 && errno == EINTR);
        (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        (void) fputc('\n', stderr);
        out[n > 0 ? n : 0] = '\0';
        return n > 0 ? 0 : -1;
}
