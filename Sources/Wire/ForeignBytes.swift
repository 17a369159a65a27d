/// Any bytes as a `String` and back, so that what an administrator wrote in ISO 8859-1 is passed on as it was.
///
/// A byte that is no part of UTF-8 becomes the private scalar U+EF00 + byte (U+EF80 to U+EFFF). Where these scalars stand
/// in the text itself, their bytes are kept in the same way: both directions are exact, and no two texts meet.
extension String {
  /// Never fails; UTF-8 without those scalars stays as it is.
  package init(preservingBytes bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    if let text = String(validating: bytes, as: UTF8.self), !text.unicodeScalars.contains(where: \.isPreservedByte) {
      self = text
      return
    }
    self = ""
    var index = 0
    while index < bytes.count {
      let length = Self.sequenceLength(bytes[index])
      let end = min(index + length, bytes.count)
      if let text = String(validating: bytes[index..<end], as: UTF8.self), let scalar = text.unicodeScalars.first,
        !scalar.isPreservedByte
      {
        unicodeScalars.append(scalar)
        index = end
      } else {
        unicodeScalars.append(Unicode.Scalar(0xef00 + UInt32(bytes[index]))!)
        index += 1
      }
    }
  }

  /// How many bytes a sequence of UTF-8 has that begins so (RFC 3629 section 3); 1 for what begins none.
  private static func sequenceLength(_ byte: UInt8) -> Int {
    switch byte {
    case 0xc2...0xdf: 2
    case 0xe0...0xef: 3
    case 0xf0...0xf4: 4
    default: 1
    }
  }
}

extension StringProtocol {
  /// The bytes that `String(preservingBytes:)` was made of; the UTF-8 form of any other text.
  package var preservedBytes: [UInt8] {
    guard holdsPreservedBytes else { return Array(utf8) }
    var result: [UInt8] = []
    for scalar in unicodeScalars {
      if scalar.isPreservedByte {
        result.append(UInt8(truncatingIfNeeded: scalar.value))
      } else {
        result += String(scalar).utf8
      }
    }
    return result
  }

  /// Whether a byte in it was no part of UTF-8.
  package var holdsPreservedBytes: Bool { unicodeScalars.contains(where: \.isPreservedByte) }
}

extension Unicode.Scalar {
  /// Whether this stands for a single byte of 0x80 to 0xff.
  package var isPreservedByte: Bool { (0xef80...0xefff).contains(value) }
}
