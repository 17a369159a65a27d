import Platform
import Wire

/// Something that somebody may want to be told of.
package struct Notice: Sendable, Equatable {
  package var kind: NotifyKind
  package var time: Timestamp
  /// The address or network that it is about.
  package var subject: String?
  /// One line of printable ASCII.
  package var text: String
  /// What has the same key within an hour is no news; nil: each is.
  package var key: String?

  package init(_ kind: NotifyKind, at time: Timestamp, about subject: String? = nil, key: String? = nil, _ text: String)
  {
    self.kind = kind
    self.time = time
    self.subject = subject
    self.text = SafeText.line(text, limit: 600)
    self.key = key
  }
}

/// What is sent: a notice, and how many others were not sent before it.
package struct NotifyMessage: Sendable, Equatable {
  /// nil for a message that only says how many others there were, and for a test.
  package var notice: Notice?
  package var time: Timestamp
  /// How many events of each kind were not sent; only kinds that have some.
  package var others: [NotifyKind: UInt64] = [:]
  package var isTest = false
  /// A digest: printable ASCII in lines, of which the first is the subject.
  package var digest: String?

  package init(_ notice: Notice?, at time: Timestamp, others: [NotifyKind: UInt64] = [:], isTest: Bool = false) {
    self.notice = notice
    self.time = time
    self.others = others
    self.isTest = isTest
  }

  package init(digest: String, at time: Timestamp) {
    self.time = time
    self.digest = digest
  }

  /// The word for programs.
  package var event: String { digest != nil ? "digest" : isTest ? "test" : notice?.kind.rawValue ?? "summary" }

  /// `Blocked 198.51.100.7 for 24h`: what happened, on one line.
  package var headline: String {
    if let digest { return digest.byteLines.first.map { String($0) } ?? "" }
    if isTest { return "This is a test of NOTIFY: messages arrive" }
    return notice?.text ?? "\(Self.count(total)) not sent within the last hour (NOTIFY_PER_HOUR)"
  }

  /// `and 41 more events not sent (40 block, 1 scan)`; nil where there are none.
  package var otherLine: String? {
    guard total > 0 else { return nil }
    let parts = NotifyKind.allCases.compactMap { kind in others[kind].map { "\($0) \(kind.rawValue)" } }
    let list = parts.joined(separator: ", ")
    return notice == nil ? list : "and \(total) more event\(total == 1 ? "" : "s") not sent (\(list))"
  }

  private var total: UInt64 { others.values.reduce(0, &+) }

  private static func count(_ number: UInt64) -> String { "\(number) event\(number == 1 ? "" : "s")" }

  /// The headline and what follows it.
  package var text: String { digest ?? headline + (otherLine.map { "\n\($0)" } ?? "") }

  /// For programs: `command` and `webhook` get it, in this shape (version 1).
  package func json(host: String) -> JSON {
    .object([
      "version": 1, "event": .string(event), "time": JSON(time.seconds),
      "host": .string(SafeText.line(host, limit: 255)),
      "subject": JSON(notice?.subject), "text": .string(text),
      "not_sent": .members(
        NotifyKind.allCases.compactMap { kind in others[kind].map { (kind.rawValue, JSON($0)) } }),
    ])
  }
}
