import Response
import Wire

/// What the sentry may ask of the enforcer: the whole list. One datagram each (SOCK_SEQPACKET), of one length for each kind, so that
/// none is ever read in part; one that is none of these ends the connection.
package enum EnforcerOrder: Equatable, Sendable {
  /// Shuts a network out; one that is shut out already gets the new time.
  case ban(Ban)
  /// A part of all that is to be in force, at most `Part.bans`, and how many were in those before it. What is not in it is to be in force no more; `mend` makes it so.
  case whole([Ban], after: UInt32, isLast: Bool)
  /// Compares what should be in force with what is. The digest is that of what the sentry thinks should be; nil after the whole.
  case mend(Permit.Digest?, needsTable: Bool)
  /// Lifts networks out of the sets, at most `Part.networks`.
  case lift([IPNetwork], after: UInt32, isLast: Bool)
  case removeRoute(IPNetwork)
  /// To be told from now on when somebody else changes the table.
  case watch
  /// Removes the table, where nothing is in force.
  case removeTable

  /// What the trap is made of, part by part, decoys' ports first, all kinds of ports; then `trap`.
  case trapPorts(TrapPorts, PortSet)
  /// At most `Part.networks`.
  case trapSpared([IPNetwork])
  /// At most `Part.names`.
  case trapNames(isBridges: Bool, [String])
  /// Puts it up, with the parts that came.
  case trap(TrapHead)
  case noTrap

  case doubtsLost
  case doubt(IPAddress)
  /// At most `Part.addresses`.
  case endDoubts([IPAddress])
  case inputChains
  /// Configuration and ignore file are to be read again.
  case reread
  /// Blocks of before are in force: what comes now is new.
  case seal
  case health

  /// How many of a kind are in one datagram.
  package enum Part {
    package static let bans = 64
    package static let networks = 64
    package static let addresses = 64
    package static let names = 16
    package static let name = 16
  }

  package struct Ban: Equatable, Sendable {
    package var network: IPNetwork
    package var claim: Permit.Claim
    package var ways: Permit.Ways
    /// In nanoseconds, above 0; 0 for ever.
    package var remaining: Int64

    package init(_ network: IPNetwork, _ claim: Permit.Claim, _ ways: Permit.Ways, remaining: Duration?) {
      self.network = network
      self.claim = claim
      self.ways = ways
      self.remaining = remaining.map { max($0.wholeNanoseconds, 1) } ?? 0
    }
  }

  /// Which ports of the trap.
  package enum TrapPorts: UInt8, Sendable, CaseIterable { case decoy = 1, tcp, udp, closed4, closed6 }

  package struct TrapHead: Equatable, Sendable {
    package var v4: NFTablesTrap.Door?
    package var v6: NFTablesTrap.Door?
    /// In nanoseconds; 0 for none.
    package var doubt: Int64 = 0
    package var mayMeetCookies = true

    package init() {}
  }

  // MARK: Bytes

  private enum Kind: UInt8, CaseIterable {
    case ban = 1
    case whole, mend, lift, removeRoute, watch, removeTable, trapPorts, trapSpared, trapNames, trap, noTrap, doubtsLost,
      doubt, endDoubts, inputChains, reread, seal, health

    /// Of the datagram.
    var size: Int {
      switch self {
      case .ban: 1 + 27
      case .whole: 1 + 6 + Part.bans * 27
      case .mend: 1 + 14
      case .lift: 1 + 6 + Part.networks * 17
      case .removeRoute: 1 + 17
      case .trapPorts: 1 + 1 + 8_192
      case .trapSpared: 1 + 1 + Part.networks * 17
      case .trapNames: 1 + 2 + Part.names * Part.name
      case .trap: 1 + 19
      case .doubt: 1 + 16
      case .endDoubts: 1 + 1 + Part.addresses * 16
      case .watch, .removeTable, .noTrap, .doubtsLost, .inputChains, .reread, .seal, .health: 1
      }
    }
  }

  /// The largest datagram.
  package static let largest = Kind.allCases.map(\.size).max() ?? 0

  private var kind: Kind {
    switch self {
    case .ban: .ban
    case .whole: .whole
    case .mend: .mend
    case .lift: .lift
    case .removeRoute: .removeRoute
    case .watch: .watch
    case .removeTable: .removeTable
    case .trapPorts: .trapPorts
    case .trapSpared: .trapSpared
    case .trapNames: .trapNames
    case .trap: .trap
    case .noTrap: .noTrap
    case .doubtsLost: .doubtsLost
    case .doubt: .doubt
    case .endDoubts: .endDoubts
    case .inputChains: .inputChains
    case .reread: .reread
    case .seal: .seal
    case .health: .health
    }
  }

  package var bytes: [UInt8] {
    let kind = kind
    var out = MessageWriter(kind.rawValue, size: kind.size)
    switch self {
    case .ban(let ban): out.put(ban)
    case .whole(let bans, let before, let isLast):
      out.put(before)
      out.put(isLast)
      out.put(UInt8(bans.count))
      for ban in bans { out.put(ban) }
    case .mend(let digest, let needsTable):
      out.put(needsTable)
      out.put(digest != nil)
      out.put(digest?.count ?? 0)
      out.put(digest?.sum ?? 0)
    case .lift(let networks, let before, let isLast):
      out.put(before)
      out.put(isLast)
      out.put(UInt8(networks.count))
      for network in networks { out.put(network) }
    case .removeRoute(let network): out.put(network)
    case .trapPorts(let which, let ports):
      out.put(which.rawValue)
      out.put(ports)
    case .trapSpared(let networks):
      out.put(UInt8(networks.count))
      for network in networks { out.put(network) }
    case .trapNames(let isBridges, let names):
      out.put(isBridges)
      out.put(UInt8(names.count))
      for name in names { out.put(name, Part.name) }
    case .trap(let head): out.put(head)
    case .doubt(let address): out.put(address)
    case .endDoubts(let addresses):
      out.put(UInt8(addresses.count))
      for address in addresses { out.put(address) }
    case .watch, .removeTable, .noTrap, .doubtsLost, .inputChains, .reread, .seal, .health: break
    }
    return out.bytes
  }

  /// Nil where it is no order.
  package init?(_ bytes: ArraySlice<UInt8>) {
    guard let kind = bytes.first.flatMap(Kind.init), bytes.count == kind.size else { return nil }
    var from = MessageReader(bytes.dropFirst())
    switch kind {
    case .ban, .whole, .mend, .lift, .removeRoute:
      guard let order = Self.ofBlocks(kind, &from) else { return nil }
      self = order
    case .trapPorts, .trapSpared, .trapNames, .trap, .noTrap:
      guard let order = Self.ofTrap(kind, &from) else { return nil }
      self = order
    case .doubt:
      guard let address = from.address() else { return nil }
      self = .doubt(address)
    case .endDoubts:
      guard let addresses = from.list(Part.addresses, { $0.address() }) else { return nil }
      self = .endDoubts(addresses)
    case .watch: self = .watch
    case .removeTable: self = .removeTable
    case .doubtsLost: self = .doubtsLost
    case .inputChains: self = .inputChains
    case .reread: self = .reread
    case .seal: self = .seal
    case .health: self = .health
    }
    // What is behind a list is zero.
    guard from.isRestZero else { return nil }
  }

  private static func ofBlocks(_ kind: Kind, _ from: inout MessageReader) -> EnforcerOrder? {
    switch kind {
    case .ban: return from.ban().map { .ban($0) }
    case .whole:
      guard let before = from.number(UInt32.self), let isLast = from.flag(),
        let bans = from.list(Part.bans, { $0.ban() })
      else { return nil }
      return .whole(bans, after: before, isLast: isLast)
    case .mend:
      guard let needsTable = from.flag(), let isThere = from.flag(), let count = from.number(UInt32.self),
        let sum = from.number(UInt64.self), isThere || (count == 0 && sum == 0)
      else { return nil }
      return .mend(isThere ? Permit.Digest(count: count, sum: sum) : nil, needsTable: needsTable)
    case .lift:
      guard let before = from.number(UInt32.self), let isLast = from.flag(),
        let networks = from.list(Part.networks, { $0.network() })
      else { return nil }
      return .lift(networks, after: before, isLast: isLast)
    default: return from.network().map { .removeRoute($0) }
    }
  }

  private static func ofTrap(_ kind: Kind, _ from: inout MessageReader) -> EnforcerOrder? {
    switch kind {
    case .trapPorts:
      guard let which = from.number(UInt8.self).flatMap(TrapPorts.init), let ports = from.ports() else { return nil }
      return .trapPorts(which, ports)
    case .trapSpared: return from.list(Part.networks) { $0.network() }.map { .trapSpared($0) }
    case .trapNames:
      guard let isBridges = from.flag(), let names = from.list(Part.names, { $0.name(Part.name) }) else { return nil }
      return .trapNames(isBridges: isBridges, names)
    case .trap: return from.head().map { .trap($0) }
    default: return .noTrap
    }
  }
}

extension MessageWriter {
  fileprivate mutating func put(_ ban: EnforcerOrder.Ban) {
    put(ban.network)
    put(ban.claim.rawValue)
    put(ban.ways.rawValue)
    put(UInt64(bitPattern: ban.remaining))
  }

  fileprivate mutating func put(_ head: EnforcerOrder.TrapHead) {
    for door in [head.v4, head.v6] {
      put(door != nil)
      put(door?.tcp ?? 0)
      put(door?.udp ?? 0)
    }
    put(head.mayMeetCookies)
    put(UInt64(bitPattern: head.doubt))
  }
}

extension MessageReader {
  fileprivate mutating func ban() -> EnforcerOrder.Ban? {
    guard let network = network(), let claim = number(UInt8.self).flatMap(Permit.Claim.init),
      let ways = number(UInt8.self), ways != 0, ways & ~Permit.Ways.all.rawValue == 0,
      let remaining = number(UInt64.self).map({ Int64(bitPattern: $0) }), remaining >= 0
    else { return nil }
    return EnforcerOrder.Ban(
      network, claim, Permit.Ways(rawValue: ways), remaining: remaining == 0 ? nil : .nanoseconds(remaining))
  }

  fileprivate mutating func head() -> EnforcerOrder.TrapHead? {
    var doors: [NFTablesTrap.Door?] = []
    for _ in 0..<2 {
      guard let isThere = flag(), let tcp = number(UInt16.self), let udp = number(UInt16.self),
        isThere || (tcp == 0 && udp == 0)
      else { return nil }
      doors.append(isThere ? NFTablesTrap.Door(tcp: tcp, udp: udp) : nil)
    }
    guard let cookies = flag(), let doubt = number(UInt64.self).map({ Int64(bitPattern: $0) }), doubt >= 0 else {
      return nil
    }
    var head = EnforcerOrder.TrapHead()
    (head.v4, head.v6, head.mayMeetCookies, head.doubt) = (doors[0], doors[1], cookies, doubt)
    return head
  }
}
