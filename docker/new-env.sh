#!/bin/sh
# Writes .env beside docker-compose.yml: every name of .env.example, with random values for secrets. Existing values
# stay, so after an upgrade it adds new names. Run it in the checkout: sh docker/new-env.sh
set -eu
umask 077
random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
touch .env
for name in $(sed -n 's/^\([A-Z_]*\)=$/\1/p' .env.example); do
    grep -q "^$name=." .env && continue
    case $name in
        AIRFLOW_FERNET_KEY) value=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_') ;;
        *_PASSWORD) value=$(random 24) ;;
        *) value=$(random 48) ;;
    esac
    sed -i "/^$name=$/d" .env
    printf '%s=%s\n' "$name" "$value" >>.env
done
echo "$(pwd)/.env has every secret that docker-compose.yml asks for; keep a copy where backups are kept"
