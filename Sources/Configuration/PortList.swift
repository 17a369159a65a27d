import Wire

/// The value of TCP_PORTS and its like: ports and inclusive ranges `a-b`, separated by commas, blanks around them.
struct PortList {
  /// An item that is neither a port nor a range.
  struct BadItem {
    /// Between quotes and safe to print.
    var text: String
    /// What C's atoi makes of it, which is what 1.2 did with every item.
    var asNumber: Int
    /// Whether the item is a number followed by something else, as `11x`.
    var startsWithPort: Bool
  }

  private(set) var ranges: [ClosedRange<UInt16>] = []
  private(set) var badItems: [BadItem] = []
  /// How many items there are, good and bad; 1.2 took the first 64.
  private(set) var itemCount = 0
  private(set) var hasRange = false

  init(_ value: some Collection<UInt8>) {
    for item in Array(value).split(separator: UInt8(ascii: ",")) {
      let item = item.trimmingBlanks
      // Two commas in a row: 2.x and 1.2 both go on.
      guard !item.isEmpty else { continue }
      itemCount += 1
      let ends = item.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false).map(\.trimmingBlanks)
      if ends.count == 1, let port = Self.port(ends[0]) {
        ranges.append(port...port)
      } else if ends.count == 2, let first = Self.port(ends[0]), let last = Self.port(ends[1]), first <= last {
        ranges.append(first...last)
        hasRange = true
      } else {
        let (number, isWhole) = leadingNumber(item)
        let isRange = ends.count == 2
        badItems.append(
          BadItem(
            text: quoted(item), asNumber: number,
            startsWithPort: !isWhole && !isRange && (1...65535).contains(number)))
      }
    }
  }

  /// All ports that are named.
  var ports: PortSet {
    // Merged first, so that a list of a million wide ranges costs no more than its length.
    var merged: [ClosedRange<UInt16>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = merged.last, range.lowerBound <= last.upperBound {
        merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    return PortSet(ranges: merged)
  }

  private static func port(_ digits: ArraySlice<UInt8>) -> UInt16? {
    let (number, isWhole) = leadingNumber(digits)
    guard isWhole, digits.first?.isDigit == true, (1...65535).contains(number) else { return nil }
    return UInt16(number)
  }
}

/// What C's atoi reads at the start of `text` (0 without a digit), and whether that is all of it but outer blanks.
/// Numbers beyond nine digits stop growing there, which is out of every range we have.
func leadingNumber(_ text: some Sequence<UInt8>) -> (number: Int, isWhole: Bool) {
  var rest = Array(text)[...].trimmingBlanks
  var sign = 1
  if let first = rest.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
    sign = first == UInt8(ascii: "-") ? -1 : 1
    rest.removeFirst()
  }
  let digits = rest.prefix(while: \.isDigit)
  var number = 0
  for digit in digits { number = min(number * 10 + Int(digit - 0x30), 9_999_999_999) }
  return (sign * number, !digits.isEmpty && digits.count == rest.count)
}
