/*
 * Deploying from other commands: what renewing and enrolling do at their end.
 */
#pragma once

#include "cactl.h"

/**
 * deploy_folder() - bring every target in CONF/deploy.d whose Source= is @folder up to date
 *
 * A target that fails keeps none of the others from theirs. What is done is said on standard error.
 * Return: DONE if none or all done
 */
enum result deploy_folder(struct client *c, const char *folder);

/** deploy_known() - whether deploy_add() knows where @service wants it: said before anything else is done. Return: DONE, WRONG_USAGE after saying so */
enum result deploy_known(const char *service);

/** deploy_add() - what `cactl deploy install SERVICE` does, for enroll --deploy SERVICE: its target takes its certificate from @folder from now on */
enum result deploy_add(struct client *c, const char *service, const char *folder);
