/// The shape of a scan over addresses and ports (Staniford, Hoagland, McAlerney 2002, with two of our own).
package enum ScanKind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// Many ports of one address.
  case vertical
  /// One port of many addresses.
  case horizontal
  /// Many ports of many addresses, mostly each port of each.
  case block
  /// A chosen few ports of many addresses.
  case strobe
  /// Served ports only, touched one after the other without a word.
  case services
  /// Many sources that act as one, each with a part.
  case distributed

  package var name: String {
    switch self {
    case .vertical: "vertical"
    case .horizontal: "horizontal"
    case .block: "block"
    case .strobe: "strobe"
    case .services: "services"
    case .distributed: "distributed"
    }
  }
}
