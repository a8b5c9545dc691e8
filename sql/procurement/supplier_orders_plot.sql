-- The largest sums of units ordered, per supplier_id: the bars of the plot that a materialisation shows.
SELECT label, total
FROM (
  SELECT supplier_id AS label, CAST(COALESCE(SUM(quantity), CAST(0 AS decimal(38,3))) AS decimal(38,3)) AS total FROM supplier_orders GROUP BY supplier_id
) sums
ORDER BY total DESC, label
LIMIT 10
