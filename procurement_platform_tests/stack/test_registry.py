"""The schema registry, which is started where it is asked for: what Kafka's clients ask of one, a kill, and its end."""

import http.client
import json
import os
import signal
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from procurement_platform.procurement.feeds import ORDERS
from procurement_platform.stack import stack
from procurement_platform.stack.processes import holders, stop
from procurement_platform_tests.stack.live import Cluster, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # the first time, 158 MB are fetched


def silent(_: str) -> None:
    pass


@pytest.fixture
def registry(cluster: Cluster) -> Iterator[Cluster]:
    assert "SCHEMA_REGISTRY_URL" not in stack.variables(cluster.place)
    stack.up(cluster.place, silent, registry=True)
    yield cluster
    mark = cluster.place.run / "registry"
    stop(mark)
    mark.unlink()


def ask(cluster: Cluster, method: str, path: str, body: object = None) -> tuple[int, Any]:
    url = urlsplit(stack.variables(cluster.place)["SCHEMA_REGISTRY_URL"])
    assert url.hostname
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    try:
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        connection.request(method, url.path + path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_it_keeps_schemas_through_a_kill(registry: Cluster) -> None:
    contract = ORDERS.contract.avsc
    status, answer = ask(registry, "POST", "/subjects/orders-value/versions", {"schema": contract})
    assert status == 200
    number = answer["id"]
    broken = {"schema": json.dumps({"type": "record", "name": "OrderLine", "fields": [{"name": "a", "type": "nothing"}]})}
    assert ask(registry, "POST", "/subjects/broken-value/versions", broken)[0] == 422

    [pid, *_] = holders(registry.place.run / "registry")
    os.kill(pid, signal.SIGKILL)
    until(lambda: registry.states()["registry"] == "killed")
    stack.up(registry.place, silent)  # what was asked for once is healed without being asked for again
    assert registry.states()["registry"] == "running"
    status, answer = ask(registry, "GET", f"/schemas/ids/{number}")
    assert status == 200
    assert json.loads(answer["schema"]) == json.loads(contract)
    assert ask(registry, "GET", "/subjects")[1] == ["orders-value"]
