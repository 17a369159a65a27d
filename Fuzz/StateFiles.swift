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
  let contents = BlockFile.parse(bytes)
  precondition(contents.damagedLines <= contents.lines && contents.records.count <= contents.lines)
  var text = BlockFile.header(bootID: "x")
  for record in contents.records.values { text += BlockFile.line(record) }
  let again = BlockFile.parse(Array(text.utf8))
  precondition(again.records.keys == contents.records.keys && again.damagedLines == 0)
}
