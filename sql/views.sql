-- The views that people and dashboards read; `cofi db upgrade` makes them.
-- Made from the stage catalogue by `python -m cofi_dagster.database.ddl views`: change views.py instead.
-- vw_batches_by_stage: a row per batch: its current stage, its progress in percent, and each stage as JSON.
-- vw_stage_statistics: a row per stage: how many batches wait, are at work, done, failed, skipped; mean seconds.

CREATE OR REPLACE VIEW vw_batches_by_stage AS
SELECT
  id, batchDate, batchNumber, status, totalFiles,
  CASE
    WHEN status = 'Completed' THEN NULL
    WHEN file_distribution IN ('processing', 'failed', 'paused') THEN 'file_distribution'
    WHEN callmetadata IN ('processing', 'failed', 'paused') THEN 'callmetadata'
    WHEN trademetadata IN ('processing', 'failed', 'paused') THEN 'trademetadata'
    WHEN denoise IN ('processing', 'failed', 'paused') THEN 'denoise'
    WHEN ivr IN ('processing', 'failed', 'paused') THEN 'ivr'
    WHEN lid IN ('processing', 'failed', 'paused') THEN 'lid'
    WHEN triaging IN ('processing', 'failed', 'paused') THEN 'triaging'
    WHEN stt IN ('processing', 'failed', 'paused') THEN 'stt'
    WHEN llm1 IN ('processing', 'failed', 'paused') THEN 'llm1'
    WHEN triaging_step2 IN ('processing', 'failed', 'paused') THEN 'triaging_step2'
    WHEN llm2 IN ('processing', 'failed', 'paused') THEN 'llm2'
    WHEN file_distribution = 'pending' THEN 'file_distribution'
    WHEN callmetadata = 'pending' THEN 'callmetadata'
    WHEN trademetadata = 'pending' THEN 'trademetadata'
    WHEN denoise = 'pending' THEN 'denoise'
    WHEN ivr = 'pending' THEN 'ivr'
    WHEN lid = 'pending' THEN 'lid'
    WHEN triaging = 'pending' THEN 'triaging'
    WHEN stt = 'pending' THEN 'stt'
    WHEN llm1 = 'pending' THEN 'llm1'
    WHEN triaging_step2 = 'pending' THEN 'triaging_step2'
    WHEN llm2 = 'pending' THEN 'llm2'
  END AS current_stage,
  CASE WHEN status = 'Completed' THEN 100.0 ELSE ROUND(100.0 * (
    (CASE WHEN file_distribution IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN callmetadata IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN trademetadata IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN denoise IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN ivr IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN lid IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN triaging IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN stt IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN llm1 IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN triaging_step2 IN ('completed', 'skipped') THEN 1 ELSE 0 END)
    + (CASE WHEN llm2 IN ('completed', 'skipped') THEN 1 ELSE 0 END)
  ) / (
    (CASE WHEN file_distribution IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN callmetadata IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN trademetadata IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN denoise IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN ivr IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN lid IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN triaging IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN stt IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN llm1 IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN triaging_step2 IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN llm2 IS NULL THEN 0 ELSE 1 END)
  ), 2) END AS progress_percentage,
  CASE WHEN file_distribution IS NULL THEN NULL ELSE JSON_OBJECT('status', file_distribution, 'started_at', dbInsertionStartTime, 'completed_at', dbInsertionEndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, dbInsertionStartTime, dbInsertionEndTime) / 1000000) END AS file_distribution_status,
  CASE WHEN callmetadata IS NULL THEN NULL ELSE JSON_OBJECT('status', callmetadata, 'started_at', callmetadataStartTime, 'completed_at', callmetadataEndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, callmetadataStartTime, callmetadataEndTime) / 1000000) END AS callmetadata_status,
  CASE WHEN trademetadata IS NULL THEN NULL ELSE JSON_OBJECT('status', trademetadata, 'started_at', trademetadataStartTime, 'completed_at', trademetadataEndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, trademetadataStartTime, trademetadataEndTime) / 1000000) END AS trademetadata_status,
  CASE WHEN denoise IS NULL THEN NULL ELSE JSON_OBJECT('status', denoise, 'started_at', denoiseStartTime, 'completed_at', denoiseEndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, denoiseStartTime, denoiseEndTime) / 1000000) END AS denoise_status,
  CASE WHEN ivr IS NULL THEN NULL ELSE JSON_OBJECT('status', ivr, 'started_at', ivrStartTime, 'completed_at', ivrEndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, ivrStartTime, ivrEndTime) / 1000000) END AS ivr_status,
  CASE WHEN lid IS NULL THEN NULL ELSE JSON_OBJECT('status', lid, 'started_at', lidStartTime, 'completed_at', lidEndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, lidStartTime, lidEndTime) / 1000000) END AS lid_status,
  CASE WHEN triaging IS NULL THEN NULL ELSE JSON_OBJECT('status', triaging, 'started_at', triagingStartTime, 'completed_at', triagingEndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, triagingStartTime, triagingEndTime) / 1000000) END AS triaging_status,
  CASE WHEN stt IS NULL THEN NULL ELSE JSON_OBJECT('status', stt, 'started_at', sttStartTime, 'completed_at', sttEndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, sttStartTime, sttEndTime) / 1000000) END AS stt_status,
  CASE WHEN llm1 IS NULL THEN NULL ELSE JSON_OBJECT('status', llm1, 'started_at', llm1StartTime, 'completed_at', llm1EndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, llm1StartTime, llm1EndTime) / 1000000) END AS llm1_status,
  CASE WHEN triaging_step2 IS NULL THEN NULL ELSE JSON_OBJECT('status', triaging_step2, 'started_at', triagingStep2StartTime, 'completed_at', triagingStep2EndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, triagingStep2StartTime, triagingStep2EndTime) / 1000000) END AS triaging_step2_status,
  CASE WHEN llm2 IS NULL THEN NULL ELSE JSON_OBJECT('status', llm2, 'started_at', llm2StartTime, 'completed_at', llm2EndTime, 'duration_seconds', TIMESTAMPDIFF(MICROSECOND, llm2StartTime, llm2EndTime) / 1000000) END AS llm2_status
FROM (
  SELECT
    id, batchDate, batchNumber, status, totalFiles,
    dbInsertionStartTime, dbInsertionEndTime, callmetadataStartTime, callmetadataEndTime, trademetadataStartTime, trademetadataEndTime, denoiseStartTime, denoiseEndTime, ivrStartTime, ivrEndTime, lidStartTime, lidEndTime, triagingStartTime, triagingEndTime, sttStartTime, sttEndTime, llm1StartTime, llm1EndTime, triagingStep2StartTime, triagingStep2EndTime, llm2StartTime, llm2EndTime,
    CASE dbInsertionStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS file_distribution,
    CASE WHEN kind = 'upload' THEN NULL ELSE CASE WHEN callmetadataStatus = 1 THEN 'completed' WHEN callmetadataStartTime IS NULL THEN 'pending' WHEN callmetadataEndTime IS NULL THEN 'processing' ELSE 'failed' END END AS callmetadata,
    CASE WHEN kind = 'upload' THEN NULL ELSE CASE WHEN trademetadataStatus = 1 THEN 'completed' WHEN trademetadataStartTime IS NULL THEN 'pending' WHEN trademetadataEndTime IS NULL THEN 'processing' ELSE 'failed' END END AS trademetadata,
    CASE WHEN kind = 'upload' THEN NULL ELSE CASE denoiseStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END END AS denoise,
    CASE WHEN kind = 'upload' THEN NULL ELSE CASE ivrStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END END AS ivr,
    CASE lidStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS lid,
    CASE WHEN kind = 'upload' THEN NULL ELSE CASE triagingStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END END AS triaging,
    CASE sttStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS stt,
    CASE llm1Status WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS llm1,
    CASE WHEN kind = 'upload' THEN NULL ELSE CASE triagingStep2Status WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END END AS triaging_step2,
    CASE llm2Status WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS llm2
  FROM batchStatus
) words;

CREATE OR REPLACE VIEW vw_stage_statistics AS
SELECT
  'file_distribution' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, dbInsertionStartTime, dbInsertionEndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT dbInsertionStartTime, dbInsertionEndTime, CASE dbInsertionStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS word FROM batchStatus) words
UNION ALL
SELECT
  'callmetadata' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, callmetadataStartTime, callmetadataEndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT callmetadataStartTime, callmetadataEndTime, CASE WHEN kind = 'upload' THEN NULL ELSE CASE WHEN callmetadataStatus = 1 THEN 'completed' WHEN callmetadataStartTime IS NULL THEN 'pending' WHEN callmetadataEndTime IS NULL THEN 'processing' ELSE 'failed' END END AS word FROM batchStatus) words
UNION ALL
SELECT
  'trademetadata' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, trademetadataStartTime, trademetadataEndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT trademetadataStartTime, trademetadataEndTime, CASE WHEN kind = 'upload' THEN NULL ELSE CASE WHEN trademetadataStatus = 1 THEN 'completed' WHEN trademetadataStartTime IS NULL THEN 'pending' WHEN trademetadataEndTime IS NULL THEN 'processing' ELSE 'failed' END END AS word FROM batchStatus) words
UNION ALL
SELECT
  'denoise' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, denoiseStartTime, denoiseEndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT denoiseStartTime, denoiseEndTime, CASE WHEN kind = 'upload' THEN NULL ELSE CASE denoiseStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END END AS word FROM batchStatus) words
UNION ALL
SELECT
  'ivr' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, ivrStartTime, ivrEndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT ivrStartTime, ivrEndTime, CASE WHEN kind = 'upload' THEN NULL ELSE CASE ivrStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END END AS word FROM batchStatus) words
UNION ALL
SELECT
  'lid' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, lidStartTime, lidEndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT lidStartTime, lidEndTime, CASE lidStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS word FROM batchStatus) words
UNION ALL
SELECT
  'triaging' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, triagingStartTime, triagingEndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT triagingStartTime, triagingEndTime, CASE WHEN kind = 'upload' THEN NULL ELSE CASE triagingStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END END AS word FROM batchStatus) words
UNION ALL
SELECT
  'stt' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, sttStartTime, sttEndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT sttStartTime, sttEndTime, CASE sttStatus WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS word FROM batchStatus) words
UNION ALL
SELECT
  'llm1' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, llm1StartTime, llm1EndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT llm1StartTime, llm1EndTime, CASE llm1Status WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS word FROM batchStatus) words
UNION ALL
SELECT
  'triaging_step2' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, triagingStep2StartTime, triagingStep2EndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT triagingStep2StartTime, triagingStep2EndTime, CASE WHEN kind = 'upload' THEN NULL ELSE CASE triagingStep2Status WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END END AS word FROM batchStatus) words
UNION ALL
SELECT
  'llm2' AS stage_name,
  COUNT(CASE WHEN word IN ('pending', 'paused') THEN 1 END) AS pending_count,
  COUNT(CASE WHEN word = 'processing' THEN 1 END) AS processing_count,
  COUNT(CASE WHEN word = 'completed' THEN 1 END) AS completed_count,
  COUNT(CASE WHEN word = 'failed' THEN 1 END) AS failed_count,
  COUNT(CASE WHEN word = 'skipped' THEN 1 END) AS skipped_count,
  AVG(CASE WHEN word = 'completed' THEN TIMESTAMPDIFF(MICROSECOND, llm2StartTime, llm2EndTime) / 1000000 END) AS avg_duration_seconds
FROM (SELECT llm2StartTime, llm2EndTime, CASE llm2Status WHEN 'Complete' THEN 'completed' WHEN 'InProgress' THEN 'processing' WHEN 'Failed' THEN 'failed' WHEN 'Skipped' THEN 'skipped' WHEN 'Paused' THEN 'paused' ELSE 'pending' END AS word FROM batchStatus) words;
