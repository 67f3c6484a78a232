-- Average stage durations of the completed batches of the last 30 days, in seconds.
-- Changed: all 11 stages; today is the UTC day, as all stored times are.
SET time_zone = '+00:00';
SELECT
  AVG(TIMESTAMPDIFF(SECOND, dbInsertionStartTime, dbInsertionEndTime)) AS avg_file_distribution_sec,
  AVG(TIMESTAMPDIFF(SECOND, callmetadataStartTime, callmetadataEndTime)) AS avg_callmetadata_sec,
  AVG(TIMESTAMPDIFF(SECOND, trademetadataStartTime, trademetadataEndTime)) AS avg_trademetadata_sec,
  AVG(TIMESTAMPDIFF(SECOND, denoiseStartTime, denoiseEndTime)) AS avg_denoise_sec,
  AVG(TIMESTAMPDIFF(SECOND, ivrStartTime, ivrEndTime)) AS avg_ivr_sec,
  AVG(TIMESTAMPDIFF(SECOND, lidStartTime, lidEndTime)) AS avg_lid_sec,
  AVG(TIMESTAMPDIFF(SECOND, triagingStartTime, triagingEndTime)) AS avg_triaging_sec,
  AVG(TIMESTAMPDIFF(SECOND, sttStartTime, sttEndTime)) AS avg_stt_sec,
  AVG(TIMESTAMPDIFF(SECOND, llm1StartTime, llm1EndTime)) AS avg_llm1_sec,
  AVG(TIMESTAMPDIFF(SECOND, triagingStep2StartTime, triagingStep2EndTime)) AS avg_triaging_step2_sec,
  AVG(TIMESTAMPDIFF(SECOND, llm2StartTime, llm2EndTime)) AS avg_llm2_sec
FROM batchStatus
WHERE batchDate >= DATE_SUB(CURDATE(), INTERVAL 30 DAY)
  AND status = 'Completed';
