/*
 * Replays a corpus through a fuzz target: what the ordinary test run does with the inputs that fuzzing found.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"

#define INPUT_MAX (16u * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(int dir_fd, const char *name) {
        CAD_AUTO(buffer_done) struct buffer input = { 0 };
        struct error err = { 0 };
        uint8_t *exact;

        if (file_read(dir_fd, name, FILE_PUBLIC, INPUT_MAX, &input, &err) < 0) {
                (void) fprintf(stderr, "%s\n", err.text);
                return -1;
        }
        exact = malloc(input.size ? input.size
                                  : 1); /* of just this size, so that a read past the end is seen */
        if (!exact)
                return -1;
        memcpy(exact, input.data, input.size);
        (void) LLVMFuzzerTestOneInput(exact, input.size);
        free(exact);
        return 0;
}

int main(int argc, char **argv) {
        struct error err = { 0 };
        int count = 0;

        for (int i = 1; i < argc; i++) {
                CAD_AUTO(fd_close) int dir_fd = folder_open(AT_FDCWD, argv[i], false, &err);
                DIR *dir = dir_fd < 0 ? NULL : opendir(argv[i]);

                if (!dir) {
                        (void) fprintf(stderr, "%s: %s\n", argv[i], err.text);
                        return EXIT_FAILURE;
                }
                for (struct dirent *entry; (entry = readdir(dir));) {
                        if (entry->d_name[0] == '.')
                                continue;
                        if (replay_file(dir_fd, entry->d_name) < 0)
                                return EXIT_FAILURE;
                        count++;
                }
                (void) closedir(dir);
        }
        (void) printf("%d inputs\n", count);
        return count ? EXIT_SUCCESS : EXIT_FAILURE;
}
