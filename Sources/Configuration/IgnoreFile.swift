import Response
import Wire

/// The file of the addresses and networks that nothing is ever done to.
package enum IgnoreFile {
  /// Reads an ignore file: one `ADDRESS` or `ADDRESS/MASK` to a line, the mask as a length or dotted.
  ///
  /// Takes whatever either predecessor takes and what people write beside it: comments after the address, blanks
  /// anywhere, CR LF, capital hex digits, host bits under the mask, no final newline. `/0` means every address, which
  /// it did for neither of them.
  ///
  /// - Parameter dialect: what an entry that cannot be read is. 1.2 overlooked it: a warning. 2.x refused to start: an
  ///   error. Either way the entry is skipped and the others hold.
  package static func parse(
    _ bytes: [UInt8], path: String, dialect: Dialect = .classic
  ) -> (IPNetworkSet, [Diagnostic]) {
    var networks: [IPNetwork] = []
    var diagnostics = DiagnosticList(file: path)
    let severity: Diagnostic.Severity = dialect == .classic ? .warning : .error
    for (index, bytes) in lines(of: bytes).enumerated() {
      let line = index + 1
      let text = bytes.trimmingBlanks
      guard let first = text.first, first != .hash else { continue }
      // 1.2's rule: the entry ends at the first byte that cannot be part of one.
      let (entry, rest) = split(text)
      switch network(String(decoding: entry, as: UTF8.self)) {
      case .failure(let problem):
        let word = text.prefix { !$0.isBlank && $0 != .hash }
        diagnostics.add(severity, line, "\(quoted(word)) \(problem.reason); entry skipped")
      case .success(let network):
        networks.append(network)
        if network.length == 0 {
          diagnostics.add(
            .warning, line,
            "\(network) is every \(network.isV4 ? "IPv4" : "IPv6") address: nobody there will be blocked")
        }
        if let text = warning(on: rest, after: entry) { diagnostics.add(.warning, line, text) }
      }
    }
    return (IPNetworkSet(networks), diagnostics.sorted)
  }

  /// The entry, and what follows it. A zone before the mask, `fe80::1%lan0/64` (RFC 4007 section 11.7), leaves the entry
  /// `fe80::1/64` and goes before the rest.
  private static func split(_ text: ArraySlice<UInt8>) -> (entry: ArraySlice<UInt8>, rest: ArraySlice<UInt8>) {
    let entry = text.prefix(while: \.isAddressPart)
    let rest = text[entry.endIndex...]
    guard rest.first == UInt8(ascii: "%") else { return (entry, rest) }
    let zone = rest.prefix { !$0.isBlank && $0 != .hash && $0 != .slash }
    let mask = rest[zone.endIndex...].prefix(while: \.isAddressPart)
    guard mask.first == .slash, !entry.contains(.slash) else { return (entry, rest) }
    return ((entry + mask)[...], (zone + rest[mask.endIndex...])[...])
  }

  struct Problem: Error {
    var reason: String
  }

  private static func network(_ entry: String) -> Result<IPNetwork, Problem> {
    let slash = entry.firstByte("/")
    guard let address = IPAddress(entry[..<(slash ?? entry.endIndex)]) else {
      let isOctal = AddressText.fault(entry, shown: "").containsBytes("leading zero")
      return .failure(
        Problem(
          reason: isOctal
            ? String(Substring(AddressText.fault(entry, shown: "").utf8.dropFirst()))
            : "is no address (10.0.0.1, 10.0.0.0/8, 2001:db8::/32; host names do not work here)"))
    }
    guard let slash else { return .success(IPNetwork(address)) }
    let mask = entry[entry.utf8.index(after: slash)...]
    let isMapped = address.isV4 && entry[..<slash].containsBytes(":")
    var length: Int?
    if mask.containsBytes(".") {
      length = address.isV4 && !isMapped ? IPAddress(mask).flatMap(prefixLength) : nil
    } else if (1...3).contains(mask.utf8.count), mask.utf8.allSatisfy(\.isDigit) {
      // ::ffff:10.0.0.0/104 counts its mask from the front of the IPv6 form.
      length = Int(mask).map { isMapped ? $0 - 96 : $0 }
    }
    guard let length, let network = IPNetwork(address, length: length) else {
      let expected = isMapped ? "96 to 128" : address.isV4 ? "0 to 32, or as 255.255.255.0" : "0 to 128"
      return .failure(Problem(reason: "has no valid mask (/\(expected))"))
    }
    return .success(network)
  }

  /// The length of a dotted mask; nil when its one bits are not all at the front.
  private static func prefixLength(_ mask: IPAddress) -> Int? {
    guard mask.isV4 else { return nil }
    let length = (~mask.v4Bits).leadingZeroBitCount
    return mask.v4Bits.nonzeroBitCount == length ? length : nil
  }

  /// What to say of the text after an entry: nothing of a comment, but a second address would be lost.
  private static func warning(on rest: ArraySlice<UInt8>, after entry: ArraySlice<UInt8>) -> String? {
    guard let first = rest.first, first != .hash else { return nil }
    if first == UInt8(ascii: "%") {
      return
        "the zone \(quoted(rest.prefix { !$0.isBlank && $0 != .hash })) is ignored: \(quoted(entry)) holds on every interface"
    }
    guard first.isBlank else { return "\(quoted(rest)) right after \(quoted(entry)) is ignored" }
    let comment = rest.prefix { $0 != .hash }
    for word in comment.split(whereSeparator: \.isBlank) {
      if case .success = network(String(decoding: word.prefix(while: \.isAddressPart), as: UTF8.self)) {
        return "only the first address of a line counts; put \(quoted(word)) on a line of its own"
      }
    }
    return nil
  }
}

extension UInt8 {
  fileprivate static let slash = UInt8(ascii: "/")

  /// Digits, hex letters of either case, and `. : /`.
  fileprivate var isAddressPart: Bool {
    isDigit || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self | 0x20) || self == UInt8(ascii: ".")
      || self == UInt8(ascii: ":") || self == UInt8(ascii: "/")
  }
}
