import Platform
@testable import Response
import TestSupport
import Testing
import Wire

@testable import Daemon

/// STATE_DIR/blocks, beside what `LedgerTests` says of its failures.
@Suite struct BlockStoreTests {
  private let start = Timestamp(seconds: 1_700_000_000)

  private func block(_ number: Int) throws -> Block {
    var settings = ResponsePolicy.Settings()
    settings.tcp = .block
    return try ResponsePolicy(settings).order(
      IPNetwork("203.0.\(number / 250).\(number % 250 + 1)")!, duration: nil, reason: "by operator",
      inForce: BlockTable().budget, now: start)
  }

  private func lines(_ folder: String) -> [Substring] { (text(of: folder + "/blocks") ?? "").split(separator: "\n") }

  @Test func `A block is one line more, and its release another; a reader sees what is left`() throws {
    try inFolder { folder in
      var table = BlockTable()
      var store = BlockStore(directory: folder)
      try store.rewrite(table)
      let header = lines(folder)
      for number in 0..<3 {
        let block = try block(number)
        table.insert(block)
        store.add(block)
        try store.flush(table)
        #expect(lines(folder).count == header.count + number + 1, "written before the next is waited for")
      }
      store.remove(IPNetwork("203.0.0.2")!)
      let isDirty = store.isDirty
      #expect(isDirty)
      try store.flush(table)
      #expect(lines(folder).last == "-\t203.0.0.2")
      // Killed here: the file is all there is.
      var reader = BlockStore(directory: folder)
      let contents = try reader.load()
      #expect(Set(contents.records.keys) == [IPNetwork("203.0.0.1")!, IPNetwork("203.0.0.3")!])
      #expect(contents.damagedLines == 0)
    }
  }

  @Test func `A file that is mostly history is written anew, and says the same`() throws {
    try inFolder { folder in
      var table = BlockTable()
      var store = BlockStore(directory: folder)
      let kept = try block(0)
      table.insert(kept)
      try store.rewrite(table)
      let passing = try block(1)
      var longest = 0
      for _ in 0..<600 {
        store.add(passing)
        store.remove(passing.network)
        try store.flush(table)
        longest = max(longest, lines(folder).count)
      }
      #expect((1_000...1_010).contains(longest), "\(longest)")
      #expect(lines(folder).count < 300)
      var reader = BlockStore(directory: folder)
      let records = try reader.load().records
      #expect(records[kept.network] == kept.record && records.count == 1)
    }
  }

  @Test func `A torn last line costs that line`() throws {
    try inFolder { folder in
      var table = BlockTable()
      var store = BlockStore(directory: folder)
      for number in 0..<2 {
        let block = try block(number)
        table.insert(block)
        store.add(block)
      }
      try store.flush(table)
      let whole = try Files.read(folder + "/blocks")
      try Files.replace(folder + "/blocks", with: Array(whole.dropLast(9)))
      var reader = BlockStore(directory: folder)
      let contents = try reader.load()
      #expect(Set(contents.records.keys) == [IPNetwork("203.0.0.1")!])
      #expect(contents.damagedLines == 1)
    }
  }

  @Test func `A boot has a name, and always the same`() {
    #expect(BlockStore.bootID.utf8.count == 36)
    #expect(BlockStore.bootID == BlockStore.bootID)
  }
}
