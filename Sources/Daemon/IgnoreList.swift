import Configuration
import EventLog
import Platform
import Report
import Response
import Wire

/// Whom nothing is done to: who is named by the ignore file, and who was allowed on the command line.
struct IgnoreList {
  /// What the ignore file says.
  var file: IPNetworkSet
  var allowed = Allowances()
  var stamp: Files.Stamp?
  var nextLook: Int64 = 0

  init(_ plan: Plan) {
    file = plan.ignored
    stamp = plan.configuration.ignoreFile.flatMap(Files.stamp)
  }

  /// Both together.
  var all: IPNetworkSet {
    allowed.entries.isEmpty ? file : IPNetworkSet(file.sorted + allowed.networks)
  }

  /// Why nothing is done to an address; nil where neither names it.
  func reason(for address: IPAddress) -> String? {
    if allowed.networks.contains(where: { $0.contains(address) }) { return "it was allowed (`portsentry allow`)" }
    return file.contains(address) ? "the ignore file names it" : nil
  }

  var json: JSON {
    .array(
      allowed.entries.map {
        .object([
          "network": .string("\($0.network)"), "since": JSON($0.since.seconds),
          "until": $0.until.map { JSON($0.seconds) } ?? .null,
        ])
      })
  }
}

extension Sentry {
  /// nil where anybody else can write to STATE_DIR: a planted file would allow a scanner.
  private var allowedPath: String? { plan.keptDirectory.map { "\($0)/allowed" } }

  /// Brings back what was allowed before a restart: before the blocks, since nobody allowed is blocked again.
  func restoreAllowed() {
    guard let path = allowedPath else { return }
    do throws(Errno) {
      ignoring.allowed = Allowances(parsing: try Files.read(path, limit: 1 << 20), now: Clock.now)
    } catch {
      if !error.isMissing { say("\(error): `portsentry allow` has no effect any more", isError: true) }
      return
    }
    guard !ignoring.allowed.entries.isEmpty else { return }
    say("\(Units.plural(ignoring.allowed.entries.count, "allowed network")) of before")
    adoptIgnored()
  }

  /// `portsentry allow`.
  func allow(_ target: String, _ seconds: Int64?) -> ControlReply {
    guard let network = IPNetwork(target) else {
      return .usage(AddressText.fault(target, shown: SafeText.line(target)))
    }
    guard network.length > 0 else {
      return ControlReply(exitCode: 1, "\(network) is every address; set BLOCK_TCP=\"0\" to block nobody\n")
    }
    let now = Clock.now
    let entry = Allowances.Entry(network: network, since: now, until: seconds.map { now + .seconds($0) })
    guard ignoring.allowed.add(entry) else {
      return ControlReply(
        exitCode: 1, "\(Allowances.most) networks are allowed already: put \(network) into the ignore file\n")
    }
    let lifted = decisions.table.all.filter { $0.network.overlaps(network) }.map { "\($0.network)" }
    let saved = saveAllowed()
    adoptIgnored()
    decide(.allowed(network))
    let length = seconds.map { "for \(Term.text(.seconds($0)))" } ?? "until `portsentry allow --end \(network)`"
    say("\(network) is allowed \(length), by operator")
    var text = "\(network) is allowed \(length)"
    if !lifted.isEmpty { text += "; no longer blocked: \(lifted.prefix(10).joined(separator: ", "))" }
    if lifted.count > 10 { text += " and \(lifted.count - 10) more" }
    return ControlReply(text + "\n" + (saved.map { "This would not survive a restart: \($0)\n" } ?? ""))
  }

  /// `portsentry allow --end`.
  func endAllowance(_ target: String) -> ControlReply {
    guard let network = IPNetwork(target) else {
      return .usage(AddressText.fault(target, shown: SafeText.line(target)))
    }
    guard ignoring.allowed.remove(network) != nil else {
      let part = ignoring.allowed.networks.first { $0.overlaps(network) }
      return .notFound(
        "\(network) is not allowed" + (part.map { " by itself, but \($0) is: end that" } ?? "")
          + (ignoring.file.network(overlapping: network) == nil ? "" : "; the ignore file names it"))
    }
    let failure = saveAllowed()
    adoptIgnored()
    say("\(network) is no longer allowed, by operator")
    return ControlReply(
      "\(network) is no longer allowed\n" + (failure.map { "It would be again after a restart: \($0)\n" } ?? ""))
  }

  /// Ends what was allowed for a time.
  func expireAllowed() {
    let over = ignoring.allowed.removeExpired(at: Clock.now)
    guard !over.isEmpty else { return }
    for entry in over { say("\(entry.network) is no longer allowed: its time is over") }
    if let failure = saveAllowed() { say(failure, isError: true) }
    adoptIgnored()
  }

  /// Writes what is allowed; says what stands in the way.
  private func saveAllowed() -> String? {
    guard let path = allowedPath else { return plan.foreign.state.map { "\($0)" } }
    do throws(Errno) {
      try Files.replace(path, with: Array(ignoring.allowed.text.utf8))
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// Rows for `status`.
  var allowedRows: [(String, String)] {
    let entries = ignoring.allowed.entries
    var rows = entries.prefix(10).enumerated().map { index, entry in
      (
        index == 0 ? "allowed" : "",
        "\(entry.network) (\(entry.until.map { "for \(Term.text($0 - Clock.now)) more" } ?? "until `portsentry allow --end`"))"
      )
    }
    if entries.count > 10 { rows.append(("", "and \(entries.count - 10) more, see --json")) }
    return rows
  }
}
