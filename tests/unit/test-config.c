/*
 * Configuration: the command line over drop-ins over cad.conf over defaults, and complaints that can be acted on.
 */
#include "folder-fixture.h"

#include "daemon/config.h"
#include "lib/base/text.h"

#define ANY_UID 54321

static char config_option[160], state_option[160];

/* An environment without what a machine may have set, and a folder to start in. */
static void set_up(void) {
        folder_setup();
        (void) unsetenv("STATE_DIRECTORY");
        (void) unsetenv("RUNTIME_DIRECTORY");
        (void) unsetenv("XDG_STATE_HOME");
        (void) setenv("HOME", folder_path, 1);
        ck_assert_int_eq(fchdir(folder_fd), 0);
        ck_assert_int_eq(mkdirat(folder_fd, "cad.conf.d", 0755), 0);
        (void) snprintf(config_option, sizeof(config_option), "--config=%s/cad.conf", folder_path);
        (void) snprintf(state_option, sizeof(state_option), "--state-dir=%s/state", folder_path);
}

static void tear_down(void) {
        ck_assert_int_eq(chdir("/"), 0);
        folder_teardown();
}

static int read_words(struct config *ret, const char **rest, struct error *err,
                      char *const *words) {
        char *argv[16] = { (char *) "cad" };
        int argc = 1;

        while (*words)
                argv[argc++] = *words++;
        return config_read(argc, argv, rest, ret, err);
}

#define CONFIG_READ(config, err, ...) \
        read_words((config), NULL, (err), (char *const[]){ __VA_ARGS__, NULL })

static enum role role_of(const struct access_list *list, uid_t uid) {
        struct principal p;

        principal_of_peer(list, &(struct peer_identity){ .uid = uid, .gid = ANY_UID }, &p);
        return p.role;
}

static void conf(const char *text) {
        folder_write("cad.conf", bytes_of(text), 0644);
}

/* ---- where things are ---- */

static const struct {
        const char *why, *state_directory, *xdg, *home,
                *state_dir; /* @ is the folder of the test */
} states[] = {
        { "by hand, in the user's home", NULL, NULL, "@", "@/.local/state/cad" },
        { "where the desktop says", NULL, "@/xdg", "@", "@/xdg/cad" },
        { "where systemd says", "@/var", "@/xdg", "@", "@/var" },
        { "an empty variable is none", "", "", "@", "@/.local/state/cad" },
        { "a relative one is made absolute", "here", NULL, "@", "@/here" },
};

static const char *in_folder(const char *text, char out[128]) {
        return text && *text == '@' ? folder_join(text + 2, out) : text;
}

static void set_variable(const char *name, const char *value) {
        char text[128];

        value = value && strcmp(value, "@") == 0 ? folder_path : in_folder(value, text);
        if (value)
                ck_assert_int_eq(setenv(name, value, 1), 0);
        else
                ck_assert_int_eq(unsetenv(name), 0);
}

START_TEST(the_state_is_where_it_is_looked_for) {
        CAD_AUTO(config_done) struct config config = { 0 };
        char expected[128], socket[128 + 16];
        struct error err = { 0 };

        set_variable("STATE_DIRECTORY", states[_i].state_directory);
        set_variable("XDG_STATE_HOME", states[_i].xdg);
        set_variable("HOME", states[_i].home);
        ck_ok(config_read(1, (char *[]){ (char *) "cad", NULL }, NULL, &config, &err), err);
        ck_assert_msg(strcmp(config.state_dir, in_folder(states[_i].state_dir, expected)) == 0,
                      "%s: %s", states[_i].why, config.state_dir);
        (void) snprintf(socket, sizeof(socket), "%s/cad.sock", expected);
        ck_assert_str_eq(config.socket_path, socket);
}
END_TEST

START_TEST(nowhere_to_keep_the_state_is_said) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err;

        (void) unsetenv("HOME");
        ck_refused(config_read(1, (char *[]){ (char *) "cad", NULL }, NULL, &config, &err), err,
                   ERR_USAGE);
        ck_assert_ptr_nonnull(strstr(err.text, "--state-dir"));
}
END_TEST

START_TEST(the_socket_is_in_systemds_runtime_folder) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err = { 0 };

        (void) setenv("RUNTIME_DIRECTORY", "/run/cad", 1);
        ck_ok(CONFIG_READ(&config, &err, state_option), err);
        ck_assert_str_eq(config.socket_path, "/run/cad/cad.sock");
}
END_TEST

START_TEST(a_state_folder_of_ones_own_has_no_configuration_of_the_system) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err = { 0 };

        ck_ok(CONFIG_READ(&config, &err, state_option), err);
        ck_assert_ptr_null(config.config_dir);
        ck_assert_ptr_null(config.config_file);
        ck_assert(!config.debug);
        ck_assert_uint_eq(config.limits.workers, 4);
}
END_TEST

START_TEST(relative_paths_are_made_absolute) {
        CAD_AUTO(config_done) struct config config = { 0 };
        char path[128];
        struct error err = { 0 };

        conf("");
        ck_ok(CONFIG_READ(&config, &err, (char *) "--config", (char *) "cad.conf",
                          (char *) "--state-dir", (char *) "state", (char *) "--socket",
                          (char *) "s", (char *) "--passphrase-file", (char *) "pass"),
              err);
        ck_assert_str_eq(config.config_file, folder_join("cad.conf", path));
        ck_assert_str_eq(config.config_dir, folder_path);
        ck_assert_str_eq(config.state_dir, folder_join("state", path));
        ck_assert_str_eq(config.socket_path, folder_join("s", path));
        ck_assert_str_eq(config.passphrase_file, folder_join("pass", path));
}
END_TEST

/* ---- the command line ---- */

static const struct {
        const char *why;
        char *words[4];
} bad_words[] = {
        { "an unknown option", { (char *) "--sokcet", (char *) "x" } },
        { "a word that is no option", { (char *) "start" } },
        { "an option without its value", { (char *) "--socket" } },
        { "an empty value", { (char *) "--socket", (char *) "" } },
        { "an empty value behind =", { (char *) "--state-dir=" } },
        { "a prefix of an option", { (char *) "--stat", (char *) "x" } },
        { "a longer option", { (char *) "--sockets=x" } },
        { "a switch with a value", { (char *) "--debug=yes" } },
        { "a single dash", { (char *) "-socket", (char *) "x" } },
        { "nothing", { (char *) "" } },
};

START_TEST(what_the_command_line_has_wrong_is_named) {
        struct config config = { .state_dir = (char *) "untouched" };
        struct error err;

        ck_refused(read_words(&config, NULL, &err, bad_words[_i].words), err, ERR_USAGE);
        ck_assert_msg(config.state_dir && strcmp(config.state_dir, "untouched") == 0, "%s",
                      bad_words[_i].why);
}
END_TEST

START_TEST(the_last_of_two_options_wins) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err = { 0 };

        ck_ok(CONFIG_READ(&config, &err, state_option, (char *) "--socket=/a", (char *) "--debug",
                          (char *) "--socket", (char *) "/b"),
              err);
        ck_assert_str_eq(config.socket_path, "/b");
        ck_assert(config.debug);
}
END_TEST

START_TEST(what_cad_does_not_know_is_handed_on_in_order) {
        CAD_AUTO(config_done) struct config config = { 0 };
        const char *rest[16] = { 0 };
        struct error err = { 0 };

        ck_ok(read_words(&config, rest, &err,
                         (char *const[]){ (char *) "--name", (char *) "Home CA", state_option,
                                          (char *) "--debug", (char *) "--again", NULL }),
              err);
        ck_assert_str_eq(rest[0], "--name");
        ck_assert_str_eq(rest[1], "Home CA");
        ck_assert_str_eq(rest[2], "--again");
        ck_assert_ptr_null(rest[3]);
        ck_assert(config.debug);
}
END_TEST

/* ---- files ---- */

START_TEST(cad_conf_is_read) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err = { 0 };

        conf("[Listen]\nSocket=/run/x.sock\n[Limits]\nConnectionsPerPeer=7\nRequestsWaiting=8\nWorkers=9\n"
             "[Access]\nAdmin=uid:711003\nOperator=uid:711002, uid:711012\nOperator=uid:711022\nReader=uid:711001\n");
        ck_ok(CONFIG_READ(&config, &err, config_option), err);
        ck_assert_str_eq(config.socket_path, "/run/x.sock");
        ck_assert_uint_eq(config.limits.per_user_max, 7);
        ck_assert_uint_eq(config.limits.per_address_max, 7);
        ck_assert_uint_eq(config.limits.queue_max, 8);
        ck_assert_uint_eq(config.limits.workers, 9);
        ck_assert_int_eq(role_of(config.access, 711003), ROLE_ADMIN);
        ck_assert_int_eq(role_of(config.access, 711002), ROLE_OPERATOR);
        ck_assert_int_eq(role_of(config.access, 711012), ROLE_OPERATOR);
        ck_assert_int_eq(role_of(config.access, 711022), ROLE_OPERATOR);
        ck_assert_int_eq(role_of(config.access, 711001), ROLE_READER);
        ck_assert_int_eq(role_of(config.access, 711000), ROLE_PUBLIC);
}
END_TEST

START_TEST(the_listeners_are_where_they_are_told_to_be) {
        CAD_AUTO(config_done) struct config config = { 0 };
        CAD_AUTO(config_done) struct config given = { 0 };
        CAD_AUTO(config_done) struct config plain = { 0 };
        struct error err = { 0 };

        ck_ok(CONFIG_READ(&plain, &err, state_option), err);
        ck_assert_str_eq(plain.https, "[::]:8443");
        ck_assert_str_eq(plain.http, "[::]:8080");
        conf("[Listen]\nHttps=127.0.0.1:8444\nHttp=no\nPublicUrl=http://ca.lan/\nNames=a.lan 10.0.0.1\n"
             "Names=b.lan\nHttpsValidity=30d\n");
        ck_ok(CONFIG_READ(&config, &err, config_option, state_option), err);
        ck_assert_str_eq(config.https, "127.0.0.1:8444");
        ck_assert_str_eq(config.http, "no");
        ck_assert_str_eq(config.public_url, "http://ca.lan");
        ck_assert_ptr_nonnull(strstr(config.own_names, "a.lan 10.0.0.1"));
        ck_assert_ptr_nonnull(strstr(config.own_names, "b.lan"));
        ck_assert_int_eq(config.https_validity_s, 30 * 86400);
        ck_ok(CONFIG_READ(&given, &err, config_option, state_option, (char *) "--https",
                          (char *) "no", (char *) "--http=8081"),
              err);
        ck_assert_str_eq(given.https, "no");
        ck_assert_str_eq(given.http, "8081");
}
END_TEST

START_TEST(an_address_that_is_none_is_named_with_its_option) {
        static const char *const options[] = { "--https", "--http" };
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err;

        ck_refused(CONFIG_READ(&config, &err, state_option, (char *) (uintptr_t) options[_i],
                               (char *) "nonsense"),
                   err, ERR_USAGE);
        ck_assert_int_eq(strncmp(err.text, options[_i], strlen(options[_i])), 0);
        ck_assert_ptr_nonnull(strstr(err.text, "nonsense"));
}
END_TEST

START_TEST(the_command_line_wins_over_every_file) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err = { 0 };

        conf("[Listen]\nSocket=/run/x.sock\n");
        folder_write("cad.conf.d/1.conf", BYTES_LITERAL("[Listen]\nSocket=/run/y.sock\n"), 0644);
        ck_ok(CONFIG_READ(&config, &err, config_option, (char *) "--socket=/run/z.sock"), err);
        ck_assert_str_eq(config.socket_path, "/run/z.sock");
}
END_TEST

START_TEST(drop_ins_win_over_cad_conf_in_the_order_of_their_names) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err = { 0 };

        conf("[Listen]\nSocket=/run/x.sock\n[Limits]\nWorkers=1\nRequestsWaiting=5\n[Access]\nReader=uid:711001\n");
        folder_write("cad.conf.d/20.conf", BYTES_LITERAL("[Limits]\nWorkers=3\n"), 0644);
        folder_write(
                "cad.conf.d/10.conf",
                BYTES_LITERAL(
                        "[Limits]\nWorkers=2\n[Listen]\nSocket=/run/y.sock\n[Access]\nReader=uid:711002\n"),
                0644);
        folder_write("cad.conf.d/30.conf.bak", BYTES_LITERAL("no setting"), 0644);
        folder_write("cad.conf.d/.40.conf", BYTES_LITERAL("no setting"), 0644);
        ck_ok(CONFIG_READ(&config, &err, config_option), err);
        ck_assert_str_eq(config.socket_path, "/run/y.sock");
        ck_assert_uint_eq(config.workers, 3);
        ck_assert_uint_eq(config.requests_waiting, 5);
        ck_assert_int_eq(role_of(config.access, 711001), ROLE_READER); /* a list grows */
        ck_assert_int_eq(role_of(config.access, 711002), ROLE_READER);
}
END_TEST

START_TEST(an_empty_value_empties_the_list_of_that_role) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err = { 0 };

        conf("[Access]\nAdmin=uid:711003\nReader=uid:711001\n");
        folder_write("cad.conf.d/1.conf", BYTES_LITERAL("[Access]\nAdmin=\nAdmin=uid:1013\n"),
                     0644);
        ck_ok(CONFIG_READ(&config, &err, config_option), err);
        ck_assert_int_eq(role_of(config.access, 711003), ROLE_PUBLIC);
        ck_assert_int_eq(role_of(config.access, 1013), ROLE_ADMIN);
        ck_assert_int_eq(role_of(config.access, 711001), ROLE_READER);
        ck_assert_int_eq(role_of(config.access, 0), ROLE_ADMIN);
}
END_TEST

static const struct {
        const char *why, *file, *content, *complaint;
} bad_files[] = {
        { "an unknown section", "cad.conf", "[Nonsense]\nX=1\n",
          "cad.conf:2: there is no section [Nonsense]" },
        { "an unknown setting", "cad.conf", "[Limits]\n\nWokers=1\n",
          "cad.conf:3: there is no setting Wokers= in [Limits]" },
        { "a bad value", "cad.conf", "[Limits]\nWorkers=many\n", "cad.conf:2: Workers=: 'many'" },
        { "nothing would be served", "cad.conf", "[Limits]\nWorkers=0\n",
          "cad.conf:2: Workers=: '0'" },
        { "nobody could connect", "cad.conf", "[Limits]\nConnectionsPerPeer=0\n",
          "cad.conf:2: ConnectionsPerPeer=: '0'" },
        { "more than the memory of any machine here", "cad.conf",
          "[Limits]\nRequestsWaiting=4294967295\n", "cad.conf:2: RequestsWaiting=" },
        { "a relative path: relative to what?", "cad.conf", "[Listen]\nSocket=x.sock\n",
          "cad.conf:2: Socket=: 'x.sock' is no absolute path" },
        { "no path", "cad.conf", "[Listen]\nSocket=\n",
          "cad.conf:2: Socket=: '' is no absolute path" },
        { "no such user", "cad.conf", "[Access]\nReader=uid:no-such-user-here\n",
          "cad.conf:2: Reader=: uid:no-such-user-here: there is no such user" },
        { "the second word of a list", "cad.conf", "[Access]\nReader=uid:1 anna\n",
          "cad.conf:2: Reader=: 'anna' is none of" },
        { "in a drop-in, named with its folder", "cad.conf.d/1.conf", "[Limits]\nWokers=1\n",
          "cad.conf.d/1.conf:2: there is no setting" },
};

START_TEST(what_a_file_has_wrong_is_said_with_file_and_line) {
        struct config config = { 0 };
        struct error err;

        conf("");
        folder_write(bad_files[_i].file, bytes_of(bad_files[_i].content), 0644);
        ck_refused(CONFIG_READ(&config, &err, config_option), err, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, bad_files[_i].complaint) == err.text, "%s: %s",
                      bad_files[_i].why, err.text);
        ck_assert_ptr_null(config.access);
}
END_TEST

START_TEST(a_config_that_was_named_must_be_there) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err;

        ck_refused(CONFIG_READ(&config, &err, config_option), err, ERR_NOT_FOUND);
        ck_refused(CONFIG_READ(&config, &err, (char *) "--config=/no/such/folder/cad.conf"), err,
                   ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_config_that_others_may_write_is_not_read) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err;

        folder_write("cad.conf", BYTES_LITERAL("[Access]\nAdmin=uid:711003\n"), 0666);
        ck_refused(CONFIG_READ(&config, &err, config_option), err, ERR_FILE_UNSAFE);
        conf("");
        folder_write("cad.conf.d/1.conf", BYTES_LITERAL("[Access]\nAdmin=uid:711003\n"), 0666);
        ck_refused(CONFIG_READ(&config, &err, config_option), err, ERR_FILE_UNSAFE);
}
END_TEST

START_TEST(no_folder_of_drop_ins_is_fine) {
        CAD_AUTO(config_done) struct config config = { 0 };
        struct error err = { 0 };

        conf("");
        ck_assert_int_eq(unlinkat(folder_fd, "cad.conf.d", AT_REMOVEDIR), 0);
        ck_ok(CONFIG_READ(&config, &err, config_option), err);
}
END_TEST

/* ---- reload ---- */

START_TEST(access_is_read_anew_and_kept_where_that_fails) {
        CAD_AUTO(config_done) struct config config = { 0 };
        CAD_AUTO(access_list_free) struct access_list *fresh = NULL;
        struct error err = { 0 };

        conf("[Access]\nReader=uid:711001\n");
        ck_ok(CONFIG_READ(&config, &err, config_option), err);
        conf("[Access]\nReader=uid:711002\n");
        ck_ok(config_read_access(&config, &fresh, &err), err);
        ck_assert_int_eq(role_of(fresh, 711001), ROLE_PUBLIC);
        ck_assert_int_eq(role_of(fresh, 711002), ROLE_READER);
        ck_assert_int_eq(role_of(config.access, 711001), ROLE_READER);
        fresh = access_list_free(fresh);
        conf("[Access]\nReader=anna\n");
        ck_refused(config_read_access(&config, &fresh, &err), err, ERR_CONFIG);
        ck_assert_ptr_null(fresh);
}
END_TEST

START_TEST(without_a_configuration_a_reload_gives_the_defaults) {
        CAD_AUTO(config_done) struct config config = { 0 };
        CAD_AUTO(access_list_free) struct access_list *fresh = NULL;
        struct error err = { 0 };

        ck_ok(CONFIG_READ(&config, &err, state_option), err);
        ck_ok(config_read_access(&config, &fresh, &err), err);
        ck_assert_int_eq(role_of(fresh, 0), ROLE_ADMIN);
        ck_assert_int_eq(role_of(fresh, ANY_UID), ROLE_PUBLIC);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("config");
        TCase *tc = tcase_create("config");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_loop_test(tc, the_state_is_where_it_is_looked_for, 0, ARRAY_SIZE(states));
        tcase_add_test(tc, nowhere_to_keep_the_state_is_said);
        tcase_add_test(tc, the_socket_is_in_systemds_runtime_folder);
        tcase_add_test(tc, a_state_folder_of_ones_own_has_no_configuration_of_the_system);
        tcase_add_test(tc, relative_paths_are_made_absolute);
        tcase_add_loop_test(tc, what_the_command_line_has_wrong_is_named, 0, ARRAY_SIZE(bad_words));
        tcase_add_test(tc, the_last_of_two_options_wins);
        tcase_add_test(tc, what_cad_does_not_know_is_handed_on_in_order);
        tcase_add_test(tc, cad_conf_is_read);
        tcase_add_test(tc, the_listeners_are_where_they_are_told_to_be);
        tcase_add_loop_test(tc, an_address_that_is_none_is_named_with_its_option, 0, 2);
        tcase_add_test(tc, the_command_line_wins_over_every_file);
        tcase_add_test(tc, drop_ins_win_over_cad_conf_in_the_order_of_their_names);
        tcase_add_test(tc, an_empty_value_empties_the_list_of_that_role);
        tcase_add_loop_test(tc, what_a_file_has_wrong_is_said_with_file_and_line, 0,
                            ARRAY_SIZE(bad_files));
        tcase_add_test(tc, a_config_that_was_named_must_be_there);
        tcase_add_test(tc, a_config_that_others_may_write_is_not_read);
        tcase_add_test(tc, no_folder_of_drop_ins_is_fine);
        tcase_add_test(tc, access_is_read_anew_and_kept_where_that_fails);
        tcase_add_test(tc, without_a_configuration_a_reload_gives_the_defaults);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
