/// What was typed.
package enum Key: Equatable, Sendable {
  case character(Character)
  case up, down, pageUp, pageDown
  case enter, escape, backspace
  /// Something that means nothing here.
  case other

  /// Takes bytes of a terminal apart. What is cut off at the end is taken as it is: keys come whole.
  package static func decode(_ bytes: [UInt8]) -> [Key] {
    var keys: [Key] = []
    var rest = bytes[...]
    while let byte = rest.popFirst() {
      switch byte {
      case 0x0d, 0x0a: keys.append(.enter)
      case 0x7f, 0x08: keys.append(.backspace)
      case 0x03: keys.append(.character("q"))
      case 0x1b: keys.append(sequence(&rest))
      case 0x20...0x7e: keys.append(.character(Character(Unicode.Scalar(byte))))
      default:
        if keys.last != .other { keys.append(.other) }
      }
    }
    return keys
  }

  /// After ESC: a control sequence (ECMA-48 section 5.4), or the key Escape itself.
  private static func sequence(_ rest: inout ArraySlice<UInt8>) -> Key {
    guard let first = rest.first, first == UInt8(ascii: "[") || first == UInt8(ascii: "O") else { return .escape }
    rest.removeFirst()
    var parameters: [UInt8] = []
    while let byte = rest.popFirst() {
      switch byte {
      case 0x20...0x3f:
        if parameters.count < 16 { parameters.append(byte) }
      case UInt8(ascii: "A"): return .up
      case UInt8(ascii: "B"): return .down
      case UInt8(ascii: "~"):
        return parameters == Array("5".utf8) ? .pageUp : parameters == Array("6".utf8) ? .pageDown : .other
      default: return .other
      }
    }
    return .other
  }
}
