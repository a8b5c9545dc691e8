-- Demand and revenue per market, SKU and currency. A line without a currency is in its market's own.
-- The lines are summed as sent first, and joined with the markets after: a join costs more than the sums do.
WITH sent AS (
  SELECT
    market,
    sku,
    currency,
    SUM(quantity) AS quantity,
    sum_money(quantity, unit_price) AS revenue,
    COUNT(*) AS order_lines
  FROM order_lines
  GROUP BY market, sku, currency
)
SELECT
  CAST(:run_date AS date) AS run_date,
  s.market,
  s.sku,
  COALESCE(s.currency, m.currency) AS currency,
  CAST(SUM(s.quantity) AS decimal(38,3)) AS quantity,
  CAST(SUM(s.revenue) AS decimal(38,4)) AS revenue,
  CAST(SUM(s.order_lines) AS bigint) AS order_lines
FROM sent s
LEFT JOIN markets m ON m.market = s.market
GROUP BY s.market, s.sku, COALESCE(s.currency, m.currency)
ORDER BY s.market, s.sku, COALESCE(s.currency, m.currency)
