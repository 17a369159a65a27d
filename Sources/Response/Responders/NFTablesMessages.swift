import CLinux
import Platform
import Wire

/// One expression of a rule: the few of nf_tables that our rules are made of. All use register 1, as nft does, but for
/// the port of `tproxy`, which is in register 2.
enum RuleExpression: Equatable, Sendable {
  /// Loads a `NFT_META_…` value.
  case meta(UInt32)
  /// Loads bytes of the network header or of the transport header (`NFT_PAYLOAD_…`).
  case payload(UInt32, offset: UInt32, length: UInt32)
  /// Keeps of the register only these bits.
  case mask([UInt8])
  /// Goes on with the rule only when the register compares so (`NFT_CMP_…`) with these bytes.
  case compare(UInt32, [UInt8])
  /// Loads what is asked (`NFT_SOCKET_…`) of the socket that this packet would reach. Ends the rule where there is none,
  /// and for all but `NFT_SOCKET_TRANSPARENT` also where it is half open or in TIME_WAIT.
  case socket(UInt32)
  /// Loads the type of the packet's target (`RTN_…`): `fib daddr type`.
  case targetType
  /// Goes on with the rule only when the register is in the set, or is not.
  case isIn(set: String, Bool = true)
  /// Puts the register into a dynamic set for so many milliseconds, anew when it is there (`update`) or not (`add`).
  /// Ends the rule where the set is full.
  case put(set: String, update: Bool, timeout: UInt64)
  /// Loads a constant into a register.
  case load([UInt8], UInt32)
  /// Hands the packet to a transparent socket: to its connection, or to the listener at the address in register 1 and the
  /// port in register 2. Ends the rule where there is no such socket.
  case tproxy(UInt32)
  case counter
  /// `NF_ACCEPT`, `NF_DROP`.
  case verdict(UInt32)
  /// Goes to a chain of ours, for good (`goto`) or until its end (`jump`).
  case goTo(String, returns: Bool)
  /// What is none of ours, by name.
  case foreign(String)

  static func equals(_ bytes: [UInt8]) -> RuleExpression { .compare(NFT_CMP_EQ.rawValue, bytes) }

  var name: String {
    switch self {
    case .meta: "meta"
    case .payload: "payload"
    case .mask: "bitwise"
    case .compare: "cmp"
    case .socket: "socket"
    case .targetType: "fib"
    case .isIn: "lookup"
    case .put: "dynset"
    case .load, .verdict, .goTo: "immediate"
    case .tproxy: "tproxy"
    case .counter: "counter"
    case .foreign(let name): name
    }
  }

  func encode(into message: inout NetlinkMessage) {
    message.nest(NFTA_LIST_ELEM) { element in
      element.put(NFTA_EXPR_NAME, string: name)
      element.nest(NFTA_EXPR_DATA) { encodeData(into: &$0) }
    }
  }

  private func encodeData(into data: inout NetlinkMessage) {
    let register = NFT_REG_1.rawValue
    switch self {
    case .meta(let key):
      data.putBigEndian(NFTA_META_DREG, register)
      data.putBigEndian(NFTA_META_KEY, key)
    case .payload(let base, let offset, let length):
      data.putBigEndian(NFTA_PAYLOAD_DREG, register)
      data.putBigEndian(NFTA_PAYLOAD_BASE, base)
      data.putBigEndian(NFTA_PAYLOAD_OFFSET, offset)
      data.putBigEndian(NFTA_PAYLOAD_LEN, length)
    case .mask(let bytes):
      data.putBigEndian(NFTA_BITWISE_SREG, register)
      data.putBigEndian(NFTA_BITWISE_DREG, register)
      data.putBigEndian(NFTA_BITWISE_LEN, UInt32(bytes.count))
      data.nest(NFTA_BITWISE_MASK) { $0.put(NFTA_DATA_VALUE, bytes: bytes) }
      data.nest(NFTA_BITWISE_XOR) { $0.put(NFTA_DATA_VALUE, bytes: bytes.map { _ in 0 }) }
    case .compare(let operation, let bytes):
      data.putBigEndian(NFTA_CMP_SREG, register)
      data.putBigEndian(NFTA_CMP_OP, operation)
      data.nest(NFTA_CMP_DATA) { $0.put(NFTA_DATA_VALUE, bytes: bytes) }
    case .socket(let key):
      data.putBigEndian(NFTA_SOCKET_KEY, key)
      data.putBigEndian(NFTA_SOCKET_DREG, register)
    case .targetType:
      data.putBigEndian(NFTA_FIB_DREG, register)
      data.putBigEndian(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE.rawValue)
      data.putBigEndian(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR.rawValue)
    case .isIn(let set, let isWanted):
      data.put(NFTA_LOOKUP_SET, string: set)
      data.putBigEndian(NFTA_LOOKUP_SREG, register)
      if !isWanted { data.putBigEndian(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV.rawValue) }
    case .put(let set, let update, let timeout):
      data.put(NFTA_DYNSET_SET_NAME, string: set)
      data.putBigEndian(NFTA_DYNSET_OP, update ? NFT_DYNSET_OP_UPDATE.rawValue : NFT_DYNSET_OP_ADD.rawValue)
      data.putBigEndian(NFTA_DYNSET_SREG_KEY, register)
      data.putBigEndian(NFTA_DYNSET_TIMEOUT, timeout)
    case .load(let bytes, let register):
      data.putBigEndian(NFTA_IMMEDIATE_DREG, register)
      data.nest(NFTA_IMMEDIATE_DATA) { $0.put(NFTA_DATA_VALUE, bytes: bytes) }
    case .tproxy(let family):
      data.putBigEndian(NFTA_TPROXY_FAMILY, family)
      data.putBigEndian(NFTA_TPROXY_REG_ADDR, register)
      data.putBigEndian(NFTA_TPROXY_REG_PORT, NFT_REG_2.rawValue)
    case .counter:
      data.putBigEndian(NFTA_COUNTER_BYTES, UInt64(0))
      data.putBigEndian(NFTA_COUNTER_PACKETS, UInt64(0))
    case .verdict(let code):
      Self.putVerdict(into: &data) { $0.putBigEndian(NFTA_VERDICT_CODE, code) }
    case .goTo(let chain, let returns):
      Self.putVerdict(into: &data) {
        $0.putBigEndian(NFTA_VERDICT_CODE, UInt32(bitPattern: returns ? NFT_JUMP.rawValue : NFT_GOTO.rawValue))
        $0.put(NFTA_VERDICT_CHAIN, string: chain)
      }
    case .foreign:
      break
    }
  }

  private static func putVerdict(into data: inout NetlinkMessage, _ body: (inout NetlinkMessage) -> Void) {
    data.putBigEndian(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT.rawValue)
    data.nest(NFTA_IMMEDIATE_DATA) { $0.nest(NFTA_DATA_VERDICT, body) }
  }

  /// Reads what the kernel says of one expression of a rule.
  init(decoding element: ArraySlice<UInt8>) {
    let parts = NetlinkReply.attributes(in: element)
    let name = parts[NFTA_EXPR_NAME]?.text ?? ""
    let data = NetlinkReply.attributes(in: parts[NFTA_EXPR_DATA] ?? [])
    func number(_ type: some RawRepresentable<UInt32>) -> UInt32? { data[type]?.number }
    func nested(_ outer: some RawRepresentable<UInt32>, _ inner: some RawRepresentable<UInt32>) -> ArraySlice<UInt8>? {
      data[outer].flatMap { NetlinkReply.attributes(in: $0)[inner] }
    }
    let register = NFT_REG_1.rawValue
    switch name {
    case "meta" where number(NFTA_META_DREG) == register:
      self = .meta(number(NFTA_META_KEY) ?? .max)
    case "payload" where number(NFTA_PAYLOAD_DREG) == register:
      self = .payload(
        number(NFTA_PAYLOAD_BASE) ?? .max, offset: number(NFTA_PAYLOAD_OFFSET) ?? .max,
        length: number(NFTA_PAYLOAD_LEN) ?? .max)
    case "bitwise"
    where number(NFTA_BITWISE_SREG) == register && number(NFTA_BITWISE_DREG) == register
      && nested(NFTA_BITWISE_XOR, NFTA_DATA_VALUE)?.allSatisfy({ $0 == 0 }) == true:
      self = .mask(Array(nested(NFTA_BITWISE_MASK, NFTA_DATA_VALUE) ?? []))
    case "cmp" where number(NFTA_CMP_SREG) == register:
      self = .compare(number(NFTA_CMP_OP) ?? .max, Array(nested(NFTA_CMP_DATA, NFTA_DATA_VALUE) ?? []))
    case "socket" where number(NFTA_SOCKET_DREG) == register:
      self = .socket(number(NFTA_SOCKET_KEY) ?? .max)
    case "fib"
    where number(NFTA_FIB_DREG) == register && number(NFTA_FIB_RESULT) == NFT_FIB_RESULT_ADDRTYPE.rawValue
      && number(NFTA_FIB_FLAGS) == NFTA_FIB_F_DADDR.rawValue:
      self = .targetType
    case "lookup" where number(NFTA_LOOKUP_SREG) == register:
      self = .isIn(set: data[NFTA_LOOKUP_SET]?.text ?? "", (number(NFTA_LOOKUP_FLAGS) ?? 0) == 0)
    case "dynset" where number(NFTA_DYNSET_SREG_KEY) == register && data[NFTA_DYNSET_EXPR] == nil:
      self = .put(
        set: data[NFTA_DYNSET_SET_NAME]?.text ?? "",
        update: number(NFTA_DYNSET_OP) == NFT_DYNSET_OP_UPDATE.rawValue,
        timeout: data[NFTA_DYNSET_TIMEOUT]?.number64 ?? 0)
    case "tproxy" where number(NFTA_TPROXY_REG_ADDR) == register && number(NFTA_TPROXY_REG_PORT) == NFT_REG_2.rawValue:
      self = .tproxy(number(NFTA_TPROXY_FAMILY) ?? .max)
    case "counter":
      self = .counter
    case "immediate" where number(NFTA_IMMEDIATE_DREG) == NFT_REG_VERDICT.rawValue:
      let verdict = nested(NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT).map { NetlinkReply.attributes(in: $0) }
      let code = verdict?[NFTA_VERDICT_CODE]?.number ?? .max
      if let chain = verdict?[NFTA_VERDICT_CHAIN]?.text {
        self = .goTo(chain, returns: Int32(bitPattern: code) == NFT_JUMP.rawValue)
      } else {
        self = .verdict(code)
      }
    case "immediate":
      self = .load(Array(nested(NFTA_IMMEDIATE_DATA, NFTA_DATA_VALUE) ?? []), number(NFTA_IMMEDIATE_DREG) ?? .max)
    default:
      self = .foreign(name)
    }
  }
}

/// An element of a set as it goes to the kernel.
struct SetElement: Equatable, Comparable, Sendable {
  let key: UInt128
  /// The first address after an interval (`NFT_SET_ELEM_INTERVAL_END`).
  var isEnd = false
  /// Milliseconds; 0 for none.
  var timeout: UInt64 = 0
  /// The network of which an interval is a part; shown by nft as the comment.
  var comment: String?

  static func < (a: SetElement, b: SetElement) -> Bool { a.key < b.key }
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

  /// Removes all there is by a name: the message says the table and that.
  private mutating func remove(
    _ kind: nf_tables_msg_types, _ tableAttribute: some RawRepresentable<UInt32>,
    _ nameAttribute: some RawRepresentable<UInt32>, _ name: String
  ) {
    add(kind) { [table] in
      $0.put(tableAttribute, string: table)
      $0.put(nameAttribute, string: name)
    }
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

  mutating func addSet(_ set: NFTablesSet, id: UInt32) {
    add(NFT_MSG_NEWSET, flags: NLM_F_CREATE) { [table] in
      $0.put(NFTA_SET_TABLE, string: table)
      $0.put(NFTA_SET_NAME, string: set.name)
      $0.putBigEndian(NFTA_SET_FLAGS, set.flags)
      $0.putBigEndian(NFTA_SET_KEY_TYPE, set.key.type)
      $0.putBigEndian(NFTA_SET_KEY_LEN, set.key.length)
      $0.putBigEndian(NFTA_SET_ID, id)
      if set.size > 0 { $0.nest(NFTA_SET_DESC) { $0.putBigEndian(NFTA_SET_DESC_SIZE, set.size) } }
    }
  }

  mutating func deleteSet(_ name: String) { remove(NFT_MSG_DELSET, NFTA_SET_TABLE, NFTA_SET_NAME, name) }

  /// Removes all elements of a set that is there.
  mutating func flushSet(_ name: String) {
    remove(NFT_MSG_DELSETELEM, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, name)
  }

  mutating func addChain(_ chain: NFTablesChain) {
    add(NFT_MSG_NEWCHAIN, flags: NLM_F_CREATE) { [table] in
      $0.put(NFTA_CHAIN_TABLE, string: table)
      $0.put(NFTA_CHAIN_NAME, string: chain.name)
      guard let priority = chain.priority else { return }
      $0.nest(NFTA_CHAIN_HOOK) {
        $0.putBigEndian(NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING.rawValue)
        $0.putBigEndian(NFTA_HOOK_PRIORITY, UInt32(bitPattern: priority))
      }
      $0.putBigEndian(NFTA_CHAIN_POLICY, UInt32(NF_ACCEPT))
      $0.put(NFTA_CHAIN_TYPE, string: "filter")
    }
  }

  /// Removes all rules of a chain of ours.
  mutating func flushChain(_ name: String) { remove(NFT_MSG_DELRULE, NFTA_RULE_TABLE, NFTA_RULE_CHAIN, name) }

  mutating func deleteChain(_ name: String) { remove(NFT_MSG_DELCHAIN, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, name) }

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
  mutating func change(_ kind: nf_tables_msg_types, flags: Int32 = 0, _ set: NFTablesSet, _ elements: [SetElement]) {
    var index = 0
    while index < elements.count {
      add(kind, flags: flags) { [table] message in
        message.put(NFTA_SET_ELEM_LIST_TABLE, string: table)
        message.put(NFTA_SET_ELEM_LIST_SET, string: set.name)
        let start = message.bytes.count
        let end = min(index + Self.elementsInMessage, elements.count)
        message.nest(NFTA_SET_ELEM_LIST_ELEMENTS) { list in
          while index < end, list.bytes.count - start < Self.elementBytesInMessage {
            list.put(elements[index], set.key)
            index += 1
          }
        }
      }
    }
  }
}

extension NetlinkMessage {
  mutating func put(_ element: SetElement, _ key: NFTablesSet.Key) {
    nest(NFTA_LIST_ELEM) { body in
      body.nest(NFTA_SET_ELEM_KEY) {
        switch key {
        case .ipv4: $0.put(NFTA_DATA_VALUE, UInt32(truncatingIfNeeded: element.key).bigEndian)
        case .ipv6: $0.put(NFTA_DATA_VALUE, element.key.bigEndian)
        case .port: $0.put(NFTA_DATA_VALUE, UInt16(truncatingIfNeeded: element.key).bigEndian)
        case .family: $0.put(NFTA_DATA_VALUE, UInt8(truncatingIfNeeded: element.key))
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
