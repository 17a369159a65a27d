/// What a block was made with, as far as the log tells.
package enum BlockedBy: Equatable, Sendable {
  /// The line that was written to hosts.deny.
  case hostsDeny(String)
  /// The shell command that was run (`KILL_ROUTE`).
  case command(String)
  /// The set that the address was put into, e.g. `inet portsentry banned4`, and for how long; nil: until released.
  case nftables(set: String, Duration?)
  /// A blackhole route, for how long; nil: until released.
  case blackholeRoute(Duration?)
}
