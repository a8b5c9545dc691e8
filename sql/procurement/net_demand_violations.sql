-- STOCK_UNKNOWN: per market and SKU, how many units are withheld because the stock is not known.
SELECT
  run_date,
  'STOCK_UNKNOWN' AS rule,
  'HIGH' AS severity,
  'net_demand' AS dataset,
  market,
  sku,
  CAST(NULL AS varchar) AS file,
  CAST(NULL AS bigint) AS first_row,
  CAST(1 AS bigint) AS rows,
  CAST(withheld AS decimal(38,3)) AS units,
  'The stock of ' || sku || ' in ' || market || ' is not known (its stock file is missing, rejected or withdrawn, or rows of it are in quarantine): '
    || CAST(CAST(withheld AS decimal(38,3)) AS varchar) || ' units are withheld. Send the stock, 0 for what is sold out, or set when_missing of ' || market
    || ' to compute and run the day with --refresh-reference.' AS message
FROM (
  SELECT
    run_date, market, sku,
    CASE WHEN gross_demand + safety_stock > on_order THEN gross_demand + safety_stock - on_order ELSE CAST(0 AS decimal(38,3)) END AS withheld
  FROM net_demand
  WHERE net_demand IS NULL
) unknown_stock
ORDER BY market, sku
