/*
 * The route table: every call that cad answers, who may make it, and where.
 */
#pragma once

#include "daemon/callers.h"
#include "daemon/http/problem.h"
#include "daemon/http/router.h"

/* struct route.access is an enum action (access.h): what a row does, and so who may call it. */
extern const struct route cad_routes[];
extern const size_t cad_routes_count;

/** cad_problem_form() - http_config.problem_form: EST has its own */
const struct problem_form *cad_problem_form(enum http_listener_kind listener, const char *path);
