import CLinux
import Confinement
import Platform
import Report
import Wire

/// Each of our processes and what it may do, as the kernel tells it: `portsentry status --health`.
struct Health {
  /// One process. Whether it has Landlock the kernel does not tell, so it is what the process itself did: who could not, ended.
  struct Line: Equatable {
    var role: String
    var state: ProcessState
    var landlock: Bool
    /// What it was not given, and why.
    var remarks: [String] = []
  }

  var lines: [Line] = []
  /// What this kernel lacks.
  var missing = Confinement.missing

  /// Users have names here, where the host knows them.
  private static func user(_ line: Line) -> String {
    Account.numbered(line.state.effectiveUser)?.name ?? String(line.state.effectiveUser)
  }

  private static func filter(_ line: Line) -> String {
    switch line.state.systemCallFilter {
    case 0: "all"
    case 1: "strict"
    default: "filtered"
    }
  }

  var text: String {
    let head = ["PROCESS", "PID", "USER", "CALLS", "FILES", "PRIVILEGES", "CAPABILITIES"]
    let rows =
      [head]
      + lines.map { line in
        [
          line.role, String(line.state.pid), Self.user(line), Self.filter(line), line.landlock ? "Landlock" : "all",
          line.state.noNewPrivileges ? "none new" : "any", line.state.capabilities.description,
        ]
      }
    let widths = head.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for row in rows {
      let cells = row.indices.map { column in
        column == row.count - 1 ? row[column] : row[column].padded(to: widths[column])
      }
      text += cells.joined(separator: "  ") + "\n"
    }
    for line in lines { for remark in line.remarks { text += "\(line.role): \(remark)\n" } }
    for what in missing { text += "This kernel does not offer \(what).\n" }
    return text
  }

  var json: JSON {
    .object([
      "shape": 1,
      "processes": .array(
        lines.map { line in
          .object([
            "role": .string(line.role), "pid": JSON(Int(line.state.pid)), "user": .string(Self.user(line)),
            "uid": JSON(Int(line.state.effectiveUser)),
            "capabilities": .array(line.state.capabilities.names.map(JSON.string)),
            "no_new_privileges": .bool(line.state.noNewPrivileges), "system_calls": .string(Self.filter(line)),
            "landlock": .bool(line.landlock), "remarks": .array(line.remarks.map(JSON.string)),
          ])
        }),
      "missing": .array(missing.map(JSON.string)),
    ])
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

extension Sentry {
  /// Why the processes have rights that they could do without: what the kernel lacks, and what went wrong.
  var unconfined: [String] { Confinement.missing.map { "this kernel does not offer \($0)" } + rights.faults }

  /// What each of our processes may do now.
  var health: Health {
    var health = Health()
    func add(_ role: String, _ pid: pid_t, landlock: Bool, _ remarks: [String]) {
      // One that has ended this moment is left out.
      guard let state = try? ProcessState.read(pid) else { return }
      health.lines.append(Health.Line(role: role, state: state, landlock: landlock, remarks: remarks))
    }
    add("sentry", getpid(), landlock: rights.hasLandlock, rights.rights.reasons + rights.faults)
    // They say it themselves: where /proc hides the processes of others, they are hidden.
    let enforcer = blocker.enforcer.health()
    for (role, state) in zip(["enforcer", "keeper"], enforcer.states) {
      health.lines.append(Health.Line(role: role, state: state, landlock: enforcer.landlock))
    }
    if let page = companions.console?.pid {
      var remarks: [String] = []
      if case .same(let why) = PageUser.current { remarks.append("has no user of its own: \(why)") }
      add("page", page, landlock: Landlock.version != nil, remarks)
    }
    return health
  }
}
