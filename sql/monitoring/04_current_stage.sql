-- The current stage of each batch that is not at its end, and for how long it has been at it.
-- Changed: triaging step 2 is tested before LLM1, after which it runs (tested after it, it was never shown); IVR and
-- the CSV imports are named; cancelled batches are at their end too; a batch without a status (NULL, in rows of older
-- services) counts; NOW() is UTC, as the stored times are.
SET time_zone = '+00:00';
SELECT
  id,
  batchNumber,
  status,
  CASE
    WHEN llm2StartTime IS NOT NULL THEN 'LLM2'
    WHEN triagingStep2StartTime IS NOT NULL THEN 'Triaging Step 2'
    WHEN llm1StartTime IS NOT NULL THEN 'LLM1'
    WHEN sttStartTime IS NOT NULL THEN 'STT'
    WHEN triagingStartTime IS NOT NULL THEN 'Triaging'
    WHEN lidStartTime IS NOT NULL THEN 'LID'
    WHEN ivrStartTime IS NOT NULL THEN 'IVR'
    WHEN denoiseStartTime IS NOT NULL THEN 'Denoise'
    WHEN trademetadataStartTime IS NOT NULL THEN 'Trade Metadata'
    WHEN callmetadataStartTime IS NOT NULL THEN 'Call Metadata'
    ELSE 'File Distribution'
  END AS current_stage,
  TIMESTAMPDIFF(
    MINUTE,
    COALESCE(
      llm2StartTime,
      triagingStep2StartTime,
      llm1StartTime,
      sttStartTime,
      triagingStartTime,
      lidStartTime,
      ivrStartTime,
      denoiseStartTime,
      trademetadataStartTime,
      callmetadataStartTime,
      dbInsertionStartTime
    ),
    NOW()
  ) AS stage_running_minutes
FROM batchStatus
WHERE status IS NULL OR status NOT IN ('Completed', 'Failed', 'Cancelled')
ORDER BY id DESC;
