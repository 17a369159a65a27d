import Wire

/// Who scans the Internet as a business or for research, by the names of their addresses. A name counts because it was confirmed: it
/// resolves back to its address (`NameResolver`). It says who, not that the scan is welcome.
package enum KnownScanners {
  /// The end of the name, and whose it is. Ends stand at a dot.
  private static let table: [(suffix: String, owner: String)] = [
    ("shodan.io", "Shodan, a search engine for devices"),
    ("censys-scanner.com", "Censys, a search engine for devices"),
    ("binaryedge.ninja", "BinaryEdge, a scanning service"),
    ("shadowserver.org", "Shadowserver, which warns owners of open services"),
    ("stretchoid.com", "Stretchoid, an unexplained scanning service"),
    ("internet-census.org", "Internet Census, a scanning service"),
    ("internet-measurement.com", "driftnet.io, a scanning service"),
    ("leakix.net", "LeakIX, a search engine for leaks"),
    ("leakix.org", "LeakIX, a search engine for leaks"),
    ("onyphe.net", "ONYPHE, a search engine for devices"),
    ("criminalip.com", "Criminal IP, a search engine for devices"),
    ("rapid7.com", "Rapid7, which publishes what it finds"),
    ("netsystemsresearch.com", "NetSystems Research, a scanning service"),
    ("recyber.net", "Recyber, a research scan"),
    ("scan.eecs.umich.edu", "the University of Michigan, a research scan"),
  ]

  /// Whose scanner a confirmed name belongs to; nil where it is none of them.
  package static func owner(ofName name: String) -> String? {
    let name = name.asciiLowercased
    return table.first { name.isSameBytes(as: $0.suffix) || name.endsWithBytes("." + $0.suffix) }?.owner
  }
}
