-- A store with version 1 of the tables, as release 0.1 of triggers wrote it: instances that wait,
-- run, are scheduled, have failed, and are over in every way.
PRAGMA application_id = 1953655143;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE configurations (
    digest TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "configurations" VALUES('b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"check":{"after":["opened"],"run":"app.check","andEvery":"page"},"decide":{"after":["check","fee"],"run":"app.decide","unless":["withdrawn"],"withParams":{"fee":{"currency":"EUR"}}},"remind":{"after":["opened","a_week_passed"],"run":"app.remind","unless":["fee"]},"tell":{"after":["decide"],"run":"app.tell"}}');
CREATE TABLE events (
    session_id INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (session_id, event_id)
) WITHOUT ROWID;
INSERT INTO "events" VALUES(1,'letter-1','{"trigger_name":"opened","created":["check#0","remind#0"],"taken":[],"scheduled":[],"abandoned":[],"is_awaited":true,"kwargs_digest":"a69f7e1dd77f6550cd15f966f2aab25388510ae53087c6afc9fddf42ed7861f9"}');
INSERT INTO "events" VALUES(2,'page-0','{"trigger_name":"page","created":[],"taken":["check#0"],"scheduled":["check#0"],"abandoned":[],"is_awaited":true,"kwargs_digest":"f3013f933b9fb80ab6d995e7ad9da36f683837ba1d81e950c943d40111eac2f0"}');
INSERT INTO "events" VALUES(2,'page-1','{"trigger_name":"page","created":["check#1"],"taken":[],"scheduled":["check#1"],"abandoned":[],"is_awaited":true,"kwargs_digest":"2bfd14f43d17fc7cea24e0917a8879b4b2f880b8baeec1b9d90fbaad655e71bd"}');
INSERT INTO "events" VALUES(2,'page-2','{"trigger_name":"page","created":["check#2"],"taken":[],"scheduled":["check#2"],"abandoned":[],"is_awaited":true,"kwargs_digest":"363379742f80b51bdb9206579af7754911543079b9399cb3fc315fb199f476e8"}');
CREATE TABLE instances (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL,
    task_name TEXT NOT NULL,
    number INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    parent TEXT,
    config_digest TEXT NOT NULL,
    trigger_kwargs TEXT NOT NULL,
    waits_for TEXT NOT NULL,
    not_before REAL NOT NULL,
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    recover_at REAL,
    reruns_left INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    UNIQUE (session_id, task_name, number)
);
INSERT INTO "instances" VALUES(1,1,'check',0,'unstarted',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Zo\u00eb"}}','["page"]',0.0,1.70000019688692140579e+09,1.70000019688692140579e+09,NULL,0,'{}');
INSERT INTO "instances" VALUES(2,1,'remind',0,'scheduled',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Zo\u00eb"},"a_week_passed":{}}','[]',0.0,1.70000019688692140579e+09,1.70000019688839483264e+09,1.7000004968883948326e+09,0,'{"times":{"scheduled":1700000196.8883948}}');
INSERT INTO "instances" VALUES(3,2,'check',0,'finished',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Ada"},"page":{"n":0}}','[]',0.0,1.7000001968902440071e+09,1.70000019689556908602e+09,NULL,3,'{"times":{"scheduled":1700000196.8908508,"started":1700000196.8929117,"ended":1700000196.895569},"logs":[{"level":"WARNING","message":"blurred"}],"result":{"pages":1}}');
INSERT INTO "instances" VALUES(4,2,'remind',0,'unstarted',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Ada"}}','["a_week_passed","fee"]',0.0,1.7000001968902440071e+09,1.7000001968902440071e+09,NULL,0,'{}');
INSERT INTO "instances" VALUES(5,2,'check',1,'running',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Ada"},"page":{"n":1}}','[]',0.0,1.70000019689085078237e+09,1.70000019689719200137e+09,1.70000025689719200136e+09,1,'{"times":{"scheduled":1700000196.8908508,"started":1700000196.897192}}');
INSERT INTO "instances" VALUES(6,2,'check',2,'scheduled',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Ada"},"page":{"n":2}}','[]',0.0,1.70000019689085078237e+09,1.70000019689085078237e+09,1.70000049689085078245e+09,0,'{"times":{"scheduled":1700000196.8908508}}');
INSERT INTO "instances" VALUES(7,2,'decide',0,'unstarted',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"check":{"pages":1}}','["fee","withdrawn"]',0.0,1.70000019689556908602e+09,1.70000019689556908602e+09,NULL,0,'{}');
INSERT INTO "instances" VALUES(8,3,'check',0,'failed',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Bo"},"page":{"n":0}}','[]',0.0,1.70000019690095472336e+09,1.70000019690704488758e+09,NULL,3,'{"times":{"scheduled":1700000196.9009547,"started":1700000196.902602,"ended":1700000196.907045},"error":{"type":"LookupError","message":"no such register: Zo\u00eb \u2603","traceback":"Traceback (most recent call last):\n  File \"/srv/app.py\", line 32, in bad\n    def bad(context): raise LookupError(\"no such register: Zo\u00eb \u2603\")\n                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\nLookupError: no such register: Zo\u00eb \u2603\n"}}');
INSERT INTO "instances" VALUES(9,3,'remind',0,'abandoned',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Bo"},"fee":{"euros":40}}','[]',0.0,1.70000019690095472336e+09,1.70000019690095472336e+09,NULL,0,'{"times":{"ended":1700000196.9009547}}');
INSERT INTO "instances" VALUES(10,3,'check',1,'skipped',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{"by":"Bo"},"page":{"n":1}}','[]',0.0,1.70000019690095472336e+09,1.700000196912557602e+09,NULL,3,'{"times":{"scheduled":1700000196.9009547,"started":1700000196.909426,"ended":1700000196.9106615},"error":{"type":"LookupError","message":"no such register: Zo\u00eb \u2603","traceback":"Traceback (most recent call last):\n  File \"/srv/app.py\", line 32, in bad\n    def bad(context): raise LookupError(\"no such register: Zo\u00eb \u2603\")\n                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\nLookupError: no such register: Zo\u00eb \u2603\n"},"reason":"read by hand","by":"carl"}');
INSERT INTO "instances" VALUES(11,3,'decide',0,'unstarted',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"fee":{"euros":40}}','["check","withdrawn"]',0.0,1.70000019690095472336e+09,1.70000019690095472336e+09,NULL,0,'{}');
INSERT INTO "instances" VALUES(12,4,'check',0,'replayed',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{},"page":{"n":0}}','[]',0.0,1700000196.91476,1.7000001969217875004e+09,NULL,2,'{"times":{"scheduled":1700000196.9164796,"started":1700000196.9209092,"ended":1700000196.9217875}}');
INSERT INTO "instances" VALUES(13,4,'remind',0,'abandoned',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{},"fee":{"euros":40}}','[]',0.0,1700000196.91476,1.70000019691759037967e+09,NULL,0,'{"times":{"ended":1700000196.9175904}}');
INSERT INTO "instances" VALUES(14,4,'decide',0,'replayed',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"fee":{"euros":40},"check":{"pages":3}}','[]',0.0,1.70000019691759037967e+09,1.70000019693277645116e+09,NULL,3,'{"times":{"scheduled":1700000196.9252605,"started":1700000196.9276102,"ended":1700000196.929295},"error":{"type":"LookupError","message":"no such register: Zo\u00eb \u2603","traceback":"Traceback (most recent call last):\n  File \"/srv/app.py\", line 32, in bad\n    def bad(context): raise LookupError(\"no such register: Zo\u00eb \u2603\")\n                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\nLookupError: no such register: Zo\u00eb \u2603\n"},"reason":"a slip","by":"eva"}');
INSERT INTO "instances" VALUES(15,4,'check',1,'finished',2,'check#0','b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"opened":{},"page":{"n":0}}','[]',1.70000019693178749082e+09,1.7000001969217875004e+09,1.70000019692526054387e+09,NULL,2,'{"times":{"scheduled":1700000196.9217875,"started":1700000196.9234207,"ended":1700000196.9252605},"result":{"pages":3}}');
INSERT INTO "instances" VALUES(16,4,'decide',1,'finished',1,'decide#0','b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"fee":{"euros":41},"check":{"pages":3}}','[]',0.0,1.70000019693277645116e+09,1.7000001969349186421e+09,NULL,3,'{"times":{"scheduled":1700000196.9327765,"started":1700000196.9337394,"ended":1700000196.9349186},"result":{"pages":3}}');
INSERT INTO "instances" VALUES(17,4,'tell',0,'skipped',1,NULL,'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c','{"decide":{"pages":3}}','[]',0.0,1.7000001969349186421e+09,1.70000019693908190732e+09,NULL,3,'{"times":{"scheduled":1700000196.9349186,"started":1700000196.9373755,"ended":1700000196.939082},"reason":"not needed"}');
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    manager_name TEXT NOT NULL,
    config_digest TEXT
);
INSERT INTO "sessions" VALUES(1,'waiting','kept','b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c');
INSERT INTO "sessions" VALUES(2,'running','kept','b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c');
INSERT INTO "sessions" VALUES(3,'failed','kept','b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c');
INSERT INTO "sessions" VALUES(4,'over','kept','b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c');
CREATE TABLE triggers (
    session_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    kwargs TEXT NOT NULL,
    fired_at REAL NOT NULL,
    PRIMARY KEY (session_id, name)
) WITHOUT ROWID;
INSERT INTO "triggers" VALUES(1,'a_week_passed','{}',1.70000019688839483264e+09);
INSERT INTO "triggers" VALUES(1,'opened','{"by":"Zo\u00eb"}',1.70000019688692140579e+09);
INSERT INTO "triggers" VALUES(2,'check','{"pages":1}',1.70000019689556908602e+09);
INSERT INTO "triggers" VALUES(2,'opened','{"by":"Ada"}',1.7000001968902440071e+09);
INSERT INTO "triggers" VALUES(2,'page','{"n":2}',1.70000019689085078237e+09);
INSERT INTO "triggers" VALUES(3,'fee','{"euros":40}',1.70000019690095472336e+09);
INSERT INTO "triggers" VALUES(3,'opened','{"by":"Bo"}',1.70000019690095472336e+09);
INSERT INTO "triggers" VALUES(3,'page','{"n":1}',1.70000019690095472336e+09);
INSERT INTO "triggers" VALUES(4,'check','{"pages":3}',1.70000019692526054387e+09);
INSERT INTO "triggers" VALUES(4,'decide','{"pages":3}',1.7000001969349186421e+09);
INSERT INTO "triggers" VALUES(4,'fee','{"euros":40}',1.70000019691759037967e+09);
INSERT INTO "triggers" VALUES(4,'opened','{}',1700000196.91476);
INSERT INTO "triggers" VALUES(4,'page','{"n":0}',1.70000019691647958756e+09);
CREATE TABLE waiting (
    session_id INTEGER NOT NULL,
    trigger_name TEXT NOT NULL,
    instance_id INTEGER NOT NULL,
    PRIMARY KEY (session_id, trigger_name, instance_id)
) WITHOUT ROWID;
INSERT INTO "waiting" VALUES(1,'page',1);
INSERT INTO "waiting" VALUES(2,'a_week_passed',4);
INSERT INTO "waiting" VALUES(2,'fee',4);
INSERT INTO "waiting" VALUES(2,'fee',7);
INSERT INTO "waiting" VALUES(2,'withdrawn',7);
INSERT INTO "waiting" VALUES(3,'check',11);
INSERT INTO "waiting" VALUES(3,'withdrawn',11);
CREATE INDEX active_instances ON instances (session_id)
    WHERE status IN ('scheduled', 'running');
CREATE INDEX recoverable_instances ON instances (recover_at)
    WHERE recover_at IS NOT NULL;
COMMIT;
