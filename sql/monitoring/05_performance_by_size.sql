-- Completed batches by their size: how many, and minutes from the first stage's start to the last one's end.
-- Changed: grouped by the size class that is selected (it selected totalFiles, which is not determined by the class:
-- an error with ONLY_FULL_GROUP_BY, an arbitrary row's number without); the largest class is 5001+, for 5000 is in
-- the one before; the end is that of the last stage that ran, so that batches without LLM2 count.
SELECT
  size_class,
  COUNT(*) AS batch_count,
  AVG(seconds / 60) AS avg_total_minutes,
  MIN(seconds / 60) AS min_total_minutes,
  MAX(seconds / 60) AS max_total_minutes
FROM (
  SELECT
    totalFiles,
    CASE
      WHEN totalFiles <= 100 THEN '1-100'
      WHEN totalFiles <= 1000 THEN '101-1000'
      WHEN totalFiles <= 5000 THEN '1001-5000'
      ELSE '5001+'
    END AS size_class,
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
    )) AS seconds
  FROM batchStatus
  WHERE status = 'Completed'
    AND dbInsertionStartTime IS NOT NULL
) completed
GROUP BY size_class
ORDER BY MIN(totalFiles);
