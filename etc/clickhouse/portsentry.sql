-- What PortSentry writes into EVENTS_FILE, as a table of ClickHouse. Once: clickhouse-client --multiquery < portsentry.sql
-- Then, as often as there are new lines: clickhouse-client --query "INSERT INTO portsentry_lines FORMAT LineAsString" < events.json
-- What a stranger wrote (host names, say) is text in columns, and stays that.
CREATE TABLE IF NOT EXISTS portsentry_events
(
    time DateTime64(6, 'UTC'),
    host LowCardinality(String),
    action LowCardinality(String) COMMENT 'probe, verdict, origin-proven, blocked, block-refused, released, lost, started, stopped, blind, seeing',
    source String COMMENT 'an address, or a prefix where a block or a verdict is about one',
    source_port UInt16,
    destination String,
    port UInt16 COMMENT '0 where there is none',
    transport LowCardinality(String),
    technique LowCardinality(String),
    class LowCardinality(String),
    kind LowCardinality(String),
    tool LowCardinality(String),
    origin LowCardinality(String),
    probes UInt64,
    ports UInt32,
    score Float32,
    reason String,
    fleet_basis LowCardinality(String) COMMENT 'quorum, hearsay, order or crowdsec of a block that rests on others',
    fleet_hosts Array(String),
    message String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (action, time)
TTL toDateTime(time) + INTERVAL 1 YEAR;

-- Takes lines as they are, and keeps none of them.
CREATE TABLE IF NOT EXISTS portsentry_lines (line String) ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS portsentry_reader TO portsentry_events AS
SELECT
    parseDateTime64BestEffort(JSONExtractString(line, '@timestamp'), 6, 'UTC') AS time,
    JSONExtractString(line, 'host', 'name') AS host,
    JSONExtractString(line, 'event', 'action') AS action,
    if(JSONExtractString(line, 'source', 'address') = '', JSONExtractString(line, 'source', 'ip'),
        JSONExtractString(line, 'source', 'address')) AS source,
    toUInt16(JSONExtractUInt(line, 'source', 'port')) AS source_port,
    JSONExtractString(line, 'destination', 'ip') AS destination,
    toUInt16(JSONExtractUInt(line, 'destination', 'port')) AS port,
    JSONExtractString(line, 'network', 'transport') AS transport,
    JSONExtractString(line, 'portsentry', 'technique') AS technique,
    JSONExtractString(line, 'portsentry', 'class') AS class,
    JSONExtractString(line, 'portsentry', 'kind') AS kind,
    JSONExtractString(line, 'portsentry', 'tool') AS tool,
    JSONExtractString(line, 'portsentry', 'origin') AS origin,
    JSONExtractUInt(line, 'portsentry', 'probes') AS probes,
    toUInt32(JSONExtractUInt(line, 'portsentry', 'ports')) AS ports,
    toFloat32(JSONExtractFloat(line, 'portsentry', 'score')) AS score,
    JSONExtractString(line, 'event', 'reason') AS reason,
    JSONExtractString(line, 'portsentry', 'fleet', 'basis') AS fleet_basis,
    arrayMap(x -> JSONExtractString(x, 'host'), JSONExtractArrayRaw(line, 'portsentry', 'fleet', 'witnesses')) AS fleet_hosts,
    JSONExtractString(line, 'message') AS message
FROM portsentry_lines;
