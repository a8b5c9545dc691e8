# Shared by setup.sh and lock.sh: a Python that fits, a uv (the pinned one goes into .tools where there is none), its cache, the activate script.
# Sourced from the checkout's root. Sets PYTHON_BIN and UV_BIN.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1; }

# $PYTHON where it is given, else the newest on PATH that the project supports. A name may be there and not run (pyenv's shims), so each is tried.
find_python() {
  local name
  if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" || die "PYTHON=$PYTHON is not Python 3.11 to 3.14"
    PYTHON_BIN=$PYTHON
    return
  fi
  for name in python3.14 python3.13 python3.12 python3.11 python3; do
    if fits "$name"; then PYTHON_BIN=$name; return; fi
  done
  die "Python 3.11 to 3.14 is needed; python3 here is $(python3 --version 2>/dev/null || echo 'not installed')." \
    "Install one (Debian, Ubuntu: apt install python3.11, python3.12, python3.13 or python3.14, whichever there is; Fedora: dnf install python3.13), or name one: make setup PYTHON=/path/to/python3.13"
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
  elif rm -rf .tools && "$PYTHON_BIN" scripts/fetch_uv.py .tools/bin; then
    UV_BIN=.tools/bin/uv
  else
    die "$PYTHON_BIN can make no virtual environment and has no pip, and uv is neither on PATH nor could it be downloaded." \
      "Install one of them (Debian, Ubuntu: apt install $("$PYTHON_BIN" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); Fedora: dnf install python3-pip; openSUSE: zypper install python3-pip) and repeat."
  fi
}

# uv keeps what it downloads in the user's cache folder. A user who has none to write to (a container's user is often a bare number) gets one in .tools.
find_cache() {
  local cache
  cache=$("$UV_BIN" cache dir 2>/dev/null) || cache=
  case $cache in
    /*) if mkdir -p -- "$cache" 2>/dev/null && [ -w "$cache" ]; then return; fi ;;
    *) if [ -n "${UV_CACHE_DIR:-}" ]; then return; fi ;; # relative without being asked for: uv knows no home at all
  esac
  export UV_CACHE_DIR=$PWD/.tools/cache
}

# `source .venv/bin/activate` also sets what Dagster's own commands need, and `deactivate` puts it back.
extend_activate() { # <activate script of a virtual environment>
  local begin='# >>> procurement_platform >>>'
  sed -i -e "/^$begin/,\$d" -e '/_procurement_deactivate/d' "$1"
  sed -i '/^deactivate () {/a\    if command -v _procurement_deactivate >/dev/null 2>&1; then _procurement_deactivate; fi' "$1"
  { echo "$begin"; cat scripts/activate.sh; } >> "$1"
}
