-- Stock rows with the same key and different content, for the quarantine; the row as in order_conflicts.
SELECT
  l.run_date,
  CAST('stock' AS varchar) AS feed,
  l.market,
  l.file_id,
  f.file,
  l.row_number,
  CAST('CONFLICTING_ORDER' AS varchar) AS rule,
  'the stock of ' || l.sku || COALESCE(' in ' || l.warehouse, '')
    || ' was sent with different content' || COALESCE(' in row ' || CAST(r.other_row AS varchar) || ' of ' || r.other_file, '')
    || ': send the right count alone' AS reasons,
  l.sku,
  l.available AS quantity,
  COALESCE(s.row, '{"market":"' || REPLACE(REPLACE(l.market, '\', '\\'), '"', '\"')
    || '","sku":"' || REPLACE(REPLACE(l.sku, '\', '\\'), '"', '\"')
    || '","available":"' || CAST(l.available AS varchar)
    || '","reserved":"' || CAST(l.reserved AS varchar)
    || '","counted_at_us":' || COALESCE(CAST(l.counted_at_us AS varchar), 'null')
    || ',"warehouse":' || COALESCE('"' || REPLACE(REPLACE(l.warehouse, '\', '\\'), '"', '\"') || '"', 'null')
    || '}') AS row
FROM stock_lines_checked l
JOIN repeated r ON r.file_id = l.file_id AND r.row_number = l.row_number
JOIN files f ON f.file_id = l.file_id
LEFT JOIN rows_as_sent s ON s.file_id = l.file_id AND s.row_number = l.row_number
WHERE r.kind = 'CONFLICTING_ORDER'
ORDER BY f.file, l.file_id, l.row_number
