import Capture
import Detection
import Wire

extension KernelFilter {
  /// What a detector with these settings wants to see on a host that is and serves this.
  package init(_ settings: Detector.Settings, _ exposure: Exposure) {
    func wanted(_ transport: TransportProtocol, v4: Bool) -> PortSet {
      let native = transport == .tcp ? settings.nativeTCP : settings.nativeUDP
      let watched = settings.watch(transport)?.ports ?? PortSet()
      let served = exposure.wildcard(transport, v4: v4)
      return settings.checksServices
        ? watched.union(native).subtracting(served) : watched.union(native.subtracting(served))
    }
    self.init()
    tcpV4 = wanted(.tcp, v4: true)
    tcpV6 = wanted(.tcp, v4: false)
    udpV4 = wanted(.udp, v4: true)
    udpV6 = wanted(.udp, v4: false)
    servedUDPv4 = exposure.wildcard(.udp, v4: true)
    servedUDPv6 = exposure.wildcard(.udp, v4: false)
    if settings.checksServices {
      specificTCP = exposure.specific(.tcp)
      specificUDP = exposure.specific(.udp)
    }
    watchesTCP = settings.tcp != nil || !settings.nativeTCP.isEmpty
    watchesUDP = settings.udp != nil || !settings.nativeUDP.isEmpty
    judgesConnections = !settings.nativeTCP.isEmpty
    judgesOtherProtocols = settings.judgesOtherProtocols
    ephemeralPorts = settings.ephemeralPorts
    // Networks that are local as a whole are left to the detector.
    addresses = exposure.localNetworks.allSatisfy(\.address.isLoopback) ? exposure.addresses : []
  }
}
