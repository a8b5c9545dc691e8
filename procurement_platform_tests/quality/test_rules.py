from procurement_platform.quality.rules import NO_SUPPLIER, PIPELINE_CRASH, RULES
from procurement_platform.settings import Settings


def test_severities_are_those_of_the_source_document() -> None:
    known = {rule.name: rule.severity for rule in RULES}
    assert (known["MISSING_FILE"], known["UNKNOWN_PRODUCT"], known["STOCK_LOGIC"], known["PIPELINE_CRASH"]) == (
        "MEDIUM",
        "HIGH",
        "HIGH",
        "CRITICAL",
    )


def test_every_rule_but_a_crash_has_a_threshold_setting() -> None:
    for rule in RULES:
        assert (f"threshold_{rule.check_name}" in Settings.model_fields) == (rule is not PIPELINE_CRASH)


def test_a_threshold_is_read_from_the_settings() -> None:
    settings = Settings(_env_file=None, threshold_no_supplier=3)
    assert NO_SUPPLIER.threshold(settings) == 3
    assert PIPELINE_CRASH.threshold(settings) == 0
