import Memory
import Wire

/// Finds sources that act as one: each with a probe or two, all with the same marks, sharing the ports among themselves
/// (a scan from many addresses, or from one that changes its address within a prefix).
///
/// Fixed memory: the newest sources that something speaks against, an eighth of what `SourceTable` holds and at most 65,536, and
/// 16,384 groups of them. When it is full the
/// oldest member leaves its groups, and a new group takes the place of a smaller one of the same hash.
struct CampaignTable: ~Copyable {
  /// The first touch of a source.
  struct Member: BitwiseCopyable {
    var source = IPAddress.unspecified
    var time = Timestamp.distantPast
    var shape: UInt32 = 0
    var port: UInt16 = 0
    var sourcePort: UInt16 = 0
    var hopLimit: UInt8 = 0
    var family: UInt8 = 0
    var isUsed = false
    /// Thousandths of a nat.
    var weight: Int16 = 0
  }

  /// By what a group is held together, besides the marks of the program.
  enum Bond: UInt8 {
    /// The program's marks alone: it is none that ordinary systems run.
    case marks
    case v4Prefix24
    case v6Prefix64
    case v6Prefix56
    case v6Prefix48

    /// Those that may hold an address.
    @inline(__always)
    static func forEach(of source: IPAddress, _ body: (Bond) -> Void) {
      body(.marks)
      if source.isV4 {
        body(.v4Prefix24)
      } else {
        body(.v6Prefix64)
        body(.v6Prefix56)
        body(.v6Prefix48)
      }
    }

    var prefixLength: Int {
      switch self {
      case .marks: 0
      case .v4Prefix24: 24
      case .v6Prefix64: 64
      case .v6Prefix56: 56
      case .v6Prefix48: 48
      }
    }
  }

  struct Group: BitwiseCopyable {
    var key: UInt64 = 0
    var count: UInt32 = 0
    /// The count at which it is looked at again.
    var nextLook: UInt32 = 0
    var isConvicted = false
  }

  private let memberCapacity: Int
  private static let groupCapacity = 16_384
  /// Members further apart than this have nothing to do with each other.
  static let window: Int64 = 86_400 * 1_000_000_000
  /// Fewer of one prefix than this have to come within the shorter time.
  private static let fewNeighbours = 12
  private static let shortWindow: Int64 = 3_600 * 1_000_000_000

  private var members: Slab<Member>
  private var next = 0
  private var used = 0
  /// How many members may be looked at: a newcomer brings some, so that looking costs a bounded amount for each.
  private var credit = 0
  private var groups: Slab<Group>
  private let hash: KeyedHash

  /// - Parameter sources: how many sources are remembered in all.
  init(sources: Int, key: (UInt64, UInt64)) {
    var capacity = 1024
    while capacity < 65_536, capacity * 16 <= sources { capacity *= 2 }
    memberCapacity = capacity
    members = Slab(count: capacity)
    groups = Slab(count: Self.groupCapacity)
    hash = KeyedHash(key: key)
  }

  /// A group that has become, or is, a campaign.
  struct Campaign {
    let bond: Bond
    /// Sources, in the order in which they came.
    let sources: [IPAddress]
    let prefix: IPNetwork
    let family: Tool.Family
    let shape: UInt32
    let first: Timestamp
    let last: Timestamp
    let ports: PortSet
    let weight: Int32
    /// Whether it had not been told before.
    let isNew: Bool
  }

  /// Takes note of a source's first touch.
  ///
  /// - Returns: the campaigns it makes, or has joined where they have grown by half since they were told last.
  mutating func add(_ member: Member, threshold: Int32) -> [Campaign] {
    let place = next
    next = (next + 1) % memberCapacity
    if members[place].isUsed {
      let old = members[place]
      Bond.forEach(of: old.source) { bond in
        if let key = key(of: old, bond) { leave(key) }
      }
    } else {
      used += 1
    }
    members[place] = member
    members[place].isUsed = true
    credit = min(credit + 16, 4 * memberCapacity)
    var result: [Campaign] = []
    Bond.forEach(of: member.source) { bond in
      guard let key = key(of: member, bond), join(key), credit >= used else { return }
      credit -= used
      let index = index(key)
      groups[index].nextLook = groups[index].count + max(1, groups[index].count / 2)
      let found = crowd(expecting: Int(groups[index].count)) { self.key(of: $0, bond) == key }
      if let campaign = judge(bond, key, found, like: member, threshold: threshold) { result.append(campaign) }
    }
    return result
  }

  /// The members that `belongs` says, the oldest first.
  private func crowd(expecting count: Int, _ belongs: (Member) -> Bool) -> [Member] {
    var result: [Member] = []
    result.reserveCapacity(count)
    // Once the ring is full, the oldest is where the next goes.
    let start = used < memberCapacity ? 0 : next
    for offset in 0..<used {
      let place = (start + offset) & (memberCapacity - 1)
      if belongs(members[place]) { result.append(members[place]) }
    }
    return result
  }

  /// All campaigns as they are now; for the end of a replay.
  mutating func campaigns(threshold: Int32) -> [Campaign] {
    var crowds: [UInt64: (Bond, [Member])] = [:]
    for member in crowd(expecting: used, { _ in true }) {
      Bond.forEach(of: member.source) { bond in
        guard let key = key(of: member, bond) else { return }
        // Of most there are one or two.
        let group = groups[index(key)]
        if group.key != key || group.count >= 3 { crowds[key, default: (bond, [])].1.append(member) }
      }
    }
    var result: [Campaign] = []
    for (key, (bond, found)) in crowds where found.count >= 3 {
      if let campaign = judge(bond, key, found, like: found[found.count - 1], threshold: threshold) {
        result.append(campaign)
      }
    }
    return result
  }

  private func index(_ key: UInt64) -> Int { Int(truncatingIfNeeded: key) & (Self.groupCapacity - 1) }

  private mutating func join(_ key: UInt64) -> Bool {
    let index = index(key)
    if groups[index].key != key {
      // Space-saving (Metwally 2005): a group that goes on outgrows the one that holds its place.
      if groups[index].count > 1 {
        groups[index].count -= 1
        return false
      }
      groups[index] = Group(key: key, count: 0, nextLook: 3)
    }
    groups[index].count += 1
    return groups[index].count >= groups[index].nextLook
  }

  private mutating func leave(_ key: UInt64) {
    let index = index(key)
    if groups[index].key == key, groups[index].count > 0 { groups[index].count -= 1 }
  }

  /// The number of the group that a member belongs to by one bond; nil where that bond says nothing of it.
  private func key(of member: Member, _ bond: Bond) -> UInt64? {
    let scope = UInt64(bond.rawValue) << 56 | UInt64(member.family) << 48 | UInt64(member.shape)
    switch bond {
    case .marks:
      let family = Tool.Family(rawValue: member.family) ?? .unknown
      switch family {
      case .unknown, .connect: return nil
      case .mirai: return hash(.unspecified, UInt64(bond.rawValue) << 56 | 1) | 1
      // It keeps its source port for a run.
      case .masscan: return hash(IPAddress(high: 0, low: UInt64(member.sourcePort)), scope) | 1
      default: return hash(.unspecified, scope) | 1
      }
    case .v4Prefix24:
      guard member.source.isV4 else { return nil }
      return hash(IPAddress(high: 0, low: member.source.low >> 8), scope) | 1
    default:
      guard !member.source.isV4 else { return nil }
      return hash(IPAddress(high: member.source.high >> UInt64(64 - bond.prefixLength), low: 0), scope) | 1
    }
  }

  /// Are these one scan?
  ///
  /// - Parameter sample: the member that led here; those a day away from it do not count.
  private mutating func judge(
    _ bond: Bond, _ key: UInt64, _ crowd: [Member], like sample: Member, threshold: Int32
  ) -> Campaign? {
    let family = Tool.Family(rawValue: sample.family) ?? .unknown
    var found = crowd.filter { abs($0.time.nanoseconds &- sample.time.nanoseconds) <= Self.window }
    // A handful of neighbours with a wrong port each within a day are neighbours; within an hour they are one.
    if bond != .marks, found.count < Self.fewNeighbours {
      found.removeAll { abs($0.time.nanoseconds &- sample.time.nanoseconds) > Self.shortWindow }
    }
    if bond == .marks, !Self.drawsHopLimits(family) {
      guard let hopLimit = Self.commonHopLimit(found) else { return nil }
      found.removeAll { $0.hopLimit != hopLimit }
    }
    var ports = PortSet()
    var distinct: [Member] = []
    for member in found {
      if family == .mirai || !ports.contains(member.port) { distinct.append(member) }
      ports.insert(member.port)
    }
    guard isScan(bond, family, found, distinct), let first = distinct.first, let last = distinct.last else {
      return nil
    }
    let weight = distinct.reduce(0) { $0 + Int32($1.weight) }
    guard weight >= threshold + threshold / 2 else { return nil }
    let index = index(key)
    let isNew = groups[index].key == key && !groups[index].isConvicted
    if groups[index].key == key { groups[index].isConvicted = true }
    return Campaign(
      bond: bond, sources: distinct.map(\.source), prefix: Self.prefix(bond, distinct), family: family,
      shape: sample.shape, first: first.time, last: last.time, ports: ports, weight: weight, isNew: isNew)
  }

  /// nmap draws one for each packet, and bots sit everywhere.
  private static func drawsHopLimits(_ family: Tool.Family) -> Bool { family == .nmap || family == .mirai }

  /// One run comes one way, so most of its packets have one hop limit. In a crowd of independent ones, or in a flood that
  /// draws it, none stands out.
  private static func commonHopLimit(_ members: [Member]) -> UInt8? {
    var counts = InlineArray<256, Int>(repeating: 0)
    for member in members { counts[Int(member.hopLimit)] += 1 }
    var best = 0
    for value in 1..<256 where counts[value] > counts[best] { best = value }
    var (others, second) = (0, 0)
    for value in 0..<256 where value != best && counts[value] > 0 {
      others += 1
      second = max(second, counts[value])
    }
    let rest = members.count - counts[best]
    guard counts[best] >= 12, others == 0 || (counts[best] * others >= 4 * rest && counts[best] >= 2 * second) else {
      return nil
    }
    return UInt8(best)
  }

  /// One run shares its ports out: hardly any is asked for twice. Independent ones meet on the popular ports, and a flood
  /// that draws its ports meets itself as often as birthdays do.
  private func isScan(_ bond: Bond, _ family: Tool.Family, _ found: [Member], _ distinct: [Member]) -> Bool {
    let least =
      switch bond {
      case .marks: 12
      case .v4Prefix24, .v6Prefix64: 4
      case .v6Prefix56, .v6Prefix48: 6
      }
    let (n, d) = (found.count, distinct.count)
    guard d >= least else { return false }
    if bond == .v6Prefix56 || bond == .v6Prefix48 {
      // Otherwise the /64 says it.
      guard Set(distinct.compactMap { IPNetwork($0.source, length: 64) }).count >= 3 else { return false }
    }
    if family == .mirai { return true }
    guard d * 10 >= n * (bond == .marks ? 7 : 8) else { return false }
    // Too fast to be told from a flood by a few.
    let crowd = bond == .marks ? found : crowd(expecting: found.count) { $0.shape == found[0].shape }
    guard Self.isFast(crowd) else { return true }
    if crowd.count < 600 { return bond == .marks && Self.prefix(.marks, distinct).length > 0 }
    let met = crowd.count - Set(crowd.map(\.port)).count
    return Double(met) < 0.4 * Double(crowd.count) * Double(crowd.count) / 131_072
  }

  /// Two hundred newcomers within two seconds, at any time.
  private static func isFast(_ members: [Member]) -> Bool {
    guard members.count >= 200 else { return false }
    for index in 200..<max(201, members.count) where index < members.count {
      if members[index].time.nanoseconds &- members[index - 200].time.nanoseconds < 2_000_000_000 { return true }
    }
    return members.count == 200 && members[199].time.nanoseconds &- members[0].time.nanoseconds < 2_000_000_000
  }

  /// The smallest of our prefixes that holds all members; of length 0 where they have nothing in common.
  private static func prefix(_ bond: Bond, _ members: [Member]) -> IPNetwork {
    let address = members[0].source
    if bond != .marks { return IPNetwork(address, length: bond.prefixLength)! }
    for length in stride(from: address.bitWidth - 8, to: 0, by: -8) {
      if let network = IPNetwork(address, length: length), members.allSatisfy({ network.contains($0.source) }) {
        return network
      }
    }
    return IPNetwork(address, length: 0)!
  }
}
