-- NO_SUPPLIER: per SKU, how many units are needed that no offer covers.
WITH needs AS (
  SELECT sku, CAST(SUM(net_demand) AS decimal(38,3)) AS need FROM net_demand GROUP BY sku HAVING SUM(net_demand) > 0
)
SELECT
  CAST(:run_date AS date) AS run_date,
  'NO_SUPPLIER' AS rule,
  'HIGH' AS severity,
  'supplier_orders' AS dataset,
  CAST(NULL AS varchar) AS market,
  sku,
  CAST(NULL AS varchar) AS file,
  CAST(NULL AS bigint) AS first_row,
  CAST(1 AS bigint) AS rows,
  need AS units,
  'No supplier offers ' || sku || ' on ' || CAST(CAST(:run_date AS date) AS varchar) || ' in the quantity needed: ' || CAST(need AS varchar)
    || ' units are not ordered. Add an offer to supplier_products that is valid that day, of an active supplier, with a priority above 0'
    || ', a min_quantity that the order reaches and a max_order_quantity that the need, or the moq, in whole packs stays within, and run the day with --refresh-reference.' AS message
FROM needs n
WHERE NOT EXISTS (SELECT 1 FROM supplier_orders o WHERE o.sku = n.sku)
ORDER BY sku
