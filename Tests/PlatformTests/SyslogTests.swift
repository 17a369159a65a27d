import CLinux
import Foundation
import Platform
import Testing
import Wire

@Suite struct SyslogTests {
  let folder = NSTemporaryDirectory() + "syslog-\(UUID().uuidString)"
  var path: String { folder + "/log" }
  let time = Timestamp(seconds: 1_795_335_671)

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  private func remove() { try? FileManager.default.removeItem(atPath: folder) }

  /// A socket in place of syslogd's.
  private func listen(_ type: Int32) throws -> FileDescriptor {
    try? FileManager.default.removeItem(atPath: path)
    let file = try FileDescriptor.socket(AF_UNIX, type | CLinux_SOCK_NONBLOCK, 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: Array(path.utf8)) }
    try check("bind") { unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    if type == CLinux_SOCK_STREAM { try check("listen") { CLinux.listen(file.raw, 5) } }
    return file
  }

  private func received(_ file: borrowing FileDescriptor) -> String? {
    (try? file.read(upTo: 65_536)).map { String(decoding: $0, as: UTF8.self) }
  }

  private var stamp: String { LocalTime(time).syslog }

  @Test func `A message is one datagram, a line end in it is none`() throws {
    defer { remove() }
    let server = try listen(CLinux_SOCK_DGRAM)
    var log = Syslog(path: path)
    let sent = log.send("adminalert: a\nb\u{1b}", .notice, at: time)
    let error = log.send("x", .error, at: time)
    #expect(sent && error)
    let (first, second) = (received(server), received(server))
    #expect(first == "<29>\(stamp) portsentry[\(getpid())]: adminalert: a\\x0ab\\x1b")
    #expect(second == "<27>\(stamp) portsentry[\(getpid())]: x")
  }

  @Test func `After a restart of syslogd it goes on, and says what was lost`() throws {
    defer { remove() }
    var log = Syslog(path: path, capacity: 0)
    let before = log.send("nobody there", .notice, at: time)
    #expect(!before)
    do {
      let server = try listen(CLinux_SOCK_DGRAM)
      let sent = log.send("one", .notice, at: time)
      #expect(sent)
      let (first, second) = (received(server), received(server))
      #expect(first?.hasSuffix("]: 1 messages before this one could not be sent to syslog") == true)
      #expect(second?.hasSuffix("]: one") == true)
    }
    let gone = log.send("lost", .notice, at: time)
    let again = log.send("lost too", .notice, at: time)
    #expect(!gone && !again)
    let server = try listen(CLinux_SOCK_DGRAM)
    let sent = log.send("two", .notice, at: time)
    #expect(sent)
    let first = received(server)
    #expect(first?.hasSuffix("]: 2 messages before this one could not be sent to syslog") == true)
  }

  @Test func `A restart without a message between loses nothing`() throws {
    defer { remove() }
    var log = Syslog(path: path)
    do {
      let server = try listen(CLinux_SOCK_DGRAM)
      let sent = log.send("one", .notice, at: time)
      let first = received(server)
      #expect(sent && first != nil)
    }
    let server = try listen(CLinux_SOCK_DGRAM)
    let sent = log.send("two", .notice, at: time)
    let first = received(server)
    #expect(sent)
    #expect(first?.hasSuffix("]: two") == true)
  }

  @Test func `A full queue does not block, and every message is sent or counted`() throws {
    defer { remove() }
    let server = try listen(CLinux_SOCK_DGRAM)
    var log = Syslog(path: path, capacity: 0)
    var sent = 0
    for _ in 0..<5_000 where log.send("x", .notice, at: time) { sent += 1 }
    #expect(sent > 0 && sent < 5_000)
    let lost = log.lost
    #expect(sent + lost == 5_000)
    while received(server) != nil {}
    let better = log.send("y", .notice, at: time)
    #expect(better)
    let first = received(server)
    #expect(first?.hasSuffix("]: \(lost) messages before this one could not be sent to syslog") == true)
  }

  @Test func `What a stopped syslogd does not take waits, goes in order, and the rest is counted`() throws {
    defer { remove() }
    var log = Syslog(path: path, capacity: 100_000)
    for number in 0..<3_000 { log.send("line \(number)", .notice, at: time) }
    let (waiting, lost) = (log.waiting, log.lostInAll)
    #expect(waiting > 1000 && lost > 100 && waiting + lost == 3_000)
    let server = try listen(CLinux_SOCK_DGRAM)
    var lines: [String] = []
    while log.isWaiting {
      log.flush(at: time)
      while let line = received(server) { lines.append(line) }
    }
    #expect(lines.count == waiting + 1)
    for (number, line) in lines.dropLast().enumerated() { #expect(line.hasSuffix("]: line \(number)")) }
    #expect(lines.last?.hasSuffix("]: \(lost) messages before this one could not be sent to syslog") == true)
    let (after, told) = (log.lostInAll, log.lost)
    #expect(after == lost && told == 0)
  }

  @Test func `A stream socket gets messages that end in a zero byte`() throws {
    defer { remove() }
    let server = try listen(CLinux_SOCK_STREAM)
    var log = Syslog(path: path)
    let sent = log.send("one", .notice, at: time)
    #expect(sent)
    let raw = try check("accept") { CLinux_accept(server.raw, nil, nil, CLinux_SOCK_NONBLOCK) }
    let client = FileDescriptor(owning: raw)
    let first = received(client)
    #expect(first == "<29>\(stamp) portsentry[\(getpid())]: one\0")
  }

  @Test func `A path that is too long for a socket is only a loss`() {
    remove()
    var log = Syslog(path: String(repeating: "x", count: 200))
    let sent = log.send("x", .notice, at: time)
    #expect(!sent)
  }
}

@Suite struct LineOutputTests {
  /// The end to read and the end to write, owned by the caller.
  private func pipes() throws -> [Int32] {
    var ends: [Int32] = [0, 0]
    try check("pipe") { unsafe pipe(&ends) }
    return ends
  }

  @Test func `A pipe that nobody reads never blocks, and the loss is told`() throws {
    let ends = try pipes()
    let reader = FileDescriptor(owning: ends[0])
    let writer = FileDescriptor(owning: ends[1])
    try reader.setNonBlocking()
    var output = LineOutput(fd: writer.raw, capacity: 1000)
    let line = String(repeating: "x", count: 99)
    for _ in 0..<2000 { output.write(line) }
    let lost = output.lost
    #expect(lost > 1000)
    var all: [UInt8] = []
    while output.isWaiting {
      while let more = try? reader.read(upTo: 65_536) { all += more }
      output.flush()
    }
    while let more = try? reader.read(upTo: 65_536) { all += more }
    let lines = String(decoding: all, as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 2000 - lost + 1)
    #expect(lines.dropLast().allSatisfy { $0 == line })
    #expect(lines.last == "\(lost) lines before this one were lost: they were not read in time")
  }

  @Test func `A reader that is gone costs nothing but the lines`() throws {
    CLinux_ignore_signal(SIGPIPE)
    let ends = try pipes()
    close(ends[0])
    let writer = FileDescriptor(owning: ends[1])
    var output = LineOutput(fd: writer.raw)
    for _ in 0..<3 { output.write("x") }
    output.flush()
    let (lost, isWaiting) = (output.lost, output.isWaiting)
    #expect(lost == 3)
    #expect(!isWaiting)
  }
}
