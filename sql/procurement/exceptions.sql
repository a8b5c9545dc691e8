-- The day's report: every violation, in one total order.
SELECT run_date, rule, severity, dataset, market, sku, file, first_row, rows, units, message
FROM violations
ORDER BY run_date, rule, severity, dataset, market, sku, file, first_row, rows, units, message
