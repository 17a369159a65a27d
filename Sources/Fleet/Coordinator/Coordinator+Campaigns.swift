import Wire

/// Half-open probes by address, apart from what proof fills, since anybody can have sent them. The oldest address makes room.
struct ProbeTable: Sendable {
  static let capacity = 16_384

  struct Entry: Sendable {
    /// Of one node each, not verified yet.
    var testimonies: [Testimony] = []
    /// When the campaign was last passed on.
    var passed = Timestamp.distantPast
  }

  private var entries: [TestimonyStore.Key: Entry] = [:]
  private var order: [TestimonyStore.Key] = []
  private var hand = 0

  var count: Int { entries.count }

  subscript(key: TestimonyStore.Key) -> Entry {
    get { entries[key] ?? Entry() }
    set {
      if entries.updateValue(newValue, forKey: key) != nil { return }
      if order.count < Self.capacity { return order.append(key) }
      entries[order[hand]] = nil
      order[hand] = key
      hand = (hand + 1) % Self.capacity
    }
  }
}

/// Many nodes touched by packets with one address: told to all, and no reason for anything else.
extension Coordinator {
  mutating func hearProbe(
    _ testimony: Testimony, _ key: TestimonyStore.Key, at now: Timestamp
  ) throws(Refusal) {
    let body = testimony.body
    if now - body.time >= FleetSettings.campaignWindow { throw .old }
    var entry = probes[key]
    if now - entry.passed < FleetSettings.campaignWindow { return }
    entry.testimonies.removeAll {
      $0.body.node == body.node || now - $0.body.time >= FleetSettings.campaignWindow
    }
    if entry.testimonies.count >= Proof.mostWitnesses { entry.testimonies.removeFirst() }
    entry.testimonies.append(testimony)
    defer { probes[key] = entry }
    guard entry.testimonies.count >= settings.quorum else { return }
    // Only now it is worth the work.
    var valid: [Testimony] = []
    for testimony in entry.testimonies {
      if let certificate = roster.certificate(of: testimony.body.node),
        !roster.isRevoked(testimony.body.node),
        testimony.isSigned(by: certificate.body.key, in: fleet, verifier)
      {
        valid.append(testimony)
      }
    }
    let isForged = valid.count < entry.testimonies.count
    entry.testimonies = valid
    if valid.count >= settings.quorum {
      entry.testimonies = []
      if campaignTokens.take(settings.campaignRate, at: now) {
        entry.passed = now
        enqueue(valid, at: now)
      }
    }
    if isForged { throw .badSignature }
  }
}
