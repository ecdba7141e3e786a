/*
 * The files of daemon/web/assets, compiled in by scripts/embed-files.py. Those that end with _html or _xml are templates
 * (template.h), the others are served as they are.
 */
#pragma once

extern const char web_page_html[];   /* the frame of all pages */
extern const char web_detail_html[]; /* a system that is not the visitor's: folded */

/* Which names the root is confined to, or that it is not. */
extern const char web_confined_html[], web_unconfined_html[];

/* The test, for a cad with HTTPS and for one without. */
extern const char web_test_html[], web_untested_html[];

/* One a system: steps. */
extern const char web_ios_html[], web_macos_html[], web_android_html[], web_windows_html[];
extern const char web_linux_html[], web_firefox_html[], web_java_html[], web_other_html[];

extern const char web_root_mobileconfig_xml[];
extern const char web_style_css[], web_test_js[], web_icon_svg[], web_check_svg[];
