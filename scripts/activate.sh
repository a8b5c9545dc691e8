# Appended to .venv/bin/activate by setup.sh: what `dagster` and `dg` need to find the platform and its instance, and which home it is.
# The home is that of the environment (taken from the folder one is in, where it is relative), else of the checkout's .env, else ./var there. It
# is set as an absolute path: in another folder the same commands must not find, or make, another home.
_procurement_deactivate () {  # called by `deactivate`: puts back what was set before
  unset DAGSTER_HOME DAGSTER_MODULE_NAME PROCUREMENT_HOME
  if ! [ -z "${_OLD_DAGSTER_HOME+_}" ]; then
    export DAGSTER_HOME="$_OLD_DAGSTER_HOME"
    unset _OLD_DAGSTER_HOME
  fi
  if ! [ -z "${_OLD_DAGSTER_MODULE_NAME+_}" ]; then
    export DAGSTER_MODULE_NAME="$_OLD_DAGSTER_MODULE_NAME"
    unset _OLD_DAGSTER_MODULE_NAME
  fi
  if ! [ -z "${_OLD_PROCUREMENT_HOME+_}" ]; then
    export PROCUREMENT_HOME="$_OLD_PROCUREMENT_HOME"
    unset _OLD_PROCUREMENT_HOME
  fi
  unset -f _procurement_deactivate
}
if ! [ -z "${DAGSTER_HOME+_}" ]; then _OLD_DAGSTER_HOME="$DAGSTER_HOME"; fi
if ! [ -z "${DAGSTER_MODULE_NAME+_}" ]; then _OLD_DAGSTER_MODULE_NAME="$DAGSTER_MODULE_NAME"; fi
if ! [ -z "${PROCUREMENT_HOME+_}" ]; then
  _OLD_PROCUREMENT_HOME="$PROCUREMENT_HOME"
  case "$PROCUREMENT_HOME" in
    "") unset PROCUREMENT_HOME ;;
    /*|"~"*) ;;
    *) export PROCUREMENT_HOME="$PWD/$PROCUREMENT_HOME" ;;
  esac
fi
export DAGSTER_MODULE_NAME=procurement_platform.definitions
if DAGSTER_HOME="$(cd "$VIRTUAL_ENV/.." && "$VIRTUAL_ENV/bin/python" -m procurement_platform.instance)"; then
  export DAGSTER_HOME PROCUREMENT_HOME="${DAGSTER_HOME%/dagster}"
else
  unset DAGSTER_HOME
  echo "DAGSTER_HOME is not set: mend what the line above says, then activate again" >&2
fi
