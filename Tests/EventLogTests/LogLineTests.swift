import Detection
import EventLog
import Platform
import Response
import Testing
import Wire

@Suite struct LogLineTests {
  @Test(
    "1.2's words for each technique",
    arguments: [
      (probe(.syn), "attackalert: TCP SYN/Normal scan from host: 10.77.0.1/10.77.0.1 to TCP port: 11"),
      (probe(.fin), "attackalert: TCP FIN scan from host: 10.77.0.1/10.77.0.1 to TCP port: 11"),
      (probe(.xmas), "attackalert: TCP XMAS scan from host: 10.77.0.1/10.77.0.1 to TCP port: 11"),
      (probe(.null), "attackalert:  TCP NULL scan from host: 10.77.0.1/10.77.0.1 to TCP port: 11"),
      (probe(.ack), "attackalert: TCP ACK scan from host: 10.77.0.1/10.77.0.1 to TCP port: 11"),
      (probe(.maimon), "attackalert: TCP Maimon scan from host: 10.77.0.1/10.77.0.1 to TCP port: 11"),
      (
        probe(.oddFlags, flags: [.syn, .fin, .urg, .ece]),
        "attackalert: Unknown Type: TCP Packet Flags: SYN: 1 FIN: 1 ACK: 0 PSH: 0 URG: 1 RST: 0"
          + " from host: 10.77.0.1/10.77.0.1 to TCP port: 11"
      ),
      (probe(.udp, .advanced, .udp), "attackalert: UDP scan from host: 10.77.0.1/10.77.0.1 to UDP port: 11"),
      (probe(.connect, .connect), "attackalert: Connect from host: 10.77.0.1/10.77.0.1 to TCP port: 11"),
      (probe(.udp, .connect, .udp), "attackalert: Connect from host: 10.77.0.1/10.77.0.1 to UDP port: 11"),
      (probe(.syn, from: "fd77::1"), "attackalert: TCP SYN/Normal scan from host: fd77::1/fd77::1 to TCP port: 11"),
    ])
  func scans(_ probe: Probe, _ text: String) {
    #expect(LogLine.scan(probe).text == text)
    #expect(LogLine.scan(probe).severity == .notice)
  }

  @Test func `A name is shown only if it can do no harm`() {
    #expect(
      LogLine.scan(probe(.syn), name: "a.example").text
        == "attackalert: TCP SYN/Normal scan from host: a.example/10.77.0.1 to TCP port: 11")
    #expect(LogLine.scan(probe(.syn), name: "8.8.8.8/8.8.8.8 Port: 1").text == LogLine.scan(probe(.syn)).text)
    #expect(ScanEvent(probe(.syn), name: "x) protocol: [").text == ScanEvent(probe(.syn)).text)
    #expect(ScanEvent(probe(.syn), name: "a.example").text.hasPrefix("Scan from: [10.77.0.1] (a.example) protocol: "))
  }

  @Test(
    "2.x's event line",
    arguments: [
      (
        "an ignored host", probe(.fin, ignored: true), nil, "TCP FIN scan] IP opts: [not set]", "true unset unset unset"
      ),
      (
        "below the trigger", probe(.syn, triggered: false), nil, "TCP SYN/Normal scan] IP opts: [not set]",
        "false false unset unset"
      ),
      ("log only", probe(.null), .logged, "TCP NULL scan] IP opts: [not set]", "false true true false"),
      ("our own address", probe(.xmas), .ownAddress, "TCP XMAS scan] IP opts: [not set]", "true true true false"),
      ("responded to", probe(.ack, options: true), .blocked, "TCP ACK scan] IP opts: [set]", "false true false true"),
      (
        "the response failed", probe(.connect, .connect), .failed, "Connect] IP opts: [unknown]",
        "false true false false"
      ),
      (
        "IPv6 options are not known", probe(.maimon, from: "fd77::1"), .logged, "TCP Maimon scan] IP opts: [unknown]",
        "false true true false"
      ),
      ("UDP", probe(.udp, .stealth, .udp), .logged, "UDP] IP opts: [not set]", "false true true false"),
    ] as [(String, Probe, ScanEvent.Result?, String, String)])
  func events(_ what: String, _ probe: Probe, _ result: ScanEvent.Result?, _ type: String, _ flags: String) {
    let flags = flags.split(separator: " ")
    #expect(
      LogLine.event(ScanEvent(probe, result: result)).text
        == "Scan from: [\(probe.source)] (\(probe.source)) protocol: [\(probe.transport.name)]"
        + " port: [11] type: [\(type)"
        + " ignored: [\(flags[0])] triggered: [\(flags[1])] noblock: [\(flags[2])] blocked: [\(flags[3])]",
      "\(what)")
  }

  static let host = IPAddress(v4: 0x0a4d_0001)

  @Test(
    "What is said of responses",
    arguments: [
      (
        LogLine.blocked(IPNetwork(host), by: .hostsDeny("ALL: 10.77.0.1 : DENY"), in: .classic),
        "attackalert: Host 10.77.0.1 has been blocked via wrappers with string: \"ALL: 10.77.0.1 : DENY\""
      ),
      (
        LogLine.blocked(IPNetwork(host), by: .command("/bin/true 10.77.0.1 11 stcp"), in: .modern),
        "attackalert: Host 10.77.0.1 has been blocked via dropped route using command: \"/bin/true 10.77.0.1 11 stcp\""
      ),
      (
        LogLine.blocked(IPNetwork(host), by: .nftables(set: "inet portsentry banned4", .seconds(86_400)), in: .classic),
        "attackalert: Host 10.77.0.1 has been blocked via nftables using set: \"inet portsentry banned4\" (for 24h)"
      ),
      (
        LogLine.blocked(
          IPNetwork(host), by: .nftables(set: "x", .seconds(86_400)),
          because: "2 hosts of the fleet saw it (web1, web2)", in: .native),
        "Blocked 10.77.0.1 for 24h by nftables: 2 hosts of the fleet saw it (web1, web2)"
      ),
      (
        // The predecessors' line stays as it is.
        LogLine.blocked(IPNetwork(host), by: .blackholeRoute(.seconds(60)), because: "x", in: .classic),
        "attackalert: Host 10.77.0.1 has been blocked via blackhole route (for 1m)"
      ),
      (
        LogLine.bannedByFleet(
          IPNetwork(host), because: "2 hosts of the fleet saw it (web1, web2)", in: .classic),
        "adminalert: Host 10.77.0.1 is blocked for the fleet: 2 hosts of the fleet saw it (web1, web2)"
      ),
      (
        LogLine.blocked(IPNetwork(host), by: .blackholeRoute(nil), in: .classic),
        "attackalert: Host 10.77.0.1 has been blocked via blackhole route (until released)"
      ),
      (
        LogLine.commandRun(host, command: "echo \u{1b}[2J", in: .classic),
        "attackalert: External command run for host: 10.77.0.1 using command: \"echo \\x1b[2J\""
      ),
      (LogLine.ignoringResponse(.udp), "attackalert: Ignoring UDP response per configuration file setting."),
      (
        LogLine.alreadyBlocked(probe(.syn), in: .classic),
        "attackalert: Host: 10.77.0.1/10.77.0.1 is already blocked Ignoring"
      ),
      (
        LogLine.alreadyBlocked(probe(.connect, .connect), in: .classic),
        "attackalert: Host: 10.77.0.1 is already blocked. Ignoring"
      ),
      (
        LogLine.alreadyBlocked(probe(.connect, .connect), in: .modern),
        "attackalert: Host: 10.77.0.1/10.77.0.1 is already blocked Ignoring"
      ),
      (
        LogLine.couldNotBlock(probe(.syn), in: .classic),
        "attackalert: ERROR: Could not block host 10.77.0.1/10.77.0.1 !!"
      ),
      (
        LogLine.couldNotBlock(probe(.syn, .advanced), in: .classic),
        "attackalert: ERROR: Could not block host 10.77.0.1/10.77.0.1!!"
      ),
      (
        LogLine.couldNotBlock(probe(.udp, .stealth, .udp), in: .classic),
        "attackalert: ERROR: Could not block host 10.77.0.1/10.77.0.1!!"
      ),
      (
        LogLine.couldNotBlock(probe(.connect, .connect), in: .classic),
        "attackalert: ERROR: Could not block host 10.77.0.1 !!"
      ),
      (
        LogLine.couldNotBlock(probe(.syn), in: .modern), "attackalert: Error during target dispose 10.77.0.1/10.77.0.1!"
      ),
      (
        LogLine.refused(host, because: "it is the default gateway", in: .classic),
        "adminalert: Host 10.77.0.1 is not blocked: it is the default gateway"
      ),
      (
        LogLine.released(IPNetwork(host), .expired, in: .classic),
        "adminalert: Host 10.77.0.1 has been released (expired)"
      ),
      (LogLine.released(IPNetwork(host), .byOperator, in: .modern), "Host 10.77.0.1 has been released (by operator)"),
      (
        LogLine.ipOptions(probe(.syn)),
        "attackalert: Packet from host: 10.77.0.1/10.77.0.1 to TCP port: 11 has IP options set"
          + " (detection avoidance technique)."
      ),
    ])
  func responses(_ line: LogLine, _ text: String) {
    #expect(line.text == text)
  }

  @Test(
    "What is said at the start and the end",
    arguments: [
      (LogLine.starting(version: "1.2", in: .classic), "adminalert: PortSentry 1.2 is starting."),
      (LogLine.listening(.connect, .tcp, port: 1, in: .classic), "adminalert: Going into listen mode on TCP port: 1"),
      (
        LogLine.listening(.stealth, .udp, port: 1, in: .classic),
        "adminalert: Going into stealth listen mode on UDP port: 1"
      ),
      (LogLine.listening(.connect, .tcp, port: 1, in: .modern), "Listen on AF_INET6: TCP port: 1"),
      (LogLine.advancedMonitors(first: 1024, in: .classic), "adminalert: Advanced mode will monitor first 1024 ports"),
      (
        LogLine.advancedExcludes(port: 113, in: .classic),
        "adminalert: Advanced mode will manually exclude port: 113 "
      ),
      (LogLine.advancedExcludes(port: nil, in: .classic), "adminalert: Advanced mode will manually exclude no ports"),
      (
        LogLine.advancedIgnores(.tcp, port: 22, in: .classic),
        "adminalert: Advanced Stealth scan detection mode activated. Ignored TCP port: 22"
      ),
      (LogLine.active(in: .classic), "adminalert: PortSentry is now active and listening."),
      (LogLine.active(in: .modern), "Portsentry is now active and listening."),
      (
        LogLine.couldNotBind(.tcp, port: 11, in: .classic),
        "adminalert: ERROR: could not bind TCP socket: 11. Attempting to continue"
      ),
    ])
  func service(_ line: LogLine, _ text: String) {
    #expect(line.text == text)
  }

  @Test func `1.2 ends with two lines, 2.x with one`() {
    #expect(
      LogLine.shuttingDown(in: .classic).map(\.text)
        == ["securityalert: PortSentry is shutting down", "adminalert: PortSentry is shutting down"])
    #expect(LogLine.shuttingDown(in: .modern).map(\.text) == ["Portsentry is shutting down"])
  }

  @Test func `1.2 calls everything a notice, 2.x errors by their name`() {
    #expect(LogLine.couldNotBlock(probe(.syn), in: .classic).severity == .notice)
    #expect(LogLine.couldNotBlock(probe(.syn), in: .modern).severity == .error)
    #expect(LogLine.active(in: .modern).severity == .notice)
  }
}
