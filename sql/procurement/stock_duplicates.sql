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
placed AS (
  SELECT
    f.file, l.file_id, l.row_number, l.market, l.sku, l.available, l.reserved, l.counted_at_us, l.warehouse,
    ROW_NUMBER() OVER (PARTITION BY l.market, l.sku, l.warehouse ORDER BY f.file, l.row_number, l.file_id) AS place
  FROM lines l
  LEFT JOIN (SELECT file_id, MIN(file) AS file FROM files GROUP BY file_id) f ON f.file_id = l.file_id
),
matched AS (
  SELECT
    file, file_id, row_number, market, sku, warehouse, place,
    MIN(place) OVER (PARTITION BY market, sku, warehouse, available, reserved, counted_at_us) AS first_equal
  FROM placed
),
ranked AS (
  SELECT
    file, file_id, row_number, market, sku, warehouse, place, first_equal,
    MAX(first_equal) OVER (PARTITION BY market, sku, warehouse) AS last_content
  FROM matched
),
repeated AS (
  SELECT
    file_id, row_number, market, sku, warehouse,
    CASE WHEN last_content > 1 THEN 'CONFLICTING_ORDER' ELSE 'DUPLICATE_ORDER' END AS kind,
    CASE WHEN last_content > 1 AND first_equal = 1 THEN last_content ELSE 1 END AS other
  FROM ranked
  WHERE last_content > 1 OR place > 1
)
SELECT
  r.file_id,
  r.row_number,
  r.kind,
  CAST(NULL AS date) AS other_date,
  o.file AS other_file,
  o.row_number AS other_row
FROM repeated r
LEFT JOIN ranked o
  ON o.market = r.market AND o.sku = r.sku AND o.warehouse IS NOT DISTINCT FROM r.warehouse AND o.place = r.other
ORDER BY r.file_id, r.row_number
