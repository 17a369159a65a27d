import Carrier

/// What an engine may send, in pieces: whatever it is, a reply or a fault, and the same in any pieces.
func fuzzEngineReply(_ bytes: [UInt8]) {
  guard let first = bytes.first else { return }
  let whole = read(bytes[1...], in: bytes.count)
  precondition(read(bytes[1...], in: Int(first % 16) + 1) == whole)
}

private enum Outcome: Equatable {
  case end
  case fault(RESPFault)
}

private struct Reading: Equatable {
  var replies: [RESPValue] = []
  var outcome = Outcome.end
}

private func read(_ bytes: ArraySlice<UInt8>, in size: Int) -> Reading {
  var reader = RESPReader()
  var result = Reading()
  var rest = bytes
  do throws(RESPFault) {
    while !rest.isEmpty {
      reader.feed(rest.prefix(size))
      rest = rest.dropFirst(size)
      while let reply = try reader.next() { result.replies.append(reply) }
      precondition(reader.waiting <= bytes.count)
    }
  } catch { result.outcome = .fault(error) }
  return result
}
