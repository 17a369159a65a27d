import Detection
import Wire

/// Whom something speaks against, and how well it is known that it was they: joins the two questions that a block has to
/// answer. Pure: time is passed in.
///
/// A verdict says what was done in a source's name, a proof that the source is where it says. Each may come first. They go
/// together when no more than an hour lies between them: an address changes hands, and a verdict that somebody forged must
/// not wait for years until its victim mistypes a port.
///
/// Holds `capacity` sources. When full, the one that costs a stranger least goes first: unproven ones, then proven ones without
/// a verdict, last those with both; the oldest of its kind. What is forgotten begins anew with its next packet.
package struct Suspects: Sendable {
  /// What is known of one source.
  package struct Entry: Sendable, Equatable {
    package var accusation: Grounds.Accusation?
    package var accused = Timestamp.distantPast
    package var origin: Grounds.ProofOfOrigin?
    /// It had a conversation with a service of this host when it first came to notice, or more than a second later and before
    /// there was a verdict: one wrong port does not make a scanner of whoever has worked here since.
    package var wasServed = false
    /// Unused ports to which it completed connections within an hour, each once; of more than three the first.
    package fileprivate(set) var contacts: [UInt16] = []
    /// Why it was not blocked when it might have been; the last reason.
    package var refusal: String?
    package var first: Timestamp
    /// Of a prefix: when it was last found that enough of its members have proven themselves.
    fileprivate var borneOut: Timestamp?

    fileprivate var rank: Int { origin == nil ? 0 : accusation == nil ? 1 : 2 }
  }

  /// What is to be done about a source.
  package enum Outcome: Sendable, Equatable {
    /// There is a verdict, and as much proof as is asked for.
    case ban(IPAddress, Grounds)
    /// There is no verdict, or not any more.
    case noVerdict
    /// Nobody knows whether it was this address.
    case unproven
    /// It works with a service here: what may be forged does not speak against it, and it has connected to too few unused ports itself.
    case spared
  }

  /// To so many unused ports somebody connects himself before a native verdict, which forged packets can bring about, shuts him out
  /// while he works with a service: as many as are a scan by the native rule.
  package static let contactsOfUser = 3

  /// How far apart verdict and proof may be.
  package static let window = Duration.seconds(3600)

  private let capacity: Int
  private var entries: [IPNetwork: Entry] = [:]
  /// By rank, the oldest first; those that have since gone or changed rank are passed over.
  private var queues = [ArrivalOrder<IPNetwork>](repeating: ArrivalOrder(), count: 3)
  /// Proven addresses: a verdict about a prefix looks for its members.
  private var provenAddresses: Set<IPAddress> = []
  /// Sources forgotten to make room.
  package private(set) var evictions: UInt64 = 0

  package init(capacity: Int = 32_768) { self.capacity = capacity }

  package var count: Int { entries.count }
  /// Places in the queues, those passed over included; bounded by the capacity.
  package var places: Int { queues.reduce(0) { $0 + $1.count } }
  package var proven: Int { entries.values.count { $0.origin != nil } }

  /// What is known of an address: by itself, or of the prefix it is in.
  package func entry(for address: IPAddress) -> Entry? {
    holders(of: address).lazy.compactMap { entries[$0] }.first
  }

  /// Whether there is a verdict about this very address, and a proof.
  package func isProvenScanner(_ address: IPAddress) -> Bool { entries[IPNetwork(address)]?.rank == 2 }

  /// Takes note of a verdict.
  ///
  /// - Parameters:
  ///   - isServed: whether the source is in conversation with a service of this host; counts when it is new.
  ///   - demand: `PROOF`.
  package mutating func accuse(
    _ network: IPNetwork, _ accusation: Grounds.Accusation, isServed: Bool, at time: Timestamp,
    demanding demand: ProofDemand
  ) -> Outcome {
    change(network, isServed: isServed, at: time) {
      if isServed, $0.accusation == nil, time - $0.first > .seconds(1) { $0.wasServed = true }
      $0.accusation = accusation
      $0.accused = time
    }
    if network.isHost { return outcome(for: network.address, at: time, demanding: demand, isUser: isServed) }
    let members = provenMembers(of: network, near: time)
    if !members.isEmpty { entries[network]?.borneOut = time }
    let member = members.first
    return member.map { outcome(for: $0, at: time, demanding: demand) } ?? .unproven
  }

  /// Who of a prefix has proven itself, when that is enough for a verdict about the prefix to hold for its members; empty
  /// otherwise, and for prefixes by which nobody is judged.
  ///
  /// An IPv6 /64 is one link, so one proof shows who changes its address there. In a wider prefix and in an IPv4 /24 there are
  /// neighbours who have nothing to do with one another: there the scan itself must have come through handshakes, of four.
  package func provenMembers(of network: IPNetwork, near time: Timestamp) -> [IPAddress] {
    guard Self.judgedPrefixes(above: IPNetwork(network.address)).contains(network) else { return [] }
    let members = provenAddresses.filter { address in
      network.contains(address) && entries[IPNetwork(address)]?.origin.map { Self.areNear($0.time, time) } ?? false
    }
    return members.count >= Self.membersNeeded(in: network) ? members.sorted() : []
  }

  /// Looks whether a new proof makes enough for what its prefixes are accused of. Goes through all proven addresses: once for
  /// each address and hour, and only where there is such an accusation.
  private mutating func bearOut(_ address: IPAddress, at time: Timestamp) {
    for prefix in Self.judgedPrefixes(above: IPNetwork(address)) {
      guard let entry = entries[prefix], entry.accusation != nil,
        !(entry.borneOut.map { Self.areNear($0, time) } ?? false),
        !provenMembers(of: prefix, near: time).isEmpty
      else { continue }
      entries[prefix]?.borneOut = time
    }
  }

  private static func membersNeeded(in network: IPNetwork) -> Int { !network.isV4 && network.length >= 64 ? 1 : 4 }

  /// Takes note of a proof.
  ///
  /// - Returns: whether it is news, and what is to be done.
  package mutating func prove(
    _ address: IPAddress, _ origin: Grounds.ProofOfOrigin, isServed: Bool, demanding demand: ProofDemand
  ) -> (isNews: Bool, Outcome) {
    let network = IPNetwork(address)
    let before = entries[network]?.origin
    change(network, isServed: isServed, at: origin.time) {
      if let before = $0.origin, !Self.areNear(before.time, origin.time) { $0.contacts = [] }
      if $0.contacts.count < Self.contactsOfUser, !$0.contacts.contains(origin.port) { $0.contacts.append(origin.port) }
      $0.origin = origin
    }
    let isNews = before.map { !Self.areNear($0.time, origin.time) } ?? true
    if isNews { bearOut(address, at: origin.time) }
    return (isNews, outcome(for: address, at: origin.time, demanding: demand, isUser: isServed))
  }

  /// What is to be done about a source as things stand.
  ///
  /// - Parameter isUser: whether it is in conversation with a service of this host at this moment.
  package func outcome(
    for address: IPAddress, at now: Timestamp, demanding demand: ProofDemand, isUser: Bool = false
  ) -> Outcome {
    let holder = holders(of: address).first { network in
      guard let entry = entries[network], entry.accusation != nil, Self.areNear(entry.accused, now) else {
        return false
      }
      return network.isHost || Self.membersNeeded(in: network) == 1
        || entry.borneOut.map { Self.areNear($0, now) } ?? false
    }
    guard let holder, let accusation = entries[holder]?.accusation else { return .noVerdict }
    let origin = entries[IPNetwork(address)]?.origin.flatMap { Self.areNear($0.time, now) ? $0 : nil }
    if origin == nil, demand == .handshake { return .unproven }
    // Three forged SYNs are a verdict, and one mistyped port a proof.
    if isUser, demand == .handshake, case .verdict = accusation,
      entries[IPNetwork(address)].map({ $0.contacts.count < Self.contactsOfUser }) ?? true
    {
      return .spared
    }
    return .ban(address, Grounds(accusation, origin))
  }

  /// Forgets a source, or all that are known within a prefix: somebody has let it in again, and it begins anew.
  package mutating func forget(within network: IPNetwork) {
    let gone = network.isHost ? [network] : entries.keys.filter { network.contains($0) }
    for network in gone {
      entries[network] = nil
      provenAddresses.remove(network.address)
    }
  }

  /// Remembers why a source was not blocked.
  package mutating func refuse(_ address: IPAddress, because reason: String) {
    entries[IPNetwork(address)]?.refusal = reason
  }

  private static func areNear(_ a: Timestamp, _ b: Timestamp) -> Bool {
    (a - b).wholeNanoseconds.magnitude <= window.wholeNanoseconds.magnitude
  }

  /// The address, then the prefixes by which a source that changes its address is judged.
  private func holders(of address: IPAddress) -> [IPNetwork] {
    [IPNetwork(address)] + Self.judgedPrefixes(above: IPNetwork(address))
  }

  /// The prefixes of which a distributed scan is told: the same as in `CampaignTable.Bond`.
  private static func judgedPrefixes(above host: IPNetwork) -> [IPNetwork] {
    host.isV4 ? [IPNetwork(host.address, length: 24)!] : Aggregation.prefixes(above: host)
  }

  private mutating func change(
    _ network: IPNetwork, isServed: Bool, at time: Timestamp, _ body: (inout Entry) -> Void
  ) {
    let known = entries[network]
    var entry = known ?? Entry(wasServed: isServed, first: time)
    body(&entry)
    if known == nil, entries.count >= capacity { evict() }
    entries[network] = entry
    if known?.rank != entry.rank {
      let rank = entry.rank
      queues[rank].append(network, bound: 2 * capacity + 1024) { entries[$0]?.rank == rank }
      if entry.origin != nil, network.isHost { provenAddresses.insert(network.address) }
    }
  }

  private mutating func evict() {
    for rank in 0...2 {
      guard let network = queues[rank].takeOldest(where: { entries[$0]?.rank == rank }) else { continue }
      entries[network] = nil
      provenAddresses.remove(network.address)
      evictions &+= 1
      return
    }
  }
}
