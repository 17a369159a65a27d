import Configuration
import Detection
import EventLog
import Platform
import Response
import Wire

/// The predecessors' blocked files: when they are written, and what somebody else has done to them. People and scripts read them, nothing
/// that counts milliseconds. Times are monotonic nanoseconds.
struct BlockedFiles {
  /// Where they are, and in whose form.
  struct Layout: Equatable {
    let dialect: Dialect
    /// nil where none is kept.
    let path: String?
    /// Each by its protocol, where that is watched.
    let paths: [TransportProtocol: String]

    init(_ plan: Plan) {
      dialect = plan.configuration.dialect
      path = plan.configuration.blockedFile
      var paths: [TransportProtocol: String] = [:]
      for transport in TransportProtocol.allCases {
        guard let path, let mode = transport == .tcp ? plan.tcpMode : plan.udpMode else { continue }
        paths[transport] = dialect == .classic ? BlockedFile.classicPath(path, mode, transport) : path
      }
      self.paths = paths
    }
  }

  /// What is to be done now.
  enum Due: Equatable {
    case nothing
    case later(Int64)
    /// All of them, as a whole.
    case whole
    /// New hosts at their ends.
    case hosts
  }

  /// They must be written as a whole, or only have these hosts added.
  private var isDirty = false
  private var added: [Responded.Entry] = []
  private var next: Int64 = 0
  /// What we last saw of each.
  private var stamps: [String: Files.Stamp] = [:]
  private var mutedUntil: Int64 = 0

  mutating func change() { isDirty = true }
  mutating func add(_ entry: Responded.Entry) { added.append(entry) }
  /// The sentry ends: what is due is due at once.
  mutating func hurry() { next = 0 }

  func due(at now: Int64) -> Due {
    guard isDirty || !added.isEmpty else { return .nothing }
    return now < next ? .later(next) : isDirty ? .whole : .hosts
  }

  // MARK: Writing

  /// Writes them as a whole.
  ///
  /// - Parameters:
  ///   - hosts: blocked addresses, for 2.x's form.
  ///   - responded: sources responded to; in 2.x's form without those.
  /// - Returns: what stood in the way and is to be said: once a minute.
  mutating func write(
    _ layout: Layout, hosts: [IPAddress], responded: [Responded.Entry], at now: Int64
  ) -> [String] {
    (isDirty, added) = (false, [])
    // Many releases in a row are written together.
    defer { next = Clock.monotonic + (hosts.count + responded.count > 1000 ? 1_000_000_000 : 20_000_000) }
    guard let path = layout.path else { return [] }
    if layout.dialect == .modern {
      let entries = hosts.map { BlockedFile.Entry($0) } + responded.map(BlockedFile.Entry.init)
      return [write(path, entries, layout.dialect, now)].compactMap(\.self)
    }
    return TransportProtocol.allCases.compactMap { transport in
      guard let path = layout.paths[transport] else { return nil }
      let entries = responded.filter { $0.transport == transport }.sorted { $0.time < $1.time }
      return write(path, entries.map(BlockedFile.Entry.init), layout.dialect, now)
    }
  }

  /// New hosts for the ends of the files: a file is written anew only when one is taken out.
  mutating func takeAdded(_ layout: Layout, at now: Int64) -> [(path: String, entries: [BlockedFile.Entry])] {
    defer { (added, next) = ([], now + 100_000_000) }
    var byPath: [String: [BlockedFile.Entry]] = [:]
    for entry in added {
      if let path = layout.paths[entry.transport] { byPath[path, default: []].append(BlockedFile.Entry(entry)) }
    }
    return byPath.map { ($0.key, $0.value) }
  }

  /// Whether hosts can be added to a file: it is there, and we have written it. Where not, it is to be written as a whole.
  mutating func canAppend(to path: String) -> Bool {
    if stamps[path] != nil, Files.stamp(path) != nil { return true }
    isDirty = true
    return false
  }

  /// Adds hosts to the end of a file.
  mutating func append(
    _ entries: [BlockedFile.Entry], to path: String, _ dialect: Dialect, at now: Int64
  ) -> String? {
    writing(path, now) { () throws(Errno) in
      let file = try FileDescriptor.open(path, Files.appending)
      try file.writeAll(BlockedFile.encode(entries, dialect))
    }
  }

  private mutating func write(
    _ path: String, _ entries: [BlockedFile.Entry], _ dialect: Dialect, _ now: Int64
  ) -> String? {
    writing(path, now) { () throws(Errno) in
      if let slash = path.lastByte("/") { try Files.createFolder(String(path[..<slash])) }
      try Files.replace(path, with: BlockedFile.encode(entries, dialect), mode: 0o644)
    }
  }

  private mutating func writing(_ path: String, _ now: Int64, _ write: () throws(Errno) -> Void) -> String? {
    do throws(Errno) {
      try write()
      stamps[path] = Files.stamp(path)
      return nil
    } catch {
      stamps[path] = nil
      defer { mutedUntil = now + 60_000_000_000 }
      return mutedUntil <= now ? "cannot write \(path): \(error.reason)" : nil
    }
  }

  // MARK: Reading

  /// What somebody has left in 1.2's files that were edited since we wrote them: a line deleted by hand releases its host.
  mutating func edited(_ layout: Layout) -> [(present: Set<IPAddress>, transport: TransportProtocol)] {
    guard layout.dialect == .classic else { return [] }
    return TransportProtocol.allCases.compactMap { transport in
      guard let path = layout.paths[transport], let known = stamps[path], let stamp = Files.stamp(path),
        stamp != known, let bytes = try? Files.read(path, limit: 256 << 20)
      else { return nil }
      stamps[path] = stamp
      return (Set(BlockedFile.decode(bytes).entries.map(\.address)), transport)
    }
  }
}

extension BlockedFile.Entry {
  init(_ entry: Responded.Entry) {
    self.init(entry.address, time: entry.time, port: entry.port, transport: entry.transport, name: nil)
  }
}
