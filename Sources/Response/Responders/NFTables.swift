import CLinux
import Platform
import Wire

/// Shuts sources out with a table of our own in nf_tables, by netlink: no library, no child process.
///
/// The kernel drops by the table, lifts what has expired, and keeps all of it when we end. Nobody else's table is
/// touched. In `nft` syntax:
/// ```
/// table inet portsentry {
///   set banned4 { type ipv4_addr; flags timeout; }
///   set banned6 { type ipv6_addr; flags timeout; }
///   set banned4net { type ipv4_addr; flags interval,timeout; }
///   set banned6net { type ipv6_addr; flags interval,timeout; }
///   chain prerouting {
///     type filter hook prerouting priority raw; policy accept;
///     ip saddr @banned4 iif != lo counter goto banned
///     ip6 saddr @banned6 iif != lo counter goto banned
///     ip saddr @banned4net iif != lo counter goto banned
///     ip6 saddr @banned6net iif != lo counter goto banned
///   }
///   chain banned {
///     tcp flags & (syn | ack) != syn socket transparent 0 socket wildcard 0 accept
///     meta iifkind "bridge" fib daddr type != local accept
///     drop
///   }
/// }
/// ```
/// Hosts and networks are in different sets because a hash is several times faster than a tree. The rules for networks come
/// with the first one: every packet of the host pays for a rule. `NFTablesTrap` says what there is besides where strangers
/// are lied to.
/// Owned by one thread: no call may overlap another. No call waits for anything but the kernel.
package struct NFTables: ~Copyable {
  /// The table's name; its family is `inet`.
  package let table: String
  /// Our netlink port, by which `NFTablesMonitor` tells our own changes from others'.
  package let port: UInt32

  var trap: NFTablesTrap?
  /// Whether a network is or was blocked.
  var hasNetworks = false
  /// Whether a ban leaves open connections alone; false where the kernel lacks an expression for it.
  package private(set) var sparesConnections = true
  /// What the table is to be made of.
  var layout: NFTablesLayout {
    (trap?.layout ?? NFTablesLayout()).withBans(networks: hasNetworks, sparing: sparesConnections)
  }
  var socket: NetlinkSocket
  /// A dump comes in datagrams of up to 32 KiB, an error with the message it is about.
  var buffer = [UInt8](repeating: 0, count: 1 << 17)

  /// Opens the socket; touches no rule.
  ///
  /// - Parameter table: another name than ours is for tests. 1 to 31 ASCII letters, digits, `_`, `-`.
  /// - Throws: `.unsupported` where the kernel has no netfilter netlink.
  package init(table: String = "portsentry") throws(ResponderError) {
    let socket = try NetlinkSocket.netfilter()
    let port: UInt32
    do throws(Errno) { port = try socket.port() } catch { throw .failed(error) }
    self.table = table
    self.port = port
    self.socket = socket
    // An error need not bring back the 60 kB of message it is about.
    try? self.socket.file.setOption(NetlinkSocket.SOL_NETLINK, NETLINK_CAP_ACK, 1)
  }

  // MARK: The table

  /// Makes the table, its sets, chain and rules where they are missing or are not what they should be.
  ///
  /// One atomic change. Blocks that are in the sets stay, unless a set itself has the wrong type.
  ///
  /// - Returns: whether anything had to be made: then blocks may be missing, too.
  /// - Throws: `.notPermitted`, `.unsupported`, `.contended`, `.failed`.
  @discardableResult
  package mutating func ensure() throws(ResponderError) -> Bool {
    guard sparesConnections, trap == nil else { return try make() }
    do throws(ResponderError) { return try make() } catch .missing {
      // An expression that the kernel does not know is `ENOENT`: bans go on without it.
      sparesConnections = false
      return try make()
    } catch .unsupported {
      sparesConnections = false
      return try make()
    } catch {
      throw error
    }
  }

  mutating func make() throws(ResponderError) -> Bool {
    try unchanged { (self) throws(ResponderError) in
      let generation = try self.generation()
      try self.noticeNetworks()
      let state = try self.state()
      if state.isIntact(self.layout) { return false }
      var change = NFTablesTransaction(table: self.table, sequence: self.socket.nextSequence(), generation: generation)
      state.repair(&change, self.layout)
      try self.commit(&change)
      return true
    }
  }

  /// Whether table, sets, chains and rules are as `ensure()` makes them.
  package mutating func isIntact() throws(ResponderError) -> Bool { try state().isIntact(layout) }

  /// Sets or changes the trap, or takes it away (nil), and makes it so. Bans stay.
  ///
  /// - Throws: `.unsupported` where the kernel has no `socket`, `tproxy` or `fib` for nf_tables; then there is no trap, and
  ///   bans go on.
  package mutating func set(_ trap: NFTablesTrap?) throws(ResponderError) {
    guard trap != self.trap else { return }
    self.trap = trap
    do throws(ResponderError) { try ensure() } catch {
      self.trap = nil
      guard trap != nil, try state().tableFlags != nil else { throw error }
      try ensure()
      // The kernel has no name for what it cannot do: an expression it does not know is `ENOENT`.
      if case .missing = error { throw .unsupported("nftables with socket, tproxy and fib") }
      throw error
    }
  }

  /// How often a doubt found no room since the rules were made.
  package mutating func doubtsLost() throws(ResponderError) -> UInt64 {
    // Each trap has the chain. The whole layout is not made for its name: this is asked every second.
    guard trap != nil else { return 0 }
    var lost: UInt64 = 0
    for rule in try rules(of: "doubt") {
      for (_, expression) in NetlinkReply.attributeList(in: rule) {
        let parts = NetlinkReply.attributes(in: expression)
        guard parts[NFTA_EXPR_NAME]?.text == "counter" else { continue }
        lost &+= NetlinkReply.attributes(in: parts[NFTA_EXPR_DATA] ?? [])[NFTA_COUNTER_PACKETS]?.number64 ?? 0
      }
    }
    return lost
  }

  /// Whether a source is doubted at this moment, and for how much longer.
  package mutating func doubt(of address: IPAddress) throws(ResponderError) -> Duration? {
    guard let set = doubts(address.isV4) else { return nil }
    do throws(ResponderError) {
      return try elements(of: set, only: SetElement(key: Self.doubted(address).address.setKey)).first?.remaining.map {
        .milliseconds(Int64(clamping: $0))
      }
    } catch .missing {
      return nil
    } catch {
      throw error
    }
  }

  /// Ends doubts of which nobody but us was the cause. One that is not there is fine.
  package mutating func endDoubts(of addresses: [IPAddress]) throws(ResponderError) {
    for isV4 in [true, false] {
      let mine = addresses.filter { $0.isV4 == isV4 }
      guard !mine.isEmpty, let set = doubts(isV4) else { continue }
      try removeHosts(mine.map(Self.doubted), from: set)
    }
  }

  private func doubts(_ isV4: Bool) -> NFTablesSet? {
    layout.sets.first { $0.name == (isV4 ? "doubt4" : "doubt6") }
  }

  /// As what an address is doubted.
  private static func doubted(_ address: IPAddress) -> IPNetwork {
    address.isV4 ? IPNetwork(address) : IPNetwork(address, length: 64)!
  }

  /// Removes our table with all its blocks; one that is not there is fine.
  package mutating func deleteTable() throws(ResponderError) {
    var change = NFTablesTransaction(table: table, sequence: socket.nextSequence())
    // Adding first makes the removal succeed in any case.
    change.addTable()
    change.deleteTable()
    try commit(&change)
  }

  // MARK: Blocks

  /// Blocks networks, each for a time (nil: until it is removed). One that is there gets the new time.
  ///
  /// In bulk hosts go in steps of 16,000: when an error stops one step, the
  /// steps before it stay. Where networks overlap each address stays blocked as long as the longest block says; a
  /// network that lies wholly in a longer-lasting one is not listed.
  ///
  /// - Throws: `.missing` when the table or a set is gone: `ensure()` and repeat.
  package mutating func add(_ blocks: [(IPNetwork, Duration?)]) throws(ResponderError) {
    for set in NFTablesSet.bans {
      let mine = blocks.filter { $0.0.isV4 == set.isV4 && $0.0.isHost != set.holdsNetworks }
      if mine.isEmpty { continue }
      if set.holdsNetworks {
        try addNetworks(mine, to: set)
      } else {
        try addHosts(mine, to: set)
      }
    }
  }

  /// Lifts blocks. One that is not there is fine.
  ///
  /// - Throws: `.missing` when the table or a set is gone.
  package mutating func remove(_ networks: [IPNetwork]) throws(ResponderError) {
    for set in NFTablesSet.bans {
      let mine = networks.filter { $0.isV4 == set.isV4 && $0.isHost != set.holdsNetworks }
      if mine.isEmpty { continue }
      if set.holdsNetworks {
        try changeIntervals(of: set) { .removing(mine, from: $0) }
      } else {
        try removeHosts(mine, from: set)
      }
    }
  }

  /// The blocks in force with the time that remains (nil: no end). A range that somebody else put into a set is
  /// given as the networks that it is made of.
  ///
  /// - Throws: `.missing` when the table or a set is gone.
  package mutating func list() throws(ResponderError) -> [IPNetwork: Duration?] {
    var result: [IPNetwork: Duration?] = [:]
    func note(_ network: IPNetwork, _ remaining: UInt64?) {
      let time = remaining.map { Duration.milliseconds(Int64(clamping: $0)) }
      if let known = result[network] {
        guard let known, let time else {
          result[network] = .some(nil)
          return
        }
        result[network] = max(known, time)
      } else {
        result[network] = .some(time)
      }
    }
    for set in NFTablesSet.bans {
      if set.holdsNetworks {
        for interval in try intervals(of: set) {
          if let owner = interval.owner {
            note(owner, interval.remaining)
          } else {
            for network in IPNetwork.covering(first: interval.first, last: interval.last, isV4: set.isV4) {
              note(network, interval.remaining)
            }
          }
        }
      } else {
        let elements = try elements(of: set)
        result.reserveCapacity(result.count + elements.count)
        for element in elements {
          note(IPNetwork(IPAddress(setKey: element.key, isV4: set.isV4)), element.remaining)
        }
      }
    }
    return result
  }

  /// Networks that were blocked before we began.
  mutating func noticeNetworks() throws(ResponderError) {
    for set in NFTablesSet.bans where set.holdsNetworks && !hasNetworks {
      do throws(ResponderError) { hasNetworks = try !elements(of: set).isEmpty } catch {
        guard case .missing = error else { throw error }
      }
    }
  }

  // MARK: Hosts

  /// Hosts that go to the kernel as one change.
  static let hostsInChange = 16_000

  mutating func addHosts(_ blocks: [(IPNetwork, Duration?)], to set: NFTablesSet) throws(ResponderError) {
    var start = 0
    while start < blocks.count {
      let end = min(start + Self.hostsInChange, blocks.count)
      let elements = blocks[start..<end].map {
        SetElement(key: $0.0.address.setKey, timeout: $0.1.map(\.setMilliseconds) ?? 0)
      }
      start = end
      var change = NFTablesTransaction(table: table, sequence: socket.nextSequence())
      change.change(NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE | NLM_F_EXCL, set, elements)
      do throws(ResponderError) {
        try commit(&change)
      } catch {
        guard error.code == EEXIST else { throw error }
        try replaceHosts(elements, in: set)
      }
    }
  }

  /// Only kernels from 6.12 on can change the timeout of an element that is there. This works with all of them:
  /// add (so that it is there), delete (which then succeeds), add with the new time; atomically.
  mutating func replaceHosts(_ elements: [SetElement], in set: NFTablesSet) throws(ResponderError) {
    let last = Dictionary(elements.map { ($0.key, $0.timeout) }, uniquingKeysWith: { _, last in last })
    let keys = last.keys.map { SetElement(key: $0) }
    var change = NFTablesTransaction(table: table, sequence: socket.nextSequence())
    change.change(NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE, set, keys)
    change.change(NFT_MSG_DELSETELEM, set, keys)
    change.change(
      NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE, set, last.map { SetElement(key: $0.key, timeout: $0.value) })
    try commit(&change)
  }

  mutating func removeHosts(_ networks: [IPNetwork], from set: NFTablesSet) throws(ResponderError) {
    let keys = Set(networks.lazy.map(\.address.setKey)).map { SetElement(key: $0) }
    var start = 0
    while start < keys.count {
      let some = Array(keys[start..<min(start + Self.hostsInChange, keys.count)])
      start += some.count
      var change = NFTablesTransaction(table: table, sequence: socket.nextSequence())
      // Deleting what is not there is an error; what has just been added is there.
      change.change(NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE, set, some)
      change.change(NFT_MSG_DELSETELEM, set, some)
      try commit(&change)
    }
  }

  // MARK: Networks

  mutating func addNetworks(_ blocks: [(IPNetwork, Duration?)], to set: NFTablesSet) throws(ResponderError) {
    let intervals = blocks.map { BlockedInterval($0.0, remaining: $0.1.map(\.setMilliseconds)) }
    // Mostly nothing overlaps, and the kernel says so when it does.
    var change = NFTablesTransaction(table: table, sequence: socket.nextSequence())
    change.change(
      NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE | NLM_F_EXCL, set, intervals.flatMap { $0.elements(in: set) })
    do throws(ResponderError) {
      try commit(&change)
    } catch {
      guard [EEXIST, ENOTEMPTY].contains(error.code) else { throw error }
      let networks = blocks.map(\.0)
      try changeIntervals(of: set) { .adding(intervals, of: networks, to: $0, isV4: set.isV4) }
    }
    if !hasNetworks {
      hasNetworks = true
      try ensure()
    }
  }

  /// Reads an interval set, works out the change, and makes it only if nobody changed any rule in between.
  mutating func changeIntervals(
    of set: NFTablesSet, _ plan: ([BlockedInterval]) -> IntervalChange
  ) throws(ResponderError) {
    _ = try unchanged { (self) throws(ResponderError) in
      let generation = try self.generation()
      let plan = plan(try self.intervals(of: set))
      var change = NFTablesTransaction(table: self.table, sequence: self.socket.nextSequence(), generation: generation)
      change.change(NFT_MSG_DELSETELEM, set, plan.deleted.flatMap { $0.elements(in: set, forDeletion: true) })
      change.change(NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE, set, plan.added.flatMap { $0.elements(in: set) })
      if change.count > 0 { try self.commit(&change) }
      return true
    }
  }

  mutating func intervals(of set: NFTablesSet) throws(ResponderError) -> [BlockedInterval] {
    let elements = try elements(of: set)
    let ends = elements.lazy.filter(\.isEnd).map(\.key).sorted()
    let starts = elements.filter { !$0.isEnd }.sorted { $0.key < $1.key }
    var result: [BlockedInterval] = []
    var next = 0
    for start in starts {
      // The intervals of a set do not overlap, so the next end is this one's; without one it goes on to the last address.
      while next < ends.count, ends[next] <= start.key { next += 1 }
      let last = next < ends.count ? ends[next] - 1 : set.lastKey
      result.append(
        BlockedInterval(first: start.key, last: last, remaining: start.remaining, owner: start.owner))
    }
    return result
  }

  // MARK: Netlink

  /// How often to begin anew when others change rules while we do.
  static let attempts = 10

  /// Repeats a change that rests on what was read before, until nobody has changed anything in between.
  mutating func unchanged(
    _ body: (inout NFTables) throws(ResponderError) -> Bool
  ) throws(ResponderError) -> Bool {
    for _ in 0..<Self.attempts {
      do throws(ResponderError) { return try body(&self) } catch {
        guard error.code == ERESTART else { throw error }
      }
    }
    throw .contended("table inet \(table)")
  }

  /// Sends a transaction; the kernel has answered all of it when `send` returns.
  mutating func commit(_ change: inout NFTablesTransaction) throws(ResponderError) {
    change.finish()
    socket.skip(to: change.lastSequence &+ 1)
    let range = change.firstSequence...change.lastSequence
    var acknowledged = 0
    var failure: Int32 = 0
    do throws(Errno) {
      try socket.send(change.message)
      while try socket.receive(
        wait: false, buffer: &buffer,
        { reply in
          guard reply.type == UInt16(NLMSG_ERROR), range.contains(reply.sequence) else { return }
          let code = -(reply.fixed(Int32.self) ?? 0)
          if code == 0 { acknowledged += 1 } else if failure == 0 { failure = code }
        })
      {}
    } catch {
      throw .failed(error)
    }
    if failure != 0 { throw typed(Errno(failure, "nftables", "table inet \(table)"), "table inet \(table)") }
    // Silence is no consent: something we asked for was not answered.
    if acknowledged != change.count { throw .failed(Errno(EPROTO, "nftables", "table inet \(table)")) }
  }

  /// Asks for objects; again, when they changed while they were being told.
  mutating func read<Value>(
    _ kind: nf_tables_msg_types, dump: Bool, family: Int32 = Int32(NFPROTO_INET), _ what: String,
    _ request: (inout NetlinkMessage) -> Void,
    _ collect: (inout [Value], NetlinkReply) -> Void
  ) throws(ResponderError) -> [Value] {
    for _ in 0..<Self.attempts {
      let sequence = socket.nextSequence()
      var message = NetlinkMessage()
      message.begin(
        NFTablesTransaction.type(kind), flags: NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK), sequence: sequence,
        fixed: nfgenmsg(nfgen_family: UInt8(family), version: 0, res_id: 0))
      request(&message)
      message.end()
      var result: [Value] = []
      var interrupted = false
      do throws(Errno) {
        try socket.request(message, sequence: sequence, buffer: &buffer) { reply in
          if reply.flags & UInt16(NLM_F_DUMP_INTR) != 0 { interrupted = true }
          collect(&result, reply)
        }
      } catch {
        if error.code == EINTR { continue }
        throw typed(error, what)
      }
      if !interrupted { return result }
    }
    throw .contended(what)
  }

  func typed(_ error: Errno, _ what: String) -> ResponderError {
    switch error.code {
    case ENOENT: .missing(what)
    case EPERM, EACCES: .notPermitted("table inet \(table)")
    case EOPNOTSUPP, EPROTONOSUPPORT: .unsupported("nftables")
    default: .failed(error)
    }
  }
}
