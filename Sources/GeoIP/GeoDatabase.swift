import Wire

/// Where an address is and whose network it is in, as a database says. All text is the database's.
package struct Place: Sendable, Equatable, Hashable {
  /// ISO 3166-1, two letters.
  package var country: String?
  /// The country's English name.
  package var countryName: String?
  package var systemNumber: UInt32?
  package var organisation: String?

  package init(
    country: String? = nil, countryName: String? = nil, systemNumber: UInt32? = nil, organisation: String? = nil
  ) {
    self.country = country
    self.countryName = countryName
    self.systemNumber = systemNumber
    self.organisation = organisation
  }

  package var isEmpty: Bool { self == Place() }
}

/// A file in MaxMind's DB format, version 2: a binary tree over the bits of an address, whose leaves point into a section
/// of typed values.
///
/// Takes any bytes. Each look-up reads a bounded number of values, whatever the file says.
package struct GeoDatabase: Sendable {
  package enum Fault: Error, Equatable, Sendable, CustomStringConvertible {
    /// The mark before the metadata is not in the last 128 KiB.
    case notADatabase
    case unsupported(version: UInt64)
    /// What the metadata says cannot be.
    case metadata(String)
    /// The tree is longer than the file.
    case truncated(needed: Int, there: Int)

    package var description: String {
      switch self {
      case .notADatabase: "it is no database in MaxMind's format"
      case .unsupported(let version): "its format is version \(version), and only 2 is known"
      case .metadata(let what): "its metadata makes no sense: \(what)"
      case .truncated(let needed, let there): "it is cut off: its tree takes \(needed) bytes, and \(there) are there"
      }
    }
  }

  private let bytes: [UInt8]
  private let nodes: Int
  private let recordBits: Int
  private let isV6: Bool
  /// Where the values begin.
  private let data: Int
  /// The node at which IPv4 addresses begin in a tree of IPv6.
  private var v4Start = 0
  /// What kind of database it calls itself, e.g. `GeoLite2-Country`.
  package let type: String

  /// "\xab\xcd\xefMaxMind.com"
  private static let mark: [UInt8] = [0xab, 0xcd, 0xef] + Array("MaxMind.com".utf8)

  package init(_ bytes: [UInt8]) throws(Fault) {
    self.bytes = bytes
    guard let start = Self.metadataStart(bytes) else { throw .notADatabase }
    var values = ValueReader(bytes: bytes, base: start, end: bytes.count)
    let numbers = values.numbers(at: start, ["binary_format_major_version", "node_count", "record_size", "ip_version"])
    guard let version = numbers[0] else { throw .metadata("no version") }
    guard version == 2 else { throw .unsupported(version: version) }
    guard let count = numbers[1], count < 1 << 32 else { throw .metadata("number of nodes") }
    guard let size = numbers[2], [24, 28, 32].contains(size) else { throw .metadata("size of records") }
    guard let family = numbers[3], family == 4 || family == 6 else { throw .metadata("version of IP") }
    nodes = Int(count)
    recordBits = Int(size)
    isV6 = family == 6
    let tree = nodes * recordBits / 4
    // 16 zero bytes part the tree from the values.
    guard tree + 16 <= bytes.count else { throw .truncated(needed: tree + 16, there: bytes.count) }
    data = tree + 16
    type = values.text(at: start, ["database_type"]) ?? ""
    if isV6 {
      for _ in 0..<96 where v4Start < nodes { v4Start = record(v4Start, 0) }
    }
  }

  private static func metadataStart(_ bytes: [UInt8]) -> Int? {
    guard bytes.count >= mark.count else { return nil }
    let first = max(0, bytes.count - (128 << 10))
    var at = bytes.count - mark.count
    while at >= first {
      if bytes[at] == mark[0], bytes[at..<(at + mark.count)].elementsEqual(mark) { return at + mark.count }
      at -= 1
    }
    return nil
  }

  /// The left or right record of a node.
  private func record(_ node: Int, _ bit: Int) -> Int {
    let at = node * recordBits / 4
    func byte(_ offset: Int) -> Int { Int(bytes[at + offset]) }
    switch recordBits {
    case 24:
      let o = bit * 3
      return byte(o) << 16 | byte(o + 1) << 8 | byte(o + 2)
    case 28:
      // The middle byte has the highest four bits of both.
      return bit == 0
        ? (byte(3) >> 4) << 24 | byte(0) << 16 | byte(1) << 8 | byte(2)
        : (byte(3) & 15) << 24 | byte(4) << 16 | byte(5) << 8 | byte(6)
    default:
      let o = bit * 4
      return byte(o) << 24 | byte(o + 1) << 16 | byte(o + 2) << 8 | byte(o + 3)
    }
  }

  /// Where the value for an address is.
  private func offset(of address: IPAddress) -> Int? {
    var node = 0
    if address.isV4 {
      node = isV6 ? v4Start : 0
      var bits = address.v4Bits
      for _ in 0..<32 where node < nodes {
        node = record(node, Int(bits >> 31))
        bits <<= 1
      }
    } else {
      guard isV6 else { return nil }
      for index in 0..<128 where node < nodes {
        let half = index < 64 ? address.high : address.low
        node = record(node, Int(half >> UInt64(63 - index % 64) & 1))
      }
    }
    // The number of nodes itself stands for "nothing known".
    guard node > nodes else { return nil }
    let at = node - nodes - 16 + data
    return at >= data && at < bytes.count ? at : nil
  }

  /// What the database says of an address; nil for nothing.
  package func place(of address: IPAddress) -> Place? {
    guard let at = offset(of: address) else { return nil }
    var values = ValueReader(bytes: bytes, base: data, end: bytes.count)
    var place = Place()
    for key in ["country", "registered_country"] where place.country == nil {
      place.country = values.text(at: at, [key, "iso_code"])
      place.countryName = values.text(at: at, [key, "names", "en"])
    }
    if let number = values.numbers(at: at, ["autonomous_system_number"])[0] {
      place.systemNumber = UInt32(exactly: number)
    }
    place.organisation = values.text(at: at, ["autonomous_system_organization"])
    return place.isEmpty ? nil : place
  }
}

/// Databases that complete each other, e.g. one of countries and one of networks.
package struct Atlas: Sendable {
  private let databases: [GeoDatabase]

  package init(_ databases: [GeoDatabase] = []) { self.databases = databases }

  package var isEmpty: Bool { databases.isEmpty }

  package func place(of address: IPAddress) -> Place? {
    var result: Place?
    for database in databases {
      guard let place = database.place(of: address) else { continue }
      guard var known = result else {
        result = place
        continue
      }
      if known.country == nil { (known.country, known.countryName) = (place.country, place.countryName) }
      known.systemNumber = known.systemNumber ?? place.systemNumber
      known.organisation = known.organisation ?? place.organisation
      result = known
    }
    return result
  }
}
