-- How many keys of the table occur more than once: none may.
SELECT COUNT(*) AS keys
FROM (SELECT supplier_id, sku, kind, market FROM supplier_order_allocations GROUP BY supplier_id, sku, kind, market HAVING COUNT(*) > 1) repeated
