-- Order lines sent twice. The key is (market, order, line number; the SKU where no line number is sent); the lines of earlier days take part.
-- Every line of a key is equal in every contract field: all but the first of (earlier days, file name, row) are DUPLICATE_ORDER.
-- Otherwise every line of the key is CONFLICTING_ORDER.
-- `files` (file_id, file, …) has the names that the files were sent under.
-- Only keys whose hash occurs twice are looked at exactly: full rows in a window would not fit in memory.
WITH hashes AS (
  SELECT key_hash(market, order_id, line_number, CASE WHEN line_number IS NULL THEN sku END) AS key FROM order_lines_checked
  UNION ALL
  SELECT key_hash(market, order_id, line_number, CASE WHEN line_number IS NULL THEN sku END) AS key FROM earlier_order_lines
),
suspects AS (
  SELECT key FROM hashes GROUP BY key HAVING COUNT(*) > 1
),
lines AS (
  SELECT
    1 AS today, file_id, row_number,
    market, order_id, line_number, sku, quantity, unit_price, currency, ordered_at_us, customer_id
  FROM order_lines_checked
  WHERE key_hash(market, order_id, line_number, CASE WHEN line_number IS NULL THEN sku END) IN (SELECT key FROM suspects)
  UNION ALL
  SELECT
    0 AS today, file_id, row_number,
    market, order_id, line_number, sku, quantity, unit_price, currency, ordered_at_us, customer_id
  FROM earlier_order_lines
  WHERE key_hash(market, order_id, line_number, CASE WHEN line_number IS NULL THEN sku END) IN (SELECT key FROM suspects)
),
ranked AS (
  SELECT
    l.today, l.file_id, l.row_number,
    ROW_NUMBER() OVER (
      PARTITION BY l.market, l.order_id, l.line_number, l.sku, l.quantity, l.unit_price, l.currency, l.ordered_at_us, l.customer_id
      ORDER BY l.today, f.file, l.row_number, l.file_id
    ) AS place,
    COUNT(*) OVER (
      PARTITION BY l.market, l.order_id, l.line_number, l.sku, l.quantity, l.unit_price, l.currency, l.ordered_at_us, l.customer_id
    ) AS equal_lines,
    COUNT(*) OVER (PARTITION BY l.market, l.order_id, l.line_number, CASE WHEN l.line_number IS NULL THEN l.sku END) AS lines_of_key
  FROM lines l
  LEFT JOIN (SELECT file_id, MIN(file) AS file FROM files GROUP BY file_id) f ON f.file_id = l.file_id
)
SELECT
  file_id,
  row_number,
  CASE WHEN equal_lines < lines_of_key THEN 'CONFLICTING_ORDER' ELSE 'DUPLICATE_ORDER' END AS kind
FROM ranked
WHERE today = 1 AND (equal_lines < lines_of_key OR place > 1)
ORDER BY file_id, row_number
