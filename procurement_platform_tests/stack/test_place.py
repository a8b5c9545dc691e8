"""Where the stack lies, its ports, its password."""

import re
import stat
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from procurement_platform.errors import ConfigurationError
from procurement_platform.settings import Settings
from procurement_platform.stack.place import Place, Ports, parse_ports, place


def test_without_a_setting_the_ports_are_the_usual_ones(tmp_path: Path) -> None:
    found = place(Settings(_env_file=None, home=tmp_path))
    assert found.folder == tmp_path / "stack"
    assert (found.ports.webhdfs, found.ports.trino, found.ports.metastore) == (9870, 8080, 9083)
    assert found.hdfs_user == "root"


def test_ports_below_those_that_clients_are_given() -> None:
    assert max(vars(Ports()).values()) < 32768


def test_a_setting_changes_the_ports_it_names(tmp_path: Path) -> None:
    ports = place(Settings(_env_file=None, home=tmp_path, stack_ports=" trino=8090  kafka=19092 ")).ports
    assert (ports.trino, ports.kafka, ports.webhdfs) == (8090, 19092, 9870)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trinoo=1", "'trinoo=1' is not NAME=PORT with a NAME of postgres, hdfs"),
        ("8090", "'8090' is not NAME=PORT"),
        ("trino=", "'trino=' has no port from 1 to 65535"),
        ("trino=65536", "'trino=65536' has no port"),
        ("trino=-1", "'trino=-1' has no port"),
        ("trino=９", "has no port"),
        ("trino=9092", "trino and kafka both have port 9092"),
    ],
)
def test_ports_that_cannot_be_are_told(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        parse_ports(text)


def test_the_password_is_made_once_and_only_its_owner_reads_it(place: Place) -> None:
    password = place.password()
    assert len(password) == 32
    assert place.password() == password
    assert stat.S_IMODE(place.passfile.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700


def test_a_databases_address_names_the_file_of_the_password_and_not_the_password(place: Place) -> None:
    address = place.database("procurement")
    assert address.startswith(f"postgresql://procurement@127.0.0.1:{place.ports.postgres}/procurement?passfile=")
    assert place.password() not in address
    assert conninfo_to_dict(address)["passfile"] == str(place.passfile)  # also where the home's name is not ASCII


@pytest.mark.parametrize("name", ["a:b", "a,b", "a$b", "a b", "a%b", "a[b"])
def test_a_home_that_the_servers_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="misreads; set PROCUREMENT_HOME to another folder"):
        Place(tmp_path / name / "stack", Ports(), "root", 1024).make()
    assert not (tmp_path / name).exists()


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be written .*; set PROCUREMENT_HOME"):
        Place(tmp_path / "file" / "stack", Ports(), "root", 1024).make()
