-- What to order of each SKU, and from whom. An offer is valid on the day, of an active supplier, with a priority above 0. Each price break is an
-- offer of its own: it is reached when the quantity ordered at the supplier's lowest break (need or MOQ, rounded up to the pack) reaches its
-- min_quantity. What it takes is the need or its own MOQ in its own pack, or, where that does not reach its min_quantity, the quantity of the lowest break;
-- within its max_order_quantity. Unless that is the need alone in its pack, it stands only where no more is ordered than at the supplier's lowest break
-- that can take the order. Of the breaks that stand: the lowest priority, then supplier_id, then the largest min_quantity.
WITH needs AS (
  SELECT sku, CAST(SUM(net_demand) AS decimal(38,3)) AS need FROM net_demand GROUP BY sku HAVING SUM(net_demand) > 0
),
offers AS (
  SELECT
    o.supplier_id, o.sku, o.priority, o.min_quantity, o.max_order_quantity, o.valid_from,
    o.moq, o.pack_size, o.unit_price, o.lead_time_days, s.currency
  FROM supplier_products o
  JOIN suppliers s ON s.supplier_id = o.supplier_id
  WHERE o.priority > 0
    AND COALESCE(o.valid_from <= CAST(:run_date AS date), TRUE) AND COALESCE(o.valid_to >= CAST(:run_date AS date), TRUE)
    AND COALESCE(s.active_from <= CAST(:run_date AS date), TRUE) AND COALESCE(s.active_to >= CAST(:run_date AS date), TRUE)
),
lowest AS (
  SELECT
    supplier_id, sku, moq, pack_size,
    ROW_NUMBER() OVER (PARTITION BY supplier_id, sku ORDER BY min_quantity, valid_from, unit_price) AS place
  FROM offers
),
quoted AS (
  SELECT
    o.supplier_id, o.sku, o.priority, o.min_quantity, o.max_order_quantity, o.valid_from,
    o.moq, o.pack_size, o.unit_price, o.lead_time_days, o.currency, n.need,
    CAST(round_up(n.need, o.pack_size) AS decimal(38,3)) AS need_quantity,
    CAST(round_up(CASE WHEN n.need > o.moq THEN n.need ELSE o.moq END, o.pack_size) AS decimal(38,3)) AS own_quantity,
    CAST(round_up(CASE WHEN n.need > l.moq THEN n.need ELSE l.moq END, l.pack_size) AS decimal(38,3)) AS lowest_quantity
  FROM needs n
  JOIN offers o ON o.sku = n.sku
  JOIN lowest l ON l.supplier_id = o.supplier_id AND l.sku = o.sku AND l.place = 1
),
taken AS (
  SELECT
    supplier_id, sku, priority, min_quantity, max_order_quantity, valid_from, need, need_quantity, pack_size, moq, unit_price, currency, lead_time_days,
    CAST(CASE WHEN own_quantity >= min_quantity THEN own_quantity ELSE round_up(lowest_quantity, pack_size) END AS decimal(38,3)) AS quantity
  FROM quoted
  WHERE min_quantity <= lowest_quantity
),
reached AS (
  SELECT
    supplier_id, sku, priority, min_quantity, valid_from, need, need_quantity, quantity, pack_size, moq, unit_price, currency, lead_time_days,
    ROW_NUMBER() OVER (PARTITION BY supplier_id, sku ORDER BY min_quantity, valid_from, unit_price) AS place
  FROM taken
  WHERE COALESCE(quantity <= max_order_quantity, TRUE)
),
ranked AS (
  SELECT
    r.supplier_id, r.sku, r.need, r.quantity, r.pack_size, r.moq, r.unit_price, r.currency, r.lead_time_days,
    ROW_NUMBER() OVER (PARTITION BY r.sku ORDER BY r.priority, r.supplier_id, r.min_quantity DESC, r.valid_from DESC, r.unit_price) AS choice
  FROM reached r
  JOIN reached l ON l.supplier_id = r.supplier_id AND l.sku = r.sku AND l.place = 1
  WHERE r.quantity = r.need_quantity OR r.quantity <= l.quantity
)
SELECT
  CAST(:run_date AS date) AS run_date,
  supplier_id,
  sku,
  need,
  quantity,
  pack_size,
  moq,
  unit_price,
  currency,
  multiply_money(quantity, unit_price) AS amount,
  add_days(CAST(:run_date AS date), lead_time_days) AS expected_date
FROM ranked
WHERE choice = 1
ORDER BY supplier_id, sku
