"""How `make setup` finds a Python and extends the activate script: the shell functions, run by bash against folders of their own."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from procurement_platform.project import CHECKOUT


def bash(script: str, *arguments: str, environment: dict[str, str], cwd: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script, "bash", *arguments],
        cwd=cwd,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


def fake_python(folder: Path, name: str, version: str) -> None:
    """An interpreter that says it is another version; `absent` is a pyenv shim: there, and failing."""
    path = folder / name
    if version == "absent":
        path.write_text("#!/bin/bash\nexit 127\n")
    else:
        major, minor = version.split(".")
        path.write_text(
            f'#!/bin/bash\nif [ "${{1-}}" = -c ]; then code="import sys; sys.version_info = ({major}, {minor}, 0); $2"; '
            f'exec "{sys.executable}" -c "$code"; fi\necho "Python {version}.0"\n'
        )
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ({"python3": "3.11"}, "python3"),
        ({"python3": "3.9", "python3.12": "3.12"}, "python3.12"),
        ({"python3": "3.11", "python3.11": "3.11", "python3.13": "3.13"}, "python3.13"),
        ({"python3": "3.12", "python3.13": "absent"}, "python3"),
        ({"python3": "3.14", "python3.13": "3.13", "python3.14": "3.14"}, "python3.14"),
        ({"python3": "3.15", "python3.11": "3.11"}, "python3.11"),
    ],
)
def test_the_newest_python_that_fits_is_taken(tmp_path: Path, there: dict[str, str], found: str) -> None:
    for name in ("python3.14", "python3.13", "python3.12", "python3.11", "python3"):
        fake_python(tmp_path, name, there.get(name, "absent"))
    done = bash('. scripts/common.sh; find_python; echo "$PYTHON_BIN"', environment={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (done.stdout, done.stderr, done.returncode) == (f"{found}\n", "", 0)


@pytest.mark.parametrize("there", ["3.9", "3.15"])
def test_a_python_that_is_too_old_or_too_new_is_one_clear_line(tmp_path: Path, there: str) -> None:
    for name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        fake_python(tmp_path, name, "absent")
    fake_python(tmp_path, "python3", there)
    done = bash(". scripts/common.sh; find_python", environment={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"Python 3.11 to 3.14 is needed; python3 here is Python {there}.0" in line
    assert "PYTHON=" in line


def test_a_python_that_was_asked_for_and_does_not_fit_is_refused(tmp_path: Path) -> None:
    fake_python(tmp_path, "mine", "3.10")
    done = bash(". scripts/common.sh; find_python", environment={"PATH": "/usr/bin:/bin", "PYTHON": str(tmp_path / "mine")})
    assert done.returncode == 1
    assert "is not Python 3.11 to 3.14" in done.stderr


@pytest.mark.parametrize(
    ("said", "asked_for", "used"),
    [
        ("{tmp}/home/.cache/uv", None, ""),  # uv's own choice is left alone
        ("{tmp}/a file/.cache/uv", None, "{tmp}/checkout/.tools/cache"),  # a home that nobody can write to
        (".uv_cache", None, "{tmp}/checkout/.tools/cache"),  # no home at all
        ("mine", "mine", "mine"),
        ("", None, "{tmp}/checkout/.tools/cache"),  # uv failed
    ],
)
def test_uv_has_a_cache_also_for_a_user_without_a_home(tmp_path: Path, said: str, asked_for: str | None, used: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "checkout").mkdir()
    said, used = (text.format(tmp=tmp_path) for text in (said, used))
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/bash\n[ "$*" = "cache dir" ] && [ -n "{said}" ] && echo "{said}"\n')
    uv.chmod(0o755)
    done = bash(
        '. "$1/scripts/common.sh"; UV_BIN=$2; find_cache; echo "${UV_CACHE_DIR:-}"',
        *(str(CHECKOUT), str(uv)),
        environment={"PATH": "/usr/bin:/bin", **({"UV_CACHE_DIR": asked_for} if asked_for else {})},
        cwd=tmp_path / "checkout",
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"{used}\n", "", 0)


@pytest.fixture
def environment_folder(tmp_path: Path) -> Path:
    """A virtual environment, in a folder with a space, whose activate script was extended; its Python sees this one's packages."""
    folder = tmp_path / "a checkout" / ".venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    python.unlink()
    python.write_text(f'#!/bin/bash\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for _ in range(2):  # a second time changes nothing
        done = bash('. scripts/common.sh; extend_activate "$1"', str(folder / "bin" / "activate"), environment={"PATH": "/usr/bin:/bin"})
        assert done.returncode == 0, done.stderr
    return folder


SHOW = 'show() { echo "${DAGSTER_HOME-unset} ${DAGSTER_MODULE_NAME-unset} ${PROCUREMENT_HOME-unset}"; }; set +u; '


def test_activating_sets_what_dagster_needs_and_deactivating_puts_it_back(environment_folder: Path) -> None:
    done = bash(
        SHOW + 'show; . "$1/bin/activate"; show; . "$1/bin/activate"; deactivate; show; '
        "export DAGSTER_HOME=/mine; " + '. "$1/bin/activate"; show; deactivate; show; command -v _procurement_deactivate || echo gone',
        str(environment_folder),
        environment={"PATH": "/usr/bin:/bin"},
    )
    var = environment_folder.parent / "var"
    home = f"{var}/dagster procurement_platform.definitions {var}"
    assert done.stdout.splitlines() == ["unset unset unset", home, "unset unset unset", home, "/mine unset unset", "gone"]
    assert done.stderr == ""
    assert (environment_folder.parent / "var" / "dagster" / "dagster.yaml").is_file()


def test_activating_follows_the_home_that_is_set(environment_folder: Path, tmp_path: Path) -> None:
    done = bash(
        SHOW + '. "$1/bin/activate"; show',
        str(environment_folder),
        environment={"PATH": "/usr/bin:/bin", "PROCUREMENT_HOME": str(tmp_path / "elsewhere")},
        cwd=tmp_path,
    )
    assert done.stdout == f"{tmp_path}/elsewhere/dagster procurement_platform.definitions {tmp_path}/elsewhere\n"


def test_a_relative_home_is_that_of_the_folder_one_is_in_and_deactivating_puts_it_back(environment_folder: Path, tmp_path: Path) -> None:
    done = bash(
        SHOW + '. "$1/bin/activate"; show; deactivate; show',
        str(environment_folder),
        environment={"PATH": "/usr/bin:/bin", "PROCUREMENT_HOME": "my home"},
        cwd=tmp_path,
    )
    assert done.stdout.splitlines() == [
        f"{tmp_path}/my home/dagster procurement_platform.definitions {tmp_path}/my home",
        "unset unset my home",
    ]


@pytest.mark.parametrize("home", [{}, {"PROCUREMENT_HOME": ""}])
def test_after_activating_the_home_is_the_same_from_every_folder(environment_folder: Path, tmp_path: Path, home: dict[str, str]) -> None:
    """With the home of .env or the default, which are relative to the checkout."""
    (environment_folder.parent / ".env").write_text("PROCUREMENT_HOME=data\n")
    look = "from procurement_platform.settings import load_settings; print(load_settings().home)"
    done = bash(
        'set +u; . "$1/bin/activate"; cd "$2"; python -c "$3"; cd /; python -c "$3"',
        *(str(environment_folder), str(tmp_path), look),
        environment={"PATH": "/usr/bin:/bin", **home},
    )
    assert done.stdout.splitlines() == [str(environment_folder.parent / "data")] * 2, done.stderr


def test_a_wrong_setting_does_not_stop_the_activation(environment_folder: Path) -> None:
    done = bash(
        SHOW + '. "$1/bin/activate"; show; echo "$VIRTUAL_ENV"',
        str(environment_folder),
        environment={"PATH": "/usr/bin:/bin", "PROCUREMENT_TIMEZONE": "Mars/Olympus"},
    )
    assert done.stdout.splitlines() == ["unset procurement_platform.definitions unset", str(environment_folder)]
    assert done.stderr.splitlines()[0].startswith("PROCUREMENT_TIMEZONE='Mars/Olympus': no IANA time zone")
    assert len(done.stderr.splitlines()) == 2
