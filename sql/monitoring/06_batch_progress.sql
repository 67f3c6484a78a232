-- The stages' statuses of today's batches.
-- Changed: all 11 statuses (call metadata, trade metadata and both triagings were left out); today is the UTC day.
SET time_zone = '+00:00';
SELECT
  id,
  batchDate,
  batchNumber,
  status,
  dbInsertionStatus,
  callmetadataStatus,
  trademetadataStatus,
  denoiseStatus,
  ivrStatus,
  lidStatus,
  triagingStatus,
  sttStatus,
  llm1Status,
  triagingStep2Status,
  llm2Status,
  totalFiles
FROM batchStatus
WHERE batchDate = CURDATE()
ORDER BY id DESC;
