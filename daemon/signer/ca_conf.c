/*
 * See ca_conf.h. Replacing this file is the moment at which an intermediate comes into being, or another one becomes the
 * active one.
 */
#include "daemon/signer/ca_conf.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"

static const struct setting ca_settings[] = {
        { "CA", "Name", SETTING_TO(setting_set_text, struct ca_conf, name) },
        { "CA", "PublicUrl", SETTING_TO(setting_set_text, struct ca_conf, public_url) },
        { "CA", "Intermediates", SETTING_TO(setting_set_text, struct ca_conf, intermediates) },
        { "CA", "Active", SETTING_TO(setting_set_text, struct ca_conf, active) },
        { "CA", "Retired", SETTING_TO(setting_set_text, struct ca_conf, retired) },
        { "CA", "Replaces", SETTING_TO(setting_set_text, struct ca_conf, replaces) },
        { 0 },
};

void ca_conf_done(struct ca_conf *conf) {
        free(conf->name);
        free(conf->public_url);
        free(conf->intermediates);
        free(conf->active);
        free(conf->retired);
        free(conf->replaces);
        *conf = (struct ca_conf){ 0 };
}

int ca_conf_read(int state_fd, struct ca_conf *ret, struct error *err) {
        struct ca_conf conf = { 0 };

        if (settings_read(state_fd, CA_CONF_FILE, ca_settings, &conf, err) < 0) {
                ca_conf_done(&conf);
                return -1;
        }
        if (conf.name && conf.public_url && conf.intermediates && conf.active) {
                *ret = conf;
                return 0;
        }
        ca_conf_done(&conf);
        return error_set(err, ERR_CA_INCOMPLETE,
                         "%s lacks one of Name=, PublicUrl=, Intermediates=, Active=",
                         CA_CONF_FILE);
}

int ca_conf_write(int dir_fd, const char *path, const struct ca_conf *conf, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        buffer_format(&text,
                      "# Written by cad-signer. The certificates beside it say the rest.\n"
                      "[CA]\nName=%s\nPublicUrl=%s\nIntermediates=%s\nActive=%s\n",
                      conf->name, conf->public_url, conf->intermediates, conf->active);
        if (conf->retired)
                buffer_format(&text, "Retired=%s\n", conf->retired);
        if (conf->replaces)
                buffer_format(&text, "Replaces=%s\n", conf->replaces);
        return text.failed ? error_no_memory(err)
                           : file_replace(dir_fd, path, buffer_bytes(&text), 0600, err);
}

static int is_word(const char *word, void *context, struct error *err) {
        (void) err;
        return strcmp(word, context) == 0;
}

bool ca_conf_lists(const char *list, const char *id) {
        return list && setting_words(list, is_word, (void *) (uintptr_t) id, NULL) == 1;
}

int ca_conf_add(char **list, const char *id, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        char *longer;

        buffer_format(&text, "%s%s%s", *list ? *list : "", *list ? " " : "", id);
        longer = text.failed ? NULL : strdup(buffer_string(&text));
        if (!longer)
                return error_no_memory(err);
        free(*list);
        *list = longer;
        return 0;
}
