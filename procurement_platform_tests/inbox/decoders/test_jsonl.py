import json

import pytest

from procurement_platform_tests.inbox.desk import Desk, jsonl, order


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "is no JSON"),
        (b"[1, 2]", "is no JSON object"),
        (b"3", "is no JSON object"),
        (b'{"order_id": NaN}', "is no JSON"),
        (b'{"order_id": "\xff"}', "is no"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"sku": {"a": 1}}', "sku is an object"),
        (b'{"sku": true}', "sku is true or false"),
        (b'{"sku": "A", "quantity": 1, "sku": "B"}', "the key 'sku' twice"),
        (b"\x00", "is no JSON"),
    ],
)
def test_a_bad_line_is_told_and_the_others_taken(desk: Desk, line: bytes, told: str) -> None:
    content = jsonl([order(1)]) + line + b"\n" + jsonl([order(3)])
    outcome = desk.decode(content, "jsonl")
    assert [entry["order_id"] for entry in desk.lines(outcome)] == ["O-1", "O-3"]
    reasons = desk.reasons(outcome)
    assert set(reasons) == {2}
    assert told in reasons[2]
    json.loads(desk.quarantine(outcome)[0]["row"])


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
@pytest.mark.parametrize("key", ["quantity", "note"])
def test_a_line_nested_as_deep_as_json_goes_is_told_or_taken_and_stops_no_other(desk: Desk, opened: str, closed: str, key: str) -> None:
    """Some depths one JSON reader takes and the next one does not."""
    row = jsonl([order(2, quantity="-1", **({} if key == "quantity" else {key: 1}))]).decode()
    plain = '"quantity": "-1"' if key == "quantity" else '"note": 1'
    assert plain in row
    depths = range(970 // len(opened.strip(':"a')), 1010 // len(opened.strip(':"a')))
    lines = [row.replace(plain, f'"{key}": {opened * depth}1{closed * depth}').encode() for depth in depths]
    outcome = desk.decode(jsonl([order(1)]) + b"".join(lines) + jsonl([order(3)]), "jsonl")
    assert outcome.status == "accepted", outcome.reason
    assert [entry["order_id"] for entry in desk.lines(outcome)] == ["O-1", "O-3"]
    assert outcome.quarantined == len(lines)
    for entry in desk.quarantine(outcome):
        json.loads(entry["row"])


def test_empty_lines_count_as_lines_and_not_as_rows(desk: Desk) -> None:
    outcome = desk.decode(b"\xef\xbb\xbf" + jsonl([order(1)]) + b"\n \r\n" + jsonl([order(2, sku="NONE")]).rstrip(), "jsonl")
    assert (outcome.rows, set(desk.reasons(outcome))) == (2, {4})


def test_a_column_may_first_come_late(desk: Desk) -> None:
    rows = [{key: value for key, value in order(number).items() if key != "currency"} for number in range(50)] + [order(50, currency="USD")]
    outcome = desk.decode(jsonl(rows), "jsonl")
    assert [line["currency"] for line in desk.lines(outcome)] == [None] * 50 + ["USD"]


def test_texts_with_quotes_and_braces_are_no_second_keys(desk: Desk) -> None:
    outcome = desk.decode(jsonl([order(1, order_id='a "sku": "b"', extra={"sku": "x", "y": ['"']})]), "jsonl")
    assert [line["order_id"] for line in desk.lines(outcome)] == ['a "sku": "b"']
    assert outcome.notes == ("columns kept out: 'extra'",)


def test_a_line_longer_than_a_block_is_refused(desk: Desk) -> None:
    outcome = desk.decode(jsonl([order(1), order(2, note="x" * 3_000_000)]), "jsonl", max_block_bytes=1_000_000)
    assert outcome.status == "rejected"
    assert outcome.reason
    assert "in line 2" in outcome.reason


def test_as_many_keys_as_rows_are_refused(desk: Desk) -> None:
    outcome = desk.decode(jsonl([order(number, **{f"k{number}": 1}) for number in range(300)]), "jsonl")
    assert outcome.status == "rejected"
    assert outcome.reason
    assert "PROCUREMENT_MAX_COLUMNS" in outcome.reason


@pytest.mark.parametrize(("lines", "rows"), [([b"{}"], [{}]), ([b"{}", b"{}", b'{"":"x"}'], [{}, {}, {"": "x"}])])
def test_objects_without_any_of_the_columns_are_rows_that_lack_them(desk: Desk, lines: list[bytes], rows: list[object]) -> None:
    outcome = desk.decode(b"\n".join([*lines, jsonl([order(1)])]), "jsonl")
    assert [line["order_id"] for line in desk.lines(outcome)] == ["O-1"]
    assert {row["row_number"]: json.loads(row["row"]) for row in desk.quarantine(outcome)} == dict(enumerate(rows, 1))
    assert all(reason.startswith("order_id is empty") for reason in desk.reasons(outcome).values())
