-- Order lines without the repeated ones: of one file, or of all files of a small day. A market's lines lie together, in their file's order.
SELECT
  l.run_date,
  l.file_id,
  l.row_number,
  l.order_id,
  l.line_number,
  l.market,
  l.sku,
  l.quantity,
  l.unit_price,
  l.currency,
  l.ordered_at_us,
  l.customer_id
FROM order_lines_checked l
LEFT JOIN repeated r ON r.file_id = l.file_id AND r.row_number = l.row_number
WHERE r.file_id IS NULL
ORDER BY l.market, l.file_id, l.row_number
