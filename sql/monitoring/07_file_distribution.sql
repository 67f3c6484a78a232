-- What is done of a batch's files: the first 100.
-- Changed: in the files' order (without one, which 100 it shows is up to the server).
-- First: SET @batch_id = <the batch's id>;
SELECT
  file,
  denoiseDone,
  ivrDone,
  lidDone,
  sttDone,
  llm1Done,
  llm2Done
FROM fileDistribution
WHERE batchId = @batch_id
ORDER BY file
LIMIT 100;
