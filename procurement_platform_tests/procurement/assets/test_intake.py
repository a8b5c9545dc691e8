"""A promise that one feed breaks is the failed check of that feed alone."""

import pytest

from procurement_platform.engines.queries import Query
from procurement_platform.platform import Platform
from procurement_platform.procurement.assets.shared import CONSERVATION
from procurement_platform.procurement.endings import failure_of
from procurement_platform_tests.procurement.assets.conftest import RunDay
from procurement_platform_tests.procurement.shop import Shop, count, order


@pytest.mark.parametrize(("noun", "concerned"), [("order", "order_lines"), ("stock", "stock_lines")])
def test_a_row_that_is_lost_fails_the_conservation_of_its_own_feed(
    desk: Shop, run_day: RunDay, monkeypatch: pytest.MonkeyPatch, noun: str, concerned: str
) -> None:
    desk.put("orders", "DE", [order("1", "B", 7), order("1", "B", 7), order("2", "B", 1)])
    desk.put("stock", "DE", [count("B", 1), count("B", 1), count("A", 1)])
    right = Platform.query

    def wrong(platform: Platform, name: str) -> Query:
        """The SQL file that takes repeated rows out, with a mistake in it: it loses the first row of a file too."""
        query = right(platform, name)
        if name != f"procurement/{noun}_lines_kept":
            return query
        return Query(name, query.sql.replace("WHERE r.file_id IS NULL", "WHERE r.file_id IS NULL AND l.row_number > 1"))

    monkeypatch.setattr(Platform, "query", wrong)
    result = run_day()
    assert not result.success
    failed = [each.asset_key.to_user_string() for each in result.get_asset_check_evaluations() if each.check_name == CONSERVATION]
    assert failed == [concerned]
    failure = failure_of(result.all_events)
    assert failure is not None
    assert failure.error == "PromiseBroken"
    assert failure.message.startswith(f"{concerned}: DE.avro has 3 rows")
    assert desk.ledger() == {}
