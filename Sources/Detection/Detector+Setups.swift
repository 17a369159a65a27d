import Memory
import Wire

/// Touches beside services of this host: whoever makes them may be about to use such a service.
extension Detector {
  package var hasSetups: Bool { !setups.answered.isEmpty }

  /// Lends the sources that asked for a port beside a service of this host, and that it has answered since the last call.
  package mutating func takeSetups(_ body: (IPAddress, ServiceFamilies) -> Void) {
    for news in setups.answered { body(news.source, news.families) }
    setups.removeAll()
  }

  /// A service of ours answers somebody who may use it.
  mutating func noteUser(_ answer: Segment) {
    flows.insertUser(answer.target, port: answer.sourcePort, at: answer.time)
    setups.noteAnswer(answer.target, port: answer.sourcePort, at: answer.time)
  }

  /// Notes of a touch beside which services it is.
  mutating func noteSetup(_ probe: inout Probe) {
    (probe.asked, probe.used) = families(probe.targetPort, probe.target, probe.source, probe.time)
    let open = probe.asked.subtracting(probe.used)
    if !open.isEmpty { setups.note(probe.source, open, at: probe.time) }
  }

  /// Of which families a port is whose services are here, translated ones included, and of which of these a source uses one. What connect
  /// mode listens on is no service.
  mutating func families(
    _ port: UInt16, _ target: IPAddress, _ source: IPAddress, _ time: Timestamp
  ) -> (asked: ServiceFamilies, used: ServiceFamilies) {
    var (asked, used): (ServiceFamilies, ServiceFamilies) = ([], [])
    for family in ServiceFamily.allCases where family.isNear(port) {
      for service in family.services where service != port && !settings.traps.contains(service) {
        guard landscape.serves(.tcp, target, service) || isServedLately(service, time, within: FlowMemory.lifetime)
        else { continue }
        asked.insert(family.bit)
        if flows.isUser(source, port: service, at: time, within: Self.longGrace) {
          used.insert(family.bit)
          break
        }
      }
    }
    return (asked, used)
  }

  /// Whether a touch is beside a service that its source does not use yet, and nothing but such speaks against the source so far.
  mutating func mayBeSetup(_ touch: NativeRule.Touch) -> Bool {
    guard touch.kind == .syn || touch.kind == .connect, touch.transport == .tcp, !touch.mark.isRaw,
      !ServiceFamilies(near: touch.port).isEmpty
    else { return false }
    let (asked, used) = families(touch.port, touch.target, touch.source, touch.time)
    return !asked.isEmpty && asked.isDisjoint(with: used) && native.hasOnly(asked, touch.source)
  }

  /// When the oldest touch beside a service is due, in nanoseconds since 1970; `max` when there is none.
  package var delaysDue: Int64 { delayed.due }
}
