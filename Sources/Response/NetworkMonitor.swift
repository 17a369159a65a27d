import CLinux
import Platform

/// Tells when addresses or routes of this host change, so that a new gateway or an address taken over is spared at once.
/// Its descriptor goes into a poll loop.
package struct NetworkMonitor: ~Copyable {
  private let socket: NetlinkSocket
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)

  /// - Throws: the kernel's error; then the list has to be read at intervals.
  package init() throws(Errno) {
    socket = try NetlinkSocket(
      NETLINK_ROUTE,
      groups: [
        Int32(RTNLGRP_IPV4_IFADDR.rawValue), Int32(RTNLGRP_IPV6_IFADDR.rawValue), Int32(RTNLGRP_IPV4_ROUTE.rawValue),
        Int32(RTNLGRP_IPV6_ROUTE.rawValue),
      ])
  }

  /// Readable when there is something to drain.
  package var descriptor: Int32 { socket.file.raw }

  /// One call reads at most this many datagrams; with more waiting the descriptor stays readable.
  private static let datagramsInDrain = 1_000

  /// Reads what has happened, without waiting; true when anything has, or when notices were lost.
  package mutating func drain() -> Bool {
    var changed = false
    for _ in 0..<Self.datagramsInDrain {
      do throws(Errno) {
        guard try socket.receive(wait: false, buffer: &buffer, { _ in }) else { return changed }
        changed = true
      } catch {
        changed = true
        if error.code != ENOBUFS { return true }
      }
    }
    return changed
  }
}
