import Platform
import Signing

/// What stands between the lines of a PEM file (RFC 7468), as one word of base64.
package enum PEMText {
  package enum Kind: String, Sendable {
    case certificate = "CERTIFICATE"
    case key = "PRIVATE KEY"
  }

  /// Of certificates and keys that are longer nothing is taken.
  static let most = 16 << 10

  /// All blocks of a kind; others are passed over.
  package static func blocks(_ kind: Kind, in text: String) -> [String] {
    var found: [String] = []
    var open: String?
    for line in text.byteLines {
      if line == "-----BEGIN \(kind.rawValue)-----" {
        open = ""
      } else if line.startsWithBytes("-----") {
        if line == "-----END \(kind.rawValue)-----", let word = open, isWord(word) { found.append(word) }
        open = nil
      } else if let word = open {
        open = word + String(line)
      }
    }
    return found
  }

  /// Whether it may be one.
  package static func isWord(_ word: String) -> Bool {
    (1...most).contains(word.utf8.count)
      && word.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): true
        default: false
        }
      }
  }

  /// Whether it may be the name on a certificate: a host's, or an address.
  package static func isName(_ name: String) -> Bool {
    (1...253).contains(name.utf8.count)
      && name.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: ":"): true
        default: false
        }
      }
  }
}

extension TLSIdentity {
  /// Fit for a frame or a line: each is one word, and not too many.
  var isSound: Bool {
    (1...8).contains(authorities.count) && authorities.allSatisfy(PEMText.isWord) && PEMText.isName(name)
      && [certificate, key].allSatisfy { $0.map(PEMText.isWord) ?? true } && (certificate == nil) == (key == nil)
      && (authorities + [certificate ?? "", key ?? ""]).reduce(0) { $0 + $1.utf8.count } <= 2 * PEMText.most
  }
}
