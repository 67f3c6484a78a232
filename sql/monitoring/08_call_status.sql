-- A batch's calls by status.
-- Unchanged, but for the parameter.
-- First: SET @batch_id = <the batch's id>;
SELECT
  status,
  COUNT(*) AS count
FROM `call`
WHERE batchId = @batch_id
GROUP BY status;
