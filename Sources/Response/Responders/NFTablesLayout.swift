import CLinux
import Platform
import Wire

/// What our table is made of: described here, made by `NFTables.ensure()`, and compared with what the kernel has.
struct NFTablesLayout: Equatable, Sendable {
  var sets: [NFTablesSet] = []
  var chains: [NFTablesChain] = []

  /// With the bans before it. Loopback is let be; it has interface number 1 in every network namespace (`LOOPBACK_IFINDEX`). It is
  /// asked for last, as every packet of the host pays for what is asked first.
  ///
  /// - Parameters:
  ///   - networks: whether there are rules for the sets of networks.
  ///   - sparing: whether open connections and what is only forwarded for own bridges go on; needs `socket wildcard` (5.11).
  func withBans(networks: Bool, sparing: Bool) -> NFTablesLayout {
    let end = sparing ? RuleExpression.goTo("banned", returns: false) : .verdict(UInt32(NF_DROP))
    let rules = NFTablesSet.bans.filter { networks || !$0.holdsNetworks }.map { set in
      RuleExpression.source(set.isV4)
        + [
          .isIn(set: set.name), .meta(NFT_META_IIF.rawValue),
          .compare(NFT_CMP_NEQ.rawValue, UInt32(1).hostBytes), .counter, end,
        ]
    }
    // `NF_IP_PRI_RAW`: before connection tracking, where a drop costs a third of one after it.
    let bans = NFTablesChain(name: "prerouting", priority: -300, rules: rules)
    let banned = NFTablesChain(name: "banned", priority: nil, rules: Self.sparingRules)
    return NFTablesLayout(sets: NFTablesSet.bans + sets, chains: (sparing ? [banned] : []) + [bans] + chains)
  }

  /// What is left to a source that is blocked: the connections it has with this host, but for those with decoys (transparent
  /// sockets), so that a ban cuts nobody's session; and what is only forwarded for own bridges (`meta iifkind bridge`), so
  /// that a container that scans its host does not take its service off the net. A half-open connection is not one yet.
  private static let sparingRules: [[RuleExpression]] = {
    let accept = RuleExpression.verdict(UInt32(NF_ACCEPT))
    let notSYN: [RuleExpression] = [
      .meta(NFT_META_L4PROTO.rawValue), .equals([UInt8(IPPROTO_TCP)]),
      .payload(NFT_PAYLOAD_TRANSPORT_HEADER.rawValue, offset: 13, length: 1), .mask([0x12]),
      .compare(NFT_CMP_NEQ.rawValue, [0x02]),
    ]
    let bridge = Array("bridge".utf8) + [UInt8](repeating: 0, count: 10)
    return [
      notSYN + [
        .socket(NFT_SOCKET_TRANSPARENT.rawValue), .equals([0]), .socket(NFT_SOCKET_WILDCARD.rawValue), .equals([0]),
        accept,
      ],
      [
        .meta(NFT_META_IIFKIND.rawValue), .equals(bridge), .targetType,
        .compare(NFT_CMP_NEQ.rawValue, UInt32(RTN_LOCAL).hostBytes), accept,
      ],
      [.verdict(UInt32(NF_DROP))],
    ]
  }()
}

/// A set of ours.
struct NFTablesSet: Equatable, Sendable {
  enum Key: Equatable, Sendable {
    case ipv4, ipv6
    /// A TCP or UDP port (`inet_service`).
    case port
    /// `NFPROTO_IPV4`, `NFPROTO_IPV6` (`nf_proto`).
    case family

    /// nft's number for the type; the kernel only keeps it, nft prints by it.
    var type: UInt32 {
      switch self {
      case .ipv4: 7
      case .ipv6: 8
      case .port: 13
      case .family: 2
      }
    }
    /// In bytes.
    var length: UInt32 {
      switch self {
      case .ipv4: 4
      case .ipv6: 16
      case .port: 2
      case .family: 1
      }
    }
  }

  let name: String
  let key: Key
  /// `NFT_SET_…`.
  let flags: UInt32
  /// The most elements; 0 for no limit of ours.
  var size: UInt32 = 0
  /// What it must hold; nil where elements come and go.
  var elements: [SetElement]?

  var isV4: Bool { key == .ipv4 }
  /// Holds networks (`flags interval`) rather than single values.
  var holdsNetworks: Bool { flags & NFT_SET_INTERVAL.rawValue != 0 }
  /// The largest key.
  var lastKey: UInt128 { key.length == 16 ? .max : (1 << UInt128(8 * key.length)) - 1 }

  /// The four sets of bans.
  static let bans = [
    NFTablesSet(name: "banned4", key: .ipv4, flags: NFT_SET_TIMEOUT.rawValue),
    NFTablesSet(name: "banned6", key: .ipv6, flags: NFT_SET_TIMEOUT.rawValue),
    NFTablesSet(name: "banned4net", key: .ipv4, flags: NFT_SET_INTERVAL.rawValue | NFT_SET_TIMEOUT.rawValue),
    NFTablesSet(name: "banned6net", key: .ipv6, flags: NFT_SET_INTERVAL.rawValue | NFT_SET_TIMEOUT.rawValue),
  ]

  /// Whether the kernel's set may be this one.
  func isLike(flags: UInt32, keyType: UInt32, size: UInt32) -> Bool {
    (flags, keyType) == (self.flags, key.type) && (self.size == 0 || size == self.size)
  }
}

/// A chain of ours.
struct NFTablesChain: Equatable, Sendable {
  let name: String
  /// Where in prerouting it hooks; nil for a chain that others go to.
  let priority: Int32?
  var rules: [[RuleExpression]]
}

extension RuleExpression {
  /// Goes on with packets of one family.
  static func family(_ isV4: Bool) -> [RuleExpression] {
    [.meta(NFT_META_NFPROTO.rawValue), .equals([UInt8(isV4 ? NFPROTO_IPV4 : NFPROTO_IPV6)])]
  }

  /// Goes on with packets of one family, their source in the register.
  static func source(_ isV4: Bool) -> [RuleExpression] {
    family(isV4) + [.payload(NFT_PAYLOAD_NETWORK_HEADER.rawValue, offset: isV4 ? 12 : 8, length: isV4 ? 4 : 16)]
  }
}

/// What the kernel has of our table.
struct NFTablesState: Equatable {
  enum Presence: Equatable {
    case missing
    /// Of another type, or hooked elsewhere.
    case wrong
    case right
  }

  /// Nil when there is no table.
  var tableFlags: UInt32?
  /// By name; of chains and sets that a layout may have.
  var sets: [String: Presence] = [:]
  var chains: [String: Presence] = [:]
  var rules: [String: [[RuleExpression]]] = [:]
  /// Of sets with given elements.
  var elements: [String: [SetElement]] = [:]

  /// Whether all of `layout` is there, and nothing else of ours.
  func isIntact(_ layout: NFTablesLayout) -> Bool {
    tableFlags == 0
      && sets.allSatisfy { name, presence in
        presence == (layout.sets.contains { $0.name == name } ? .right : .missing)
      }
      && chains.allSatisfy { name, presence in
        presence == (layout.chains.contains { $0.name == name } ? .right : .missing)
      }
      && layout.chains.allSatisfy { rules[$0.name] == $0.rules }
      && layout.sets.allSatisfy { $0.elements == nil || elements[$0.name] == $0.elements }
  }

  /// Puts into `change` what makes this `layout`. What is right stays, with its counters.
  ///
  /// Rules go first, because they hold on to sets and chains, and come last.
  func repair(_ change: inout NFTablesTransaction, _ layout: NFTablesLayout) {
    let startAnew = sets.values.contains(.wrong)
    if startAnew { change.deleteTable() }
    change.addTable()
    let present = startAnew ? NFTablesState() : self
    let wrong = layout.chains.filter { present.chains[$0.name] != .right || present.rules[$0.name] != $0.rules }
    let surplus = present.chains.filter { name, presence in
      presence != .missing && !layout.chains.contains { $0.name == name }
    }.keys
    for chain in wrong where (present.chains[chain.name] ?? .missing) != .missing { change.flushChain(chain.name) }
    for name in surplus { change.flushChain(name) }
    for chain in wrong where present.chains[chain.name] == .wrong { change.deleteChain(chain.name) }
    for name in surplus { change.deleteChain(name) }
    for (name, presence) in present.sets
    where presence != .missing && !layout.sets.contains(where: { $0.name == name }) {
      change.deleteSet(name)
    }
    for (index, set) in layout.sets.enumerated() {
      change.addSet(set, id: UInt32(index + 1))
      guard let wanted = set.elements else { continue }
      let found = present.elements[set.name] ?? []
      if found == wanted { continue }
      if !found.isEmpty { change.flushSet(set.name) }
      change.change(NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE, set, wanted)
    }
    for chain in wrong { change.addChain(chain) }
    for chain in wrong {
      for rule in chain.rules { change.addRule(rule, to: chain.name) }
    }
  }
}
