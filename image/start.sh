#!/bin/sh
# Starts one instance. The pid is left in the anchor file first: stop.sh reads it, and the instance ends when it is gone.
MM_INSTALL_PATH=${MM_INSTALL_PATH:-$(cd "$(dirname "$0")" && pwd)}
MM_ANCHOR_FILE=${MM_ANCHOR_FILE:-$MM_INSTALL_PATH/model-mesh.anchor}
export MM_INSTALL_PATH MM_ANCHOR_FILE
cd "$MM_INSTALL_PATH" || exit 1

# The shell's own complaint would not say what follows from it.
if ! { echo $$ >"$MM_ANCHOR_FILE"; } 2>/dev/null; then
    echo "start.sh: $MM_ANCHOR_FILE cannot be written, so stop.sh will not find this instance; SIGTERM ends it" >&2
    unset MM_ANCHOR_FILE
fi
exec "$MM_INSTALL_PATH/meshd" "$@"
