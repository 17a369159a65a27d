import Wire

/// What somebody may want to be told of (`NOTIFY_EVENTS`).
package enum NotifyKind: String, Sendable, CaseIterable {
  /// An address or network was blocked.
  case block
  /// A protection is lost, or something was not seen or not kept.
  case loss
  /// The firewall of this host hides the decoys.
  case hiddenDecoys = "hidden-decoys"
  /// A source became a scanner.
  case scan
  /// A mass of packets at one port.
  case flood

  /// Whether a part of the messages of an hour is kept for it, so that many blocks do not hide it.
  package var isUrgent: Bool { self == .loss || self == .hiddenDecoys }
}

/// Who is told, of what, and how often.
package struct NotifySettings: Sendable, Equatable {
  /// `NOTIFY`; nil: nobody is told.
  package var target: NotifyTarget?
  /// `NOTIFY_EVENTS`.
  package var kinds: [NotifyKind] = [.block, .loss, .hiddenDecoys, .flood]
  /// `NOTIFY_PER_HOUR`: the largest number of messages in any hour, 1...1000.
  package var perHour = 12

  package init() {}
}

/// A word that must not be seen by others: an address that lets anybody write to a channel, or a token.
package enum NotifySecret: Sendable, Equatable {
  /// As the configuration has it.
  case text(String)
  /// The path of a file whose first line it is.
  case file(String)

  init(_ word: some StringProtocol) { self = word.startsWithBytes("/") ? .file(String(word)) : .text(String(word)) }
}

/// Where messages go (`NOTIFY`).
package enum NotifyTarget: Sendable, Equatable {
  /// A program that gets each message as JSON on its standard input: its absolute path and its arguments.
  case command([String])
  /// Recipients, by sendmail(8).
  case mail([String])
  case ntfy(NotifySecret, token: NotifySecret?)
  case slack(NotifySecret)
  case discord(NotifySecret)
  /// An address that gets each message as JSON.
  case webhook(NotifySecret, token: NotifySecret?)
  case matrix(server: String, room: String, token: NotifySecret)
  case telegram(chat: String, token: NotifySecret)

  /// Why a text names no target. It never holds what may be a secret.
  package struct Fault: Error, Equatable, Sendable {
    package let text: String
  }

  package static let names = ["command", "mail", "ntfy", "slack", "discord", "matrix", "telegram", "webhook"]

  /// Reads `ntfy https://ntfy.example/topic` and the like: the kind, then its words.
  package init(_ text: String) throws(Fault) {
    let words = text.splitBytes(" \t").map { String($0) }
    let rest = Array(words.dropFirst())
    switch words.first {
    case "command":
      guard let program = rest.first, program.startsWithBytes("/") else {
        throw Fault(text: "command needs the path of a program, as command /usr/local/bin/tell-me")
      }
      self = .command(rest)
    case "mail":
      guard !rest.isEmpty, rest.allSatisfy(Self.isRecipient) else {
        throw Fault(text: "mail needs recipients, as mail root or mail admin@example.org")
      }
      self = .mail(rest)
    case "ntfy": self = .ntfy(try Self.url(rest, "ntfy", most: 2), token: rest.count == 2 ? NotifySecret(rest[1]) : nil)
    case "webhook":
      self = .webhook(try Self.url(rest, "webhook", most: 2), token: rest.count == 2 ? NotifySecret(rest[1]) : nil)
    case "slack": self = .slack(try Self.url(rest, "slack", most: 1))
    case "discord": self = .discord(try Self.url(rest, "discord", most: 1))
    case "matrix":
      guard rest.count == 3, Self.isURL(rest[0]), rest[1].startsWithBytes("!") else {
        throw Fault(
          text: "matrix needs a server, a room and a token, as matrix https://matrix.example !room:matrix.example /FILE"
        )
      }
      let server = rest[0].endsWithBytes("/") ? String(Substring(rest[0].utf8.dropLast())) : rest[0]
      self = .matrix(server: server, room: rest[1], token: NotifySecret(rest[2]))
    case "telegram":
      guard rest.count == 2 else {
        throw Fault(text: "telegram needs a chat and a token, as telegram 123456 /etc/portsentry/telegram.token")
      }
      self = .telegram(chat: rest[0], token: NotifySecret(rest[1]))
    default:
      throw Fault(text: "the first word must be \(Self.names.dropLast().joined(separator: ", ")) or webhook")
    }
  }

  private static func url(_ words: [String], _ name: String, most: Int) throws(Fault) -> NotifySecret {
    guard (1...most).contains(words.count), words[0].startsWithBytes("/") || isURL(words[0]) else {
      throw Fault(
        text: "\(name) needs an address that begins with https:// or http://, or the path of a file that holds it")
    }
    return NotifySecret(words[0])
  }

  /// Whether curl is asked for it: http or https, a host, and nothing but printable ASCII.
  static func isURL(_ text: String) -> Bool {
    guard text.utf8.count <= 2000, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { return false }
    for scheme in ["https://", "http://"] where text.startsWithBytes(scheme) {
      return text.utf8.dropFirst(scheme.utf8.count).first.map { $0 != UInt8(ascii: "/") } ?? false
    }
    return false
  }

  /// A user or address of mail without anything that a program could take for an option or another header.
  private static func isRecipient(_ text: String) -> Bool {
    text.utf8.count <= 254 && !text.startsWithBytes("-")
      && text.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"):
          true
        default: "@._+-=".utf8.contains($0)
        }
      }
  }

  /// Whether messages cross the network in the clear.
  package var isUnencrypted: Bool {
    let address: String? =
      switch self {
      case .ntfy(.text(let url), _), .webhook(.text(let url), _), .slack(.text(let url)), .discord(.text(let url)): url
      case .matrix(let server, _, _): server
      default: nil
      }
    guard let address, address.startsWithBytes("http://") else { return false }
    let host = address.utf8.dropFirst(7)
    return !["127.", "[::1]", "localhost"].contains { host.starts(with: $0.utf8) }
  }

  /// The way in words, without a secret: `ntfy`, `mail to root`, `/usr/local/bin/tell-me`.
  package var summary: String {
    switch self {
    case .command(let words): words[0]
    case .mail(let recipients): "mail to \(recipients.joined(separator: ", "))"
    case .ntfy: "ntfy"
    case .slack: "Slack"
    case .discord: "Discord"
    case .webhook: "a web hook"
    case .matrix(let server, _, _): "Matrix (\(server))"
    case .telegram(let chat, _): "Telegram (chat \(chat))"
    }
  }
}
