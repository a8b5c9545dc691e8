-- How many rows of each file are repeated, per kind.
SELECT file_id, kind, COUNT(*) AS rows
FROM repeated
GROUP BY file_id, kind
ORDER BY file_id, kind
