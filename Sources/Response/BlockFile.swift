import Wire

/// The text form in which blocks outlive us: one line for each change, the newest word on a network counts.
///
/// `+ TAB network TAB since TAB until TAB methods TAB port TAB transport TAB mode TAB reason`, times in nanoseconds since
/// the epoch, `-` for no end; `- TAB network` for a release. The first line names the format and the kernel's boot:
/// `portsentry-blocks 1 BOOT-ID`, because after a reboot the administrator's commands must be run again.
package enum BlockFile {
  package static func header(bootID: String) -> String { "portsentry-blocks 1 \(bootID)\n" }

  /// The line for a block made.
  package static func line(_ record: Block.Record) -> String {
    let until = record.until.map { String($0.nanoseconds) } ?? "-"
    let methods = record.methods.map(\.rawValue).joined(separator: ",")
    // The reason is our own text; a tab or newline in it would break the line.
    let reason = String(record.reason.map { $0.isNewline || $0 == "\t" ? " " : $0 })
    return "+\t\(record.network)\t\(record.since.nanoseconds)\t\(until)\t\(methods.isEmpty ? "-" : methods)\t\(record.port)"
      + "\t\(record.transport.name)\t\(record.modeName)\t\(reason)\n"
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
    let end = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    if end < bytes.count {
      // Without its newline a line is torn, even if it can be read: `- 10.0.0.1` may have been `- 10.0.0.12`.
      contents.lines += 1
      contents.damagedLines += 1
    }
    for (number, line) in bytes[..<end].split(separator: UInt8(ascii: "\n")).enumerated() {
      contents.lines += 1
      if number == 0, line.starts(with: "portsentry-blocks 1 ".utf8) {
        contents.bootID = line.split(separator: UInt8(ascii: " ")).dropFirst(2).first.map {
          String(decoding: $0, as: UTF8.self)
        }
        continue
      }
      let fields = line.split(separator: UInt8(ascii: "\t"), maxSplits: 8, omittingEmptySubsequences: false)
      guard let first = fields.first, fields.count >= 2,
        let network = IPNetwork(String(decoding: fields[1], as: UTF8.self))
      else {
        contents.damagedLines += 1
        continue
      }
      if first.elementsEqual("-".utf8), fields.count == 2 {
        contents.records[network] = nil
      } else if first.elementsEqual("+".utf8), let record = record(network, fields) {
        contents.records[network] = record
      } else {
        contents.damagedLines += 1
      }
    }
    return contents
  }

  private static func record(_ network: IPNetwork, _ fields: [ArraySlice<UInt8>]) -> Block.Record? {
    guard fields.count == 9, let since = Int64(text(fields[2])), let port = UInt16(text(fields[5])) else { return nil }
    let until = Int64(text(fields[3]))
    guard until != nil || fields[3].elementsEqual("-".utf8) else { return nil }
    var methods: [BlockMethod] = []
    if !fields[4].elementsEqual("-".utf8) {
      for name in fields[4].split(separator: UInt8(ascii: ",")) {
        guard let method = BlockMethod(rawValue: text(name)) else { return nil }
        methods.append(method)
      }
    }
    let transport: TransportProtocol
    switch text(fields[6]) {
    case "TCP": transport = .tcp
    case "UDP": transport = .udp
    default: return nil
    }
    return Block.Record(
      network: network, since: Timestamp(nanoseconds: since), until: until.map(Timestamp.init(nanoseconds:)),
      methods: methods, port: port, transport: transport, modeName: text(fields[7]), reason: text(fields[8]))
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}
