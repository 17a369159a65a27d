/// What each kind of evidence weighs, in thousandths of a nat, and why. docs/detection.md tells the story.
///
/// A threshold of 4,595 makes these numbers mean: three unused TCP ports are a scan and two are not; so are four UDP ports below
/// the kernel's own, two packets with flags that no TCP sends, six stray ACKs, four protocols. Nothing that is one packet is.
enum Weights {
  /// An unused TCP port that hardly anybody asks for: ln(0.9 / 0.1), an honest source that fails one time in ten.
  static let unusedTCP = 2200
  /// The least that an unused port below the ephemeral ones weighs, however many ask for it: eight of them are a verdict.
  static let leastUnused = 600
  /// An unused TCP port of a family of which the source used a service lately (`ServiceFamily`): all of all families together are no
  /// verdict, nor are those of one with one wrong port.
  static let neighbour = 120
  /// UDP is not answered, so honest programs go on asking.
  static let unusedUDP = 1160
  /// A port from which our own programs ask: late answers come here.
  static let ephemeralUDP = 520
  /// And from the port of a service: nearly always an answer.
  static let answeredUDP = 160
  /// No TCP ever sends such flags; broken ones are as good as unknown.
  static let oddFlags = 3000
  /// The capture may have missed the connection.
  static let strayAck = 800
  static let sctp = 1600
  /// Small devices may have such a TCP, but then they say something.
  static let halfOpen = 1560
  static let unusedProtocol = 1160
  /// Tunnels, routing protocols and multicast, which are configured wrongly now and then.
  static let usualProtocol = 120
  /// One more of our addresses pinged.
  static let hostProbe = 720
  /// A timestamp or mask request: hardly anybody else sends those.
  static let unusualICMP = 920
  /// The marks of a scanner, once.
  static let toolMarks = 1000
  /// A conversation with a service: the 1.386 of the threshold random walk.
  static let conversation = -1400
  /// So many services left without a word within `silentWindow` are a verdict.
  static let silentServices = 10
  static let silentTouch = 460
  /// Ten services touched with less than this between one and the next.
  static let silentWindow: Int64 = 3_000_000_000

  /// IP protocols in daily use: IGMP, IPIP, IPv6 in IPv4, GRE, ESP, AH, ICMPv6, EIGRP, OSPF, PIM, VRRP, L2TP, and the ones judged by
  /// port.
  static func isUsual(_ number: UInt8) -> Bool {
    switch number {
    case 1, 2, 4, 6, 17, 41, 47, 50, 51, 58, 88, 89, 103, 112, 115, 132: true
    default: false
    }
  }
}
