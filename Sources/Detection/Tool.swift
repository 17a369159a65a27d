import Wire

/// The program that most probably made a source's packets, told by their header fields.
package struct Tool: Sendable, BitwiseCopyable, Hashable {
  package enum Family: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// Too little was seen to say.
    case unknown
    case nmap
    case masscan
    case zmap
    case mirai
    case unicornscan
    case hping3
    case scapy
    case naabu
    /// The ordinary SYN of an operating system: `connect(2)`, as nmap -sT, RustScan, zgrab and every script use it.
    case connect
    /// No tool that is known here, but always the same marks: `variant` names it.
    case unnamed
  }

  package var family: Family
  /// For `.unnamed`: a stable number made of the marks. Else 0.
  package var variant: UInt32

  package init(_ family: Family, variant: UInt32 = 0) {
    self.family = family
    self.variant = variant
  }

  package static let unknown = Tool(.unknown)

  /// The word in `--json` and tables: `nmap`, `unnamed-1a2b3c4d`.
  package var name: String {
    guard family == .unnamed else { return "\(family)" }
    let digits = String(variant, radix: 16)
    return "unnamed-" + String(repeating: "0", count: 8 - digits.count) + digits
  }

  /// Reads what `name` wrote; nil for anything else.
  package init?(name: String) {
    if let family = Family.allCases.first(where: { "\($0)" == name && $0 != .unnamed }) {
      self.init(family)
    } else if name.startsWithBytes("unnamed-"), let variant = UInt32(Substring(name.utf8.dropFirst(8)), radix: 16) {
      self.init(.unnamed, variant: variant)
    } else {
      return nil
    }
  }
}
