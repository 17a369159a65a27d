import Wire

/// The text form in which blocks outlive us: one line for each change, the newest word on a network counts.
///
/// `+ TAB network TAB since TAB until TAB methods TAB port TAB transport TAB mode TAB reason TAB evidence`, times in
/// nanoseconds since the epoch, `-` for no end, no TAB and no evidence where there is none; `- TAB network` for a release. The first line names the format and the kernel's boot:
/// `portsentry-blocks 1 BOOT-ID`, because after a reboot the administrator's commands must be run again.
package enum SavedBlocks {
  package static func header(bootID: String) -> String { "portsentry-blocks 1 \(bootID)\n" }

  /// Adds the line for a block made.
  package static func append(_ record: Block.Record, to text: inout [UInt8]) {
    func field(_ value: some Sequence<UInt8>) {
      text.append(tab)
      text += value
    }
    text.append(UInt8(ascii: "+"))
    text.append(tab)
    AddressText.append(record.network.address, to: &text)
    if !record.network.isHost { text += "/\(record.network.length)".utf8 }
    field(String(record.since.nanoseconds).utf8)
    field((record.until.map { String($0.nanoseconds) } ?? "-").utf8)
    field((record.methods.isEmpty ? "-" : record.methods.map(\.rawValue).joined(separator: ",")).utf8)
    field(String(record.port).utf8)
    field(record.transport.name.utf8)
    field(record.modeName.utf8)
    // The reason is our own text; a tab or newline in it would break the line.
    field(record.reason.utf8.lazy.map { $0 < 0x20 ? UInt8(ascii: " ") : $0 })
    if !record.evidence.isEmpty { field(record.evidence.utf8.lazy.map { $0 < 0x20 ? UInt8(ascii: " ") : $0 }) }
    text.append(newline)
  }

  /// The line for a block made.
  package static func line(_ record: Block.Record) -> String {
    var text: [UInt8] = []
    append(record, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// The line for a block released.
  package static func line(released network: IPNetwork) -> String { "-\t\(network)\n" }

  /// What a file says is in force.
  package struct Contents: Sendable {
    package var bootID: String?
    package var records: [IPNetwork: Block.Record] = [:]
    /// Lines that could not be read: a torn last line after a power cut, or foreign text.
    package var damagedLines = 0
    /// Lines read; many more than records means that the file should be written anew.
    package var lines = 0

    package init() {}
  }

  /// Reads a file of any content; what cannot be read is counted, not fatal.
  package static func parse(_ bytes: [UInt8]) -> Contents {
    var contents = Contents()
    // A line has some sixty bytes; more than what a sentry may hold is not reserved for.
    contents.records.reserveCapacity(min(bytes.count / 64, 131_072))
    var start = 0
    var texts = Texts()
    // A hundred thousand lines are read before the sentry is ready: no strings but those that are kept.
    while start < bytes.count {
      guard let end = bytes[start...].firstIndex(of: newline) else {
        // Without its newline a line is torn, even if it can be read: `- 10.0.0.1` may have been `- 10.0.0.12`.
        contents.lines += 1
        contents.damagedLines += 1
        break
      }
      let line = bytes[start..<end]
      start = end + 1
      guard !line.isEmpty else { continue }
      contents.lines += 1
      if contents.lines == 1, line.starts(with: "portsentry-blocks 1 ".utf8) {
        contents.bootID = line.split(separator: UInt8(ascii: " ")).dropFirst(2).first.map(text)
      } else if !parse(line, into: &contents.records, &texts) {
        contents.damagedLines += 1
      }
    }
    return contents
  }

  private static let newline = UInt8(ascii: "\n")
  private static let tab = UInt8(ascii: "\t")

  /// The texts of the line before: many blocks have few different ones, and share them.
  private struct Texts {
    var mode = ""
    var reason = ""
    var evidence = ""

    static func intern(_ bytes: ArraySlice<UInt8>, _ last: inout String) -> String {
      if !last.utf8.elementsEqual(bytes) { last = text(bytes) }
      return last
    }
  }

  private static func parse(
    _ line: ArraySlice<UInt8>, into records: inout [IPNetwork: Block.Record], _ texts: inout Texts
  ) -> Bool {
    // What follows the last field taken; nil once the line is used up.
    var rest: ArraySlice<UInt8>? = line
    func field() -> ArraySlice<UInt8> {
      guard let text = rest else { return [] }
      let end = text.firstIndex(of: tab)
      rest = end.map { text[($0 + 1)...] }
      return text[..<(end ?? text.endIndex)]
    }
    let sign = field()
    guard sign.count == 1, let network = network(field()) else { return false }
    switch sign.first {
    case UInt8(ascii: "-"):
      guard rest == nil else { return false }
      records[network] = nil
      return true
    case UInt8(ascii: "+"):
      guard let since = number(field()) else { return false }
      let end = field()
      let until = number(end)
      guard until != nil || end.elementsEqual("-".utf8), let methods = methods(field()), let port = number(field()),
        let port = UInt16(exactly: port), let transport = transport(field())
      else { return false }
      let mode = Texts.intern(field(), &texts.mode)
      guard rest != nil else { return false }
      let reason = Texts.intern(field(), &texts.reason)
      guard let evidence = rest ?? .some([]), !evidence.contains(tab) else { return false }
      records[network] = Block.Record(
        network: network, since: Timestamp(nanoseconds: since), until: until.map(Timestamp.init(nanoseconds:)),
        methods: methods, port: port, transport: transport, modeName: mode, reason: reason,
        evidence: Texts.intern(evidence, &texts.evidence))
      return true
    default:
      return false
    }
  }

  private static func network(_ bytes: ArraySlice<UInt8>) -> IPNetwork? {
    guard let slash = bytes.firstIndex(of: UInt8(ascii: "/")) else {
      return AddressText.parse(bytes).map(IPNetwork.init)
    }
    guard let address = AddressText.parse(bytes[..<slash]), let length = number(bytes[(slash + 1)...]) else {
      return nil
    }
    return Int(exactly: length).flatMap { IPNetwork(address, length: $0) }
  }

  /// A decimal number without sign; nil for anything else and beyond 63 bits.
  private static func number(_ bytes: ArraySlice<UInt8>) -> Int64? {
    guard (1...19).contains(bytes.count) else { return nil }
    var value: Int64 = 0
    for byte in bytes {
      guard (0x30...0x39).contains(byte) else { return nil }
      let (product, isOver) = value.multipliedReportingOverflow(by: 10)
      let (sum, isOverToo) = product.addingReportingOverflow(Int64(byte - 0x30))
      if isOver || isOverToo { return nil }
      value = sum
    }
    return value
  }

  private static let usual: [BlockMethod] = [.nftables]

  private static func methods(_ bytes: ArraySlice<UInt8>) -> [BlockMethod]? {
    if bytes.elementsEqual("-".utf8) { return [] }
    if bytes.elementsEqual("nftables".utf8) { return usual }
    var methods: [BlockMethod] = []
    for name in bytes.split(separator: UInt8(ascii: ",")) {
      guard let method = BlockMethod(rawValue: text(name)) else { return nil }
      methods.append(method)
    }
    return methods
  }

  private static func transport(_ bytes: ArraySlice<UInt8>) -> TransportProtocol? {
    TransportProtocol.allCases.first { bytes.elementsEqual($0.name.utf8) }
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}
