-- The largest sums of units needed, per market: the bars of the plot that a materialisation shows.
SELECT label, total
FROM (
  SELECT market AS label, CAST(COALESCE(SUM(net_demand), CAST(0 AS decimal(38,3))) AS decimal(38,3)) AS total FROM net_demand GROUP BY market
) sums
ORDER BY total DESC, label
LIMIT 10
