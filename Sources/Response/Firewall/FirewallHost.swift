import CLinux
import Platform
import Wire

/// The host whose firewalls are looked at and changed: its programs, files and chains. Values of functions, so that a test is a host
/// too.
package struct FirewallHost {
  /// Runs a program; nil where it is not installed.
  package var run: (_ words: [String]) -> (status: Int32, output: String)?
  package var read: (_ path: String) -> [UInt8]?
  package var write: (_ path: String, _ bytes: [UInt8]) throws(Errno) -> Void
  /// The chains at the input hook, but for those of our own table.
  package var chains: () throws(ResponderError) -> [InputChain]

  package init(
    run: @escaping (_ words: [String]) -> (status: Int32, output: String)?,
    read: @escaping (_ path: String) -> [UInt8]?,
    write: @escaping (_ path: String, _ bytes: [UInt8]) throws(Errno) -> Void,
    chains: @escaping () throws(ResponderError) -> [InputChain]
  ) {
    self.run = run
    self.read = read
    self.write = write
    self.chains = chains
  }

  private static let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"]
  /// No firewall's own command takes longer; ufw reads all its rules again.
  private static let patience: Int64 = 60_000_000_000

  /// The one we run on.
  package static var this: FirewallHost {
    FirewallHost(
      run: Self.execute, read: { try? Files.read($0, limit: 1 << 20) },
      write: { (path, bytes) throws(Errno) in
        var info = stat()
        try check("stat", path) { unsafe stat(path, &info) }
        try Files.replace(path, with: bytes, mode: info.st_mode & 0o777)
      },
      chains: { () throws(ResponderError) in
        var tables = try NFTables()
        return try tables.firewallChains()
      })
  }

  private static func execute(_ words: [String]) -> (status: Int32, output: String)? {
    let places: [String] = folders.map { "\($0)/\(words[0])" }
    guard let path = places.first(where: { (place: String) in unsafe access(place, X_OK) == 0 }) else { return nil }
    do throws(Errno) {
      let child = try ChildProcess(path, words)
      switch child.wait(until: Clock.monotonic + patience) {
      case .exited(let status): return (status, child.outputText)
      case .signalled: return (-1, child.outputText)
      case nil:
        child.kill()
        return (-1, "\(words[0]) did not end within a minute")
      }
    } catch {
      return (-1, "\(error)")
    }
  }
}

/// What stands between strangers and decoys, and whether it lets them through.
package struct FirewallSurvey {
  package struct Finding: Equatable, Sendable {
    package let firewall: Firewall
    /// Whether the rule is there.
    package let isOpen: Bool
    /// The handles of our rules, where the firewall has such.
    let handles: [UInt64]
  }

  private let host: FirewallHost

  package init(_ host: FirewallHost = .this) { self.host = host }

  /// Looks for every firewall that can drop packets before they reach a socket of this host.
  ///
  /// - Throws: `.notPermitted` for whoever is not root.
  package func find() throws(ResponderError) -> [Finding] {
    var chains = try host.chains()
    var result: [Finding] = []
    var hasUFW = false
    for (family, program, names) in [
      ("ip", "iptables", "/proc/net/ip_tables_names"), ("ip6", "ip6tables", "/proc/net/ip6_tables_names"),
    ] {
      // A look by the command would make legacy tables where there are none.
      let isLegacy =
        host.read(names).map { String(decoding: $0, as: UTF8.self).byteLines.contains { $0.isSameBytes(as: "filter") } }
      let isTranslated = chains.contains { $0.words == [family, "filter", "INPUT"] }
      for (isUsed, variant) in [(isTranslated, "\(program)-nft"), (isLegacy ?? false, "\(program)-legacy")] where isUsed
      {
        let name = host.run([variant, "-V"]) == nil ? program : variant
        // A table of this name that `nft` made is not shown.
        guard let shown = host.run([name, "-w", "-S", "INPUT"]), shown.status == 0 else { continue }
        chains.removeAll { isTranslated && variant.endsWithBytes("-nft") && $0.words == [family, "filter", "INPUT"] }
        if host.run([name, "-w", "-S", family == "ip" ? "ufw-before-input" : "ufw6-before-input"])?.status == 0 {
          hasUFW = true
          continue
        }
        let lines = shown.output.byteLines.filter { !$0.isEmpty }
        if lines == ["-P INPUT ACCEPT"] { continue }
        let firewall = Firewall.iptables(program: name)
        let isOpen = firewall.question.flatMap(host.run)?.status == 0
        // Nothing but our rule: there is nothing to open any more, but something to take back.
        result.append(Finding(firewall: firewall, isOpen: isOpen, handles: []))
      }
    }
    if hasUFW { result.append(Finding(firewall: .ufw, isOpen: isUFWOpen, handles: [])) }
    for chain in chains where chain.isNameable && (chain.canDrop || !chain.ours.isEmpty) {
      let firewall = chain.table.isSameBytes(as: "firewalld") ? Firewall.firewalld(chain) : .nftables(chain)
      result.append(Finding(firewall: firewall, isOpen: !chain.ours.isEmpty, handles: chain.ours))
    }
    return result
  }

  private var isUFWOpen: Bool {
    let files = UFWRules.paths.compactMap(host.read)
    return !files.isEmpty && files.allSatisfy(UFWRules.contain)
  }

  /// Inserts the rule where it is missing.
  ///
  /// - Returns: what went wrong, in one sentence; nil when it is done.
  package func open(_ finding: Finding) -> String? {
    if finding.isOpen { return nil }
    if finding.firewall == .ufw {
      for path in UFWRules.paths {
        guard let bytes = host.read(path), !UFWRules.contain(bytes) else { continue }
        guard let changed = UFWRules.adding(to: bytes) else {
          return "\(path) has no line \"\(UFWRules.anchor)\": add the rule by hand"
        }
        if let fault = replace(path, with: changed) { return fault }
      }
    }
    return perform(finding.firewall.insertion)
  }

  /// Takes back what `open` has done.
  ///
  /// - Returns: what went wrong, in one sentence; nil when it is done.
  package func close(_ finding: Finding) -> String? {
    if finding.firewall == .ufw {
      for path in UFWRules.paths {
        guard let bytes = host.read(path) else { continue }
        let changed = UFWRules.removing(from: bytes)
        if changed != bytes, let fault = replace(path, with: changed) { return fault }
      }
    }
    return perform(finding.firewall.removal(handles: finding.handles))
  }

  private func replace(_ path: String, with bytes: [UInt8]) -> String? {
    do throws(Errno) {
      try host.write(path, bytes)
      return nil
    } catch {
      return "\(path) cannot be written: \(error.reason)"
    }
  }

  private func perform(_ commands: [[String]]) -> String? {
    for words in commands {
      guard let (status, output) = host.run(words) else { return "\(words[0]) is not installed" }
      if status != 0 {
        let said = output.byteLines.filter { !$0.isEmpty }.joined(separator: " ")
        return "`\(SafeText.line(Firewall.shown(words)))` failed"
          + (said.isEmpty ? "" : ": \(SafeText.line(said, limit: 300))")
      }
    }
    return nil
  }
}
