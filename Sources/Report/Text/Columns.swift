import Platform

/// A table of text: columns two blanks apart, numbers to the right. Whatever is put in must be one line of plain text.
package struct Columns: Sendable {
  package enum Side: Sendable { case left, right }

  private let sides: [Side]
  private var rows: [[String]] = []

  /// - Parameter heads: title and side of each column; without titles there is no head line.
  package init(_ heads: [(String, Side)]) {
    sides = heads.map(\.1)
    if heads.contains(where: { !$0.0.isEmpty }) { rows.append(heads.map(\.0)) }
  }

  package mutating func add(_ row: [String]) { rows.append(row) }

  /// - Parameter indent: blanks before each line.
  package func text(indent: Int = 0) -> String {
    let widths = sides.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for row in rows {
      var line = String(repeating: " ", count: indent)
      for (column, cell) in row.enumerated() {
        let pad = String(repeating: " ", count: widths[column] - cell.count)
        line += sides[column] == .right ? pad + cell : cell + pad
        if column < row.count - 1 { line += "  " }
      }
      while line.last == " " { line.removeLast() }
      text += line + "\n"
    }
    return text
  }
}

/// A row of numbers as a row of blocks, each as high as its number.
package enum Sparkline {
  /// - Parameter isPlain: in ASCII, for terminals that know no more.
  package static func text(_ values: [UInt64], isPlain: Bool = false) -> String {
    let steps = isPlain ? Array(" .:-=+*#") : Array("▁▂▃▄▅▆▇█")
    let most = values.max() ?? 0
    return String(
      values.map { value in
        // Something is never shown as nothing, nor nothing as something.
        if value == 0 { return isPlain ? steps[0] : " " }
        return steps[
          min(steps.count - 1, max(isPlain ? 1 : 0, Int(Double(value) / Double(most) * Double(steps.count) - 0.01)))]
      })
  }

  /// The values in so many columns, neighbours added up.
  package static func squeeze(_ values: [UInt64], to columns: Int) -> [UInt64] {
    guard columns > 0, values.count > columns else { return values }
    return (0..<columns).map { column in
      values[(column * values.count / columns)..<((column + 1) * values.count / columns)].reduce(0, +)
    }
  }
}
