import Detection
import Platform
import Response
import Wire

/// The list of blocked sources as the predecessors keep it: text lines in 1.2, binary records in 2.x.
///
/// 1.2 keeps one file for each mode, named `BLOCKED_FILE` + `.` + mode (`classicPath`).
package enum BlockedFile {
  package struct Entry: Hashable, Sendable {
    package var address: IPAddress
    /// The four below are known from 1.2's lines only.
    package var time: Timestamp?
    package var port: UInt16?
    package var transport: TransportProtocol?
    package var name: String?

    package init(
      _ address: IPAddress, time: Timestamp? = nil, port: UInt16? = nil, transport: TransportProtocol? = nil,
      name: String? = nil
    ) {
      self.address = address
      self.time = time
      self.port = port
      self.transport = transport
      self.name = name
    }
  }

  /// What was wrong with a file. The entries that could be read are good.
  package enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file ends within a record, so many bytes after the last whole one.
    case truncated(bytes: Int)
    /// A record names an address family we do not know; it and the rest of the file, so many bytes, are not read.
    case unknownFamily(UInt16, bytes: Int)
    /// Lines that are none of 1.2's: how many, and the number of the first.
    case badLines(Int, first: Int)

    package var description: String {
      switch self {
      case .truncated(let bytes): "Unable to read address from blocked file: \(bytes) bytes at its end are no record"
      case .unknownFamily(let family, let bytes):
        "Unsupported address family: \(family); the last \(bytes) bytes of the blocked file are ignored"
      case .badLines(let count, let first):
        "\(count) lines of the blocked file are not understood, the first is line \(first)"
      }
    }
  }

  /// `/var/lib/portsentry/portsentry.blocked.stcp`, for example.
  package static func classicPath(_ path: String, _ mode: Mode, _ transport: TransportProtocol) -> String {
    "\(path).\(mode.classicName(transport))"
  }

  // MARK: Writing

  /// The whole file for `entries`. What an entry does not know is written as 0, and as TCP.
  package static func encode(_ entries: some Sequence<Entry>, _ dialect: Dialect) -> [UInt8] {
    var bytes: [UInt8] = []
    for entry in entries {
      switch dialect {
      case .classic: append(entry, LocalTime(entry.time ?? Timestamp(nanoseconds: 0)), to: &bytes)
      case .modern:
        let family = entry.address.isV4 ? familyV4 : familyV6
        bytes.append(UInt8(truncatingIfNeeded: family.littleEndianInHostOrder))
        bytes.append(UInt8(truncatingIfNeeded: family.littleEndianInHostOrder >> 8))
        bytes += entry.address.bytes
      }
    }
    return bytes
  }

  /// One line of 1.2's blocked and history files, with its line end:
  /// `1795335671 - 11/22/2026 08:21:11 Host: 10.77.0.1/10.77.0.1 Port: 11 TCP Blocked`.
  package static func line(_ entry: Entry) -> String {
    line(entry, LocalTime(entry.time ?? Timestamp(nanoseconds: 0)))
  }

  static func line(_ entry: Entry, _ time: LocalTime) -> String {
    var bytes: [UInt8] = []
    append(entry, time, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  static func append(_ entry: Entry, _ time: LocalTime, to text: inout [UInt8]) {
    text += String(time.epoch).utf8
    text += " - ".utf8
    text += time.classic.utf8
    text += " Host: ".utf8
    let start = text.count
    AddressText.append(entry.address, to: &text)
    if let name = entry.name.flatMap({ SafeText.hostName($0) }) {
      let address = Array(text[start...])
      text.replaceSubrange(start..., with: name.utf8)
      text.append(UInt8(ascii: "/"))
      text += address
    } else {
      let address = Array(text[start...])
      text.append(UInt8(ascii: "/"))
      text += address
    }
    text += " Port: ".utf8
    AddressText.append(Int(entry.port ?? 0), to: &text)
    text += (entry.transport ?? .tcp) == .tcp ? " TCP Blocked\n".utf8 : " UDP Blocked\n".utf8
  }

  // MARK: Reading

  /// Reads either form, told apart by the first bytes: an address family of 2.x, or text.
  package static func decode(_ bytes: [UInt8]) -> (entries: [Entry], problem: Problem?) {
    // Text never has a zero byte; AF_INET and AF_INET6 as 16 bits always do.
    if bytes.prefix(2).contains(where: { $0 < 0x09 || $0 >= 0x80 }) { return decodeModern(bytes) }
    return decodeClassic(bytes)
  }

  /// `AF_INET` and `AF_INET6` of Linux.
  private static let familyV4: UInt16 = 2
  private static let familyV6: UInt16 = 10

  private static func decodeModern(_ bytes: [UInt8]) -> (entries: [Entry], problem: Problem?) {
    var entries: [Entry] = []
    entries.reserveCapacity(bytes.count / 6)
    var offset = 0
    while offset < bytes.count {
      let left = bytes.count - offset
      guard left >= 2 else { return (entries, .truncated(bytes: left)) }
      let family = UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
      let length: Int
      switch family.littleEndianInHostOrder {
      case familyV4: length = 4
      case familyV6: length = 16
      default: return (entries, .unknownFamily(family.littleEndianInHostOrder, bytes: left))
      }
      guard left >= 2 + length else { return (entries, .truncated(bytes: left)) }
      if let address = IPAddress(bytes: bytes[(offset + 2)..<(offset + 2 + length)]) { entries.append(Entry(address)) }
      offset += 2 + length
    }
    return (entries, nil)
  }

  private static func decodeClassic(_ bytes: [UInt8]) -> (entries: [Entry], problem: Problem?) {
    var entries: [Entry] = []
    // A line has at least this many bytes, so that the memory is right within a factor of two.
    entries.reserveCapacity(bytes.count / 64)
    var (bad, firstBad, number) = (0, 0, 0)
    var start = 0
    while start < bytes.count {
      var end = start
      while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
      number += 1
      let line = bytes[start..<end]
      start = end + 1
      if line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\t") }) {
        continue
      }
      if let entry = entry(of: line) {
        entries.append(entry)
      } else {
        if bad == 0 { firstBad = number }
        bad += 1
      }
    }
    return (entries, bad == 0 ? nil : .badLines(bad, first: firstBad))
  }

  /// Reads one line from its end: the name before the address is the stranger's, and 1.2 did not keep it from holding
  /// anything, but nothing that follows the address is.
  private static func entry(of line: ArraySlice<UInt8>) -> Entry? {
    var rest = line
    while let last = rest.last, last == UInt8(ascii: "\r") || last == UInt8(ascii: " ") { rest.removeLast() }
    guard rest.drop(suffix: " Blocked") else { return nil }
    let transport: TransportProtocol
    if rest.drop(suffix: " TCP") {
      transport = .tcp
    } else if rest.drop(suffix: " UDP") {
      transport = .udp
    } else {
      return nil
    }
    guard let digits = rest.dropLast(while: { (0x30...0x39).contains($0) }), let port = number(digits),
      port <= 65535, rest.drop(suffix: " Port: "), let slash = rest.lastIndex(of: UInt8(ascii: "/")),
      let address = AddressText.parse(rest[(slash + 1)...])
    else { return nil }
    rest = rest[..<slash]
    // The line begins with seconds, ` - `, and 19 bytes of local time that say the same again.
    var entry = Entry(address, port: UInt16(port), transport: transport)
    guard let epochEnd = rest.firstIndex(where: { !(0x30...0x39).contains($0) }),
      let seconds = number(rest[..<epochEnd]),
      rest[epochEnd...].starts(with: " - ".utf8)
    else { return nil }
    if seconds > 0, seconds <= Int64.max / 1_000_000_000 { entry.time = Timestamp(seconds: seconds) }
    let host = " Host: "
    let name = rest[epochEnd...].dropFirst(3 + 19)
    guard name.starts(with: host.utf8) else { return nil }
    let bytes = name.dropFirst(host.utf8.count)
    // Most lines repeat the address here.
    if !bytes.elementsEqual(line[(slash + 1)...].prefix(bytes.count)) {
      entry.name = SafeText.hostName(String(decoding: bytes, as: UTF8.self))
    }
    return entry
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
    guard (1...18).contains(digits.count) else { return nil }
    return digits.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
  }
}

extension UInt16 {
  /// A number read as if on a little-endian host, as the host it was written on reads it, and the other way round.
  fileprivate var littleEndianInHostOrder: UInt16 { UInt16(littleEndian: self) }
}

extension ArraySlice<UInt8> {
  /// Removes `suffix` from the end if it is there.
  fileprivate mutating func drop(suffix: StaticString) -> Bool {
    let count = suffix.utf8CodeUnitCount
    guard self.count >= count, suffix.matches(self.suffix(count)) else { return false }
    removeLast(count)
    return true
  }

  /// Removes the longest end whose bytes satisfy `test` and returns it; nil when that is everything.
  fileprivate mutating func dropLast(while test: (UInt8) -> Bool) -> ArraySlice<UInt8>? {
    guard let before = lastIndex(where: { !test($0) }) else { return nil }
    let tail = self[(before + 1)...]
    self = self[...before]
    return tail
  }
}

extension StaticString {
  fileprivate func matches(_ bytes: ArraySlice<UInt8>) -> Bool {
    withUTF8Buffer { unsafe bytes.elementsEqual($0) }
  }
}
