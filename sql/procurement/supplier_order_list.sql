-- The supplier orders in the order in which buyers read them.
SELECT run_date, supplier_id, sku, need, quantity, pack_size, moq, unit_price, currency, amount, expected_date
FROM supplier_orders
ORDER BY supplier_id, sku
