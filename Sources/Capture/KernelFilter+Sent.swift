import CLinux
import Wire

/// What this host sends.
extension KernelFilter {
  /// Connections that we open and datagrams that we send from ports of the moment: remembered as flows. Answers of services.
  func sentV4(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let header = Transport(isV4: true)
    localV4(&code, at: header.source, drop: drop)
    code.load(.half, 6)
    code.jump(.set, 0x1fff, to: drop)
    code.load(.byte, 9)
    sent(&code, header, servedUDPv4, tcpV4, limit, accept: accept, drop: drop)
  }

  func sentV6(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let header = Transport(isV4: false)
    localV6(&code, at: header.source, drop: drop)
    code.load(.byte, 6)
    sent(&code, header, servedUDPv6, tcpV6, limit, accept: accept, drop: drop)
  }

  /// The protocol number is loaded.
  ///
  /// - Parameter judged: ports of which it is wanted what this host answers: whether something serves them is known by that.
  func sent(
    _ code: inout Assembler, _ header: Transport, _ served: PortSet, _ judged: PortSet, _ limit: Int, accept: Label,
    drop: Label
  ) {
    let tcp = code.label()
    let udp = code.label()
    let sctp = code.label()
    let sampled = Sampled(connections: code.label(), others: code.label())
    header.prepare(&code)
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    if watchesTCP { code.jump(.equal, 6, to: tcp) }
    if judgesOtherProtocols { code.jump(.equal, 132, to: sctp) }
    code.jump(to: drop)
    code.place(tcp)
    header.load(&code, .byte, 13)
    code.and(0x16)
    code.jump(.equal, 0x02, to: accept)
    let accepts = code.label()
    let refuses = code.label()
    let isDecoys = code.label()
    let answers = code.label()
    code.jump(.equal, 0x12, to: accepts)
    code.jump(.equal, 0x14, to: refuses)
    code.jump(to: drop)
    code.place(accepts)
    code.load(.word, Self.ancillary(SKF_AD_MARK))
    code.jump(.equal, Self.decoyMark, to: isDecoys)
    // Whoever acknowledges the number in a SYN/ACK has received it.
    code.jump(to: answers)
    code.place(refuses)
    // The RST that answers a SYN has the sequence number 0 (RFC 9293 section 3.10.7.1); that of a connection has not.
    header.load(&code, .word, 4)
    code.jump(.unequal, 0, to: drop)
    code.place(answers)
    // Coarse, as what passes too much is a service's SYN/ACK.
    header.load(&code, .half, 0)
    tree(
      &code, Self.coarsened(judged.ranges, to: max(limit / 8, 2)), inside: accept,
      outside: judgesConnections ? sampled.connections : drop)
    code.place(isDecoys)
    if header.isV4 { code.returnsIndex(plus: 20) } else { code.returns(60) }
    sample(&code, sampled, by: header.isV4 ? 16 : 28, accept: accept, drop: drop)
    code.place(sctp)
    // INIT ACK: something serves that port; ABORT: nothing does.
    header.load(&code, .byte, 12)
    code.jump(.equal, 2, to: accept)
    code.jump(.equal, 6, to: accept)
    code.jump(to: drop)
    code.place(udp)
    unlessServedThere(
      &code, sending(specificUDP), v4: header.isV4, at: header.source, port: { header.load(&$0, .half, 0) },
      served: drop)
    header.load(&code, .half, 0)
    tree(&code, Self.largest(sending(served).ranges, limit), inside: drop, outside: accept)
  }

  /// Of the ports with sockets those that servers have. A socket on a port of the moment is mostly a client's: what it
  /// asks must be remembered, for the answer may come when it is closed.
  func sending(_ ports: PortSet) -> PortSet { ports.subtracting(PortSet(ranges: [ephemeralPorts])) }
  func sending(_ ports: [IPAddress: PortSet]) -> [IPAddress: PortSet] {
    ports.mapValues { sending($0) }.filter { !$0.value.isEmpty }
  }

  func notEphemeral(_ code: inout Assembler, drop: Label) {
    let below = code.label()
    code.jump(.less, UInt32(ephemeralPorts.lowerBound), to: below)
    code.jump(.lessOrEqual, UInt32(ephemeralPorts.upperBound), to: drop)
    code.place(below)
  }
}
