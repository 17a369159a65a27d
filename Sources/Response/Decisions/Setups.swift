import Detection
import Wire

/// Requests as a program makes them that sets up an account of mail, or looks for a printer: for a port beside a service of this
/// host. Under the classic rule each would be a scan by itself; with `PROOF="handshake"` it waits until it is known whether its source
/// uses such a service. Pure: time is passed in.
///
/// `capacity` sources wait at a time; of more each request counts at once, as any other does.
package struct Setups: Sendable {
  package static let capacity = 1_024
  /// A program asks for all the ports at once, or for one after another as each is refused.
  package static let patience: Int64 = 2_000_000_000

  package enum Answer: Sendable, Equatable {
    /// Its source uses a service of the family.
    case forgiven
    case waits
    /// It is a touch as any other.
    case counts
  }

  /// What waits of a source: the first request, and the families of which all its requests are.
  package struct Request: Sendable {
    package let probe: Probe
    package fileprivate(set) var families: ServiceFamilies
    /// The sensor has told of one: until then nobody knows whether this host has such a service.
    package fileprivate(set) var isTold: Bool
    fileprivate let due: Int64
  }

  private var waiting: [IPAddress: Request] = [:]
  /// Who has turned out to use a service of a family lately. When full all are forgotten: what they ask for counts.
  private var users: [IPAddress: (families: ServiceFamilies, until: Int64)] = [:]

  package init() {}

  package var count: Int { waiting.count }

  /// Whether something waits of a source of which only a decoy has told.
  package func isUntold(_ source: IPAddress) -> Bool { waiting[source].map { !$0.isTold } ?? false }

  /// Takes a touch that the classic rule would count.
  ///
  /// - Parameter isTold: the sensor tells of it, and knows the services and their users.
  package mutating func take(_ probe: Probe, isTold: Bool, at now: Int64) -> Answer {
    let source = probe.source
    let asked = isTold ? probe.asked : ServiceFamilies(near: probe.targetPort)
    let used = users[source].flatMap { $0.until > now ? $0.families : nil } ?? []
    if !asked.isDisjoint(with: probe.used.union(used)) {
      forgive(source, asked.intersection(probe.used.union(used)))
      return .forgiven
    }
    guard !asked.isEmpty else {
      waiting[source] = nil
      return .counts
    }
    if var request = waiting[source] {
      request.families.formIntersection(asked)
      request.isTold = request.isTold || isTold
      waiting[source] = request.families.isEmpty ? nil : request
      return request.families.isEmpty ? .counts : .waits
    }
    guard waiting.count < Self.capacity else { return .counts }
    waiting[source] = Request(probe: probe, families: asked, isTold: isTold, due: now + Self.patience)
    return .waits
  }

  /// A service answers a source that asked for something beside it.
  package mutating func answered(_ source: IPAddress, _ families: ServiceFamilies, at now: Int64) {
    if users.count >= Self.capacity { users = [:] }
    users[source] = (families.union(users[source]?.families ?? []), now + Self.patience)
    forgive(source, families)
  }

  private mutating func forgive(_ source: IPAddress, _ families: ServiceFamilies) {
    if let request = waiting[source], !request.families.isDisjoint(with: families) { waiting[source] = nil }
  }

  /// Takes those whose source has used no such service in time.
  package mutating func takeDue(at now: Int64) -> [Request] {
    guard !waiting.isEmpty || !users.isEmpty else { return [] }
    users = users.filter { $0.value.until > now }
    let due = waiting.values.filter { $0.due <= now }
    for request in due { waiting[request.probe.source] = nil }
    return due.sorted { $0.probe.source < $1.probe.source }
  }

  /// What was asked within a network is forgotten.
  package mutating func forget(within network: IPNetwork) {
    for source in waiting.keys where network.contains(source) { waiting[source] = nil }
  }
}
