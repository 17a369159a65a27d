import Platform
import Wire

/// Numbers as people read them.
package enum Units {
  /// `1,204,332`.
  package static func count(_ number: some BinaryInteger) -> String {
    let digits = String(number.magnitude)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return number < 0 ? "-" + text : text
  }

  /// `999`, `1.2k`, `35k`, `1.2M`: three characters or so, for narrow places.
  package static func short(_ number: some BinaryInteger) -> String {
    let value = Double(number)
    for (size, unit) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] where value >= size * 0.9995 {
      let scaled = value / size
      return (scaled < 9.95 ? tenths(scaled) : String(Int(scaled.rounded()))) + unit
    }
    return String(number)
  }

  /// `1 probe`, `2,000 probes`.
  package static func plural(_ number: some BinaryInteger, _ one: String, _ many: String? = nil) -> String {
    "\(count(number)) \(number == 1 ? one : many ?? one + "s")"
  }

  /// How often something happens, in the unit that gives a number one can imagine: `12/s`, `3.5/min`, `8/h`, `2/day`.
  package static func rate(_ number: some BinaryInteger, in time: Duration) -> String {
    let seconds = Double(time.wholeNanoseconds) / 1e9
    guard number > 0, seconds > 0 else { return "0/h" }
    let perSecond = Double(number) / seconds
    for (factor, unit) in [(1.0, "s"), (60, "min"), (3600, "h")] where perSecond * factor >= 1 {
      let value = perSecond * factor
      return (value < 9.95 ? tenths(value) : count(Int(value.rounded()))) + "/\(unit)"
    }
    return tenths(perSecond * 86_400) + "/day"
  }

  /// `0`, `812 kB`, `84 MB`, `1.2 GB`: decimal units, as disks are sold.
  package static func bytes(_ number: Int) -> String {
    for (size, unit) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")] where number >= size {
      let value = Double(number) / Double(size)
      return (value < 9.95 ? tenths(value) : count(Int(value.rounded()))) + " \(unit)"
    }
    return "\(number) bytes"
  }

  /// `12%`, `0.4%`, `<0.1%`, `0%`.
  package static func percent(_ part: some BinaryInteger, of whole: some BinaryInteger) -> String {
    guard whole > 0, part > 0 else { return "0%" }
    return percent(Double(part) / Double(whole))
  }

  package static func percent(_ share: Double) -> String {
    let value = share * 100
    if value <= 0 { return "0%" }
    if value < 0.05 { return "<0.1%" }
    // Not all is not a hundred.
    if value < 100, value >= 99.95 { return ">99.9%" }
    return (value < 9.95 || (value > 90 && value < 100) ? tenths(value) : String(Int(value.rounded()))) + "%"
  }

  /// `just now`, `3m ago`, `2d 4h ago`; a moment that is to come, `in 3m`.
  package static func ago(_ time: Timestamp, now: Timestamp) -> String {
    let length = now - time
    if length < .zero { return "in \(Term.text(time - now))" }
    return length < .seconds(2) ? "just now" : "\(Term.text(length)) ago"
  }

  /// One digit behind the point, none when it is 0.
  static func tenths(_ value: Double) -> String {
    let number = Int((value * 10).rounded())
    return number % 10 == 0 ? count(number / 10) : "\(count(number / 10)).\(number % 10)"
  }
}
