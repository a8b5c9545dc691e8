#!/usr/bin/env bash
# setup.sh run|dev|cluster: brings .venv to what the lock file says, and does nothing where it is there already.
# `run` is what the platform needs; `dev` adds what its tests and checks need, `cluster` what the real servers need
# beyond that; what is there already is kept.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME  # another environment's must not lead uv or pip astray

level=${1:-run}
venv=.venv
stamp=$venv/.procurement-setup

lock_of() { # <level>
  case $1 in
    run) echo requirements.lock ;;
    *) echo "requirements-$1.lock" ;;
  esac
}
wanted() { # <level>: the stamp of an environment that needs nothing
  echo "$1"
  pwd
  cat -- "$(lock_of "$1")" requirements-tools.lock pyproject.toml scripts/setup.sh scripts/common.sh scripts/activate.sh | sha256sum
}

if [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = cluster ]; then level=cluster; fi
if [ "$level" = run ] && [ -x $venv/bin/pytest ]; then level=dev; fi
same_python() { # what PYTHON=… asks for is there already
  [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$($venv/bin/python -V 2>&1)" ]
}

if [ -x $venv/bin/procurement ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted "$level")" ] && fits $venv/bin/python && same_python; then exit 0; fi

lock=$(lock_of "$level")
rm -f "$stamp"

# An environment that fits is kept; one that was moved here from elsewhere is not: its scripts name the old place.
if fits $venv/bin/python && same_python && grep -qsF "$PWD/$venv" $venv/bin/activate; then
  PYTHON_BIN=$venv/bin/python
else
  find_python
fi
find_uv
find_cache
export UV_PYTHON_DOWNLOADS=never
if [ "$PYTHON_BIN" != $venv/bin/python ]; then
  say "creating $venv with $("$PYTHON_BIN" --version)"
  rm -rf $venv
  "$UV_BIN" venv -q --no-project --python "$("$PYTHON_BIN" -c 'import sys; print(sys.executable)')" $venv
fi

say "installing what $lock names"
"$UV_BIN" pip sync -q --python $venv/bin/python --require-hashes "$lock"
"$UV_BIN" pip install -q --python $venv/bin/python --no-deps --build-constraint requirements-tools.lock --editable .

extend_activate $venv/bin/activate

wanted "$level" > "$stamp.new"
mv "$stamp.new" "$stamp"
