/// Pictures as SVG without text of their own: words stand beside them in HTML, so that they keep their size on a phone.
/// Colours come from classes, so that one picture serves light, dark and print. No styles within: a page may forbid them.
package enum Drawing {
  /// A share as a bar.
  package static func bar(_ value: Double, of most: Double, _ kind: StaticString = "bar") -> HTML {
    let share = most > 0 ? max(0.4, value / most * 100) : 0
    return """
      <svg class="\(HTML(stringLiteral: kind))" aria-hidden="true"><rect width="100%" height="100%" class="rail"/>\
      <rect width="\(value > 0 ? share : 0)%" height="100%"/></svg>
      """
  }

  /// A row of numbers as a small area.
  package static func spark(_ values: [UInt64], label: String) -> HTML {
    let most = Double(max(values.max() ?? 0, 1))
    let width = Double(max(values.count - 1, 1))
    var path: HTML = "M0 20"
    for (index, value) in values.enumerated() {
      path += "L\(Double(index)) \(20 - Double(value) / most * 19)"
    }
    path += "L\(width) 20Z"
    return """
      <svg class="spark" viewBox="0 0 \(width) 20" preserveAspectRatio="none" role="img" aria-label="\(label)">\
      <path d="\(path)"/></svg>
      """
  }

  /// A column for each number, with what it is when one points at it.
  ///
  /// - Parameter marked: drawn in another colour: what was seen in part only.
  package static func columns(_ values: [(value: UInt64, title: String, isMarked: Bool)], label: String) -> HTML {
    let most = Double(max(values.map(\.value).max() ?? 0, 1))
    var body = HTML()
    for (index, entry) in values.enumerated() {
      let height = entry.value == 0 ? 0 : max(0.6, Double(entry.value) / most * 98)
      body += """
        <g><title>\(entry.title)</title><rect class="hit" x="\(index * 10)" width="10" height="100"/>\
        <rect class="\(entry.isMarked ? "part" : "whole")" x="\(Double(index) * 10 + 1)" y="\(100 - height)" width="8" height="\(height)"/></g>
        """
    }
    return """
      <svg class="columns" viewBox="0 0 \(max(values.count, 1) * 10) 100" preserveAspectRatio="none" role="img" aria-label="\(label)">\
      \(body)</svg>
      """
  }

  /// Steps of the colours in heat maps.
  static let heatSteps = 6
  /// How many times the least of a step the least of the next one is.
  private static let heatFactor = 2.6

  /// The least number of a step, where the highest of all is `most`. Equal factors lie equally far apart.
  static func heatFloor(_ step: Int, of most: UInt64) -> UInt64 {
    guard step > 1 else { return 1 }
    var floor = Double(most) / 1.6
    for _ in step..<heatSteps { floor /= heatFactor }
    return max(UInt64(floor.rounded()), 1)
  }

  /// The step of a number; something is never shown as nothing.
  static func heatStep(_ value: UInt64, of most: UInt64) -> Int {
    guard value > 0 else { return 0 }
    return (1...heatSteps).last { value >= heatFloor($0, of: most) } ?? 1
  }

  /// A row of a heat map. What has the same colour is one path, so that a hundred columns stay small.
  package static func heatRow(_ values: [UInt64], most: UInt64, label: String) -> HTML {
    var paths = [HTML](repeating: HTML(), count: heatSteps + 1)
    var index = 0
    while index < values.count {
      let step = heatStep(values[index], of: most)
      var end = index + 1
      while end < values.count, heatStep(values[end], of: most) == step { end += 1 }
      if step > 0 { paths[step] += "M\(index) 0h\(end - index)v1h-\(end - index)z" }
      index = end
    }
    let drawn = paths.enumerated().compactMap { step, path -> HTML? in
      path.isEmpty ? nil : "<path class=\"h\(step)\" d=\"\(path)\"/>"
    }
    return """
      <svg class="heat" viewBox="0 0 \(max(values.count, 1)) 1" preserveAspectRatio="none" role="img" aria-label="\(label)">\
      <rect class="h0" width="100%" height="1"/>\(drawn)</svg>
      """
  }

  /// A row of a heat map whose cells lead somewhere. With the keyboard the last one of a row is a stop, and arrows lead from there.
  package static func heatCells(_ cells: [(value: UInt64, title: String, link: String)], most: UInt64) -> HTML {
    let drawn = cells.enumerated().map { index, cell -> HTML in
      """
      <a href="\(cell.link)" tabindex="\(index == cells.count - 1 ? 0 : -1)" aria-label="\(cell.title)"><title>\(cell.title)</title>\
      <rect class="h\(heatStep(cell.value, of: most))" x="\(index)" width="1" height="1"/></a>
      """
    }
    return """
      <svg class="heat cells" viewBox="0 0 \(max(cells.count, 1)) 1" preserveAspectRatio="none">\(drawn)</svg>
      """
  }

  /// Columns that lead somewhere, and over them a line of what it was before.
  ///
  /// - Parameter columns: `before` nil: nothing is known.
  package static func trend(
    _ columns: [(value: UInt64, before: UInt64?, title: String, link: String)], most: UInt64, label: String
  ) -> HTML {
    let scale = 98 / Double(max(most, 1))
    var body = HTML()
    for (index, column) in columns.enumerated() {
      let height = column.value == 0 ? 0 : max(0.6, Double(column.value) * scale)
      body += """
        <a href="\(column.link)" aria-label="\(column.title)"><title>\(column.title)</title>\
        <rect class="hit" x="\(index * 10)" width="10" height="100"/>\
        <rect class="whole" x="\(Double(index) * 10 + 1)" y="\(100 - height)" width="8" height="\(height)"/></a>
        """
    }
    var line = HTML()
    var isDown = false
    for (index, column) in columns.enumerated() {
      if let before = column.before {
        line += "\(isDown ? "L" : "M")\(index * 10 + 5) \(100 - Double(before) * scale)"
      }
      isDown = column.before != nil
    }
    let ghost: HTML =
      line.isEmpty ? line : "<path class=\"ghost\" d=\"\(line)\" vector-effect=\"non-scaling-stroke\"/>"
    return """
      <svg class="columns links" viewBox="0 0 \(max(columns.count, 1) * 10) 100" preserveAspectRatio="none" role="group" aria-label="\(label)">\
      \(body)\(ghost)</svg>
      """
  }

  /// Spans of time in a row.
  package static func strip(_ spans: [(start: Double, end: Double, kind: StaticString, title: String)], label: String)
    -> HTML
  {
    var body = HTML()
    for span in spans {
      // A minute in a month would be thinner than a line.
      let width = max(span.end - span.start, 0.25)
      body += """
        <rect class="\(HTML(stringLiteral: span.kind))" x="\(span.start)" width="\(width)" height="10"><title>\(span.title)</title></rect>
        """
    }
    return """
      <svg class="strip" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="\(label)">\(body)</svg>
      """
  }
}
