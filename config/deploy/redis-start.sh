#!/bin/sh
# Starts Redis with redis.conf and the users of users.acl. Passes arguments to redis-server:
#   REDIS_PASSWORD_PRODUCER=... REDIS_PASSWORD_GENERATE=... redis-start.sh --dir /var/lib/applejack --bind 127.0.0.1
# A user's password is $REDIS_PASSWORD_USER, here or in users.env beside this file; that of the user applejack is
# $REDIS_PASSWORD. A user without a password does not exist. If tls.conf is beside this file, Redis also listens for TLS.
# $REDIS_SERVER is the program, if it is not redis-server on PATH.
# No password is in any argument; the users file, in a private temporary directory, contains their hashes.
set -eu
here=$(dirname "$0")
if [ -f "$here/users.env" ]; then . "$here/users.env"; fi
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
users=$(mktemp -d)/users.acl
# one line a user, as Redis wants it
awk '/^#/ || /^$/ { next } /^ / { sub(/^ +/, " "); printf "%s", $0; next } { printf "%s%s", (n++ ? "\n" : ""), $0 }
     END { print "" }' "$here/users.acl" >"$users"
case $("${REDIS_SERVER:-redis-server}" --version) in  # a subcommand since 7.2
  *v=7.0.* | *v=7.1.*) sed 's/ +client|setinfo//' "$users" >"$users.new" && mv "$users.new" "$users" ;;
esac
known=""
for user in applejack producer generate curate train monitor; do
  case $user in
    applejack) password=${REDIS_PASSWORD:-} ;;
    producer) password=${REDIS_PASSWORD_PRODUCER:-} ;;
    generate) password=${REDIS_PASSWORD_GENERATE:-} ;;
    curate) password=${REDIS_PASSWORD_CURATE:-} ;;
    train) password=${REDIS_PASSWORD_TRAIN:-} ;;
    monitor) password=${REDIS_PASSWORD_MONITOR:-} ;;
  esac
  if [ -n "$password" ]; then
    hash=$(printf %s "$password" | sha256 | cut -d ' ' -f 1)
    sed "/^user $user /s/@PASSWORD_SHA256@/$hash/" "$users" >"$users.new"
    known="$known $user"
  else
    sed "/^user $user /d" "$users" >"$users.new"
  fi
  mv "$users.new" "$users"
done
if [ -z "$known" ]; then echo "redis-start.sh: set REDIS_PASSWORD, or the passwords of users.env" >&2; exit 2; fi
echo "redis-start.sh: users:$known" >&2
if [ -f "$here/tls.conf" ]; then
  cat "$here/redis.conf" "$here/tls.conf" >"$users.conf"
  set -- "$users.conf" --aclfile "$users" "$@"
else
  set -- "$here/redis.conf" --aclfile "$users" "$@"
fi
exec "${REDIS_SERVER:-redis-server}" "$@"
