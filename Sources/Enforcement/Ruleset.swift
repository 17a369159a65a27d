import Platform
import Response
import Wire

/// What of the kernel blocks and deceives: our nftables table and our routes. The kernel's own one, and one that tests look at.
package protocol Ruleset: AnyObject {
  /// Makes the table where it is missing or not as it should be.
  ///
  /// - Returns: whether it had to be made, wholly or in part.
  func prepare() throws(ResponderError) -> Bool
  /// To be told of changes by others from now on.
  func watch()
  func add(_ blocks: [(IPNetwork, Duration?)]) throws(ResponderError)
  func remove(_ networks: [IPNetwork]) throws(ResponderError)
  /// What the sets hold, and for how long still.
  func contents() throws(ResponderError) -> [IPNetwork: Duration?]
  /// Removes the table.
  func removeTable() throws(ResponderError)
  func addRoute(_ network: IPNetwork, _ kind: RouteTable.Kind) throws(ResponderError)
  func removeRoute(_ network: IPNetwork) throws(ResponderError)
  func routes() throws(ResponderError) -> Set<IPNetwork>
  /// Sets up what deceives strangers, or takes it away (nil). Bans stay as they are.
  func setTrap(_ trap: NFTablesTrap?) throws(ResponderError)
  func doubtsLost() throws(ResponderError) -> UInt64
  func doubt(of address: IPAddress) throws(ResponderError) -> Duration?
  func endDoubts(of addresses: [IPAddress]) throws(ResponderError)
  func inputChains() throws(ResponderError) -> [String]
  /// Readable when somebody else changed the table; nil while nobody watches.
  var monitorDescriptor: Int32? { get }
  /// Whether somebody else changed it.
  func wasTouched() -> Bool
}

/// The kernel's: its sockets are opened when first needed.
package final class KernelRuleset: Ruleset {
  private var tables: Owned<NFTables>?
  private var monitor: Owned<NFTablesMonitor>?
  private var isWatching = false
  private var routeTable: Owned<RouteTable>?
  /// Whether the trap that there should be is known: one that takes another's place may not take away what that one put up.
  private var isTrapKnown: Bool

  package init(isTrapKnown: Bool = true) { self.isTrapKnown = isTrapKnown }

  private func open() throws(ResponderError) {
    if tables == nil { tables = Owned(try NFTables()) }
    if isWatching { watch() }
  }

  package func prepare() throws(ResponderError) -> Bool {
    try open()
    return isTrapKnown ? try tables!.value.ensure() : false
  }

  /// Not before the blocks of an earlier run are in: the kernel describes each element to whoever listens, which costs two fifths of the
  /// adding.
  package func watch() {
    isWatching = true
    if monitor == nil, let port = tables?.value.port { monitor = try? Owned(NFTablesMonitor(ownPort: port)) }
  }

  package var monitorDescriptor: Int32? { monitor?.value.descriptor }
  package func wasTouched() -> Bool { monitor?.value.drain() ?? false }

  package func add(_ blocks: [(IPNetwork, Duration?)]) throws(ResponderError) {
    if tables == nil { _ = try prepare() }
    do throws(ResponderError) { try tables!.value.add(blocks) } catch {
      // Somebody flushed the ruleset a moment ago: make it again, once.
      guard case .missing = error else { throw error }
      _ = try prepare()
      try tables!.value.add(blocks)
    }
  }

  package func remove(_ networks: [IPNetwork]) throws(ResponderError) {
    try open()
    do throws(ResponderError) { try tables!.value.remove(networks) } catch {
      // No table, no block: that is what was wanted.
      guard case .missing = error else { throw error }
    }
  }

  package func contents() throws(ResponderError) -> [IPNetwork: Duration?] {
    try open()
    return try tables!.value.list()
  }

  package func removeTable() throws(ResponderError) {
    try open()
    try tables!.value.deleteTable()
  }

  private func openRoutes() throws(ResponderError) {
    if routeTable == nil { routeTable = Owned(try RouteTable()) }
  }

  package func addRoute(_ network: IPNetwork, _ kind: RouteTable.Kind) throws(ResponderError) {
    try openRoutes()
    try routeTable!.value.add(network, kind)
  }

  package func removeRoute(_ network: IPNetwork) throws(ResponderError) {
    try openRoutes()
    try routeTable!.value.remove(network)
  }

  package func routes() throws(ResponderError) -> Set<IPNetwork> {
    try openRoutes()
    return try routeTable!.value.list()
  }

  package func setTrap(_ trap: NFTablesTrap?) throws(ResponderError) {
    let isNew = !isTrapKnown
    isTrapKnown = true
    if tables == nil {
      if trap == nil { return }
      try open()
    }
    try tables!.value.set(trap)
    // Put up by the one before, and as it is to be.
    if isNew { _ = try tables!.value.ensure() }
  }

  package func doubtsLost() throws(ResponderError) -> UInt64 { try tables?.value.doubtsLost() ?? 0 }
  package func doubt(of address: IPAddress) throws(ResponderError) -> Duration? {
    try tables?.value.doubt(of: address)
  }
  package func endDoubts(of addresses: [IPAddress]) throws(ResponderError) {
    try tables?.value.endDoubts(of: addresses)
  }
  package func inputChains() throws(ResponderError) -> [String] { try tables?.value.inputChains() ?? [] }
}
