-- What each market needs of each SKU beyond what it has: max(0, gross demand + safety stock − usable − on order).
-- Grid: SKUs ordered, in stock (also where the row is quarantined), or with parameters of the market's own. Stock is `counted` where accepted
-- rows say so; `zero` where an accepted file leaves the SKU out (or the market sends no stock files); `unknown` where the file is missing or
-- a row of the SKU is quarantined, and, of SKUs that no accepted row counts, where a part of the count is lacking: a file was rejected, or
-- withdrawn after it had counted, or has no row that can be used, or a quarantined row does not tell its SKU.
-- Parameters and quarantined stock are of products that are active on the day.
WITH demand AS (
  SELECT market, sku, SUM(quantity) AS gross_demand FROM aggregated_orders GROUP BY market, sku
),
stock AS (
  SELECT
    market,
    sku,
    SUM(available) AS available,
    SUM(reserved) AS reserved,
    SUM(CASE WHEN available > reserved THEN CAST(available AS decimal(38,3)) - reserved ELSE CAST(0 AS decimal(38,3)) END) AS usable
  FROM stock_lines
  GROUP BY market, sku
),
quarantined AS (
  SELECT market, sku FROM quarantine WHERE feed = 'stock' AND sku IS NOT NULL GROUP BY market, sku
),
unnamed AS (
  SELECT market FROM quarantine WHERE feed = 'stock' AND sku IS NULL GROUP BY market
),
sent AS (
  SELECT
    market,
    CAST(SUM(CASE WHEN state = 'accepted' THEN 1 ELSE 0 END) AS bigint) AS accepted,
    CAST(SUM(CASE WHEN state IN ('rejected', 'taken_out', 'useless') THEN 1 ELSE 0 END) AS bigint) AS lacking
  FROM files
  WHERE feed = 'stock'
  GROUP BY market
),
active AS (
  SELECT market
  FROM markets
  WHERE COALESCE(active_from <= CAST(:run_date AS date), TRUE) AND COALESCE(active_to >= CAST(:run_date AS date), TRUE)
),
known AS (
  SELECT sku
  FROM products
  WHERE COALESCE(active_from <= CAST(:run_date AS date), TRUE) AND COALESCE(active_to >= CAST(:run_date AS date), TRUE)
),
own AS (
  SELECT p.market, p.sku, p.safety_stock
  FROM planning_parameters p
  JOIN active a ON a.market = p.market
  JOIN known k ON k.sku = p.sku
),
common AS (
  SELECT a.market, p.sku, p.safety_stock FROM planning_parameters p CROSS JOIN active a WHERE p.market IS NULL
),
receipts AS (
  SELECT market, sku, SUM(on_order) AS on_order FROM open_orders GROUP BY market, sku
),
grid AS (
  SELECT market, sku FROM demand
  UNION ALL
  SELECT market, sku FROM stock
  UNION ALL
  SELECT q.market, q.sku FROM quarantined q JOIN known k ON k.sku = q.sku
  UNION ALL
  SELECT market, sku FROM own
),
based AS (
  SELECT
    g.market,
    g.sku,
    CASE
      WHEN q.sku IS NOT NULL THEN 'unknown'
      WHEN s.sku IS NOT NULL THEN 'counted'
      WHEN COALESCE(f.lacking, 0) > 0 OR u.market IS NOT NULL THEN 'unknown'
      WHEN COALESCE(f.accepted, 0) > 0 OR NOT COALESCE(m.sends_stock, TRUE) THEN 'zero'
      ELSE 'unknown'
    END AS stock_basis,
    COALESCE(m.when_missing, 'withhold') AS when_missing,
    COALESCE(d.gross_demand, CAST(0 AS decimal(38,3))) AS gross_demand,
    COALESCE(s.available, CAST(0 AS decimal(38,3))) AS available,
    COALESCE(s.reserved, CAST(0 AS decimal(38,3))) AS reserved,
    COALESCE(s.usable, CAST(0 AS decimal(38,3))) AS usable,
    COALESCE(r.on_order, CAST(0 AS decimal(38,3))) AS on_order,
    COALESCE(o.safety_stock, c.safety_stock, CAST(0 AS decimal(18,3))) AS safety_stock
  FROM (SELECT DISTINCT market, sku FROM grid) g
  LEFT JOIN demand d ON d.market = g.market AND d.sku = g.sku
  LEFT JOIN stock s ON s.market = g.market AND s.sku = g.sku
  LEFT JOIN quarantined q ON q.market = g.market AND q.sku = g.sku
  LEFT JOIN unnamed u ON u.market = g.market
  LEFT JOIN sent f ON f.market = g.market
  LEFT JOIN markets m ON m.market = g.market
  LEFT JOIN own o ON o.market = g.market AND o.sku = g.sku
  LEFT JOIN common c ON c.market = g.market AND c.sku = g.sku
  LEFT JOIN receipts r ON r.market = g.market AND r.sku = g.sku
),
planned AS (
  SELECT
    market, sku, stock_basis, when_missing, gross_demand, on_order, safety_stock,
    CASE WHEN stock_basis <> 'unknown' THEN available END AS available,
    CASE WHEN stock_basis <> 'unknown' THEN reserved END AS reserved,
    CASE WHEN stock_basis <> 'unknown' THEN usable END AS usable,
    gross_demand + safety_stock - on_order - CASE WHEN stock_basis <> 'unknown' THEN usable ELSE CAST(0 AS decimal(38,3)) END AS shortfall
  FROM based
)
SELECT
  CAST(:run_date AS date) AS run_date,
  market,
  sku,
  CAST(gross_demand AS decimal(38,3)) AS gross_demand,
  CAST(available AS decimal(38,3)) AS available,
  CAST(reserved AS decimal(38,3)) AS reserved,
  CAST(usable AS decimal(38,3)) AS usable,
  CAST(on_order AS decimal(38,3)) AS on_order,
  CAST(safety_stock AS decimal(18,3)) AS safety_stock,
  CAST(
    CASE
      WHEN stock_basis = 'unknown' AND when_missing <> 'compute' THEN NULL
      WHEN shortfall > 0 THEN shortfall
      ELSE CAST(0 AS decimal(38,3))
    END AS decimal(38,3)
  ) AS net_demand,
  stock_basis
FROM planned
ORDER BY market, sku
