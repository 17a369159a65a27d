import Capture
import Platform
import Wire

/// With whom this host is in conversation.
extension Sentry {
  /// Whether an address is in conversation with a service of this host, over TCP. Looked up at most once a second.
  func isConnected(_ address: IPAddress) -> Bool { servedPeers.contains(address) }

  /// Everybody who is in conversation with a service of this host.
  var servedPeers: Set<IPAddress> { peers().served }

  /// Whether this host has opened a TCP connection to an address, over which both sides talk.
  func isAsked(_ address: IPAddress) -> Bool { peers().asked.contains(address) }

  private func peers() -> SocketTable.Peers {
    let now = Clock.monotonic
    if now >= connectedPeersUntil, let connections {
      connectedPeersUntil = now + 1_000_000_000
      // When the kernel does not tell, the safe list is one reason shorter; that is no reason to block nobody.
      connectedPeers =
        (try? connections.value.establishedPeers(
          except: plan.tcpMode == .connect ? plan.ports(.tcp) : PortSet())) ?? SocketTable.Peers()
    }
    return connectedPeers
  }
}
