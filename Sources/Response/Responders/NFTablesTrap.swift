import CLinux
import Wire

/// The part of our table that lies. To a doubted source every TCP port that nothing serves looks open, and UDP ports
/// that nothing serves are silent; what is served, and every connection there is, stays as it is.
///
/// In `nft` syntax, IPv4's half (`P` is the decoy's port):
/// ```
/// chain trap {
///   type filter hook prerouting priority dstnat + 10; policy accept;
///   tcp flags & ack == ack accept
///   iif lo accept
///   meta l4proto tcp goto trap_tcp
///   meta l4proto udp goto trap_udp
/// }
/// chain trap_tcp {
///   socket transparent <= 1 jump served
///   ip saddr @spared4 accept
///   fib daddr type != local accept
///   meta nfproto ipv4 tcp dport @closed4 accept
///   tcp dport @trap tcp flags & (rst | ack) == 0 goto touch
///   tcp dport @decoy tproxy ip to 127.0.0.1:P accept
///   ip saddr @doubt4 tproxy ip to 127.0.0.1:P accept
///   meta nfproto @flooded tproxy ip to 127.0.0.1:P accept
/// }
/// chain served {
///   socket transparent 0 accept                      # of a service: listener, connection, half open, TIME_WAIT
///   socket wildcard <= 1 accept                      # transparent: a proxy's listener, or a connection
/// }
/// chain touch {
///   jump doubt
///   tproxy ip to 127.0.0.1:P accept
/// }
/// chain doubt {
///   meta nfproto @flooded counter return
///   update @doubt4 { ip saddr timeout 30s } return
///   counter update @flooded { meta nfproto timeout 30s }
/// }
/// chain trap_udp {
///   socket wildcard <= 1 accept
///   ip saddr @spared4 accept
///   fib daddr type != local accept
///   udp dport @trapudp jump doubt
///   ip saddr @doubt4 tproxy ip to 127.0.0.1:P drop
///   meta nfproto @flooded tproxy ip to 127.0.0.1:P drop
/// }
/// chain bridged {                                    # only where br_netfilter is in force
///   type filter hook prerouting priority -2147483648; policy accept;
///   tcp flags & ack == ack accept
///   iifname "br0" meta l4proto tcp goto trap_again
/// }
/// chain trap_again {
///   socket transparent <= 1 jump served
///   ip saddr @spared4 accept
///   fib daddr type != local accept
///   meta nfproto ipv4 tcp dport @closed4 accept
///   tcp dport @trap tproxy ip to 127.0.0.1:P accept
///   ip saddr @doubt4 tproxy ip to 127.0.0.1:P accept
///   meta nfproto @flooded tproxy ip to 127.0.0.1:P accept
/// }
/// ```
/// What it rests on:
/// - After dstnat, so that a port which the administrator redirects, and what is only passed on, is seen as where it goes.
/// - `socket` asks the kernel for the very packet; no list of services can be out of date. No `ct`: tracking costs a fifth
///   of the throughput of a host that does not track.
/// - `tproxy` hands a segment of any flags to the decoy's listener, so the kernel's own TCP gives the answer that a
///   served port gives: SYN/ACK to SYN, nothing to FIN, NULL and Xmas, RST to a stray ACK. There is nothing to tell apart.
///   Where there is no listener `tproxy` ends its rule: when the sentry dies, every lie dies with it in the same instant.
///   The drops of UDP hang on a `tproxy` to a socket of the decoy's for this reason alone.
/// - What bears ACK is let through first: the bulk of honest traffic. A decoy's connection, half open or complete, the kernel finds
///   by itself; what has no connection draws a RST, with the decoy or without. Only SYN cookies have to be steered. Where decoys may
///   have answered with those (`mayMeetCookies`), the first rule is two, and asks for the source as well, since who has a cookie has
///   sent a SYN before: `tcp flags & ack == ack ip saddr != @doubt4 meta nfproto != @flooded accept`.
/// - Nothing is dropped that a service would answer. A stray FIN/ACK (nmap -sM) has its RST from both: silence for whoever is in doubt
///   would tell the port that raised the doubt from the one that did not.
/// - br_netfilter runs the hooks of prerouting while a packet is the bridge's, and on its way up to the host skips them, from its own
///   first function on (`ip_sabotage_in`, of the lowest priority there is). The socket that `tproxy` has set is lost in between. A chain
///   of the same priority that came later runs before that function: there the packet is steered again. Doubts, drops and translation
///   have had their turn.
/// - IPv6 sources are doubted by their /64, since whoever has one address there has them all.
/// - Every rule that reads ports or steers names its protocol again: `nft -f` refuses it otherwise, and a saved ruleset
///   has to load.
/// - A set that strangers can fill is full at some time. Then everybody is doubted for a while (`flooded`), which costs an
///   honest source nothing. A full set must not let scanners see.
package struct NFTablesTrap: Equatable, Sendable {
  /// The decoy's ports on loopback.
  package struct Door: Equatable, Sendable {
    package let tcp: UInt16
    package let udp: UInt16

    package init(tcp: UInt16, udp: UInt16) {
      self.tcp = tcp
      self.udp = udp
    }
  }

  /// nil where the host has no IPv4, or no IPv6.
  package var v4: Door?
  package var v6: Door?
  /// TCP ports that look open to everybody where nothing serves them.
  package var decoy = PortSet()
  /// How long a doubt lasts after its last cause; nil: nobody is lied to beyond the decoy's ports.
  package var doubt: Duration?
  /// Ports whose touch raises doubt where nothing serves them.
  package var tcp = PortSet()
  package var udp = PortSet()
  /// TCP ports about which nobody is lied to, by family: a touch raises no doubt either. Port 0, which no service can have,
  /// is among them in any case.
  package var closed4 = PortSet()
  package var closed6 = PortSet()
  /// Who is never doubted or deceived.
  package var spared = IPNetworkSet()
  /// The interfaces by name; empty: all but loopback.
  package var interfaces: [String] = []
  /// Bridges whose packets br_netfilter takes from the rules.
  package var bridges: [String] = []
  /// Whether a decoy may answer with a SYN cookie. Then what acknowledges one has to be steered to it, as there is no half-open
  /// connection that the kernel finds; otherwise segments with ACK leave the trap without a look-up.
  package var mayMeetCookies = true

  package init() {}

  /// Doubted sources of one family at a time. More, and everybody is doubted for `doubt`.
  package static let doubtLimit: UInt32 = 65_536

  /// What it is made of.
  var layout: NFTablesLayout { NFTablesLayout(sets: sets, chains: chains) }

  /// The names of all sets and chains there may ever be.
  static let names: (sets: Set<String>, chains: Set<String>) = {
    var full = NFTablesTrap()
    full.v4 = Door(tcp: 1, udp: 1)
    full.v6 = full.v4
    full.doubt = .seconds(1)
    full.bridges = ["br0"]
    let layout = full.layout.withBans(networks: true, sparing: true)
    return (Set(layout.sets.map(\.name)), Set(layout.chains.map(\.name)))
  }()

  private static let impossible = PortSet(CollectionOfOne<UInt16>(0))
  private static let transient = NFT_SET_TIMEOUT.rawValue | NFT_SET_EVAL.rawValue
  private static let interval = NFT_SET_INTERVAL.rawValue

  private var sets: [NFTablesSet] {
    func networks(_ v4: Bool) -> [SetElement] {
      let lastKey: UInt128 = v4 ? UInt128(UInt32.max) : .max
      return Self.elements(
        spared.sorted.filter { $0.isV4 == v4 }.map { ($0.keys.0, $0.keys.1) }, lastKey: lastKey)
    }
    func ports(_ ports: PortSet) -> [SetElement] {
      Self.elements(ports.ranges.map { (UInt128($0.lowerBound), UInt128($0.upperBound)) }, lastKey: UInt128(UInt16.max))
    }
    return [
      NFTablesSet(name: "spared4", key: .ipv4, flags: Self.interval, elements: networks(true)),
      NFTablesSet(name: "spared6", key: .ipv6, flags: Self.interval, elements: networks(false)),
      NFTablesSet(name: "closed4", key: .port, flags: Self.interval, elements: ports(closed4.union(Self.impossible))),
      NFTablesSet(name: "closed6", key: .port, flags: Self.interval, elements: ports(closed6.union(Self.impossible))),
      NFTablesSet(name: "decoy", key: .port, flags: Self.interval, elements: ports(decoy)),
      NFTablesSet(name: "trap", key: .port, flags: Self.interval, elements: ports(tcp.union(decoy))),
      NFTablesSet(name: "trapudp", key: .port, flags: Self.interval, elements: ports(udp)),
      NFTablesSet(name: "doubt4", key: .ipv4, flags: Self.transient, size: Self.doubtLimit),
      NFTablesSet(name: "doubt6", key: .ipv6, flags: Self.transient, size: Self.doubtLimit),
      NFTablesSet(name: "flooded", key: .family, flags: Self.transient, size: 2),
    ]
  }

  /// The elements of sorted runs, those that overlap or touch made into one.
  static func elements(_ runs: [(UInt128, UInt128)], lastKey: UInt128) -> [SetElement] {
    var joined: [(first: UInt128, last: UInt128)] = []
    for (first, last) in runs {
      if let before = joined.last, before.last >= first || before.last + 1 == first {
        joined[joined.count - 1].last = max(before.last, last)
      } else {
        joined.append((first, last))
      }
    }
    return joined.flatMap { run in
      run.last == lastKey
        ? [SetElement(key: run.first)] : [SetElement(key: run.first), SetElement(key: run.last + 1, isEnd: true)]
    }
  }

  private var chains: [NFTablesChain] {
    let protocols = [(IPPROTO_TCP, "trap_tcp")] + (doubt == nil ? [] : [(IPPROTO_UDP, "trap_udp")])
    let steering: [[RuleExpression]] = protocols.flatMap { number, chain in
      let rule = Self.transport(number) + [.goTo(chain, returns: false)]
      return interfaces.isEmpty
        ? [rule]
        : interfaces.map { [.meta(NFT_META_IIFNAME.rawValue), .equals(Self.interfaceName($0))] + rule }
    }
    var chains = [
      NFTablesChain(
        // `NF_IP_PRI_NAT_DST` is -100.
        name: "trap", priority: -90,
        rules: honest
          + [[.meta(NFT_META_IIF.rawValue), .equals(UInt32(1).hostBytes), Self.accept]] + steering)
    ]
    var tcpRules: [[RuleExpression]] = []
    if doubt != nil {
      var udpRules =
        [[.socket(NFT_SOCKET_WILDCARD.rawValue), .compare(NFT_CMP_LTE.rawValue, [1]), Self.accept]] + Self.pass
      udpRules.append(Self.port(IPPROTO_UDP) + [.isIn(set: "trapudp"), .goTo("doubt", returns: true)])
      for (isV4, door) in families { udpRules += doubted(isV4, Self.steer(isV4, IPPROTO_UDP, door.udp) + [Self.drop]) }
      chains.append(NFTablesChain(name: "trap_udp", priority: nil, rules: udpRules))
    }
    chains.append(NFTablesChain(name: "served", priority: nil, rules: Self.served))
    chains.append(
      NFTablesChain(name: "doubt", priority: nil, rules: [Self.known] + families.map { raise($0.isV4) } + [overflow]))
    tcpRules.append([
      .socket(NFT_SOCKET_TRANSPARENT.rawValue), .compare(NFT_CMP_LTE.rawValue, [1]), .goTo("served", returns: true),
    ])
    tcpRules += Self.pass
    for (isV4, _) in families {
      tcpRules.append(
        RuleExpression.family(isV4) + Self.port(IPPROTO_TCP)
          + [.isIn(set: isV4 ? "closed4" : "closed6"), Self.accept])
    }
    // What opens a connection bears neither ACK nor RST; what bears one may be an answer, and raises no doubt.
    tcpRules.append(
      Self.port(IPPROTO_TCP) + [.isIn(set: "trap")] + Self.flags(0x14, 0).dropFirst(2)
        + [.goTo("touch", returns: false)])
    // Who has just been doubted is lied to.
    chains.append(
      NFTablesChain(
        name: "touch", priority: nil,
        rules: [[.goTo("doubt", returns: true)]]
          + families.map {
            RuleExpression.family($0.isV4) + Self.steer($0.isV4, IPPROTO_TCP, $0.door.tcp) + [Self.accept]
          }))
    for (isV4, door) in families {
      let lie = Self.steer(isV4, IPPROTO_TCP, door.tcp) + [Self.accept]
      tcpRules.append(RuleExpression.family(isV4) + Self.port(IPPROTO_TCP) + [.isIn(set: "decoy")] + lie)
      if doubt != nil { tcpRules += doubted(isV4, lie) }
    }
    chains.append(NFTablesChain(name: "trap_tcp", priority: nil, rules: tcpRules))
    return bridges.isEmpty ? chains : chains + again
  }

  /// Steers once more what br_netfilter has taken from the rules.
  private var again: [NFTablesChain] {
    var rules: [[RuleExpression]] = [
      [.socket(NFT_SOCKET_TRANSPARENT.rawValue), .compare(NFT_CMP_LTE.rawValue, [1]), .goTo("served", returns: true)]
    ]
    rules += Self.pass
    for (isV4, _) in families {
      rules.append(
        RuleExpression.family(isV4) + Self.port(IPPROTO_TCP)
          + [.isIn(set: isV4 ? "closed4" : "closed6"), Self.accept])
    }
    for (isV4, door) in families {
      let lie = Self.steer(isV4, IPPROTO_TCP, door.tcp) + [Self.accept]
      rules.append(RuleExpression.family(isV4) + Self.port(IPPROTO_TCP) + [.isIn(set: "trap")] + lie)
      if doubt != nil { rules += doubted(isV4, lie) }
    }
    return [
      NFTablesChain(name: "trap_again", priority: nil, rules: rules),
      NFTablesChain(
        name: "bridged", priority: .min,
        rules: honest
          + bridges.map {
            [.meta(NFT_META_IIFNAME.rawValue), .equals(Self.interfaceName($0))] + Self.transport(IPPROTO_TCP)
              + [.goTo("trap_again", returns: false)]
          }),
    ]
  }

  private var families: [(isV4: Bool, door: Door)] {
    [(true, v4), (false, v6)].compactMap { isV4, door in door.map { (isV4, $0) } }
  }

  private static let accept = RuleExpression.verdict(UInt32(NF_ACCEPT))
  private static let drop = RuleExpression.verdict(UInt32(NF_DROP))

  private static func transport(_ number: Int) -> [RuleExpression] {
    [.meta(NFT_META_L4PROTO.rawValue), .equals([UInt8(number)])]
  }

  /// The target port in the register.
  private static func port(_ protocol: Int) -> [RuleExpression] {
    transport(`protocol`) + [.payload(NFT_PAYLOAD_TRANSPORT_HEADER.rawValue, offset: 2, length: 2)]
  }

  private static func flags(_ mask: UInt8, _ value: UInt8) -> [RuleExpression] {
    transport(IPPROTO_TCP)
      + [.payload(NFT_PAYLOAD_TRANSPORT_HEADER.rawValue, offset: 13, length: 1), .mask([mask]), .equals([value])]
  }

  /// Source, by /64 in IPv6, in the register.
  private static func doubtKey(_ isV4: Bool) -> [RuleExpression] {
    RuleExpression.source(isV4)
      + (isV4 ? [] : [.mask([UInt8](repeating: 0xff, count: 8) + [UInt8](repeating: 0, count: 8))])
  }

  /// Lets the segments of connections through; where they may bear cookies, those whose source is in no doubt.
  private var honest: [[RuleExpression]] {
    mayMeetCookies ? families.map { undoubted($0.isV4) } : [Self.flags(0x10, 0x10) + [Self.accept]]
  }

  private func undoubted(_ isV4: Bool) -> [RuleExpression] {
    Self.flags(0x10, 0x10) + Self.doubtKey(isV4)
      + [
        .isIn(set: isV4 ? "doubt4" : "doubt6", false), .meta(NFT_META_NFPROTO.rawValue), .isIn(set: "flooded", false),
        Self.accept,
      ]
  }

  private static func steer(_ isV4: Bool, _ protocol: Int, _ port: UInt16) -> [RuleExpression] {
    let loopback = isV4 ? [127, 0, 0, 1] : [UInt8](repeating: 0, count: 15) + [1]
    return transport(`protocol`) + [
      .load(loopback, NFT_REG_1.rawValue), .load(port.bigEndian.hostBytes, NFT_REG_2.rawValue),
      .tproxy(UInt32(isV4 ? NFPROTO_IPV4 : NFPROTO_IPV6)),
    ]
  }

  /// Lets through what has a socket. A decoy's half-open connection or TIME_WAIT is not passed over: a SYN to it has to reach
  /// the decoy's listener.
  private static let served: [[RuleExpression]] = [
    [.socket(NFT_SOCKET_TRANSPARENT.rawValue), .equals([0]), accept],
    [.socket(NFT_SOCKET_WILDCARD.rawValue), .compare(NFT_CMP_LTE.rawValue, [1]), accept],
  ]

  /// Lets through what is spared, and what is not for us.
  private static let pass: [[RuleExpression]] = [
    RuleExpression.source(true) + [.isIn(set: "spared4"), accept],
    RuleExpression.source(false) + [.isIn(set: "spared6"), accept],
    [.targetType, .compare(NFT_CMP_NEQ.rawValue, UInt32(RTN_LOCAL).hostBytes), accept],
  ]

  /// While everybody is doubted nobody need be: a flood is not to pay for look-ups among 65,536.
  private static let known: [RuleExpression] = [
    .meta(NFT_META_NFPROTO.rawValue), .isIn(set: "flooded"), .counter,
    .verdict(UInt32(bitPattern: NFT_RETURN.rawValue)),
  ]

  /// Doubts the source, and is done; where there is no room the next rule is asked.
  private func raise(_ isV4: Bool) -> [RuleExpression] {
    Self.doubtKey(isV4)
      + [
        .put(set: isV4 ? "doubt4" : "doubt6", update: true, timeout: time),
        .verdict(UInt32(bitPattern: NFT_RETURN.rawValue)),
      ]
  }

  /// Doubts everybody.
  private var overflow: [RuleExpression] {
    [.counter, .meta(NFT_META_NFPROTO.rawValue), .put(set: "flooded", update: true, timeout: time)]
  }

  /// Without doubt the sets say only from whom the decoy may get an ACK with a cookie.
  private var time: UInt64 { (doubt ?? .seconds(30)).setMilliseconds }

  /// Lies to whoever is doubted.
  private func doubted(_ isV4: Bool, _ lie: [RuleExpression]) -> [[RuleExpression]] {
    [
      Self.doubtKey(isV4) + [.isIn(set: isV4 ? "doubt4" : "doubt6")] + lie,
      RuleExpression.family(isV4) + [.meta(NFT_META_NFPROTO.rawValue), .isIn(set: "flooded")] + lie,
    ]
  }

  private static func interfaceName(_ name: String) -> [UInt8] {
    Array((Array(name.utf8) + [UInt8](repeating: 0, count: 16)).prefix(16))
  }
}
