-- Files of the stock feed. MISSING_FILE: per market that is active and sends stock, and of which no file is accepted or no row can be used. INVALID_FILE: per rejected file.
WITH sent AS (
  SELECT
    market,
    CAST(SUM(CASE WHEN state = 'accepted' THEN 1 ELSE 0 END) AS bigint) AS accepted,
    CAST(SUM(CASE WHEN state = 'rejected' THEN 1 ELSE 0 END) AS bigint) AS rejected,
    CAST(SUM(CASE WHEN state IN ('withdrawn', 'taken_out') THEN 1 ELSE 0 END) AS bigint) AS withdrawn,
    CAST(SUM(CASE WHEN state = 'useless' THEN 1 ELSE 0 END) AS bigint) AS useless
  FROM files
  WHERE feed = 'stock'
  GROUP BY market
),
found AS (
  SELECT
    'MISSING_FILE' AS rule,
    'MEDIUM' AS severity,
    m.market,
    CAST(NULL AS varchar) AS file,
    CAST(1 AS bigint) AS rows,
    'No stock file of ' || m.market || ' for ' || CAST(CAST(:run_date AS date) AS varchar) || CASE
      WHEN COALESCE(s.useless, 0) > 0 THEN ' can be used: no row of what it sent can be (the report and procurement quarantine say why).'
      WHEN COALESCE(s.rejected, 0) > 0 THEN ' can be used: '
        || CASE
          WHEN s.withdrawn > 0 THEN 'of what it sent, some was withdrawn, the rest rejected (INVALID_FILE says why).'
          ELSE 'what it sent was rejected (INVALID_FILE says why).'
        END
      WHEN s.withdrawn > 0 THEN ' is in use: what it sent was withdrawn (procurement files says by whom, and why).'
      ELSE ' had come whole when this day was run; it is due by ' || m.stock_cutoff || ' (' || m.timezone || ') on the day after.'
    END || ' Put one into inbox/stock/' || CAST(CAST(:run_date AS date) AS varchar) || '/, named ' || m.market
      || ' with .avro, .parquet, .csv, .csv.gz or .jsonl, and run the day again.'
      || CASE WHEN m.when_missing = 'compute' THEN ' Until then it is planned as if it had no stock (its when_missing is compute).' ELSE '' END
      AS message
  FROM markets m
  LEFT JOIN sent s ON s.market = m.market
  WHERE m.sends_stock
    AND COALESCE(m.active_from <= CAST(:run_date AS date), TRUE) AND COALESCE(m.active_to >= CAST(:run_date AS date), TRUE)
    AND COALESCE(s.accepted, 0) = 0
  UNION ALL
  SELECT
    'INVALID_FILE' AS rule,
    'HIGH' AS severity,
    market,
    file,
    COUNT(*) AS rows,
    file || ' was rejected, none of it is used. Correct it and send it again. Why: ' || COALESCE(MIN(reason), 'not recorded')
      AS message
  FROM files
  WHERE feed = 'stock' AND state = 'rejected'
  GROUP BY market, file
)
SELECT
  CAST(:run_date AS date) AS run_date,
  rule,
  severity,
  'raw_stock' AS dataset,
  market,
  CAST(NULL AS varchar) AS sku,
  file,
  CAST(NULL AS bigint) AS first_row,
  rows,
  CAST(NULL AS decimal(38,3)) AS units,
  message
FROM found
ORDER BY rule, market, file
