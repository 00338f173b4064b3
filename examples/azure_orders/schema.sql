-- The read store on SQLite, made by `python -m orders.schema`. It can be run again on the same file.
-- On PostgreSQL the functions create what is missing when they first need it; so they do here, if this was not run.

CREATE TABLE IF NOT EXISTS twofold_checkpoints (
	name TEXT NOT NULL,
	version INTEGER NOT NULL,
	partition INTEGER NOT NULL,
	log_id TEXT NOT NULL,
	position BIGINT NOT NULL,
	owner TEXT,
	epoch BIGINT NOT NULL,
	heartbeat BIGINT NOT NULL,
	wanted_by TEXT,
	belongs TEXT,
	generation TEXT,
	PRIMARY KEY (name, version, partition)
);

CREATE TABLE IF NOT EXISTS twofold_customer_summary_v1 (
	customer_id TEXT NOT NULL,
	total_orders BIGINT NOT NULL,
	total_spent TEXT NOT NULL,
	last_order_date TEXT,
	PRIMARY KEY (customer_id)
);

CREATE TABLE IF NOT EXISTS twofold_order_read_models_v1 (
	id TEXT NOT NULL,
	customer_id TEXT NOT NULL,
	status TEXT NOT NULL,
	item_count BIGINT NOT NULL,
	total_amount TEXT NOT NULL,
	updated_at TEXT,
	created_at TEXT,
	customer_name TEXT,
	customer_email TEXT,
	product_ids TEXT NOT NULL,
	status_display TEXT NOT NULL,
	shipping_summary TEXT,
	version BIGINT NOT NULL,
	schema_version BIGINT NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS twofold_parked (
	name TEXT NOT NULL,
	version INTEGER NOT NULL,
	kind TEXT NOT NULL,
	"key" TEXT NOT NULL,
	partition INTEGER NOT NULL,
	position BIGINT NOT NULL,
	error TEXT NOT NULL,
	since TEXT NOT NULL,
	tries INTEGER,
	traceback TEXT,
	PRIMARY KEY (name, version, kind, "key")
);

CREATE TABLE IF NOT EXISTS twofold_tables (
	name TEXT NOT NULL,
	version INTEGER NOT NULL,
	fingerprint TEXT NOT NULL,
	live BOOLEAN NOT NULL,
	rollup TEXT,
	PRIMARY KEY (name, version)
);

CREATE INDEX IF NOT EXISTS order_read_models__1_1 ON twofold_order_read_models_v1 (customer_id ASC, created_at DESC, id DESC);

CREATE VIEW IF NOT EXISTS customer_summary AS SELECT twofold_customer_summary_v1.customer_id, twofold_customer_summary_v1.total_orders, twofold_customer_summary_v1.total_spent, twofold_customer_summary_v1.last_order_date
FROM twofold_customer_summary_v1;

CREATE VIEW IF NOT EXISTS order_read_models AS SELECT twofold_order_read_models_v1.id, twofold_order_read_models_v1.customer_id, twofold_order_read_models_v1.status, twofold_order_read_models_v1.item_count, twofold_order_read_models_v1.total_amount, twofold_order_read_models_v1.updated_at, twofold_order_read_models_v1.created_at, twofold_order_read_models_v1.customer_name, twofold_order_read_models_v1.customer_email, twofold_order_read_models_v1.product_ids, twofold_order_read_models_v1.status_display, twofold_order_read_models_v1.shipping_summary, twofold_order_read_models_v1.version, twofold_order_read_models_v1.schema_version
FROM twofold_order_read_models_v1;

INSERT INTO twofold_tables (name, version, fingerprint, live, rollup)
SELECT 'customer_summary', 1, '3ca1e0636d6d2967', 1, '{"follows":{"name":"customer_summary","version":1,"partition":0},"columns":[{"name":"customer_id","kind":"text","nullable":false,"elements":false},{"name":"total_orders","kind":"integer","nullable":false,"elements":false},{"name":"total_spent","kind":"decimal","nullable":false,"elements":false},{"name":"last_order_date","kind":"timestamp","nullable":true,"elements":false}],"key":["customer_id"],"indexes":[],"view":false,"security_invoker":false,"declared":{"of":{"name":"order_read_models","version":1,"partition":0},"by":["customer_id"],"fields":[["total_orders",{"operation":"count","column":null,"scale":0}],["total_spent",{"operation":"total","column":"total_amount","scale":0}],["last_order_date",{"operation":"latest","column":"created_at","scale":0}]],"where":[["status","ne","\"draft\""]]}}'
WHERE NOT EXISTS (SELECT 1 FROM twofold_tables WHERE name = 'customer_summary');

INSERT INTO twofold_tables (name, version, fingerprint, live, rollup)
SELECT 'order_read_models', 1, '8841b61a6b1b330a', 1, NULL
WHERE NOT EXISTS (SELECT 1 FROM twofold_tables WHERE name = 'order_read_models');
