#!/usr/bin/env bash
# secrets.sh USER: makes the files under secrets/ that compose.yaml names, those that are not there yet, and prints the password of USER, who may
# then open the UI. Called again with another USER, it adds that one. Needs openssl.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
user=${1:-}
case $user in
  "" | *[!A-Za-z0-9._@-]*) echo "usage: secrets.sh USER    (letters, digits and . _ @ -)" >&2; exit 2 ;;
esac

# The folder keeps others out; the files in it are readable, as each is mounted by itself into containers whose users have numbers of their own.
umask 022
mkdir -p secrets
chmod 0700 secrets
cd secrets

keep() { # <name>: writes standard input to a file that is not there yet, whole or not at all
  if [ -e "$1" ]; then cat > /dev/null; else cat > "$1.new" && mv "$1.new" "$1"; fi
}
for role in postgres dagster procurement metastore; do
  openssl rand -hex 24 | tr -d '\n' | keep "${role}_password"
done
printf 'postgresql://procurement:%s@postgres:5432/procurement' "$(cat procurement_password)" | keep database_url
printf '' | keep alert_urls # Apprise addresses, one a line

if [ ! -e tls_key ]; then
  # Signed by itself: browsers ask. Put a certificate and its key from your authority in place of these two.
  openssl req -x509 -newkey rsa:3072 -nodes -days 825 -subj "/CN=${PROCUREMENT_UI_HOST:-localhost}" \
    -addext "subjectAltName=DNS:${PROCUREMENT_UI_HOST:-localhost}" -keyout tls_key.new -out tls_certificate 2>/dev/null
  chmod 0644 tls_key.new
  mv tls_key.new tls_key
fi

touch webserver_users
if grep -q "^$user:" webserver_users; then
  echo "$user is in secrets/webserver_users already; remove the line there to give a new password" >&2
else
  password=$(openssl rand -hex 12)
  printf '%s:%s\n' "$user" "$(printf '%s' "$password" | openssl passwd -6 -stdin)" >> webserver_users
  printf 'user %s, password %s (shown once)\n' "$user" "$password"
fi
