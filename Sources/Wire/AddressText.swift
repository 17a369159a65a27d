/// Addresses as bytes of text, for files of a hundred thousand lines and floods of as many packets: the same texts as
/// `IPAddress.init?(_:)` and `description`, without a string for each.
package enum AddressText {
  /// Adds the same text as `IPAddress.description`.
  package static func append(_ address: IPAddress, to text: inout [UInt8]) {
    guard address.isV4 else {
      text += address.description.utf8
      return
    }
    for position in 0..<4 {
      if position > 0 { text.append(UInt8(ascii: ".")) }
      append(Int(address.v4Bits >> (24 - 8 * UInt32(position)) & 255), to: &text)
    }
  }

  /// Adds a decimal number of 0...65,535.
  package static func append(_ number: Int, to text: inout [UInt8]) {
    var divisor = 10_000
    while divisor > 1, number < divisor { divisor /= 10 }
    while divisor > 0 {
      text.append(0x30 + UInt8(number / divisor % 10))
      divisor /= 10
    }
  }

  /// The address that the whole of `text` spells; nil for anything else.
  package static func parse(_ text: ArraySlice<UInt8>) -> IPAddress? {
    guard (2...45).contains(text.count) else { return nil }
    return text.contains(colon) ? v6(text) : v4Bits(text).map { IPAddress(v4: $0) }
  }

  /// Why `text` spells neither an address nor a network, for a message: `'010.1.2.3' has a leading zero ...`.
  ///
  /// - Parameter shown: the text as it may be printed.
  package static func fault(_ text: some StringProtocol, shown: String) -> String {
    let parts = text.splitBytes("/", maxSplits: 1, omittingEmptySubsequences: false)
    let groups = parts[0].splitBytes(".", omittingEmptySubsequences: false)
    let isDotted =
      groups.count == 4 && groups.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    if isDotted, groups.contains(where: { $0.utf8.count > 1 && $0.utf8.first == 0x30 }) {
      let plain = groups.map { String(Int($0) ?? 0) }
      return
        "\(shown) has a leading zero, which some programs read as octal: write \(plain.joined(separator: ".")) if it is decimal"
    }
    if isDotted, groups.contains(where: { (Int($0) ?? 256) > 255 }) {
      return "\(shown) is not a valid IP address: a number in it is above 255"
    }
    if parts.count == 2, let address = IPAddress(parts[0]) {
      return "\(shown) has no valid prefix length (/0 to /\(address.bitWidth))"
    }
    return "\(shown) is not a valid IP address or network"
  }

  private static let colon = UInt8(ascii: ":")

  private static func v4Bits(_ text: ArraySlice<UInt8>) -> UInt32? {
    var (bits, value, digits, parts): (UInt32, UInt32, Int, Int) = (0, 0, 0, 0)
    for byte in text {
      switch byte {
      case 0x30...0x39:
        // 010 is 8 for inet_aton(3) and 10 for others: no address, inet_pton(3).
        if digits == 1, value == 0 { return nil }
        value = value * 10 + UInt32(byte - 0x30)
        digits += 1
        if digits > 3 || value > 255 { return nil }
      case UInt8(ascii: "."):
        if digits == 0 || parts == 3 { return nil }
        bits = bits << 8 | value
        (value, digits, parts) = (0, 0, parts + 1)
      default:
        return nil
      }
    }
    return parts == 3 && digits > 0 ? bits << 8 | value : nil
  }

  /// RFC 4291 section 2.2: eight groups, one `::` for groups of zeros, the last two groups also as dotted IPv4.
  private static func v6(_ text: ArraySlice<UInt8>) -> IPAddress? {
    var groups = InlineArray<8, UInt64>(repeating: 0)
    var count = 0
    var gap: Int?
    var index = text.startIndex
    if text[index] == colon {
      guard text[index + 1] == colon else { return nil }
      gap = 0
      index += 2
    }
    while index < text.endIndex {
      let start = index
      var value: UInt64 = 0
      while index < text.endIndex, index - start < 5, let digit = hexValue(text[index]) {
        value = value << 4 | digit
        index += 1
      }
      if index < text.endIndex, text[index] == UInt8(ascii: ".") {
        guard count <= 6, let bits = v4Bits(text[start...]) else { return nil }
        groups[count] = UInt64(bits >> 16)
        groups[count + 1] = UInt64(bits & 0xffff)
        count += 2
        break
      }
      guard (1...4).contains(index - start), count < 8 else { return nil }
      groups[count] = value
      count += 1
      if index == text.endIndex { break }
      guard text[index] == colon, index + 1 < text.endIndex else { return nil }
      index += 1
      if text[index] == colon {
        guard gap == nil else { return nil }
        gap = count
        index += 1
      }
    }
    guard gap == nil ? count == 8 : count <= 7 else { return nil }
    let missing = 8 - count
    var halves: (high: UInt64, low: UInt64) = (0, 0)
    for position in 0..<8 {
      let before = gap ?? 8
      let value = position < before ? groups[position] : position < before + missing ? 0 : groups[position - missing]
      if position < 4 { halves.high = halves.high << 16 | value } else { halves.low = halves.low << 16 | value }
    }
    return IPAddress(high: halves.high, low: halves.low)
  }

  private static func hexValue(_ byte: UInt8) -> UInt64? {
    switch byte {
    case 0x30...0x39: UInt64(byte - 0x30)
    case 0x41...0x46: UInt64(byte - 0x37)
    case 0x61...0x66: UInt64(byte - 0x57)
    default: nil
    }
  }
}
