/*
 * Who calls `cactl renew`: systemd's timer, or what the admin puts into cron.
 */
#pragma once

#include "client/cactl.h"

/**
 * timer_enable() - have `cactl renew` called
 *
 * systemctl enable --now cactl-renew.timer, where systemd runs and @conf is the folder that its unit looks into; as often as one likes.
 * Else the line for cron is said.
 * Return: DONE, or REFUSED after saying what failed and which line would do
 */
enum result timer_enable(const struct client *c, const char *conf);
