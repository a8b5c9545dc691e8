-- The stock rows that were sent more than once and are left out, with what the report needs of them.
SELECT l.file_id, l.row_number, f.file, l.market, l.sku, l.available AS quantity, r.other_date, r.other_file, r.other_row
FROM stock_lines_checked l
JOIN repeated r ON r.file_id = l.file_id AND r.row_number = l.row_number
JOIN files f ON f.file_id = l.file_id
WHERE r.kind = 'DUPLICATE_ORDER'
ORDER BY f.file, l.file_id, l.row_number
