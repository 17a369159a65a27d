import CLinux
import Configuration
import Confinement
import CrowdSec
import Platform
import Response
import Wire

/// What the enforcer reads by itself: the limits of the configuration, whom the ignore file names, and what must stay reachable. Nobody
/// who orders tells it any of this.
package struct EnforcerSettings: Equatable, Sendable {
  /// The configuration file; nil for built-in settings.
  package var path: String?
  /// As it is read by the sentry.
  package var dialect: Dialect?
  package var preferred: Dialect?

  package init(path: String?, dialect: Dialect? = nil, preferred: Dialect? = nil) {
    self.path = path
    self.dialect = dialect
    self.preferred = preferred
  }

  // MARK: As arguments

  package var words: [String] { [path ?? "", dialect?.rawValue ?? "", preferred?.rawValue ?? ""] }

  package init?(words: [String]) {
    guard words.count == 3 else { return nil }
    path = words[0].isEmpty ? nil : words[0]
    dialect = Dialect(rawValue: words[1])
    preferred = Dialect(rawValue: words[2])
  }

  // MARK: Files

  /// Places where the files lie that say what must stay reachable. They are replaced by renaming, so whole folders are named.
  private static let places = [
    "/etc", "/run/systemd", "/run/chrony-dhcp", "/var/lib/NetworkManager", "/var/lib/dhcp", "/var/lib/dhclient",
    "/var/lib/dhcpcd", "/var/lib/dhcpcd5", "/proc",
  ]

  /// What has to be read.
  package func files(_ configuration: Configuration) -> Landlock {
    let own = [path, configuration.ignoreFile].compactMap(\.self).map(Landlock.place(of:))
    return Landlock(read: Self.places + own)
  }

  /// The configuration as it is now; nil where it cannot be read.
  package func configuration() -> Configuration? {
    guard let path else { return .embedded }
    guard let bytes = try? Files.read(path, limit: 4 << 20) else { return nil }
    return Configuration.parse(bytes, path: path, dialect: dialect, preferring: preferred).0
  }

  /// CrowdSec's bans come in the fleet's name: others have seen what they rest on.
  package static func limits(_ configuration: Configuration) -> Permit.Limits {
    let fleet = configuration.fleet.file.map { configuration.fleet.isNamed || Files.stamp($0) != nil } ?? false
    let crowdSec = configuration.crowdSec.isOn && configuration.crowdSec.use == .ban
    return Permit.Limits(configuration.response, isOfFleet: fleet || crowdSec)
  }
}

/// What must stay reachable, and whom the ignore file names: looked up anew as it changes, by the enforcer alone.
package struct Wardens {
  private let ignoreFile: String?
  private var stamp: Files.Stamp?
  private var nextLook: Int64 = 0
  private var nextDiscovery: Int64 = 0
  private var soonest: Int64 = 0
  private let monitor = Owned(try? NetworkMonitor())

  package init(ignoreFile: String?) { self.ignoreFile = ignoreFile }

  /// To be polled.
  package var descriptor: Int32? { monitor.value?.descriptor }
  /// When the list is due, whatever the descriptor says. Monotonic.
  package var due: Int64 { nextDiscovery }

  /// Addresses or routes may have changed.
  package mutating func hear(at now: Int64) {
    if monitor.value?.drain() == true { nextDiscovery = min(nextDiscovery, max(soonest, now)) }
  }

  /// Gateways, addresses and resolvers, where it is time; every half minute in any case. What was known before stays where they cannot be
  /// found out. Servers that files name by a name are not looked up: an enforcer asks nobody.
  package mutating func refreshSafe(_ permit: inout Permit, at now: Int64) {
    guard now >= nextDiscovery else { return }
    let begin = Clock.monotonic
    let named = SafeNetworks.servers().compactMap { entry in
      entry.server.address.map { (network: IPNetwork($0), reason: "\(entry.server.role) in \(entry.file)") }
    }
    if let safe = try? SafeNetworks.discover(also: named) { permit.safe = safe }
    let end = Clock.monotonic
    // As the sentry: at most a tenth of the time goes into it, at most twice a second.
    soonest = end + max(500_000_000, 10 * (end - begin))
    nextDiscovery = end + 30_000_000_000
  }

  /// The ignore file counts from the moment it is changed: looked at before each block, at most every 20 ms.
  package mutating func refreshIgnored(_ permit: inout Permit, at now: Int64) {
    guard let ignoreFile, now >= nextLook else { return }
    nextLook = now + 20_000_000
    let found = Files.stamp(ignoreFile)
    guard found != stamp else { return }
    stamp = found
    do throws(Errno) {
      permit.ignored = IgnoreFile.parse(try Files.read(ignoreFile, limit: 16 << 20), path: ignoreFile).0
    } catch {
      // As for the sentry: one that is gone ignores nobody.
      if error.isMissing { permit.ignored = IPNetworkSet() }
    }
  }
}
