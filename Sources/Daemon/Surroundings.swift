import Configuration
import Host
import Platform
import Response
import Wire

/// With whom this host is in conversation: looked up at most once a second.
final class Peers {
  private let table = try? Owned(SocketTable())
  private var known = Conversations()
  private var until: Int64 = 0
  /// Ports whose listeners are ours, for scanners to find.
  var traps = PortSet()

  /// - Parameter now: monotonic.
  func current(at now: Int64) -> Conversations {
    if now >= until, let table {
      until = now + 1_000_000_000
      // When the kernel does not tell, the safe list is one reason shorter; that is no reason to block nobody.
      let peers = (try? table.value.establishedPeers(except: traps)) ?? SocketTable.Peers()
      known = Conversations(served: peers.served, asked: peers.asked)
    }
    return known
  }

  /// Whom programs of this host ask at these ports.
  func asked(ports: Set<UInt16>) -> [(peer: IPAddress, port: UInt16)] {
    (try? table?.value.askedPeers(ports: ports)) ?? []
  }
}

/// Time and DHCP servers, without which this host would be lost: those that files name, by address or by a name looked up, and those
/// that are being asked.
struct NeededServers {
  /// Servers that were seen to be asked; further ones are not spared.
  static let capacity = 256
  static let roles: [UInt16: String] = [67: "the DHCP server", 123: "a time server", 547: "the DHCP server"]

  private let names = ServerNames()
  private var seen: [IPAddress: String] = [:]

  /// A program asks for a moment only; who was asked stays known for as long as we run.
  mutating func note(_ peers: [(peer: IPAddress, port: UInt16)]) {
    for (peer, port) in peers {
      guard let role = Self.roles[port] else { continue }
      if seen.count < Self.capacity { seen[peer] = "\(role) that a program of this host asks" }
    }
  }

  /// Who is spared, and why.
  ///
  /// - Parameters:
  ///   - named: what the files name, each with the file.
  ///   - now: monotonic.
  func networks(
    named: [(server: ServerFiles.Server, file: String)], at now: Int64
  ) -> [(network: IPNetwork, reason: String)] {
    var result: [(network: IPNetwork, reason: String)] = []
    var wanted: Set<String> = []
    for (server, file) in named {
      if let address = server.address {
        result.append((IPNetwork(address), "\(server.role) in \(file)"))
      } else {
        wanted.insert(server.name)
        for address in names.addresses(of: server.name) {
          result.append((IPNetwork(address), "\(server.role) in \(file), \(SafeText.line(server.name, limit: 64))"))
        }
      }
    }
    names.lookUp(wanted, now: now)
    return result + seen.map { (IPNetwork($0.key), $0.value) }
  }
}

/// What this host lives in, as far as nobody of it may be shut out.
struct Surroundings {
  let peers: Peers
  /// Asks for the peers: made once, not for each probe.
  let conversations: () -> Conversations
  var servers = NeededServers()
  /// Nil where the kernel does not tell of changes: then the list is read every 30 s.
  private let monitor = Owned(try? NetworkMonitor())
  /// Answers about links, addresses and routes: opened once, since a confined sentry may open no other.
  let reader: Owned<NetlinkSocket>?

  init() {
    let peers = Peers()
    self.peers = peers
    reader = try? NetlinkSocket.reader(nil)
    conversations = { peers.current(at: Clock.monotonic) }
  }

  var monitorDescriptor: Int32? { monitor.value?.descriptor }
  /// Whether addresses or routes have changed.
  func hasChanged() -> Bool { monitor.value?.drain() == true }

  /// Gateways, resolvers, our own addresses and needed servers as they are now.
  mutating func safeNetworks() throws(Errno) -> SafeNetworks {
    servers.note(peers.asked(ports: Set(NeededServers.roles.keys)))
    return try SafeNetworks.discover(
      with: reader, also: servers.networks(named: SafeNetworks.servers(), at: Clock.monotonic))
  }
}
