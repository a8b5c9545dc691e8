-- A day's stock lines in few files: a market's rows lie together, so that who looks for some markets skips the others.
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
FROM stock_lines l
ORDER BY l.market, l.file_id, l.row_number
