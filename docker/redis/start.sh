#!/bin/sh
# Valkey with one user for each part of Matchbook, each with a password and minimal rights. The users file holds sha256
# sums and is written at every start, so a password changed in .env takes effect.
set -eu
umask 077
users=${TMPDIR:-/tmp}/users.acl
sha() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
cat >"$users" <<ACL
user default off
user pipeline on #$(sha "${REDIS_PIPELINE_PASSWORD:?}") ~matchbook:* +@all -@admin -@dangerous +info +acl|log
user reader on #$(sha "${REDIS_READER_PASSWORD:?}") %R~matchbook:* ~matchbook:events ~matchbook:rate:* ~matchbook:since:* ~matchbook:live:* ~matchbook:flight:* ~matchbook:count:* ~matchbook:posted:* ~matchbook:claimed:* +@connection +@read +@write +@scripting +@transaction +time -@admin -@dangerous +info
user celery on #$(sha "${REDIS_CELERY_PASSWORD:?}") ~matchbook-tasks:* &* +@all -@admin -@dangerous +info
ACL
# Data gets two thirds of the container's memory; rewriting the append-only file needs the rest. When it is full, writes
# fail and no data is lost.
limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || echo max)
case $limit in *[!0-9]*|????????????????*) room=0 ;; *) room=$((limit / 3 * 2)) ;; esac
cd "${REDIS_DATA:-/data}"
exec valkey-server --aclfile "$users" --appendonly yes --maxmemory "$room" --maxmemory-policy noeviction "$@"
