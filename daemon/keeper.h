/*
 * The keeper: what stays of root when cad was started as root.
 *
 * cad drops to the user `cad`, the signer to `cad-signer`; only somebody who is still root can start the signer again. The
 * keeper is that, and nothing else: it links no parser into its work, listens to nobody but cad, and takes three one-octet
 * orders about one child.
 */
#pragma once

#include "daemon/launch.h"

#define KEEPER_USER "cad"
#define KEEPER_SIGNER_USER "cad-signer"

/**
 * keeper_begin() - where this is root and both users exist: give them their folders, fork, and drop
 *
 * Return: in cad, as the user `cad`: 1, with @ret to start the signer through the keeper; 0 where there is nothing to drop (not root, or the users
 * are not there, which health then says); -1 with @err. The keeper itself does not return: it exits with cad's status.
 * Must be called before any thread is started.
 */
int keeper_begin(const struct config *config, struct launch_plan *plan, struct launcher *ret,
                 struct error *err);
