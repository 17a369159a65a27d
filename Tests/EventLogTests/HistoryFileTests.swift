import Detection
import EventLog
import Foundation
import Platform
import Testing
import Wire

@Suite struct HistoryFileTests {
  let folder = NSTemporaryDirectory() + "history-\(UUID().uuidString)"
  var path: String { folder + "/deep/portsentry.history" }

  static let entry = BlockedFile.Entry(
    IPAddress(v4: 0x0a4d_0001), time: Timestamp(seconds: 1_795_335_671), port: 11, transport: .tcp)

  private func remove() { try? FileManager.default.removeItem(atPath: folder) }

  private func text() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

  private var line: String { BlockedFile.line(Self.entry) }

  @Test func `Each form has its own lines, and both are both`() throws {
    let stamp = LocalTime(Timestamp(seconds: 1_795_335_671)).iso8601
    for form in HistoryFile.Form.allCases {
      defer { remove() }
      var file = HistoryFile(path: path, form: form)
      file.append(probe(.syn).event, at: Timestamp(seconds: 1_795_335_671))
      file.append(blocked: Self.entry)
      let change = file.flush()
      #expect(change == nil)
      let modern =
        stamp + " Scan from: [10.77.0.1] (10.77.0.1) protocol: [TCP] port: [11] type: [TCP SYN/Normal scan]"
        + " IP opts: [not set] ignored: [false] triggered: [true] noblock: [unset] blocked: [unset]\n"
      #expect(try text() == (form == .classic ? "" : modern) + (form == .modern ? "" : line))
    }
  }

  @Test func `It only grows, over restarts too, and a half line gets its end`() throws {
    defer { remove() }
    try FileManager.default.createDirectory(atPath: folder + "/deep", withIntermediateDirectories: true)
    try "somebody's half li".write(toFile: path, atomically: false, encoding: .utf8)
    for _ in 0..<2 {
      var file = HistoryFile(path: path, form: .classic)
      file.append(blocked: Self.entry)
      let change = file.flush()
      #expect(change == nil)
    }
    #expect(try text() == "somebody's half li\n" + line + line)
  }

  @Test func `A moved or deleted file is begun anew`() throws {
    defer { remove() }
    var file = HistoryFile(path: path, form: .classic)
    file.append(blocked: Self.entry)
    _ = file.flush()
    try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
    file.append(blocked: Self.entry)
    _ = file.flush()
    #expect(try text() == line)
    #expect(try String(contentsOfFile: path + ".1", encoding: .utf8) == line)
    try FileManager.default.removeItem(atPath: path)
    file.append(blocked: Self.entry)
    _ = file.flush()
    #expect(try text() == line)
  }

  @Test func `A full file is put aside with the last lines kept, and what went is counted`() throws {
    defer { remove() }
    let size = 10 * line.utf8.count
    var file = HistoryFile(path: path, form: .classic, limits: FileLimits(size: size))
    var (lost, putAside) = (0, 0)
    for _ in 0..<35 {
      file.append(blocked: Self.entry)
      switch file.flush() {
      case nil: break
      case .putAside(let lines): (lost, putAside) = (lost + lines, putAside + 1)
      case let other: Issue.record("\(String(describing: other))")
      }
      #expect(try text().utf8.count <= size)
    }
    #expect(putAside == 3 && lost == 20)
    #expect(try text() == String(repeating: line, count: 5))
    #expect(try String(contentsOfFile: path + ".old", encoding: .utf8) == String(repeating: line, count: 10))
    // Of a link, what it leads to.
    try FileManager.default.moveItem(atPath: path, toPath: folder + "/elsewhere")
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: folder + "/elsewhere")
    for _ in 0..<6 {
      file.append(blocked: Self.entry)
      _ = file.flush()
    }
    let elsewhere = try String(contentsOfFile: folder + "/elsewhere.old", encoding: .utf8)
    #expect(elsewhere == String(repeating: line, count: 10))
    #expect(try text() == line)
  }

  @Test func `A minute has its bytes, a quarter of them for whoever was blocked, and the rest is counted`() throws {
    defer { remove() }
    let length = line.utf8.count
    var file = LineFile(path: path, limits: FileLimits(perMinute: 100 * length))
    func append(_ count: Int, isImportant: Bool = false) {
      for _ in 0..<count { file.append(isImportant: isImportant) { $0 += Array(line.utf8) } }
    }
    func flush(_ second: Int64) -> LineFile.Change? { file.flush(now: second * 1_000_000_000) }
    var change = flush(0)
    #expect(change == nil)
    append(1000)
    append(20, isImportant: true)
    append(10)
    change = flush(1)
    #expect(change == nil)
    #expect(file.lostLines == 935)
    #expect(try text().utf8.count == 95 * length)
    change = flush(59)
    #expect(change == nil)
    change = flush(60)
    #expect(change == .limited(lost: 935) && change?.lost == 935)
    #expect(file.lostLines == 0)
    append(75)
    change = flush(61)
    #expect(change == nil && file.lostLines == 0)
    #expect(try text().utf8.count == 170 * length)
    change = flush(1000)
    #expect(change == nil, "nothing was left out")
  }

  @Test func `A path that cannot be written is said once, and what fits is kept until it can be`() throws {
    defer { remove() }
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try "in the way".write(toFile: folder + "/deep", atomically: false, encoding: .utf8)
    var file = HistoryFile(path: path, form: .classic, capacity: 3 * line.utf8.count)
    for _ in 0..<5 { file.append(blocked: Self.entry) }
    let (first, second) = (file.flush(), file.flush())
    #expect(first == .failed(Errno(ENOTDIR, "open", path)))
    #expect(second == nil)
    #expect(file.lostLines == 2)
    try FileManager.default.removeItem(atPath: folder + "/deep")
    let (third, fourth) = (file.flush(), file.flush())
    #expect(third == .recovered(lost: 2))
    #expect(fourth == nil)
    #expect(try text() == line + line + line)
  }

  @Test func `More lines than fit between two flushes are counted`() throws {
    defer { remove() }
    var file = HistoryFile(path: path, form: .classic, capacity: 2 * line.utf8.count)
    for _ in 0..<5 { file.append(blocked: Self.entry) }
    let (first, second) = (file.flush(), file.flush())
    #expect(first == .overflowed(lost: 3))
    #expect(second == nil)
    #expect(try text() == line + line)
  }

  @Test func `A disk that fills up in the middle of a line leaves no mangled line`() throws {
    defer { remove() }
    // A file system of its own, of one page for each of its two files.
    try FileManager.default.createDirectory(atPath: folder + "/deep", withIntermediateDirectories: true)
    guard getuid() == 0, unsafe mount("none", folder + "/deep", "tmpfs", 0, "size=8k") == 0 else {
      print("skipped: no right to mount a small disk")
      return
    }
    defer { _ = unsafe umount2(folder + "/deep", Int32(MNT_DETACH)) }
    try Data(repeating: 0x78, count: 4096).write(to: URL(fileURLWithPath: folder + "/deep/ballast"))
    var file = HistoryFile(path: path, form: .classic)
    let count = 6000 / line.utf8.count
    for _ in 0..<count { file.append(blocked: Self.entry) }
    let full = file.flush()
    #expect(full == .failed(Errno(ENOSPC, "write", path)))
    #expect(try text().utf8.count == 4096)
    #expect(try !text().hasSuffix("\n"))
    try FileManager.default.removeItem(atPath: folder + "/deep/ballast")
    let better = file.flush()
    #expect(better == .recovered(lost: 0))
    #expect(try text() == String(repeating: line, count: count))
  }

  @Test func `A new file is for root and the readers of logs only`() throws {
    defer { remove() }
    var file = HistoryFile(path: path, form: .classic)
    file.append(blocked: Self.entry)
    _ = file.flush()
    let mode = try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    #expect([0o600, 0o640].contains(mode))
  }
}

/// A probe of the laboratory: 10.77.0.1 to TCP port 11.
func probe(
  _ technique: Technique, _ mode: Mode = .stealth, _ transport: TransportProtocol = .tcp, from: String = "10.77.0.1",
  flags: TCPFlags = [], options: Bool = false, triggered: Bool = true, ignored: Bool = false
) -> Probe {
  Probe(
    time: Timestamp(seconds: 1_795_335_671), source: IPAddress(from)!, sourcePort: 40_000,
    target: IPAddress(v4: 0x0a4d_0002), targetPort: 11, transport: transport, mode: mode, technique: technique,
    flags: flags, hasIPOptions: options, isTriggered: triggered, isIgnored: ignored)
}

extension Probe {
  var event: ScanEvent { ScanEvent(self) }
}
