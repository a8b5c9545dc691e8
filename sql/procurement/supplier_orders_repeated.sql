-- How many keys of the table occur more than once: none may.
SELECT COUNT(*) AS keys
FROM (SELECT sku FROM supplier_orders GROUP BY sku HAVING COUNT(*) > 1) repeated
