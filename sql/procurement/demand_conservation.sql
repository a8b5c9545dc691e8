-- The accepted lines and their sums: rows and units must agree.
SELECT
  l.line_rows,
  a.aggregated_rows,
  l.line_quantity,
  a.aggregated_quantity
FROM (
  SELECT COUNT(*) AS line_rows, COALESCE(SUM(quantity), CAST(0 AS decimal(38,3))) AS line_quantity FROM order_lines
) l
CROSS JOIN (
  SELECT
    COALESCE(CAST(SUM(order_lines) AS bigint), 0) AS aggregated_rows,
    COALESCE(SUM(quantity), CAST(0 AS decimal(38,3))) AS aggregated_quantity
  FROM aggregated_orders
) a
