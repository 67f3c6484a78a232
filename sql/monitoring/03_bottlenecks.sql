-- Stages by their average duration, the slowest first.
-- Changed: all 11 stages (IVR, file distribution and the two CSV imports were left out). A stage that never ended is
-- last.
SELECT 'file_distribution' AS stage, AVG(TIMESTAMPDIFF(SECOND, dbInsertionStartTime, dbInsertionEndTime)) AS avg_duration
FROM batchStatus WHERE dbInsertionEndTime IS NOT NULL
UNION ALL
SELECT 'callmetadata', AVG(TIMESTAMPDIFF(SECOND, callmetadataStartTime, callmetadataEndTime))
FROM batchStatus WHERE callmetadataEndTime IS NOT NULL
UNION ALL
SELECT 'trademetadata', AVG(TIMESTAMPDIFF(SECOND, trademetadataStartTime, trademetadataEndTime))
FROM batchStatus WHERE trademetadataEndTime IS NOT NULL
UNION ALL
SELECT 'denoise', AVG(TIMESTAMPDIFF(SECOND, denoiseStartTime, denoiseEndTime))
FROM batchStatus WHERE denoiseEndTime IS NOT NULL
UNION ALL
SELECT 'ivr', AVG(TIMESTAMPDIFF(SECOND, ivrStartTime, ivrEndTime))
FROM batchStatus WHERE ivrEndTime IS NOT NULL
UNION ALL
SELECT 'lid', AVG(TIMESTAMPDIFF(SECOND, lidStartTime, lidEndTime))
FROM batchStatus WHERE lidEndTime IS NOT NULL
UNION ALL
SELECT 'triaging', AVG(TIMESTAMPDIFF(SECOND, triagingStartTime, triagingEndTime))
FROM batchStatus WHERE triagingEndTime IS NOT NULL
UNION ALL
SELECT 'stt', AVG(TIMESTAMPDIFF(SECOND, sttStartTime, sttEndTime))
FROM batchStatus WHERE sttEndTime IS NOT NULL
UNION ALL
SELECT 'llm1', AVG(TIMESTAMPDIFF(SECOND, llm1StartTime, llm1EndTime))
FROM batchStatus WHERE llm1EndTime IS NOT NULL
UNION ALL
SELECT 'triaging_step2', AVG(TIMESTAMPDIFF(SECOND, triagingStep2StartTime, triagingStep2EndTime))
FROM batchStatus WHERE triagingStep2EndTime IS NOT NULL
UNION ALL
SELECT 'llm2', AVG(TIMESTAMPDIFF(SECOND, llm2StartTime, llm2EndTime))
FROM batchStatus WHERE llm2EndTime IS NOT NULL
ORDER BY avg_duration DESC;
