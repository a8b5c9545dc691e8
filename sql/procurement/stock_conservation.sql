-- What became of each file's rows, and of the units in them: accepted, quarantined, or left out as duplicates.
WITH parts AS (
  SELECT
    file_id,
    COUNT(*) AS accepted_rows, CAST(0 AS bigint) AS quarantined_rows, CAST(0 AS bigint) AS duplicate_rows,
    SUM(available) AS accepted_quantity, CAST(0 AS decimal(38,3)) AS quarantined_quantity, CAST(0 AS decimal(38,3)) AS duplicate_quantity
  FROM stock_lines
  GROUP BY file_id
  UNION ALL
  SELECT
    file_id,
    CAST(0 AS bigint) AS accepted_rows, COUNT(*) AS quarantined_rows, CAST(0 AS bigint) AS duplicate_rows,
    CAST(0 AS decimal(38,3)) AS accepted_quantity, SUM(quantity) AS quarantined_quantity, CAST(0 AS decimal(38,3)) AS duplicate_quantity
  FROM quarantine
  WHERE feed = 'stock'
  GROUP BY file_id
  UNION ALL
  SELECT
    file_id,
    CAST(0 AS bigint) AS accepted_rows, CAST(0 AS bigint) AS quarantined_rows, COUNT(*) AS duplicate_rows,
    CAST(0 AS decimal(38,3)) AS accepted_quantity, CAST(0 AS decimal(38,3)) AS quarantined_quantity, SUM(quantity) AS duplicate_quantity
  FROM duplicates
  GROUP BY file_id
)
SELECT
  file_id,
  CAST(SUM(accepted_rows) AS bigint) AS accepted_rows,
  CAST(SUM(quarantined_rows) AS bigint) AS quarantined_rows,
  CAST(SUM(duplicate_rows) AS bigint) AS duplicate_rows,
  COALESCE(SUM(accepted_quantity), CAST(0 AS decimal(38,3))) AS accepted_quantity,
  COALESCE(SUM(quarantined_quantity), CAST(0 AS decimal(38,3))) AS quarantined_quantity,
  COALESCE(SUM(duplicate_quantity), CAST(0 AS decimal(38,3))) AS duplicate_quantity
FROM parts
GROUP BY file_id
ORDER BY file_id
