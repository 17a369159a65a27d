/// Pictures as SVG without text of their own: words stand beside them in HTML, so that they keep their size on a phone.
/// Colours come from classes, so that one picture serves light, dark and print. No styles within: a page may forbid them.
enum Pictures {
  /// A share as a bar.
  static func bar(_ value: Double, of most: Double, _ kind: StaticString = "bar") -> HTML {
    let share = most > 0 ? max(0.4, value / most * 100) : 0
    return """
      <svg class="\(HTML(stringLiteral: kind))" aria-hidden="true"><rect width="100%" height="100%" class="rail"/>\
      <rect width="\(value > 0 ? share : 0)%" height="100%"/></svg>
      """
  }

  /// A row of numbers as a small area.
  static func spark(_ values: [UInt64], label: String) -> HTML {
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
  static func columns(_ values: [(value: UInt64, title: String, isMarked: Bool)], label: String) -> HTML {
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

  /// The step of a number: equal factors lie equally far apart, and something is never shown as nothing.
  static func heatStep(_ value: UInt64, of most: UInt64) -> Int {
    guard value > 0, most > 0 else { return 0 }
    guard most > 1, value < most else { return heatSteps }
    return min(heatSteps, 1 + Int(logarithm(value) / logarithm(most) * Double(heatSteps)))
  }

  /// ln, good enough for six colours: the standard library has none.
  static func logarithm(_ value: UInt64) -> Double {
    guard value > 0 else { return 0 }
    let number = Double(value)
    let fraction = number.significand - 1
    // Within one power of two the logarithm is nearly straight; the square bends it.
    return (Double(number.exponent) + fraction * (1 + 0.3465 * (1 - fraction))) * 0.693147
  }

  /// One row of a heat map.
  static func heatRow(_ values: [(value: UInt64, title: String)], most: UInt64, label: String) -> HTML {
    var body = HTML()
    for (index, entry) in values.enumerated() {
      body += """
        <rect class="h\(heatStep(entry.value, of: most))" x="\(index * 10)" width="9.4" height="10"><title>\(entry.title)</title></rect>
        """
    }
    return """
      <svg class="heat" viewBox="0 0 \(values.count * 10) 10" preserveAspectRatio="none" role="img" aria-label="\(label)">\(body)</svg>
      """
  }

  /// Spans of time in a row.
  static func strip(_ spans: [(start: Double, end: Double, kind: StaticString, title: String)], label: String) -> HTML {
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
