import CLinux

/// Builds netlink messages (RFC 3549; `netlink(7)`): header, fixed part, attributes, several in one buffer.
package struct NetlinkMessage: Sendable {
  package var bytes: [UInt8] = []
  @usableFromInline var start = 0

  @inlinable
  package init() { bytes.reserveCapacity(512) }

  package var isEmpty: Bool { bytes.isEmpty }

  /// Begins a message; `end()` must follow once its attributes are in.
  ///
  /// - Parameters:
  ///   - flags: `NLM_F_…`.
  ///   - fixed: the part between header and attributes (`nfgenmsg`, `rtmsg`, …), as it lies in memory.
  @inlinable
  package mutating func begin<Fixed: BitwiseCopyable>(
    _ type: UInt16, flags: Int32, sequence: UInt32 = 0, fixed: Fixed
  ) {
    start = bytes.count
    append(nlmsghdr(nlmsg_len: 0, nlmsg_type: type, nlmsg_flags: UInt16(flags), nlmsg_seq: sequence, nlmsg_pid: 0))
    append(fixed)
    pad()
  }

  /// Writes the length of the message begun last.
  @inlinable
  package mutating func end() { store(UInt32(bytes.count - start), at: start) }

  /// Adds an attribute whose payload is a value as it lies in memory (host byte order).
  @inlinable
  package mutating func put<Value: BitwiseCopyable>(_ type: Int32, _ value: Value) {
    header(type, MemoryLayout<Value>.size)
    append(value)
    pad()
  }

  /// Adds a 32-bit number in network byte order, as nfnetlink wants them.
  @inlinable
  package mutating func putBigEndian(_ type: Int32, _ value: UInt32) { put(type, value.bigEndian) }
  /// Adds a 64-bit number in network byte order.
  @inlinable
  package mutating func putBigEndian(_ type: Int32, _ value: UInt64) { put(type, value.bigEndian) }

  @inlinable
  package mutating func put(_ type: Int32, bytes value: [UInt8]) {
    header(type, value.count)
    bytes += value
    pad()
  }

  /// Adds a string with its final zero byte.
  @inlinable
  package mutating func put(_ type: Int32, string: String) { put(type, bytes: Array(string.utf8) + [0]) }

  /// Adds an attribute made of attributes.
  @inlinable
  package mutating func nest(_ type: Int32, _ body: (inout NetlinkMessage) -> Void) {
    let position = bytes.count
    header(type | NLA_F_NESTED, 0)
    body(&self)
    store(UInt16(bytes.count - position), at: position)
  }

  @inlinable
  package mutating func header(_ type: Int32, _ length: Int) {
    append(UInt16(4 + length))
    append(UInt16(truncatingIfNeeded: type))
  }

  @inlinable
  package mutating func append<Value: BitwiseCopyable>(_ value: Value) {
    unsafe withUnsafeBytes(of: value) { unsafe bytes.append(contentsOf: $0) }
  }

  @inlinable
  package mutating func store<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
    unsafe bytes.withUnsafeMutableBytes { unsafe $0.storeBytes(of: value, toByteOffset: offset, as: Value.self) }
  }

  @inlinable
  package mutating func pad() {
    while bytes.count & 3 != 0 { bytes.append(0) }
  }
}

@usableFromInline let NLA_F_NESTED: Int32 = 1 << 15

/// One message taken from the kernel.
package struct NetlinkReply: Sendable {
  package let type: UInt16
  package let flags: UInt16
  package let sequence: UInt32
  /// The netlink port of whoever caused the message; 0 is the kernel itself.
  package let port: UInt32
  /// What follows the header: the fixed part and the attributes.
  package let body: ArraySlice<UInt8>

  /// The fixed part as it lies in memory; nil when the message is too short for it.
  package func fixed<Fixed: BitwiseCopyable>(_ type: Fixed.Type) -> Fixed? { body.value(at: 0, as: Fixed.self) }

  /// The attributes after a fixed part of `size` bytes, by type without its flag bits; the last of a type wins.
  package func attributes(after size: Int) -> [Int32: ArraySlice<UInt8>] {
    Self.attributes(in: body.dropFirst((size + 3) & ~3))
  }

  /// The attributes within a nested attribute's payload.
  package static func attributes(in bytes: ArraySlice<UInt8>) -> [Int32: ArraySlice<UInt8>] {
    var result: [Int32: ArraySlice<UInt8>] = [:]
    for (type, payload) in attributeList(in: bytes) { result[type] = payload }
    return result
  }

  /// The attributes in order, for lists in which one type repeats.
  package static func attributeList(in bytes: ArraySlice<UInt8>) -> [(type: Int32, payload: ArraySlice<UInt8>)] {
    var result: [(type: Int32, payload: ArraySlice<UInt8>)] = []
    var rest = bytes
    while let length = rest.value(at: 0, as: UInt16.self), let type = rest.value(at: 2, as: UInt16.self) {
      guard length >= 4, Int(length) <= rest.count else { break }
      result.append((Int32(type & 0x3fff), rest.dropFirst(4).prefix(Int(length) - 4)))
      rest = rest.dropFirst((Int(length) + 3) & ~3)
    }
    return result
  }
}

extension ArraySlice<UInt8> {
  /// A value at `offset` from the start, as it lies in memory; nil beyond the end.
  @inlinable
  package func value<Value: BitwiseCopyable>(at offset: Int, as: Value.Type) -> Value? {
    guard count >= offset + MemoryLayout<Value>.size else { return nil }
    return unsafe withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: offset, as: Value.self) }
  }
}

/// Attributes one after the other, without a heap allocation for each: for lists of many thousands.
package struct NetlinkAttributes {
  @usableFromInline var rest: ArraySlice<UInt8>

  @inlinable
  package init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next attribute: its type without flag bits, and its payload.
  @inlinable
  package mutating func next() -> (type: Int32, payload: ArraySlice<UInt8>)? {
    guard let length = rest.value(at: 0, as: UInt16.self), let type = rest.value(at: 2, as: UInt16.self), length >= 4,
      Int(length) <= rest.count
    else { return nil }
    let payload = rest.dropFirst(4).prefix(Int(length) - 4)
    rest = rest.dropFirst((Int(length) + 3) & ~3)
    return (Int32(type & 0x3fff), payload)
  }
}

/// A netlink socket.
package struct NetlinkSocket: ~Copyable, Sendable {
  package let file: FileDescriptor
  private var sequence: UInt32 = 1

  /// - Parameters:
  ///   - protocol: `NETLINK_ROUTE`, `NETLINK_NETFILTER`, `NETLINK_SOCK_DIAG`.
  ///   - groups: multicast groups to listen to, by number.
  ///   - changes: whether links, addresses or routes are to be changed by one of `NETLINK_ROUTE`. Otherwise nothing can be, by nobody
  ///     who gets hold of it.
  package init(_ protocol: Int32, groups: [Int32] = [], changes: Bool = false) throws(Errno) {
    let type = CLinux_SOCK_RAW | CLinux_SOCK_CLOEXEC
    let file =
      `protocol` == NETLINK_ROUTE && !changes
      ? FileDescriptor(owning: try check("socket", "netlink") { CLinux_netlink_for_reading(type, `protocol`) })
      : try FileDescriptor.socket(AF_NETLINK, CLinux_SOCK_RAW, `protocol`)
    var address = sockaddr_nl()
    address.nl_family = sa_family_t(AF_NETLINK)
    try check("bind", "netlink") {
      unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_nl>.size))
    }
    // Larger messages than the default buffer holds are what a full dump is made of.
    try? file.setOption(SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    try? file.setOption(SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20)
    for group in groups { try file.setOption(Self.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group) }
    self.file = file
  }

  /// A socket that is there, or one for questions about links, addresses and routes.
  package static func reader(_ known: Owned<NetlinkSocket>?) throws(Errno) -> Owned<NetlinkSocket> {
    if let known { return known }
    return Owned(try NetlinkSocket(NETLINK_ROUTE))
  }

  package static let SOL_NETLINK: Int32 = 270

  /// This socket's netlink port, by which the kernel names it as the cause of a notification.
  package func port() throws(Errno) -> UInt32 {
    var address = sockaddr_nl()
    var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
    try check("getsockname", "netlink") { unsafe CLinux_getsockname(file.raw, &address, &length) }
    return address.nl_pid
  }

  /// A number for the next request, so that its answers can be told from older ones.
  package mutating func nextSequence() -> UInt32 {
    sequence &+= 1
    return sequence
  }

  /// Leaves out numbers up to `last`, which the messages of one batch have used.
  package mutating func skip(to last: UInt32) { sequence = last }

  package func send(_ message: NetlinkMessage) throws(Errno) {
    try check("send", "netlink") {
      unsafe message.bytes.withUnsafeBytes { unsafe CLinux.send(file.raw, $0.baseAddress, $0.count, 0) }
    }
  }

  /// Reads one datagram of messages into `buffer` and lends them. Blocks unless `wait` is false.
  ///
  /// - Returns: false when nothing was there and `wait` is false.
  /// - Throws: `ENOBUFS` when the kernel dropped notifications: look at the whole state again.
  package func receive(
    wait: Bool = true, buffer: inout [UInt8], _ body: (NetlinkReply) -> Void
  ) throws(Errno) -> Bool {
    let count: Int
    do throws(Errno) {
      count = try check("recv", "netlink") {
        unsafe buffer.withUnsafeMutableBytes {
          unsafe recv(file.raw, $0.baseAddress, $0.count, wait ? 0 : Int32(MSG_DONTWAIT))
        }
      }
    } catch {
      if !wait, error.code == EAGAIN { return false }
      throw error
    }
    var rest = buffer[0..<count]
    while let header = rest.value(at: 0, as: nlmsghdr.self) {
      let length = Int(header.nlmsg_len)
      guard length >= 16, length <= rest.count else { break }
      body(
        NetlinkReply(
          type: header.nlmsg_type, flags: header.nlmsg_flags, sequence: header.nlmsg_seq, port: header.nlmsg_pid,
          body: rest.dropFirst(16).prefix(length - 16)))
      rest = rest.dropFirst((length + 3) & ~3)
    }
    return true
  }

  /// Sends a request and lends each answer until the kernel says it is done.
  ///
  /// - Throws: the kernel's error for the request.
  package func request(
    _ message: NetlinkMessage, sequence: UInt32, buffer: inout [UInt8], _ body: (NetlinkReply) -> Void
  ) throws(Errno) {
    try send(message)
    var done = false
    var failure: Int32 = 0
    while !done {
      _ = try receive(buffer: &buffer) { reply in
        guard reply.sequence == sequence else { return }
        switch reply.type {
        case UInt16(NLMSG_DONE):
          done = true
        case UInt16(NLMSG_ERROR):
          failure = -(reply.fixed(Int32.self) ?? 0)
          done = true
        default:
          body(reply)
        }
      }
    }
    if failure != 0 { throw Errno(failure, "netlink request") }
  }

  /// Asks for all of a kind and lends each answer.
  ///
  /// - Parameters:
  ///   - type: e.g. `RTM_GETLINK`.
  ///   - fixed: the request's fixed part.
  /// - Throws: the kernel's error for the request.
  package mutating func dump<Fixed: BitwiseCopyable>(
    _ type: Int, _ fixed: Fixed, buffer: inout [UInt8], _ body: (NetlinkReply) -> Void
  ) throws(Errno) {
    let sequence = nextSequence()
    var message = NetlinkMessage()
    message.begin(UInt16(type), flags: NLM_F_REQUEST | NLM_F_DUMP, sequence: sequence, fixed: fixed)
    message.end()
    try request(message, sequence: sequence, buffer: &buffer, body)
  }
}
