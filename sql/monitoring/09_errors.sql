-- Failures of a batch by stage.
-- Changed: the id is a number, not a text (compared with a text, an older server finds no use for the index).
-- First: SET @batch_id = <the batch's id>;
SELECT
  stage_name,
  COUNT(*) AS error_count,
  MAX(created_at) AS last_error
FROM processing_logs
WHERE batch_id = @batch_id AND status = 'failed'
GROUP BY stage_name;
