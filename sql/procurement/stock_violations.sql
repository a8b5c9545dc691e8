-- Stock rows that are not used (in quarantine, or sent twice), and rows with more reserved than available (STOCK_LOGIC), which count 0.
WITH rejected AS (
  SELECT rule, market, sku, file, MIN(row_number) AS first_row, COUNT(*) AS rows, SUM(quantity) AS units
  FROM quarantine
  WHERE feed = 'stock'
  GROUP BY rule, market, sku, file
),
-- The example is what is wrong with the first row: a file's name and a row's number are one row of quarantine.
left_out AS (
  SELECT r.rule, r.market, r.sku, r.file, r.first_row, r.rows, r.units, q.reasons AS example
  FROM rejected r
  JOIN quarantine q ON q.file = r.file AND q.row_number = r.first_row AND q.feed = 'stock'
  UNION ALL
  SELECT
    'DUPLICATE_ORDER' AS rule, s.market, s.sku, s.file, s.first_row, s.rows, s.units,
    'row ' || CAST(d.other_row AS varchar) || ' of ' || d.other_file AS example
  FROM (
    SELECT market, sku, file, MIN(row_number) AS first_row, COUNT(*) AS rows, SUM(quantity) AS units FROM duplicates GROUP BY market, sku, file
  ) s
  JOIN duplicates d ON d.file = s.file AND d.row_number = s.first_row
  UNION ALL
  SELECT
    'STOCK_LOGIC' AS rule, l.market, l.sku, f.file,
    MIN(l.row_number) AS first_row, COUNT(*) AS rows, SUM(CAST(l.reserved AS decimal(38,3)) - l.available) AS units, CAST(NULL AS varchar) AS example
  FROM stock_lines l
  JOIN files f ON f.file_id = l.file_id
  WHERE l.reserved > l.available
  GROUP BY l.market, l.sku, f.file
),
told AS (
  SELECT
    rule, market, sku, file, first_row, rows, CAST(units AS decimal(38,3)) AS units, example,
    CASE WHEN rows = 1 THEN 'Row ' ELSE CAST(rows AS varchar) || ' rows, from row ' END || CAST(first_row AS varchar) || ' of ' || file AS which,
    CASE WHEN rows = 1 THEN ' Why: ' ELSE ' For example: ' END AS why
  FROM left_out
)
SELECT
  CAST(:run_date AS date) AS run_date,
  rule,
  CASE WHEN rule = 'DUPLICATE_ORDER' THEN 'MEDIUM' ELSE 'HIGH' END AS severity,
  'stock_lines' AS dataset,
  market,
  sku,
  file,
  first_row,
  rows,
  units,
  which || CASE rule
    WHEN 'STOCK_LOGIC' THEN
      ': ' || CAST(units AS varchar) || ' more units of ' || sku || ' reserved than available; counted as 0 usable. Count again and send the stock file again.'
    WHEN 'DUPLICATE_ORDER' THEN
      ': sent before' || COALESCE(CASE WHEN rows = 1 THEN ' in ' ELSE ', the first in ' END || example || ', which counts;', ',')
        || ' left out. Nothing is lost; ' || market || ' is to send each SKU once per warehouse.'
    WHEN 'CONFLICTING_ORDER' THEN
      ': in quarantine, its SKU was sent with other content too, so its stock is not known. ' || market || ' is to send each SKU once per warehouse.' || why || example
    WHEN 'UNKNOWN_PRODUCT' THEN
      ': in quarantine. Why: ' || example
    ELSE ': in quarantine, the stock is not known. Correct and send the file again.' || why || example
      || CASE WHEN rows > 1 THEN '. All of them: procurement quarantine ' || CAST(CAST(:run_date AS date) AS varchar) || ' --market ' || market ELSE '' END
  END AS message
FROM told
ORDER BY rule, market, sku, file
