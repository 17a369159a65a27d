/// Why what an engine sends is no reply. The connection is closed: what comes after has no meaning.
package enum RESPFault: Error, Equatable, Sendable, CustomStringConvertible {
  /// A reply begins with none of `+ - : $ *`.
  case type(UInt8)
  /// A length or number is none.
  case number
  /// No end of line where there has to be one.
  case ending
  case tooLong(String)

  package var description: String {
    switch self {
    case .type(let byte): "a reply begins with byte \(byte), which is none of RESP2's"
    case .number: "a number in a reply is none"
    case .ending: "a reply does not end where it says"
    case .tooLong(let what): "a reply has more \(what) than is taken"
    }
  }
}

/// Reads replies from bytes as they come, each byte once. What a reply may cost is bounded before any of it is kept: a lying
/// engine neither grows this nor keeps it busy, since the length that it claims reserves nothing.
package struct RESPReader: Sendable {
  package struct Limits: Sendable {
    /// Lists within lists.
    package var depth = 8
    /// Bytes of a line: a number, a word, an error.
    package var line = 4_096
    /// Bytes of one string.
    package var string = 4 << 20
    /// Elements of one reply, those of inner lists included.
    package var elements = 262_144
    /// Bytes of all strings of one reply.
    package var total = 32 << 20

    package init() {}
  }

  private struct Open {
    var missing: Int
    var elements: [RESPValue] = []
  }

  private let limits: Limits
  private var buffer: [UInt8] = []
  private var start = 0
  /// Up to where no end of line was found.
  private var searched = 0
  /// The length of the string that is being read.
  private var expected: Int?
  private var open: [Open] = []
  private var elements = 0
  private var total = 0

  package init(_ limits: Limits = Limits()) { self.limits = limits }

  /// Bytes that wait for the rest of their reply.
  package var waiting: Int { buffer.count - start }

  package mutating func feed(_ bytes: some Collection<UInt8>) {
    if start > 65_536 || start == buffer.count {
      // A large reply leaves no large buffer behind.
      if start == buffer.count, buffer.capacity > 262_144 { buffer = [] } else { buffer.removeFirst(start) }
      searched = max(searched - start, 0)
      start = 0
    }
    buffer += bytes
  }

  /// The next whole reply; nil when more has to come.
  package mutating func next() throws(RESPFault) -> RESPValue? {
    while true {
      if let length = expected {
        guard waiting >= length + 2 else { return nil }
        let end = start + length
        guard buffer[end] == 0x0d, buffer[end + 1] == 0x0a else { throw .ending }
        let bytes = Array(buffer[start..<end])
        (start, searched, expected) = (end + 2, end + 2, nil)
        if let whole = close(.bulk(bytes)) { return whole }
      } else {
        guard let line = try takeLine() else { return nil }
        if let whole = try read(line) { return whole }
      }
    }
  }

  /// - Returns: a reply, when this line ends one.
  private mutating func read(_ line: ArraySlice<UInt8>) throws(RESPFault) -> RESPValue? {
    guard let type = line.first else { throw .ending }
    let rest = line.dropFirst()
    switch type {
    case UInt8(ascii: "+"):
      try charge(rest.count)
      return close(.simple(Array(rest)))
    case UInt8(ascii: "-"):
      try charge(rest.count)
      return close(.error(Array(rest)))
    case UInt8(ascii: ":"): return close(.integer(try number(rest)))
    case UInt8(ascii: "$"):
      let length = try number(rest)
      if length == -1 { return close(.null) }
      guard length >= 0 else { throw .number }
      guard length <= limits.string else { throw .tooLong("bytes in one string") }
      try charge(Int(length))
      expected = Int(length)
      return nil
    case UInt8(ascii: "*"):
      let count = try number(rest)
      if count == -1 { return close(.null) }
      guard count >= 0 else { throw .number }
      guard open.count < limits.depth else { throw .tooLong("lists within lists") }
      guard count <= limits.elements - elements else { throw .tooLong("elements") }
      elements += Int(count)
      if count == 0 { return close(.array([])) }
      open.append(Open(missing: Int(count)))
      return nil
    default: throw .type(type)
    }
  }

  private mutating func charge(_ bytes: Int) throws(RESPFault) {
    total += bytes
    if total > limits.total { throw .tooLong("bytes") }
  }

  /// A value is whole, and with it the lists that it was the last of.
  private mutating func close(_ value: RESPValue) -> RESPValue? {
    var value = value
    while let last = open.indices.last {
      open[last].elements.append(value)
      open[last].missing -= 1
      if open[last].missing > 0 { return nil }
      value = .array(open.removeLast().elements)
    }
    (elements, total) = (0, 0)
    return value
  }

  private mutating func takeLine() throws(RESPFault) -> ArraySlice<UInt8>? {
    var index = max(searched, start)
    while index < buffer.count {
      if buffer[index] == 0x0a {
        guard index > start, buffer[index - 1] == 0x0d else { throw .ending }
        let line = buffer[start..<(index - 1)]
        (start, searched) = (index + 1, index + 1)
        return line
      }
      index += 1
      if index - start > limits.line { throw .tooLong("bytes in one line") }
    }
    searched = index
    return nil
  }

  private func number(_ digits: ArraySlice<UInt8>) throws(RESPFault) -> Int64 {
    let isNegative = digits.first == UInt8(ascii: "-")
    let digits = isNegative ? digits.dropFirst() : digits
    guard (1...18).contains(digits.count) else { throw .number }
    var value: Int64 = 0
    for digit in digits {
      guard (0x30...0x39).contains(digit) else { throw .number }
      value = value * 10 + Int64(digit - 0x30)
    }
    return isNegative ? -value : value
  }
}
