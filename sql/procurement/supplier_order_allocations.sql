-- Whom each supplier order is for: each market's net demand, and what MOQ and pack add as a row of its own.
WITH parts AS (
  SELECT o.supplier_id, o.sku, 'net_demand' AS kind, n.market, n.net_demand AS quantity
  FROM supplier_orders o
  JOIN net_demand n ON n.sku = o.sku
  WHERE n.net_demand > 0
  UNION ALL
  SELECT supplier_id, sku, 'surplus' AS kind, CAST(NULL AS varchar) AS market, CAST(quantity - need AS decimal(38,3)) AS quantity
  FROM supplier_orders
  WHERE quantity > need
)
SELECT CAST(:run_date AS date) AS run_date, supplier_id, sku, kind, market, quantity
FROM parts
ORDER BY supplier_id, sku, kind, market
