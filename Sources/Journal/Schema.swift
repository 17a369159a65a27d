import Database

/// The tables of the journal. A migration that has once been released is never edited: another one is added.
enum Schema {
  /// Marks the file as ours (`PRAGMA application_id`): "PSry".
  static let applicationID: Int64 = 0x5053_7279
  /// Migrations in order; `PRAGMA user_version` says how many have been made.
  static let migrations: [SQL] = [version1, version2]
  static var version: Int64 { Int64(migrations.count) }

  // Hours and days are numbered since 1970, UTC. A source is an address of 4 or 16 bytes; the source of a verdict on a
  // whole prefix has one byte more, the prefix length. Numbers of techniques, tools and so on are those of the enums
  // in Detection, which may grow at their end only.
  private static let version1: SQL = """
    CREATE TABLE source(
      id INTEGER PRIMARY KEY,
      address BLOB NOT NULL UNIQUE,
      first INTEGER NOT NULL,            -- seconds since 1970
      last INTEGER NOT NULL,
      probes INTEGER NOT NULL DEFAULT 0,
      techniques INTEGER NOT NULL DEFAULT 0, -- a bit for each technique
      port_bits INTEGER NOT NULL DEFAULT 0,  -- 64 bits, one set for each port (linear counting)
      target INTEGER,                    -- which of our addresses it touched last: own.id
      source_port INTEGER,               -- from which port, then
      is_ignored INTEGER NOT NULL DEFAULT 0,
      origin INTEGER NOT NULL DEFAULT 0,
      proof INTEGER,                     -- how the origin was proven, and when
      proven INTEGER,
      class INTEGER,                     -- of the newest verdict
      tool INTEGER NOT NULL DEFAULT 0,
      variant INTEGER NOT NULL DEFAULT 0,
      scan INTEGER,                      -- the newest: scan.id
      name TEXT
    ) STRICT;
    CREATE TABLE own(id INTEGER PRIMARY KEY, address BLOB NOT NULL UNIQUE) STRICT;
    -- The detail. Source 0 stands for all those that found no room in a flood. By hour first, so that what is written now
    -- lies together at the end, and what is over lies together at the beginning.
    CREATE TABLE probe(
      hour INTEGER NOT NULL, source INTEGER NOT NULL, technique INTEGER NOT NULL, port INTEGER NOT NULL,
      count INTEGER NOT NULL,
      PRIMARY KEY(hour, source, technique, port)
    ) STRICT, WITHOUT ROWID;
    -- What stays for years. `ports` is `PortCounts`. State 0: open, `sources` and `ports` are not made yet; 1: closed; 2:
    -- closed, and the detail is thrown away.
    CREATE TABLE hour(
      hour INTEGER PRIMARY KEY, probes INTEGER NOT NULL DEFAULT 0, ignored INTEGER NOT NULL DEFAULT 0,
      sources INTEGER NOT NULL DEFAULT 0, newcomers INTEGER NOT NULL DEFAULT 0,
      state INTEGER NOT NULL DEFAULT 0, ports BLOB NOT NULL DEFAULT x''
    ) STRICT;
    CREATE INDEX hour_state ON hour(state, hour) WHERE state < 2;
    CREATE TABLE day(
      day INTEGER PRIMARY KEY, sources INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
      ports BLOB NOT NULL DEFAULT x''
    ) STRICT;
    CREATE INDEX day_state ON day(state, day) WHERE state < 2;
    -- Probes of a source in the closed hours of a day.
    CREATE TABLE source_day(
      day INTEGER NOT NULL, source INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(day, source)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE scan(
      id INTEGER PRIMARY KEY, source INTEGER NOT NULL, class INTEGER NOT NULL, origin INTEGER NOT NULL,
      techniques INTEGER NOT NULL, kind INTEGER NOT NULL, is_slow INTEGER NOT NULL, tool INTEGER NOT NULL,
      variant INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, -- nanoseconds since 1970
      probes INTEGER NOT NULL, ports INTEGER NOT NULL, targets INTEGER NOT NULL,
      sources INTEGER NOT NULL,          -- more than one for a campaign
      doubts INTEGER NOT NULL,           -- bits: 1 may be a zombie, 2 may be a decoy
      score INTEGER NOT NULL,
      threshold INTEGER NOT NULL, port INTEGER NOT NULL, transport INTEGER NOT NULL,
      evidence BLOB NOT NULL             -- six bytes each: kind, technique, port, weight
    ) STRICT;
    CREATE INDEX scan_source ON scan(source);
    CREATE INDEX scan_last ON scan(last);
    CREATE TABLE block(
      id INTEGER PRIMARY KEY, network BLOB NOT NULL, since INTEGER NOT NULL, until INTEGER, methods TEXT NOT NULL,
      port INTEGER NOT NULL, transport INTEGER NOT NULL, mode TEXT NOT NULL, reason TEXT NOT NULL,
      repeats INTEGER NOT NULL, ended INTEGER, because TEXT
    ) STRICT;
    CREATE INDEX block_network ON block(network);
    CREATE INDEX block_since ON block(since);
    -- Everything but probes, in the order in which it was written down.
    CREATE TABLE note(
      id INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT NULL, subject BLOB, reference INTEGER,
      number INTEGER, text TEXT
    ) STRICT;
    CREATE INDEX note_subject ON note(subject) WHERE subject IS NOT NULL;
    CREATE INDEX note_time ON note(time);
    CREATE TABLE loss(hour INTEGER NOT NULL, kind INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(hour, kind))
      STRICT, WITHOUT ROWID;
    -- When a sentry ran, and when one that ran could see nothing. `seen` is the newest sign of life.
    CREATE TABLE run(
      id INTEGER PRIMARY KEY, started INTEGER NOT NULL, seen INTEGER NOT NULL, is_over INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE blind(id INTEGER PRIMARY KEY, since INTEGER NOT NULL, until INTEGER) STRICT;
    CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """

  // What hosts of the fleet saw, of a block that rests on it: `Grounds.line`.
  private static let version2: SQL = "ALTER TABLE block ADD COLUMN grounds TEXT;"
}
