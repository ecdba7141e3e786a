/*
 * What other commands of cactl call of deploy.h, as a program: `deploy-calls folder FOLDER`, `deploy-calls add SERVICE FOLDER`.
 */
#include <stdio.h>
#include <string.h>

#include "client/cactl.h"
#include "client/deploy.h"
#include "client/output.h"
#include "lib/base/moment.h"

/* Of main.c, which is not here: nothing that is called may ask what was on the command line. */
const char *option_value(const struct client *c, const char *name) {
        (void) c;
        (void) fprintf(stderr, "asked for --%s\n", name);
        return NULL;
}

bool option_given(const struct client *c, const char *name) {
        return option_value(c, name) != NULL;
}

const char *global_option_value(const struct client *c, const char *name) {
        return option_value(c, name);
}

int main(int argc, char **argv) {
        struct client c = { .now = moment_now() };

        output_init();
        if (argc == 3 && strcmp(argv[1], "folder") == 0)
                return (int) deploy_folder(&c, argv[2]);
        if (argc == 4 && strcmp(argv[1], "add") == 0)
                return (int) deploy_add(&c, argv[2], argv[3]);
        return WRONG_USAGE;
}
