import Wire

/// TCP ports that services have left lately. They rest before a decoy answers for them: a monitor or balancer that asks
/// meanwhile has to be told the truth, and nobody may be blamed for asking.
///
/// A port rests for as long as it was served, `shortest` at least and `longest` at most: what is there every day has a
/// day. Ports served at this moment are among them, so that nothing happens between a service's end and our knowing.
struct PortRest {
  static let shortest: Int64 = 300_000_000_000
  static let longest: Int64 = 86_400_000_000_000

  private var since: [UInt16: Int64] = [:]
  /// When the rest of a port ends. At most 65,536 of both.
  private var until: [UInt16: Int64] = [:]
  private var served = PortSet()
  private var everywhere4 = PortSet()
  private var everywhere6 = PortSet()

  /// Takes over what is served now.
  ///
  /// - Parameters:
  ///   - served: on any address.
  ///   - everywhere4: on all of IPv4.
  ///   - everywhere6: on all of IPv6.
  /// - Returns: whether the ports at rest are others now.
  mutating func update(served: PortSet, everywhere4: PortSet, everywhere6: PortSet, at now: Int64) -> Bool {
    var changed = false
    if served != self.served || everywhere4 != self.everywhere4 || everywhere6 != self.everywhere6 {
      changed = true
      for port in self.served.subtracting(served).ports {
        let time = now - (since.removeValue(forKey: port) ?? now)
        until[port] = now + min(max(time, Self.shortest), Self.longest)
      }
      for port in served.subtracting(self.served).ports {
        since[port] = now
        until[port] = nil
      }
      (self.served, self.everywhere4, self.everywhere6) = (served, everywhere4, everywhere6)
    }
    for (port, end) in until where end <= now {
      until[port] = nil
      changed = true
    }
    return changed
  }

  /// What no decoy answers for. A port served on one address only is at rest when it is served no more: meanwhile it looks
  /// the same on the host's other addresses as every other port.
  func ports(v4: Bool, at now: Int64) -> PortSet {
    var result = v4 ? everywhere4 : everywhere6
    for (port, end) in until where end > now { result.insert(port) }
    return result
  }
}
