import Memory
import Wire

/// Floods, backscatter and anomalies: packets whose sources are nobody in particular.
extension Detector {
  mutating func noteFlood(_ kind: FloodWatch.Kind, _ packet: inout Packet, isSampled: Bool = false) {
    var point = Segment(packet).point
    if kind == .icmp { point.port = 0 }
    noteFlood(kind, point, isSampled: isSampled)
  }

  mutating func noteFlood(_ kind: FloodWatch.Kind, _ point: FloodWatch.Point, isSampled: Bool = false) {
    guard let flood = floods.count(kind, point, shift: isSampled ? samplingShift : 0) else { return }
    others.append(Self.verdict(floods[flood]))
  }

  mutating func tell(_ record: OddityTable.Record?) {
    if let record { others.append(Self.verdict(record)) }
  }

  static func verdict(_ flood: FloodWatch.Flood) -> Verdict {
    let source =
      flood.hasMany ? IPNetwork(flood.source, length: 0)! : IPNetwork(flood.source)
    var verdict = Verdict(.flood, source: source, first: flood.first, last: flood.last)
    verdict.sources = flood.sources
    verdict.probes = UInt32(clamping: flood.packets)
    verdict.ports = 1
    verdict.targets = 1
    verdict.port = flood.port
    verdict.transport = flood.kind == .udp ? .udp : .tcp
    verdict.techniques =
      switch flood.kind {
      case .syn, .scattered: TechniqueSet(.syn)
      case .stray: TechniqueSet(.ack)
      case .udp: TechniqueSet(.udp)
      case .icmp: TechniqueSet(.icmp)
      }
    return verdict
  }

  static func verdict(_ record: OddityTable.Record) -> Verdict {
    let isBackscatter = !record.kinds.isDisjoint(with: .backscatter)
    let kind: Verdict.Class = isBackscatter ? .backscatter : record.kinds.contains(.udpAnswer) ? .flood : .anomaly
    var verdict = Verdict(kind, source: IPNetwork(record.source), first: record.first, last: record.last)
    verdict.probes = record.count
    verdict.ports = UInt32(record.portSketch.nonzeroBitCount)
    verdict.targets = 1
    verdict.port = record.service
    verdict.transport = record.kinds.contains(.udpAnswer) ? .udp : .tcp
    if record.kinds.contains(.udpAnswer) { verdict.techniques = TechniqueSet(.udp) }
    return verdict
  }

  /// Floods, backscatter and anomalies.
  package func otherVerdicts() -> [Verdict] {
    var result: [Verdict] = []
    floods.forEach { result.append(Self.verdict($0)) }
    // What a scanner's own stack answers us is no backscatter.
    oddities.forEach { if $0.count >= 3, !native.isConvicted($0.source) { result.append(Self.verdict($0)) } }
    return result
  }
}
