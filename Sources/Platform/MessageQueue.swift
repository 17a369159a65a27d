/// Messages that a log did not take at once, oldest first, to be tried again. Holds at most `capacity` bytes.
struct MessageQueue: Sendable {
  private let capacity: Int
  private var messages: [[UInt8]] = []
  private var head = 0
  private var bytes = 0

  init(capacity: Int) { self.capacity = capacity }

  var isEmpty: Bool { head == messages.count }
  var count: Int { messages.count - head }
  var first: [UInt8]? { isEmpty ? nil : messages[head] }

  /// - Returns: false when there is no room.
  mutating func append(_ message: [UInt8]) -> Bool {
    guard bytes + message.count <= capacity else { return false }
    messages.append(message)
    bytes += message.count
    return true
  }

  mutating func removeFirst() {
    bytes -= messages[head].count
    messages[head] = []
    head += 1
    if head == messages.count {
      (messages, head) = ([], 0)
    } else if head >= 1024 {
      messages.removeFirst(head)
      head = 0
    }
  }
}
