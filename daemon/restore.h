/*
 * `cad restore` and `cad backup-keys`: what is done with backups while cad is stopped, or by root. `cactl` runs them.
 */
#pragma once

/**
 * restore_command() - cad restore FILE [--check] [--accept-loss] [--passphrase-file FILE]: put a backup back where there is no database
 * With --check it is put into a temporary folder, opened, and held against itself, and nothing else is touched.
 * Return: an exit code
 */
int restore_command(int argc, char **argv);

/** backup_keys_command() - cad backup-keys FILE [--passphrase-file FILE]: put the signer's folder into a backup. Return: an exit code */
int backup_keys_command(int argc, char **argv);
