import EventLog
import Response
import Wire

/// The predecessors' blocked files, both forms: what was read is written and read again.
func fuzzBlockedFile(_ bytes: [UInt8]) {
  let entries = BlockedFile.decode(bytes).entries
  for dialect in Dialect.allCases {
    let again = BlockedFile.decode(BlockedFile.encode(entries, dialect))
    precondition(again.entries.map(\.address) == entries.map(\.address))
    precondition(entries.isEmpty || again.problem == nil)
  }
}

/// Our own list of blocks.
func fuzzBlockFile(_ bytes: [UInt8]) {
  let contents = SavedBlocks.parse(bytes)
  precondition(contents.damagedLines <= contents.lines && contents.records.count <= contents.lines)
  var text = SavedBlocks.header(bootID: "x")
  for record in contents.records.values { text += SavedBlocks.line(record) }
  let again = SavedBlocks.parse(Array(text.utf8))
  precondition(again.records.keys == contents.records.keys && again.damagedLines == 0)
}

/// Repeat offenders: what was read is written and read again.
func fuzzOffenders(_ bytes: [UInt8]) {
  let now = Timestamp(seconds: 1_800_000_000)
  let offenders = Offenders(parsing: bytes, now: now)
  precondition(offenders.count <= Offenders.capacity)
  let again = Offenders(parsing: Array(offenders.text.utf8), now: now)
  precondition(again.count == offenders.count && again.text.utf8.count == offenders.text.utf8.count)
}

/// The evidence kept beside a block.
func fuzzGrounds(_ bytes: [UInt8]) {
  guard let grounds = Grounds(line: String(decoding: bytes, as: UTF8.self)) else { return }
  precondition(Grounds(line: grounds.line) == grounds)
  precondition(grounds.line.utf8.allSatisfy { (0x20...0x7e).contains($0) })
  _ = grounds.accusation.holds
  _ = grounds.description
}

/// Files in which other programs name their servers; the first byte chooses the form.
func fuzzServerFiles(_ bytes: [UInt8]) {
  let forms = ServerFiles.Form.allCases
  let servers = ServerFiles.servers(forms[Int(bytes.first ?? 0) % forms.count], in: Array(bytes.dropFirst()))
  precondition(servers.count <= ServerFiles.limit && Set(servers).count == servers.count)
  for server in servers { precondition((1...253).contains(server.name.utf8.count)) }
}
