-- Stock rows without the repeated ones: of one file, or of all files of a small day. A market's rows lie together, in their file's order.
SELECT
  l.run_date,
  l.file_id,
  l.row_number,
  l.market,
  l.sku,
  l.available,
  l.reserved,
  l.counted_at_us,
  l.warehouse
FROM stock_lines_checked l
LEFT JOIN repeated r ON r.file_id = l.file_id AND r.row_number = l.row_number
WHERE r.file_id IS NULL
ORDER BY l.market, l.file_id, l.row_number
