import Configuration
import Testing
import Wire

@testable import Page

@Suite struct PageOwnerTests {
  private static let head =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

  private static func line(_ local: String, _ state: String, _ uid: Int) -> String {
    "   0: \(local) 00000000:0000 \(state) 00000000:00000000 00:00000000 00000000  \(uid)        0 41234 1 0 100 0 0 10 0\n"
  }

  @Test(arguments: [
    ("0100007F:1F97", "0A", true), ("00000000:1F97", "0A", true), ("0200007F:1F97", "0A", true),
    ("00000000000000000000000000000000:1F97", "0A", true), ("00000000000000000000000001000000:1F97", "0A", true),
    ("0000000000000000FFFF00000100007F:1F97", "0A", true),
    // Another port, no listener, an address that loopback does not reach.
    ("0100007F:1F98", "0A", false), ("0100007F:1F97", "01", false), ("010200C0:1F97", "0A", false),
    ("B80D0120000000000000000001000000:1F97", "0A", false),
  ])
  func `Listeners that a browser on this host would reach`(_ local: String, _ state: String, _ counts: Bool) {
    let text = Self.head + Self.line("0100007F:0050", "0A", 33) + Self.line(local, state, 1000)
    #expect(PageOwner.listeners(port: 8087, in: Array(text.utf8)) == (counts ? [1000] : []))
  }

  @Test func `What is no such table has no listeners`() {
    for text in ["", "\n\n", "0A 0A 0A 0A", Self.line("0100007F:1F97", "0A", -1)] {
      #expect(PageOwner.listeners(port: 8087, in: Array(text.utf8)).isEmpty)
    }
  }

  @Test func `A socket of root's and no socket`() throws {
    #expect(throws: PageOwner.Fault.nobody("/nonexistent/page")) {
      try PageOwner.check(.unix("/nonexistent/page"), controlSocket: "/nonexistent/control")
    }
  }
}
