-- How many keys of the table occur more than once: none may.
SELECT COUNT(*) AS keys
FROM (SELECT market, sku, currency FROM aggregated_orders GROUP BY market, sku, currency HAVING COUNT(*) > 1) repeated
