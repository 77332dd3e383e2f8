BEGIN TRANSACTION;
CREATE TABLE activity (
	mailbox_id INTEGER NOT NULL, 
	last_used_at BIGINT NOT NULL, 
	CONSTRAINT pk_activity PRIMARY KEY (mailbox_id), 
	CONSTRAINT fk_activity_mailbox_id_mailbox FOREIGN KEY(mailbox_id) REFERENCES mailbox (mailbox_id)
);
CREATE TABLE address (
	address VARCHAR(320) NOT NULL, 
	mailbox_id INTEGER NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	CONSTRAINT pk_address PRIMARY KEY (address), 
	CONSTRAINT fk_address_mailbox_id_mailbox FOREIGN KEY(mailbox_id) REFERENCES mailbox (mailbox_id)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0010');
CREATE TABLE app_password (
	mailbox_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	salt BLOB, 
	digest BLOB, 
	scram_salt BLOB, 
	scram_iterations INTEGER, 
	scram_stored_key BLOB, 
	scram_server_key BLOB, 
	used_at BIGINT, 
	used_door VARCHAR(16), 
	used_network VARCHAR(64), 
	CONSTRAINT pk_app_password PRIMARY KEY (mailbox_id, number), 
	CONSTRAINT fk_app_password_mailbox_id_mailbox FOREIGN KEY(mailbox_id) REFERENCES mailbox (mailbox_id)
);
CREATE TABLE calendar_year (
	year INTEGER NOT NULL, 
	off VARCHAR NOT NULL, 
	worked VARCHAR NOT NULL, 
	document VARCHAR(255), 
	provisional BOOLEAN NOT NULL, 
	CONSTRAINT pk_calendar_year PRIMARY KEY (year)
);
CREATE TABLE census (
	census_id INTEGER NOT NULL, 
	unit_id INTEGER NOT NULL, 
	period DATE NOT NULL, 
	made_at BIGINT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	lines VARCHAR NOT NULL, 
	confirmed_at BIGINT, 
	confirmed_by VARCHAR(255), 
	document VARCHAR(255), 
	CONSTRAINT pk_census PRIMARY KEY (census_id), 
	CONSTRAINT fk_census_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (unit_id)
);
CREATE TABLE census_dispute (
	request_id INTEGER NOT NULL, 
	census_id INTEGER NOT NULL, 
	line VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_census_dispute PRIMARY KEY (request_id), 
	CONSTRAINT fk_census_dispute_request_id_request FOREIGN KEY(request_id) REFERENCES request (request_id), 
	CONSTRAINT fk_census_dispute_census_id_census FOREIGN KEY(census_id) REFERENCES census (census_id)
);
CREATE TABLE content_access (
	access_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	mailbox_id INTEGER NOT NULL, 
	folder VARCHAR, 
	since DATE, 
	until DATE, 
	expunged BOOLEAN NOT NULL, 
	officer VARCHAR(255) NOT NULL, 
	login VARCHAR(255) NOT NULL, 
	asked_at BIGINT NOT NULL, 
	reason VARCHAR NOT NULL, 
	document VARCHAR(255) NOT NULL, 
	verdict VARCHAR(16), 
	decided_by VARCHAR(255), 
	decided_login VARCHAR(255), 
	decided_at BIGINT, 
	decision_reason VARCHAR, 
	decision_document VARCHAR(255), 
	expires_at BIGINT, 
	CONSTRAINT fk_content_access_mailbox_id_mailbox FOREIGN KEY(mailbox_id) REFERENCES mailbox (mailbox_id)
);
CREATE TABLE content_export (
	export_id INTEGER NOT NULL, 
	access_id INTEGER NOT NULL, 
	officer VARCHAR(255) NOT NULL, 
	begun_at BIGINT NOT NULL, 
	staging VARCHAR NOT NULL, 
	target VARCHAR NOT NULL, 
	finished_at BIGINT, 
	messages INTEGER, 
	octets BIGINT, 
	digest VARCHAR(64), 
	CONSTRAINT pk_content_export PRIMARY KEY (export_id), 
	CONSTRAINT fk_content_export_access_id_content_access FOREIGN KEY(access_id) REFERENCES content_access (access_id)
);
CREATE TABLE credential (
	mailbox_id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	argon2 VARCHAR(255) NOT NULL, 
	scram_salt BLOB, 
	scram_iterations INTEGER, 
	scram_stored_key BLOB, 
	scram_server_key BLOB, 
	CONSTRAINT pk_credential PRIMARY KEY (mailbox_id), 
	CONSTRAINT fk_credential_mailbox_id_mailbox FOREIGN KEY(mailbox_id) REFERENCES mailbox (mailbox_id)
);
CREATE TABLE domain (
	name VARCHAR(253) NOT NULL, 
	CONSTRAINT pk_domain PRIMARY KEY (name)
);
CREATE TABLE downtime (
	downtime_id INTEGER NOT NULL, 
	starts_at BIGINT NOT NULL, 
	ends_at BIGINT NOT NULL, 
	reason VARCHAR NOT NULL, 
	document VARCHAR(255), 
	incident BOOLEAN NOT NULL, 
	announced_at BIGINT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	cancelled_at BIGINT, 
	report VARCHAR(255), 
	reported_at BIGINT, 
	CONSTRAINT pk_downtime PRIMARY KEY (downtime_id)
);
CREATE TABLE elsewhere (
	plan_id INTEGER NOT NULL, 
	unit_id INTEGER NOT NULL, 
	system VARCHAR(255) NOT NULL, 
	mailboxes INTEGER NOT NULL, 
	planned_on DATE NOT NULL, 
	contact VARCHAR(255) NOT NULL, 
	recorded_at BIGINT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	document VARCHAR(255), 
	ended_at BIGINT, 
	ended_by VARCHAR(255), 
	done BOOLEAN NOT NULL, 
	end_document VARCHAR(255), 
	CONSTRAINT pk_elsewhere PRIMARY KEY (plan_id), 
	CONSTRAINT fk_elsewhere_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (unit_id)
);
CREATE TABLE fact (
	fact_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	mailbox_id INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	effective_at BIGINT NOT NULL, 
	recorded_at BIGINT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	reason VARCHAR NOT NULL, 
	document VARCHAR, 
	data VARCHAR NOT NULL, 
	digest BLOB NOT NULL, 
	CONSTRAINT fk_fact_mailbox_id_mailbox FOREIGN KEY(mailbox_id) REFERENCES mailbox (mailbox_id), 
	CONSTRAINT uq_fact_mailbox_id_seq UNIQUE (mailbox_id, seq)
);
CREATE TABLE former_credential (
	mailbox_id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	argon2 VARCHAR(255) NOT NULL, 
	CONSTRAINT pk_former_credential PRIMARY KEY (mailbox_id, version), 
	CONSTRAINT fk_former_credential_mailbox_id_mailbox FOREIGN KEY(mailbox_id) REFERENCES mailbox (mailbox_id)
);
CREATE TABLE incident (
	incident_id INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	severity VARCHAR(16) NOT NULL, 
	title VARCHAR NOT NULL, 
	reporter VARCHAR(255) NOT NULL, 
	unit_id INTEGER, 
	channel VARCHAR(16), 
	document VARCHAR(255), 
	began_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	units VARCHAR NOT NULL, 
	mailboxes VARCHAR NOT NULL, 
	opened_at BIGINT NOT NULL, 
	opened_by VARCHAR(255) NOT NULL, 
	request_id INTEGER, 
	closed_at BIGINT, 
	closed_by VARCHAR(255), 
	result VARCHAR, 
	report VARCHAR(255), 
	CONSTRAINT pk_incident PRIMARY KEY (incident_id), 
	CONSTRAINT fk_incident_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (unit_id), 
	CONSTRAINT fk_incident_request_id_request FOREIGN KEY(request_id) REFERENCES request (request_id), 
	CONSTRAINT uq_incident_request_id UNIQUE (request_id)
);
CREATE TABLE incident_downtime (
	incident_id INTEGER NOT NULL, 
	downtime_id INTEGER NOT NULL, 
	CONSTRAINT pk_incident_downtime PRIMARY KEY (incident_id, downtime_id), 
	CONSTRAINT fk_incident_downtime_incident_id_incident FOREIGN KEY(incident_id) REFERENCES incident (incident_id), 
	CONSTRAINT fk_incident_downtime_downtime_id_downtime FOREIGN KEY(downtime_id) REFERENCES downtime (downtime_id)
);
CREATE TABLE incident_note (
	note_id INTEGER NOT NULL, 
	incident_id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	text VARCHAR NOT NULL, 
	measure BOOLEAN NOT NULL, 
	CONSTRAINT pk_incident_note PRIMARY KEY (note_id), 
	CONSTRAINT fk_incident_note_incident_id_incident FOREIGN KEY(incident_id) REFERENCES incident (incident_id)
);
CREATE TABLE mailbox (
	mailbox_id INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	home VARCHAR(320) NOT NULL, 
	display_name VARCHAR(255) NOT NULL, 
	quota_octets BIGINT NOT NULL, 
	person_id INTEGER, 
	unit_id INTEGER, 
	capabilities_hidden VARCHAR(1024) NOT NULL, 
	changed_version BIGINT NOT NULL, 
	CONSTRAINT pk_mailbox PRIMARY KEY (mailbox_id), 
	CONSTRAINT fk_mailbox_person_id_person FOREIGN KEY(person_id) REFERENCES person (person_id), 
	CONSTRAINT fk_mailbox_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (unit_id), 
	CONSTRAINT uq_mailbox_home UNIQUE (home)
);
CREATE TABLE "officer" (
	officer_id INTEGER NOT NULL, 
	login VARCHAR(255) NOT NULL, 
	full_name VARCHAR(255) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	unit_id INTEGER, 
	since BIGINT NOT NULL, 
	until BIGINT, 
	document VARCHAR(255), 
	person_id INTEGER, 
	CONSTRAINT pk_officer PRIMARY KEY (officer_id), 
	CONSTRAINT fk_officer_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (unit_id), 
	CONSTRAINT fk_officer_person_id_person FOREIGN KEY(person_id) REFERENCES person (person_id)
);
CREATE TABLE person (
	person_id INTEGER NOT NULL, 
	full_name VARCHAR(255) NOT NULL, 
	unit_id INTEGER NOT NULL, 
	position VARCHAR(255) NOT NULL, 
	level VARCHAR(16), 
	employment VARCHAR(32) NOT NULL, 
	contract_from DATE, 
	contract_until DATE, 
	CONSTRAINT pk_person PRIMARY KEY (person_id), 
	CONSTRAINT fk_person_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (unit_id)
);
CREATE TABLE reading_debt (
	name VARCHAR(64) NOT NULL, 
	uid BIGINT NOT NULL, 
	since BIGINT NOT NULL, 
	tried_at BIGINT NOT NULL, 
	CONSTRAINT pk_reading_debt PRIMARY KEY (name, uid)
);
CREATE TABLE reading_mark (
	name VARCHAR(64) NOT NULL, 
	uidvalidity BIGINT NOT NULL, 
	uid BIGINT NOT NULL, 
	CONSTRAINT pk_reading_mark PRIMARY KEY (name)
);
CREATE TABLE recovery_code (
	holder VARCHAR(320) NOT NULL, 
	digest BLOB NOT NULL, 
	used_at BIGINT, 
	CONSTRAINT pk_recovery_code PRIMARY KEY (holder, digest)
);
CREATE TABLE request (
	request_id INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	channel VARCHAR(16) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	asker VARCHAR(255) NOT NULL, 
	unit_id INTEGER NOT NULL, 
	received_at BIGINT NOT NULL, 
	document VARCHAR(255), 
	document_date DATE, 
	items VARCHAR NOT NULL, 
	opened_by VARCHAR(255) NOT NULL, 
	opened_at BIGINT NOT NULL, 
	batch VARCHAR(255), 
	"row" INTEGER, 
	handler VARCHAR(255), 
	handled_at BIGINT, 
	result VARCHAR, 
	hindrance VARCHAR, 
	person_id INTEGER, 
	mailbox_id INTEGER, 
	CONSTRAINT pk_request PRIMARY KEY (request_id), 
	CONSTRAINT fk_request_unit_id_unit FOREIGN KEY(unit_id) REFERENCES unit (unit_id), 
	CONSTRAINT fk_request_person_id_person FOREIGN KEY(person_id) REFERENCES person (person_id), 
	CONSTRAINT fk_request_mailbox_id_mailbox FOREIGN KEY(mailbox_id) REFERENCES mailbox (mailbox_id), 
	CONSTRAINT uq_request_batch_row UNIQUE (batch, "row")
);
CREATE TABLE request_mail (
	"key" VARCHAR(255) NOT NULL, 
	read_at BIGINT NOT NULL, 
	outcomes VARCHAR NOT NULL, sender VARCHAR(255), unit_id INTEGER, message_id VARCHAR, 
	CONSTRAINT pk_request_mail PRIMARY KEY ("key")
);
CREATE TABLE revision (
	revision_id INTEGER NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_revision PRIMARY KEY (revision_id), 
	CONSTRAINT ck_revision_single_row CHECK (revision_id = 1)
);
INSERT INTO "revision" VALUES(1,1);
CREATE TABLE second_factor (
	holder VARCHAR(320) NOT NULL, 
	number INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	set_at BIGINT NOT NULL, 
	last_step BIGINT NOT NULL, 
	wrong INTEGER NOT NULL, 
	CONSTRAINT pk_second_factor PRIMARY KEY (holder)
);
CREATE TABLE sent_notice (
	"key" VARCHAR(255) NOT NULL, 
	sent_at BIGINT NOT NULL, 
	CONSTRAINT pk_sent_notice PRIMARY KEY ("key")
);
CREATE TABLE unit (
	unit_id INTEGER NOT NULL, 
	symbol VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	parent_id INTEGER, 
	document VARCHAR(255), 
	CONSTRAINT pk_unit PRIMARY KEY (unit_id), 
	CONSTRAINT fk_unit_parent_id_unit FOREIGN KEY(parent_id) REFERENCES unit (unit_id), 
	CONSTRAINT uq_unit_symbol UNIQUE (symbol)
);
CREATE INDEX ix_unit_parent_id ON unit (parent_id);
CREATE INDEX ix_person_full_name ON person (full_name);
CREATE INDEX ix_person_unit_id ON person (unit_id);
CREATE INDEX ix_mailbox_person_id ON mailbox (person_id);
CREATE INDEX ix_mailbox_unit_id ON mailbox (unit_id);
CREATE INDEX ix_mailbox_changed_version ON mailbox (changed_version);
CREATE INDEX ix_address_mailbox_id ON address (mailbox_id);
CREATE UNIQUE INDEX uq_address_primary ON address (mailbox_id) WHERE role = 'primary';
CREATE TRIGGER fact_no_update BEFORE UPDATE ON fact BEGIN SELECT RAISE(ABORT, 'facts are only ever appended'); END;
CREATE TRIGGER fact_no_delete BEFORE DELETE ON fact BEGIN SELECT RAISE(ABORT, 'facts are only ever appended'); END;
CREATE INDEX ix_officer_login ON officer (login);
CREATE INDEX ix_content_access_mailbox_id ON content_access (mailbox_id);
CREATE INDEX ix_content_export_access_id ON content_export (access_id);
CREATE INDEX ix_request_state ON request (state);
CREATE INDEX ix_request_unit_id ON request (unit_id);
CREATE INDEX ix_downtime_ends_at ON downtime (ends_at);
CREATE INDEX ix_census_unit_id ON census (unit_id);
CREATE INDEX ix_incident_note_incident_id ON incident_note (incident_id);
CREATE INDEX ix_census_dispute_census_id ON census_dispute (census_id);
CREATE INDEX ix_elsewhere_unit_id ON elsewhere (unit_id);
DELETE FROM "sqlite_sequence";
COMMIT;
