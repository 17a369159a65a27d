import Detection
import Wire

/// Which touches were told already. A connection to a decoy comes twice: from the decoy, and as a probe from the sensor; whichever is
/// first is said, the other is not. Pure: time is passed in.
package struct Announcements: Sendable {
  /// Connections told by the decoy; of more, a line is written twice.
  package static let capacity = 1_024
  /// Sources whose last probes are known; when full all are forgotten, and a line may be written twice.
  package static let toldCapacity = 4_096
  package static let toldOfEach = 16
  /// How much later the sensor's word may come.
  package static let patience: Int64 = 2_000_000_000

  /// By what a connection to a decoy and the probe that opened it are known as one.
  private struct Ports: Equatable {
    let source: UInt16
    let target: UInt16

    init(_ probe: Probe) {
      source = probe.sourcePort
      target = probe.targetPort
    }
  }

  private var announced: [IPAddress: (ports: Ports, until: Int64)] = [:]
  private var told: [IPAddress: [Ports]] = [:]

  package init() {}

  package var count: Int { announced.count }

  /// The sensor has told of a probe.
  package mutating func tell(_ probe: Probe) {
    if told.count >= Self.toldCapacity { told = [:] }
    if told[probe.source, default: []].count >= Self.toldOfEach { told[probe.source]!.removeFirst() }
    told[probe.source, default: []].append(Ports(probe))
  }

  /// Whether the sensor has told of it.
  package func wasTold(_ probe: Probe) -> Bool { told[probe.source]?.contains(Ports(probe)) ?? false }

  /// The decoy has told of a probe that the sensor will tell of.
  package mutating func announce(_ probe: Probe, at now: Int64) {
    if announced.count >= Self.capacity { announced = announced.filter { $0.value.until > now } }
    guard announced.count < Self.capacity else { return }
    announced[probe.source] = (Ports(probe), now + Self.patience)
  }

  /// Whether the decoy has told of a probe; only the first time.
  package mutating func isAnnounced(_ probe: Probe, at now: Int64) -> Bool {
    guard let known = announced[probe.source], known.ports == Ports(probe), probe.technique == .syn else {
      return false
    }
    announced[probe.source] = nil
    return known.until > now
  }
}
