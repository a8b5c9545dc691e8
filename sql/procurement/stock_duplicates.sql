-- Stock rows sent twice on the day. The key is (market, SKU, warehouse); otherwise as order_duplicates. `files` has the names that the files were sent under.
WITH suspects AS (
  SELECT key
  FROM (SELECT key_hash(market, sku, warehouse) AS key FROM stock_lines_checked) hashes
  GROUP BY key
  HAVING COUNT(*) > 1
),
lines AS (
  SELECT file_id, row_number, market, sku, available, reserved, counted_at_us, warehouse
  FROM stock_lines_checked
  WHERE key_hash(market, sku, warehouse) IN (SELECT key FROM suspects)
),
ranked AS (
  SELECT
    l.file_id, l.row_number,
    ROW_NUMBER() OVER (
      PARTITION BY l.market, l.sku, l.warehouse, l.available, l.reserved, l.counted_at_us ORDER BY f.file, l.row_number, l.file_id
    ) AS place,
    COUNT(*) OVER (PARTITION BY l.market, l.sku, l.warehouse, l.available, l.reserved, l.counted_at_us) AS equal_lines,
    COUNT(*) OVER (PARTITION BY l.market, l.sku, l.warehouse) AS lines_of_key
  FROM lines l
  LEFT JOIN (SELECT file_id, MIN(file) AS file FROM files GROUP BY file_id) f ON f.file_id = l.file_id
)
SELECT
  file_id,
  row_number,
  CASE WHEN equal_lines < lines_of_key THEN 'CONFLICTING_ORDER' ELSE 'DUPLICATE_ORDER' END AS kind
FROM ranked
WHERE equal_lines < lines_of_key OR place > 1
ORDER BY file_id, row_number
