-- Nothing is lost between net demand and supplier orders. One row: need = allocated + unsupplied (needed of SKUs without an order), and
-- ordered = allocated + surplus. `orders_wrong` counts orders below need or MOQ, or not in whole packs, and SKUs ordered more than once.
SELECT
  n.need,
  a.allocated,
  n.unsupplied,
  o.ordered,
  a.surplus,
  o.orders_wrong
FROM (
  SELECT
    COALESCE(SUM(d.net_demand), CAST(0 AS decimal(38,3))) AS need,
    COALESCE(SUM(CASE WHEN s.sku IS NULL THEN d.net_demand END), CAST(0 AS decimal(38,3))) AS unsupplied
  FROM net_demand d
  LEFT JOIN (SELECT DISTINCT sku FROM supplier_orders) s ON s.sku = d.sku
) n
CROSS JOIN (
  SELECT
    COALESCE(SUM(CASE WHEN kind = 'net_demand' THEN quantity END), CAST(0 AS decimal(38,3))) AS allocated,
    COALESCE(SUM(CASE WHEN kind = 'surplus' THEN quantity END), CAST(0 AS decimal(38,3))) AS surplus
  FROM supplier_order_allocations
) a
CROSS JOIN (
  SELECT
    COALESCE(SUM(quantity), CAST(0 AS decimal(38,3))) AS ordered,
    COUNT(CASE WHEN quantity < need OR quantity < moq OR round_up(quantity, pack_size) <> quantity THEN 1 END)
      + COUNT(*) - COUNT(DISTINCT sku) AS orders_wrong
  FROM supplier_orders
) o
