import CLinux
import Platform
import Response
import Wire

/// The ways of blocking, opened when first needed, and the commands under way. No policy: it does what a `Block` says.
struct Blocker: ~Copyable {
  private var tables: Owned<NFTables>?
  private var monitor: Owned<NFTablesMonitor>?
  private var isWatching = false
  private var routes: Owned<RouteTable>?
  private(set) var hostsDeny: HostsDeny
  var commands = Commands()
  var settings: ResponsePolicy.Settings

  init(_ settings: ResponsePolicy.Settings) {
    self.settings = settings
    hostsDeny = HostsDeny(path: settings.hostsDenyFile)
  }

  mutating func reconfigure(_ settings: ResponsePolicy.Settings) {
    self.settings = settings
    hostsDeny = HostsDeny(path: settings.hostsDenyFile)
  }

  /// Readable when somebody else changed our table; nil while we have none.
  var monitorDescriptor: Int32? { monitor?.value.descriptor }

  /// Whether somebody else changed our table.
  mutating func tableWasTouched() -> Bool { monitor?.value.drain() ?? false }

  /// Makes the nftables table if it is not there.
  ///
  /// - Returns: true when it had to be made, wholly or in part.
  @discardableResult
  mutating func prepareTable() throws(ResponderError) -> Bool {
    if tables == nil { tables = Owned(try NFTables()) }
    if isWatching { watchTable() }
    return try tables!.value.ensure()
  }

  /// To be told of changes by others from now on. Not before the blocks of an earlier run are in: the kernel describes each element
  /// to whoever listens, which costs two fifths of the adding.
  mutating func watchTable() {
    isWatching = true
    if monitor == nil, let port = tables?.value.port { monitor = try? Owned(NFTablesMonitor(ownPort: port)) }
  }

  var hasTable: Bool { tables != nil }

  /// Sets up what lies to strangers, or takes it away (nil). Bans stay as they are.
  mutating func setTrap(_ trap: NFTablesTrap?) throws(ResponderError) {
    if tables == nil {
      if trap == nil { return }
      try prepareTable()
    }
    try tables!.value.set(trap)
  }

  /// Removes our table; for the end, when nothing in it is in force.
  mutating func removeTable() throws(ResponderError) { try tables?.value.deleteTable() }

  mutating func inputChains() throws(ResponderError) -> [String] { try tables?.value.inputChains() ?? [] }

  mutating func doubtsLost() throws(ResponderError) -> UInt64 { try tables?.value.doubtsLost() ?? 0 }

  mutating func doubt(of address: IPAddress) throws(ResponderError) -> Duration? {
    try tables?.value.doubt(of: address)
  }

  mutating func endDoubts(of addresses: [IPAddress]) throws(ResponderError) {
    try tables?.value.endDoubts(of: addresses)
  }

  // MARK: One block, one way

  mutating func addToTable(_ blocks: [(IPNetwork, Duration?)]) throws(ResponderError) {
    if tables == nil { try prepareTable() }
    do throws(ResponderError) {
      try tables!.value.add(blocks)
    } catch {
      // Somebody flushed the ruleset a moment ago: make it again, once.
      guard case .missing = error else { throw error }
      try prepareTable()
      try tables!.value.add(blocks)
    }
  }

  mutating func removeFromTable(_ networks: [IPNetwork]) throws(ResponderError) {
    guard tables != nil else { return }
    do throws(ResponderError) {
      try tables!.value.remove(networks)
    } catch {
      // No table, no block: that is what was wanted.
      guard case .missing = error else { throw error }
    }
  }

  /// What the kernel's sets hold, and for how long still.
  mutating func tableContents() throws(ResponderError) -> [IPNetwork: Duration?] {
    if tables == nil { try prepareTable() }
    return try tables!.value.list()
  }

  mutating func addRoute(_ network: IPNetwork, _ kind: RouteTable.Kind) throws(ResponderError) {
    if routes == nil { routes = Owned(try RouteTable()) }
    try routes!.value.add(network, kind)
  }

  mutating func removeRoute(_ network: IPNetwork) throws(ResponderError) {
    if routes == nil { routes = Owned(try RouteTable()) }
    try routes!.value.remove(network)
  }

  mutating func routesInForce() throws(ResponderError) -> Set<IPNetwork> {
    if routes == nil { routes = Owned(try RouteTable()) }
    return try routes!.value.list()
  }

  /// The line for hosts.deny; nil when the template names no target.
  func hostsDenyLine(_ network: IPNetwork, port: UInt16, mode: String) -> String? {
    guard let template = settings.killHostsDeny, template.containsBytes("$TARGET$") else { return nil }
    return HostsDeny.line(template, target: network, port: port, mode: mode)
  }
}
