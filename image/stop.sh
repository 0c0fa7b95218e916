#!/bin/sh
# Ends the instance that start.sh started: stop.sh returns at once, stop.sh wait when it is gone.
MM_INSTALL_PATH=${MM_INSTALL_PATH:-$(cd "$(dirname "$0")" && pwd)}
MM_ANCHOR_FILE=${MM_ANCHOR_FILE:-$MM_INSTALL_PATH/model-mesh.anchor}
case $# in
0) ;;
1) [ "$1" = wait ] || { echo "usage: stop.sh [wait]" >&2; exit 2; } ;;
*) echo "usage: stop.sh [wait]" >&2; exit 2 ;;
esac

# In the image the anchor is a link to where a read-only root leaves something to be written.
anchor=$(readlink -f "$MM_ANCHOR_FILE") || anchor=$MM_ANCHOR_FILE
pid=$(cat "$anchor" 2>/dev/null)
case $pid in
'' | *[!0-9]*)
    echo "stop.sh: $MM_ANCHOR_FILE names no process, so there is nothing to stop" >&2
    exit 1
    ;;
esac
rm -f "$anchor" || exit 1
[ "$1" = wait ] || exit 0
while kill -0 "$pid" 2>/dev/null; do sleep 1; done
