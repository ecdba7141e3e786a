#!/usr/bin/env bash
#
# Arrows only point down: no room includes what stands above or beside it (docs/architecture.md).
#
# An include from another room names that room, with or without the folder that holds it
# ("authority/issue.h", "daemon/authority/issue.h").
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# room             may not include from
rooms="
lib/base           audit pki db signer authority http rest est web client
lib/audit          pki db signer authority http rest est web client
lib/pki            audit db signer authority http rest est web client
db                 pki signer authority http rest est web client
daemon/signer      db authority http rest est web client
daemon/authority   http rest est web client
daemon/http        db signer authority rest est web client
daemon/rest        signer est web client
daemon/est         signer rest web client
daemon/web         db signer rest est client
client             db signer authority http rest est web
"

cd "$cad_root"
broken=0
while read -r room above; do
        [ -d "$room" ] || continue
        if grep -rnE --include='*.[ch]' "^#include \"((lib|daemon)/)?(${above// /|})/" "$room"; then
                say "  $room may not include from: $above"
                broken=1
        fi
done <<<"$(grep . <<<"$rooms")"
exit "$broken"
