import Platform
import Wire

/// Moments as they are typed.
package enum Moment {
  /// A length of time, which means so long before `now`, or a date, or a date and a time of day.
  package static func parse(_ text: String, now: Timestamp, _ zone: Zone) -> Timestamp? {
    if let seconds = Term.seconds(text), !text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
      return Timestamp(nanoseconds: now.nanoseconds - seconds * 1_000_000_000)
    }
    let parts = text.splitBytes(" T-:").map { Int64($0) }
    let digits = parts.compactMap(\.self)
    guard digits.count == parts.count, (3...6).contains(digits.count), digits.count != 4,
      (1970...2261).contains(digits[0]), (1...12).contains(digits[1]), (1...31).contains(digits[2])
    else { return nil }
    let clock = digits.dropFirst(3) + [0, 0, 0]
    guard clock[3] < 24, clock[4] < 60, clock[5] < 60 else { return nil }
    // Days since 1970: years that begin in March, so that the leap day is the last of its year.
    let year = digits[1] <= 2 ? digits[0] - 1 : digits[0]
    let month = (digits[1] + 9) % 12
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + digits[2] - 1 - 719_468
    // The 30th of February is none.
    guard Zone.utc.parts(Timestamp(seconds: days * 86_400)).day == digits[2] else { return nil }
    let utc = Timestamp(seconds: days * 86_400 + clock[3] * 3600 + clock[4] * 60 + clock[5])
    // The zone's offset at that moment; at the hour that a clock skips or repeats, one of the two.
    let offset = Int64(zone.parts(utc).offset)
    let guess = Timestamp(seconds: utc.seconds - offset)
    return Timestamp(seconds: utc.seconds - Int64(zone.parts(guess).offset))
  }
}
