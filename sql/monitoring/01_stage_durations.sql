-- Stage durations of a batch, in seconds.
-- Changed: all 11 stages (file distribution and the two CSV imports were left out), and the total goes to the end of
-- the last stage that ran: to llm2EndTime alone it was NULL wherever LLM2 is disabled or still at work.
-- First: SET @batch_id = <the batch's id>;
SELECT
  id,
  batchDate,
  batchNumber,
  TIMESTAMPDIFF(SECOND, dbInsertionStartTime, dbInsertionEndTime) AS file_distribution_duration_sec,
  TIMESTAMPDIFF(SECOND, callmetadataStartTime, callmetadataEndTime) AS callmetadata_duration_sec,
  TIMESTAMPDIFF(SECOND, trademetadataStartTime, trademetadataEndTime) AS trademetadata_duration_sec,
  TIMESTAMPDIFF(SECOND, denoiseStartTime, denoiseEndTime) AS denoise_duration_sec,
  TIMESTAMPDIFF(SECOND, ivrStartTime, ivrEndTime) AS ivr_duration_sec,
  TIMESTAMPDIFF(SECOND, lidStartTime, lidEndTime) AS lid_duration_sec,
  TIMESTAMPDIFF(SECOND, triagingStartTime, triagingEndTime) AS triaging_duration_sec,
  TIMESTAMPDIFF(SECOND, sttStartTime, sttEndTime) AS stt_duration_sec,
  TIMESTAMPDIFF(SECOND, llm1StartTime, llm1EndTime) AS llm1_duration_sec,
  TIMESTAMPDIFF(SECOND, triagingStep2StartTime, triagingStep2EndTime) AS triaging_step2_duration_sec,
  TIMESTAMPDIFF(SECOND, llm2StartTime, llm2EndTime) AS llm2_duration_sec,
  TIMESTAMPDIFF(SECOND, dbInsertionStartTime, GREATEST(
    COALESCE(dbInsertionEndTime, dbInsertionStartTime),
    COALESCE(callmetadataEndTime, dbInsertionStartTime),
    COALESCE(trademetadataEndTime, dbInsertionStartTime),
    COALESCE(denoiseEndTime, dbInsertionStartTime),
    COALESCE(ivrEndTime, dbInsertionStartTime),
    COALESCE(lidEndTime, dbInsertionStartTime),
    COALESCE(triagingEndTime, dbInsertionStartTime),
    COALESCE(sttEndTime, dbInsertionStartTime),
    COALESCE(llm1EndTime, dbInsertionStartTime),
    COALESCE(triagingStep2EndTime, dbInsertionStartTime),
    COALESCE(llm2EndTime, dbInsertionStartTime)
  )) AS total_duration_sec
FROM batchStatus
WHERE id = @batch_id;
