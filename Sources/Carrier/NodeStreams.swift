import Fleet

/// How far the stream of each node was read, and the question for what came since: with ten thousand nodes that is half a megabyte ten
/// times a second, so it is kept as it goes over the wire.
struct NodeStreams {
  private(set) var numbers: [NodeNumber] = []
  private var positions: [StreamPosition] = []
  /// Both as bulk strings.
  private var keys: [[UInt8]] = []
  private var places: [[UInt8]] = []
  private var indexOfKey: [[UInt8]: Int] = [:]
  private var indexOfNumber: [NodeNumber: Int] = [:]

  var count: Int { numbers.count }

  func holds(_ number: NodeNumber) -> Bool { indexOfNumber[number] != nil }

  /// From its beginning on; does nothing for one that is there.
  mutating func add(_ number: NodeNumber, key: String) {
    guard indexOfNumber[number] == nil else { return }
    indexOfNumber[number] = numbers.count
    indexOfKey[Array(key.utf8)] = numbers.count
    numbers.append(number)
    positions.append(.start)
    keys.append(Self.bulk(Array(key.utf8)))
    places.append(Self.bulk("\(StreamPosition.start)"))
  }

  mutating func remove(_ number: NodeNumber, key: String) {
    guard let index = indexOfNumber[number] else { return }
    let last = numbers.count - 1
    if index != last {
      numbers.swapAt(index, last)
      positions.swapAt(index, last)
      keys.swapAt(index, last)
      places.swapAt(index, last)
      indexOfNumber[numbers[index]] = index
      for (other, found) in indexOfKey where found == last { indexOfKey[other] = index }
    }
    numbers.removeLast()
    positions.removeLast()
    keys.removeLast()
    places.removeLast()
    indexOfNumber[number] = nil
    indexOfKey[Array(key.utf8)] = nil
  }

  /// The streams begin anew.
  mutating func forgetPlaces() {
    for index in numbers.indices { move(index, to: .start) }
  }

  func index(of key: [UInt8]) -> Int? { indexOfKey[key] }

  /// Read up to there.
  mutating func advance(_ index: Int, to position: StreamPosition) {
    if position > positions[index] { move(index, to: position) }
  }

  private mutating func move(_ index: Int, to position: StreamPosition) {
    positions[index] = position
    places[index] = Self.bulk("\(position)")
  }

  /// `XREAD` of all, and of other streams, as it goes over the wire.
  ///
  /// - Parameters:
  ///   - block: how long to wait, in milliseconds; nil: not at all.
  ///   - others: further keys and places.
  func question(count: Int, block: Int?, others: [(key: String, place: StreamPosition)]) -> [UInt8] {
    question(indices: Array(numbers.indices), count: count, block: block, others: others)
  }

  /// `XREAD` of one of them.
  func question(of index: Int, count: Int) -> [UInt8] {
    question(indices: [index], count: count, block: nil, others: [])
  }

  private func question(
    indices: [Int], count: Int, block: Int?, others: [(key: String, place: StreamPosition)]
  ) -> [UInt8] {
    let head = ["XREAD", "COUNT", "\(count)"] + (block.map { ["BLOCK", "\($0)"] } ?? []) + ["STREAMS"]
    var bytes = Array("*\(head.count + 2 * (indices.count + others.count))\r\n".utf8)
    bytes.reserveCapacity(bytes.count + indices.count * 80 + 512)
    for word in head { bytes += Self.bulk(word) }
    for index in indices { bytes += keys[index] }
    for (key, _) in others { bytes += Self.bulk(key) }
    for index in indices { bytes += places[index] }
    for (_, place) in others { bytes += Self.bulk("\(place)") }
    return bytes
  }

  private static func bulk(_ word: String) -> [UInt8] { bulk(Array(word.utf8)) }
  private static func bulk(_ word: [UInt8]) -> [UInt8] { Array("$\(word.count)\r\n".utf8) + word + [0x0d, 0x0a] }
}
