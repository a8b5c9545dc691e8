-- The units ordered and the gross demand of the planning grid: they must agree.
SELECT a.ordered, d.gross_demand
FROM (SELECT COALESCE(SUM(quantity), CAST(0 AS decimal(38,3))) AS ordered FROM aggregated_orders) a
CROSS JOIN (SELECT COALESCE(SUM(gross_demand), CAST(0 AS decimal(38,3))) AS gross_demand FROM net_demand) d
