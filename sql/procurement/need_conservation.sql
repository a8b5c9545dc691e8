-- Nothing is lost between net demand, supplier orders and what was found wrong. One row: need = allocated + unsupplied (units of the
-- NO_SUPPLIER violations that were found), and ordered = allocated + surplus. `orders_wrong` counts orders below need or MOQ, or not in
-- whole packs, and SKUs ordered more than once.
SELECT
  n.need,
  a.allocated,
  v.unsupplied,
  o.ordered,
  a.surplus,
  o.orders_wrong
FROM (SELECT COALESCE(SUM(net_demand), CAST(0 AS decimal(38,3))) AS need FROM net_demand) n
CROSS JOIN (
  SELECT COALESCE(SUM(units), CAST(0 AS decimal(38,3))) AS unsupplied FROM violations WHERE rule = 'NO_SUPPLIER'
) v
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
