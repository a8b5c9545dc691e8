from procurement_platform.quality.violations import VIOLATIONS


def test_a_violation_has_the_columns_of_the_report_in_its_order() -> None:
    assert [c.name for c in VIOLATIONS.columns] == [
        "run_date",
        "rule",
        "severity",
        "dataset",
        "market",
        "sku",
        "file",
        "first_row",
        "rows",
        "units",
        "message",
    ]
