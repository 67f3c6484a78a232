-- All tables of COFI for an empty MySQL 8 or MariaDB 10.6+ database.
-- Made from cofi_dagster/database/tables.py by `python -m cofi_dagster.database.ddl schema`: change it there.
-- `cofi db upgrade` makes these tables and more: the views, the default questionnaire, the note of its version;
-- `cofi db upgrade --sql` prints all of that for the database as it is.
SET NAMES utf8mb4;

CREATE TABLE alert (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `alertKey` VARCHAR(255) NOT NULL,
  `openKey` VARCHAR(255),
  kind VARCHAR(32) NOT NULL,
  `batchId` BIGINT,
  stage VARCHAR(64),
  message MEDIUMTEXT,
  `raisedAt` DATETIME(6) DEFAULT NOW(6),
  `resolvedAt` DATETIME(6),
  `toldRaised` JSON,
  `toldResolved` JSON,
  PRIMARY KEY (id),
  CONSTRAINT `uq_alert_openKey` UNIQUE (`openKey`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX idx_alert_batch ON alert (`batchId`);

CREATE INDEX idx_alert_resolved ON alert (`resolvedAt`);

CREATE TABLE `auditAnswer` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `callId` BIGINT NOT NULL,
  `questionId` INTEGER NOT NULL,
  question MEDIUMTEXT,
  answer MEDIUMTEXT,
  confidence DOUBLE,
  evidence JSON,
  `evidenceStatus` VARCHAR(16),
  model VARCHAR(255),
  `promptVersion` VARCHAR(64),
  `createdAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (id),
  CONSTRAINT `uq_auditAnswer_question` UNIQUE (`callId`, `questionId`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_auditAnswer_evidence` ON `auditAnswer` (`evidenceStatus`, `callId`);

CREATE TABLE `auditAnswerHistory` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `callId` BIGINT NOT NULL,
  `questionId` INTEGER NOT NULL,
  question MEDIUMTEXT,
  answer MEDIUMTEXT,
  confidence DOUBLE,
  evidence JSON,
  `evidenceStatus` VARCHAR(16),
  model VARCHAR(255),
  `promptVersion` VARCHAR(64),
  `createdAt` DATETIME(6) DEFAULT NOW(6),
  `replacedAt` DATETIME(6) DEFAULT NOW(6),
  `taskId` VARCHAR(36),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_auditAnswerHistory_call` ON `auditAnswerHistory` (`callId`, `questionId`);

CREATE INDEX `idx_auditAnswerHistory_task` ON `auditAnswerHistory` (`taskId`);

CREATE TABLE `auditQuestion` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `processId` INTEGER NOT NULL,
  `categoryMappingId` INTEGER NOT NULL,
  position INTEGER NOT NULL,
  text MEDIUMTEXT,
  `answerType` VARCHAR(32) NOT NULL DEFAULT 'text',
  PRIMARY KEY (id),
  CONSTRAINT `uq_auditQuestion_position` UNIQUE (`processId`, `categoryMappingId`, position)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE TABLE `auditTask` (
  `taskId` VARCHAR(36) NOT NULL,
  kind VARCHAR(16) NOT NULL,
  status VARCHAR(32) NOT NULL DEFAULT 'queued',
  request JSON,
  `batchId` BIGINT,
  `runId` VARCHAR(64),
  error MEDIUMTEXT,
  `createdAt` DATETIME(6) DEFAULT NOW(6),
  `startedAt` DATETIME(6),
  `completedAt` DATETIME(6),
  attempt INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (`taskId`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_auditTask_batch` ON `auditTask` (`batchId`);

CREATE INDEX `idx_auditTask_status` ON `auditTask` (status, `createdAt`);

CREATE TABLE `auditTaskCall` (
  `taskId` VARCHAR(36) NOT NULL,
  `callId` BIGINT NOT NULL,
  `batchId` BIGINT NOT NULL,
  `audioName` VARCHAR(255) COLLATE utf8mb4_bin NOT NULL,
  status VARCHAR(32) NOT NULL DEFAULT 'queued',
  `stageDone` VARCHAR(64),
  `statusBefore` VARCHAR(32),
  `flagsBefore` VARCHAR(255),
  error MEDIUMTEXT,
  PRIMARY KEY (`taskId`, `callId`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_auditTaskCall_call` ON `auditTaskCall` (`callId`);

CREATE TABLE `batchControl` (
  `batchId` BIGINT NOT NULL,
  request VARCHAR(16),
  launch VARCHAR(64),
  launches INTEGER NOT NULL DEFAULT 0,
  `requestedBy` VARCHAR(255),
  `requestedAt` DATETIME(6),
  PRIMARY KEY (`batchId`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_batchControl_launch` ON `batchControl` (launch);

CREATE TABLE `batchExecutionLog` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchId` BIGINT NOT NULL,
  stage VARCHAR(64),
  `eventType` VARCHAR(32) NOT NULL,
  `fileName` VARCHAR(255) COLLATE utf8mb4_bin,
  status VARCHAR(32),
  `totalFiles` INTEGER,
  `processedFiles` INTEGER,
  metadata JSON,
  `createdAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_batchExecutionLog_batch` ON `batchExecutionLog` (`batchId`, stage, `eventType`);

CREATE TABLE `batchLease` (
  `batchId` BIGINT NOT NULL,
  `runId` VARCHAR(64) NOT NULL,
  host VARCHAR(255) NOT NULL,
  pid INTEGER NOT NULL,
  `processStarted` DOUBLE,
  `taskId` VARCHAR(36),
  `heartbeatAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (`batchId`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE TABLE `batchStatus` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchDate` DATE NOT NULL,
  `batchNumber` INTEGER NOT NULL,
  status VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `totalFiles` INTEGER NOT NULL DEFAULT 0,
  `dbInsertionStatus` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `dbInsertionStartTime` DATETIME(6),
  `dbInsertionEndTime` DATETIME(6),
  `callmetadataStatus` TINYINT(1) NOT NULL DEFAULT 0,
  `callmetadataStartTime` DATETIME(6),
  `callmetadataEndTime` DATETIME(6),
  `trademetadataStatus` TINYINT(1) NOT NULL DEFAULT 0,
  `trademetadataStartTime` DATETIME(6),
  `trademetadataEndTime` DATETIME(6),
  `denoiseStatus` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `denoiseStartTime` DATETIME(6),
  `denoiseEndTime` DATETIME(6),
  `ivrStatus` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `ivrStartTime` DATETIME(6),
  `ivrEndTime` DATETIME(6),
  `lidStatus` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `lidStartTime` DATETIME(6),
  `lidEndTime` DATETIME(6),
  `triagingStatus` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `triagingStartTime` DATETIME(6),
  `triagingEndTime` DATETIME(6),
  `sttStatus` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `sttStartTime` DATETIME(6),
  `sttEndTime` DATETIME(6),
  `llm1Status` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `llm1StartTime` DATETIME(6),
  `llm1EndTime` DATETIME(6),
  `triagingStep2Status` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `triagingStep2StartTime` DATETIME(6),
  `triagingStep2EndTime` DATETIME(6),
  `llm2Status` VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `llm2StartTime` DATETIME(6),
  `llm2EndTime` DATETIME(6),
  kind VARCHAR(16) NOT NULL DEFAULT 'batch',
  directory TEXT,
  `processId` INTEGER,
  `categoryMappingId` INTEGER,
  `createdAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (id),
  CONSTRAINT `uq_batchStatus_key` UNIQUE (`batchDate`, `batchNumber`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_batchStatus_status` ON `batchStatus` (status);

CREATE INDEX idx_batch_timestamps ON `batchStatus` (`batchDate`, status);

CREATE TABLE `call` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchId` BIGINT NOT NULL,
  `audioName` VARCHAR(255) COLLATE utf8mb4_bin NOT NULL,
  status VARCHAR(32) NOT NULL DEFAULT 'Pending',
  `languageId` INTEGER,
  lang VARCHAR(32) NOT NULL DEFAULT 'unknown',
  `audioDuration` DOUBLE NOT NULL DEFAULT 0,
  `llm1ReplyId` VARCHAR(32),
  PRIMARY KEY (id),
  CONSTRAINT `uq_call_audioName` UNIQUE (`batchId`, `audioName`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_call_audioName` ON `call` (`audioName`);

CREATE INDEX idx_call_lang ON `call` (`batchId`, lang);

CREATE INDEX idx_call_status ON `call` (`batchId`, status);

CREATE TABLE `callConversation` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `callId` BIGINT NOT NULL,
  symbol VARCHAR(255),
  side VARCHAR(16),
  quantity DOUBLE,
  price DOUBLE,
  `priceType` VARCHAR(16),
  evidence JSON,
  model VARCHAR(255),
  `promptVersion` VARCHAR(64),
  `replyId` VARCHAR(32),
  `createdAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_callConversation_call` ON `callConversation` (`callId`);

CREATE INDEX `idx_callConversation_symbol` ON `callConversation` (symbol, `callId`);

CREATE TABLE `callMetadata` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchId` BIGINT NOT NULL,
  `audioName` VARCHAR(255) COLLATE utf8mb4_bin NOT NULL,
  `callStart` DATETIME(6),
  `callEnd` DATETIME(6),
  `durationSeconds` DOUBLE,
  `clientCode` VARCHAR(64),
  `clientPhone` VARCHAR(64),
  `dealerId` VARCHAR(64),
  extension VARCHAR(64),
  direction VARCHAR(32),
  PRIMARY KEY (id),
  CONSTRAINT `uq_callMetadata_audioName` UNIQUE (`batchId`, `audioName`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_callMetadata_client` ON `callMetadata` (`clientCode`, `callStart`);

CREATE INDEX `idx_callMetadata_dealer` ON `callMetadata` (`dealerId`, `batchId`);

CREATE INDEX `idx_callMetadata_phone` ON `callMetadata` (`clientPhone`);

CREATE INDEX `idx_callMetadata_start` ON `callMetadata` (`batchId`, `callStart`);

CREATE TABLE `cofiVersion` (
  id INTEGER NOT NULL,
  fingerprint VARCHAR(64) NOT NULL,
  `upgradedAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE TABLE `commitReceipt` (
  writer VARCHAR(32) NOT NULL,
  token VARCHAR(32) NOT NULL,
  `committedAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (writer)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_commitReceipt_committedAt` ON `commitReceipt` (`committedAt`);

CREATE TABLE `fileDistribution` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  file VARCHAR(255) COLLATE utf8mb4_bin NOT NULL,
  ip VARCHAR(255),
  `batchId` BIGINT NOT NULL,
  `denoiseDone` TINYINT(1) NOT NULL DEFAULT 0,
  `ivrDone` TINYINT(1) NOT NULL DEFAULT 0,
  `lidDone` TINYINT(1) NOT NULL DEFAULT 0,
  `sttDone` TINYINT(1) NOT NULL DEFAULT 0,
  `llm1Done` TINYINT(1) NOT NULL DEFAULT 0,
  `llm2Done` TINYINT(1) NOT NULL DEFAULT 0,
  bytes BIGINT,
  sha256 VARCHAR(64),
  PRIMARY KEY (id),
  CONSTRAINT `uq_fileDistribution_file` UNIQUE (`batchId`, file)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE TABLE `humanReview` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchId` BIGINT NOT NULL,
  `callId` BIGINT,
  `tradeMetadataId` BIGINT,
  `questionId` INTEGER,
  kind VARCHAR(32) NOT NULL,
  decision VARCHAR(16) NOT NULL,
  value MEDIUMTEXT,
  reason MEDIUMTEXT,
  `machineValue` MEDIUMTEXT,
  `reviewedBy` VARCHAR(255) NOT NULL,
  `reviewedAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_humanReview_batch` ON `humanReview` (`batchId`);

CREATE INDEX `idx_humanReview_call` ON `humanReview` (`callId`, `questionId`, kind);

CREATE INDEX `idx_humanReview_trade` ON `humanReview` (`tradeMetadataId`, kind);

CREATE TABLE `ivrSegment` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `callId` BIGINT NOT NULL,
  kind VARCHAR(16) NOT NULL,
  `startTime` DOUBLE,
  `endTime` DOUBLE,
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_ivrSegment_call` ON `ivrSegment` (`callId`);

CREATE TABLE `legalHold` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchId` BIGINT NOT NULL,
  `audioName` VARCHAR(255) COLLATE utf8mb4_bin,
  reason MEDIUMTEXT,
  `heldBy` VARCHAR(255) NOT NULL,
  `heldAt` DATETIME(6) DEFAULT NOW(6),
  `releasedBy` VARCHAR(255),
  `releaseReason` MEDIUMTEXT,
  `releasedAt` DATETIME(6),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_legalHold_batch` ON `legalHold` (`batchId`, `releasedAt`);

CREATE TABLE `lidStatus` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchId` BIGINT NOT NULL,
  file VARCHAR(255) COLLATE utf8mb4_bin NOT NULL,
  language VARCHAR(32),
  confidence DOUBLE,
  `audioDuration` DOUBLE,
  `createdAt` DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_lidStatus_file` ON `lidStatus` (`batchId`, file);

CREATE TABLE processing_logs (
  id BIGINT NOT NULL AUTO_INCREMENT,
  call_id BIGINT,
  batch_id BIGINT,
  stage_name VARCHAR(64) NOT NULL,
  status VARCHAR(16) NOT NULL,
  error_message MEDIUMTEXT,
  input_payload MEDIUMTEXT,
  output_payload MEDIUMTEXT,
  created_at DATETIME(6) DEFAULT NOW(6),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX idx_processing_logs_batch ON processing_logs (batch_id, status, stage_name);

CREATE INDEX idx_processing_logs_call ON processing_logs (call_id);

CREATE TABLE `stageDetail` (
  `batchId` BIGINT NOT NULL,
  stage VARCHAR(64) NOT NULL,
  `itemsTotal` INTEGER,
  `itemsDone` INTEGER,
  `itemsFailed` INTEGER,
  `itemsSkipped` INTEGER,
  error MEDIUMTEXT,
  metadata JSON,
  `pausedAt` DATETIME(6),
  `skipReason` VARCHAR(255),
  `itemsWorked` INTEGER,
  `workDone` DOUBLE,
  `secondsAtWork` DOUBLE,
  pace JSON,
  `paceAt` DATETIME(6),
  PRIMARY KEY (`batchId`, stage)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE TABLE `tradeAudioMapping` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchId` BIGINT NOT NULL,
  `tradeMetadataId` BIGINT NOT NULL,
  `callId` BIGINT NOT NULL,
  `audioName` VARCHAR(255) COLLATE utf8mb4_bin NOT NULL,
  `matchTier` VARCHAR(32) NOT NULL,
  score DOUBLE,
  step INTEGER NOT NULL,
  verdict VARCHAR(32),
  detail JSON,
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_tradeAudioMapping_call` ON `tradeAudioMapping` (`callId`);

CREATE INDEX `idx_tradeAudioMapping_trade` ON `tradeAudioMapping` (`batchId`, `tradeMetadataId`);

CREATE INDEX `idx_tradeAudioMapping_verdict` ON `tradeAudioMapping` (`batchId`, verdict, score);

CREATE TABLE `tradeMetadata` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `batchId` BIGINT NOT NULL,
  `orderId` VARCHAR(64) NOT NULL,
  `tradeId` VARCHAR(64),
  `clientCode` VARCHAR(64),
  `clientPhone` VARCHAR(64),
  symbol VARCHAR(64),
  side VARCHAR(16),
  quantity DOUBLE,
  price DOUBLE,
  `orderTime` DATETIME(6),
  `tradeTime` DATETIME(6),
  exchange VARCHAR(32),
  `dealerId` VARCHAR(64),
  status VARCHAR(32),
  `audioName` VARCHAR(255) COLLATE utf8mb4_bin,
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_tradeMetadata_audioName` ON `tradeMetadata` (`batchId`, `audioName`);

CREATE INDEX `idx_tradeMetadata_order` ON `tradeMetadata` (`batchId`, `orderId`, `tradeId`);

CREATE INDEX `idx_tradeMetadata_symbol` ON `tradeMetadata` (symbol, `batchId`);

CREATE TABLE transcript (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `callId` BIGINT NOT NULL,
  `segmentIndex` INTEGER NOT NULL,
  `startTime` DOUBLE,
  `endTime` DOUBLE,
  speaker VARCHAR(32),
  text MEDIUMTEXT,
  PRIMARY KEY (id),
  CONSTRAINT uq_transcript_segment UNIQUE (`callId`, `segmentIndex`)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE TABLE `transcriptHistory` (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `callId` BIGINT NOT NULL,
  `segmentIndex` INTEGER NOT NULL,
  `startTime` DOUBLE,
  `endTime` DOUBLE,
  speaker VARCHAR(32),
  text MEDIUMTEXT,
  `replacedAt` DATETIME(6) DEFAULT NOW(6),
  `taskId` VARCHAR(36),
  PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC;

CREATE INDEX `idx_transcriptHistory_call` ON `transcriptHistory` (`callId`);
