-- Order lines sent twice. The key is (market, order, line number; the SKU where no line number is sent); the lines of earlier days take part.
-- Every line of a key is equal in every contract field: all but the first of (earlier days, file name, row) are DUPLICATE_ORDER.
-- Otherwise every line of the key is CONFLICTING_ORDER.
-- `files` (file_id, file, …) has the names that the files were sent under, those of earlier days too.
-- Each row comes with another row of its key (`other_date` where that is an earlier day's): of a duplicate the one that was kept, of a conflict
-- one with other content.
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
    1 AS today, run_date, file_id, row_number, CASE WHEN line_number IS NULL THEN sku END AS key_sku,
    market, order_id, line_number, sku, quantity, unit_price, currency, ordered_at_us, customer_id
  FROM order_lines_checked
  WHERE key_hash(market, order_id, line_number, CASE WHEN line_number IS NULL THEN sku END) IN (SELECT key FROM suspects)
  UNION ALL
  SELECT
    0 AS today, run_date, file_id, row_number, CASE WHEN line_number IS NULL THEN sku END AS key_sku,
    market, order_id, line_number, sku, quantity, unit_price, currency, ordered_at_us, customer_id
  FROM earlier_order_lines
  WHERE key_hash(market, order_id, line_number, CASE WHEN line_number IS NULL THEN sku END) IN (SELECT key FROM suspects)
),
placed AS (
  SELECT
    l.today, l.run_date, f.file, l.file_id, l.row_number, l.key_sku,
    l.market, l.order_id, l.line_number, l.sku, l.quantity, l.unit_price, l.currency, l.ordered_at_us, l.customer_id,
    ROW_NUMBER() OVER (
      PARTITION BY l.market, l.order_id, l.line_number, l.key_sku ORDER BY l.today, l.run_date, f.file, l.row_number, l.file_id
    ) AS place
  FROM lines l
  LEFT JOIN (SELECT file_id, MIN(file) AS file FROM files GROUP BY file_id) f ON f.file_id = l.file_id
),
-- The place, within its key, of the first row with the same content; and of the key's last that is the first of its content.
matched AS (
  SELECT
    today, run_date, file, file_id, row_number, key_sku, market, order_id, line_number, place,
    MIN(place) OVER (
      PARTITION BY market, order_id, line_number, key_sku, sku, quantity, unit_price, currency, ordered_at_us, customer_id
    ) AS first_equal
  FROM placed
),
ranked AS (
  SELECT
    today, run_date, file, file_id, row_number, key_sku, market, order_id, line_number, place, first_equal,
    MAX(first_equal) OVER (PARTITION BY market, order_id, line_number, key_sku) AS last_content
  FROM matched
),
repeated AS (
  SELECT
    file_id, row_number, key_sku, market, order_id, line_number,
    CASE WHEN last_content > 1 THEN 'CONFLICTING_ORDER' ELSE 'DUPLICATE_ORDER' END AS kind,
    CASE WHEN last_content > 1 AND first_equal = 1 THEN last_content ELSE 1 END AS other
  FROM ranked
  WHERE today = 1 AND (last_content > 1 OR place > 1)
)
SELECT
  r.file_id,
  r.row_number,
  r.kind,
  CASE WHEN o.today = 0 THEN o.run_date END AS other_date,
  o.file AS other_file,
  o.row_number AS other_row
FROM repeated r
LEFT JOIN ranked o
  ON o.market = r.market AND o.order_id = r.order_id AND o.line_number IS NOT DISTINCT FROM r.line_number
  AND o.key_sku IS NOT DISTINCT FROM r.key_sku AND o.place = r.other
ORDER BY r.file_id, r.row_number
