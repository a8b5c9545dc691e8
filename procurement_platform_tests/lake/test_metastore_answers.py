"""What becomes of a commit by what the metastore says to it; where it says nothing: test_metastore_doubts.py.

All else of commits: test_metastore.py, on a real one.
"""

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from hive_metastore.ttypes import InvalidOperationException, MetaException, Table

from procurement_platform.errors import LakeUnavailable
from procurement_platform.lake import catalog as catalogs
from procurement_platform.lake import metastore
from procurement_platform.lake.catalog import TableCatalog, in_metastore
from procurement_platform.lake.files import Lake
from procurement_platform_tests.lake.answers import Answers, answering
from procurement_platform_tests.lake.parts import PARTS, staged

DAY = dt.date(2025, 1, 1)
DENIED = "java.security.AccessControlException: Permission denied: user=clerk, access=WRITE\n\tat org.apache.X"
AWAY = "org.postgresql.util.PSQLException: This connection has been closed.\n\tat org.apache.X"


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def catalog(answers: Answers, lake: Lake) -> Iterator[TableCatalog]:
    lake.make_folder("processed/parts/metadata")  # HDFS makes a file's folders, a disk does not
    with answering(answers) as uri:
        yield TableCatalog(lake, in_metastore(uri))


def stage(lake: Lake, run_id: str) -> list[str]:
    return staged(lake, DAY, run_id)


def metadata(lake: Lake) -> set[str]:
    return {name for name in lake.files("processed/parts/metadata") if name.endswith(".metadata.json")}


def at_first(*said: Exception, make: bool = False) -> Callable[[Callable[[], None]], None]:
    """Says these, one each time, then makes what is asked."""
    left = list(said)

    def answer(change: Callable[[], None]) -> None:
        if not left or make:
            change()
        if left:
            raise left.pop(0)

    return answer


@pytest.mark.parametrize("problem", [MetaException(DENIED), InvalidOperationException("The following columns have types incompatible")])
def test_what_the_metastore_refuses_for_good_is_told_at_once(
    catalog: TableCatalog, answers: Answers, lake: Lake, problem: MetaException | InvalidOperationException
) -> None:
    catalog.replace(PARTS, DAY, stage(lake, "run-1"), {})
    before, asked = metadata(lake), answers.asked
    answers.alter = at_first(problem)
    with pytest.raises(LakeUnavailable) as caught:
        catalog.replace(PARTS, DAY, stage(lake, "run-2"), {})
    said = str(problem.message).partition("\n")[0]
    uri = str(caught.value).split(" at ")[1].split()[0]
    assert str(caught.value) == (
        f"parts 2025-01-01 was not committed: the Hive Metastore at {uri} refused: {said}; mend that, then run again"
    )
    assert answers.asked == asked + 1
    assert metadata(lake) == before, "what the attempt wrote, and nothing names"
    assert answers.locks == {}
    assert catalog.files(PARTS, DAY) == stage(lake, "run-1")
    catalog.replace(PARTS, DAY, stage(lake, "run-2"), {})
    assert catalog.files(PARTS, DAY) == stage(lake, "run-2")


def test_what_may_pass_is_asked_for_again(catalog: TableCatalog, answers: Answers, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metastore, "DATABASE_SECONDS", 0.2)
    catalog.load(PARTS)
    answers.alter = at_first(MetaException(AWAY), InvalidOperationException(AWAY), RuntimeError())
    catalog.replace(PARTS, DAY, stage(lake, "run-1"), {})
    assert answers.asked == 4
    assert catalog.files(PARTS, DAY) == stage(lake, "run-1")


def test_a_change_that_was_made_in_spite_of_the_answer_is_made(catalog: TableCatalog, answers: Answers, lake: Lake) -> None:
    catalog.load(PARTS)
    answers.alter = at_first(MetaException(DENIED), make=True)
    assert catalog.replace(PARTS, DAY, stage(lake, "run-1"), {}) is not None
    assert answers.asked == 1
    assert catalog.files(PARTS, DAY) == stage(lake, "run-1")


def test_a_change_that_the_database_makes_after_its_connection_broke_is_waited_for(
    catalog: TableCatalog, answers: Answers, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second attempt before that would be lost with what others committed in between: the metastore compares nothing."""
    catalog.load(PARTS)
    look, changes, looks = answers.get_table, list[Callable[[], None]](), []

    def make_late(dbname: str, tbl_name: str) -> Table:
        if changes:
            looks.append(len(answers.locks))
            if len(looks) == 3:
                changes.pop()()
        return look(dbname, tbl_name)

    def breaks(change: Callable[[], None]) -> None:
        changes.append(change)
        raise MetaException(AWAY)

    answers.alter = breaks
    monkeypatch.setattr(answers, "get_table", make_late)
    assert catalog.replace(PARTS, DAY, stage(lake, "run-1"), {}) is not None
    assert (answers.asked, looks, answers.locks) == (1, [1, 1, 1], {})
    assert catalog.files(PARTS, DAY) == stage(lake, "run-1")


def test_a_table_that_another_program_changed_meanwhile_is_looked_at_anew(catalog: TableCatalog, answers: Answers, lake: Lake) -> None:
    catalog.replace(PARTS, DAY, stage(lake, "run-1"), {})
    earlier = metadata(lake)

    def overtaken(_: Callable[[], None]) -> None:
        answers.alter = at_first()
        table = answers.tables["parts"]
        now = table.parameters["metadata_location"]
        [another] = [name for name in sorted(earlier)[-2:] if not now.endswith(name)]  # what a program without our lock committed
        table.parameters["metadata_location"] = now.rpartition("/")[0] + f"/{another}"
        raise MetaException("The table has been modified. The parameter value for key 'metadata_location' is another")

    answers.alter = overtaken
    catalog.replace(PARTS, DAY, stage(lake, "run-2"), {})
    assert catalog.files(PARTS, DAY) == stage(lake, "run-2")


def test_who_is_refused_all_the_time_by_what_may_pass_is_told_so(
    catalog: TableCatalog, answers: Answers, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(metastore, "DATABASE_SECONDS", 0.0)
    catalog.load(PARTS)
    answers.alter = at_first(*[MetaException(AWAY)] * 9)
    with pytest.raises(LakeUnavailable, match=r"^parts 2025-01-01 was not committed \(the Hive Metastore at .* cannot work \(.*PSQL"):
        catalog.replace(PARTS, DAY, stage(lake, "run-1"), {})
