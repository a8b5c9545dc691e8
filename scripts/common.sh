# Shared by setup.sh and lock.sh: finds a Python that fits and a uv, installing the pinned uv into .tools where there is none.
# Sourced from the checkout's root. Sets PYTHON_BIN and UV_BIN.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; }

# $PYTHON where it is given, else the newest on PATH that the project supports. A name may be there and not run (pyenv's shims), so each is tried.
find_python() {
  local name
  if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" || die "PYTHON=$PYTHON is not Python 3.11, 3.12 or 3.13"
    PYTHON_BIN=$PYTHON
    return
  fi
  for name in python3.13 python3.12 python3.11 python3; do
    if fits "$name"; then PYTHON_BIN=$name; return; fi
  done
  die "Python 3.11, 3.12 or 3.13 is needed; python3 here is $(python3 --version 2>/dev/null || echo 'not installed')." \
    "Install one (Debian, Ubuntu: apt install python3.11; Fedora: dnf install python3.12; Alpine: apk add python3), or name one: make setup PYTHON=/path/to/python3.12"
}

# Old releases know neither --require-hashes on `pip sync` nor build constraints.
usable_uv() { "$1" pip sync --help 2>/dev/null | grep -q -- --build-constraint; }

find_uv() {
  local tools=.tools/lib-uv
  if command -v uv >/dev/null 2>&1 && usable_uv uv; then UV_BIN=uv; return; fi
  for UV_BIN in .tools/bin/uv "$tools/bin/uv"; do
    if [ -x "$UV_BIN" ] && usable_uv "$UV_BIN"; then return; fi
  done
  say "uv is not on PATH: installing the pinned one into .tools"
  rm -rf .tools
  if "$PYTHON_BIN" -m venv .tools >/dev/null 2>&1; then
    .tools/bin/python -m pip --disable-pip-version-check install -q --require-hashes --only-binary :all: -r requirements-tools.lock \
      || die "pip could not install uv (see above)"
    UV_BIN=.tools/bin/uv
  elif "$PYTHON_BIN" -m pip --version >/dev/null 2>&1; then
    rm -rf .tools
    "$PYTHON_BIN" -m pip --disable-pip-version-check install -q --require-hashes --only-binary :all: --target "$tools" -r requirements-tools.lock \
      || die "pip could not install uv (see above)"
    UV_BIN=$tools/bin/uv
  else
    rm -rf .tools
    die "$PYTHON_BIN can make no virtual environment and has no pip, and uv is not on PATH." \
      "Install one of them (Debian, Ubuntu: apt install python3-venv; Fedora: dnf install python3-pip; Alpine: apk add py3-pip; openSUSE: zypper install python3-pip) and repeat."
  fi
}
