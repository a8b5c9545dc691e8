-- Order rows with the same key and different content, for the quarantine. `rows_as_sent` has each row as its market sent it; one that could
-- not be read a second time (a decoder short of memory) is given by its contract fields, as a JSON object: text holds no control characters
-- (the contract refuses them), so that quotes and backslashes are all there is to escape.
SELECT
  l.run_date,
  CAST('orders' AS varchar) AS feed,
  l.market,
  l.file_id,
  f.file,
  l.row_number,
  CAST('CONFLICTING_ORDER' AS varchar) AS rule,
  'order ' || l.order_id || COALESCE(' line ' || CAST(l.line_number AS varchar), ' SKU ' || l.sku)
    || ' was sent with different content'
    || COALESCE(' in row ' || CAST(r.other_row AS varchar) || ' of ' || r.other_file || COALESCE(' of ' || CAST(r.other_date AS varchar), ''), '')
    || CASE
      WHEN r.other_date IS NULL THEN ': send the right one alone'
      ELSE ': if this one is right, correct that file and run ' || CAST(r.other_date AS varchar) || ' again, then this day; else remove this row'
    END AS reasons,
  l.sku,
  l.quantity,
  COALESCE(s.row, '{"order_id":"' || REPLACE(REPLACE(l.order_id, '\', '\\'), '"', '\"')
    || '","line_number":' || COALESCE(CAST(l.line_number AS varchar), 'null')
    || ',"market":"' || REPLACE(REPLACE(l.market, '\', '\\'), '"', '\"')
    || '","sku":"' || REPLACE(REPLACE(l.sku, '\', '\\'), '"', '\"')
    || '","quantity":"' || CAST(l.quantity AS varchar)
    || '","unit_price":"' || CAST(l.unit_price AS varchar)
    || '","currency":' || COALESCE('"' || REPLACE(REPLACE(l.currency, '\', '\\'), '"', '\"') || '"', 'null')
    || ',"ordered_at_us":' || CAST(l.ordered_at_us AS varchar)
    || ',"customer_id":' || COALESCE('"' || REPLACE(REPLACE(l.customer_id, '\', '\\'), '"', '\"') || '"', 'null')
    || '}') AS row
FROM order_lines_checked l
JOIN repeated r ON r.file_id = l.file_id AND r.row_number = l.row_number
JOIN files f ON f.file_id = l.file_id
LEFT JOIN rows_as_sent s ON s.file_id = l.file_id AND s.row_number = l.row_number
WHERE r.kind = 'CONFLICTING_ORDER'
ORDER BY f.file, l.file_id, l.row_number
