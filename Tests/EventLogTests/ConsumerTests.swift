import Detection
import EventLog
import Foundation
import Platform
import Response
import Testing
import Wire

/// The programs that read what PortSentry writes, run for real where they are installed.
@Suite struct ConsumerTests {
  let folder = NSTemporaryDirectory() + "consumers-\(UUID().uuidString)"

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  private func remove() { try? FileManager.default.removeItem(atPath: folder) }

  /// - Returns: standard output and error, or nil when one of `needs` is not installed.
  private func run(
    _ program: String, _ arguments: [String], needs: [String], input: String = "", environment: [String: String] = [:]
  ) throws -> String? {
    for path in [program] + needs where !FileManager.default.fileExists(atPath: path) {
      print("skipped: \(path) is not installed")
      return nil
    }
    let inputPath = folder + "/input"
    try input.write(toFile: inputPath, atomically: false, encoding: .utf8)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle(forReadingAtPath: inputPath)
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }

  @Test(arguments: [HistoryFile.Form.classic, .both])
  func `fail2ban's own filter finds exactly the hosts we responded to`(_ form: HistoryFile.Form) throws {
    defer { remove() }
    let path = folder + "/portsentry.history"
    var history = HistoryFile(path: path, form: form)
    let now = Timestamp(seconds: Int64(Date().timeIntervalSince1970))
    for (source, name) in [("10.77.0.1", nil), ("10.77.0.2", "attacker.example"), ("fd77::1", nil)] {
      let address = try #require(IPAddress(source))
      history.append(ScanEvent(probe(.syn, from: source), name: name, result: .blocked), at: now)
      history.append(
        blocked: BlockedFile.Entry(address, time: now, port: 11, transport: .tcp, name: name))
    }
    // Never to be banned, and in 2.x's form it does not match.
    history.append(ScanEvent(probe(.syn, from: "10.77.0.9", ignored: true)), at: now)
    let change = history.flush()
    #expect(change == nil)
    let filter = "/etc/fail2ban/filter.d/portsentry.conf"
    guard let found = try run("/usr/bin/fail2ban-regex", ["-o", "<ip>", path, filter], needs: [filter]),
      let report = try run("/usr/bin/fail2ban-regex", [path, filter], needs: [filter])
    else { return }
    #expect(found.split(separator: "\n").map(String.init) == ["10.77.0.1", "10.77.0.2", "fd77::1"])
    let lines = form == .both ? 7 : 3
    #expect(report.contains("Lines: \(lines) lines, 0 ignored, 3 matched, \(lines - 3) missed"), "\(report)")
  }

  @Test func `logwatch understands every line of a usual day`() throws {
    defer { remove() }
    let host = try #require(IPAddress("10.77.0.1"))
    var lines: [LogLine] = [
      .advancedExcludes(port: 113, in: .classic), .advancedIgnores(.tcp, port: 22, in: .classic), .active(in: .classic),
    ]
    let techniques: [(Technique, TransportProtocol)] = [
      (.syn, .tcp), (.fin, .tcp), (.xmas, .tcp), (.null, .tcp), (.ack, .tcp), (.maimon, .tcp), (.udp, .udp),
    ]
    lines += techniques.map { .scan(probe($0, .stealth, $1), name: "attacker.example") }
    lines += [
      .blocked(IPNetwork(host), by: .hostsDeny("ALL: 10.77.0.1 : DENY"), in: .classic),
      .blocked(IPNetwork(host), by: .command("/sbin/route add -host 10.77.0.1 reject"), in: .classic),
      .blocked(IPNetwork(host), by: .nftables(set: "inet portsentry banned4", .seconds(86_400)), in: .classic),
      .blocked(IPNetwork(host), by: .blackholeRoute(nil), in: .classic),
      .alreadyBlocked(probe(.syn), in: .classic), .alreadyBlocked(probe(.connect, .connect), in: .classic),
    ]
    let input = lines.map { "Nov 22 08:21:11 host portsentry[42]: \($0.text)\n" }.joined()
    let script = "/usr/share/logwatch/scripts/services/portsentry"
    guard
      let report = try run(
        "/usr/bin/perl", [script], needs: [script], input: input,
        environment: ["PERL5LIB": "/usr/share/logwatch/lib", "LOGWATCH_DETAIL_LEVEL": "10"])
    else { return }
    for type in ["TCP SYN/Normal", "TCP FIN", "TCP XMAS", " TCP NULL", "TCP ACK", "TCP Maimon", "UDP"] {
      #expect(report.contains("   \(type) from:\n      10.77.0.1: ports: 11"), "\(type)\n\(report)")
    }
    #expect(report.contains("Warning: Blocked route from/to 10.77.0.1 4 times(s)."), "\(report)")
    #expect(report.contains("Ignored following ports"))
    #expect(!report.contains("Unmatched"), "\(report)")
  }
}

@Suite struct LogSinkTests {
  @Test func `Errors go to standard error, details nowhere unless asked for`() throws {
    let path = NSTemporaryDirectory() + "sink-\(UUID().uuidString)"
    let errorPath = path + ".err"
    defer {
      try? FileManager.default.removeItem(atPath: path)
      try? FileManager.default.removeItem(atPath: errorPath)
    }
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT)
    let errorFile = try FileDescriptor.open(errorPath, O_WRONLY | O_CREAT)
    var sink = LogSink([.stdout, .stdout], outputFD: file.raw, errorFD: errorFile.raw)
    sink.write([.active(in: .modern), .error("disk full", in: .modern)], at: Timestamp(seconds: 0))
    sink.flush(at: Timestamp(seconds: 0))
    let (lost, isWaiting) = (sink.lost, sink.isWaiting)
    #expect(lost == 0 && !isWaiting)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "Portsentry is now active and listening.\n")
    #expect(try String(contentsOfFile: errorPath, encoding: .utf8) == "ERROR: disk full\n")
  }
}
