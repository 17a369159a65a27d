import CLinux
import Platform
import Wire

/// Tells when somebody else changes our table: a restarted firewall service that flushes everything, or a mistyped
/// command. Its descriptor goes into a poll loop.
package struct NFTablesMonitor: ~Copyable {
  private let table: String
  private let ownPort: UInt32
  private let socket: NetlinkSocket
  private var buffer = [UInt8](repeating: 0, count: 1 << 17)

  /// - Parameters:
  ///   - table: the table to watch.
  ///   - ownPort: `NFTables.port`; what comes from there is our own doing.
  package init(table: String = "portsentry", ownPort: UInt32) throws(ResponderError) {
    self.table = table
    self.ownPort = ownPort
    socket = try NetlinkSocket.netfilter(groups: [Int32(NFNLGRP_NFTABLES.rawValue)])
    // Our own changes do not even wake us: nlmsg_pid, at 12 of the header, says whose a message is. Where the filter is
    // refused, `drain` leaves them out.
    try? socket.file.attach([
      sock_filter(code: 0x20, jt: 0, jf: 0, k: 12),
      sock_filter(code: 0x15, jt: 0, jf: 1, k: ownPort.bigEndian),
      sock_filter(code: 0x06, jt: 0, jf: 0, k: 0),
      sock_filter(code: 0x06, jt: 0, jf: 0, k: .max),
    ])
  }

  /// Readable when there is something to drain.
  package var descriptor: Int32 { socket.file.raw }

  /// One call reads at most this many datagrams; with more waiting the descriptor stays readable.
  private static let datagramsInDrain = 1_000

  /// Reads what has happened, without waiting.
  ///
  /// - Returns: whether our table may have been changed by somebody else: then `ensure()`, and compare the blocks. Also
  ///   true when the kernel had to drop notifications.
  package mutating func drain() -> Bool {
    var changed = false
    let (table, ownPort) = (table, ownPort)
    for _ in 0..<Self.datagramsInDrain {
      do throws(Errno) {
        let more = try socket.receive(wait: false, buffer: &buffer) { reply in
          guard !changed, reply.port != ownPort, reply.type >> 8 == UInt16(NFNL_SUBSYS_NFTABLES),
            UInt32(reply.type & 0xff) != NFT_MSG_NEWGEN.rawValue,
            reply.fixed(nfgenmsg.self)?.nfgen_family == UInt8(NFPROTO_INET)
          else { return }
          // In messages about tables, chains, rules, sets and elements alike, attribute 1 names the table.
          var parts = NetlinkAttributes(reply.body.dropFirst(MemoryLayout<nfgenmsg>.size))
          while let (type, payload) = parts.next() {
            if type == 1 {
              changed = payload.text == table
              break
            }
          }
        }
        if !more { return changed }
      } catch {
        // ENOBUFS: something was lost. Any other error: nothing is certain either.
        changed = true
        if error.code != ENOBUFS { return true }
      }
    }
    return changed
  }
}
