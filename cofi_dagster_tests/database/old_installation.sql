-- A database that COFI never made: the tables of the first documents as a service before it might have made them.
-- Columns are missing, ids are INT, identifiers numbers, text latin1 or three-byte UTF-8, flags BIT or NULL, times without
-- fraction; there are columns and tables of the service's own, and not one key but the primary ones.
CREATE TABLE batchStatus (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  batchDate DATETIME NOT NULL COMMENT 'the day''s date',
  batchNumber SMALLINT NOT NULL,
  status VARCHAR(20) DEFAULT NULL,
  totalFiles INT DEFAULT NULL,
  dbInsertionStatus ENUM('Pending','InProgress','Complete') DEFAULT 'Pending',
  callmetadataStatus BIT(1) DEFAULT NULL,
  trademetadataStatus INT DEFAULT NULL,
  ivrStatus VARCHAR(10) DEFAULT NULL,
  lidStatus VARCHAR(50) NOT NULL DEFAULT 'Pending',
  sttStatus VARCHAR(50) DEFAULT 'Pending',
  dbInsertionStartTime DATETIME DEFAULT NULL,
  lidStartTime TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  lidEndTime DATETIME DEFAULT NULL,
  createdBy VARCHAR(30) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=latin1;
INSERT INTO batchStatus (batchDate, batchNumber, status, totalFiles, callmetadataStatus, trademetadataStatus,
                         dbInsertionStatus, lidStartTime, createdBy)
VALUES ('2025-01-15', 1, 'Completed', 2, b'1', 1, 'Complete', '2025-01-15 04:00:00', 'Müller'),
       ('2025-01-15', 2, NULL, NULL, NULL, NULL, NULL, '2025-01-15 05:00:00', 'ops');

CREATE TABLE fileDistribution (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  file VARCHAR(100) CHARACTER SET utf8mb3 DEFAULT NULL,
  ip VARCHAR(15) NOT NULL DEFAULT '',
  batchId INT DEFAULT NULL,
  ivrDone TINYINT(1) DEFAULT NULL,
  lidDone BIT(1) DEFAULT b'0',
  sttDone INT DEFAULT NULL,
  remark VARCHAR(50) DEFAULT 'none'
) ENGINE=InnoDB ROW_FORMAT=COMPACT DEFAULT CHARSET=utf8mb3;
INSERT INTO fileDistribution (file, ip, batchId, ivrDone, lidDone, sttDone)
VALUES ('a.wav', '10.0.0.1', 1, 1, b'1', 1), ('हिंदी.wav', '10.0.0.2', 1, NULL, b'0', NULL),
       ('a.wav', '10.0.0.1', 2, 0, b'0', 0), ('A.wav', '10.0.0.1', 2, 0, b'0', 0);

CREATE TABLE `call` (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  batchId INT NOT NULL,
  audioName TEXT,
  status VARCHAR(20) DEFAULT NULL,
  audioDuration INT DEFAULT NULL
) ENGINE=MyISAM DEFAULT CHARSET=utf8mb4;
INSERT INTO `call` (batchId, audioName, status, audioDuration)
VALUES (1, 'a.wav', 'Complete', 61), (1, 'हिंदी.wav', NULL, NULL), (2, 'a.wav', 'Pending', 12);

CREATE TABLE tradeMetadata (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  batchId INT NOT NULL,
  orderId BIGINT UNSIGNED NOT NULL,
  tradeId DECIMAL(20,0) DEFAULT NULL,
  clientCode INT DEFAULT NULL,
  clientPhone VARCHAR(12) DEFAULT NULL,
  symbol VARCHAR(20) DEFAULT NULL,
  quantity INT DEFAULT NULL,
  price DECIMAL(12,2) DEFAULT NULL,
  orderTime DATETIME DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3;
INSERT INTO tradeMetadata (batchId, orderId, tradeId, clientCode, clientPhone, symbol, quantity, price, orderTime)
VALUES (1, 1200000000123456789, 99999999999999999999, 4711, '9876543210', 'INFY', 100, 1512.05, '2025-01-15 09:20:00');

CREATE TABLE auditAnswer (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  callId INT NOT NULL,
  questionId INT NOT NULL,
  question TEXT,
  answer VARCHAR(255) DEFAULT NULL,
  evidence TEXT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO auditAnswer (callId, questionId, question, answer, evidence)
VALUES (1, 1, 'Read back?', 'no', 'he said "no"'), (1, 1, 'Read back?', 'yes', '[{"segment": 0}]'),
       (1, 2, 'Greeted?', 'yes', NULL);

CREATE TABLE processing_logs (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  call_id VARCHAR(36) DEFAULT NULL,
  batch_id VARCHAR(36) DEFAULT NULL,
  stage_name VARCHAR(20) NOT NULL,
  status VARCHAR(10) NOT NULL,
  error_message TEXT,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO processing_logs (call_id, batch_id, stage_name, status, error_message)
VALUES ('1', '1', 'stt', 'failed', 'timed out');

CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO alembic_version VALUES ('3f2a77c0ffee');
CREATE TABLE dealers (id INT PRIMARY KEY, name VARCHAR(50) NOT NULL);
INSERT INTO dealers VALUES (1, 'Asha');
