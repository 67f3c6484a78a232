-- The events of a batch, counted by stage, event and status.
-- Changed: in a full order; by the stage alone the events of a stage came in any.
-- First: SET @batch_id = <the batch's id>;
SELECT
  stage,
  eventType,
  status,
  COUNT(*) AS count
FROM batchExecutionLog
WHERE batchId = @batch_id
GROUP BY stage, eventType, status
ORDER BY stage, eventType, status;
