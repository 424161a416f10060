#!/bin/sh
# Starts Redis with redis.conf and one user, applejack, with the password $REDIS_PASSWORD. Passes arguments to redis-server:
#   REDIS_PASSWORD=... redis-start.sh --dir /var/lib/applejack --bind 127.0.0.1
# $REDIS_SERVER is the program, if it is not redis-server on PATH.
# The password is not in any file or argument: the users file, in a private temporary directory, contains its hash.
set -eu
here=$(dirname "$0")
: "${REDIS_PASSWORD:?set REDIS_PASSWORD}"
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
hash=$(printf %s "$REDIS_PASSWORD" | sha256 | cut -d ' ' -f 1)
users=$(mktemp -d)/users.acl
sed "s/@PASSWORD_SHA256@/$hash/" "$here/users.acl" >"$users"
exec "${REDIS_SERVER:-redis-server}" "$here/redis.conf" --aclfile "$users" "$@"
