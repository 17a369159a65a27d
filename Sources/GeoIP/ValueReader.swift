/// Reads the typed values of a MaxMind database. Every read is checked; what makes no sense gives nil.
struct ValueReader {
  let bytes: [UInt8]
  /// What pointers count from.
  let base: Int
  let end: Int
  /// Values that may still be read: a file of pointers to pointers, or of maps within maps, comes to an end.
  private var budget = 2_000

  init(bytes: [UInt8], base: Int, end: Int) {
    self.bytes = bytes
    self.base = base
    self.end = end
  }

  /// The types that are told apart (MaxMind DB format, "Data Section").
  private enum Kind: Int {
    case pointer = 1
    case text = 2
    case double = 3
    case bytes = 4
    case uint16 = 5
    case uint32 = 6
    case map = 7
    case int32 = 8
    case uint64 = 9
    case uint128 = 10
    case array = 11
    case container = 12
    case endMarker = 13
    case boolean = 14
    case float = 15
  }

  private struct Head {
    var kind: Kind
    /// Bytes of the value; of maps and arrays the number of members; of a pointer where it points to.
    var size: Int
    /// Where the value itself begins.
    var at: Int
  }

  /// The text at the end of a path through maps.
  mutating func text(at: Int, _ path: [String]) -> String? {
    budget = 2_000
    guard let head = find(at, path[...], depth: 0), head.kind == .text, head.size <= 1_000 else { return nil }
    return String(decoding: bytes[head.at..<(head.at + head.size)], as: UTF8.self)
  }

  /// The numbers that a map has under some names.
  mutating func numbers(at: Int, _ names: [String]) -> [UInt64?] {
    names.map { name in
      budget = 2_000
      guard let head = find(at, [name], depth: 0) else { return nil }
      switch head.kind {
      case .uint16, .uint32, .uint64, .int32:
        guard head.size <= 8 else { return nil }
        return bytes[head.at..<(head.at + head.size)].reduce(0) { $0 << 8 | UInt64($1) }
      default: return nil
      }
    }
  }

  private mutating func find(_ at: Int, _ path: ArraySlice<String>, depth: Int) -> Head? {
    guard depth < 16, let head = resolved(at) else { return nil }
    guard let name = path.first else { return head }
    guard head.kind == .map else { return nil }
    var next = head.at
    for _ in 0..<head.size {
      guard let key = resolved(next), key.kind == .text, let value = skip(next, depth: 0) else { return nil }
      if bytes[key.at..<(key.at + key.size)].elementsEqual(name.utf8) {
        return find(value, path.dropFirst(), depth: depth + 1)
      }
      guard let after = skip(value, depth: 0) else { return nil }
      next = after
    }
    return nil
  }

  /// The head of a value, or of that to which it points. Pointers do not point to pointers.
  private mutating func resolved(_ at: Int) -> Head? {
    guard let head = head(at) else { return nil }
    guard head.kind == .pointer else { return head }
    guard let target = self.head(base + head.size), target.kind != .pointer else { return nil }
    return target
  }

  /// Where the value after this one begins.
  private mutating func skip(_ at: Int, depth: Int) -> Int? {
    guard depth < 16, let head = head(at) else { return nil }
    switch head.kind {
    case .pointer, .boolean, .endMarker, .container: return head.at
    case .map, .array:
      var next = head.at
      for _ in 0..<(head.kind == .map ? head.size * 2 : head.size) {
        guard let after = skip(next, depth: depth + 1) else { return nil }
        next = after
      }
      return next
    default: return head.at + head.size
    }
  }

  private mutating func head(_ at: Int) -> Head? {
    budget -= 1
    guard budget > 0, at >= 0, at < end else { return nil }
    var next = at + 1
    var number = Int(bytes[at] >> 5)
    let low = Int(bytes[at] & 31)
    func take(_ count: Int) -> Int? {
      guard next + count <= end else { return nil }
      let value = bytes[next..<(next + count)].reduce(0) { $0 << 8 | Int($1) }
      next += count
      return value
    }
    if number == Kind.pointer.rawValue {
      // Two bits say how long it is; the other three are its highest.
      let length = low >> 3
      guard let rest = take(length + 1) else { return nil }
      let high = low & 7
      let target =
        switch length {
        case 0: high << 8 | rest
        case 1: (high << 16 | rest) + 2048
        case 2: (high << 24 | rest) + 526_336
        default: rest
        }
      return Head(kind: .pointer, size: target, at: next)
    }
    if number == 0 {
      guard let more = take(1) else { return nil }
      number = more + 7
    }
    guard let kind = Kind(rawValue: number), kind != .pointer else { return nil }
    var size = low
    if low >= 29 {
      guard let more = take(low - 28) else { return nil }
      size = more + [29, 285, 65_821][low - 29]
    }
    switch kind {
    case .map, .array, .boolean, .endMarker, .container: break
    default: if next + size > end { return nil }
    }
    return Head(kind: kind, size: size, at: next)
  }
}
