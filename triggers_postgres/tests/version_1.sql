-- A store with version 1 of the tables, as release 0.1 of triggers wrote it: instances that wait,
-- run, are scheduled, have failed, and are over in every way.
CREATE SCHEMA version_1_written;
CREATE TABLE version_1_written.configurations (
    digest text NOT NULL COLLATE pg_catalog."C",
    body text NOT NULL
);
CREATE TABLE version_1_written.events (
    session_id bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    outcome text NOT NULL
);
CREATE TABLE version_1_written.instances (
    session_id bigint NOT NULL,
    task_name text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    status text NOT NULL,
    attempt integer NOT NULL,
    parent text,
    config_digest text NOT NULL,
    trigger_kwargs text NOT NULL,
    waits_for text NOT NULL,
    not_before double precision NOT NULL,
    created_at double precision NOT NULL,
    changed_at double precision NOT NULL,
    recover_at double precision,
    reruns_left integer NOT NULL,
    metadata text NOT NULL
);
CREATE TABLE version_1_written.meta (
    version integer NOT NULL
);
CREATE TABLE version_1_written.sessions (
    id bigint NOT NULL,
    uid text NOT NULL COLLATE pg_catalog."C",
    manager_name text NOT NULL,
    config_digest text
);
ALTER TABLE version_1_written.sessions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME version_1_written.sessions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE version_1_written.triggers (
    session_id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    kwargs text NOT NULL,
    fired_at double precision NOT NULL
);
CREATE TABLE version_1_written.waiting (
    session_id bigint NOT NULL,
    trigger_name text NOT NULL COLLATE pg_catalog."C",
    task_name text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL
);
INSERT INTO version_1_written.configurations VALUES ('b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"check":{"after":["opened"],"run":"app.check","andEvery":"page"},"decide":{"after":["check","fee"],"run":"app.decide","unless":["withdrawn"],"withParams":{"fee":{"currency":"EUR"}}},"remind":{"after":["opened","a_week_passed"],"run":"app.remind","unless":["fee"]},"tell":{"after":["decide"],"run":"app.tell"}}');
INSERT INTO version_1_written.events VALUES (1, 'letter-1', '{"trigger_name":"opened","created":["check#0","remind#0"],"taken":[],"scheduled":[],"abandoned":[],"is_awaited":true,"kwargs_digest":"a69f7e1dd77f6550cd15f966f2aab25388510ae53087c6afc9fddf42ed7861f9"}');
INSERT INTO version_1_written.events VALUES (2, 'page-0', '{"trigger_name":"page","created":[],"taken":["check#0"],"scheduled":["check#0"],"abandoned":[],"is_awaited":true,"kwargs_digest":"f3013f933b9fb80ab6d995e7ad9da36f683837ba1d81e950c943d40111eac2f0"}');
INSERT INTO version_1_written.events VALUES (2, 'page-1', '{"trigger_name":"page","created":["check#1"],"taken":[],"scheduled":["check#1"],"abandoned":[],"is_awaited":true,"kwargs_digest":"2bfd14f43d17fc7cea24e0917a8879b4b2f880b8baeec1b9d90fbaad655e71bd"}');
INSERT INTO version_1_written.events VALUES (2, 'page-2', '{"trigger_name":"page","created":["check#2"],"taken":[],"scheduled":["check#2"],"abandoned":[],"is_awaited":true,"kwargs_digest":"363379742f80b51bdb9206579af7754911543079b9399cb3fc315fb199f476e8"}');
INSERT INTO version_1_written.instances VALUES (1, 'check', 0, 'unstarted', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Zo\u00eb"}}', '["page"]', 0, 1700000197.3845246, 1700000197.3845246, NULL, 0, '{}');
INSERT INTO version_1_written.instances VALUES (1, 'remind', 0, 'scheduled', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Zo\u00eb"},"a_week_passed":{}}', '[]', 0, 1700000197.3845246, 1700000197.4022388, 1700000497.4022388, 0, '{"times":{"scheduled":1700000197.4022388}}');
INSERT INTO version_1_written.instances VALUES (2, 'remind', 0, 'unstarted', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Ada"}}', '["a_week_passed","fee"]', 0, 1700000197.4138658, 1700000197.4138658, NULL, 0, '{}');
INSERT INTO version_1_written.instances VALUES (2, 'check', 2, 'scheduled', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Ada"},"page":{"n":2}}', '[]', 0, 1700000197.417759, 1700000197.417759, 1700000497.417759, 0, '{"times":{"scheduled":1700000197.417759}}');
INSERT INTO version_1_written.instances VALUES (2, 'check', 0, 'finished', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Ada"},"page":{"n":0}}', '[]', 0, 1700000197.4138658, 1700000197.4278815, NULL, 3, '{"times":{"scheduled":1700000197.417759,"started":1700000197.4249017,"ended":1700000197.4278815},"logs":[{"level":"WARNING","message":"blurred"}],"result":{"pages":1}}');
INSERT INTO version_1_written.instances VALUES (2, 'decide', 0, 'unstarted', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"check":{"pages":1}}', '["fee","withdrawn"]', 0, 1700000197.4278815, 1700000197.4278815, NULL, 0, '{}');
INSERT INTO version_1_written.instances VALUES (2, 'check', 1, 'running', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Ada"},"page":{"n":1}}', '[]', 0, 1700000197.417759, 1700000197.4309494, 1700000257.4309494, 1, '{"times":{"scheduled":1700000197.417759,"started":1700000197.4309494}}');
INSERT INTO version_1_written.instances VALUES (3, 'remind', 0, 'abandoned', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Bo"},"fee":{"euros":40}}', '[]', 0, 1700000197.4352002, 1700000197.4352002, NULL, 0, '{"times":{"ended":1700000197.4352002}}');
INSERT INTO version_1_written.instances VALUES (3, 'decide', 0, 'unstarted', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"fee":{"euros":40}}', '["check","withdrawn"]', 0, 1700000197.4352002, 1700000197.4352002, NULL, 0, '{}');
INSERT INTO version_1_written.instances VALUES (3, 'check', 0, 'failed', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Bo"},"page":{"n":0}}', '[]', 0, 1700000197.4352002, 1700000197.4447896, NULL, 3, '{"times":{"scheduled":1700000197.4352002,"started":1700000197.4420977,"ended":1700000197.4447896},"error":{"type":"LookupError","message":"no such register: Zo\u00eb \u2603","traceback":"Traceback (most recent call last):\n  File \"/srv/app.py\", line 32, in bad\n    def bad(context): raise LookupError(\"no such register: Zo\u00eb \u2603\")\n                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\nLookupError: no such register: Zo\u00eb \u2603\n"}}');
INSERT INTO version_1_written.instances VALUES (3, 'check', 1, 'skipped', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{"by":"Bo"},"page":{"n":1}}', '[]', 0, 1700000197.4352002, 1700000197.4584699, NULL, 3, '{"times":{"scheduled":1700000197.4352002,"started":1700000197.4483895,"ended":1700000197.4536214},"error":{"type":"LookupError","message":"no such register: Zo\u00eb \u2603","traceback":"Traceback (most recent call last):\n  File \"/srv/app.py\", line 32, in bad\n    def bad(context): raise LookupError(\"no such register: Zo\u00eb \u2603\")\n                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\nLookupError: no such register: Zo\u00eb \u2603\n"},"reason":"read by hand","by":"carl"}');
INSERT INTO version_1_written.instances VALUES (4, 'remind', 0, 'abandoned', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{},"fee":{"euros":40}}', '[]', 0, 1700000197.4762537, 1700000197.487023, NULL, 0, '{"times":{"ended":1700000197.487023}}');
INSERT INTO version_1_written.instances VALUES (4, 'check', 0, 'replayed', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{},"page":{"n":0}}', '[]', 0, 1700000197.4762537, 1700000197.4957845, NULL, 2, '{"times":{"scheduled":1700000197.4829383,"started":1700000197.4916608,"ended":1700000197.4957845}}');
INSERT INTO version_1_written.instances VALUES (4, 'check', 1, 'finished', 2, 'check#0', 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"opened":{},"page":{"n":0}}', '[]', 1700000197.5057845, 1700000197.4957845, 1700000197.5012226, NULL, 2, '{"times":{"scheduled":1700000197.4957845,"started":1700000197.498882,"ended":1700000197.5012226},"result":{"pages":3}}');
INSERT INTO version_1_written.instances VALUES (4, 'decide', 0, 'replayed', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"fee":{"euros":40},"check":{"pages":3}}', '[]', 0, 1700000197.487023, 1700000197.5118277, NULL, 3, '{"times":{"scheduled":1700000197.5012226,"started":1700000197.5050178,"ended":1700000197.5093467},"error":{"type":"LookupError","message":"no such register: Zo\u00eb \u2603","traceback":"Traceback (most recent call last):\n  File \"/srv/app.py\", line 32, in bad\n    def bad(context): raise LookupError(\"no such register: Zo\u00eb \u2603\")\n                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\nLookupError: no such register: Zo\u00eb \u2603\n"},"reason":"a slip","by":"eva"}');
INSERT INTO version_1_written.instances VALUES (4, 'decide', 1, 'finished', 1, 'decide#0', 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"fee":{"euros":41},"check":{"pages":3}}', '[]', 0, 1700000197.5118277, 1700000197.5213752, NULL, 3, '{"times":{"scheduled":1700000197.5118277,"started":1700000197.515483,"ended":1700000197.5213752},"result":{"pages":3}}');
INSERT INTO version_1_written.instances VALUES (4, 'tell', 0, 'skipped', 1, NULL, 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c', '{"decide":{"pages":3}}', '[]', 0, 1700000197.5213752, 1700000197.5309155, NULL, 3, '{"times":{"scheduled":1700000197.5213752,"started":1700000197.526336,"ended":1700000197.5309155},"reason":"not needed"}');
INSERT INTO version_1_written.meta VALUES (1);
INSERT INTO version_1_written.sessions OVERRIDING SYSTEM VALUE VALUES (1, 'waiting', 'kept', 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c');
INSERT INTO version_1_written.sessions OVERRIDING SYSTEM VALUE VALUES (2, 'running', 'kept', 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c');
INSERT INTO version_1_written.sessions OVERRIDING SYSTEM VALUE VALUES (3, 'failed', 'kept', 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c');
INSERT INTO version_1_written.sessions OVERRIDING SYSTEM VALUE VALUES (4, 'over', 'kept', 'b1e38e6aadeed7e97e7aa18ef8e13a5e0f56c9534d3d4e2dfe19295034dce89c');
INSERT INTO version_1_written.triggers VALUES (1, 'opened', '{"by":"Zo\u00eb"}', 1700000197.3845246);
INSERT INTO version_1_written.triggers VALUES (1, 'a_week_passed', '{}', 1700000197.4022388);
INSERT INTO version_1_written.triggers VALUES (2, 'opened', '{"by":"Ada"}', 1700000197.4138658);
INSERT INTO version_1_written.triggers VALUES (2, 'page', '{"n":2}', 1700000197.417759);
INSERT INTO version_1_written.triggers VALUES (2, 'check', '{"pages":1}', 1700000197.4278815);
INSERT INTO version_1_written.triggers VALUES (3, 'opened', '{"by":"Bo"}', 1700000197.4352002);
INSERT INTO version_1_written.triggers VALUES (3, 'page', '{"n":1}', 1700000197.4352002);
INSERT INTO version_1_written.triggers VALUES (3, 'fee', '{"euros":40}', 1700000197.4352002);
INSERT INTO version_1_written.triggers VALUES (4, 'opened', '{}', 1700000197.4762537);
INSERT INTO version_1_written.triggers VALUES (4, 'page', '{"n":0}', 1700000197.4829383);
INSERT INTO version_1_written.triggers VALUES (4, 'fee', '{"euros":40}', 1700000197.487023);
INSERT INTO version_1_written.triggers VALUES (4, 'check', '{"pages":3}', 1700000197.5012226);
INSERT INTO version_1_written.triggers VALUES (4, 'decide', '{"pages":3}', 1700000197.5213752);
INSERT INTO version_1_written.waiting VALUES (1, 'page', 'check', 0);
INSERT INTO version_1_written.waiting VALUES (2, 'a_week_passed', 'remind', 0);
INSERT INTO version_1_written.waiting VALUES (2, 'fee', 'remind', 0);
INSERT INTO version_1_written.waiting VALUES (2, 'fee', 'decide', 0);
INSERT INTO version_1_written.waiting VALUES (2, 'withdrawn', 'decide', 0);
INSERT INTO version_1_written.waiting VALUES (3, 'check', 'decide', 0);
INSERT INTO version_1_written.waiting VALUES (3, 'withdrawn', 'decide', 0);
SELECT pg_catalog.setval('version_1_written.sessions_id_seq', 4, true);
ALTER TABLE ONLY version_1_written.configurations
    ADD CONSTRAINT configurations_pkey PRIMARY KEY (digest);
ALTER TABLE ONLY version_1_written.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (session_id, event_id);
ALTER TABLE ONLY version_1_written.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (session_id, task_name, number);
ALTER TABLE ONLY version_1_written.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY version_1_written.sessions
    ADD CONSTRAINT sessions_uid_key UNIQUE (uid);
ALTER TABLE ONLY version_1_written.triggers
    ADD CONSTRAINT triggers_pkey PRIMARY KEY (session_id, name);
ALTER TABLE ONLY version_1_written.waiting
    ADD CONSTRAINT waiting_pkey PRIMARY KEY (session_id, trigger_name, task_name, number);
CREATE INDEX active_instances ON version_1_written.instances USING btree (session_id) WHERE (status = ANY (ARRAY['scheduled'::text, 'running'::text]));
CREATE INDEX recoverable_instances ON version_1_written.instances USING btree (recover_at) WHERE (recover_at IS NOT NULL);
