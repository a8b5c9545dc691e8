-- What to order of each SKU, and from whom. An offer is valid on the day, of an active supplier, with a priority above 0. Each price break is an
-- offer of its own. It can take the order where the need, or its MOQ, in its packs reaches its min_quantity within its max_order_quantity. The quantity
-- at the lowest of a supplier's breaks that can says which others are reached. One that is reached takes the need or its own MOQ in its own pack, or, where
-- that does not reach its min_quantity, the lowest's quantity; within its max_order_quantity, and, unless it is the need alone in its pack, no more than at
-- the lowest. Of the breaks that are left: the lowest priority, then supplier_id, then the largest min_quantity.
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
quoted AS (
  SELECT
    o.supplier_id, o.sku, o.priority, o.min_quantity, o.max_order_quantity, o.valid_from,
    o.moq, o.pack_size, o.unit_price, o.lead_time_days, o.currency, n.need,
    CAST(round_up(n.need, o.pack_size) AS decimal(38,3)) AS need_quantity,
    CAST(round_up(CASE WHEN n.need > o.moq THEN n.need ELSE o.moq END, o.pack_size) AS decimal(38,3)) AS own_quantity
  FROM needs n
  JOIN offers o ON o.sku = n.sku
),
lowest AS (
  SELECT
    supplier_id, sku, own_quantity AS quantity,
    ROW_NUMBER() OVER (PARTITION BY supplier_id, sku ORDER BY min_quantity, valid_from, unit_price) AS place
  FROM quoted
  WHERE own_quantity >= min_quantity AND COALESCE(own_quantity <= max_order_quantity, TRUE)
),
reached AS (
  SELECT
    q.supplier_id, q.sku, q.priority, q.min_quantity, q.max_order_quantity, q.valid_from,
    q.moq, q.pack_size, q.unit_price, q.lead_time_days, q.currency, q.need, q.need_quantity, l.quantity AS lowest_quantity,
    CAST(CASE WHEN q.own_quantity >= q.min_quantity THEN q.own_quantity ELSE round_up(l.quantity, q.pack_size) END AS decimal(38,3)) AS quantity
  FROM quoted q
  JOIN lowest l ON l.supplier_id = q.supplier_id AND l.sku = q.sku AND l.place = 1
  WHERE q.min_quantity <= l.quantity
),
ranked AS (
  SELECT
    supplier_id, sku, need, quantity, pack_size, moq, unit_price, currency, lead_time_days,
    ROW_NUMBER() OVER (PARTITION BY sku ORDER BY priority, supplier_id, min_quantity DESC, valid_from DESC, unit_price) AS choice
  FROM reached
  WHERE COALESCE(quantity <= max_order_quantity, TRUE) AND (quantity = need_quantity OR quantity <= lowest_quantity)
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
