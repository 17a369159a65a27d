/// A statement as text. It can be made of literals only: nothing that comes from anywhere else can become part of one.
package struct SQL: ExpressibleByStringInterpolation, Hashable, Sendable {
  let text: String

  package init(stringLiteral value: StaticString) { text = value.description }
  package init(stringInterpolation: Parts) { text = stringInterpolation.text }

  /// Literals, with other statements between them.
  package struct Parts: StringInterpolationProtocol {
    fileprivate var text = ""

    package init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }
    package mutating func appendLiteral(_ literal: StaticString) { text += literal.description }
    package mutating func appendInterpolation(_ other: SQL) { text += other.text }
  }
}
