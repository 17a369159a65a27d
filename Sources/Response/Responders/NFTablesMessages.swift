import CLinux
import Platform
import Wire

/// One expression of a rule: the few of nf_tables that our rules are made of. All use register 1, as nft does.
enum RuleExpression: Equatable, Sendable {
  /// Loads a `NFT_META_…` value.
  case meta(UInt32)
  /// Goes on with the rule only when the register holds these bytes.
  case equals([UInt8])
  /// Loads bytes of the network header.
  case networkHeader(offset: UInt32, length: UInt32)
  /// Goes on with the rule only when the register is in the set.
  case isIn(set: String)
  case counter
  /// `NF_ACCEPT`, `NF_DROP`.
  case verdict(UInt32)
  /// What is none of ours, by name.
  case foreign(String)

  var name: String {
    switch self {
    case .meta: "meta"
    case .equals: "cmp"
    case .networkHeader: "payload"
    case .isIn: "lookup"
    case .counter: "counter"
    case .verdict: "immediate"
    case .foreign(let name): name
    }
  }

  func encode(into message: inout NetlinkMessage) {
    message.nest(NFTA_LIST_ELEM) { element in
      element.put(NFTA_EXPR_NAME, string: name)
      element.nest(NFTA_EXPR_DATA) { data in
        switch self {
        case .meta(let key):
          data.putBigEndian(NFTA_META_DREG, NFT_REG_1.rawValue)
          data.putBigEndian(NFTA_META_KEY, key)
        case .equals(let bytes):
          data.putBigEndian(NFTA_CMP_SREG, NFT_REG_1.rawValue)
          data.putBigEndian(NFTA_CMP_OP, NFT_CMP_EQ.rawValue)
          data.nest(NFTA_CMP_DATA) { $0.put(NFTA_DATA_VALUE, bytes: bytes) }
        case .networkHeader(let offset, let length):
          data.putBigEndian(NFTA_PAYLOAD_DREG, NFT_REG_1.rawValue)
          data.putBigEndian(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER.rawValue)
          data.putBigEndian(NFTA_PAYLOAD_OFFSET, offset)
          data.putBigEndian(NFTA_PAYLOAD_LEN, length)
        case .isIn(let set):
          data.put(NFTA_LOOKUP_SET, string: set)
          data.putBigEndian(NFTA_LOOKUP_SREG, NFT_REG_1.rawValue)
        case .counter:
          data.putBigEndian(NFTA_COUNTER_BYTES, UInt64(0))
          data.putBigEndian(NFTA_COUNTER_PACKETS, UInt64(0))
        case .verdict(let code):
          data.putBigEndian(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT.rawValue)
          data.nest(NFTA_IMMEDIATE_DATA) { immediate in
            immediate.nest(NFTA_DATA_VERDICT) { $0.putBigEndian(NFTA_VERDICT_CODE, code) }
          }
        case .foreign:
          break
        }
      }
    }
  }

  /// Reads what the kernel says of one expression of a rule.
  init(decoding element: ArraySlice<UInt8>) {
    let parts = NetlinkReply.attributes(in: element)
    let name = parts[NFTA_EXPR_NAME]?.text ?? ""
    let data = NetlinkReply.attributes(in: parts[NFTA_EXPR_DATA] ?? [])
    func nested(_ outer: some RawRepresentable<UInt32>, _ inner: some RawRepresentable<UInt32>) -> ArraySlice<UInt8>? {
      data[outer].flatMap { NetlinkReply.attributes(in: $0)[inner] }
    }
    let register = NFT_REG_1.rawValue
    switch name {
    case "meta" where data[NFTA_META_DREG]?.number == register:
      self = .meta(data[NFTA_META_KEY]?.number ?? .max)
    case "cmp" where data[NFTA_CMP_SREG]?.number == register && data[NFTA_CMP_OP]?.number == NFT_CMP_EQ.rawValue:
      self = .equals(Array(nested(NFTA_CMP_DATA, NFTA_DATA_VALUE) ?? []))
    case "payload"
    where data[NFTA_PAYLOAD_DREG]?.number == register
      && data[NFTA_PAYLOAD_BASE]?.number == NFT_PAYLOAD_NETWORK_HEADER.rawValue:
      self = .networkHeader(
        offset: data[NFTA_PAYLOAD_OFFSET]?.number ?? .max, length: data[NFTA_PAYLOAD_LEN]?.number ?? .max)
    case "lookup" where data[NFTA_LOOKUP_SREG]?.number == register && (data[NFTA_LOOKUP_FLAGS]?.number ?? 0) == 0:
      self = .isIn(set: data[NFTA_LOOKUP_SET]?.text ?? "")
    case "counter":
      self = .counter
    case "immediate" where data[NFTA_IMMEDIATE_DREG]?.number == NFT_REG_VERDICT.rawValue:
      let verdict = nested(NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT).map { NetlinkReply.attributes(in: $0) }
      self = .verdict(verdict?[NFTA_VERDICT_CODE]?.number ?? .max)
    default:
      self = .foreign(name)
    }
  }
}

/// One of our four sets.
struct AddressSet: Equatable, Sendable {
  let name: String
  let isV4: Bool
  /// Holds networks (`flags interval`) rather than single addresses.
  let holdsNetworks: Bool

  /// `NFT_SET_…` flags.
  var flags: UInt32 { (holdsNetworks ? NFT_SET_INTERVAL.rawValue : 0) | NFT_SET_TIMEOUT.rawValue }
  /// nft's number for ipv4_addr or ipv6_addr; the kernel only keeps it, nft prints the type by it.
  var keyType: UInt32 { isV4 ? 7 : 8 }
  var keyLength: UInt32 { isV4 ? 4 : 16 }
  /// The largest key.
  var lastKey: UInt128 { isV4 ? UInt128(UInt32.max) : .max }

  static let all = [
    AddressSet(name: "banned4", isV4: true, holdsNetworks: false),
    AddressSet(name: "banned6", isV4: false, holdsNetworks: false),
    AddressSet(name: "banned4net", isV4: true, holdsNetworks: true),
    AddressSet(name: "banned6net", isV4: false, holdsNetworks: true),
  ]

  /// The rule that drops what comes from an address in this set.
  var rule: [RuleExpression] {
    [
      .meta(NFT_META_NFPROTO.rawValue), .equals([UInt8(isV4 ? NFPROTO_IPV4 : NFPROTO_IPV6)]),
      .networkHeader(offset: isV4 ? 12 : 8, length: keyLength), .isIn(set: name), .counter,
      .verdict(UInt32(NF_DROP)),
    ]
  }

  /// The whole chain. Loopback has interface number 1 in every network namespace (`LOOPBACK_IFINDEX`).
  static let rules: [[RuleExpression]] =
    [[.meta(NFT_META_IIF.rawValue), .equals([1, 0, 0, 0].hostOrder), .verdict(UInt32(NF_ACCEPT))]]
    + all.map(\.rule)
}

extension [UInt8] {
  /// These little-endian bytes as this machine orders them.
  fileprivate var hostOrder: [UInt8] { UInt32(1).littleEndian == 1 ? self : reversed() }
}

/// An element of a set as it goes to the kernel.
struct SetElement: Sendable {
  let key: UInt128
  /// The first address after an interval (`NFT_SET_ELEM_INTERVAL_END`).
  var isEnd = false
  /// Milliseconds; 0 for none.
  var timeout: UInt64 = 0
  /// The network of which an interval is a part; shown by nft as the comment.
  var comment: String?
}

/// The messages of one atomic change of a table.
struct NFTablesTransaction {
  private(set) var message = NetlinkMessage()
  let table: String
  let firstSequence: UInt32
  private(set) var lastSequence: UInt32
  private(set) var count = 0

  /// - Parameter generation: the rule set on which the change rests; when it is another by now, the kernel answers
  ///   `ERESTART` and changes nothing.
  init(table: String, sequence: UInt32, generation: UInt32? = nil) {
    self.table = table
    firstSequence = sequence
    lastSequence = sequence
    message.begin(UInt16(NFNL_MSG_BATCH_BEGIN), flags: NLM_F_REQUEST, sequence: sequence, fixed: Self.batchHeader)
    if let generation { message.putBigEndian(Int32(NFNL_BATCH_GENID.rawValue), generation) }
    message.end()
  }

  private static var batchHeader: nfgenmsg {
    nfgenmsg(nfgen_family: UInt8(AF_UNSPEC), version: 0, res_id: UInt16(NFNL_SUBSYS_NFTABLES).bigEndian)
  }

  static func type(_ kind: nf_tables_msg_types) -> UInt16 { UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(kind.rawValue) }

  static var header: nfgenmsg { nfgenmsg(nfgen_family: UInt8(NFPROTO_INET), version: 0, res_id: 0) }

  /// Every message asks for its acknowledgement, so that no error goes unnoticed. (Kernels before 6.10 do not
  /// acknowledge the end of a batch.)
  mutating func add(_ kind: nf_tables_msg_types, flags: Int32 = 0, _ body: (inout NetlinkMessage) -> Void) {
    lastSequence &+= 1
    count += 1
    message.begin(
      Self.type(kind), flags: NLM_F_REQUEST | NLM_F_ACK | flags, sequence: lastSequence, fixed: Self.header)
    body(&message)
    message.end()
  }

  mutating func finish() {
    message.begin(
      UInt16(NFNL_MSG_BATCH_END), flags: NLM_F_REQUEST, sequence: lastSequence &+ 1, fixed: Self.batchHeader)
    message.end()
  }

  mutating func addTable() {
    add(NFT_MSG_NEWTABLE, flags: NLM_F_CREATE) { [table] in
      $0.put(NFTA_TABLE_NAME, string: table)
      $0.putBigEndian(NFTA_TABLE_FLAGS, UInt32(0))
    }
  }

  mutating func deleteTable() { add(NFT_MSG_DELTABLE) { [table] in $0.put(NFTA_TABLE_NAME, string: table) } }

  mutating func addSet(_ set: AddressSet, id: UInt32) {
    add(NFT_MSG_NEWSET, flags: NLM_F_CREATE) { [table] in
      $0.put(NFTA_SET_TABLE, string: table)
      $0.put(NFTA_SET_NAME, string: set.name)
      $0.putBigEndian(NFTA_SET_FLAGS, set.flags)
      $0.putBigEndian(NFTA_SET_KEY_TYPE, set.keyType)
      $0.putBigEndian(NFTA_SET_KEY_LEN, set.keyLength)
      $0.putBigEndian(NFTA_SET_ID, id)
    }
  }

  mutating func addChain(_ name: String) {
    add(NFT_MSG_NEWCHAIN, flags: NLM_F_CREATE) { [table] in
      $0.put(NFTA_CHAIN_TABLE, string: table)
      $0.put(NFTA_CHAIN_NAME, string: name)
      $0.nest(NFTA_CHAIN_HOOK) {
        $0.putBigEndian(NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING.rawValue)
        $0.putBigEndian(NFTA_HOOK_PRIORITY, UInt32(bitPattern: NFTables.priority))
      }
      $0.putBigEndian(NFTA_CHAIN_POLICY, UInt32(NF_ACCEPT))
      $0.put(NFTA_CHAIN_TYPE, string: "filter")
    }
  }

  /// Removes all rules of a chain of ours.
  mutating func flushChain(_ name: String) {
    add(NFT_MSG_DELRULE) { [table] in
      $0.put(NFTA_RULE_TABLE, string: table)
      $0.put(NFTA_RULE_CHAIN, string: name)
    }
  }

  mutating func deleteChain(_ name: String) {
    add(NFT_MSG_DELCHAIN) { [table] in
      $0.put(NFTA_CHAIN_TABLE, string: table)
      $0.put(NFTA_CHAIN_NAME, string: name)
    }
  }

  mutating func addRule(_ rule: [RuleExpression], to chain: String) {
    add(NFT_MSG_NEWRULE, flags: NLM_F_CREATE | NLM_F_APPEND) { [table] in
      $0.put(NFTA_RULE_TABLE, string: table)
      $0.put(NFTA_RULE_CHAIN, string: chain)
      $0.nest(NFTA_RULE_EXPRESSIONS) { list in
        for expression in rule { expression.encode(into: &list) }
      }
    }
  }

  /// Elements that fit in one message: the list is an attribute, whose length has 16 bits.
  static let elementsInMessage = 1_000
  static let elementBytesInMessage = 60_000

  /// Adds or deletes elements, in as many messages as they need.
  mutating func change(_ kind: nf_tables_msg_types, flags: Int32 = 0, _ set: AddressSet, _ elements: [SetElement]) {
    var index = 0
    while index < elements.count {
      add(kind, flags: flags) { [table] message in
        message.put(NFTA_SET_ELEM_LIST_TABLE, string: table)
        message.put(NFTA_SET_ELEM_LIST_SET, string: set.name)
        let start = message.bytes.count
        let end = min(index + Self.elementsInMessage, elements.count)
        message.nest(NFTA_SET_ELEM_LIST_ELEMENTS) { list in
          while index < end, list.bytes.count - start < Self.elementBytesInMessage {
            list.put(elements[index], isV4: set.isV4)
            index += 1
          }
        }
      }
    }
  }
}

extension NetlinkMessage {
  mutating func put(_ element: SetElement, isV4: Bool) {
    nest(NFTA_LIST_ELEM) { body in
      body.nest(NFTA_SET_ELEM_KEY) { key in
        if isV4 {
          key.put(NFTA_DATA_VALUE, UInt32(truncatingIfNeeded: element.key).bigEndian)
        } else {
          key.put(NFTA_DATA_VALUE, element.key.bigEndian)
        }
      }
      if element.isEnd { body.putBigEndian(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END.rawValue) }
      if element.timeout > 0 { body.putBigEndian(NFTA_SET_ELEM_TIMEOUT, element.timeout) }
      if let comment = element.comment {
        // User data is type, length, value; type 0 is the comment (libnftnl's udata.h), a string with its zero byte.
        body.put(NFTA_SET_ELEM_USERDATA, bytes: [0, UInt8(comment.utf8.count + 1)] + Array(comment.utf8) + [0])
      }
    }
  }

  mutating func put(_ type: some RawRepresentable<UInt32>, _ value: some BitwiseCopyable) {
    put(Int32(type.rawValue), value)
  }
  mutating func put(_ type: some RawRepresentable<UInt32>, string: String) { put(Int32(type.rawValue), string: string) }
  mutating func put(_ type: some RawRepresentable<UInt32>, bytes: [UInt8]) { put(Int32(type.rawValue), bytes: bytes) }
  mutating func putBigEndian(_ type: some RawRepresentable<UInt32>, _ value: UInt32) {
    putBigEndian(Int32(type.rawValue), value)
  }
  mutating func putBigEndian(_ type: some RawRepresentable<UInt32>, _ value: UInt64) {
    putBigEndian(Int32(type.rawValue), value)
  }
  mutating func nest(_ type: some RawRepresentable<UInt32>, _ body: (inout NetlinkMessage) -> Void) {
    nest(Int32(type.rawValue), body)
  }
}

extension [Int32: ArraySlice<UInt8>] {
  subscript(_ type: some RawRepresentable<UInt32>) -> ArraySlice<UInt8>? { self[Int32(type.rawValue)] }
}

extension ArraySlice<UInt8> {
  /// A 32-bit number in network byte order.
  var number: UInt32? { value(at: 0, as: UInt32.self).map(UInt32.init(bigEndian:)) }
  /// A 64-bit number in network byte order.
  var number64: UInt64? { value(at: 0, as: UInt64.self).map(UInt64.init(bigEndian:)) }
  /// A string up to its zero byte.
  var text: String { String(decoding: prefix { $0 != 0 }, as: UTF8.self) }
}
