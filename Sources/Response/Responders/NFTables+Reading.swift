import CLinux
import Platform
import Wire

/// What the kernel says of the table.
extension NFTables {
  struct Element {
    let key: UInt128
    let isEnd: Bool
    let remaining: UInt64?
    let owner: IPNetwork?
  }

  /// - Parameter only: the one element asked for; `.missing` when it is not there.
  mutating func elements(of set: NFTablesSet, only: SetElement? = nil) throws(ResponderError) -> [Element] {
    try read(
      NFT_MSG_GETSETELEM, dump: only == nil, "set \(set.name) of table inet \(table)",
      { [table] in
        $0.put(NFTA_SET_ELEM_LIST_TABLE, string: table)
        $0.put(NFTA_SET_ELEM_LIST_SET, string: set.name)
        if let only { $0.nest(NFTA_SET_ELEM_LIST_ELEMENTS) { $0.put(only, set.key) } }
      }
    ) { (result: inout [Element], reply) in
      guard let list = reply.attributes(after: MemoryLayout<nfgenmsg>.size)[NFTA_SET_ELEM_LIST_ELEMENTS] else { return }
      var elements = NetlinkAttributes(list)
      while let (_, element) = elements.next() {
        var key: UInt128?
        var isEnd = false
        var remaining: UInt64?
        var owner: IPNetwork?
        var parts = NetlinkAttributes(element)
        while let (type, payload) = parts.next() {
          switch UInt32(type) {
          case NFTA_SET_ELEM_KEY.rawValue:
            // The key's one attribute is its value.
            let value = payload.dropFirst(4)
            key = set.key.read(value)
          case NFTA_SET_ELEM_FLAGS.rawValue:
            isEnd = (payload.number ?? 0) & NFT_SET_ELEM_INTERVAL_END.rawValue != 0
          case NFTA_SET_ELEM_EXPIRATION.rawValue:
            remaining = payload.number64
          case NFTA_SET_ELEM_USERDATA.rawValue where payload.first == 0:
            owner = IPNetwork(payload.dropFirst(2).text)
          default:
            break
          }
        }
        if let key { result.append(Element(key: key, isEnd: isEnd, remaining: remaining, owner: owner)) }
      }
    }
  }

  /// The number of the rule set: it goes up with every change that anybody makes.
  mutating func generation() throws(ResponderError) -> UInt32 {
    let found: [UInt32] = try read(NFT_MSG_GETGEN, dump: false, "nftables", { _ in }) { result, reply in
      if let number = reply.attributes(after: MemoryLayout<nfgenmsg>.size)[NFTA_GEN_ID]?.number {
        result.append(number)
      }
    }
    guard let generation = found.first else { throw .unsupported("nftables") }
    return generation
  }

  mutating func state() throws(ResponderError) -> NFTablesState {
    let name = table
    let size = MemoryLayout<nfgenmsg>.size
    var state = NFTablesState()
    state.tableFlags = try Self.only { () throws(ResponderError) in
      try read(NFT_MSG_GETTABLE, dump: false, name, { $0.put(NFTA_TABLE_NAME, string: name) }) {
        $0.append($1.attributes(after: size)[NFTA_TABLE_FLAGS]?.number ?? 0)
      }
    }
    if state.tableFlags == nil { return state }
    for set in NFTablesTrap.names.sets {
      guard let found = try shape(ofSet: set) else {
        state.sets[set] = .missing
        continue
      }
      let wanted = layout.sets.first { $0.name == set }
      // One that is not wanted is right enough to be removed.
      let isRight = wanted?.isLike(flags: found.flags, keyType: found.type, size: found.size) ?? true
      state.sets[set] = isRight ? .right : .wrong
      if isRight, let wanted, wanted.elements != nil {
        state.elements[set] = try elements(of: wanted).map { SetElement(key: $0.key, isEnd: $0.isEnd) }.sorted()
      }
    }
    for chain in NFTablesTrap.names.chains {
      let wanted = layout.chains.first { $0.name == chain }
      let isRight = try Self.only { () throws(ResponderError) in
        try read(
          NFT_MSG_GETCHAIN, dump: false, chain,
          {
            $0.put(NFTA_CHAIN_TABLE, string: name)
            $0.put(NFTA_CHAIN_NAME, string: chain)
          }
        ) { $0.append(Self.isHooked($1.attributes(after: size), at: wanted?.priority)) }
      }
      state.chains[chain] = isRight.map { $0 || wanted == nil ? .right : .wrong } ?? .missing
      if isRight == nil { continue }
      state.rules[chain] = try rules(of: chain).map { rule in
        NetlinkReply.attributeList(in: rule).map { RuleExpression(decoding: $0.payload) }
      }
    }
    return state
  }

  /// The first of what is read; nil where it does not exist.
  private static func only<Value>(_ body: () throws(ResponderError) -> [Value]) throws(ResponderError) -> Value? {
    do throws(ResponderError) { return try body().first } catch .missing { return nil } catch { throw error }
  }

  private mutating func shape(
    ofSet set: String
  ) throws(ResponderError) -> (flags: UInt32, type: UInt32, size: UInt32)? {
    try Self.only { () throws(ResponderError) in
      try read(
        NFT_MSG_GETSET, dump: false, set,
        { [table] in
          $0.put(NFTA_SET_TABLE, string: table)
          $0.put(NFTA_SET_NAME, string: set)
        }
      ) {
        let parts = $1.attributes(after: MemoryLayout<nfgenmsg>.size)
        let described = NetlinkReply.attributes(in: parts[NFTA_SET_DESC] ?? [])
        $0.append(
          (
            parts[NFTA_SET_FLAGS]?.number ?? 0, parts[NFTA_SET_KEY_TYPE]?.number ?? 0,
            described[NFTA_SET_DESC_SIZE]?.number ?? 0
          ))
      }
    }
  }

  /// Whether a chain is a base chain of ours in prerouting, or none at all where `priority` is nil.
  static func isHooked(_ chain: [Int32: ArraySlice<UInt8>], at priority: Int32?) -> Bool {
    guard let priority else { return chain[NFTA_CHAIN_HOOK] == nil }
    let hook = NetlinkReply.attributes(in: chain[NFTA_CHAIN_HOOK] ?? [])
    return chain[NFTA_CHAIN_TYPE]?.text == "filter" && chain[NFTA_CHAIN_POLICY]?.number == UInt32(NF_ACCEPT)
      && hook[NFTA_HOOK_HOOKNUM]?.number == NF_INET_PRE_ROUTING.rawValue
      && hook[NFTA_HOOK_PRIORITY]?.number == UInt32(bitPattern: priority)
  }

  /// The expressions of each rule of a chain, as the kernel tells them.
  mutating func rules(of chain: String) throws(ResponderError) -> [ArraySlice<UInt8>] {
    try read(
      NFT_MSG_GETRULE, dump: true, chain,
      { [table] in
        $0.put(NFTA_RULE_TABLE, string: table)
        $0.put(NFTA_RULE_CHAIN, string: chain)
      }
    ) { [table] in
      let parts = $1.attributes(after: MemoryLayout<nfgenmsg>.size)
      guard parts[NFTA_RULE_TABLE]?.text == table, parts[NFTA_RULE_CHAIN]?.text == chain else { return }
      $0.append(parts[NFTA_RULE_EXPRESSIONS] ?? [])
    }
  }
}

extension NetlinkSocket {
  /// A socket for nf_tables.
  static func netfilter(groups: [Int32] = []) throws(ResponderError) -> NetlinkSocket {
    do throws(Errno) { return try NetlinkSocket(NETLINK_NETFILTER, groups: groups) } catch {
      throw [EPROTONOSUPPORT, EAFNOSUPPORT].contains(error.code) ? .unsupported("nftables") : .failed(error)
    }
  }
}

extension BlockedInterval {
  /// The elements that an interval is: its start, and its end unless it goes on to the last address.
  func elements(in set: NFTablesSet, forDeletion: Bool = false) -> [SetElement] {
    var start = SetElement(key: first)
    if !forDeletion {
      start.timeout = remaining ?? 0
      start.comment = owner?.description
    }
    return last == set.lastKey ? [start] : [start, SetElement(key: last + 1, isEnd: true)]
  }
}

extension Duration {
  /// Milliseconds for an element's timeout: at least 1 (0 would be for ever), at most a hundred years.
  var setMilliseconds: UInt64 {
    let most: Int64 = 100 * 366 * 86_400_000
    return UInt64(min(max(wholeNanoseconds / 1_000_000, 1), most))
  }
}

extension NFTablesSet.Key {
  /// A key as the kernel gives it.
  func read(_ value: ArraySlice<UInt8>) -> UInt128? {
    switch self {
    case .ipv4: value.number.map { UInt128($0) }
    case .ipv6: value.value(at: 0, as: UInt128.self).map(UInt128.init(bigEndian:))
    case .port: value.value(at: 0, as: UInt16.self).map { UInt128(UInt16(bigEndian: $0)) }
    case .family: value.first.map { UInt128($0) }
    }
  }
}

extension ResponderError {
  /// The kernel's number, where it is none of those with a case of their own.
  var code: Int32 {
    if case .failed(let error) = self { return error.code }
    return 0
  }
}
