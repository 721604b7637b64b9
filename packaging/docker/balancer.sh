#!/bin/sh
# nginx with pyconfd beside it. A store that does not answer yet is no reason not to start: nginx
# serves what is there, and pyconfd takes over as soon as it can.
set -eu

pyconfd --onetime --sync-only || true
nginx -g 'daemon off;' &
exec pyconfd --watch
