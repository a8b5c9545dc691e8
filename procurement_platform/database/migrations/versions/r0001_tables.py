"""Reference and control tables.

Dates `…_from` and `…_to` are inclusive at both ends; an empty one is open. Quantities are units of the product.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

TEXT, DAY, INSTANT, COUNT = sa.Text(), sa.Date(), sa.DateTime(timezone=True), sa.BigInteger()
QUANTITY, PRICE, UNITS = sa.Numeric(18, 3), sa.Numeric(18, 4), sa.Numeric(38, 3)

# Checked when the transaction commits, over the rows as they are by then: rows may be exchanged in any order within it. The lock makes the
# second of two transactions look after the first has committed.
_ONE_OFFER_A_DAY = """
CREATE FUNCTION reference.one_offer_a_day() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    PERFORM pg_advisory_xact_lock('reference.supplier_products'::regclass::oid::bigint);
    SELECT a.valid_from, a.valid_to, b.valid_from AS other_from, b.valid_to AS other_to INTO one
    FROM reference.supplier_products a JOIN reference.supplier_products b USING (supplier_id, sku, min_quantity)
    WHERE supplier_id = NEW.supplier_id AND sku = NEW.sku AND min_quantity = NEW.min_quantity AND a.ctid < b.ctid
        AND coalesce(a.valid_from, '-infinity') <= coalesce(b.valid_to, 'infinity')
        AND coalesce(b.valid_from, '-infinity') <= coalesce(a.valid_to, 'infinity')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'exclusion_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,
            MESSAGE = format('supplier %s, SKU %s, min_quantity %s: offers overlap, one valid from %s to %s, one from %s to %s;'
                ' let one end before the other begins', NEW.supplier_id, NEW.sku, NEW.min_quantity,
                coalesce(one.valid_from::text, 'always'), coalesce(one.valid_to::text, 'open'),
                coalesce(one.other_from::text, 'always'), coalesce(one.other_to::text, 'open'));
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Creates both schemas and all tables."""
    op.execute("CREATE SCHEMA IF NOT EXISTS reference")
    op.execute("CREATE SCHEMA IF NOT EXISTS control")
    op.execute("COMMENT ON SCHEMA reference IS 'What people maintain: markets, products, suppliers, offers, planning parameters.'")
    op.execute("COMMENT ON SCHEMA control IS 'What the platform remembers: files, runs, published days, alerts.'")
    _reference()
    _control()


def downgrade() -> None:
    """Drops all but the schema `control`, in which the revision stands."""
    for table in (
        "order_states", "launches", "alerts_sent", "exceptions_history", "crashes",
        "published_days", "reference_pins", "table_runs", "runs", "files",
    ):  # fmt: skip
        op.drop_table(table, schema="control")
    for table in ("planning_parameters", "supplier_products", "suppliers", "products", "markets"):
        op.drop_table(table, schema="reference")
    op.execute("DROP FUNCTION reference.one_offer_a_day()")
    op.execute("DROP SCHEMA reference")


def _active() -> list[sa.Column[Any]]:
    return [
        sa.Column("active_from", DAY, comment="First day; empty: always."),
        sa.Column("active_to", DAY, comment="Last day; empty: open."),
    ]


def _currency(whose: str) -> sa.Column[Any]:
    return sa.Column(
        "currency", TEXT, sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_iso_4217"), nullable=False, comment=whose
    )


def _reference() -> None:
    op.create_table(
        "markets",
        sa.Column("market", TEXT, sa.CheckConstraint("market <> ''"), primary_key=True, comment="The market's code, as in file names."),
        sa.Column("name", TEXT, nullable=False, comment="The market's name."),
        _currency("ISO 4217 code of the market's prices."),
        sa.Column("timezone", TEXT, nullable=False, comment="IANA time zone in which the market's days begin and end."),
        *_active(),
        sa.Column("sends_orders", sa.Boolean, nullable=False, server_default=sa.true(), comment="Whether an orders file is expected."),
        sa.Column("sends_stock", sa.Boolean, nullable=False, server_default=sa.true(), comment="Whether a stock file is expected."),
        sa.Column(
            "orders_cutoff",
            sa.Time,
            nullable=False,
            server_default="06:00",
            comment="When orders are due, the next day, market time.",
        ),
        sa.Column(
            "stock_cutoff",
            sa.Time,
            nullable=False,
            server_default="06:00",
            comment="When stock is due, the next day, market time.",
        ),
        sa.Column(
            "when_missing",
            TEXT,
            sa.CheckConstraint("when_missing IN ('withhold', 'compute')", name="when_missing_is_known"),
            nullable=False,
            server_default="withhold",
            comment="Unknown stock: `withhold` orders nothing, `compute` takes it for zero.",
        ),
        sa.CheckConstraint("active_from <= active_to", name="active_from_before_to"),
        schema="reference",
        comment="The markets that send files.",
    )
    op.create_table(
        "products",
        sa.Column("sku", TEXT, sa.CheckConstraint("sku <> ''"), primary_key=True, comment="The product's number."),
        sa.Column("name", TEXT, nullable=False, comment="The product's name."),
        sa.Column("category", TEXT, comment="The category it is sold under."),
        sa.Column("uom", TEXT, nullable=False, server_default="piece", comment="Unit of measure: what a quantity of 1 is."),
        *_active(),
        sa.CheckConstraint("active_from <= active_to", name="active_from_before_to"),
        schema="reference",
        comment="The products that may be ordered.",
    )
    op.create_table(
        "suppliers",
        sa.Column("supplier_id", TEXT, sa.CheckConstraint("supplier_id <> ''"), primary_key=True, comment="The supplier."),
        sa.Column("name", TEXT, nullable=False, comment="The supplier's name."),
        _currency("ISO 4217 code of the supplier's prices."),
        sa.Column(
            "min_order_value",
            PRICE,
            sa.CheckConstraint("min_order_value >= 0", name="min_order_value_not_negative"),
            nullable=False,
            server_default="0",
            comment="The least an order is worth, in `currency`.",
        ),
        *_active(),
        sa.CheckConstraint("active_from <= active_to", name="active_from_before_to"),
        schema="reference",
        comment="Who delivers.",
    )
    op.create_table(
        "supplier_products",
        sa.Column("supplier_id", TEXT, sa.ForeignKey("reference.suppliers.supplier_id"), nullable=False, comment="The supplier."),
        sa.Column("sku", TEXT, sa.ForeignKey("reference.products.sku"), nullable=False, comment="The product."),
        sa.Column("priority", sa.Integer, nullable=False, server_default="1", comment="The smallest is chosen first; 0: never."),
        sa.Column("min_quantity", QUANTITY, nullable=False, server_default="0", comment="The offer holds from this order quantity on."),
        sa.Column("unit_price", PRICE, nullable=False, comment="Price of one unit, in the supplier's currency."),
        sa.Column("moq", QUANTITY, nullable=False, server_default="0", comment="The least the supplier sells of it."),
        sa.Column("pack_size", QUANTITY, nullable=False, server_default="1", comment="Units in a pack; orders are multiples of it."),
        sa.Column("max_order_quantity", QUANTITY, comment="The offer holds up to this order quantity; empty: without limit."),
        sa.Column("lead_time_days", sa.Integer, nullable=False, server_default="0", comment="Days from the order to the delivery."),
        sa.Column("rounding", TEXT, nullable=False, server_default="up", comment="How quantities become whole packs: `up`."),
        sa.Column("valid_from", DAY, comment="First day; empty: always."),
        sa.Column("valid_to", DAY, comment="Last day; empty: open."),
        sa.CheckConstraint("priority >= 0", name="priority_not_negative"),
        sa.CheckConstraint("min_quantity >= 0", name="min_quantity_not_negative"),
        sa.CheckConstraint("unit_price >= 0", name="unit_price_not_negative"),
        sa.CheckConstraint("moq >= 0", name="moq_not_negative"),
        sa.CheckConstraint("pack_size > 0", name="pack_size_positive"),
        sa.CheckConstraint("max_order_quantity > 0", name="max_order_quantity_positive"),
        sa.CheckConstraint("lead_time_days >= 0", name="lead_time_days_not_negative"),
        sa.CheckConstraint("rounding IN ('up')", name="rounding_is_known"),
        sa.CheckConstraint("valid_from <= valid_to", name="valid_from_before_to"),
        schema="reference",
        comment="Offers: what each supplier sells, at what price, in what packs. At most one row per offer is valid on a day.",
    )
    op.create_index("supplier_products_offer", "supplier_products", ["supplier_id", "sku", "min_quantity"], schema="reference")
    op.create_index("supplier_products_sku", "supplier_products", ["sku"], schema="reference")
    op.execute(_ONE_OFFER_A_DAY)
    op.execute(
        "CREATE CONSTRAINT TRIGGER one_offer_a_day AFTER INSERT OR UPDATE ON reference.supplier_products"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reference.one_offer_a_day()"
    )
    op.create_table(
        "planning_parameters",
        sa.Column("sku", TEXT, sa.ForeignKey("reference.products.sku"), nullable=False, comment="The product."),
        sa.Column("market", TEXT, sa.ForeignKey("reference.markets.market"), comment="The market; empty: all without a row of their own."),
        sa.Column("policy", TEXT, nullable=False, server_default="net_requirement", comment="How the need is found: `net_requirement`."),
        sa.Column("safety_stock", QUANTITY, nullable=False, server_default="0", comment="Units the market keeps in reserve."),
        sa.Column("reorder_point", QUANTITY, comment="Units; not used by `net_requirement`."),
        sa.Column("order_up_to", QUANTITY, comment="Units; not used by `net_requirement`."),
        sa.Column("reorder_quantity", QUANTITY, comment="Units; not used by `net_requirement`."),
        sa.UniqueConstraint("sku", "market", name="planning_parameters_unique", postgresql_nulls_not_distinct=True),
        sa.CheckConstraint("policy IN ('net_requirement')", name="policy_is_known"),
        sa.CheckConstraint("safety_stock >= 0", name="safety_stock_not_negative"),
        sa.CheckConstraint("reorder_point >= 0", name="reorder_point_not_negative"),
        sa.CheckConstraint("order_up_to >= 0", name="order_up_to_not_negative"),
        sa.CheckConstraint("reorder_quantity > 0", name="reorder_quantity_positive"),
        schema="reference",
        comment="How each product's need is planned, per market or for all.",
    )


def _control() -> None:
    domain = ("domain", TEXT, "The domain: `procurement`.")
    run_date = ("run_date", DAY, "The business day.")
    run_id = ("run_id", TEXT, "The Dagster run.")

    def column(name_type_comment: tuple[str, sa.types.TypeEngine[Any], str], *, key: bool = False) -> sa.Column[Any]:
        name, kind, comment = name_type_comment
        return sa.Column(name, kind, primary_key=key, nullable=False, comment=comment)

    op.create_table(
        "files",
        sa.Column("file_id", TEXT, primary_key=True, comment="First 16 hexadecimal digits of SHA-256 of feed, date, name and content."),
        sa.Column("feed", TEXT, nullable=False, comment="`orders` or `stock`."),
        column(run_date),
        sa.Column("name", TEXT, nullable=False, comment="The file's name without its extensions: with feed and date its identity."),
        sa.Column("file_name", TEXT, nullable=False, comment="The file's name as sent."),
        sa.Column("market", TEXT, nullable=False, comment="The market's code, from the name."),
        sa.Column("format", TEXT, nullable=False, comment="`avro`, `parquet`, `csv` or `jsonl`."),
        sa.Column("sha256", TEXT, nullable=False, comment="SHA-256 of the bytes as sent, hexadecimal."),
        sa.Column("size_bytes", COUNT, nullable=False, comment="Size as sent."),
        sa.Column("sent_at", INSTANT, comment="When the file was written in the inbox (its modification time)."),
        sa.Column("received_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When the platform took it in."),
        sa.Column(
            "state",
            TEXT,
            sa.CheckConstraint("state IN ('accepted', 'rejected', 'superseded', 'withdrawn')", name="file_state_is_known"),
            nullable=False,
            comment="`accepted`, `rejected`, `superseded` (the same identity came again) or `withdrawn`.",
        ),
        sa.Column("reason", TEXT, comment="Why it was rejected."),
        sa.Column("rows", COUNT, comment="Data rows read."),
        sa.Column("accepted", COUNT, comment="Rows accepted by the contract, duplicates included."),
        sa.Column("quarantined", COUNT, comment="Rows in quarantine."),
        sa.Column("duplicates", COUNT, comment="Accepted rows that say what another row says."),
        sa.Column("notes", TEXT, comment="What was done silently: extra columns kept out, aliases, promotions."),
        sa.Column("raw_path", TEXT, comment="The bytes as sent, relative to the lake's root."),
        sa.Column("withdrawn_by", TEXT, comment="Who withdrew it."),
        sa.Column("withdrawn_why", TEXT, comment="Why."),
        sa.Column("withdrawn_at", INSTANT, comment="When."),
        sa.Column("run_id", TEXT, comment="The run that took it in."),
        schema="control",
        comment="The ledger: every file that came, and what became of it.",
    )
    op.create_index("files_day", "files", ["run_date", "feed"], schema="control")
    op.create_index(
        "files_one_accepted",
        "files",
        ["feed", "run_date", "name"],
        unique=True,
        schema="control",
        postgresql_where=sa.text("state = 'accepted'"),
    )
    op.create_table(
        "runs",
        column(run_id, key=True),
        column(domain, key=True),
        column(run_date, key=True),
        sa.Column(
            "state",
            TEXT,
            sa.CheckConstraint("state IN ('running', 'succeeded', 'failed', 'killed')", name="run_state_is_known"),
            nullable=False,
            comment="`running`, `succeeded`, `failed` or `killed` (noticed by a later run).",
        ),
        sa.Column("started_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When it began."),
        sa.Column("ended_at", INSTANT, comment="When it ended, as far as known."),
        sa.Column("launched_by", TEXT, comment="The command, sensor or person."),
        sa.Column("step", TEXT, comment="The step that failed."),
        sa.Column("message", TEXT, comment="Why it failed, one line."),
        schema="control",
        comment="The run registry.",
    )
    op.create_index("runs_day", "runs", ["domain", "run_date", "started_at"], schema="control")
    op.create_table(
        "table_runs",
        sa.Column("table_name", TEXT, primary_key=True, comment="The lake table."),
        column(run_date, key=True),
        column(run_id, key=True),
        sa.Column("folder", TEXT, nullable=False, comment="The run's folder, relative to the lake's root."),
        sa.Column(
            "state",
            TEXT,
            sa.CheckConstraint("state IN ('staged', 'committed', 'superseded')", name="table_run_state_is_known"),
            nullable=False,
            comment="`staged`, `committed` or `superseded` by a later run.",
        ),
        sa.Column("rows", COUNT, comment="Rows written."),
        sa.Column("content_hash", TEXT, comment="Hash of the content, independent of files."),
        sa.Column("inputs", JSONB, comment="Table to run, ledger file ids, reference version."),
        sa.Column("staged_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When the files were complete."),
        sa.Column("committed_at", INSTANT, comment="When the table's commit had succeeded."),
        sa.Column("snapshot_id", COUNT, comment="The Iceberg snapshot."),
        schema="control",
        comment="What each run wrote to each table and day: the allow-list of orphan removal.",
    )
    op.create_table(
        "reference_pins",
        column(run_date, key=True),
        sa.Column("table_name", TEXT, primary_key=True, comment="The reference table."),
        sa.Column("version", TEXT, nullable=False, comment="The version's content hash."),
        sa.Column("pinned_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When."),
        sa.Column("refreshed", sa.Boolean, nullable=False, server_default=sa.false(), comment="Whether a later run pinned a newer one."),
        schema="control",
        comment="Which version of each reference table a day uses.",
    )
    op.create_table(
        "published_days",
        column(domain, key=True),
        column(run_date, key=True),
        column(run_id),
        sa.Column("tables", JSONB, nullable=False, comment="Table to the run whose files are the day's."),
        sa.Column("manifest", JSONB, nullable=False, comment="The day's CSV files: path, sha256, bytes, rows."),
        sa.Column("inputs", JSONB, nullable=False, comment="Ledger file ids, reference versions, settings."),
        sa.Column("published_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When."),
        schema="control",
        comment="The days that readers may see, written last by a run.",
    )
    op.create_table(
        "crashes",
        sa.Column("id", COUNT, sa.Identity(always=True), primary_key=True, comment="The row's number."),
        column(domain),
        column(run_date),
        column(run_id),
        sa.Column("step", TEXT, comment="The step that failed, where known."),
        sa.Column("message", TEXT, nullable=False, comment="Why, one line."),
        sa.Column("occurred_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When, or when it was noticed."),
        sa.UniqueConstraint("run_id", "domain", "run_date", name="crashes_once_a_run"),
        schema="control",
        comment="Every run that failed or was killed, for ever.",
    )
    op.create_table(
        "exceptions_history",
        column(domain),
        column(run_date),
        column(run_id),
        sa.Column("recorded_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When."),
        sa.Column("rule", TEXT, nullable=False, comment="The rule's name."),
        sa.Column("severity", TEXT, nullable=False, comment="CRITICAL, HIGH or MEDIUM."),
        sa.Column("dataset", TEXT, nullable=False, comment="The asset that found it."),
        sa.Column("market", TEXT, comment="The market concerned."),
        sa.Column("sku", TEXT, comment="The SKU concerned."),
        sa.Column("file", TEXT, comment="The file's name as sent."),
        sa.Column("first_row", COUNT, comment="The first row concerned, in its file."),
        sa.Column("rows", COUNT, nullable=False, comment="How many rows (files, pairs) are concerned."),
        sa.Column("units", UNITS, comment="How many units are concerned."),
        sa.Column("message", TEXT, nullable=False, comment="What happened, and what to do."),
        schema="control",
        comment="The exceptions report of every run.",
    )
    op.create_index("exceptions_history_day", "exceptions_history", ["domain", "run_date", "run_id"], schema="control")
    op.create_table(
        "alerts_sent",
        column(domain, key=True),
        sa.Column("asset", TEXT, primary_key=True, comment="The asset checked."),
        sa.Column("check_name", TEXT, primary_key=True, comment="The asset check."),
        sa.Column("partition", TEXT, primary_key=True, comment="The partition checked."),
        sa.Column("fingerprint", TEXT, nullable=False, comment="Hash of the violations told."),
        sa.Column(
            "state",
            TEXT,
            sa.CheckConstraint("state IN ('open', 'cleared')", name="alert_state_is_known"),
            nullable=False,
            comment="`open`, or `cleared` once told that it is over.",
        ),
        sa.Column("sent_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When it was last told."),
        column(run_id),
        schema="control",
        comment="What people have been told, so that they are told once.",
    )
    op.create_table(
        "launches",
        column(domain, key=True),
        column(run_date, key=True),
        sa.Column("signature", TEXT, primary_key=True, comment="Hash of the files that the launched run is to take in."),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False, comment="1, 2, …"),
        sa.Column("requested_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When."),
        schema="control",
        comment="Runs that the late-file sensor asked for.",
    )
    op.create_table(
        "order_states",
        column(run_date, key=True),
        sa.Column("supplier_id", TEXT, primary_key=True, comment="The supplier."),
        sa.Column("sku", TEXT, primary_key=True, comment="The product."),
        sa.Column("market", TEXT, primary_key=True, comment="The market the units are for; empty: the surplus."),
        sa.Column(
            "state",
            TEXT,
            sa.CheckConstraint("state IN ('proposed', 'approved', 'sent', 'received', 'cancelled')", name="order_state_is_known"),
            nullable=False,
            server_default="proposed",
            comment="`proposed`, `approved`, `sent`, `received` or `cancelled`.",
        ),
        sa.Column("quantity", QUANTITY, nullable=False, comment="Units."),
        sa.Column("expected_date", DAY, comment="When the delivery is expected."),
        sa.Column("changed_at", INSTANT, nullable=False, server_default=sa.func.now(), comment="When the state changed."),
        sa.Column("changed_by", TEXT, comment="Who changed it."),
        schema="control",
        comment="What became of each supplier order.",
    )
