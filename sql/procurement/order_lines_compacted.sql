-- A day's order lines in few files: a market's rows lie together, so that who looks for some markets skips the others.
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
FROM order_lines l
ORDER BY l.market, l.file_id, l.row_number
