import CLinux
import Configuration
import Platform
import Wire

/// What the page keeps in STATE_DIR/console.token: a line with the token, and one with the name that it is asked by.
package struct PageSecrets: Sendable, Equatable {
  /// For programs that ask for /metrics.
  package var token: String
  /// Random, so that no other page of this host can lead a browser's cookie to itself.
  package var name: String

  package init(token: String, name: String) {
    self.token = token
    self.name = name
  }

  /// RFC 6761 section 6.3: what ends in .localhost is this host, to browsers without a question to anybody.
  package var host: String { "\(name).localhost" }

  var isWhole: Bool { name.utf8.count >= 16 }

  /// - Returns: nil when there is none, or none that is long enough.
  package static func read(_ path: String) throws(Errno) -> PageSecrets? {
    do throws(Errno) {
      let words = String(decoding: try Files.read(path, limit: 4096), as: UTF8.self).splitBytes(" \t\r\n")
      guard let token = words.first, token.utf8.count >= 16 else { return nil }
      return PageSecrets(token: String(token), name: words.count > 1 ? String(words[1]) : "")
    } catch {
      if error.code == ENOENT { return nil }
      throw error
    }
  }
}

/// Who serves where the page should be: whoever binds the address first would get what is meant for it.
package enum PageOwner {
  package enum Fault: Error, Equatable, CustomStringConvertible {
    case nobody(String)
    case foreign(String, user: UInt32)

    package var description: String {
      switch self {
      case .nobody(let place):
        "no page is served at \(place): is the sentry running, and is CONSOLE_LISTEN set? Run `portsentry status`"
      case .foreign(let place, let user):
        "\(place) is held by user \(user), and not by the page, so no link is printed: it would let that user in. Set CONSOLE_LISTEN to"
          + " another port or to a socket, and restart"
      }
    }
  }

  /// Looks who listens.
  ///
  /// - Parameter controlSocket: its owner is the sentry's user, who may serve the page, as may root and whoever asks.
  package static func check(_ listen: ListenAddress, controlSocket: String) throws(Fault) {
    var trusted: Set<UInt32> = [0, geteuid()]
    var info = stat()
    if unsafe lstat(controlSocket, &info) == 0 { trusted.insert(info.st_uid) }
    let owners: [UInt32]
    switch listen {
    case .tcp(_, let port):
      owners = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap {
        listeners(port: port, in: (try? Files.read($0)) ?? [])
      }
    case .unix(let path): owners = unsafe lstat(path, &info) == 0 ? [info.st_uid] : []
    }
    if owners.isEmpty { throw .nobody("\(listen)") }
    if let stranger = owners.first(where: { !trusted.contains($0) }) { throw .foreign("\(listen)", user: stranger) }
  }

  /// The users of the listeners on a port that loopback reaches, in the text of /proc/net/tcp or tcp6 (proc(5)).
  static func listeners(port: UInt16, in bytes: [UInt8]) -> [UInt32] {
    let digits = String(port, radix: 16, uppercase: true)
    let suffix = ":" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
    return bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let words = String(decoding: line, as: UTF8.self).splitBytes(" ")
      // 0A: listening. Addresses are words of four bytes in the order of this machine.
      guard words.count > 7, words[3].isSameBytes(as: "0A"), words[1].endsWithBytes(suffix) else { return nil }
      let address = Substring(words[1].utf8.dropLast(suffix.utf8.count))
      let isWild = address.utf8.allSatisfy { $0 == UInt8(ascii: "0") }
      let isLoopback =
        address.utf8.count == 8 || address.startsWithBytes("0000000000000000FFFF0000")
        ? address.endsWithBytes("7F") : address.isSameBytes(as: "00000000000000000000000001000000")
      return isWild || isLoopback ? UInt32(words[7]) : nil
    }
  }
}
