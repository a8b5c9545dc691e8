-- How many keys of the table occur more than once: none may.
SELECT COUNT(*) AS keys
FROM (SELECT market, sku FROM net_demand GROUP BY market, sku HAVING COUNT(*) > 1) repeated
