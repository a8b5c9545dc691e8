"""`procurement env`: the settings, for a shell."""

import shlex
import sys


def env() -> None:
    """Print the settings as shell commands: eval "$(procurement env)".

    Reads the environment and .env. Writes the home's Dagster folder, so that Dagster's own commands work in that shell. Passwords and
    alert addresses are not printed.
    """
    from procurement_platform.instance import dagster_environment, prepare_dagster_home
    from procurement_platform.settings import settings

    prepare_dagster_home(settings())
    lines = [f"export {name}={shlex.quote(value)}" for name, value in shell_values().items()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in dagster_environment(settings()).items()]
    lines += [f"# {name} is set, and not shown" for name in secrets()]
    sys.stdout.write("\n".join(lines) + "\n")


def shell_values() -> dict[str, str]:
    """Every setting that has a value and no secret, by its environment variable."""
    from procurement_platform.settings import Settings, settings, variable

    return {
        variable(name): str(value)
        for name in Settings.model_fields
        if not is_secret(value := getattr(settings(), name)) and value is not None
    }


def secrets() -> list[str]:
    """The environment variables that are set and hold a secret."""
    from procurement_platform.settings import Settings, settings, variable

    return [variable(name) for name in Settings.model_fields if is_secret(value := getattr(settings(), name)) and value]


def is_secret(value: object) -> bool:
    """Whether a setting may hold a password: what is declared so, and an address with a login in it."""
    from urllib.parse import urlsplit

    from pydantic import SecretStr

    if isinstance(value, str) and "://" in value:
        return urlsplit(value).password is not None
    return isinstance(value, SecretStr | tuple)
