import CLinux
import Platform
import Wire

/// What a process may do, as the kernel tells it (`/proc/PID/status`).
package struct ProcessState: Equatable, Sendable {
  package var pid: Int32
  package var parent: Int32
  package var name: String
  /// The real user, and the one that counts.
  package var user: uid_t
  package var effectiveUser: uid_t
  package var capabilities: Capabilities
  package var noNewPrivileges: Bool
  /// 0 none, 1 strict, 2 a filter.
  package var systemCallFilter: Int

  package init(
    pid: Int32, parent: Int32, name: String, user: uid_t, effectiveUser: uid_t, capabilities: Capabilities,
    noNewPrivileges: Bool, systemCallFilter: Int
  ) {
    self.pid = pid
    self.parent = parent
    self.name = name
    self.user = user
    self.effectiveUser = effectiveUser
    self.capabilities = capabilities
    self.noNewPrivileges = noNewPrivileges
    self.systemCallFilter = systemCallFilter
  }

  /// - Throws: `ENOENT` where there is no such process.
  package static func read(_ pid: Int32) throws(Errno) -> ProcessState {
    let path = "/proc/\(pid)/status"
    guard let state = ProcessState(pid, String(decoding: try Files.read(path, limit: 1 << 16), as: UTF8.self)) else {
      throw Errno(EPROTO, "read", path)
    }
    return state
  }

  init?(_ pid: Int32, _ text: String) {
    var fields: [Substring: [Substring]] = [:]
    for line in text.byteLines {
      let parts = line.splitBytes(":", maxSplits: 1)
      if parts.count == 2 { fields[parts[0]] = parts[1].splitBytes("\t ") }
    }
    guard let users = fields["Uid"], users.count == 4, let user = uid_t(users[0]), let effective = uid_t(users[1]),
      let capabilities = fields["CapEff"]?.first.flatMap({ UInt64($0, radix: 16) }),
      let parent = fields["PPid"]?.first.flatMap({ Int32($0) })
    else { return nil }
    self.pid = pid
    self.parent = parent
    name = fields["Name"]?.first.map(String.init) ?? ""
    self.user = user
    effectiveUser = effective
    self.capabilities = Capabilities(rawValue: capabilities)
    noNewPrivileges = fields["NoNewPrivs"]?.first.map { Int($0) } == 1
    systemCallFilter = fields["Seccomp"]?.first.flatMap { Int($0) } ?? 0
  }

  /// A process and its children, and theirs. At most 64; a sentry has two or three, and commands that run.
  package static func family(of pid: Int32) throws(Errno) -> [ProcessState] {
    var result = [try read(pid)]
    let all = (Files.names(in: "/proc", limit: 65_536)).compactMap { Int32($0) }.compactMap { try? read($0) }
    var next = 0
    while next < result.count, result.count < 64 {
      result += all.filter { $0.parent == result[next].pid }
      next += 1
    }
    return Array(result.prefix(64))
  }
}
