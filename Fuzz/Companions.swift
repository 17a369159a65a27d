import CrowdSec
import Enforcement
import Platform
import Wire

/// What CrowdSec's local API may answer to a question for decisions: items or a fault, in as many steps as there are bytes at most.
func fuzzCrowdSecDecisions(_ bytes: [UInt8]) {
  var stream = DecisionStream(bytes)
  var book = DecisionBook()
  var items = 0
  // Each step reads a byte, but for the ends of lists.
  for _ in 0...(2 * bytes.count + 8) where !stream.isOver {
    do throws(JSONReader.Fault) {
      guard let item = try stream.next() else { continue }
      items += 1
      _ = book.take(item, at: Timestamp(seconds: 1_000))
    } catch { return }
  }
  precondition(stream.isOver)
  precondition(items <= bytes.count)
  book.beginRound()
  _ = book.endRound(at: Timestamp(seconds: 2_000))
  book.trim(at: Timestamp(seconds: 3_000))
}

/// A datagram between sentry and enforcer, either way: what is read is written so that it is read as the same.
func fuzzEnforcerMessage(_ bytes: [UInt8]) {
  if let order = EnforcerOrder(bytes[...]) { precondition(EnforcerOrder(order.bytes[...]) == order) }
  if let reply = EnforcerReply(bytes[...]) { precondition(EnforcerReply(reply.bytes[...]) == reply) }
}
