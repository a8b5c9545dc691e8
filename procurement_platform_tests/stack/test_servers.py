"""How each server is started."""

import socket
from dataclasses import fields
from pathlib import Path

import pytest

from procurement_platform.errors import StackUnavailable
from procurement_platform.stack import probes
from procurement_platform.stack.artifacts import ARTIFACTS
from procurement_platform.stack.java import Java
from procurement_platform.stack.place import Place, Ports
from procurement_platform.stack.servers import OPTIONAL, SERVERS, Programs, Server


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    folders = {name: tmp_path / name for name in ARTIFACTS}
    for folder in folders.values():
        folder.mkdir()
    (folders["metastore"] / "byteman-1.jar").touch()
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexec {tmp_path}/then\n')
    java.chmod(0o755)
    return Programs(Java(tmp_path / "java", 25, frozenset({"java.base"})), folders)


def java_servers() -> list[Server]:
    return [each for each in SERVERS.values() if each.programs]


def test_what_a_server_needs_is_started_before_it() -> None:
    names = list(SERVERS)
    for server in SERVERS.values():
        assert all(names.index(need) < names.index(server.name) for need in server.needs)
        assert not set(server.needs) & set(OPTIONAL)
        assert set(server.programs) <= set(ARTIFACTS)


def test_every_port_belongs_to_one_server() -> None:
    ports = [port for server in SERVERS.values() for port in server.ports]
    assert sorted(ports) == sorted(field.name for field in fields(Ports))


@pytest.mark.parametrize("server", java_servers(), ids=lambda server: server.name)
def test_a_java_server_gets_nothing_of_the_callers_and_leaves_nothing_elsewhere(
    server: Server, place: Place, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JAVA_TOOL_OPTIONS", "HADOOP_CONF_DIR", "CLASSPATH", "KAFKA_OPTS"):
        monkeypatch.setenv(name, "mine")
    command = server.command(place, programs)
    assert "mine" not in command.environment.values()
    assert command.environment["HADOOP_USER_NAME"] == "root"
    assert command.arguments[0] == str(programs.java.binary)
    assert f"-Djava.io.tmpdir={place.temporary}" in command.arguments
    assert "-XX:-UsePerfData" in command.arguments  # no folder in /tmp
    assert "-XX:+ExitOnOutOfMemoryError" in command.arguments
    assert len([each for each in command.arguments if each.startswith("-Xmx")]) == 1


@pytest.mark.parametrize("server", SERVERS.values(), ids=lambda server: server.name)
def test_no_password_is_among_the_arguments_where_all_may_read_it(server: Server, place: Place, programs: Programs) -> None:
    assert not any(place.password() in each for each in server.command(place, programs).arguments)


def test_trino_is_given_vectors_where_java_has_them(place: Place, programs: Programs) -> None:
    option = "--add-modules=jdk.incubator.vector"
    assert option not in SERVERS["trino"].command(place, programs).arguments
    java = Java(programs.java.home, 25, frozenset({"jdk.incubator.vector"}))
    assert option in SERVERS["trino"].command(place, Programs(java, programs.folders)).arguments


def test_trino_gets_the_memory_of_the_setting(place: Place, programs: Programs) -> None:
    assert "-Xmx1024m" in SERVERS["trino"].command(place, programs).arguments


def test_the_metastore_is_held_to_loopback_by_a_rule_that_is_there(place: Place, programs: Programs) -> None:
    (agent,) = (each for each in SERVERS["metastore"].command(place, programs).arguments if each.startswith("-javaagent:"))
    rule = Path(agent.partition("=script:")[2])
    assert "METHOD getServerSocket(String, int)" in rule.read_text()


@pytest.mark.parametrize("name", ["namenode", "kafka"])
def test_a_data_folder_is_formatted_once_and_again_where_that_failed(name: str, place: Place, programs: Programs, tmp_path: Path) -> None:
    then = tmp_path / "then"
    then.write_text("#!/bin/sh\necho cannot\nexit 1\n")
    then.chmod(0o755)
    with pytest.raises(StackUnavailable, match=f"the data folder of {name} cannot be formatted; the reason is at the end of .*{name}.log"):
        SERVERS[name].prepare(place, programs)
    assert place.log(name).read_text() == "cannot\n"
    then.write_text("#!/bin/sh\n")
    for _ in range(2):
        SERVERS[name].prepare(place, programs)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert "format" in calls[0]


def test_an_answer_of_another_kind_is_none(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.setattr(probes, "get_json", lambda *_: {"message": "starting"})
    with pytest.raises(probes.NotYet):
        SERVERS["registry"].answers(place)


@pytest.mark.parametrize("server", [each for each in SERVERS.values() if each.name != "postgres"], ids=lambda server: server.name)
def test_a_server_that_is_not_there_does_not_answer(server: Server, place: Place) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", place.ports.trino))
    with pytest.raises((OSError, probes.NotYet)):
        server.answers(place)
