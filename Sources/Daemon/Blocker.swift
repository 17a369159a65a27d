import CLinux
import Enforcement
import Platform
import Response
import Wire

/// The ways of blocking, and the commands under way: what is the kernel's goes to the enforcer as an order. No policy: it does what a
/// `Block` says.
struct Blocker: ~Copyable {
  let enforcer: EnforcerLink
  private(set) var hostsDeny: HostsDeny
  var commands = Commands()
  var settings: ResponsePolicy.Settings
  /// Whether we have a table in the kernel.
  private(set) var hasTable = false
  /// Whether the enforcer was told of routes.
  var hasRoutes = false

  /// - Parameter enforcer: in this process where there is no other.
  init(_ settings: ResponsePolicy.Settings, _ enforcer: EnforcerLink = EnforcerLink()) {
    self.settings = settings
    self.enforcer = enforcer
    hostsDeny = HostsDeny(path: settings.hostsDenyFile)
  }

  mutating func reconfigure(_ settings: ResponsePolicy.Settings) {
    self.settings = settings
    hostsDeny = HostsDeny(path: settings.hostsDenyFile)
    do throws(ResponderError) { _ = try enforcer.ask(.reread) } catch {
      // It reads them by itself when it starts anew.
    }
  }

  /// To be told of changes by others from now on. Not before the blocks of an earlier run are in: the kernel describes each element
  /// to whoever listens, which costs two fifths of the adding.
  func watchTable() { _ = try? enforcer.ask(.watch) }

  /// Blocks of before are in force: from now on what the enforcer is asked for is new.
  func seal() { _ = try? enforcer.ask(.seal) }

  // MARK: The trap

  /// Sets up what lies to strangers, or takes it away (nil). Bans stay as they are.
  mutating func setTrap(_ trap: NFTablesTrap?) throws(ResponderError) {
    guard let trap else {
      if hasTable { _ = try enforcer.ask(.noTrap) }
      return
    }
    hasTable = true
    let ports: [(EnforcerOrder.TrapPorts, PortSet)] = [
      (.decoy, trap.decoy), (.tcp, trap.tcp), (.udp, trap.udp), (.closed4, trap.closed4), (.closed6, trap.closed6),
    ]
    for (which, ports) in ports { try enforcer.pass(.trapPorts(which, ports)) }
    for part in trap.spared.sorted.parts(of: EnforcerOrder.Part.networks) { try enforcer.pass(.trapSpared(part)) }
    for (isBridges, names) in [(false, trap.interfaces), (true, trap.bridges)] {
      for part in names.parts(of: EnforcerOrder.Part.names) {
        try enforcer.pass(.trapNames(isBridges: isBridges, part))
      }
    }
    var head = EnforcerOrder.TrapHead()
    (head.v4, head.v6, head.mayMeetCookies) = (trap.v4, trap.v6, trap.mayMeetCookies)
    head.doubt = trap.doubt.map { max($0.wholeNanoseconds, 1) } ?? 0
    _ = try enforcer.ask(.trap(head))
  }

  /// Removes our table; for the end, when nothing in it is in force.
  func removeTable() throws(ResponderError) { if hasTable { _ = try enforcer.ask(.removeTable) } }

  /// The chains of other firewalls that a packet to this host has to pass.
  func inputChains() throws(ResponderError) -> [String] {
    guard hasTable, case .chains(let chains) = try enforcer.ask(.inputChains) else { return [] }
    return chains
  }

  func doubtsLost() throws(ResponderError) -> UInt64 {
    guard hasTable, case .number(let number) = try enforcer.ask(.doubtsLost) else { return 0 }
    return number
  }

  func doubt(of address: IPAddress) throws(ResponderError) -> Duration? {
    guard hasTable, case .remaining(let time) = try enforcer.ask(.doubt(address)) else { return nil }
    return time.map { .nanoseconds($0) }
  }

  func endDoubts(of addresses: [IPAddress]) throws(ResponderError) {
    guard hasTable else { return }
    for part in addresses.parts(of: EnforcerOrder.Part.addresses) { _ = try enforcer.ask(.endDoubts(part)) }
  }

  // MARK: Blocks

  /// Shuts out a block's network in some ways.
  mutating func put(_ block: Block, _ ways: Permit.Ways, at now: Timestamp) throws(ResponderError) {
    if ways.isEmpty { return }
    if ways.contains(.sets) { hasTable = true }
    _ = try enforcer.ask(
      .ban(EnforcerOrder.Ban(block.network, block.record.claim, ways, remaining: block.remaining(at: now))))
  }

  func removeFromTable(_ networks: [IPNetwork]) throws(ResponderError) {
    guard hasTable else { return }
    var before: UInt32 = 0
    let parts = networks.parts(of: EnforcerOrder.Part.networks)
    for part in parts.dropLast() {
      try enforcer.pass(.lift(part, after: before, isLast: false))
      before += UInt32(part.count)
    }
    if let last = parts.last { _ = try enforcer.ask(.lift(last, after: before, isLast: true)) }
  }

  func removeRoute(_ network: IPNetwork) throws(ResponderError) { _ = try enforcer.ask(.removeRoute(network)) }

  /// Has the enforcer compare what should be in force with what is.
  ///
  /// - Returns: how many blocks somebody else had lifted or added.
  mutating func mend(_ bans: [EnforcerOrder.Ban], needsTable: Bool) throws(ResponderError) -> Int {
    if needsTable { hasTable = true }
    var digest = Permit.Digest()
    for ban in bans { digest.insert(ban.network, ban.ways) }
    if case .mended(let count, _, _) = try enforcer.ask(.mend(digest, needsTable: needsTable)) { return Int(count) }
    // It does not think so: it has all of it told.
    var before: UInt32 = 0
    var parts = bans.parts(of: EnforcerOrder.Part.bans)
    if parts.isEmpty { parts = [[]] }
    for part in parts.dropLast() {
      try enforcer.pass(.whole(part, after: before, isLast: false))
      before += UInt32(part.count)
    }
    let taken = try enforcer.ask(.whole(parts[parts.count - 1], after: before, isLast: true))
    guard case .mended(let count, _, _) = try enforcer.ask(.mend(nil, needsTable: needsTable)) else { return 0 }
    if case .mended(_, let refused, let why) = taken, refused > 0 {
      throw .unacceptable("the enforcer refuses \(refused) blocks, the first of them \(why)")
    }
    return Int(count)
  }

  // MARK: hosts.deny

  /// The line for hosts.deny; nil when the template names no target.
  func hostsDenyLine(_ network: IPNetwork, port: UInt16, mode: String) -> String? {
    guard let template = settings.killHostsDeny, template.containsBytes("$TARGET$") else { return nil }
    return HostsDeny.line(template, target: network, port: port, mode: mode)
  }
}

extension Array {
  /// In pieces of `size`, the last one shorter.
  func parts(of size: Int) -> [[Element]] {
    stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
  }
}
