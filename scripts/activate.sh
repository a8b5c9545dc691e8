# Appended to .venv/bin/activate by setup.sh: what `dagster` and `dg` need to find the platform and its instance.
# DAGSTER_HOME follows PROCUREMENT_HOME (environment, else the checkout's .env, else ./var there) as it is on activation.
_procurement_deactivate () {  # called by `deactivate`: puts back what was set before
  unset DAGSTER_HOME DAGSTER_MODULE_NAME
  if ! [ -z "${_OLD_DAGSTER_HOME+_}" ]; then
    export DAGSTER_HOME="$_OLD_DAGSTER_HOME"
    unset _OLD_DAGSTER_HOME
  fi
  if ! [ -z "${_OLD_DAGSTER_MODULE_NAME+_}" ]; then
    export DAGSTER_MODULE_NAME="$_OLD_DAGSTER_MODULE_NAME"
    unset _OLD_DAGSTER_MODULE_NAME
  fi
  unset -f _procurement_deactivate
}
if ! [ -z "${DAGSTER_HOME+_}" ]; then _OLD_DAGSTER_HOME="$DAGSTER_HOME"; fi
if ! [ -z "${DAGSTER_MODULE_NAME+_}" ]; then _OLD_DAGSTER_MODULE_NAME="$DAGSTER_MODULE_NAME"; fi
export DAGSTER_MODULE_NAME=procurement_platform.definitions
if DAGSTER_HOME="$(cd "$VIRTUAL_ENV/.." && "$VIRTUAL_ENV/bin/python" -m procurement_platform.instance)"; then
  export DAGSTER_HOME
else
  unset DAGSTER_HOME
  echo "DAGSTER_HOME is not set: mend what the line above says, then activate again" >&2
fi
